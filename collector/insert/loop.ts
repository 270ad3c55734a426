/**
 * Moves records from the WAL into ClickHouse: in order, in large batches, until the engine has them
 * durably, and only then lets the WAL forget them. Every step may run twice: rows replace
 * themselves by their key, marks only grow.
 *
 * Order of one batch: rows, then what the counting rules make of them, then the marks of all buckets
 * that changed, then the release. A crash between any two repeats the batch. One INSERT at a time;
 * while the engine works, the records of the next batch are read.
 */
import { messageOf, PermanentError, RetryableError } from "../../schemas/errors.ts";
import { type BucketMark, RECORD_TABLES } from "../../schemas/record.ts";
import type { BatchTarget, InsertOptions, RecordSource } from "./contract.ts";
import { classifyFailure, isUnexplained, MARKS_FAILED, pauseAfter } from "./failures.ts";
import { type Accusation, Search } from "./search.ts";
import { isInRange } from "./slices.ts";
import {
  type Batch,
  isTouching,
  type PendingRecord,
  type Slice,
  WaitingRecords,
} from "./waiting.ts";

export type {
  BatchTarget,
  InsertedBatch,
  InsertEvent,
  InsertOptions,
  RecordSource,
} from "./contract.ts";
export type { SourceRecord } from "./waiting.ts";

export interface InsertLoop {
  /** Tells the loop that there is something new. */
  wake(): void;
  /** Sequence up to which the engine has everything. */
  released(): number;
  /** Finishes the INSERT at hand and stops. */
  stop(): Promise<void>;
}

export const DEFAULT_BATCH_BYTES = 128 * 1024 ** 2;
/** Failures in a row, without a known reason, until the records are tried apart. */
export const MAX_UNEXPLAINED_FAILURES = 10;

/** A batch whose newest days are in. */
interface OpenBatch {
  readonly last_sequence: number;
  readonly rows: number;
  /** Its older days, newest first. */
  readonly late: Slice[];
  duration_ms: number;
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
  readonly #waiting = new WaitingRecords();
  #read_sequence: number;
  /** Inserted and not released, in order: an older one still has days to go. */
  #open: OpenBatch[] = [];
  /** What is being inserted. */
  #at_hand: Batch | Slice | null = null;
  /** Whether rows at hand are in and something after them failed: then it is repeated as it is. */
  #must_repeat = false;
  /** Of what is at hand, when all else of it is in: records that are to be set aside. */
  #accused: readonly Accusation[] | null = null;
  #is_turn_of_late = false;
  /** Rows of a batch after one was too much; doubles with each that goes through. */
  #row_limit = Infinity;
  /** How long the last batch took, ms. */
  #insert_ms = 0;
  #failures = 0;
  #stopped = false;
  /** There may be something that the last read has not seen. */
  #woken = false;
  #interrupt: (is_stop: boolean) => void = () => {};

  constructor(source: RecordSource, target: BatchTarget, released: number, options: InsertOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.released = released;
    this.#read_sequence = released;
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
    while (!this.#stopped) {
      try {
        await this.#release();
        if (!this.#must_repeat) this.#at_hand = await this.#nextStep();
        if (this.#at_hand === null) continue;
        await this.#insert(this.#at_hand);
        this.#failures = 0;
        this.#row_limit *= 2;
      } catch (error) {
        await this.#recover(error);
      }
    }
    await this.#release().catch(() => {});
  }

  /** Tells of a failure and waits. New records do not end the wait: an engine in trouble rests. */
  async #recover(error: unknown): Promise<void> {
    const failure = classifyFailure(error);
    this.#failures += 1;
    if (failure.remedy === "shrink" && !this.#must_repeat) this.#shrink();
    const random = this.#options.random?.() ?? 0;
    const retry_ms = pauseAfter(this.#failures, failure.remedy, random);
    this.#options.observe({ kind: "failed", ...failure, message: messageOf(error), retry_ms });
    await this.#pause(retry_ms, "stop");
  }

  #shrink(): void {
    const step = this.#at_hand;
    if (step !== null && "slice" in step) this.#row_limit = Math.max(1, step.rows >> 1);
    if (step === null || "slice" in step || step.records.length < 2) return;
    const late = this.#open.find((batch) => batch.late[0] === step)?.late;
    const middle = step.records.length >> 1;
    const halves = [step.records.slice(0, middle), step.records.slice(middle)];
    late?.splice(0, 1, ...halves.map((records) => ({ ...step, records })));
  }

  /** What to insert next: a batch that is due, or older days; by turns when there are both. */
  async #nextStep(): Promise<Batch | Slice | null> {
    const late = this.#nextLate();
    const must_drain = this.#lateBytes() >= this.#options.max_bytes;
    if (late !== null && (this.#is_turn_of_late || must_drain)) return late;
    const batch = await this.#nextBatch(late === null);
    return this.#stopped ? null : (batch ?? late);
  }

  #nextLate(): Slice | null {
    return this.#open.find(({ late }) => late.length > 0)?.late[0] ?? null;
  }

  #lateBytes(): number {
    const held = new Set(this.#open.flatMap(({ late }) => late.flatMap(({ records }) => records)));
    let bytes = 0;
    for (const { record } of held) bytes += record.payload.length;
    return bytes;
  }

  /** Records that are due: enough of them, or old enough. Null after a wait, or without one. */
  async #nextBatch(may_wait: boolean): Promise<Batch | null> {
    const { max_rows, max_age_ms, max_bytes, now_ms } = this.#options;
    const max_backlog_rows = Math.max(max_rows, this.#options.max_backlog_rows ?? max_rows);
    if (this.#waiting.rows < max_backlog_rows) await this.#readMore(max_bytes);
    const { first } = this.#waiting;
    if (first === undefined) {
      if (may_wait) await this.#pause(Infinity, "wake");
      return null;
    }
    const is_backlog = this.#waiting.rows >= 2 * max_rows;
    const rows = Math.min(this.#row_limit, is_backlog ? max_backlog_rows : max_rows);
    const batch = this.#waiting.chooseBatch({ rows, bytes: max_bytes });
    const is_full = batch.rows >= max_rows || batch.bytes >= max_bytes;
    if (is_full || batch.records.length < this.#waiting.count) return batch;
    // A clock that is ahead or went back must not hold records for longer than the age from now.
    const age_ms = now_ms() - Math.min(first.record.written_ms, first.read_ms);
    // The age is that of the rows when they can be asked for, as far as the last INSERT foretells.
    const due_ms = Math.max(max_age_ms - this.#insert_ms, max_age_ms / 2);
    const wait_ms = Math.min(due_ms - age_ms, due_ms);
    if (wait_ms <= 0) return batch;
    if (!may_wait) return null;
    const is_over = await this.#pause(wait_ms, "wake");
    return is_over ? batch : null;
  }

  /** Reads until so many bytes wait. */
  async #readMore(max_bytes: number): Promise<void> {
    if (this.#waiting.bytes >= max_bytes) return;
    this.#woken = false;
    const wanted = max_bytes - this.#waiting.bytes;
    for (const record of await this.#source.read(this.#read_sequence, wanted)) {
      this.#waiting.add(record, this.#options.now_ms());
      this.#read_sequence = record.sequence;
    }
  }

  async #insert(step: Batch | Slice): Promise<void> {
    const { now_ms, max_bytes } = this.#options;
    const started_ms = now_ms();
    const batch = "slice" in step ? step : null;
    // A failure to read comes again when the next batch is asked for, and is told then.
    const reading = this.#readMore(max_bytes + (batch?.bytes ?? 0)).catch(() => {});
    try {
      await this.#write(batch === null ? (step as Slice) : batch.slice);
    } finally {
      await reading;
    }
    this.#must_repeat = false;
    this.#at_hand = null;
    // Only after a batch that came while older days waited: what is of today goes first.
    this.#is_turn_of_late = batch !== null && this.#nextLate() !== null;
    const duration_ms = now_ms() - started_ms;
    if (batch !== null) {
      this.#insert_ms = duration_ms;
      this.#waiting.drop(batch);
      const last_sequence = (batch.records.at(-1) as PendingRecord).record.sequence;
      this.#open.push({ last_sequence, rows: batch.rows, late: [...batch.late], duration_ms });
      return;
    }
    const open = this.#open.find(({ late }) => late.length > 0);
    if (open === undefined) return;
    open.late.shift();
    open.duration_ms += duration_ms;
  }

  /** Releases the batches, from the oldest on, that are in with all their days. */
  async #release(): Promise<void> {
    const count = this.#open.findIndex(({ late }) => late.length > 0);
    const done = this.#open.slice(0, count === -1 ? this.#open.length : count);
    const last = done.at(-1);
    if (last === undefined) return;
    await this.#source.release(last.last_sequence);
    this.released = last.last_sequence;
    this.#open.splice(0, done.length);
    for (const { rows, duration_ms } of done) {
      this.#options.observe({ kind: "inserted", rows, duration_ms });
    }
  }

  /** Writes a slice; records that can never be written are found and set aside. */
  async #write(slice: Slice): Promise<void> {
    // A folder that is full must not have the engine write the same rows again and again.
    this.#accused ??= await this.#writeOrAccuse(slice);
    if (this.#accused.length > 0) this.#must_repeat = true;
    for (const [{ record }, error] of this.#accused) {
      const { sequence } = record;
      const { code } = classifyFailure(error);
      await this.#options.setAside(record, messageOf(error), code);
      this.#options.observe({ kind: "set_aside", sequence, code, message: messageOf(error) });
    }
    for (const [each] of this.#accused) each.is_set_aside = true;
    this.#accused = null;
  }

  /** Writes what can be written of a slice; the records that can not, each with the reason. */
  async #writeOrAccuse(slice: Slice): Promise<readonly Accusation[]> {
    const good = slice.records.filter((each) => each.problem === null && !each.is_set_aside);
    const search = new Search((records) => this.#writeRecords(records, slice));
    for (const each of slice.records) {
      if (each.problem !== null && !each.is_set_aside) search.accuse(each, each.problem);
    }
    try {
      if (good.length > 0) await this.#writeRecords(good, slice);
    } catch (error) {
      const failure = classifyFailure(error);
      const has_hung = isUnexplained(failure) && this.#failures >= MAX_UNEXPLAINED_FAILURES;
      if (error instanceof PermanentError) await search.findRefused(good, error);
      else if ((failure.remedy === "bisect" || has_hung) && good.length > 1) {
        await search.findSuspects(good, error as Error);
      } else throw error;
    }
    return search.accused;
  }

  async #writeRecords(records: readonly PendingRecord[], slice: Slice): Promise<void> {
    const { range, is_late } = slice;
    for (const table of RECORD_TABLES) {
      const is_cut = table === "spans" && range !== null;
      const blocks = records.flatMap((each) =>
        each.table === table && (!is_cut || isTouching(each, range)) ? each.block : [],
      );
      if (blocks.length === 0) continue;
      await this.#target.insertBlocks(table, blocks, is_cut ? range : null);
    }
    const buckets = new Map<string, BucketMark>();
    const addBucket = (bucket: BucketMark) => buckets.set(`${bucket[1]} ${bucket[0]}`, bucket);
    for (const each of records) {
      for (const bucket of each.buckets) if (isInRange(range, bucket[1])) addBucket(bucket);
    }
    if (buckets.size === 0) return;
    const first_sequence = (records[0] as PendingRecord).record.sequence;
    const last_sequence = (records.at(-1) as PendingRecord).record.sequence;
    try {
      const inserted = { first_sequence, last_sequence, buckets: [...buckets.values()] };
      for (const bucket of await this.#target.resolveCalls(inserted)) addBucket(bucket);
      await this.#target.markBuckets([...buckets.values()], is_late ? "late" : last_sequence);
    } catch (error) {
      // The rows are in; whatever is wrong with the marks is no fault of the records. The counting
      // rules know a repetition by its sequences, so the same batch comes again.
      this.#must_repeat = true;
      throw new RetryableError(MARKS_FAILED, messageOf(error), { cause: error });
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
