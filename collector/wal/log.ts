/**
 * What the writer, the reader and the releasing of an open log share, and the few steps that more
 * than one of them takes.
 *
 * Invariant: `segments` is ascending by sequence and loses members only at its front or to
 * damage; whoever reads segment files or removes them does so inside `consumer`.
 */

import { join } from "node:path";
import { RetryableError } from "../../schemas/errors.ts";
import { storeCheckpoint } from "./checkpoint.ts";
import { createCounts } from "./counts.ts";
import type { Counts } from "./counts.ts";
import { nameFailure } from "./disk.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { holdsLock } from "./lock.ts";
import type { Lock } from "./lock.ts";
import { SCAN_WINDOW_BYTES, SegmentScanner } from "./scan.ts";
import type { GapStep } from "./scan.ts";
import type { Segment } from "./segment.ts";

/** Sequences set aside on disk at a time, so that giving one out needs no write. */
export const SEQUENCE_BLOCK = 2 ** 20;

/** Unix milliseconds of the year 2109: a clock beyond it does not move the sequence. */
const SEQUENCE_CLOCK_MAX_MS = 2 ** 42;

/** Runs one piece of work at a time, in the order of asking. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** The oldest unreleased record, or the damage before it. */
export interface Front {
  readonly segment: Segment;
  readonly offset: number;
  /** Records of that segment that are released. */
  readonly released_count: number;
  readonly written_ms: number;
}

/** One sync of a group of records. */
export interface WalSync {
  readonly records: number;
  /** Bytes of the records with their headers. */
  readonly bytes: number;
  /** Time of the sync alone, without the write before it. */
  readonly duration_ms: number;
  readonly is_durable: boolean;
}

/** An open log. Sizes in bytes, times in Unix milliseconds. */
export interface Log {
  readonly disk: Disk;
  readonly directory: string;
  readonly segment_max_bytes: number;
  readonly max_bytes: number;
  readonly now_ms: () => number;
  readonly new_uuid: () => string;
  readonly observeSync: (sync: WalSync) => void;
  readonly lock: Lock;
  readonly consumer: Mutex;
  readonly checkpoints: Mutex;
  /** Since the directory was made; stored with each checkpoint. */
  readonly counts: Counts;
  /** The counts that were found when the log was opened. */
  counts_before: Counts;
  /** Number of the checkpoint that had them. */
  found_generation: number;
  /** Number of the last checkpoint begun: the counts made from here on are in later ones. */
  generation: number;
  consecutive_sync_failures: number;
  /** Unix ms of the last append that a full or failing disk refused, 0 for never. */
  last_refused_ms: number;
  /** Scratch for walking segments; used inside `consumer` only. */
  readonly window: Uint8Array;
  writer_hex: string;
  segments: Segment[];
  /** The segment being written, once it holds an acknowledged record: then also the last. */
  active: Segment | null;
  front: Front | null;
  /** What the quarantine holds, once it was looked at. */
  quarantine_use: { file_count: number; byte_size: number } | null;
  open_file: { readonly segment: Segment; readonly file: DiskFile } | null;
  released_sequence: number;
  /** The released sequence that the checkpoint on disk says. */
  stored_sequence: number;
  synced_sequence: number;
  next_sequence: number;
  /** Sequences below it may be given out; a later start begins at it. */
  sequence_limit: number;
}

/** The settings of a log, and nothing in it yet. */
export function createLog(
  options: Pick<
    Log,
    "disk" | "directory" | "segment_max_bytes" | "max_bytes" | "now_ms" | "new_uuid"
  > &
    Partial<Pick<Log, "observeSync">>,
  lock: Lock,
): Log {
  return {
    disk: options.disk,
    directory: options.directory,
    segment_max_bytes: options.segment_max_bytes,
    max_bytes: options.max_bytes,
    now_ms: options.now_ms,
    new_uuid: options.new_uuid,
    observeSync: options.observeSync ?? (() => {}),
    lock,
    consumer: new Mutex(),
    checkpoints: new Mutex(),
    counts: createCounts(),
    counts_before: createCounts(),
    found_generation: 0,
    generation: 0,
    consecutive_sync_failures: 0,
    last_refused_ms: 0,
    window: new Uint8Array(SCAN_WINDOW_BYTES),
    writer_hex: "",
    segments: [],
    active: null,
    front: null,
    quarantine_use: null,
    open_file: null,
    released_sequence: 0,
    stored_sequence: 0,
    synced_sequence: 0,
    next_sequence: 0,
    sequence_limit: 0,
  };
}

/** Where a log begins that knows no sequence: ahead of any earlier log of the same place. */
export function startingSequence(now_ms: number): number {
  const clock = Number.isFinite(now_ms) ? Math.trunc(now_ms) : 0;
  return Math.min(Math.max(clock, 1), SEQUENCE_CLOCK_MAX_MS) * 1024;
}

/** The clock as a whole number that fits a record, whatever the clock says. */
export function readClock(log: Log): number {
  const now_ms = Math.trunc(log.now_ms());
  return Number.isSafeInteger(now_ms) && now_ms > 0 ? now_ms : 0;
}

/** Path of a file in the log's directory. */
export function pathIn(log: Log, name: string): string {
  return join(log.directory, name);
}

/** Bytes of all segment files. */
export function countSegmentBytes(log: Log): number {
  let byte_size = 0;
  for (const segment of log.segments) byte_size += segment.byte_size;
  return byte_size;
}

/** Records not released. After damage an estimate, until the damaged segment is gone. */
export function countPendingRecords(log: Log): number {
  if (log.front === null) return 0;
  const { segment, released_count } = log.front;
  let record_count = -Math.min(released_count, segment.record_count);
  for (const each of log.segments) {
    if (each.first_sequence >= segment.first_sequence) record_count += each.record_count;
  }
  return record_count;
}

/**
 * Throws RetryableError "wal_directory_lost" when the directory was removed or replaced, or
 * taken over by a process that could not see this one: what is written now would be lost.
 */
export async function assertOwned(log: Log): Promise<void> {
  if (await holdsLock(log.disk, log.lock)) return;
  throw new RetryableError(
    "wal_directory_lost",
    "the directory of the write-ahead log was removed, replaced or taken over: " +
      "put it back or restart",
  );
}

/**
 * Stores the checkpoint with what is released and a fresh block of sequences. Throws
 * RetryableError "wal_checkpoint_failed" or "wal_directory_lost".
 */
export function saveCheckpoint(log: Log): Promise<void> {
  return log.checkpoints.run(async () => {
    const { writer_hex, released_sequence } = log;
    const sequence_limit = log.next_sequence + SEQUENCE_BLOCK;
    try {
      await assertOwned(log);
      await storeCheckpoint(log.disk, log.directory, {
        writer_hex,
        released_sequence,
        sequence_limit,
        front_sequence: firstNeededSequence(log),
        stored: { generation: (log.generation += 1), counts: { ...log.counts } },
      });
    } catch (error) {
      if (error instanceof RetryableError) throw error;
      const message = `the checkpoint of the write-ahead log was not stored: ${nameFailure(error)}`;
      throw new RetryableError("wal_checkpoint_failed", message, { cause: error });
    }
    log.sequence_limit = sequence_limit;
    log.stored_sequence = released_sequence;
  });
}

/** With no front and none being written, every segment in the list may go. */
function firstNeededSequence(log: Log): number {
  const segment = log.front?.segment ?? log.active;
  if (segment !== null) return segment.first_sequence;
  return (log.segments.at(-1)?.first_sequence ?? log.synced_sequence) + 1;
}

/** Starts a walk of a segment; the file stays open for the next walk. Throws system errors. */
export async function openScanner(
  log: Log,
  segment: Segment,
  offset: number,
): Promise<SegmentScanner> {
  if (log.open_file?.segment !== segment) {
    await closeOpenFile(log);
    const file = await log.disk.open(pathIn(log, segment.name), "read");
    log.open_file = { segment, file };
  }
  return new SegmentScanner(log.open_file.file, segment, log.window, offset);
}

/** Closes the file that reading left open. */
export async function closeOpenFile(log: Log): Promise<void> {
  const open_file = log.open_file;
  log.open_file = null;
  await closeQuietly(open_file?.file ?? null);
}

/** Closes a file whose bytes are safe or given up: a failing close changes neither. */
export async function closeQuietly(file: DiskFile | null): Promise<void> {
  try {
    await file?.close();
  } catch {
    // Nothing was waiting for this file.
  }
}

/** Counts a torn tail, once for each segment. */
export function countTornTail(log: Log, segment: Segment, byte_size: number): void {
  if (segment.torn_counted) return;
  segment.torn_counted = true;
  log.counts.torn_tails += 1;
  log.counts.torn_bytes += byte_size;
}

/** Cuts what is beyond the good frames. What cannot be cut is hidden by `end`, and cut later. */
export async function cutTail(log: Log, segment: Segment, good_end: number): Promise<void> {
  segment.end = good_end;
  let file: DiskFile | null = null;
  try {
    file = await log.disk.open(pathIn(log, segment.name), "update");
    await file.truncate(good_end);
    segment.byte_size = good_end;
  } catch {
    // Nothing is written behind it, so the next start finds it as it is.
  } finally {
    await closeQuietly(file);
  }
}

/** A torn tail in a segment of an earlier start: counted, and cut so that it is counted once. */
export async function passTornTail(log: Log, segment: Segment, torn: GapStep): Promise<void> {
  countTornTail(log, segment, torn.end - torn.start);
  await cutTail(log, segment, torn.start);
}
