/**
 * Keeps the rollups: computes marked buckets anew from the spans, again and again. A rollup is a
 * pure function of the spans, so duplicates, late spans and crashes cannot make it wrong, only late
 * (research/storage.md 2.2), and readers take late buckets live.
 *
 * A bucket is marked done one round after its rollup rows were written, not at once: a query that
 * began before the write has the old rows, and must still see the bucket as dirty.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { messageOf } from "../../schemas/errors.ts";
import { compactOne } from "./compact.ts";
import {
  type ComputeOptions,
  computeDay,
  DEFAULT_STATEMENT_MS,
  type Kind,
  LeaseLostError,
} from "./compute.ts";
import type { Lease } from "./lease.ts";
import { restAfter } from "./load.ts";
import { type DirtyBucket, Schedule, type Task } from "./schedule.ts";

export interface RecomputeOptions {
  /** Least pause between rounds, ms. */
  readonly interval_ms: number;
  /** Buckets of one round. */
  readonly max_buckets: number;
  /** Least time between two computations of the daily rollups of a day that goes on, ms. */
  readonly day_interval_ms: number;
  readonly now_ms: () => number;
  readonly observe: (event: RecomputeEvent) => void;
  /** Time that one round is planned to compute, ms; DEFAULT_WORK_MS when it is not given. */
  readonly work_ms?: number;
  /** Share of a core that it may take now, above 0 and at most 1; all of it when it is not given. */
  readonly share?: () => number;
  /** Memory of one statement, bytes; DEFAULT_RECOMPUTE_MEMORY_BYTES when it is not given. */
  readonly memory_bytes?: number;
  /** Longest time of one statement, ms; DEFAULT_STATEMENT_MS when it is not given. */
  readonly statement_ms?: number;
  /** Needed where other processes compute the rollups of the same engine. */
  readonly lease?: Lease;
}

/** How far the rollups are behind. */
export interface RecomputeLag {
  /** Pairs of project and 15 minutes that readers take live. */
  readonly dirty_buckets: number;
  /** How long the one that has waited longest has been dirty, seconds. */
  readonly oldest_dirty_s: number;
  /** Rows of spans in these buckets, about. */
  readonly rows_waiting: number;
}

export type RecomputeEvent =
  | { readonly kind: "round"; readonly buckets: number; readonly duration_ms: number }
  | { readonly kind: "failed"; readonly message: string };

export const DEFAULT_MAX_BUCKETS = 20_000;
export const DEFAULT_DAY_INTERVAL_MS = 10_000;
export const DEFAULT_RECOMPUTE_MEMORY_BYTES = 512 * 1024 ** 2;
/** Time that one round is planned to compute, ms. */
export const DEFAULT_WORK_MS = 1_000;
/** Dirty buckets of one project that a round looks at: ten days and more. */
const MAX_PROJECT_BUCKETS = 1_000;
/** Pause of who does not hold the lease, as a multiple of the ordinary one. */
const STANDBY_PAUSE = 5;
/** How often the share is looked at while resting, ms. */
const REST_LOOK_MS = 1_000;
/** Least time between two looks for months to merge, ms. */
const COMPACT_INTERVAL_MS = 60_000;
/** What a failed portion is taken to have cost, so that it is not tried again at once, ms. */
const FAILED_COST_MS = 60_000;

const NO_LAG: RecomputeLag = { dirty_buckets: 0, oldest_dirty_s: 0, rows_waiting: 0 };

/** What has been computed and waits to be marked done. */
interface Computed {
  readonly row: DirtyBucket;
  readonly kind: Kind;
}

/** The recompute of one engine; at most one round runs at a time. */
export class Recompute {
  readonly #engine: Engine;
  readonly #options: RecomputeOptions;
  readonly #schedule: Schedule;
  #settling: Computed[] = [];
  /** Since when a bucket is dirty that was not computed yet, ms. */
  #dirty_since = new Map<string, number>();
  /** The highest version that was written, by whomever; null when it has to be asked for. */
  #version: bigint | null = null;
  #is_holder: boolean;
  #lag: RecomputeLag = NO_LAG;
  #compacted_ms = -Infinity;
  #stopped = false;
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(engine: Engine, options: RecomputeOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#schedule = new Schedule(options);
    this.#is_holder = options.lease === undefined;
  }

  /** How far the rollups were behind when the last round began. */
  get lag(): RecomputeLag {
    return this.#lag;
  }

  /** Whether this process computes; another one holds the lease otherwise. */
  get is_holder(): boolean {
    return this.#is_holder;
  }

  /** Runs rounds until stopped. Errors are told and the next round tries again. */
  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#running;
    // A lease that cannot be given back ends by itself.
    await this.#options.lease?.release().catch(() => {});
  }

  /** Brings every rollup up to date and returns when nothing is dirty: for tests and benches. */
  async drain(): Promise<void> {
    while ((await this.round(true)) > 0 || this.#settling.length > 0);
  }

  /** One round; returns how many buckets were computed. A forced one computes what is not due too. */
  async round(is_forced = false): Promise<number> {
    const { lease, observe, now_ms } = this.#options;
    const started_ms = now_ms();
    await this.#markSettled();
    await this.#readLag();
    let computed: Computed[] = [];
    if (this.#lag.dirty_buckets > 0 || !this.#is_holder) {
      await this.#takeLease(lease);
      if (this.#is_holder) computed = await this.#computeDue(is_forced);
    }
    // Nothing else to do: the tables are put in order.
    if (computed.length === 0 && this.#is_holder && !is_forced) await this.#compact();
    const buckets = new Set(computed.map(({ row }) => keyOf(row))).size;
    const duration_ms = now_ms() - started_ms;
    observe({ kind: "round", buckets, duration_ms });
    return buckets;
  }

  async #loop(): Promise<void> {
    const { now_ms } = this.#options;
    while (!this.#stopped) {
      const started_ms = now_ms();
      try {
        await this.round();
      } catch (error) {
        this.#options.observe({ kind: "failed", message: messageOf(error) });
      }
      await this.#rest(now_ms() - started_ms);
    }
  }

  /** Rests as long as the share asks for; looks again meanwhile, because the load may change. */
  async #rest(worked_ms: number): Promise<void> {
    const { interval_ms, share = () => 1 } = this.#options;
    const least_ms = this.#is_holder ? interval_ms : interval_ms * STANDBY_PAUSE;
    let rested_ms = 0;
    while (!this.#stopped) {
      const left_ms = restAfter(worked_ms, share(), least_ms) - rested_ms;
      if (left_ms <= 0) return;
      const pause_ms = Math.min(left_ms, REST_LOOK_MS);
      await this.#pause(pause_ms);
      rested_ms += pause_ms;
    }
  }

  async #takeLease(lease: Lease | undefined): Promise<void> {
    if (lease === undefined) return;
    const was_holder = this.#is_holder && lease.isHeld();
    this.#is_holder = await lease.hold();
    // Somebody else may have written since.
    if (!was_holder) this.#version = null;
  }

  async #readLag(): Promise<void> {
    const [row] = await this.#engine.query<RecomputeLag>(loadQuery("select_recompute_lag"));
    const lag = row ?? NO_LAG;
    // Who does not compute does not know what was computed.
    if (lag.dirty_buckets === 0 || !this.#is_holder) this.#dirty_since.clear();
    const now_ms = this.#options.now_ms();
    // A mark that is renewed looks young in the table; how long it has been there is remembered.
    let oldest_dirty_s = lag.oldest_dirty_s;
    for (const since_ms of this.#dirty_since.values()) {
      oldest_dirty_s = Math.max(oldest_dirty_s, (now_ms - since_ms) / 1000);
    }
    this.#lag = { ...lag, oldest_dirty_s };
  }

  async #computeDue(is_forced: boolean): Promise<Computed[]> {
    const { max_buckets, work_ms = DEFAULT_WORK_MS } = this.#options;
    const dirty = await this.#engine.query<DirtyBucket>(loadQuery("select_dirty"), {
      limit: max_buckets,
      project_limit: MAX_PROJECT_BUCKETS,
    });
    this.#rememberDirty(dirty);
    const rowsOf = await this.#estimateRows(dirty);
    const budget = { work_ms: is_forced ? Infinity : work_ms, is_forced };
    const tasks = this.#schedule.plan(dirty, rowsOf, budget);
    if (tasks.length === 0) return [];
    const version = await this.#nextVersion();
    const computed: Computed[] = [];
    try {
      for (const of_day of groupByDay(tasks)) {
        if (this.#stopped) break;
        computed.push(...(await this.#computeTasks(of_day, version, is_forced)));
      }
    } catch (error) {
      if (error instanceof LeaseLostError) await this.#markAgain(error.tasks, version);
      throw error;
    } finally {
      this.#settling = computed;
      for (const { row } of computed) this.#dirty_since.delete(keyOf(row));
    }
    return computed;
  }

  /** Computes tasks of one day; answers what was computed of them. */
  async #computeTasks(
    tasks: readonly Task[],
    version: bigint,
    is_forced: boolean,
  ): Promise<Computed[]> {
    const {
      lease,
      now_ms,
      memory_bytes = DEFAULT_RECOMPUTE_MEMORY_BYTES,
      statement_ms = DEFAULT_STATEMENT_MS,
    } = this.#options;
    const tellTooLarge: ComputeOptions["tellTooLarge"] = (kind, portion, error) => {
      if (is_forced) throw error;
      // Readers go on taking it live; what else is dirty must not wait for it.
      this.#schedule.note(kind, portion, FAILED_COST_MS);
      this.#options.observe({ kind: "failed", message: messageOf(error) });
    };
    const note = this.#schedule.note.bind(this.#schedule);
    const options = { lease, now_ms, memory_bytes, statement_ms, note, tellTooLarge };
    const computed: Computed[] = [];
    for (const kind of ["buckets", "day"] as const) {
      const rowsOf = (task: Task) => (kind === "buckets" ? task.buckets : task.day_buckets);
      const portion = tasks.filter((task) => rowsOf(task).length > 0);
      if (portion.length === 0 || this.#stopped) continue;
      const done = await computeDay(this.#engine, kind, portion, version, options);
      computed.push(...done.flatMap((task) => rowsOf(task).map((row) => ({ row, kind }))));
    }
    return computed;
  }

  /** Rows of the buckets of a day of a project, about. */
  async #estimateRows(
    dirty: readonly DirtyBucket[],
  ): Promise<(project_id: string, day_s: number) => ReadonlyMap<number, number>> {
    const days = new Map<string, Map<number, number>>();
    const projects: string[] = [];
    const starts: number[] = [];
    for (const { project_id, bucket_s } of dirty) {
      const key = dayKeyOf(project_id, bucket_s);
      if (days.has(key)) continue;
      days.set(key, new Map());
      projects.push(project_id);
      starts.push(bucket_s);
    }
    const rows = await this.#engine.query<BucketRows>(loadQuery("select_bucket_rows"), {
      projects,
      starts,
    });
    for (const { project_id, bucket_s, span_rows } of rows) {
      days.get(dayKeyOf(project_id, bucket_s))?.set(bucket_s, span_rows);
    }
    const none: ReadonlyMap<number, number> = new Map();
    return (project_id, day_s) => days.get(dayKeyOf(project_id, day_s)) ?? none;
  }

  /**
   * A version above every row that exists, taken after the marks were read and before the spans are: who
   * read later wins whatever the order of writing (docs/decisions/0010-ownership.md). What is stored is
   * asked for only when another may have written it.
   */
  async #nextVersion(): Promise<bigint> {
    if (this.#version === null) {
      const sql = loadQuery("select_rollup_version");
      const [stored] = await this.#engine.query<{ version: string }>(sql);
      this.#version = BigInt(stored?.version ?? 0);
    }
    const [time] = await this.#engine.query<{ time_us: number }>(loadQuery("select_engine_time"));
    const time_us = BigInt(Math.trunc(time?.time_us ?? 0));
    this.#version = time_us > this.#version ? time_us : this.#version + 1n;
    return this.#version;
  }

  /** Has tasks computed again whose rows were written when the lease was somebody else's. */
  async #markAgain(tasks: readonly Task[], version: bigint): Promise<void> {
    const rows = tasks.flatMap((task) => [...task.buckets, ...task.day_buckets]);
    if (rows.length === 0) return;
    await this.#engine.command(loadQuery("mark_buckets"), {
      projects: rows.map(({ project_id }) => project_id),
      starts: rows.map(({ bucket_s }) => bucket_s),
      writer_id: `recompute-${this.#options.lease?.token ?? ""}`,
      sequence: version,
    });
  }

  async #markSettled(): Promise<void> {
    const settled = this.#settling;
    if (settled.length === 0) return;
    const marks = settled.flatMap(({ row, kind }) =>
      row.marks.map(([writer, sequence]) => ({ row, kind, writer, mark: BigInt(sequence) })),
    );
    await this.#engine.command(loadQuery("mark_done"), {
      projects: marks.map(({ row }) => row.project_id),
      starts: marks.map(({ row }) => row.bucket_s),
      writers: marks.map(({ writer }) => writer),
      done_15m: marks.map(({ kind, mark }) => (kind === "buckets" ? mark : 0n)),
      done_day: marks.map(({ kind, mark }) => (kind === "day" ? mark : 0n)),
    });
    this.#settling = [];
  }

  #rememberDirty(dirty: readonly DirtyBucket[]): void {
    const now_ms = this.#options.now_ms();
    const since = new Map<string, number>();
    for (const row of dirty) {
      const key = keyOf(row);
      since.set(key, this.#dirty_since.get(key) ?? now_ms - row.quiet_s * 1000);
    }
    this.#dirty_since = since;
  }

  async #compact(): Promise<void> {
    const now_ms = this.#options.now_ms();
    // A clock that went back must not hold it back.
    if (now_ms >= this.#compacted_ms && now_ms - this.#compacted_ms < COMPACT_INTERVAL_MS) return;
    this.#compacted_ms = now_ms;
    // One after the other in the next rounds, as long as there are.
    if (await compactOne(this.#engine)) this.#compacted_ms = -Infinity;
  }

  async #pause(duration_ms: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, duration_ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

interface BucketRows {
  readonly project_id: string;
  readonly bucket_s: number;
  readonly span_rows: number;
}

const DAY_S = 86_400;

function keyOf({ project_id, bucket_s }: DirtyBucket): string {
  return `${bucket_s} ${project_id}`;
}

function dayKeyOf(project_id: string, time_s: number): string {
  return `${time_s - (time_s % DAY_S)} ${project_id}`;
}

function groupByDay(tasks: readonly Task[]): Task[][] {
  const days = new Map<number, Task[]>();
  for (const task of tasks) {
    const list = days.get(task.day_s);
    if (list === undefined) days.set(task.day_s, [task]);
    else list.push(task);
  }
  return [...days.values()];
}
