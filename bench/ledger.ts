/**
 * The ledger bench: what reading and keeping the ledger costs. Three questions, each asked of the
 * product's own queries:
 *
 * - `calls_*`: `calls` as a view over `spans FINAL`, against a table of its own with the same rows;
 * - `usage_15m_*`: the view `usage_15m` with no, few and all buckets dirty, against its rollup alone;
 * - `recompute`: computing all rollups anew.
 *
 * Not measured: many readers at once, a cold page cache, merges that run at the same time, projects
 * of very different size.
 */
import { join } from "node:path";
import type { Engine, Params } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import {
  DEFAULT_DAY_INTERVAL_MS,
  DEFAULT_MAX_BUCKETS,
  Recompute,
} from "../collector/recompute/recompute.ts";
import { openBenchEngine, queryRow, readVersion } from "./engine.ts";
import {
  DAY_S,
  fillSpans,
  FIRST_DAY_S,
  type LedgerSize,
  PARTS_PER_DAY,
  PROJECTS,
} from "./ledger-data.ts";
import {
  type BenchOptions,
  type BenchResult,
  type GroupResult,
  hashOf,
  measure,
  type Variant,
} from "./measure.ts";

const SIZES = { full: { spans: 1_000_000, days: 10 }, small: { spans: 20_000, days: 2 } };

/** What the parts of the bench share. */
interface Ledger {
  readonly engine: Engine;
  readonly size: LedgerSize;
  readonly options: BenchOptions;
}

/** Runs the bench. Throws when two ways of reading give different answers. */
export async function runLedger(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const engine = await openBenchEngine(join(options.directory, "clickhouse"));
  const ledger = { engine, size, options };
  try {
    options.tell(`ledger: making ${size.spans} spans`);
    await fillSpans(engine, size);
    await makeCallsTable(ledger);
    const groups = await measureCalls(ledger, `${PARTS_PER_DAY}_parts_a_day`);
    options.tell("ledger: merging the parts");
    await mergeParts(engine);
    groups.push(...(await measureCalls(ledger, "merged")));
    groups.push(await measureRecompute(ledger));
    groups.push(...(await measureUsage(ledger)));
    const facts = { ...size, projects: PROJECTS, ...(await readSizes(engine)) };
    return { name: "ledger", clickhouse: await readVersion(engine), facts, groups };
  } finally {
    await engine.close();
  }
}

/** Columns of `spans` that a ledger row does not have. */
const NOT_IN_CALLS = [
  "attributes",
  "resource_attributes",
  "event_times",
  "event_names",
  "event_attributes",
  "link_trace_ids",
  "link_span_ids",
  "link_attributes",
];

/** The alternative: a table of calls alone, with the key, codecs and indexes of `spans`. */
async function makeCallsTable({ engine, size }: Ledger): Promise<void> {
  await engine.command("CREATE TABLE calls_table AS spans");
  await engine.command(
    `ALTER TABLE calls_table ${NOT_IN_CALLS.map((name) => `DROP COLUMN ${name}`).join(", ")}`,
  );
  await engine.command("SYSTEM STOP MERGES calls_table");
  const columns = `* EXCEPT (${NOT_IN_CALLS.join(", ")})`;
  for (let part = 0; part < size.days * PARTS_PER_DAY; part += 1) {
    const from_s = FIRST_DAY_S + (part * DAY_S) / PARTS_PER_DAY;
    await engine.command(
      `INSERT INTO calls_table SELECT ${columns} FROM spans
       WHERE span_class IN ('billable', 'aggregate') AND ts >= toDateTime(${from_s}, 'UTC')
         AND ts < toDateTime(${from_s + DAY_S / PARTS_PER_DAY}, 'UTC')`,
    );
  }
  // The same views on top, so that only what they read differs.
  for (const view of ["ledger_spans", "calls", "usage_calls"]) {
    const { sql } = await queryRow<{ sql: string }>(
      engine,
      `SELECT as_select AS sql FROM system.tables
       WHERE database = currentDatabase() AND name = '${view}'`,
    );
    await engine.command(`CREATE VIEW ${view}_of_table AS ${readTable(sql)}`);
  }
}

/** The same SQL over the table of calls. Throws when it reads neither `spans` nor a view of it. */
function readTable(sql: string): string {
  const changed = sql
    .replace(/FROM (\w+\.)?spans FINAL/, "FROM calls_table FINAL")
    .replace(/FROM (\w+\.)?(usage_calls|calls|ledger_spans)(?=\s|$)/, "FROM $2_of_table AS $2");
  if (changed === sql) throw new Error(`this reads no calls: ${sql}`);
  return changed;
}

async function mergeParts(engine: Engine): Promise<void> {
  for (const table of ["spans", "calls_table"]) {
    await engine.command(`SYSTEM START MERGES ${table}`);
    await engine.command(`OPTIMIZE TABLE ${table} FINAL`);
  }
}

/** Bytes on disk, after merging, of what holds the calls. */
async function readSizes(engine: Engine): Promise<Record<string, number>> {
  const rows = await engine.query<{ table: string; size: number; rows: number }>(
    `SELECT table, toFloat64(sum(bytes_on_disk)) AS size, toFloat64(sum(rows)) AS rows
     FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table`,
  );
  const sizes = new Map(rows.map((row) => [row.table, row]));
  const calls = sizes.get("calls_table")?.rows ?? Number.NaN;
  const perRow = (table: string, count: number | undefined) =>
    Math.round(((sizes.get(table)?.size ?? Number.NaN) / (count ?? Number.NaN)) * 10) / 10;
  return {
    calls,
    disk_bytes_per_span: perRow("spans", sizes.get("spans")?.rows),
    disk_bytes_per_call_in_own_table: perRow("calls_table", calls),
    usage_15m_rows: sizes.get("usage_15m_rollup")?.rows ?? Number.NaN,
    usage_15m_disk_bytes_per_call: perRow("usage_15m_rollup", calls),
    usage_day_disk_bytes_per_call: perRow("usage_day_rollup", calls),
    usage_user_day_disk_bytes_per_call: perRow("usage_user_day_rollup", calls),
  };
}

/** A variant that asks one query again and again; its hash is that of the answer. */
function queryVariant(
  engine: Engine,
  job: {
    readonly name: string;
    readonly description: string;
    readonly sql: string;
    readonly params?: Params;
    readonly prepare?: () => Promise<void>;
  },
): Variant {
  const { name, description, sql, params = {}, prepare } = job;
  return {
    name,
    description,
    ...(prepare === undefined ? {} : { prepare }),
    async verify() {
      const rows = await engine.query(sql, params);
      if (rows.length === 0) throw new Error(`${name} finds nothing`);
      return { hash: hashOf(rows.map((row) => JSON.stringify(row))), agrees_on: "the answer" };
    },
    async run(record) {
      const start_ms = performance.now();
      await engine.query(sql, params);
      record(performance.now() - start_ms);
      return { units: 1, bytes: 0 };
    },
  };
}

/** The filters of `select_calls.sql`, none set. */
const NO_FILTERS: Params = {
  model: [],
  request_model: [],
  response_model: [],
  provider: [],
  operation: [],
  environment: [],
  price_id: [],
  service_name: [],
  agent_name: [],
  user_id: [],
  session_id: [],
  status: "",
  trace_id: "",
  cursor_trace_id: "",
  cursor_span_id: "",
  cursor_ns: 0,
};

const PROJECT = { project_id: "p7" };

interface Question {
  readonly name: string;
  readonly sql: string;
  readonly params: Params;
}

function callQuestions({ days }: LedgerSize, session_id: string): Question[] {
  const end_s = FIRST_DAY_S + days * DAY_S;
  const scanned_s = FIRST_DAY_S + Math.floor(days / 2) * DAY_S;
  return [
    {
      name: "latest_100",
      sql: loadQuery("select_calls"),
      params: { ...NO_FILTERS, ...PROJECT, from_s: end_s - DAY_S, to_s: end_s, limit: 100 },
    },
    {
      name: "cost_by_model",
      sql: `SELECT model, sum(cost_input_uncached + cost_cache_read + cost_output_text) AS cost
          FROM calls
          WHERE project_id = {project_id:String}
          GROUP BY model ORDER BY model`,
      params: PROJECT,
    },
    {
      name: "one_session",
      sql: loadQuery("select_calls"),
      params: {
        ...NO_FILTERS,
        ...PROJECT,
        session_id: [session_id],
        from_s: FIRST_DAY_S,
        to_s: end_s,
        limit: 1_000,
      },
    },
    {
      // The reading half of a recompute of one day: all projects, all measures that it sums.
      name: "day_scan",
      sql: `SELECT count() AS groups, sum(calls) AS calls, sum(cost) AS cost, sum(tokens) AS tokens,
                 sum(duration_ns_sum) AS duration_ns_sum, sum(length(histogram)) AS histogram_keys
          FROM (
            SELECT project_id, bucket, provider, request_model, response_model, operation,
                   environment, price_id,
                   sum(usage_calls.calls) AS calls,
                   sum(cost_input_uncached + cost_cache_read + cost_output_text) AS cost,
                   sum(tokens_input_uncached + tokens_cache_read + tokens_output_text) AS tokens,
                   sum(usage_calls.duration_ns_sum) AS duration_ns_sum,
                   sumMap(duration_histogram) AS histogram
            FROM usage_calls
            WHERE ts >= toDateTime({from_s:UInt32}, 'UTC') AND ts < toDateTime({to_s:UInt32}, 'UTC')
            GROUP BY project_id, bucket, provider, request_model, response_model, operation,
                     environment, price_id
          )`,
      params: { from_s: scanned_s, to_s: scanned_s + DAY_S },
    },
  ];
}

async function measureCalls(ledger: Ledger, state: string): Promise<GroupResult[]> {
  const { engine, size, options } = ledger;
  const groups: GroupResult[] = [];
  const { session } = await queryRow<{ session: string }>(
    engine,
    `SELECT min(session_id) AS session FROM calls WHERE project_id = '${PROJECT.project_id}'`,
  );
  for (const { name, sql, params } of callQuestions(size, session)) {
    const table = { name: "table", description: "baseline: a table of calls alone", params };
    const view = { name: "view", description: "the view calls over spans FINAL", sql, params };
    groups.push(
      await measure(
        [queryVariant(engine, { ...table, sql: readTable(sql) }), queryVariant(engine, view)],
        groupOptions(options, `calls_${name}_${state}`, "table"),
      ),
    );
  }
  return groups;
}

function groupOptions(options: BenchOptions, name: string, baseline: string) {
  const { small, tell } = options;
  const runs = small ? 1 : 5;
  return { name, unit: "query", runs, sample_ms: small ? 1 : 250, baseline, tell } as const;
}

/** Marks made by the bench; each change of state has a later one than the change before. */
let mark = 1;

const MARK_COLUMNS = "(project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)";

/** Marks the latest buckets, over all projects, that many of them, as changed. */
async function markDirty(engine: Engine, limit: number): Promise<void> {
  mark += 1;
  await engine.command(
    `INSERT INTO rollup_dirty ${MARK_COLUMNS}
     SELECT project_id, bucket, 'bench', ${mark}, 0, 0, now()
     FROM (SELECT DISTINCT project_id, toStartOfFifteenMinutes(ts) AS bucket FROM spans)
     ORDER BY bucket DESC, project_id LIMIT ${limit}`,
  );
}

/** Says that every bucket was computed. */
async function markClean(engine: Engine): Promise<void> {
  await engine.command(
    `INSERT INTO rollup_dirty ${MARK_COLUMNS}
     SELECT project_id, bucket, 'bench', 0, ${mark}, ${mark}, now()
     FROM (SELECT DISTINCT project_id, bucket FROM rollup_dirty)`,
  );
}

/** More than there are. */
const ALL_BUCKETS = 1_000_000;
/** Dirty buckets under load: each project has its open bucket and the one before. */
const FEW_BUCKETS = 2 * PROJECTS;

/** Needs the rollups to be computed. */
async function measureUsage({ engine, options }: Ledger): Promise<GroupResult[]> {
  const select = (source: string, where: string) =>
    `SELECT provider, sum(calls) AS calls, sum(cost_output_text) AS cost FROM ${source}
     WHERE ${where} AND bucket >= toDateTime(${FIRST_DAY_S}, 'UTC')
     GROUP BY provider ORDER BY provider`;
  const questions = [
    { name: "one_project", where: "project_id = {project_id:String}", params: PROJECT },
    { name: "all_projects", where: "project_id != ''", params: {} },
  ];
  const become = (dirty: number) => async () => {
    await markClean(engine);
    if (dirty > 0) await markDirty(engine, dirty);
  };
  const groups: GroupResult[] = [];
  for (const { name, where, params } of questions) {
    const make = (variant: string, description: string, source: string, dirty: number) =>
      queryVariant(engine, {
        name: variant,
        description,
        sql: select(source, where),
        params,
        prepare: become(dirty),
      });
    const variants = [
      make("rollup", "baseline: the rollup table alone", "usage_15m_rollup FINAL", 0),
      make("clean", "the view, no bucket dirty", "usage_15m", 0),
      make("few_dirty", `the view, ${FEW_BUCKETS} buckets dirty`, "usage_15m", FEW_BUCKETS),
      make("all_dirty", "the view, all buckets dirty", "usage_15m", ALL_BUCKETS),
    ];
    const group_options = groupOptions(options, `usage_15m_${name}`, "rollup");
    groups.push(await measure(variants, group_options));
  }
  await markClean(engine);
  return groups;
}

const ROLLUPS = ["usage_15m_rollup", "usage_day_rollup", "usage_user_day_rollup"];

/** Everything from nothing, and everything once more over what is there. Leaves it computed. */
async function measureRecompute({ engine, options }: Ledger): Promise<GroupResult> {
  const empty = async () => {
    for (const table of [...ROLLUPS, "rollup_dirty"])
      await engine.command(`TRUNCATE TABLE ${table}`);
    await markDirty(engine, ALL_BUCKETS);
  };
  const variants = [
    drainVariant(engine, "empty", "baseline: all buckets, the rollups empty", empty),
    drainVariant(engine, "full", "all buckets again, the rollups full", () =>
      markDirty(engine, ALL_BUCKETS),
    ),
  ];
  return measure(variants, {
    ...groupOptions(options, "recompute", "empty"),
    runs: options.small ? 1 : 3,
    sample_ms: 1, // one drain, which takes seconds at full size
  });
}

function drainVariant(
  engine: Engine,
  name: string,
  description: string,
  prepare: () => Promise<void>,
): Variant {
  const drain = async () => {
    let buckets = 0;
    const recompute = new Recompute(engine, {
      interval_ms: 1,
      max_buckets: DEFAULT_MAX_BUCKETS,
      day_interval_ms: DEFAULT_DAY_INTERVAL_MS,
      now_ms: Date.now,
      observe(event) {
        if (event.kind === "failed") throw new Error(event.message);
        buckets += event.buckets;
      },
    });
    const start_ms = performance.now();
    await recompute.drain();
    return { buckets, duration_s: (performance.now() - start_ms) / 1_000 };
  };
  return {
    name,
    description,
    prepare,
    async verify() {
      await drain();
      return { hash: await checkRollups(engine), agrees_on: "the sums" };
    },
    async run() {
      const { buckets, duration_s } = await drain();
      const { calls } = await queryRow<{ calls: number }>(engine, CALL_COUNT);
      const figures = { calls_per_s: calls / duration_s, buckets_per_s: buckets / duration_s };
      return { units: 1, bytes: 0, figures };
    },
  };
}

const CALL_COUNT =
  "SELECT toFloat64(count()) AS calls FROM spans FINAL WHERE span_class = 'billable'";

/** The sums of a rollup or of the calls, as text. Throws when a rollup has others than the calls. */
async function checkRollups(engine: Engine): Promise<string> {
  const sums = async (source: string) => {
    const sql = `SELECT toString(tuple(sum(calls), sum(tokens_input_uncached),
                   sum(cost_input_uncached), sum(cost_output_text))) AS sums FROM ${source}`;
    return (await queryRow<{ sums: string }>(engine, sql)).sums;
  };
  const expected = await sums("usage_calls");
  for (const table of ROLLUPS) {
    const found = await sums(`${table} FINAL`);
    if (found !== expected) throw new Error(`${table} has ${found}, the calls have ${expected}`);
  }
  return hashOf([expected]);
}
