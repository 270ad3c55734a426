/**
 * Keeps a copy of what cannot be read, so that damage is never silent: the bytes in
 * `quarantine/<segment>-<start>-<end>.bin`, and why in a `.txt` beside it. The reason also says
 * after which checkpoint the damage was counted, so that finding it again at the next start counts
 * it only if that count was lost with the process.
 *
 * Invariant: a failing copy is counted and stops nothing: a full disk is emptied by reading on.
 */

import { join } from "node:path";
import { readSmallFile, writeFully } from "./disk.ts";
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
const REASON_MAX_BYTES = 1024;
const MISSING_REASON = "the whole segment: it is not there";
const COUNTED_PATTERN = /^counted after checkpoint: (\d{1,15})$/m;

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
  const name = `${segment.name}-${gap.start}-${gap.end}`;
  const known = await findReason(log, name);
  const is_copied = known !== "none" && (await hasCopy(log, name));
  if (known === "counted") return is_copied;
  log.counts.quarantined_records += 1;
  log.counts.quarantined_bytes += gap.end - gap.start;
  try {
    if (known === "unreadable") throw new Error("the quarantine cannot be read");
    const directory = await makeQuarantine(log);
    const has_room = is_copied || (await copyRange(log, file, gap, directory, name));
    const range = `bytes ${gap.start} to ${gap.end}: ${gap.reason}`;
    await writeReason(log, directory, name, segment, range);
    if (!has_room) throw new Error("the quarantine is full");
    return true;
  } catch {
    log.counts.quarantine_failures += 1;
    return false;
  }
}

/** Counts a segment that is gone and was not released, unless an earlier start did. */
export async function noteMissing(log: Log, first_sequence: number): Promise<void> {
  const digits = String(first_sequence).padStart(16, "0");
  const name = `segment-${digits}-missing`;
  if ((await findReason(log, name)) === "counted") return;
  if (await isInQuarantine(log, `segment-${digits}-`)) return;
  log.counts.missing_segments += 1;
  try {
    const directory = await makeQuarantine(log);
    await reserveFiles(log, directory, 1);
    await writeReason(log, directory, name, { name, first_sequence }, MISSING_REASON);
  } catch {
    log.counts.quarantine_failures += 1;
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
  log.counts.quarantined_records += Math.max(1, segment.record_count);
  log.counts.quarantined_bytes += segment.byte_size;
  try {
    await writeReason(log, directory, segment.name, segment, `the whole segment: ${reason}`);
  } catch {
    log.counts.quarantine_failures += 1;
  }
}

async function makeQuarantine(log: Log): Promise<string> {
  const directory = pathIn(log, QUARANTINE_NAME);
  await log.disk.makeDirectory(directory);
  return directory;
}

/** What an earlier time left of a finding: a reason in the counts, or one that was lost to them. */
async function findReason(
  log: Log,
  name: string,
): Promise<"none" | "counted" | "lost" | "unreadable"> {
  const path = join(pathIn(log, QUARANTINE_NAME), `${name}.txt`);
  try {
    const bytes = await readSmallFile(log.disk, path, REASON_MAX_BYTES);
    if (bytes === null) return "none";
    const match = COUNTED_PATTERN.exec(new TextDecoder().decode(bytes));
    return match !== null && Number(match[1]) < log.found_generation ? "counted" : "lost";
  } catch {
    return "unreadable";
  }
}

/** A full quarantine has reasons without a copy. */
async function hasCopy(log: Log, name: string): Promise<boolean> {
  try {
    await log.disk.byteSize(join(pathIn(log, QUARANTINE_NAME), `${name}.bin`));
    return true;
  } catch {
    return false;
  }
}

/** Whether a segment that the disk did not give back was moved here, and counted then. */
async function isInQuarantine(log: Log, prefix: string): Promise<boolean> {
  const names = await log.disk.list(pathIn(log, QUARANTINE_NAME)).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith(".wal.txt")) continue;
    if ((await findReason(log, name.slice(0, -".txt".length))) === "counted") return true;
  }
  return false;
}

/** Copies a range; false when there is room for its reason only. */
async function copyRange(
  log: Log,
  file: DiskFile,
  gap: GapStep,
  directory: string,
  name: string,
): Promise<boolean> {
  const use = await reserveFiles(log, directory, 2);
  const byte_size = gap.end - gap.start;
  if (use.byte_size + byte_size > QUARANTINE_MAX_BYTES) return false;
  use.byte_size += byte_size;
  await copyBytes(log, file, gap, join(directory, `${name}.bin`));
  return true;
}

async function reserveFiles(
  log: Log,
  directory: string,
  file_count: number,
): Promise<{ file_count: number; byte_size: number }> {
  const use = (log.quarantine_use ??= await measureQuarantine(log, directory));
  if (use.file_count + file_count > QUARANTINE_MAX_FILES) throw new Error("the quarantine is full");
  use.file_count += file_count;
  return use;
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

/** Written after the copy: a reason that is there proves that a copy beside it is whole. */
async function writeReason(
  log: Log,
  directory: string,
  name: string,
  segment: Pick<Segment, "name" | "first_sequence">,
  reason: string,
): Promise<void> {
  const found = new Date(Math.min(readClock(log), 8.64e15)).toISOString();
  const text =
    `segment: ${segment.name}\nfirst sequence: ${segment.first_sequence}\n` +
    `found: ${found}\ncounted after checkpoint: ${log.generation}\ndamage: ${reason}\n`;
  const file = await log.disk.open(join(directory, `${name}.txt`), "replace");
  try {
    await writeFully(file, [new TextEncoder().encode(text)], 0);
    await file.sync();
  } finally {
    await closeQuietly(file);
  }
  await log.disk.syncDirectory(directory);
}
