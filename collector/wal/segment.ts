/**
 * One file of the log: its name, its header of 64 bytes, and what is remembered about it while
 * the log is open. Pure; README.md has the layout.
 *
 * Invariant: the first 64 bytes keep this layout and this checksum in every later version, so
 * that "written by a newer version" and "damaged" can be told apart.
 */

import { crc32 } from "node:zlib";
import { MARKER_BYTES, encodeFramePrefix } from "./record.ts";

/** Bytes before the first frame of a segment. */
export const SEGMENT_HEADER_BYTES = 64;

/** The newest layout this code reads and the one it writes. */
export const SEGMENT_VERSION = 1;

/** Damaged ranges remembered in one segment; beyond them a repeated read counts them again. */
export const DAMAGED_RANGES_MAX = 1024;

const SEGMENT_MAGIC = new TextEncoder().encode("spanlwal");
const NAME_PATTERN = /^segment-(\d{16})-([0-9a-f]{16})\.wal$/;

/** What the header of a segment says. */
export interface SegmentHeader {
  readonly version: number;
  /** UUID of the log, in 32 hex digits. */
  readonly writer_hex: string;
  readonly marker: Uint8Array;
  readonly first_sequence: number;
  /** Records acknowledged by this log before this segment. */
  readonly records_before: number;
  /** First sequence of the segment before this one, 0 for the first of a log. */
  readonly previous_first_sequence: number;
}

/** What the name of a segment says: enough to read it when its header is damaged. */
export interface SegmentName {
  readonly name: string;
  readonly first_sequence: number;
  readonly marker: Uint8Array;
}

/** A segment of an open log. Offsets and sizes are bytes in the file. */
export interface Segment {
  readonly name: string;
  readonly first_sequence: number;
  readonly records_before: number;
  /** What each of its frames begins with. */
  readonly prefix: Uint8Array;
  /** Charged to the budget. */
  byte_size: number;
  /** Records below this offset may be returned; what is beyond was never acknowledged. */
  end: number;
  /** Records in it; for one not read since the start, as the headers say. */
  record_count: number;
  /** Damaged ranges already counted: start to end. */
  readonly damage: Map<number, number>;
  torn_counted: boolean;
  /** It must not be written any further. */
  must_seal: boolean;
}

/** File name of a segment: it sorts by sequence and repeats the marker of the header. */
export function nameSegment(first_sequence: number, marker: Uint8Array): string {
  const digits = String(first_sequence).padStart(16, "0");
  return `segment-${digits}-${Buffer.from(marker).toString("hex")}.wal`;
}

/** Reads a segment's name; null for any other file. */
export function parseSegmentName(name: string): SegmentName | null {
  const match = NAME_PATTERN.exec(name);
  if (match === null) return null;
  const first_sequence = Number(match[1]);
  if (!Number.isSafeInteger(first_sequence)) return null;
  return { name, first_sequence, marker: Buffer.from(match[2] ?? "", "hex") };
}

/** The 32 hex digits of a UUID in lower case; null when it is none. */
export function parseUuid(text: string): string | null {
  const digits = text.trim().toLowerCase().replaceAll("-", "");
  return /^[0-9a-f]{32}$/.test(digits) ? digits : null;
}

/** Writes 32 hex digits as a UUID. */
export function formatUuid(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Draws a marker from a UUID: its last 16 digits are random in versions 4 and 7. */
export function markerFrom(uuid_hex: string): Uint8Array {
  return Buffer.from(uuid_hex.slice(-2 * MARKER_BYTES), "hex");
}

/** Encodes the header of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(SEGMENT_MAGIC);
  view.setUint32(8, header.version, true);
  bytes.set(Buffer.from(header.writer_hex, "hex"), 12);
  bytes.set(header.marker, 28);
  view.setBigUint64(36, BigInt(header.first_sequence), true);
  view.setBigUint64(44, BigInt(header.records_before), true);
  view.setBigUint64(52, BigInt(header.previous_first_sequence), true);
  view.setUint32(60, crc32(bytes.subarray(0, 60)), true);
  return bytes;
}

/** Decodes the header of a segment, of any version; null when it is cut off or damaged. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | null {
  if (bytes.byteLength < SEGMENT_HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (SEGMENT_MAGIC.some((byte, index) => bytes[index] !== byte)) return null;
  if (crc32(bytes.subarray(0, 60)) !== view.getUint32(60, true)) return null;
  return {
    version: view.getUint32(8, true),
    writer_hex: Buffer.from(bytes.subarray(12, 28)).toString("hex"),
    marker: bytes.slice(28, 36),
    first_sequence: Number(view.getBigUint64(36, true)),
    records_before: Number(view.getBigUint64(44, true)),
    previous_first_sequence: Number(view.getBigUint64(52, true)),
  };
}

/**
 * What is remembered about a segment when its file is first met. The marker of the name stands
 * in for a damaged header.
 */
export function describeSegment(
  name: SegmentName,
  header: SegmentHeader | null,
  byte_size: number,
): Segment {
  return {
    name: name.name,
    first_sequence: name.first_sequence,
    records_before: header?.records_before ?? 0,
    prefix: encodeFramePrefix(header?.marker ?? name.marker),
    byte_size,
    end: byte_size,
    record_count: 0,
    damage: new Map(),
    torn_counted: false,
    must_seal: false,
  };
}
