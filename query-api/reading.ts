/**
 * Where the usage of one project is read: from the rollups alone, when they have everything, or from the
 * rollups and, for what they lack, from the calls. The views `usage_15m`, `usage_day` and
 * `usage_user_day` decide the same for all projects inside one statement, and the planning of their live
 * half costs several times what the rollup does; here it is left out when it has nothing to give.
 *
 * Invariant: every bucket (every day, for the daily sources) is read from exactly one side.
 *
 * It takes two statements, the marks first and the sums after them, and is exact all the same:
 *
 * - A bucket without a mark that is not done was in the rollup before its done mark was written, and
 *   rollup rows are only ever replaced by newer sums of the same bucket. So the second statement finds
 *   the sum of some moment at or after the first.
 * - A bucket with such a mark is left out of the rollup by name and read live by the same name, whatever
 *   was computed or marked done in between: neither twice nor not at all.
 * - What arrives between the two counts in the buckets that are read live and is not yet seen in the
 *   others, as if it had arrived a moment later.
 * - A call never moves to another bucket: its start is its key.
 *
 * Needs a replica that has its own writes, as the views do (docs/decisions/0013-recompute.md).
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import type { UsageSource } from "../schemas/usage.ts";
import { usageColumn } from "../schemas/usage-columns.ts";
import { type UsageTables, VIEWS } from "./usage-question.ts";

/** A range of time, Unix ms; `from` inclusive, `to` exclusive. */
export interface ReadingRange {
  readonly from_ms: number;
  readonly to_ms: number;
}

/** What the rollups of a project lack at some moment, and the version of its ledger then. */
export interface LedgerState {
  /** Changes whenever any sum of the project may have changed; short, of no meaning. */
  readonly version: string;
  /** Unix seconds of buckets that the 15-minute rollup lacks; null: too many to name. */
  readonly dirty_15m: readonly number[] | null;
  /** Unix seconds of days, UTC, that the daily rollups lack; null with the other. */
  readonly dirty_days: readonly number[] | null;
}

/** Buckets that are named in a statement, at most; beyond it the views are read. */
export const MAX_NAMED_BUCKETS = 2_000;

const BUCKET_MS = 900_000;
const DAY_MS = 86_400_000;
const DAY_S = 86_400;

interface StateRow {
  readonly version: string;
  /** Unix seconds, dirty for the 15-minute rollup, dirty for the daily ones. */
  readonly dirty: readonly (readonly [number, number, number])[];
}

/**
 * Reads what the rollups of a project lack, and the version of its ledger, in one cheap statement. Take
 * it before what it is used for is read. Throws what the engine throws.
 */
export async function readLedger(engine: Engine, project_id: string): Promise<LedgerState> {
  const [row] = await engine.query<StateRow>(loadQuery("select_ledger_state"), {
    project_id,
    limit: MAX_NAMED_BUCKETS + 1,
  });
  if (row === undefined) throw new Error("the engine answered no state of the ledger");
  const { version, dirty } = row;
  if (dirty.length > MAX_NAMED_BUCKETS) return { version, dirty_15m: null, dirty_days: null };
  const named = (which: 1 | 2) => dirty.filter((bucket) => bucket[which] === 1);
  return {
    version,
    dirty_15m: [...new Set(named(1).map(([bucket_s]) => bucket_s))],
    dirty_days: [...new Set(named(2).map(([bucket_s]) => bucket_s - (bucket_s % DAY_S)))],
  };
}

/**
 * A short text that changes whenever a sum of the project may have changed: a mark comes with every
 * insert, decision, recount and new price that touches it, and stays for an hour at least, while the
 * version holds for half an hour at most. So it never comes back to an old value, and costs one read of
 * a small table.
 *
 * Who deletes or changes stored calls in any other way has to mark their buckets. Not covered: spans that
 * no dialect knows, and the milliseconds between rows becoming visible and their marks. So it is for
 * sums, never for single spans.
 */
export async function readLedgerVersion(engine: Engine, project_id: string): Promise<string> {
  return (await readLedger(engine, project_id)).version;
}

/**
 * What to read the sources of a project's usage from, for questions within the range. The SQL refers to
 * the parameter `project_id`, which the statement around it has to bind to the same project; it may end
 * in a PREWHERE, and `fromTable` makes a FROM of it. `ledger` is what `readLedger` found, when it was
 * already asked.
 */
export async function chooseTables(
  engine: Engine,
  project_id: string,
  range: ReadingRange,
  ledger?: LedgerState,
): Promise<UsageTables> {
  const { dirty_15m, dirty_days } = ledger ?? (await readLedger(engine, project_id));
  if (dirty_15m === null || dirty_days === null) return VIEWS;
  const columns = await readColumns(engine);
  const tables: Record<UsageSource, string> = { ...VIEWS };
  for (const rollup of ROLLUPS) {
    const dirty = rollup.step_ms === BUCKET_MS ? dirty_15m : dirty_days;
    const sql = composeTable(rollup, range, dirty, columns.get(rollup.table) ?? []);
    if (sql !== null) tables[rollup.source] = sql;
  }
  return tables;
}

/** Whether one of the tables is a rollup alone, which has everything. */
export function isClean(table: string): boolean {
  return table.includes(" AS part FINAL ") && !table.startsWith("(");
}

/** A FROM of one of the tables, named `part`, that a WHERE can follow. */
export function fromTable(table: string): string {
  return isClean(table) ? `FROM ${table}` : `FROM ${table} AS part`;
}

interface Rollup {
  readonly source: UsageSource;
  readonly table: string;
  readonly step_ms: number;
  /** Its column of time. */
  readonly time: "bucket" | "day";
  /** A time, Unix seconds, as a value of that column. */
  readonly literal: (time_s: number) => string;
}

const dateTimeOf = (time_s: number) => `toDateTime(${time_s}, 'UTC')`;
const dateOf = (time_s: number) => `toDate(${Math.floor(time_s / DAY_S)})`;

const ROLLUPS: readonly Rollup[] = [
  {
    source: "usage_15m",
    table: "usage_15m_rollup",
    step_ms: BUCKET_MS,
    time: "bucket",
    literal: dateTimeOf,
  },
  {
    source: "usage_day",
    table: "usage_day_rollup",
    step_ms: DAY_MS,
    time: "day",
    literal: dateOf,
  },
  {
    source: "usage_user_day",
    table: "usage_user_day_rollup",
    step_ms: DAY_MS,
    time: "day",
    literal: dateOf,
  },
];

interface Column {
  readonly rollup: string;
  readonly name: string;
  readonly type: string;
  readonly is_key: number;
  readonly is_of_calls: number;
}

/** Columns of each engine's rollups: they change with migrations only, so they are asked for once. */
const known_columns = new WeakMap<Engine, Map<string, Column[]>>();

async function readColumns(engine: Engine): Promise<ReadonlyMap<string, readonly Column[]>> {
  const known = known_columns.get(engine);
  if (known !== undefined) return known;
  const columns = new Map<string, Column[]>();
  for (const column of await engine.query<Column>(loadQuery("select_usage_columns"))) {
    columns.set(column.rollup, [...(columns.get(column.rollup) ?? []), column]);
  }
  known_columns.set(engine, columns);
  return columns;
}

/** The sub-select of one source; null when only its view can answer. */
function composeTable(
  rollup: Rollup,
  { from_ms, to_ms }: ReadingRange,
  dirty: readonly number[],
  columns: readonly Column[],
): string | null {
  const { table, step_ms, time, literal } = rollup;
  const step_s = step_ms / 1000;
  const from_s = (Math.floor(from_ms / step_ms) * step_ms) / 1000;
  const to_s = (Math.ceil(to_ms / step_ms) * step_ms) / 1000;
  const within = `project_id = {project_id:String} AND ${time} >= ${literal(from_s)} AND ${time} < ${literal(to_s)}`;
  const live = dirty.filter((start_s) => start_s >= from_s && start_s < to_s);
  // PREWHERE: with FINAL a WHERE is looked at only when all columns of a granule were read. No
  // sub-select: planning one more level costs as much as reading the rows.
  if (live.length === 0) return `${table} AS part FINAL PREWHERE ${within}`;
  const summed = sumLive(columns);
  if (summed === null) return null;
  const names = columns.map(({ name }) => name).join(", ");
  const list = live.map(literal).join(", ");
  const days = [...new Set(live.map(dateOf))].join(", ");
  return `(SELECT ${names} FROM ${table} FINAL PREWHERE ${within} AND ${time} NOT IN (${list})
UNION ALL
SELECT ${summed} FROM usage_calls
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64(${Math.min(...live)}, 9, 'UTC')
  AND ts < toDateTime64(${Math.max(...live) + step_s}, 9, 'UTC')
  AND toDate(ts) IN (${days})
  AND ${time} IN (${list})
${groupOf(columns)})`;
}

/** Columns of a rollup that the calls do not have, as sums of calls: as in its view. */
const LIVE_SUMS: Readonly<Record<string, string>> = {
  cost_by_price: `sumMap(map(price_id, ${[
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write",
    "output_text",
    "output_reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "fees",
  ]
    .map((name) => `usage_calls.cost_${name}`)
    .join(" + ")}))`,
  sessions: "uniqExactIf(session_id, session_id != '')",
};

/** Whether rows of calls stand for themselves: nothing has to be counted over several of them. */
function areRows(columns: readonly Column[]): boolean {
  return columns.every(({ is_of_calls }) => is_of_calls === 1);
}

/** The columns as calls give them; null when one of them is not known here. */
function sumLive(columns: readonly Column[]): string | null {
  // Who asks sums anyway, and a step less of planning is a tenth of the statement.
  if (areRows(columns)) return columns.map(({ name }) => name).join(", ");
  const sums: string[] = [];
  for (const { name, type, is_key, is_of_calls } of columns) {
    const own = `usage_calls.${name}`;
    const special = LIVE_SUMS[name];
    if (is_key === 1) sums.push(name);
    else if (special !== undefined) sums.push(`${special} AS ${name}`);
    else if (is_of_calls === 0) return null;
    else if (usageColumn(name).combine === "or") sums.push(`groupBitOr(${own}) AS ${name}`);
    else sums.push(`${type.startsWith("Map(") ? "sumMap" : "sum"}(${own}) AS ${name}`);
  }
  return sums.join(", ");
}

function groupOf(columns: readonly Column[]): string {
  if (areRows(columns)) return "";
  const keys = columns.filter(({ is_key }) => is_key === 1).map(({ name }) => name);
  return `GROUP BY ${keys.join(", ")}`;
}
