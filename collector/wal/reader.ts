/**
 * Gives the consumer its records, in order and in bounded pieces, and steps over damage: copied
 * to quarantine and counted the first time, passed silently after that.
 *
 * Invariant: only frames below a segment's `end` are looked at, so nothing whose append failed
 * in this process life is returned. All of it runs inside `consumer`.
 */

import { RetryableError } from "../../schemas/errors.ts";
import { nameFailure, systemCodeOf } from "./disk.ts";
import { advanceFront, removeReleased, segmentAfter } from "./front.ts";
import { closeOpenFile, openScanner, passTornTail, saveCheckpoint } from "./log.ts";
import type { Log } from "./log.ts";
import { noteMissing, quarantineRange, quarantineSegment } from "./quarantine.ts";
import type { FrameStep, GapStep, SegmentScanner } from "./scan.ts";
import { FRAME_HEADER_BYTES } from "./record.ts";
import { SEGMENT_HEADER_BYTES } from "./segment.ts";
import type { Segment } from "./segment.ts";

/** Failing reads of one segment after which it is moved to quarantine. */
export const READ_ATTEMPTS_MAX = 3;

/** System errors that mean the medium, and not this process, is at fault. */
const MEDIUM_ERRORS = new Set(["EIO", "EBADMSG", "EUCLEAN", "ENODATA"]);

/** A record as the consumer gets it. */
export interface WalRecord {
  readonly sequence: number;
  /** Unix milliseconds of the append. */
  readonly written_ms: number;
  /** Opaque bytes, not shared with anything. */
  readonly payload: Uint8Array;
}

interface Place {
  readonly segment: Segment;
  readonly offset: number;
}

/** One read in progress. Bytes include the frame headers. */
interface Batch {
  readonly records: WalRecord[];
  readonly max_bytes: number;
  /** Highest sequence that is not wanted, or is already in the batch. */
  last_sequence: number;
  byte_size: number;
  is_full: boolean;
  found_damage: boolean;
}

/** Reads an open log; remembers where the last read ended. */
export class Reader {
  readonly #log: Log;
  #cursor: (Place & { readonly after_sequence: number }) | null = null;
  #failing: { readonly segment: Segment; attempts: number } | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Reads unreleased records above `after_sequence`: at least one if there is one, then as many
   * as fit `max_bytes`. Throws RetryableError "wal_read_failed".
   */
  async read(after_sequence: number, max_bytes: number): Promise<WalRecord[]> {
    const log = this.#log;
    const batch: Batch = {
      records: [],
      max_bytes,
      last_sequence: Math.max(after_sequence, log.released_sequence),
      byte_size: 0,
      is_full: false,
      found_damage: false,
    };
    let place = this.#findPlace(after_sequence);
    while (place !== null) {
      const { segment } = place;
      const end = segment.end;
      const offset = await this.#readSegment(place, batch);
      if (offset !== null) {
        const last = batch.records.at(-1)?.sequence ?? after_sequence;
        this.#cursor = { after_sequence: last, segment, offset };
      }
      if (batch.is_full) break;
      // What was acknowledged in this segment meanwhile comes before the next segment.
      if (offset !== null && segment.end > end) place = { segment, offset };
      else place = startOf(segmentAfter(log, segment));
    }
    if (batch.found_damage) await this.#tidy();
    return batch.records;
  }

  #findPlace(after_sequence: number): Place | null {
    const { front, segments } = this.#log;
    if (front === null) return null;
    const cursor = this.#cursor;
    if (cursor?.after_sequence === after_sequence && segments.includes(cursor.segment)) {
      if (cursor.segment !== front.segment || cursor.offset >= front.offset) return cursor;
    }
    const holder = segments.findLast((segment) => segment.first_sequence <= after_sequence);
    if (holder === undefined || holder.first_sequence <= front.segment.first_sequence) return front;
    return startOf(holder);
  }

  /** Adds what fits; returns the offset to go on from, or null when the segment is gone. */
  async #readSegment(place: Place, batch: Batch): Promise<number | null> {
    const { segment } = place;
    try {
      const scanner = await openScanner(this.#log, segment, place.offset);
      await this.#readFrames(scanner, segment, batch);
      if (this.#failing?.segment === segment) this.#failing = null;
      return scanner.position;
    } catch (error) {
      await this.#handleReadError(segment, batch, error);
      return null;
    }
  }

  async #readFrames(scanner: SegmentScanner, segment: Segment, batch: Batch): Promise<void> {
    for (;;) {
      const step = await scanner.next();
      if (step.kind === "end") return;
      if (step.kind === "torn") await passTornTail(this.#log, segment, step);
      if (step.kind === "damaged") await this.#examine(segment, step, batch);
      if (step.kind !== "frame") continue;
      if (step.header.sequence <= batch.last_sequence) {
        scanner.skip(step);
        continue;
      }
      if (!(await this.#takeFrame(scanner, segment, step, batch))) return;
    }
  }

  /** False when the batch is full; the frame then is not passed. */
  async #takeFrame(
    scanner: SegmentScanner,
    segment: Segment,
    frame: FrameStep,
    batch: Batch,
  ): Promise<boolean> {
    const byte_size = batch.byte_size + FRAME_HEADER_BYTES + frame.header.payload_bytes;
    if (byte_size > batch.max_bytes && batch.records.length > 0) {
      batch.is_full = true;
      return false;
    }
    const payload = await scanner.readPayload(frame);
    if (payload === null) {
      await this.#examine(segment, await scanner.passDamaged(frame), batch);
      return true;
    }
    const { sequence, written_ms } = frame.header;
    batch.records.push({ sequence, written_ms, payload });
    batch.byte_size = byte_size;
    batch.last_sequence = sequence;
    return true;
  }

  async #examine(segment: Segment, gap: GapStep, batch: Batch): Promise<void> {
    const file = this.#log.open_file?.file;
    if (file === undefined) return;
    batch.found_damage = true;
    await quarantineRange(this.#log, segment, file, gap);
  }

  /**
   * A missing file is counted and left out. A segment that the medium does not give back is tried
   * a few times, then moved to quarantine. What was read so far is returned first.
   */
  async #handleReadError(segment: Segment, batch: Batch, error: unknown): Promise<void> {
    const log = this.#log;
    await closeOpenFile(log);
    if (systemCodeOf(error) === "ENOENT" && segment !== log.active) {
      log.segments = log.segments.filter((other) => other !== segment);
      await noteMissing(log, segment.first_sequence);
      batch.found_damage = true;
      return;
    }
    batch.is_full = true;
    if (batch.records.length > 0) return;
    if (this.#failing?.segment !== segment) this.#failing = { segment, attempts: 0 };
    const is_medium = MEDIUM_ERRORS.has(systemCodeOf(error));
    if (is_medium) this.#failing.attempts += 1;
    segment.must_seal ||= is_medium;
    if (this.#failing.attempts >= READ_ATTEMPTS_MAX && segment !== log.active) {
      await this.#giveUp(segment, batch, error);
      return;
    }
    throw readError(error);
  }

  async #giveUp(segment: Segment, batch: Batch, error: unknown): Promise<void> {
    try {
      await quarantineSegment(this.#log, segment, `${nameFailure(error)} while reading`);
    } catch (moving) {
      throw readError(moving);
    }
    this.#failing = null;
    batch.is_full = false;
    batch.found_damage = true;
  }

  /** Damage with nothing behind it must not look like a record that waits for ever. */
  async #tidy(): Promise<void> {
    try {
      await advanceFront(this.#log);
      await saveCheckpoint(this.#log);
      await removeReleased(this.#log);
    } catch {
      // The next read or release meets the same error and reports it.
    }
  }
}

function startOf(segment: Segment | null): Place | null {
  return segment === null ? null : { segment, offset: SEGMENT_HEADER_BYTES };
}

function readError(error: unknown): RetryableError {
  const message = `the write-ahead log could not be read (${nameFailure(error)}): try again`;
  return new RetryableError("wal_read_failed", message, { cause: error });
}
