/**
 * The rollup bench: what a dashboard of 30 days of one project costs. Three questions:
 *
 * - `compaction_*`: the rollup as the recompute leaves it, a part for each round, against one part a
 *   month;
 * - `dirty_*`: the view while none, a late one, a tenth, half and all of the project's buckets are dirty;
 * - `marks_*`: the view beside many marks that are done, as it reads them now and as it did before
 *   (migrations 0020 and 0021).
 *
 * Not measured: many readers at once, a cold page cache, more than one month of history.
 */
import { join } from "node:path";
import type { Engine, Params } from "../clickhouse/engine.ts";
import { fillPlaceholders, readMigrations } from "../clickhouse/migrate.ts";
import { Recompute } from "../collector/recompute/recompute.ts";
import { openBenchEngine, queryRow, readVersion } from "./engine.ts";
import { DAY_S, fillSpans, FIRST_DAY_S, PROJECTS } from "./ledger-data.ts";
import {
  type BenchOptions,
  type BenchResult,
  type GroupResult,
  hashOf,
  measure,
  type Variant,
} from "./measure.ts";

const DAYS = 30;
const SIZES = {
  full: { spans: 1_000_000, days: DAYS, round_buckets: 5_000, done_marks: 50_000 },
  small: { spans: 20_000, days: 6, round_buckets: 8_000, done_marks: 5_000 },
};
const PROJECT = "p3";
const PARAMS: Params = { project_id: PROJECT };

/** A rollup, its view before and now, and what a dashboard asks of it. */
interface Source {
  readonly view: string;
  readonly before: string;
  readonly time: string;
  /** The migration that made the view before. */
  readonly migration: string;
}

const SOURCES: readonly Source[] = [
  {
    view: "usage_15m",
    before: "usage_15m_before",
    time: "bucket",
    migration: "0020_usage_15m",
  },
  {
    view: "usage_day",
    before: "usage_day_before",
    time: "day",
    migration: "0021_usage_day",
  },
];

/** Runs the bench. Throws when two ways of reading give different answers. */
export async function runRollups(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const engine = await openBenchEngine(join(options.directory, "clickhouse"));
  try {
    options.tell(`rollups: making ${size.spans} spans of ${size.days} days`);
    await fillSpans(engine, size);
    await engine.command("SYSTEM START MERGES spans");
    await engine.command("OPTIMIZE TABLE spans FINAL");
    options.tell("rollups: computing them");
    await computeInParts(engine, size.round_buckets);
    await makeViewsBefore(engine);
    const groups: GroupResult[] = [];
    const parts: Record<string, number> = {};
    for (const source of SOURCES) {
      const { compared, loose_parts } = await measureCompaction(engine, source, options);
      groups.push(compared);
      parts[`${source.view}_parts_before`] = loose_parts;
    }
    for (const source of SOURCES) groups.push(await measureDirty(engine, source, options));
    for (const source of SOURCES) {
      groups.push(await measureMarks(engine, source, options, size.done_marks));
    }
    const { round_buckets: _round, ...facts } = size;
    return {
      name: "rollups",
      clickhouse: await readVersion(engine),
      facts: { ...facts, projects: PROJECTS, ...parts },
      groups,
    };
  } finally {
    await engine.close();
  }
}

/** Computes all rollups in rounds, and leaves the parts that each round wrote. */
async function computeInParts(engine: Engine, max_buckets: number): Promise<void> {
  for (const { view } of SOURCES) await engine.command(`SYSTEM STOP MERGES ${view}_rollup`);
  await engine.command(
    `INSERT INTO rollup_dirty ${MARK_COLUMNS}
     SELECT DISTINCT project_id, toStartOfFifteenMinutes(ts), 'bench', 1, 0, 0, now() FROM spans`,
  );
  const recompute = new Recompute(engine, {
    interval_ms: 1,
    max_buckets,
    day_interval_ms: 0,
    now_ms: Date.now,
    observe(event) {
      if (event.kind === "failed") throw new Error(event.message);
    },
  });
  await recompute.drain();
}

/** The views as they were before marks were read with FINAL and days were left out. */
async function makeViewsBefore(engine: Engine): Promise<void> {
  const migrations = readMigrations();
  for (const { view, before, migration } of SOURCES) {
    const sql = migrations.find(({ name }) => name === migration)?.sql;
    if (sql === undefined) throw new Error(`there is no migration ${migration}`);
    await engine.command(fillPlaceholders(sql).replace(`VIEW ${view} `, `VIEW ${before} `));
  }
}

function dashboard(source: string, time: string): string {
  const from =
    time === "day" ? `toDate(${FIRST_DAY_S / DAY_S})` : `toDateTime(${FIRST_DAY_S}, 'UTC')`;
  return `SELECT provider, request_model, sum(calls) AS calls, sum(errors) AS errors,
      sum(cost_input_uncached) + sum(cost_output_text) AS cost
    FROM ${source}
    WHERE project_id = {project_id:String} AND ${time} >= ${from} AND ${time} < ${from} + INTERVAL ${DAYS} DAY
    GROUP BY provider, request_model ORDER BY provider, request_model`;
}

function makeVariant(
  engine: Engine,
  name: string,
  description: string,
  sql: string,
  prepare?: () => Promise<void>,
): Variant {
  return {
    name,
    description,
    ...(prepare === undefined ? {} : { prepare }),
    async verify() {
      const rows = await engine.query(sql, PARAMS);
      if (rows.length === 0) throw new Error(`${name} finds nothing`);
      return { hash: hashOf(rows.map((row) => JSON.stringify(row))), agrees_on: "the answer" };
    },
    async run(record) {
      const start_ms = performance.now();
      await engine.query(sql, PARAMS);
      record(performance.now() - start_ms);
      return { units: 1, bytes: 0 };
    },
  };
}

function groupOptions({ small, tell }: BenchOptions, name: string, baseline: string) {
  const runs = small ? 1 : 5;
  return { name, unit: "query", runs, sample_ms: small ? 1 : 250, baseline, tell } as const;
}

/** One part a month against the parts of many rounds, over the same rows. */
async function measureCompaction(
  engine: Engine,
  { view, time }: Source,
  options: BenchOptions,
): Promise<{ compared: GroupResult; loose_parts: number }> {
  const table = `${view}_rollup`;
  const merged = `${table}_merged`;
  await engine.command(`CREATE TABLE ${merged} AS ${table}`);
  await engine.command(`INSERT INTO ${merged} SELECT * FROM ${table}`);
  await engine.command(`OPTIMIZE TABLE ${merged} FINAL`);
  const { parts } = await queryRow<{ parts: number }>(
    engine,
    `SELECT toFloat64(count()) AS parts FROM system.parts
     WHERE active AND database = currentDatabase() AND table = '${table}'`,
  );
  const compared = await measure(
    [
      makeVariant(engine, "loose", "baseline: a part a round", dashboard(`${table} FINAL`, time)),
      makeVariant(engine, "merged", "one part a month", dashboard(`${merged} FINAL`, time)),
    ],
    groupOptions(options, `compaction_${view}`, "loose"),
  );
  // What follows is measured on the state that the recompute brings about.
  await engine.command(`SYSTEM START MERGES ${table}`);
  await engine.command(`OPTIMIZE TABLE ${table} FINAL`);
  return { compared, loose_parts: parts };
}

/** Each change of state has a later mark than the change before. */
let mark = 1;

const MARK_COLUMNS = "(project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)";

/** Marks buckets of the project as changed, and all others as computed. */
async function becomeDirty(engine: Engine, condition: string): Promise<void> {
  const all = "SELECT DISTINCT project_id, bucket FROM rollup_dirty";
  await engine.command(
    `INSERT INTO rollup_dirty ${MARK_COLUMNS}
     SELECT project_id, bucket, 'bench', 0, ${mark}, ${mark}, now() FROM (${all})`,
  );
  mark += 1;
  await engine.command(
    `INSERT INTO rollup_dirty ${MARK_COLUMNS}
     SELECT project_id, bucket, 'bench', ${mark}, 0, 0, now()
     FROM (${all}) WHERE project_id = '${PROJECT}' AND (${condition})`,
  );
  await engine.command("OPTIMIZE TABLE rollup_dirty FINAL");
}

/** A bucket of the first day and one of the last: a late span and the present. */
const LATE = `bucket IN (SELECT arrayJoin([min(bucket), max(bucket)]) FROM rollup_dirty WHERE project_id = '${PROJECT}')`;

async function measureDirty(
  engine: Engine,
  { view, before, time }: Source,
  options: BenchOptions,
): Promise<GroupResult> {
  const make = (name: string, description: string, source: string, condition: string) =>
    makeVariant(engine, name, description, dashboard(source, time), () =>
      becomeDirty(engine, condition),
    );
  return measure(
    [
      make("clean", "baseline: nothing is dirty", view, "0"),
      make("late", "the first bucket of the month and the last are dirty", view, LATE),
      make("late_before", "the same, as the view was before", before, LATE),
      make("tenth", "a tenth of the buckets is dirty", view, "cityHash64(bucket) % 10 = 0"),
      make("half", "half of the buckets are dirty", view, "cityHash64(bucket) % 2 = 0"),
      make("all", "all buckets are dirty", view, "1"),
      make("all_before", "the same, as the view was before", before, "1"),
    ],
    groupOptions(options, `dirty_${view}`, "clean"),
  );
}

/** Everything is computed, and the marks of it are still there. */
async function measureMarks(
  engine: Engine,
  { view, before, time }: Source,
  options: BenchOptions,
  done_marks: number,
): Promise<GroupResult> {
  await engine.command("TRUNCATE TABLE rollup_dirty");
  const variants = [
    makeVariant(engine, "before", "baseline: as the view was before", dashboard(before, time)),
    makeVariant(engine, "now", "as the view is now", dashboard(view, time)),
  ];
  // In ten parts, as rounds leave them; by name, so that the parts overlap in every project.
  for (let part = 0; part < 10; part += 1) {
    await engine.command(
      `INSERT INTO rollup_dirty ${MARK_COLUMNS}
       SELECT concat('p', toString(number % ${PROJECTS})),
         toDateTime(${FIRST_DAY_S}, 'UTC') + INTERVAL intDiv(number, ${PROJECTS}) * 15 MINUTE,
         'bench', 1, 1, 1, now()
       FROM numbers(${done_marks}) WHERE intDiv(number, ${PROJECTS}) % 10 = ${part}`,
    );
  }
  return measure(variants, groupOptions(options, `marks_${view}`, "before"));
}
