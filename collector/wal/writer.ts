/**
 * Appends records in groups: one write and one fdatasync for all appends that arrived while the
 * group before was being synced.
 *
 * Invariant: an append is resolved only after its bytes, and the name of a new segment, are
 * durable. A segment whose sync failed once is never written or synced again, because the kernel
 * then marks the lost pages as clean; a failed write is cut off before anything else is written.
 */

import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { nameFailure, systemCodeOf, writeFully } from "./disk.ts";
import type { DiskFile } from "./disk.ts";
import { frontAt, removeReleased } from "./front.ts";
import { assertOwned, closeQuietly, countSegmentBytes, pathIn, readClock } from "./log.ts";
import type { Log } from "./log.ts";
import { FRAME_HEADER_BYTES, RECORD_MAX_BYTES, countBytes, encodeFrameHeader } from "./record.ts";
import {
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  describeSegment,
  encodeSegmentHeader,
  markerFrom,
  nameSegment,
  parseUuid,
} from "./segment.ts";
import type { Segment } from "./segment.ts";

/** Most payload and header bytes waiting for a sync; beyond them appends are refused. */
export const QUEUE_MAX_BYTES = 2 * RECORD_MAX_BYTES;

/** Most bytes written before one sync, unless a single record is larger. */
export const GROUP_MAX_BYTES = 32 * 1024 * 1024;

/** Most records written before one sync. */
export const GROUP_MAX_RECORDS = 4096;

/** Refusals for want of room, which are counted. */
const FULL_CODES: ReadonlySet<string> = new Set(["wal_full", "disk_full"]);

interface PendingAppend {
  readonly sequence: number;
  readonly written_ms: number;
  readonly payload: readonly Uint8Array[];
  /** Bytes of its frame. */
  readonly byte_size: number;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** The segment being written. `header` is set until it was written. */
interface OpenSegment {
  readonly segment: Segment;
  readonly file: DiskFile;
  readonly header: Uint8Array | null;
}

/** Writes an open log. */
export class Writer {
  readonly #log: Log;
  #queue: PendingAppend[] = [];
  #queue_bytes = 0;
  #open: OpenSegment | null = null;
  #running: Promise<void> | null = null;
  #is_writing = false;
  /** Everything on disk is released and its room was promised to the queue. */
  #must_recycle = false;
  #last_sequence = 0;
  #is_closed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Frame bytes waiting for a sync. */
  get queue_bytes(): number {
    return this.#queue_bytes;
  }

  /** See Wal.append. */
  async append(sequence: number, payload: readonly Uint8Array[]): Promise<void> {
    const byte_size = FRAME_HEADER_BYTES + countBytes(payload);
    this.#admit(sequence, byte_size);
    this.#last_sequence = sequence;
    this.#queue_bytes += byte_size;
    const written_ms = readClock(this.#log);
    const settled = new Promise<void>((resolve, reject) => {
      this.#queue.push({ sequence, written_ms, payload, byte_size, resolve, reject });
    });
    this.#running ??= this.#run();
    await settled;
  }

  /** Removes the segment being written to when all is released and nothing waits; else does nothing. */
  async retire(): Promise<void> {
    if (this.#running !== null || this.#is_closed) return;
    if (this.#open === null || this.#log.front !== null) return;
    this.#must_recycle = true;
    this.#running = this.#run();
    await this.#running;
  }

  /** Refuses further appends, and returns when those made are settled and the file is closed. */
  async close(): Promise<void> {
    this.#is_closed = true;
    await this.#running;
    await this.#seal();
  }

  #admit(sequence: number, byte_size: number): void {
    const log = this.#log;
    if (this.#is_closed) {
      throw new RetryableError("wal_closed", "the write-ahead log is closing: send again later");
    }
    if (!Number.isSafeInteger(sequence) || sequence < 1 || sequence >= log.next_sequence) {
      throw new PermanentError("wal_sequence_unknown", "append a sequence from reserveSequence");
    }
    if (sequence <= Math.max(this.#last_sequence, log.synced_sequence)) {
      // Consumers read by sequence: a lower one behind a higher one would never be read.
      throw new RetryableError("wal_sequence_passed", "a later sequence came first: reserve anew");
    }
    const alone_bytes = byte_size + SEGMENT_HEADER_BYTES;
    if (byte_size > RECORD_MAX_BYTES + FRAME_HEADER_BYTES || alone_bytes > log.max_bytes) {
      throw new PermanentError(
        "record_too_large",
        "the record can never fit: send smaller batches",
      );
    }
    if (this.#queue_bytes > 0 && this.#queue_bytes + byte_size > QUEUE_MAX_BYTES) {
      throw new RetryableError("wal_busy", "too much is waiting for the disk: send again later");
    }
    if (!this.#hasRoom(byte_size)) {
      this.#countRefused(1, byte_size);
      throw fullError();
    }
  }

  /** Each record is counted as if it began a segment, so that what is admitted always fits. */
  #hasRoom(byte_size: number): boolean {
    const log = this.#log;
    const header_count = this.#queue.length + 1 + (this.#is_writing ? 1 : 0);
    const needed = this.#queue_bytes + byte_size + header_count * SEGMENT_HEADER_BYTES;
    const used = countSegmentBytes(log);
    if (used + needed <= log.max_bytes) return true;
    const may_recycle = this.#must_recycle || (log.front === null && !this.#is_writing);
    if (!may_recycle || needed > log.max_bytes) return false;
    this.#must_recycle = true;
    return true;
  }

  async #run(): Promise<void> {
    // Appends made in the same turn share the first sync too.
    await Promise.resolve();
    while (this.#queue.length > 0 || this.#must_recycle) {
      if (this.#must_recycle) await this.#recycle();
      if (this.#queue.length === 0) break;
      this.#is_writing = true;
      const group = await this.#takeGroup();
      const failure = await this.#writeGroup(group);
      this.#is_writing = false;
      for (const entry of group) {
        this.#queue_bytes -= entry.byte_size;
        if (failure === null) entry.resolve();
        else entry.reject(failure);
      }
    }
    this.#running = null;
  }

  /** Takes the next appends that fit the segment being written, or a new one. */
  async #takeGroup(): Promise<PendingAppend[]> {
    const log = this.#log;
    const first_bytes = this.#queue[0]?.byte_size ?? 0;
    const open = this.#open?.segment;
    const is_full = open !== undefined && open.end + first_bytes > log.segment_max_bytes;
    if (is_full || open?.must_seal === true) await this.#seal();
    const start = this.#open?.segment.end ?? SEGMENT_HEADER_BYTES;
    const room = Math.min(log.segment_max_bytes - start, GROUP_MAX_BYTES);
    let group_bytes = 0;
    let count = 0;
    for (const entry of this.#queue) {
      group_bytes += entry.byte_size;
      if (count > 0 && (group_bytes > room || count >= GROUP_MAX_RECORDS)) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** Null when the group is durable, else the error for each append in it. Never throws. */
  async #writeGroup(group: readonly PendingAppend[]): Promise<Error | null> {
    try {
      let byte_size = 0;
      for (const entry of group) byte_size += entry.byte_size;
      const header_bytes = this.#open === null ? SEGMENT_HEADER_BYTES : 0;
      // Only a released segment that could not be removed makes this so.
      const used = countSegmentBytes(this.#log);
      if (used + header_bytes + byte_size > this.#log.max_bytes) throw fullError();
      const open = this.#open ?? (await this.#createSegment(group[0]?.sequence ?? 0));
      this.#open = open;
      const chunks: Uint8Array[] = open.header === null ? [] : [open.header];
      for (const entry of group) {
        const { prefix } = open.segment;
        chunks.push(encodeFrameHeader(prefix, entry.sequence, entry.written_ms, entry.payload));
        chunks.push(...entry.payload);
      }
      await this.#writeChunks(open, chunks, byte_size);
      await this.#syncSegment(open, byte_size, group.length);
      this.#acknowledge(open, group, byte_size);
      return null;
    } catch (error) {
      const failure = error instanceof RetryableError ? error : writeError(error);
      let byte_size = 0;
      for (const entry of group) byte_size += entry.byte_size;
      this.#countRefused(FULL_CODES.has(failure.code) ? group.length : 0, byte_size);
      return failure;
    }
  }

  /** Remembers that appends failed, and counts those that there was no room for. */
  #countRefused(record_count: number, byte_size: number): void {
    const { counts } = this.#log;
    this.#log.last_refused_ms = readClock(this.#log);
    counts.refused_records += record_count;
    if (record_count > 0) counts.refused_bytes += byte_size;
  }

  async #createSegment(first_sequence: number): Promise<OpenSegment> {
    const log = this.#log;
    await assertOwned(log);
    const previous = log.segments.at(-1);
    const header = {
      version: SEGMENT_VERSION,
      writer_hex: log.writer_hex,
      marker: markerFrom(parseUuid(log.new_uuid()) ?? ""),
      first_sequence,
      records_before: previous === undefined ? 0 : previous.records_before + previous.record_count,
      previous_first_sequence: previous?.first_sequence ?? 0,
    };
    const name = nameSegment(first_sequence, header.marker);
    const file = await log.disk.open(pathIn(log, name), "create");
    const segment = describeSegment({ ...header, name }, header, SEGMENT_HEADER_BYTES);
    return { segment, file, header: encodeSegmentHeader(header) };
  }

  /** Writes at the end of what is acknowledged, and cuts the file back there on failure. */
  async #writeChunks(open: OpenSegment, chunks: Uint8Array[], byte_size: number): Promise<void> {
    const { segment, file } = open;
    try {
      await writeFully(file, chunks, open.header === null ? segment.end : 0);
    } catch (error) {
      if (open.header !== null) await this.#discard(open, byte_size);
      else await this.#cutBack(open, byte_size);
      throw error;
    }
  }

  async #cutBack(open: OpenSegment, byte_size: number): Promise<void> {
    try {
      await open.file.truncate(open.segment.end);
    } catch {
      // The partial frame stays as a torn tail, which no later frame may follow.
      open.segment.byte_size = open.segment.end + byte_size;
      await this.#seal();
    }
  }

  async #syncSegment(open: OpenSegment, byte_size: number, records: number): Promise<void> {
    const log = this.#log;
    const { file, segment } = open;
    const started_ms = performance.now();
    const [synced, linked] = await Promise.allSettled([file.sync(), file.isLinked()]);
    const duration_ms = performance.now() - started_ms;
    const is_durable = synced.status === "fulfilled";
    log.observeSync({ records, bytes: byte_size, duration_ms, is_durable });
    try {
      if (synced.status === "rejected") throw synced.reason;
      if (open.header !== null) await log.disk.syncDirectory(log.directory);
    } catch (error) {
      log.consecutive_sync_failures += 1;
      await this.#giveUp(open, byte_size);
      const message = `the disk did not make the write-ahead log durable: ${nameFailure(error)}`;
      throw new RetryableError("wal_sync_failed", message, { cause: error });
    }
    log.consecutive_sync_failures = 0;
    if (linked.status === "fulfilled" && linked.value) return;
    await this.#giveUp(open, byte_size);
    throw new RetryableError(
      "wal_directory_lost",
      `${segment.name} was removed from under the write-ahead log: put it back or restart`,
    );
  }

  /** Never writes to a segment again; what was acknowledged in it stays readable. */
  async #giveUp(open: OpenSegment, byte_size: number): Promise<void> {
    if (open.header !== null) {
      await this.#discard(open, byte_size);
      return;
    }
    open.segment.byte_size = open.segment.end + byte_size;
    await this.#seal();
  }

  /** Removes a new segment in which nothing was acknowledged. */
  async #discard(open: OpenSegment, byte_size: number): Promise<void> {
    const log = this.#log;
    await this.#seal();
    try {
      await log.disk.remove(pathIn(log, open.segment.name));
    } catch {
      // It cannot go: it counts against the budget until it is removed with its neighbours.
      open.segment.byte_size = SEGMENT_HEADER_BYTES + byte_size;
      log.segments.push(open.segment);
    }
  }

  #acknowledge(open: OpenSegment, group: readonly PendingAppend[], byte_size: number): void {
    const log = this.#log;
    const { segment, file } = open;
    const start = segment.end;
    if (open.header !== null) {
      this.#open = { segment, file, header: null };
      log.segments.push(segment);
      log.active = segment;
    }
    log.synced_sequence = group.at(-1)?.sequence ?? log.synced_sequence;
    log.front ??= {
      ...frontAt(segment, group[0]?.written_ms ?? 0),
      offset: start,
      released_count: segment.record_count,
    };
    segment.end = start + byte_size;
    segment.byte_size = segment.end;
    segment.record_count += group.length;
  }

  async #seal(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    this.#log.active = null;
    await closeQuietly(open?.file ?? null);
  }

  /** Frees the room of all segments when all are released, the one being written too. */
  async #recycle(): Promise<void> {
    this.#must_recycle = false;
    await this.#log.consumer.run(async () => {
      if (this.#log.front !== null) return;
      await this.#seal();
      await removeReleased(this.#log);
    });
  }
}

function fullError(): RetryableError {
  return new RetryableError(
    "wal_full",
    "the write-ahead log has reached its disk budget: ClickHouse is away or slower than what comes in; send this again",
  );
}

function writeError(error: unknown): RetryableError {
  const system_code = systemCodeOf(error);
  const is_full = system_code === "ENOSPC" || system_code === "EDQUOT";
  const code = is_full ? "disk_full" : "wal_write_failed";
  const advice = is_full ? "free some space" : "check the disk";
  const message = `writing the write-ahead log failed, ${advice}: ${nameFailure(error)}`;
  return new RetryableError(code, message, { cause: error });
}
