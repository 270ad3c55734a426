/**
 * Computes the groups of chosen buckets and days in statements of bounded memory and time: one thread,
 * sums that spill to disk, and smaller portions when a statement needs more than it may have.
 *
 * Invariant: a task is answered as computed only when its rows are written and the lease still held then.
 */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { RetryableError } from "../../schemas/errors.ts";
import type { Lease } from "./lease.ts";
import type { Task } from "./schedule.ts";

export interface ComputeOptions {
  /** Memory of one statement, bytes. */
  readonly memory_bytes: number;
  /** Longest time of one statement, ms. */
  readonly statement_ms: number;
  /** Held while computing; undefined where no other process can reach the engine. */
  readonly lease: Lease | undefined;
  readonly now_ms: () => number;
  /** Tells what tasks cost that were computed together. */
  readonly note: (kind: Kind, tasks: readonly Task[], duration_ms: number) => void;
  /** Takes what cannot be computed: one bucket, or one day of a project. May throw to end the round. */
  readonly tellTooLarge: (kind: Kind, tasks: readonly Task[], error: RetryableError) => void;
}

/** What is computed: the 15-minute groups of buckets, or the daily groups of days. */
export type Kind = "buckets" | "day";

/** Longest time of one statement, ms; beyond it the portion was too large. */
export const DEFAULT_STATEMENT_MS = 50_000;
/** The part of its memory that a statement uses before its sums spill to disk. */
const SPILL_PART = 0.25;
/** Parts that a join is cut into when it is too large for memory. */
const JOIN_PARTS = 32;
/** Rows that are worked on at once in the last attempt. */
const THRIFTY_BLOCK_ROWS = 8_192;
/** MEMORY_LIMIT_EXCEEDED and TIMEOUT_EXCEEDED: a smaller portion may succeed. */
const TOO_LARGE: ReadonlySet<string> = new Set(["clickhouse_241", "clickhouse_159"]);
const DAY_S = 86_400;

const QUERIES: Readonly<Record<Kind, readonly string[]>> = {
  buckets: ["recompute_15m"],
  day: ["recompute_day", "recompute_user_day"],
};

/** The lease went to another while a statement ran: what it wrote may be older than what is there. */
export class LeaseLostError extends RetryableError {
  /** What the statement computed. */
  readonly tasks: readonly Task[];

  constructor(tasks: readonly Task[]) {
    super("lease_lost", "another collector has taken over the recompute; it goes on there");
    this.tasks = tasks;
  }
}

/** Whether a statement failed because its portion was too large for its memory or time. */
function isTooLarge(error: unknown): error is RetryableError {
  return error instanceof RetryableError && TOO_LARGE.has(error.code);
}

/**
 * Computes tasks of one day, at least one, by halves when they are too large together; answers what was
 * computed of them. Rejects with LeaseLostError, or with an error of the engine that is not about size.
 */
export async function computeDay(
  engine: Engine,
  kind: Kind,
  tasks: readonly Task[],
  version: bigint,
  options: ComputeOptions,
): Promise<readonly Task[]> {
  const halves = split(kind, tasks);
  for (const is_thrifty of halves === null ? [false, true] : [false]) {
    try {
      await runTimed(engine, kind, tasks, version, options, is_thrifty);
      return tasks;
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      if (is_thrifty) options.tellTooLarge(kind, tasks, error);
    }
  }
  const computed: Task[] = [];
  for (const half of halves ?? []) {
    computed.push(...(await computeDay(engine, kind, half, version, options)));
  }
  return computed;
}

async function runTimed(
  engine: Engine,
  kind: Kind,
  tasks: readonly Task[],
  version: bigint,
  options: ComputeOptions,
  is_thrifty: boolean,
): Promise<void> {
  const { lease, now_ms } = options;
  const started_ms = now_ms();
  const settings = settingsOf(options, is_thrifty);
  const params = paramsOf(kind, tasks);
  for (const query of QUERIES[kind]) {
    if (lease !== undefined && !(await lease.hold())) throw new LeaseLostError([]);
    const bound = {
      ver: version,
      lease: lease?.token ?? "",
      reserve_ms: lease?.reserve_ms ?? 0,
    };
    await engine.command(`${loadQuery(query)}\n${settings}`, { ...params, ...bound });
    if (lease !== undefined && !lease.isHeld()) throw new LeaseLostError(tasks);
  }
  options.note(kind, tasks, now_ms() - started_ms);
}

function paramsOf(kind: Kind, tasks: readonly Task[]): Params {
  const [{ day_s }] = tasks as [Task, ...Task[]];
  const range = { from_s: day_s, to_s: day_s + DAY_S };
  if (kind === "day") return { ...range, projects: tasks.map(({ project_id }) => project_id) };
  const buckets = tasks.flatMap((task) => task.buckets);
  return {
    ...range,
    projects: buckets.map(({ project_id }) => project_id),
    starts: buckets.map(({ bucket_s }) => bucket_s),
  };
}

/** The settings of one statement: one thread, bounded memory and time, spilling before it fails. */
function settingsOf({ memory_bytes, statement_ms }: ComputeOptions, is_thrifty: boolean): string {
  const settings: Record<string, number | string> = {
    max_threads: 1,
    max_insert_threads: 1,
    max_memory_usage: memory_bytes,
    max_bytes_before_external_group_by: Math.floor(memory_bytes * SPILL_PART),
    max_bytes_ratio_before_external_group_by: 0,
    max_execution_time: Math.ceil(statement_ms / 1000),
    ...(is_thrifty
      ? {
          max_bytes_before_external_group_by: Math.floor((memory_bytes * SPILL_PART) / 4),
          max_block_size: THRIFTY_BLOCK_ROWS,
          join_algorithm: "'grace_hash'",
          grace_hash_join_initial_buckets: JOIN_PARTS,
        }
      : {}),
  };
  const list = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return `SETTINGS ${list.join(", ")}`;
}

/** Two halves of a portion; null for one that cannot be cut: a bucket, or a day of a project. */
function split(kind: Kind, tasks: readonly Task[]): [Task[], Task[]] | null {
  const middle = tasks.length >> 1;
  if (middle > 0) return [tasks.slice(0, middle), tasks.slice(middle)];
  const [task] = tasks as [Task, ...Task[]];
  const half = task.buckets.length >> 1;
  if (kind === "day" || half === 0) return null;
  const bucket_rows = task.bucket_rows / 2;
  return [
    [{ ...task, bucket_rows, buckets: task.buckets.slice(0, half) }],
    [{ ...task, bucket_rows, buckets: task.buckets.slice(half) }],
  ];
}
