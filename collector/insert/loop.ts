/**
 * Moves records from the WAL into ClickHouse: in order, in large batches, until the engine has them
 * durably, and only then lets the WAL forget them. Every step may run twice: spans replace
 * themselves by their key, marks only grow.
 *
 * Order of one batch: rows, then what the counting rules make of them, then the marks of all buckets
 * that changed, then the release. A crash between any two repeats the batch.
 */
import { messageOf, PermanentError, RetryableError } from "../../schemas/errors.ts";
import {
  type BlockRecord,
  decodeRecord,
  RECORD_TABLES,
  type RecordTable,
} from "../../schemas/record.ts";

/** The WAL, as this stage sees it. */
export interface RecordSource {
  read(after_sequence: number, max_bytes: number): Promise<SourceRecord[]>;
  release(through_sequence: number): Promise<void>;
}

export interface SourceRecord {
  readonly sequence: number;
  readonly written_ms: number;
  readonly payload: Uint8Array;
}

/** Where batches go. */
export interface BatchTarget {
  insertBlocks(table: RecordTable, blocks: readonly Uint8Array[]): Promise<void>;
  /**
   * Decides anew which calls count where the spans of these sequences bear on it. Resolves with the
   * buckets of other spans that changed by it.
   */
  resolveCalls(batch: InsertedBatch): Promise<readonly (readonly [string, number])[]>;
  /** Marks buckets (project, Unix seconds) as changed by what was inserted up to the sequence. */
  markBuckets(buckets: readonly (readonly [string, number])[], sequence: number): Promise<void>;
}

/** What was inserted: all records from one sequence to another, and the buckets of their spans. */
export interface InsertedBatch {
  readonly first_sequence: number;
  readonly last_sequence: number;
  readonly buckets: readonly (readonly [string, number])[];
}

export interface InsertOptions {
  readonly max_rows: number;
  readonly max_age_ms: number;
  /** Payload bytes of one batch. */
  readonly max_bytes: number;
  readonly now_ms: () => number;
  /** Keeps a record that the engine will never take, with the reason; it is then released. */
  readonly setAside: (record: SourceRecord, reason: string) => Promise<void>;
  readonly observe: (event: InsertEvent) => void;
}

export type InsertEvent =
  | { readonly kind: "inserted"; readonly rows: number; readonly duration_ms: number }
  | { readonly kind: "failed"; readonly message: string; readonly retry_ms: number }
  | { readonly kind: "set_aside"; readonly message: string };

export interface InsertLoop {
  /** Tells the loop that there is something new. */
  wake(): void;
  /** Sequence up to which the engine has everything. */
  released(): number;
  /** Finishes the batch at hand and stops. */
  stop(): Promise<void>;
}

export const DEFAULT_BATCH_BYTES = 128 * 1024 ** 2;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5_000;

interface PendingRecord {
  readonly record: SourceRecord;
  readonly rows: number;
  /** When it was read, by the clock of the loop. */
  readonly read_ms: number;
}

interface Batch {
  readonly records: readonly SourceRecord[];
  readonly rows: number;
}

/** Starts the loop after the given sequence. */
export function startInsertLoop(
  source: RecordSource,
  target: BatchTarget,
  released_sequence: number,
  options: InsertOptions,
): InsertLoop {
  const loop = new Loop(source, target, released_sequence, options);
  const finished = loop.run();
  return {
    wake: () => loop.wake(),
    released: () => loop.released,
    async stop() {
      loop.stop();
      await finished;
    },
  };
}

class Loop {
  released: number;
  readonly #source: RecordSource;
  readonly #target: BatchTarget;
  readonly #options: InsertOptions;
  /** Read and not released, so that waiting for more does not read it again. */
  #pending: PendingRecord[] = [];
  #pending_rows = 0;
  #pending_bytes = 0;
  #stopped = false;
  /** There may be something that the last read has not seen. */
  #woken = false;
  #interrupt: (is_stop: boolean) => void = () => {};

  constructor(source: RecordSource, target: BatchTarget, released: number, options: InsertOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.released = released;
  }

  wake(): void {
    this.#woken = true;
    this.#interrupt(false);
  }

  stop(): void {
    this.#stopped = true;
    this.#interrupt(true);
  }

  async run(): Promise<void> {
    let retry_ms = FIRST_RETRY_MS;
    while (!this.#stopped) {
      try {
        const batch = await this.#nextBatch();
        if (batch === null) continue;
        await this.#insert(batch);
        retry_ms = FIRST_RETRY_MS;
      } catch (error) {
        this.#options.observe({ kind: "failed", message: messageOf(error), retry_ms });
        await this.#pause(retry_ms, "stop");
        retry_ms = Math.min(retry_ms * 2, MAX_RETRY_MS);
      }
    }
  }

  /** Records that are due: enough of them, or old enough. Null after a wait. */
  async #nextBatch(): Promise<Batch | null> {
    const { max_rows, max_age_ms, max_bytes, now_ms } = this.#options;
    if (this.#pending_rows < max_rows && this.#pending_bytes < max_bytes) await this.#readMore();
    const first = this.#pending[0];
    if (first === undefined) {
      await this.#pause(Infinity, "wake");
      return null;
    }
    if (this.#stopped) return null;
    const batch = this.#firstBatch();
    if (
      batch.records.length < this.#pending.length ||
      batch.rows >= max_rows ||
      this.#pending_bytes >= max_bytes
    ) {
      return batch;
    }
    // A clock that is ahead or went back must not hold records for longer than the age from now.
    const age_ms = now_ms() - Math.min(first.record.written_ms, first.read_ms);
    const wait_ms = Math.min(max_age_ms - age_ms, max_age_ms);
    if (wait_ms <= 0) return batch;
    const is_over = await this.#pause(wait_ms, "wake");
    return is_over ? batch : null;
  }

  async #readMore(): Promise<void> {
    const { max_bytes, now_ms } = this.#options;
    const last_sequence = this.#pending.at(-1)?.record.sequence ?? this.released;
    this.#woken = false;
    const found = await this.#source.read(last_sequence, max_bytes - this.#pending_bytes);
    for (const record of found) {
      const rows = countRows(record);
      this.#pending.push({ record, rows, read_ms: now_ms() });
      this.#pending_rows += rows;
      this.#pending_bytes += record.payload.length;
    }
  }

  #firstBatch(): Batch {
    const records: SourceRecord[] = [];
    let rows = 0;
    for (const pending of this.#pending) {
      if (rows > 0 && rows + pending.rows > this.#options.max_rows) break;
      records.push(pending.record);
      rows += pending.rows;
    }
    return { records, rows };
  }

  async #insert(batch: Batch): Promise<void> {
    const { now_ms, observe } = this.#options;
    const started_ms = now_ms();
    try {
      await this.#write(batch.records);
    } catch (error) {
      // A batch that can never be taken is tried record by record, so that one does not hold all.
      if (!(error instanceof PermanentError)) throw error;
      for (const record of batch.records) await this.#writeAlone(record);
    }
    const last = batch.records.at(-1) as SourceRecord;
    await this.#source.release(last.sequence);
    this.released = last.sequence;
    this.#pending.splice(0, batch.records.length);
    this.#pending_rows -= batch.rows;
    for (const { payload } of batch.records) this.#pending_bytes -= payload.length;
    observe({ kind: "inserted", rows: batch.rows, duration_ms: now_ms() - started_ms });
  }

  async #writeAlone(record: SourceRecord): Promise<void> {
    try {
      await this.#write([record]);
    } catch (error) {
      if (!(error instanceof PermanentError)) throw error;
      await this.#options.setAside(record, error.message);
      this.#options.observe({ kind: "set_aside", message: error.message });
    }
  }

  async #write(records: readonly SourceRecord[]): Promise<void> {
    const decoded: BlockRecord[] = records.map((record) => decodeRecord(record.payload));
    for (const table of RECORD_TABLES) {
      const blocks = decoded.flatMap(({ header, block }) => (header.table === table ? block : []));
      if (blocks.length > 0) await this.#target.insertBlocks(table, blocks);
    }
    const buckets = new Map<string, readonly [string, number]>();
    const addBuckets = (list: readonly (readonly [string, number])[]) => {
      for (const bucket of list) buckets.set(`${bucket[1]} ${bucket[0]}`, bucket);
    };
    for (const { header } of decoded) addBuckets(header.buckets);
    if (buckets.size === 0) return;
    const last = records.at(-1) as SourceRecord;
    try {
      addBuckets(
        await this.#target.resolveCalls({
          first_sequence: (records[0] as SourceRecord).sequence,
          last_sequence: last.sequence,
          buckets: [...buckets.values()],
        }),
      );
      await this.#target.markBuckets([...buckets.values()], last.sequence);
    } catch (error) {
      // The rows are in; whatever is wrong with the marks is no fault of the records.
      throw new RetryableError("marks_failed", messageOf(error), { cause: error });
    }
  }

  /**
   * Waits until the time is over (true), or until woken or stopped (false). New records do not end
   * a wait for "stop": an engine that is away must not be asked once for each of them.
   */
  async #pause(duration_ms: number, until: "wake" | "stop"): Promise<boolean> {
    if (this.#stopped || (until === "wake" && this.#woken)) return false;
    return new Promise((resolve) => {
      const end = (is_over: boolean): void => {
        clearTimeout(timer);
        this.#interrupt = () => {};
        resolve(is_over);
      };
      const timer = Number.isFinite(duration_ms)
        ? setTimeout(() => end(true), duration_ms)
        : undefined;
      this.#interrupt = (is_stop) => {
        if (is_stop || until === "wake") end(false);
      };
    });
  }
}

/** Rows of a record; one for a record that cannot be read, which is set aside when written. */
function countRows(record: SourceRecord): number {
  try {
    return decodeRecord(record.payload).header.rows;
  } catch {
    return 1;
  }
}
