/**
 * Group commit of spans: rows are gathered as they come, and while one group is written and synced the
 * next one gathers. Under load groups grow by themselves; alone, a request is written at once.
 *
 * Invariant: a request is answered after every row of it is synced, and a group that fails is told to
 * all of its requests.
 */
import { RetryableError } from "../schemas/errors.ts";
import { BUCKET_S, encodeRecord } from "../schemas/record.ts";
import { makeSpanBlockWriter } from "./columns/span-block.ts";
import { SpanRows } from "./columns/span-rows.ts";
import type { SpanTarget } from "./traces.ts";
import type { Wal } from "./wal/wal.ts";

/** Rows of one block; a larger request is written as several. */
export const MAX_BLOCK_SPANS = 65_536;
/** Texts of one block, bytes: resources can blow rows up. */
export const MAX_BLOCK_BYTES = 32 * 1024 ** 2;
/** Spans that wait for the log at most; above it senders are told to come back. */
const MAX_WAITING_SPANS = 250_000;
/** Row memory kept for the next large request. */
const MAX_SPARE_GATHERS = 2;

/** Rows of one block with the rollup buckets that they can change. */
export class SpanGather implements SpanTarget {
  readonly rows = new SpanRows();
  readonly #buckets = new Map<string, Set<number>>();
  #last_project = "";
  #last_bucket_s = -1;
  /** Numbers of the rows that were made of objects, ascending; some may have been taken back. */
  #object_rows: number[] = [];
  #last_object_row = -1;

  /** All buckets, as a span that is no call may replace one that was. */
  addTime = (project_id: string, start_s: number): void => {
    if (this.rows.count <= this.#last_object_row + 1) this.#forgetObjectsFrom(this.rows.count - 1);
    const bucket_s = start_s - (start_s % BUCKET_S);
    if (bucket_s === this.#last_bucket_s && project_id === this.#last_project) return;
    this.#last_bucket_s = bucket_s;
    this.#last_project = project_id;
    const known = this.#buckets.get(project_id);
    if (known === undefined) this.#buckets.set(project_id, new Set([bucket_s]));
    else known.add(bucket_s);
  };

  noteObject = (): void => {
    this.#last_object_row = this.rows.count - 1;
    this.#object_rows.push(this.#last_object_row);
  };

  /** Rows that were made of objects. */
  countObjects(): number {
    this.#forgetObjectsFrom(this.rows.count);
    return this.#object_rows.length;
  }

  #forgetObjectsFrom(row: number): void {
    const rows = this.#object_rows;
    while (rows.length > 0 && (rows.at(-1) as number) >= row) rows.pop();
    this.#last_object_row = rows.at(-1) ?? -1;
  }

  /** Project and start (Unix seconds) of each bucket. */
  buckets(): [string, number][] {
    return [...this.#buckets].flatMap(([project_id, starts]) =>
      [...starts].map((start_s): [string, number] => [project_id, start_s]),
    );
  }

  /** Whether a block should end here. */
  isFull(): boolean {
    return this.rows.count >= MAX_BLOCK_SPANS || this.rows.size() >= MAX_BLOCK_BYTES;
  }

  clear(): void {
    this.rows.clear();
    this.#buckets.clear();
    this.#last_bucket_s = -1;
    this.#object_rows = [];
    this.#last_object_row = -1;
  }
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly follower: GroupFollower | null;
}

/** Requests that were made durable together, or were not. Times by performance.now(), ms. */
export interface SpanGroup {
  readonly requests: number;
  readonly spans: number;
  /** Spans of them that were read as objects. */
  readonly object_spans: number;
  readonly started_ms: number;
  readonly ended_ms: number;
  readonly is_durable: boolean;
}

/** A request that wants to know of its group. */
export interface GroupFollower {
  /** Its spans wait for a group from now on. */
  noteCommit(): void;
  noteGroup(group: SpanGroup): void;
}

/** Who watches groups on their way, for metrics and traces. Nothing here may throw. */
export interface SpanLogWatch {
  /** Given once: how many spans wait for their sync to begin. */
  readonly watchQueue: (waiting: () => number) => void;
  /** The request that commits now, when it is followed. */
  readonly follow: () => GroupFollower | null;
  /** Told of each group after its followers. */
  readonly observeGroup: (group: SpanGroup) => void;
}

export interface SpanLogOptions {
  readonly wal: Pick<Wal, "append" | "reserveSequence"> & {
    /** Comes with the log, which all that is to be watched goes through. */
    readonly watch?: SpanLogWatch;
  };
  readonly now_ms: () => number;
  /** Told after each sync that there is something to insert. */
  readonly onSynced: () => void;
}

/** The spans on their way into the log. */
export class SpanLog {
  readonly #options: SpanLogOptions;
  readonly #encode = makeSpanBlockWriter();
  #open = new SpanGather();
  #full: SpanGather[] = [];
  readonly #spare: SpanGather[] = [];
  #waiters: Waiter[] = [];
  #running: Promise<void> | null = null;

  constructor(options: SpanLogOptions) {
    this.#options = options;
    options.wal.watch?.watchQueue(() => this.waiting());
  }

  /** Spans that wait for their sync to begin. */
  waiting(): number {
    return this.#full.reduce((sum, { rows }) => sum + rows.count, this.#open.rows.count);
  }

  /** Throws RetryableError("overloaded") when too much waits. */
  checkRoom(): void {
    if (this.#running !== null && this.waiting() >= MAX_WAITING_SPANS) {
      throw new RetryableError("overloaded", "The log is behind; send this request again.");
    }
  }

  /** Where small requests gather together. Only to be written to until the next await. */
  shared(): SpanGather {
    if (this.#open.isFull()) {
      this.#full.push(this.#open);
      this.#open = this.take();
    }
    return this.#open;
  }

  /** Memory for a block of one request alone. */
  take(): SpanGather {
    return this.#spare.pop() ?? new SpanGather();
  }

  /** Gives memory of `take` back. */
  drop(gather: SpanGather): void {
    gather.clear();
    if (this.#spare.length < MAX_SPARE_GATHERS) this.#spare.push(gather);
  }

  /** Resolves when the blocks given, and all that is gathered, are synced. */
  commit(own: readonly SpanGather[] = []): Promise<void> {
    this.#full.push(...own);
    const follower = this.#options.wal.watch?.follow() ?? null;
    follower?.noteCommit();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject, follower });
      this.#running ??= this.#writeAll();
    });
  }

  /** Resolves when nothing waits or is being written. */
  async idle(): Promise<void> {
    for (let current = this.#running; current !== null; current = this.#running) await current;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiters.length > 0) {
      const waiters = this.#waiters;
      this.#waiters = [];
      try {
        await this.#watchGroup(waiters);
        for (const { resolve } of waiters) resolve();
      } catch (error) {
        for (const { reject } of waiters) reject(error);
      }
    }
    this.#running = null;
  }

  async #watchGroup(waiters: readonly Waiter[]): Promise<void> {
    const { watch } = this.#options.wal;
    if (watch === undefined) return this.#writeGroup();
    const begun = {
      requests: waiters.length,
      spans: this.waiting(),
      object_spans: [this.#open, ...this.#full].reduce((sum, each) => sum + each.countObjects(), 0),
      started_ms: performance.now(),
    };
    let is_durable = false;
    try {
      await this.#writeGroup();
      is_durable = true;
    } finally {
      const group = { ...begun, ended_ms: performance.now(), is_durable };
      for (const { follower } of waiters) follower?.noteGroup(group);
      watch.observeGroup(group);
    }
  }

  /** Every write is waited for, so that no failure of one is left alone. */
  async #writeGroup(): Promise<void> {
    const full = this.#full;
    this.#full = [];
    const writes = full.map((gather) => this.#write(gather));
    for (const gather of full) this.drop(gather);
    if (this.#open.rows.count > 0) {
      writes.push(this.#write(this.#open));
      this.#open.clear();
    }
    const results = await Promise.allSettled(writes);
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    this.#options.onSynced();
  }

  /** The rows are encoded before this returns. */
  async #write(gather: SpanGather): Promise<void> {
    const { wal, now_ms } = this.#options;
    const { rows } = gather;
    const sequence = wal.reserveSequence();
    const block = this.#encode(rows, { ingest_seq: sequence, ingested_ms: now_ms() });
    const header = { table: "spans" as const, rows: rows.count, buckets: gather.buckets() };
    try {
      await wal.append(sequence, encodeRecord({ header, block: block.bytes }));
    } finally {
      block.release();
    }
  }
}
