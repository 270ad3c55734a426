/**
 * The write-ahead log: opaque records, durable before they are acknowledged, read in order by one
 * consumer, removed when it has them. README.md beside this file has constraints, layout and
 * recovery.
 *
 * Invariant: an append that resolved is returned by `read` until `release` passes it, whatever
 * happens to the process or the power in between, unless the disk itself damages it: then it is
 * counted and copied to quarantine.
 */

import { RetryableError } from "../../schemas/errors.ts";
import type { Disk } from "./disk.ts";
import { advanceFront, removeReleased } from "./front.ts";
import { releaseLock } from "./lock.ts";
import {
  SEQUENCE_BLOCK,
  closeOpenFile,
  countPendingRecords,
  countSegmentBytes,
  readClock,
  saveCheckpoint,
} from "./log.ts";
import type { Counts } from "./counts.ts";
import type { Log, WalSync } from "./log.ts";
import { Reader } from "./reader.ts";
import type { WalRecord } from "./reader.ts";
import { openLog } from "./recover.ts";
import { formatUuid } from "./segment.ts";
import { Writer } from "./writer.ts";

export type { WalRecord } from "./reader.ts";
export type { WalSync } from "./log.ts";
export type { Disk, DiskFile } from "./disk.ts";
export { nodeDisk } from "./disk.ts";
export { RECORD_MAX_BYTES } from "./record.ts";

/** Default size of a segment file, in bytes; a larger record gets a segment of its own. */
export const SEGMENT_MAX_BYTES = 64 * 1024 * 1024;

/** Default disk budget of all segments, in bytes; the quarantine comes on top. */
export const WAL_MAX_BYTES = 10 * 1024 * 1024 * 1024;

/** How to open a log. Sizes in bytes; `now_ms` is Unix milliseconds; `new_uuid` random UUIDs. */
export interface WalOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly segment_max_bytes: number;
  readonly max_bytes: number;
  readonly now_ms: () => number;
  readonly new_uuid: () => string;
  /** Told of each sync of a group, for metrics; must not throw. */
  readonly observeSync?: (sync: WalSync) => void;
}

/**
 * State and counts of a log. The counts are since the directory was made: they are stored with each
 * checkpoint, so a kill may lose refusals of the last moments, and no damage.
 */
export interface WalStats extends Readonly<Counts> {
  /** Syncs that failed in a row. */
  readonly consecutive_sync_failures: number;
  /** Unix ms of the last append that a full or failing disk refused, 0 for none since the start. */
  readonly last_refused_ms: number;
  /** All segment files together, the budget's use. */
  readonly bytes: number;
  readonly segments: number;
  /** Unreleased records; an estimate while damage has not been read past. */
  readonly records_pending: number;
  /** Age of the oldest unreleased record, 0 when there is none. */
  readonly oldest_pending_ms: number;
  /** Bytes of appends that wait for a sync. */
  readonly queued_bytes: number;
  readonly synced_sequence: number;
  readonly released_sequence: number;
}

/** An open log. After `close` everything but `stats` throws RetryableError "wal_closed". */
export interface Wal {
  /** UUID of this log, made once; a wiped directory gets a new one. */
  readonly writer_id: string;
  /** The counts of earlier starts: what `stats` has more was found or refused since. */
  readonly counts_before: Readonly<Counts>;
  /**
   * Gives out the next sequence: strictly increasing over the life of the directory, never twice,
   * also after failures and restarts. It begins near `now_ms * 1024`, which is only a start that a
   * wiped log does not fall behind, never a time or an order between logs. Throws RetryableError
   * "wal_checkpoint_failed" while the disk does not store how far sequences are given out.
   */
  reserveSequence(): number;
  /**
   * Resolves when the record is durable. Sequences must come in ascending order; the chunks must
   * not be changed until it settles. Rejects with RetryableError "disk_full", "wal_full",
   * "wal_busy", "wal_sync_failed", "wal_write_failed", "wal_directory_lost",
   * "wal_sequence_passed", "wal_closed", or PermanentError "record_too_large",
   * "wal_sequence_unknown". A rejected record is never read in this process life, but may be
   * after a restart; to try again, reserve a new sequence.
   */
  append(sequence: number, payload: readonly Uint8Array[]): Promise<void>;
  /**
   * Durable, unreleased records above `after_sequence`, ascending: as many as fit `max_bytes`
   * with their headers, and at least one if there is one. Rejects with RetryableError
   * "wal_read_failed".
   */
  read(after_sequence: number, max_bytes: number): Promise<WalRecord[]>;
  /**
   * Says that the consumer has every record up to `through_sequence` durably. Resolves when that
   * is on disk. Rejects with RetryableError "wal_checkpoint_failed" or "wal_directory_lost": the
   * records then are not read again in this process life, but may be after a restart.
   */
  release(through_sequence: number): Promise<void>;
  /**
   * Counts records that the consumer put elsewhere because they will never be taken. Say it before
   * the release that passes them: both are stored at once, so a record is counted once.
   */
  countSetAside(record_count: number): void;
  /**
   * Removes what is released and would else stay until its segment is full. Does nothing while there is
   * an unreleased record or an append.
   */
  retire(): Promise<void>;
  stats(): WalStats;
  /** Settles what was appended, closes the files, gives the lock back. */
  close(): Promise<void>;
}

/**
 * Opens the log of a directory, making it if needed. Throws PermanentError "wal_config",
 * "wal_locked" or "wal_version_newer", RetryableError "wal_open_failed".
 */
export async function openWal(options: WalOptions): Promise<Wal> {
  return new OpenWal(await openLog(options));
}

class OpenWal implements Wal {
  readonly writer_id: string;
  readonly counts_before: Readonly<Counts>;
  readonly #log: Log;
  readonly #writer: Writer;
  readonly #reader: Reader;
  #extending: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(log: Log) {
    this.writer_id = formatUuid(log.writer_hex);
    this.counts_before = log.counts_before;
    this.#log = log;
    this.#writer = new Writer(log);
    this.#reader = new Reader(log);
  }

  reserveSequence(): number {
    const log = this.#log;
    if (this.#closing !== null) throw closedError();
    if (log.sequence_limit - log.next_sequence < SEQUENCE_BLOCK / 2) this.#extendLimit();
    if (log.next_sequence >= log.sequence_limit) {
      throw new RetryableError(
        "wal_checkpoint_failed",
        "the disk does not store how far sequences are given out: free some space, send again",
      );
    }
    return log.next_sequence++;
  }

  append(sequence: number, payload: readonly Uint8Array[]): Promise<void> {
    return this.#writer.append(sequence, payload);
  }

  read(after_sequence: number, max_bytes: number): Promise<WalRecord[]> {
    return this.#log.consumer.run(async () => {
      if (this.#closing !== null) throw closedError();
      return this.#reader.read(after_sequence, max_bytes);
    });
  }

  release(through_sequence: number): Promise<void> {
    return this.#log.consumer.run(async () => {
      if (this.#closing !== null) throw closedError();
      await releaseThrough(this.#log, through_sequence);
    });
  }

  countSetAside(record_count: number): void {
    this.#log.counts.set_aside_records += record_count;
  }

  async retire(): Promise<void> {
    if (this.#closing === null) await this.#writer.retire();
  }

  stats(): WalStats {
    const log = this.#log;
    const written_ms = log.front?.written_ms ?? null;
    return {
      ...log.counts,
      consecutive_sync_failures: log.consecutive_sync_failures,
      last_refused_ms: log.last_refused_ms,
      bytes: countSegmentBytes(log),
      segments: log.segments.length,
      records_pending: countPendingRecords(log),
      oldest_pending_ms: written_ms === null ? 0 : Math.max(0, readClock(log) - written_ms),
      queued_bytes: this.#writer.queue_bytes,
      synced_sequence: log.synced_sequence,
      released_sequence: log.released_sequence,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const log = this.#log;
    await this.#writer.close();
    await this.#extending;
    await log.consumer.run(() => closeOpenFile(log));
    // The counts since the last checkpoint; it is as true as it was when the disk refuses.
    await saveCheckpoint(log).catch(() => undefined);
    try {
      await releaseLock(log.disk, log.lock);
    } catch {
      // The lock of a process that has ended is taken over.
    }
  }

  /** One attempt at a time; the next sequence that is asked for makes the next attempt. */
  #extendLimit(): void {
    if (this.#extending !== null) return;
    this.#extending = saveCheckpoint(this.#log)
      .catch(() => undefined)
      .then(() => {
        this.#extending = null;
      });
  }
}

async function releaseThrough(log: Log, through_sequence: number): Promise<void> {
  const target = Math.min(through_sequence, log.synced_sequence);
  if (!(target > log.stored_sequence)) return;
  log.released_sequence = Math.max(log.released_sequence, target);
  try {
    await advanceFront(log);
  } catch {
    // The front is behind then, which keeps segments longer; reading reports the error.
    await closeOpenFile(log);
  }
  let failure: unknown = null;
  await saveCheckpoint(log).catch((error: unknown) => (failure = error));
  // The consumer has the records, so removing them is right even if the checkpoint is behind:
  // on a full disk it makes the room that the checkpoint needs.
  const removed_count = await removeReleased(log);
  if (failure !== null && removed_count === 0) throw failure;
  if (failure !== null) await saveCheckpoint(log);
}

function closedError(): RetryableError {
  return new RetryableError("wal_closed", "the write-ahead log is closed");
}
