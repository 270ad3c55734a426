/** Jobs for tests: a store on a real engine, a runner whose clock moves, and spans that are easy to sum. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine, Params } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { Recompute } from "../collector/recompute/recompute.ts";
import type { Job } from "../schemas/jobs.ts";
import { Attributes, type Span } from "../schemas/span.ts";
import { StateStore } from "../state/store.ts";
import { clearLedger, insertSpans, replaceMethods } from "../test/support/ledger.ts";
import { byClass, idBytes, makeSpan } from "../test/support/span.ts";
import { ExportFiles } from "./export-files.ts";
import type { JobTools } from "./job.ts";
import { JobRunner } from "./jobs.ts";
import type { LocalLogs } from "./local-logs.ts";

export const SILENT = { info: () => {}, warn: () => {}, error: () => {} };

export interface Workshop {
  readonly tools: JobTools;
  readonly runner: JobRunner;
  readonly directory: string;
  /** Files of logs that are there; to be changed by tests. */
  readonly segments: string[];
  clock: { ms: number };
  /** Rounds until every job is over, time and rollups going on between them. */
  finish(max_rounds?: number): Promise<void>;
  findJob(job_id: string): Job;
  close(): Promise<void>;
}

export interface WorkshopOptions {
  readonly now_ms: number;
  readonly has_logs?: boolean;
  readonly max_export_bytes?: number;
  /** Whether old files of the engine are waited for, which takes it seconds; they are taken for gone. */
  readonly waits_for_files?: boolean;
}

export async function openWorkshop(
  engine: Engine,
  { now_ms, has_logs = true, max_export_bytes = 1 << 30, waits_for_files = false }: WorkshopOptions,
): Promise<Workshop> {
  const clock = { ms: now_ms };
  const directory = mkdtempSync(join(tmpdir(), "spanledger-rights-"));
  const segments: string[] = [];
  const state = new StateStore({
    engine,
    log: SILENT,
    now_ms: () => clock.ms,
    refresh_ms: 3_600_000,
    snapshot: null,
  });
  await state.start();
  const logs: LocalLogs = {
    listSegments: async () => [...segments],
    countDeadLetters: async () => 0,
  };
  const sweeping = replaceMethods(engine, {
    query: async <Row>(sql: string, params?: Params) =>
      sql === loadQuery("count_outdated_parts") && !waits_for_files
        ? ([{ parts: 0 }] as Row[])
        : engine.query<Row>(sql, params),
  });
  const tools: JobTools = {
    engine: sweeping,
    state,
    log: SILENT,
    now_ms: () => clock.ms,
    logs: has_logs ? logs : null,
    exports: new ExportFiles(directory),
    limits: { export_max_bytes: max_export_bytes, export_keep_days: 7 },
  };
  const runner = new JobRunner({ tools, lease: null, max_jobs: 4 });
  const isOver = () =>
    state.list("job").every(({ body }) => ["done", "failed", "canceled"].includes(body.state));
  return {
    tools,
    runner,
    directory,
    segments,
    clock,
    async finish(max_rounds = 60) {
      for (let round = 0; round < max_rounds; round += 1) {
        await runner.round();
        if (isOver()) return;
        await recompute(engine);
        clock.ms += 120_000;
        // The engine removes old files by its own clock.
        if (waits_for_files) await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(`jobs go on: ${JSON.stringify(state.list("job").map(({ body }) => body))}`);
    },
    findJob(job_id) {
      const job = state.find("job", job_id);
      if (job === undefined) throw new Error(`no job ${job_id}`);
      return job.body;
    },
    async close() {
      await state.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Brings the rollups up to date. */
export async function recompute(engine: Engine): Promise<void> {
  await new Recompute(engine, {
    interval_ms: 1,
    max_buckets: 10_000,
    day_interval_ms: 0,
    now_ms: Date.now,
    observe: (event) => {
      if (event.kind === "failed") throw new Error(event.message);
    },
  }).drain();
}

/** Empties everything that jobs look at. */
export async function clearAll(engine: Engine): Promise<void> {
  await clearLedger(engine);
  for (const table of [
    "call_decisions",
    "usage_metric_points",
    "set_aside_items",
    "raw_floors",
    "erased_spans",
    "state_objects",
  ]) {
    await engine.command(`TRUNCATE TABLE ${table}`);
  }
}

let next_id = 1;

export interface CallOptions {
  readonly project_id: string;
  readonly user_id: string;
  /** Unix seconds. */
  readonly at_s: number;
  readonly tokens: number;
  readonly attributes?: readonly (readonly [string, string])[];
  readonly trace?: string;
  readonly changes?: Partial<Span>;
}

/** A call with ids of its own. */
export function makeCall(options: CallOptions): Span {
  const { project_id, user_id, at_s, tokens, changes } = options;
  const number = (next_id += 1).toString(16);
  const attributes = new Attributes();
  for (const [key, value] of options.attributes ?? []) attributes.add(key, value);
  return makeSpan({
    project_id,
    user_id,
    start_ns: BigInt(at_s) * 1_000_000_000n + 123n,
    trace_id: idBytes(options.trace ?? number.padStart(32, "0")),
    span_id: idBytes(number.padStart(16, "0")),
    response_id: `response-${number}`,
    tokens: byClass({ input_uncached: tokens, output_text: 1 }),
    cost: byClass({ input_uncached: BigInt(tokens) * 1_000n, output_text: 7n }),
    attributes,
    ...changes,
  });
}

let sequence = 1_000;

/** Inserts calls as a collector does. */
export async function deliver(engine: Engine, spans: readonly Span[]): Promise<void> {
  await insertSpans(engine, spans, (sequence += 1));
}

/** What a project has used, by each of the ways that answers take. */
export async function sumUsage(engine: Engine, project_id: string): Promise<object> {
  const sums = async (table: string) => {
    const [row] = await engine.query<object>(
      `SELECT sum(calls) AS calls, sum(tokens_input_uncached) AS tokens, toString(sum(cost_input_uncached)) AS cost
       FROM ${table} WHERE project_id = {project_id:String}`,
      { project_id },
    );
    return row;
  };
  const [calls] = await engine.query<object>(
    `SELECT count() AS calls, sum(tokens_input_uncached) AS tokens, toString(sum(toDecimal128(cost_input_uncached, 12))) AS cost
     FROM calls WHERE project_id = {project_id:String}`,
    { project_id },
  );
  return {
    calls,
    by_15m: await sums("usage_15m"),
    by_day: await sums("usage_day"),
    by_user: await sums("usage_user_day"),
  };
}
