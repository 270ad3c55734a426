/**
 * The counts that outlive the process: what was torn, damaged, missing, refused and set aside in
 * the life of the directory. They stand in the checkpoint, behind its first 56 bytes.
 *
 * Invariant: a number keeps its place for ever and new ones are added at the end, so any version
 * reads the counts of any other; what a file does not have is 0.
 */

import { crc32 } from "node:zlib";

/** Counts since the directory was made. Bytes are frame bytes, or of the damaged range. */
export interface Counts {
  /** Tails that a crash cut in the middle of a write; nothing in them was acknowledged. */
  torn_tails: number;
  torn_bytes: number;
  /** Damaged ranges, each at least one record, and whole segments that the disk did not give. */
  quarantined_records: number;
  quarantined_bytes: number;
  /** Copies of damage that could not be made. */
  quarantine_failures: number;
  /** Segments that were gone without having been released. */
  missing_segments: number;
  /** Appends refused because the budget was used or the disk was full. */
  refused_records: number;
  refused_bytes: number;
  /** Records that the consumer will never take and has put elsewhere. */
  set_aside_records: number;
}

/** Order on disk. Never changed; a new count goes to the end. */
const COUNT_NAMES = [
  "torn_tails",
  "torn_bytes",
  "quarantined_records",
  "quarantined_bytes",
  "quarantine_failures",
  "missing_segments",
  "refused_records",
  "refused_bytes",
  "set_aside_records",
] as const satisfies readonly (keyof Counts)[];

/** Numbers that a later version may have, this one's included. */
const NUMBERS_MAX = 64;
const LENGTH_BYTES = 4;
const NUMBER_BYTES = 8;
const CHECKSUM_BYTES = 4;

/** Most bytes that counts take, of any version. */
export const COUNTS_MAX_BYTES = LENGTH_BYTES + NUMBERS_MAX * NUMBER_BYTES + CHECKSUM_BYTES;

/** Counts with the number of the checkpoint that has them, from 1 up; 0 where there was none. */
export interface StoredCounts {
  readonly generation: number;
  readonly counts: Counts;
}

/** All counts at 0. */
export function createCounts(): Counts {
  return {
    torn_tails: 0,
    torn_bytes: 0,
    quarantined_records: 0,
    quarantined_bytes: 0,
    quarantine_failures: 0,
    missing_segments: 0,
    refused_records: 0,
    refused_bytes: 0,
    set_aside_records: 0,
  };
}

/** Encodes: u32 how many numbers, each as u64 with the generation first, CRC-32 of all before. */
export function encodeCounts({ generation, counts }: StoredCounts): Uint8Array {
  const numbers = [generation, ...COUNT_NAMES.map((name) => counts[name])];
  const end = LENGTH_BYTES + numbers.length * NUMBER_BYTES;
  const bytes = new Uint8Array(end + CHECKSUM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, numbers.length, true);
  for (const [index, number] of numbers.entries()) {
    view.setBigUint64(LENGTH_BYTES + index * NUMBER_BYTES, BigInt(number), true);
  }
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Decodes counts; all 0 when the bytes are missing or damaged: counts never stop anything. */
export function decodeCounts(bytes: Uint8Array): StoredCounts {
  const counts = createCounts();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.byteLength < LENGTH_BYTES ? 0 : view.getUint32(0, true);
  const end = LENGTH_BYTES + length * NUMBER_BYTES;
  if (length < 1 || length > NUMBERS_MAX || bytes.byteLength < end + CHECKSUM_BYTES) {
    return { generation: 0, counts };
  }
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) return { generation: 0, counts };
  const numberAt = (index: number): number =>
    index < length ? Number(view.getBigUint64(LENGTH_BYTES + index * NUMBER_BYTES, true)) : 0;
  for (const [index, name] of COUNT_NAMES.entries()) counts[name] = numberAt(index + 1);
  return { generation: numberAt(0), counts };
}
