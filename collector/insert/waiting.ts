/**
 * Records that were read from the log and are not inserted yet, with what has to be known of them to
 * put batches together; and the batches themselves.
 *
 * Invariant: batches take records from the front, in order, so what is inserted first is what was
 * acknowledged first.
 */
import { messageOf, PermanentError } from "../../schemas/errors.ts";
import {
  type BucketMark,
  decodeRecord,
  type RecordTable,
  type TimeRange,
} from "../../schemas/record.ts";
import { daysOf, isInRange, MAX_INSERT_DAYS, splitDays } from "./slices.ts";

/** A record as the log gives it; `written_ms` is Unix milliseconds. */
export interface SourceRecord {
  readonly sequence: number;
  readonly written_ms: number;
  readonly payload: Uint8Array;
}

/** A record with its header read. */
export interface PendingRecord {
  readonly record: SourceRecord;
  readonly table: RecordTable;
  readonly rows: number;
  readonly buckets: readonly BucketMark[];
  readonly block: Uint8Array;
  /** Why it can never be inserted; null when it can be tried. */
  readonly problem: PermanentError | null;
  /** When it was read, by the clock of the loop, Unix ms. */
  readonly read_ms: number;
  /** It lies in the dead-letter folder; nothing of it is inserted any more. */
  is_set_aside: boolean;
}

/** Some records, and the days of them that one INSERT writes; null: all days. */
export interface Slice {
  readonly records: readonly PendingRecord[];
  readonly range: TimeRange | null;
  /** Comes after batches with higher sequences. */
  readonly is_late: boolean;
}

/** Records that are inserted together: their newest days first, older ones after other batches. */
export interface Batch {
  readonly slice: Slice;
  /** What comes later, newest first. */
  readonly late: readonly Slice[];
  readonly records: readonly PendingRecord[];
  readonly rows: number;
  readonly bytes: number;
}

/** Bounds of a batch. */
export interface BatchLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** Reads the header of a record; one that has none is set aside when it is tried. */
function readPending(record: SourceRecord, read_ms: number): PendingRecord {
  const shared = { record, read_ms, is_set_aside: false };
  try {
    const { header, block } = decodeRecord(record.payload);
    const { table, rows, buckets } = header;
    return { ...shared, table, rows, buckets, block, problem: null };
  } catch (error) {
    const problem =
      error instanceof PermanentError
        ? error
        : new PermanentError("bad_record", messageOf(error), { cause: error });
    return { ...shared, table: "spans", rows: 1, buckets: [], block: new Uint8Array(), problem };
  }
}

/** Records in the order of the log. */
export class WaitingRecords {
  rows = 0;
  bytes = 0;
  #records: PendingRecord[] = [];

  get first(): PendingRecord | undefined {
    return this.#records[0];
  }

  get count(): number {
    return this.#records.length;
  }

  add(record: SourceRecord, read_ms: number): void {
    const pending = readPending(record, read_ms);
    this.#records.push(pending);
    this.rows += pending.rows;
    this.bytes += record.payload.length;
  }

  /** The first records that fit the limits, one at least where there is one. They stay. */
  chooseBatch(limits: BatchLimits): Batch {
    const records: PendingRecord[] = [];
    let rows = 0;
    let bytes = 0;
    for (const pending of this.#records) {
      const size = pending.record.payload.length;
      const is_full = rows + pending.rows > limits.rows || bytes + size > limits.bytes;
      if (is_full && records.length > 0) break;
      records.push(pending);
      rows += pending.rows;
      bytes += size;
    }
    return { ...sliceByDays(records), records, rows, bytes };
  }

  /** Takes the records of a batch away from the front. */
  drop(batch: Batch): void {
    this.#records.splice(0, batch.records.length);
    this.rows -= batch.rows;
    this.bytes -= batch.bytes;
  }
}

/** The records by ranges of days that one INSERT may touch, the newest first. */
function sliceByDays(records: readonly PendingRecord[]): Pick<Batch, "slice" | "late"> {
  const days = new Set<number>();
  for (const { buckets } of records) for (const day of daysOf(buckets)) days.add(day);
  const [newest = null, ...older] = splitDays(days, MAX_INSERT_DAYS);
  return {
    slice: { records, range: newest, is_late: false },
    late: older.map((range) => ({
      records: records.filter((record) => record.table === "spans" && isTouching(record, range)),
      range,
      is_late: true,
    })),
  };
}

/** Whether the record has rows in the range; one whose header does not say is taken to have. */
export function isTouching({ buckets }: PendingRecord, range: TimeRange | null): boolean {
  return buckets.length === 0 || buckets.some(([, start_s]) => isInRange(range, start_s));
}
