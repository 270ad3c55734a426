/**
 * Keeps a copy of what cannot be read, so that damage is never silent: the bytes in
 * `quarantine/<segment>-<start>-<end>.bin`, and why in a `.txt` beside it.
 *
 * Invariant: a failing copy is counted and stops nothing: a full disk is emptied by reading on.
 */

import { join } from "node:path";
import { systemCodeOf, writeFully } from "./disk.ts";
import type { DiskFile } from "./disk.ts";
import { closeQuietly, pathIn, readClock } from "./log.ts";
import type { Log } from "./log.ts";
import type { GapStep } from "./scan.ts";
import { DAMAGED_RANGES_MAX } from "./segment.ts";
import type { Segment } from "./segment.ts";

/** Most bytes kept in quarantine; beyond them damage is described and counted, not copied. */
export const QUARANTINE_MAX_BYTES = 1024 * 1024 * 1024;

/** Most files kept in quarantine, copies and reasons together. */
export const QUARANTINE_MAX_FILES = 1000;

const QUARANTINE_NAME = "quarantine";
const COPY_BYTES = 64 * 1024;

/**
 * Copies and counts a damaged range of a segment, the first time it is met. True when a copy is
 * on disk, from now or from an earlier start.
 */
export async function quarantineRange(
  log: Log,
  segment: Segment,
  file: DiskFile,
  gap: GapStep,
): Promise<boolean> {
  if (segment.damage.size < DAMAGED_RANGES_MAX) segment.damage.set(gap.start, gap.end);
  segment.record_count = Math.max(0, segment.record_count - 1);
  log.counters.quarantined_records += 1;
  log.counters.quarantined_bytes += gap.end - gap.start;
  try {
    await copyRange(log, segment, file, gap);
    return true;
  } catch {
    log.counters.quarantine_failures += 1;
    return false;
  }
}

/**
 * Moves a segment that the disk no longer reads into quarantine, and forgets and counts it.
 * Throws the system's error when it cannot be moved.
 */
export async function quarantineSegment(log: Log, segment: Segment, reason: string): Promise<void> {
  const directory = await makeQuarantine(log);
  await log.disk.rename(pathIn(log, segment.name), join(directory, segment.name));
  log.segments = log.segments.filter((other) => other !== segment);
  log.counters.quarantined_records += Math.max(1, segment.record_count);
  log.counters.quarantined_bytes += segment.byte_size;
  try {
    await log.disk.syncDirectory(directory);
    await writeReason(log, segment, directory, segment.name, `the whole segment: ${reason}`);
  } catch {
    log.counters.quarantine_failures += 1;
  }
}

async function makeQuarantine(log: Log): Promise<string> {
  const directory = pathIn(log, QUARANTINE_NAME);
  await log.disk.makeDirectory(directory);
  return directory;
}

async function copyRange(log: Log, segment: Segment, file: DiskFile, gap: GapStep): Promise<void> {
  const directory = await makeQuarantine(log);
  const name = `${segment.name}-${gap.start}-${gap.end}`;
  if (await isPresent(log, join(directory, `${name}.txt`))) return;
  const use = (log.quarantine_use ??= await measureQuarantine(log, directory));
  const byte_size = gap.end - gap.start;
  if (use.file_count + 2 > QUARANTINE_MAX_FILES) throw new Error("the quarantine is full");
  const fits = use.byte_size + byte_size <= QUARANTINE_MAX_BYTES;
  use.file_count += fits ? 2 : 1;
  if (fits) {
    use.byte_size += byte_size;
    await copyBytes(log, file, gap, join(directory, `${name}.bin`));
  }
  const range = `bytes ${gap.start} to ${gap.end}: ${gap.reason}`;
  await writeReason(log, segment, directory, name, range);
  await log.disk.syncDirectory(directory);
  if (!fits) throw new Error("the quarantine is full");
}

async function isPresent(log: Log, path: string): Promise<boolean> {
  try {
    await log.disk.byteSize(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function measureQuarantine(
  log: Log,
  directory: string,
): Promise<{ file_count: number; byte_size: number }> {
  const names = await log.disk.list(directory);
  let byte_size = 0;
  for (const name of names) byte_size += await log.disk.byteSize(join(directory, name));
  return { file_count: names.length, byte_size };
}

async function copyBytes(log: Log, file: DiskFile, gap: GapStep, path: string): Promise<void> {
  const copy = await log.disk.open(path, "replace");
  const buffer = new Uint8Array(COPY_BYTES);
  try {
    let offset = gap.start;
    while (offset < gap.end) {
      const target = buffer.subarray(0, Math.min(COPY_BYTES, gap.end - offset));
      const piece = target.subarray(0, await file.read(target, offset));
      if (piece.byteLength === 0) break;
      await writeFully(copy, [piece], offset - gap.start);
      offset += piece.byteLength;
    }
    await copy.sync();
  } finally {
    await closeQuietly(copy);
  }
}

/** Written after the copy: a reason that is there proves that its copy is whole. */
async function writeReason(
  log: Log,
  segment: Segment,
  directory: string,
  name: string,
  reason: string,
): Promise<void> {
  const found = new Date(Math.min(readClock(log), 8.64e15)).toISOString();
  const text =
    `segment: ${segment.name}\nfirst sequence: ${segment.first_sequence}\n` +
    `found: ${found}\ndamage: ${reason}\n`;
  const file = await log.disk.open(join(directory, `${name}.txt`), "replace");
  try {
    await writeFully(file, [new TextEncoder().encode(text)], 0);
    await file.sync();
  } finally {
    await closeQuietly(file);
  }
}
