/**
 * The two small files that outlive every segment: `writer-id`, the UUID of the log, and
 * `checkpoint`, how far the consumer is and up to where sequence numbers are given out.
 *
 * The first 56 bytes of a checkpoint keep their layout in later versions, as a segment's header;
 * the counts behind them have a checksum of their own and are missing in files of old versions.
 * Invariant: a checkpoint is believed only with its checksum and for the log whose id it names;
 * otherwise it is as if there were none, and everything present is unreleased.
 */

import { join } from "node:path";
import { crc32 } from "node:zlib";
import { PermanentError } from "../../schemas/errors.ts";
import { COUNTS_MAX_BYTES, decodeCounts, encodeCounts } from "./counts.ts";
import type { StoredCounts } from "./counts.ts";
import { readSmallFile, replaceFile } from "./disk.ts";
import type { Disk } from "./disk.ts";
import { formatUuid, parseUuid } from "./segment.ts";

const CHECKPOINT_NAME = "checkpoint";
const CHECKPOINT_BYTES = 56;
const CHECKPOINT_VERSION = 1;
const CHECKPOINT_MAGIC = new TextEncoder().encode("spanlckp");
const WRITER_ID_NAME = "writer-id";
const WRITER_ID_MAX_BYTES = 256;

/** What a checkpoint says. */
export interface Checkpoint {
  /** UUID of the log, in 32 hex digits. */
  readonly writer_hex: string;
  /** The consumer has every record up to and including this sequence. */
  readonly released_sequence: number;
  /** No sequence from this one on was ever given out. */
  readonly sequence_limit: number;
  /** Segments that begin below it may be gone. */
  readonly front_sequence: number;
  readonly stored: StoredCounts;
}

/** Encodes a checkpoint file. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const counts = encodeCounts(checkpoint.stored);
  const bytes = new Uint8Array(CHECKPOINT_BYTES + counts.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set(CHECKPOINT_MAGIC);
  view.setUint32(8, CHECKPOINT_VERSION, true);
  bytes.set(Buffer.from(checkpoint.writer_hex, "hex"), 12);
  view.setBigUint64(28, BigInt(checkpoint.released_sequence), true);
  view.setBigUint64(36, BigInt(checkpoint.sequence_limit), true);
  view.setBigUint64(44, BigInt(checkpoint.front_sequence), true);
  view.setUint32(52, crc32(bytes.subarray(0, 52)), true);
  bytes.set(counts, CHECKPOINT_BYTES);
  return bytes;
}

/**
 * Decodes a checkpoint file; null when it is damaged. Throws PermanentError
 * "wal_version_newer" for an intact one of a later version.
 */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint | null {
  if (bytes.byteLength < CHECKPOINT_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (CHECKPOINT_MAGIC.some((byte, index) => bytes[index] !== byte)) return null;
  if (crc32(bytes.subarray(0, 52)) !== view.getUint32(52, true)) return null;
  if (view.getUint32(8, true) > CHECKPOINT_VERSION) throw newerVersionError(CHECKPOINT_NAME);
  return {
    writer_hex: Buffer.from(bytes.subarray(12, 28)).toString("hex"),
    released_sequence: Number(view.getBigUint64(28, true)),
    sequence_limit: Number(view.getBigUint64(36, true)),
    front_sequence: Number(view.getBigUint64(44, true)),
    stored: decodeCounts(bytes.subarray(CHECKPOINT_BYTES)),
  };
}

/** The error for a file that a later version of this program wrote; nothing was changed. */
export function newerVersionError(name: string): PermanentError {
  return new PermanentError(
    "wal_version_newer",
    `${name} in the write-ahead log was written by a newer version: start that version again, ` +
      "let it empty the log, then come back; nothing was changed",
  );
}

/** Loads the checkpoint, or null when it is missing or damaged. */
export async function loadCheckpoint(disk: Disk, directory: string): Promise<Checkpoint | null> {
  const path = join(directory, CHECKPOINT_NAME);
  const bytes = await readSmallFile(disk, path, CHECKPOINT_BYTES + COUNTS_MAX_BYTES);
  return bytes === null ? null : decodeCheckpoint(bytes);
}

/** Replaces the checkpoint, durably; after a failure the old or the new one stands. */
export async function storeCheckpoint(
  disk: Disk,
  directory: string,
  checkpoint: Checkpoint,
): Promise<void> {
  await replaceFile(disk, directory, CHECKPOINT_NAME, encodeCheckpoint(checkpoint));
}

/** Loads the log's id as 32 hex digits, or null when the file is missing or damaged. */
export async function loadWriterId(disk: Disk, directory: string): Promise<string | null> {
  const path = join(directory, WRITER_ID_NAME);
  const bytes = await readSmallFile(disk, path, WRITER_ID_MAX_BYTES);
  return bytes === null ? null : parseUuid(new TextDecoder().decode(bytes));
}

/** Writes the log's id, durably. */
export async function storeWriterId(
  disk: Disk,
  directory: string,
  writer_hex: string,
): Promise<void> {
  const text = `${formatUuid(writer_hex)}\n`;
  await replaceFile(disk, directory, WRITER_ID_NAME, new TextEncoder().encode(text));
}
