/**
 * Several groupings of one question of usage in one statement: totals, a series and the largest groups
 * of a dashboard from one reading of the tables.
 *
 * Invariant: what is added up is what `compileRows` gives, as for `GET /v1/usage`; so both agree to the
 * last digit.
 */
import { NO_SUCH_ZONE } from "../schemas/api-parts.ts";
import { PermanentError } from "../schemas/errors.ts";
import { rankColumns } from "../schemas/measures.ts";
import type { DimensionName, Interval, MeasureName } from "../schemas/usage.ts";
import { usageColumn } from "../schemas/usage-columns.ts";
import { startOfStep } from "./calendar.ts";
import { ApiError } from "./errors.ts";
import { type SumRow, Sums } from "./measures.ts";
import type { UsageQuestion, UsageReader } from "./usage-question.ts";
import { type CompiledRows, compileRows, rankOf } from "./usage-sql.ts";

/** What rows of a grouping differ in: the step, and dimensions. */
export type SetKey = "time" | DimensionName;

/** A question with several groupings, each a list of keys; the empty list is the total. */
export type SetsQuestion = Pick<
  UsageQuestion,
  "project_id" | "from_ms" | "to_ms" | "interval" | "tz" | "filters" | "excluded" | "order_by"
> & {
  /** None of those that count what is different. */
  readonly measures: readonly MeasureName[];
  readonly sets: readonly (readonly SetKey[])[];
  /** Rows of one grouping at most, the first in their order. */
  readonly limit: number;
  /** Also counts the rows of a single grouping; of several they always are. */
  readonly counts_groups?: true;
  /** Start of a step, Unix ms: of what lies before, only the steps are given. */
  readonly steps_until_ms?: number;
};

export interface SetRow {
  /** Start of the step, RFC 3339; empty without steps. */
  readonly time: string;
  /** Values of the dimensions of the grouping; null is unknown. */
  readonly keys: ReadonlyMap<DimensionName, string | null>;
  readonly sums: Sums;
  /** What `sums` holds, to be added to others. */
  readonly columns: SumRow;
  /** Rows that the grouping has, beyond the limit too; 0 unless they were counted. */
  readonly groups: number;
}

/** ClickHouse's code for a time zone that its database does not have (BAD_ARGUMENTS). */
const UNKNOWN_ZONE_CODE = "clickhouse_36";

const COMBINE_SQL = {
  sum: "sum",
  or: "groupBitOr",
  histogram: "sumMap",
  by_price: "sumMap",
} as const;

function combine(name: string): string {
  const { combine: how } = usageColumn(name);
  if (how === "distinct") throw new Error(`${name} cannot be added up`);
  return `${COMBINE_SQL[how]}(part.${name})`;
}

/**
 * The rows of each grouping, in the order of the question: steps by time, groups the largest first.
 * Throws ApiError(400) for a time zone that the engine does not have, and the errors of the engine.
 */
export async function askSets(reader: UsageReader, question: SetsQuestion): Promise<SetRow[][]> {
  const { sets, limit } = question;
  const dimensions = [...new Set(sets.flat())].filter((key) => key !== "time");
  const names: SetKey[] = [
    ...(sets.some((set) => set.includes("time")) ? TIME : []),
    ...dimensions,
  ];
  const inner: UsageQuestion = {
    ...question,
    group_by: dimensions,
    interval: names.includes("time") ? question.interval : "none",
  };
  const tables = reader.tables === undefined ? {} : { tables: reader.tables };
  const compiled = compileRows(inner, tables);
  const sql = compileSets(compiled, question, names, rankColumns(rankOf(inner)));
  const rows = await readRows(reader, sql, { ...compiled.params, set_rows: limit }, question.tz);
  if (sets.length === 1) return [rows.map((row) => takeApart(row, names))];
  const found = Map.groupBy(rows, ({ mask }) => Number(mask));
  return sets.map((set) => {
    // The bit of a key, the last the lowest, says that the grouping does not have it.
    const mask = names.reduce((bits, name) => bits * 2 + (set.includes(name) ? 0 : 1), 0);
    return (found.get(mask) ?? []).map((row) => keepKeys(takeApart(row, names), set));
  });
}

const TIME: readonly SetKey[] = ["time"];

/** The column of the compiled question that a key is. */
function columnOf(name: SetKey, names: readonly SetKey[]): string {
  if (name === "time") return "time";
  return `k${names.filter((key) => key !== "time").indexOf(name)}`;
}

/** The statement that adds up the rows of a question by each grouping; one alone costs less to plan. */
function compileSets(
  { from, time, keys: texts, columns, settings }: CompiledRows,
  { sets, counts_groups, steps_until_ms }: SetsQuestion,
  names: readonly SetKey[],
  rank: readonly string[],
): string {
  const listOf = (set: readonly SetKey[]) => set.map((name) => columnOf(name, names)).join(", ");
  const is_single = sets.length === 1;
  // Of the groupings without steps, the rows before it are groups of their own, and left out.
  const is_split = time !== null && steps_until_ms !== undefined && !is_single;
  const selected = [
    ...(is_single ? [] : [`grouping(${listOf(names)}) AS mask`]),
    ...(time === null ? [] : [`${time} AS time`]),
    ...(is_split ? [`${time} < ${Math.round(steps_until_ms / 1000)} AS is_before`] : []),
    ...texts.map((sql, index) => `${sql} AS k${index}`),
    ...(is_single && counts_groups !== true
      ? []
      : [`count() OVER (${is_single ? "" : "PARTITION BY mask"}) AS groups`]),
    ...columns.map((name) => `${combine(name)} AS ${name}`),
  ];
  const ranked = [
    `${rank.map((name) => `sum(part.${name})`).join(" + ")} DESC`,
    "sum(part.calls) DESC",
    ...texts.map((_sql, index) => `k${index}`),
  ];
  const order = [
    ...(is_single ? [] : ["mask"]),
    ...(time === null ? [] : ["time"]),
    // A step comes once.
    ...(is_single && texts.length === 0 ? [] : ranked),
  ];
  const groupings = sets
    .map((set) => `(${is_split && !set.includes("time") ? "is_before, " : ""}${listOf(set)})`)
    .join(", ");
  const grouped = is_single ? listOf(names) : `GROUPING SETS (${groupings})`;
  return `SELECT ${selected.join(", ")}
${from}
${grouped === "" ? "" : `GROUP BY ${grouped}`}
HAVING sum(part.calls) > 0${is_split ? " AND is_before = 0" : ""}
${order.length === 0 ? "" : `ORDER BY ${order.join(", ")}`}
LIMIT {set_rows:UInt32}${is_single ? "" : is_split ? " BY mask, time" : " BY mask"}
${settings}`;
}

type Row = Readonly<Record<string, string | number>>;

async function readRows(
  { engine }: UsageReader,
  sql: string,
  params: Parameters<UsageReader["engine"]["query"]>[1],
  tz: string,
): Promise<Row[]> {
  try {
    return await engine.query<Row>(sql, params);
  } catch (error) {
    const isZone = error instanceof PermanentError && error.code === UNKNOWN_ZONE_CODE;
    if (!isZone || tz === "UTC") throw error;
    // The engine's database of time zones may be older than ours.
    const details = [{ path: "tz", message: NO_SUCH_ZONE }];
    throw new ApiError(400, "invalid_query", `tz ${NO_SUCH_ZONE}`, details);
  }
}

function takeApart(row: Row, names: readonly SetKey[]): SetRow {
  const { mask: _mask, is_before: _is_before, groups, ...rest } = row;
  const columns = new Map(Object.entries(rest));
  const take = (name: SetKey) => {
    const column = columnOf(name, names);
    const value = String(columns.get(column) ?? "");
    columns.delete(column);
    return value;
  };
  const time = names.includes("time") ? new Date(Number(take("time")) * 1000).toISOString() : "";
  const keys = new Map(
    names.flatMap((name) => {
      if (name === "time") return [];
      const value = take(name);
      return [[name, value === "" ? null : value] as const];
    }),
  );
  const summed = Object.fromEntries(columns) as SumRow;
  return { time, keys, sums: addRows([summed]), columns: summed, groups: Number(groups ?? 0) };
}

function keepKeys(row: SetRow, set: readonly SetKey[]): SetRow {
  return {
    ...row,
    time: set.includes("time") ? row.time : "",
    keys: new Map([...row.keys].filter(([name]) => set.includes(name))),
  };
}

/** A series, the sum of its range, and that of the range just before. */
export interface Series {
  readonly total: Sums;
  readonly before: Sums;
  readonly steps: readonly SetRow[];
}

type SeriesQuestion = Omit<SetsQuestion, "sets" | "interval"> & {
  readonly interval: Exclude<Interval, "none">;
};
type RangeBefore = { readonly from_ms: number; readonly to_ms: number };

/** Whether the steps of both ranges, and of what lies between, are those of one reading. */
function haveSteps({ from_ms, interval, tz }: SeriesQuestion, before: RangeBefore): boolean {
  return before.to_ms <= from_ms && startOfStep(from_ms, interval, tz) === from_ms;
}

/**
 * A series and its totals. Where the range begins with a step, one reading answers for the range before
 * it too; when that one ends within a step, a small statement for the part of it.
 */
export async function askSeries(
  reader: UsageReader,
  question: SeriesQuestion,
  before: RangeBefore,
): Promise<Series> {
  const sets = [TIME];
  if (haveSteps(question, before)) {
    const both = { ...question, sets, from_ms: before.from_ms, limit: 2 * question.limit };
    const [[rows = []], cut] = await Promise.all([
      askSets(reader, both),
      askCut(reader, question, before),
    ]);
    return splitSteps(rows, question.from_ms, cut);
  }
  const [[steps = []], [total]] = await Promise.all([
    askSets(reader, { ...question, sets }),
    askSets(reader, { ...question, ...before, sets: [[]], interval: "none", limit: 1 }),
  ]);
  return { total: addAll(steps), before: totalOf(total), steps };
}

/** How far the whole steps of the range before go, Unix ms, and what is in the part of one after them. */
interface Cut {
  readonly end_ms: number;
  readonly rows: readonly SetRow[];
}

async function askCut(
  reader: UsageReader,
  question: SeriesQuestion,
  before: RangeBefore,
): Promise<Cut> {
  const { interval, tz } = question;
  const end_ms = startOfStep(before.to_ms, interval, tz);
  const from_ms = Math.max(end_ms, before.from_ms);
  if (from_ms >= before.to_ms) return { end_ms, rows: [] };
  const part = { ...question, from_ms, to_ms: before.to_ms, sets: [[]], limit: 1 };
  const [rows = []] = await askSets(reader, { ...part, interval: "none" });
  return { end_ms, rows };
}

function splitSteps(rows: readonly SetRow[], from_ms: number, cut: Cut): Series {
  const earlier = rows.filter(({ time }) => Date.parse(time) < cut.end_ms);
  const steps = rows.filter(({ time }) => Date.parse(time) >= from_ms);
  return { total: addAll(steps), before: addAll([...earlier, ...cut.rows]), steps };
}

/** What is summed in the groups beside a series. */
export interface Groupings {
  readonly sets: readonly (readonly DimensionName[])[];
  readonly measures: readonly MeasureName[];
  /** Rows of one grouping at most. */
  readonly limit: number;
}

/**
 * A series with its totals, and the largest groups of its range. One statement gives both where the
 * steps are those of the daily rollup: planning another costs more than reading what it does not need.
 * `measures` of the question hold those of the groups.
 */
export async function askSeriesAndSets(
  reader: UsageReader,
  question: SeriesQuestion,
  before: RangeBefore,
  groups: Groupings,
): Promise<{ readonly series: Series; readonly groups: SetRow[][] }> {
  const { from_ms, interval, tz } = question;
  const has_days =
    tz === "UTC" && (interval === "day" || interval === "week" || interval === "month");
  if (has_days && haveSteps(question, before)) {
    const [[rows = [], ...found], cut] = await Promise.all([
      askSets(reader, {
        ...question,
        sets: [TIME, ...groups.sets],
        from_ms: before.from_ms,
        steps_until_ms: from_ms,
        limit: groups.limit,
      }),
      askCut(reader, question, before),
    ]);
    return { series: splitSteps(rows, from_ms, cut), groups: found };
  }
  const [series, found] = await Promise.all([
    askSeries(reader, question, before),
    // Without steps, so that the daily rollup answers in every time zone.
    askSets(reader, { ...question, ...groups, interval: "none" }),
  ]);
  return { series, groups: found };
}

function addAll(rows: readonly SetRow[]): Sums {
  return addRows(rows.map(({ columns }) => columns));
}

/** The sums of rows. */
export function addRows(rows: readonly SumRow[]): Sums {
  const sums = new Sums();
  for (const row of rows) sums.add(row);
  return sums;
}

/** The sums of the total, which has no row when there are no calls. */
export function totalOf(rows: readonly SetRow[] | undefined): Sums {
  return rows?.[0]?.sums ?? new Sums();
}
