/**
 * Which dirty buckets the next round computes: fair between projects, the newest first, and none whose
 * last computation was dear and a short while ago.
 *
 * Invariant: what is due is never left out for ever: a project that was passed over goes first next time,
 * and the wait of a bucket is a multiple of what it cost.
 */

/** A mark that was seen: who wrote it, and up to which sequence. */
export type Mark = readonly [writer_id: string, sequence: string];

/** A bucket that the rollups lack, as select_dirty answers. */
export interface DirtyBucket {
  readonly project_id: string;
  readonly bucket_s: number;
  readonly marks: readonly Mark[];
  readonly is_dirty_15m: number;
  readonly is_dirty_day: number;
  /** Seconds since the last mark. */
  readonly quiet_s: number;
}

/** What is computed of one day of one project. */
export interface Task {
  readonly project_id: string;
  readonly day_s: number;
  /** Buckets whose 15-minute groups are computed. */
  readonly buckets: readonly DirtyBucket[];
  /** Buckets that the daily groups, which are computed whole, then have; empty when they are not due. */
  readonly day_buckets: readonly DirtyBucket[];
  /** Rows of spans that have to be read, about: for the buckets, and for the day. */
  readonly bucket_rows: number;
  readonly day_rows: number;
}

export interface ScheduleOptions {
  /** Least time between two computations of a day that goes on, ms. */
  readonly day_interval_ms: number;
  readonly now_ms: () => number;
}

/** What one round may take. */
export interface Budget {
  /** Time that the tasks are expected to take, ms. */
  readonly work_ms: number;
  /** Computes also what is not due. */
  readonly is_forced: boolean;
}

const DAY_S = 86_400;
/** A bucket that marks come for all the time waits this many times what it cost. */
const MOVING_WAIT = 20;
/** One whose marks have ceased. */
const QUIET_WAIT = 4;
/** Seconds without a mark after which a bucket is quiet. */
const QUIET_S = 5;
/** What a row costs until one was measured, ms for each of the rollups (research/storage.md 2.3). */
const FIRST_ROW_MS = 0.002;
/** The most that a row is believed to cost: a statement that failed tells little of rows. */
const MAX_ROW_MS = 0.05;
/** What a task costs beside its rows, as rows. */
const TASK_ROWS = 1_000;
/** What the statements of one more day cost beside that, ms: each is planned, written and synced. */
const DAY_MS = 60;
/** Rows from which on a statement tells what a row costs. */
const LEARNED_ROWS = 100_000;
/** Computations that are remembered for their wait. */
const MAX_REMEMBERED = 100_000;
/** Weight of a new measurement of a row's cost. */
const NEW_WEIGHT = 0.3;

/** When something was computed, and what it cost. */
interface Computation {
  readonly computed_ms: number;
  readonly cost_ms: number;
}

/** The schedule of one recompute. */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #buckets = new Map<string, Computation>();
  readonly #days = new Map<string, Computation>();
  /** When a project that waits was last served, or came, counted in turns. */
  #turns = new Map<string, number>();
  #turn = 0;
  #row_ms = FIRST_ROW_MS;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /** Chooses tasks for about the budget, at least one when any is due. */
  plan(
    dirty: readonly DirtyBucket[],
    rowsOf: (project_id: string, day_s: number) => ReadonlyMap<number, number>,
    budget: Budget,
  ): Task[] {
    const queues = this.#queueTasks(dirty, rowsOf, budget.is_forced);
    this.#queueUp(queues.keys());
    const names = [...queues.keys()].toSorted((a, b) => this.#turnOf(a) - this.#turnOf(b));
    const tasks: Task[] = [];
    // Who cannot have the newest of its days has none: it goes first next time, with all of the budget.
    const passed_over = new Set<string>();
    const days = new Set<number>();
    let left_ms = budget.work_ms;
    for (let rank = 0, is_more = true; is_more; rank += 1) {
      is_more = false;
      for (const name of names) {
        const task = queues.get(name)?.[rank];
        if (task === undefined || passed_over.has(name)) continue;
        const cost_ms = this.#estimate(task) + (days.has(task.day_s) ? 0 : DAY_MS);
        if (cost_ms > left_ms && tasks.length > 0) {
          passed_over.add(name);
          continue;
        }
        left_ms -= cost_ms;
        days.add(task.day_s);
        tasks.push(task);
        this.#turns.set(name, (this.#turn += 1));
        is_more = true;
      }
    }
    return tasks;
  }

  /** Who comes anew stands behind those that wait; who does not wait any more is forgotten. */
  #queueUp(names: Iterable<string>): void {
    const turns = new Map<string, number>();
    for (const name of names) turns.set(name, this.#turns.get(name) ?? (this.#turn += 1));
    this.#turns = turns;
  }

  #turnOf(name: string): number {
    return this.#turns.get(name) ?? 0;
  }

  /** Tells what tasks cost that were computed together, and learns from it. */
  note(kind: "buckets" | "day", tasks: readonly Task[], duration_ms: number): void {
    const computed_ms = this.#options.now_ms();
    const rowsIn = (task: Task) => (kind === "day" ? task.day_rows : task.bucket_rows);
    const all_rows = tasks.reduce((sum, task) => sum + rowsIn(task) + TASK_ROWS, 0);
    const statements = kind === "day" ? 2 : 1;
    const row_ms = Math.min(Math.max(duration_ms, 0) / all_rows / statements, MAX_ROW_MS);
    // In a small one it is not the rows that cost.
    if (all_rows >= LEARNED_ROWS) this.#row_ms += (row_ms - this.#row_ms) * NEW_WEIGHT;
    for (const task of tasks) {
      const part_ms = (duration_ms * (rowsIn(task) + TASK_ROWS)) / all_rows;
      if (kind === "day") {
        remember(this.#days, keyOf(task.project_id, task.day_s), { computed_ms, cost_ms: part_ms });
        continue;
      }
      for (const { bucket_s } of task.buckets) {
        const cost_ms = part_ms / task.buckets.length;
        remember(this.#buckets, keyOf(task.project_id, bucket_s), { computed_ms, cost_ms });
      }
    }
  }

  /** Milliseconds the task is expected to take. */
  #estimate({ buckets, bucket_rows, day_buckets, day_rows }: Task): number {
    const rows_15m = buckets.length > 0 ? bucket_rows + TASK_ROWS : 0;
    const rows_day = day_buckets.length > 0 ? 2 * (day_rows + TASK_ROWS) : 0;
    return (rows_15m + rows_day) * this.#row_ms;
  }

  #queueTasks(
    dirty: readonly DirtyBucket[],
    rowsOf: (project_id: string, day_s: number) => ReadonlyMap<number, number>,
    is_forced: boolean,
  ): Map<string, Task[]> {
    const queues = new Map<string, Task[]>();
    for (const own of groupByDay(dirty)) {
      const { project_id, bucket_s } = own[0] as DirtyBucket;
      const day_s = bucket_s - (bucket_s % DAY_S);
      const rows = rowsOf(project_id, day_s);
      const day_rows = [...rows.values()].reduce((sum, count) => sum + count, 0);
      const buckets = own.filter(
        (bucket) =>
          bucket.is_dirty_15m === 1 &&
          (is_forced || this.#isBucketDue(bucket, rows.get(bucket.bucket_s) ?? 0)),
      );
      const of_day = own.filter(({ is_dirty_day }) => is_dirty_day === 1);
      const is_day_due = is_forced || this.#isDayDue(project_id, day_s, of_day, day_rows);
      const day_buckets = is_day_due ? of_day : [];
      if (buckets.length === 0 && day_buckets.length === 0) continue;
      const bucket_rows = buckets.reduce((sum, item) => sum + (rows.get(item.bucket_s) ?? 0), 0);
      const task = { project_id, day_s, buckets, day_buckets, bucket_rows, day_rows };
      const queue = queues.get(project_id);
      if (queue === undefined) queues.set(project_id, [task]);
      else queue.push(task);
    }
    for (const queue of queues.values()) queue.sort((a, b) => b.day_s - a.day_s);
    return queues;
  }

  #isBucketDue({ project_id, bucket_s, quiet_s }: DirtyBucket, rows: number): boolean {
    const last = this.#buckets.get(keyOf(project_id, bucket_s));
    return this.#hasWaited(last, { start_s: bucket_s, quiet_s, cost_ms: rows * this.#row_ms }, 0);
  }

  #isDayDue(
    project_id: string,
    day_s: number,
    buckets: readonly DirtyBucket[],
    rows: number,
  ): boolean {
    const last = this.#days.get(keyOf(project_id, day_s));
    const quiet_s = Math.min(...buckets.map((bucket) => bucket.quiet_s));
    const cost_ms = 2 * rows * this.#row_ms;
    return this.#hasWaited(
      last,
      { start_s: day_s, quiet_s, cost_ms },
      this.#options.day_interval_ms,
    );
  }

  /** Whether the last computation, or the beginning, is long enough ago for what it costs. */
  #hasWaited(
    last: Computation | undefined,
    next: { start_s: number; quiet_s: number; cost_ms: number },
    least_ms: number,
  ): boolean {
    const is_moving = next.quiet_s < QUIET_S;
    if (last === undefined && !is_moving) return true;
    const since_ms = last?.computed_ms ?? next.start_s * 1000;
    const waited_ms = this.#options.now_ms() - since_ms;
    // What goes on costs more each time; what has ceased is computed once more.
    const cost_ms = Math.max(last?.cost_ms ?? 0, is_moving ? next.cost_ms : 0);
    const wait_ms = cost_ms * (is_moving ? MOVING_WAIT : QUIET_WAIT);
    // A clock that went back gives a negative time, which must not hold anything back.
    return waited_ms < 0 || waited_ms >= Math.max(wait_ms, last === undefined ? 0 : least_ms);
  }
}

function keyOf(project_id: string, start_s: number): string {
  return `${start_s} ${project_id}`;
}

/** Keeps the newest; one that is forgotten is computed a little earlier than it should. */
function remember(map: Map<string, Computation>, key: string, computation: Computation): void {
  map.delete(key);
  map.set(key, computation);
  if (map.size <= MAX_REMEMBERED) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

function groupByDay(dirty: readonly DirtyBucket[]): DirtyBucket[][] {
  const groups = new Map<string, DirtyBucket[]>();
  for (const bucket of dirty) {
    const key = keyOf(bucket.project_id, bucket.bucket_s - (bucket.bucket_s % DAY_S));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [bucket]);
    else group.push(bucket);
  }
  return [...groups.values()];
}
