/**
 * One record on disk: a frame of 44 header bytes and the payload. Encodes, decodes and searches
 * frames in memory; reads and writes nothing. The layout is in README.md.
 *
 * Invariant: a header is believed only when its checksum and its segment's secret marker are
 * right, so neither a flipped length nor a frame quoted inside a payload is ever taken for one.
 */

import { crc32 } from "node:zlib";

/** Bytes before each payload. */
export const FRAME_HEADER_BYTES = 44;

/** Largest payload of one record, in bytes. */
export const RECORD_MAX_BYTES = 256 * 1024 * 1024;

/** Bytes of the random marker that each segment draws for its frames. */
export const MARKER_BYTES = 8;

const PREFIX_BYTES = 16;
const FRAME_VERSION = 1;

/** Not 0, so that neither zeros nor an empty payload have the checksum 0. */
const CRC_SEED = 0x5ba9_1e0d;

/** What stands before a payload. Times are Unix milliseconds. */
export interface FrameHeader {
  readonly sequence: number;
  readonly written_ms: number;
  readonly payload_bytes: number;
  readonly payload_crc32: number;
}

/** The first 16 bytes of each frame of a segment: magic "SLWR", version, zeros, its marker. */
export function encodeFramePrefix(marker: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix.set([0x53, 0x4c, 0x57, 0x52]);
  prefix[4] = FRAME_VERSION;
  prefix.set(marker.subarray(0, MARKER_BYTES), 8);
  return prefix;
}

/** Bytes in all chunks. */
export function countBytes(chunks: readonly Uint8Array[]): number {
  let byte_size = 0;
  for (const chunk of chunks) byte_size += chunk.byteLength;
  return byte_size;
}

/** Checksum of a payload, or of its next piece when the checksum so far is given. */
export function checksumPayload(piece: Uint8Array, so_far: number = CRC_SEED): number {
  return crc32(piece, so_far);
}

/**
 * Encodes the header of a frame. `sequence` and `written_ms` are whole numbers from 0 to 2^53 - 1
 * and the payload at most RECORD_MAX_BYTES: the caller has checked.
 */
export function encodeFrameHeader(
  prefix: Uint8Array,
  sequence: number,
  written_ms: number,
  payload: readonly Uint8Array[],
): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  const view = viewOf(header);
  header.set(prefix);
  view.setBigUint64(16, BigInt(sequence), true);
  view.setBigUint64(24, BigInt(written_ms), true);
  view.setUint32(32, countBytes(payload), true);
  let checksum = CRC_SEED;
  for (const chunk of payload) checksum = checksumPayload(chunk, checksum);
  view.setUint32(36, checksum, true);
  view.setUint32(40, crc32(header.subarray(0, 40), CRC_SEED), true);
  return header;
}

/** Decodes the header at `offset`; null when it is cut off, damaged or of another segment. */
export function decodeFrameHeader(
  bytes: Uint8Array,
  offset: number,
  prefix: Uint8Array,
): FrameHeader | null {
  if (offset + FRAME_HEADER_BYTES > bytes.byteLength) return null;
  for (let index = 0; index < PREFIX_BYTES; index++) {
    if (bytes[offset + index] !== prefix[index]) return null;
  }
  const header = bytes.subarray(offset, offset + FRAME_HEADER_BYTES);
  const view = viewOf(header);
  if (crc32(header.subarray(0, 40), CRC_SEED) !== view.getUint32(40, true)) return null;
  const sequence = Number(view.getBigUint64(16, true));
  const written_ms = Number(view.getBigUint64(24, true));
  const payload_bytes = view.getUint32(32, true);
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(written_ms)) return null;
  if (payload_bytes > RECORD_MAX_BYTES) return null;
  return { sequence, written_ms, payload_bytes, payload_crc32: view.getUint32(36, true) };
}

/** Offset of the first whole and valid header in `bytes`, or -1. */
export function findFrameHeader(bytes: Uint8Array, prefix: Uint8Array): number {
  const haystack = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = haystack.indexOf(prefix);
  while (offset >= 0 && decodeFrameHeader(bytes, offset, prefix) === null) {
    offset = haystack.indexOf(prefix, offset + 1);
  }
  return offset;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
