/**
 * Makes the data of the query bench in a directory, in a process of its own, so that the memory of the
 * program that is measured is its own. Started by `query.ts`, which gets what is true of the data.
 *
 * Invariant: the truth is summed over the spans themselves, never over what the program reads.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Engine } from "../clickhouse/engine.ts";
import { StateStore } from "../state/store.ts";
import { openBenchEngine, queryRow } from "./engine.ts";
import { DASHBOARD_DAYS, type Filled, type FillPlan, type ProjectTruth } from "./query-plan.ts";
import { computeRollups, DAY_S, fillProjects, LAST_DAY_END_S, markPresent } from "./query-data.ts";

/** Longest that merges are waited for, ms: reading many parts is real too. */
const MAX_MERGE_WAIT_MS = 120_000;

async function fill(plan: FillPlan): Promise<Filled> {
  const { directory, spans, days, projects, traces } = plan;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const engine = await openBenchEngine(join(directory, "clickhouse"));
  try {
    const tell = (progress: string) => process.stderr.write(`${progress}\n`);
    const { projects_made } = plan;
    const size = projects_made === undefined ? {} : { projects: projects_made };
    await fillProjects(engine, { spans, days, ...size }, tell);
    await computeRollups(engine, days, tell);
    await markPresent(engine, []);
    await addProjects(engine, projects);
    await settleMerges(engine);
    const truth: ProjectTruth[] = [];
    for (const project_id of projects) truth.push(await findTruth(engine, project_id, traces));
    const sizes = await queryRow<Omit<Filled, "truth">>(
      engine,
      `SELECT toFloat64(sumIf(rows, table LIKE 'usage%')) AS rollup_rows,
         toFloat64(round(sum(bytes_on_disk) / 1e6)) AS disk_mb,
         toFloat64(countIf(table = 'spans')) AS span_parts, version() AS clickhouse
       FROM system.parts WHERE active AND database = currentDatabase()`,
    );
    return { truth, ...sizes };
  } finally {
    await engine.close();
  }
}

async function addProjects(engine: Engine, projects: readonly string[]): Promise<void> {
  const log = { info() {}, warn() {}, error() {} };
  const options = { engine, log, now_ms: Date.now, refresh_ms: 3_600_000, snapshot: null };
  const state = new StateStore(options);
  await state.start();
  const created_at = new Date().toISOString();
  const organization_id = "bench";
  const scope = { organization_id, project_id: null };
  const organization = { organization_id, name: "Bench", created_at };
  await state.put("organization", organization_id, scope, organization);
  for (const project_id of projects) {
    await state.put(
      "project",
      project_id,
      { organization_id, project_id },
      {
        project_id,
        organization_id,
        name: project_id,
        created_at,
        retention: { raw_days: null, content_days: null, rollup_days: null },
        limits: { spans_per_second: null, bytes_per_second: null, monthly_spans: null },
      },
    );
  }
  await state.stop();
}

async function settleMerges(engine: Engine): Promise<void> {
  const start_ms = performance.now();
  const sql = "SELECT toUInt32(count()) AS merges FROM system.merges";
  for (let quiet = 0; quiet < 5; quiet += 1) {
    const { merges } = await queryRow<{ merges: number }>(engine, sql);
    if (merges > 0) quiet = 0;
    if (performance.now() - start_ms > MAX_MERGE_WAIT_MS) return;
    await sleep(200);
  }
}

async function findTruth(
  engine: Engine,
  project_id: string,
  traces: number,
): Promise<ProjectTruth> {
  const params = { project_id, from_s: LAST_DAY_END_S - DASHBOARD_DAYS * DAY_S, limit: traces };
  const [sums] = await engine.query<Omit<ProjectTruth, "project_id" | "trace_ids">>(
    `SELECT toFloat64(countIf(ts >= toDateTime64({from_s:UInt32}, 9, 'UTC'))) AS calls,
       sumIf(toDecimal128(cost_input_uncached, 12) + cost_cache_read + cost_output_text,
         ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')) AS cost_usd,
       toFloat64(count()) AS all_calls
     FROM spans WHERE project_id = {project_id:String} AND span_class = 'billable'`,
    params,
  );
  const found = await engine.query<{ id: string }>(
    `SELECT lower(hex(trace_id)) AS id FROM spans
     WHERE project_id = {project_id:String} AND operation = 'invoke_agent'
     ORDER BY sipHash64(trace_id) LIMIT {limit:UInt32}`,
    params,
  );
  if (sums === undefined) throw new Error(`nothing is known of ${project_id}`);
  return { project_id, ...sums, trace_ids: found.map(({ id }) => id) };
}

const filled = await fill(JSON.parse(process.argv.at(-1) ?? "") as FillPlan);
process.send?.(filled);
process.disconnect();
