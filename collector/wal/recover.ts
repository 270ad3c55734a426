/**
 * Opens a log: lock, identity, checkpoint, the headers of all segments, every byte of the last
 * segment only. Older segments are examined when they are read, so a long backlog opens at once.
 *
 * Invariant: nothing is cut or removed that was not proved torn, copied or released; and what
 * this version cannot read stops the opening before anything is changed.
 */

import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { loadCheckpoint, loadWriterId, newerVersionError, storeWriterId } from "./checkpoint.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { nameFailure, readSmallFile } from "./disk.ts";
import type { Disk } from "./disk.ts";
import { advanceFront, frontAt, removeReleased } from "./front.ts";
import { acquireLock, releaseLock } from "./lock.ts";
import {
  SEQUENCE_BLOCK,
  closeOpenFile,
  countTornTail,
  createLog,
  cutTail,
  openScanner,
  pathIn,
  readClock,
  saveCheckpoint,
  startingSequence,
} from "./log.ts";
import type { Log, WalSync } from "./log.ts";
import { noteMissing, quarantineRange } from "./quarantine.ts";
import { FRAME_HEADER_BYTES } from "./record.ts";
import type { GapStep } from "./scan.ts";
import {
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  decodeSegmentHeader,
  describeSegment,
  parseSegmentName,
  parseUuid,
} from "./segment.ts";
import type { Segment, SegmentHeader, SegmentName } from "./segment.ts";

/** What opening a log needs; the fields are those of WalOptions. */
export interface OpenOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly segment_max_bytes: number;
  readonly max_bytes: number;
  readonly now_ms: () => number;
  readonly new_uuid: () => string;
  readonly observeSync?: (sync: WalSync) => void;
}

interface FoundSegment {
  readonly segment: Segment;
  readonly header: SegmentHeader | null;
}

/**
 * Opens the log of a directory. Throws PermanentError "wal_config", "wal_locked" or
 * "wal_version_newer", and RetryableError "wal_open_failed" when the disk fails.
 */
export async function openLog(options: OpenOptions): Promise<Log> {
  checkOptions(options);
  const { disk, directory } = options;
  try {
    await disk.makeDirectory(directory);
    const lock = await acquireLock(disk, directory, options.new_uuid());
    try {
      const log = createLog(options, lock);
      await recover(log);
      return log;
    } catch (error) {
      await releaseLock(disk, lock).catch(() => undefined);
      throw error;
    }
  } catch (error) {
    if (error instanceof PermanentError) throw error;
    const message = `the write-ahead log could not be opened: ${nameFailure(error)}`;
    throw new RetryableError("wal_open_failed", message, { cause: error });
  }
}

function checkOptions(options: OpenOptions): void {
  const smallest_bytes = SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 1;
  const { segment_max_bytes, max_bytes } = options;
  if (!(segment_max_bytes >= smallest_bytes && max_bytes >= segment_max_bytes)) {
    throw new PermanentError("wal_config", "max_bytes must be at least segment_max_bytes");
  }
  if (parseUuid(options.new_uuid()) === null) {
    throw new PermanentError("wal_config", "new_uuid must give UUIDs");
  }
}

async function recover(log: Log): Promise<void> {
  const names = await log.disk.list(log.directory);
  const found = await findSegments(log, names);
  const checkpoint = await identifyLog(log, found);
  for (const name of names) {
    if (name.endsWith(".tmp")) await log.disk.remove(pathIn(log, name));
  }
  log.segments = found.map(({ segment }) => segment);
  countOlderRecords(found);
  for (const sequence of listMissing(found, checkpoint)) await noteMissing(log, sequence);
  const last_sequence = await verifyLastSegment(log);
  setSequences(log, checkpoint, last_sequence);
  const first = log.segments[0];
  log.front = first === undefined ? null : frontAt(first, readClock(log));
  try {
    await advanceFront(log);
  } catch {
    // A segment that cannot be read stops reading, which reports it, and not the opening.
    await closeOpenFile(log);
  }
  try {
    await saveCheckpoint(log);
  } catch {
    // A full disk must not stop the reading that empties it: until a later attempt stores the
    // limit, no sequence is given out.
  }
  await removeReleased(log);
}

async function findSegments(log: Log, names: readonly string[]): Promise<FoundSegment[]> {
  const segment_names = names.map(parseSegmentName).filter((name) => name !== null);
  segment_names.sort((one, other) => one.first_sequence - other.first_sequence);
  const found: FoundSegment[] = [];
  for (const name of segment_names) found.push(await findSegment(log, name));
  return found;
}

async function findSegment(log: Log, name: SegmentName): Promise<FoundSegment> {
  const path = pathIn(log, name.name);
  const byte_size = await log.disk.byteSize(path);
  let header: SegmentHeader | null = null;
  try {
    const bytes = await readSmallFile(log.disk, path, SEGMENT_HEADER_BYTES);
    header = bytes === null ? null : decodeSegmentHeader(bytes);
  } catch {
    // The name is enough to go on; reading the records will meet the error again and report it.
  }
  if (header !== null && header.version > SEGMENT_VERSION) throw newerVersionError(name.name);
  return { segment: describeSegment(name, header, byte_size), header };
}

/** Finds or makes the log's id. Returns its checkpoint, null when there is none to believe. */
async function identifyLog(log: Log, found: readonly FoundSegment[]): Promise<Checkpoint | null> {
  const { disk, directory } = log;
  const checkpoint = await loadCheckpoint(disk, directory);
  const stored_hex = await loadWriterId(disk, directory);
  const newest = found.findLast(({ header }) => header !== null)?.header ?? null;
  log.writer_hex =
    stored_hex ?? newest?.writer_hex ?? checkpoint?.writer_hex ?? parseUuid(log.new_uuid()) ?? "";
  if (stored_hex === null) await storeWriterId(disk, directory, log.writer_hex);
  if (checkpoint?.writer_hex !== log.writer_hex) return null;
  log.counts_before = checkpoint.stored.counts;
  Object.assign(log.counts, log.counts_before);
  log.found_generation = log.generation = checkpoint.stored.generation;
  return checkpoint;
}

/** Each header counts the records before it, so the counts need no reading of records. */
function countOlderRecords(found: readonly FoundSegment[]): void {
  for (const [index, { segment, header }] of found.entries()) {
    const next = found[index + 1]?.header ?? null;
    if (header === null || next?.previous_first_sequence !== segment.first_sequence) continue;
    segment.record_count = Math.max(0, next.records_before - header.records_before);
  }
}

/** Segments are removed from the front only: any other predecessor that is not there was lost. */
function listMissing(found: readonly FoundSegment[], checkpoint: Checkpoint | null): number[] {
  const present = new Set(found.map(({ segment }) => segment.first_sequence));
  const front_sequence = checkpoint?.front_sequence ?? Number.POSITIVE_INFINITY;
  const missing: number[] = [];
  for (const [index, { header }] of found.entries()) {
    const previous = header?.previous_first_sequence ?? 0;
    if (previous === 0 || present.has(previous)) continue;
    if (index > 0 || previous >= front_sequence) missing.push(previous);
  }
  return missing;
}

function setSequences(log: Log, checkpoint: Checkpoint | null, last_sequence: number | null): void {
  const first = log.segments[0];
  const last = log.segments.at(-1);
  const highest = Math.max(last_sequence ?? 0, last?.first_sequence ?? 0);
  // Without a checkpoint, sequences above those on disk may have been given out.
  const limit = checkpoint?.sequence_limit ?? (highest > 0 ? highest + SEQUENCE_BLOCK : 0);
  log.next_sequence = Math.max(limit, highest + 1, startingSequence(log.now_ms()));
  const oldest = first === undefined ? log.next_sequence : first.first_sequence;
  log.stored_sequence = checkpoint?.released_sequence ?? 0;
  log.released_sequence = checkpoint?.released_sequence ?? oldest - 1;
  log.next_sequence = Math.max(log.next_sequence, log.released_sequence + 1);
  const newest = last_sequence ?? (last === undefined ? 0 : last.first_sequence - 1);
  log.synced_sequence = Math.max(newest, log.released_sequence);
  log.sequence_limit = log.next_sequence;
}

/** Reads all of the last segment and cuts its tail. Returns its last sequence, null if none. */
async function verifyLastSegment(log: Log): Promise<number | null> {
  const segment = log.segments.at(-1);
  if (segment === undefined) return null;
  if (segment.byte_size < SEGMENT_HEADER_BYTES) {
    countTornTail(log, segment, segment.byte_size);
    return null;
  }
  let last_sequence: number | null = null;
  let good_end = SEGMENT_HEADER_BYTES;
  let may_cut = true;
  try {
    const scanner = await openScanner(log, segment, SEGMENT_HEADER_BYTES);
    for (;;) {
      const step = await scanner.next();
      if (step.kind === "end") break;
      if (step.kind === "torn") countTornTail(log, segment, step.end - step.start);
      if (step.kind === "damaged") may_cut = (await setAside(log, segment, step)) && may_cut;
      if (step.kind !== "frame") continue;
      if (!(await scanner.verifyPayload(step))) {
        const gap = await scanner.passDamaged(step);
        may_cut = (await setAside(log, segment, gap)) && may_cut;
        continue;
      }
      may_cut = true;
      segment.record_count += 1;
      last_sequence = Math.max(last_sequence ?? 0, step.header.sequence);
      good_end = step.end;
    }
  } catch {
    // Reading reports it; here the segment stays as it is.
    return last_sequence;
  }
  if (may_cut && good_end < segment.byte_size) await cutTail(log, segment, good_end);
  return last_sequence;
}

async function setAside(log: Log, segment: Segment, gap: GapStep): Promise<boolean> {
  const file = log.open_file?.file;
  if (file === undefined) return false;
  const record_count = segment.record_count;
  const is_copied = await quarantineRange(log, segment, file, gap);
  // The count is of good records here, which damage does not lower.
  segment.record_count = record_count;
  return is_copied;
}
