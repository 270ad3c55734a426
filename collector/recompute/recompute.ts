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

export interface RecomputeOptions {
  /** Pause between rounds, ms. */
  readonly interval_ms: number;
  /** Buckets of one round. */
  readonly max_buckets: number;
  /** Least time between two computations of the daily rollups of a day that goes on, ms. */
  readonly day_interval_ms: number;
  readonly now_ms: () => number;
  readonly observe: (event: RecomputeEvent) => void;
}

export type RecomputeEvent =
  | { readonly kind: "round"; readonly buckets: number; readonly duration_ms: number }
  | { readonly kind: "failed"; readonly message: string };

export const DEFAULT_MAX_BUCKETS = 20_000;
export const DEFAULT_DAY_INTERVAL_MS = 10_000;

const DAY_S = 86_400;

interface DirtyRow {
  readonly project_id: string;
  readonly bucket_s: number;
  readonly writers: readonly string[];
  readonly marks: readonly string[];
  readonly is_dirty_15m: number;
  readonly is_dirty_day: number;
}

/** What has been computed and waits to be marked done. */
interface Computed {
  readonly row: DirtyRow;
  readonly done_15m: boolean;
  readonly done_day: boolean;
}

/** The recompute of one engine; at most one round runs at a time. */
export class Recompute {
  readonly #engine: Engine;
  readonly #options: RecomputeOptions;
  #settling: Computed[] = [];
  /** When the daily rollups of "day project" were last computed, ms. */
  readonly #day_computed_ms = new Map<string, number>();
  #version = 0n;
  #stopped = false;
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(engine: Engine, options: RecomputeOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  /** Runs rounds until stopped. Errors are told and the next round tries again. */
  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#running;
  }

  /** Brings every rollup up to date and returns when nothing is dirty: for tests and `migrate`. */
  async drain(): Promise<void> {
    this.#day_computed_ms.clear();
    while ((await this.round()) > 0 || this.#settling.length > 0) this.#day_computed_ms.clear();
  }

  /** One round; returns how many buckets were computed. */
  async round(): Promise<number> {
    const started_ms = this.#options.now_ms();
    await this.#markSettled();
    const rows = await this.#engine.query<DirtyRow>(loadQuery("select_dirty"), {
      limit: this.#options.max_buckets,
    });
    if (rows.length === 0) return 0;
    await this.#advanceVersion();
    const computed: Computed[] = [];
    for (const [day_s, day_rows] of groupByDay(rows)) {
      computed.push(...(await this.#computeDay(day_s, day_rows)));
    }
    this.#settling = computed;
    const duration_ms = this.#options.now_ms() - started_ms;
    this.#options.observe({ kind: "round", buckets: computed.length, duration_ms });
    return computed.length;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.round();
      } catch (error) {
        this.#options.observe({ kind: "failed", message: messageOf(error) });
      }
      await this.#pause(this.#options.interval_ms);
    }
  }

  /**
   * A version above every row that exists and every one this process wrote. Read each round: another
   * collector may recompute too, with a clock that is ahead.
   */
  async #advanceVersion(): Promise<void> {
    const [row] = await this.#engine.query<{ version: string }>(loadQuery("select_rollup_version"));
    const stored = BigInt(row?.version ?? 0);
    const clock = BigInt(this.#options.now_ms()) * 1024n;
    for (const bound of [stored + 1n, clock]) {
      if (bound > this.#version) this.#version = bound;
    }
  }

  async #computeDay(day_s: number, rows: readonly DirtyRow[]): Promise<Computed[]> {
    const range = { from_s: day_s, to_s: day_s + DAY_S, ver: this.#version };
    const dirty_15m = rows.filter((row) => row.is_dirty_15m === 1);
    if (dirty_15m.length > 0) {
      await this.#engine.command(loadQuery("recompute_15m"), {
        ...range,
        projects: dirty_15m.map((row) => row.project_id),
        starts: dirty_15m.map((row) => row.bucket_s),
      });
    }
    const due = this.#dueProjects(day_s, rows);
    if (due.size > 0) {
      const projects = [...due];
      await this.#engine.command(loadQuery("recompute_day"), { ...range, projects });
      await this.#engine.command(loadQuery("recompute_user_day"), { ...range, projects });
      const computed_ms = this.#options.now_ms();
      for (const project of due) this.#day_computed_ms.set(`${day_s} ${project}`, computed_ms);
    }
    return rows
      .map((row) => ({ row, done_15m: row.is_dirty_15m === 1, done_day: due.has(row.project_id) }))
      .filter(({ done_15m, done_day }) => done_15m || done_day);
  }

  /** Projects whose day is dirty and was not computed a moment ago. */
  #dueProjects(day_s: number, rows: readonly DirtyRow[]): Set<string> {
    const now_ms = this.#options.now_ms();
    const due = new Set<string>();
    for (const row of rows) {
      if (row.is_dirty_day !== 1) continue;
      const key = `${day_s} ${row.project_id}`;
      const last_ms = this.#day_computed_ms.get(key) ?? -Infinity;
      const age_ms = now_ms - last_ms;
      // A clock that went back gives a negative age, which must not hold the day back.
      const fresh = age_ms >= 0 && age_ms < this.#options.day_interval_ms;
      if (!due.has(row.project_id) && fresh) continue;
      due.add(row.project_id);
    }
    for (const [key, last_ms] of this.#day_computed_ms) {
      if (now_ms - last_ms >= this.#options.day_interval_ms) this.#day_computed_ms.delete(key);
    }
    return due;
  }

  async #markSettled(): Promise<void> {
    const settled = this.#settling;
    if (settled.length === 0) return;
    const marks = settled.flatMap(({ row, done_15m, done_day }) =>
      row.writers.map((writer, index) => {
        const mark = BigInt(row.marks[index] ?? 0);
        return { row, writer, done_15m: done_15m ? mark : 0n, done_day: done_day ? mark : 0n };
      }),
    );
    await this.#engine.command(loadQuery("mark_done"), {
      projects: marks.map(({ row }) => row.project_id),
      starts: marks.map(({ row }) => row.bucket_s),
      writers: marks.map(({ writer }) => writer),
      done_15m: marks.map((mark) => mark.done_15m),
      done_day: marks.map((mark) => mark.done_day),
    });
    this.#settling = [];
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

function groupByDay(rows: readonly DirtyRow[]): Map<number, DirtyRow[]> {
  const days = new Map<number, DirtyRow[]>();
  for (const row of rows) {
    const day_s = row.bucket_s - (row.bucket_s % DAY_S);
    const list = days.get(day_s);
    if (list === undefined) days.set(day_s, [row]);
    else list.push(row);
  }
  return days;
}
