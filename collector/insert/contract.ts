/**
 * What the insert loop asks of what is around it: the log it reads, the engine it writes to, its
 * bounds, and what it tells.
 *
 * Invariant: every step of a target may be done twice.
 */
import type { BucketMark, RecordTable, TimeRange } from "../../schemas/record.ts";
import type { Failure } from "./failures.ts";
import type { SourceRecord } from "./waiting.ts";

/** The WAL, as this stage sees it. */
export interface RecordSource {
  read(after_sequence: number, max_bytes: number): Promise<SourceRecord[]>;
  release(through_sequence: number): Promise<void>;
}

/** Where batches go. */
export interface BatchTarget {
  /** Inserts blocks durably; with a range, only their rows of that time. */
  insertBlocks(
    table: RecordTable,
    blocks: readonly Uint8Array[],
    range: TimeRange | null,
  ): Promise<void>;
  /**
   * Decides anew which calls count where the spans of these sequences bear on it. Resolves with the
   * buckets of other spans that changed by it.
   */
  resolveCalls(batch: InsertedBatch): Promise<readonly BucketMark[]>;
  /**
   * Marks buckets as changed by what was inserted up to the sequence; "late": by what was inserted
   * after higher sequences, so that the mark must be above every earlier one.
   */
  markBuckets(buckets: readonly BucketMark[], sequence: number | "late"): Promise<void>;
}

/** What was inserted: all records from one sequence to another, and the buckets of their spans. */
export interface InsertedBatch {
  readonly first_sequence: number;
  readonly last_sequence: number;
  readonly buckets: readonly BucketMark[];
}

export interface InsertOptions {
  readonly max_rows: number;
  /** Rows of a batch while there is a backlog; as `max_rows` when it is not given. */
  readonly max_backlog_rows?: number;
  /** How old the first row of a batch may be when it is in; an INSERT that takes long begins sooner. */
  readonly max_age_ms: number;
  /** Payload bytes of one batch. As much again is read ahead, and as much may wait for late days. */
  readonly max_bytes: number;
  readonly now_ms: () => number;
  /** Jitter of the pauses, in [0, 1); none when it is not given. */
  readonly random?: () => number;
  /** Keeps a record that the engine will never take, durably, with the reason; it is then released. */
  readonly setAside: (record: SourceRecord, reason: string, code: string) => Promise<void>;
  readonly observe: (event: InsertEvent) => void;
}

export type InsertEvent =
  /** A batch is in with all its days and released; how long its INSERTs took together. */
  | { readonly kind: "inserted"; readonly rows: number; readonly duration_ms: number }
  | (Failure & { readonly kind: "failed"; readonly message: string; readonly retry_ms: number })
  | {
      readonly kind: "set_aside";
      readonly sequence: number;
      readonly code: string;
      readonly message: string;
    };
