/**
 * Statements over usage for panels: any measures by any dimensions and steps, exact for any range, from
 * the coarsest tables that have what is asked. The browser decides the filters, so the choice is made in
 * the statement: each table is a part with constant conditions, and the engine leaves out those that are
 * false.
 *
 * Invariant: every call of [from, to) is in exactly one part, as in `query-api/usage-source.ts`.
 */
import { type DimensionName, USAGE_SOURCES, type UsageSource } from "../schemas/dimensions.ts";
import { type MeasureName, MEASURE_NAMES, MEASURES, rankColumns } from "../schemas/measures.ts";
import { type Combination, COVERAGE_COLUMNS, usageColumn } from "../schemas/usage-columns.ts";
import {
  canHave,
  dimensionSql,
  FILTER_NAMES,
  filterSql,
  filtersOf,
  GROUP_BY,
  type GroupKey,
  hasPickedGroupSql,
  isAllSql,
  keySql,
  PROJECT_SQL,
} from "./filters.ts";
import { columnsIn, DERIVED_COLUMNS, measureSql } from "./measure-sql.ts";

export { COVERAGE_NAMES, type CoverageName, coverageSql, measureSql } from "./measure-sql.ts";
export { GROUP_BY, type GroupKey, PROJECT } from "./filters.ts";

/** Ends of a range as SQL of Unix ms, `from` inclusive, `to` exclusive; constants for the engine. */
export interface Range {
  readonly from: string;
  readonly to: string;
}

/** The range that the reader picked. */
export const PICKED_RANGE: Range = {
  from: "toUnixTimestamp64Milli($__fromTime_ms)",
  to: "toUnixTimestamp64Milli($__toTime_ms)",
};

/** The condition that a column `ts` of spans or calls is in a range. */
export function inRangeSql({ from, to }: Range = PICKED_RANGE): string {
  return wholeSteps({ from, to }, 1, TABLES.usage_calls);
}

/** The range of the same length just before it. */
export const RANGE_BEFORE: Range = {
  from: `(2 * ${PICKED_RANGE.from} - ${PICKED_RANGE.to})`,
  to: PICKED_RANGE.from,
};

/**
 * Width of a step, seconds: Grafana's interval; above 5 minutes rounded up to quarters of an hour and
 * above a day to days, which the rollups have.
 */
export const STEP_S =
  "multiIf($__interval_s > 86400, intDiv($__interval_s + 86399, 86400) * 86400, $__interval_s > 300, intDiv($__interval_s + 899, 900) * 900, $__interval_s)";

/** What rows are made of. Steps are those of UTC. */
export type Step = "auto" | "hour" | "day" | "week" | "month";

const STEPS: Readonly<
  Record<Step, { readonly seconds: string; readonly start: (time: string) => string }>
> = {
  auto: { seconds: STEP_S, start: startOfStep },
  hour: { seconds: "3600", start: (time) => `toStartOfHour(${time}, 'UTC')` },
  day: { seconds: "86400", start: (time) => `toDateTime(toStartOfDay(${time}, 'UTC'), 'UTC')` },
  week: {
    seconds: "86400",
    start: (time) => `toDateTime(toStartOfWeek(${time}, 1, 'UTC'), 'UTC')`,
  },
  month: {
    seconds: "86400",
    start: (time) => `toDateTime(toStartOfMonth(${time}, 'UTC'), 'UTC')`,
  },
};

/** The start of the step of `STEP_S` that a time is in, a DateTime. */
export function startOfStep(time: string): string {
  return `toDateTime(intDiv(toUnixTimestamp(${time}), ${STEP_S}) * ${STEP_S}, 'UTC')`;
}

interface Table {
  /** Compared bare: the engine leaves out no part of a table by a function of it. */
  readonly time: string;
  /** Milliseconds that a row stands for; 1: an instant. */
  readonly step_ms: number;
  /** A number of steps of so many ms since 1970 as a value of that column. */
  readonly literal: (steps: string, step_ms: number) => string;
  /** The time as a DateTime. */
  readonly date_time: string;
}

const DAY_MS = 86_400_000;

/** Steps of one width as a number of steps of another. */
function scale(steps: string, step: number, to: number): string {
  if (step === to) return steps;
  return step > to ? `${steps} * ${step / to}` : `intDiv(${steps}, ${to / step})`;
}

const DAYS: Table = {
  time: "day",
  step_ms: DAY_MS,
  literal: (steps, step_ms) => `toDate(${scale(steps, step_ms, DAY_MS)})`,
  date_time: "toDateTime(day, 'UTC')",
};

const TABLES: Readonly<Record<UsageSource, Table>> = {
  usage_calls: {
    time: "ts",
    step_ms: 1,
    // With nine digits: compared with fewer the engine loses what lies in the last of them.
    literal: (steps, step_ms) =>
      `fromUnixTimestamp64Nano(${scale(steps, step_ms * 1_000_000, 1)}, 'UTC')`,
    date_time: "toDateTime(ts, 'UTC')",
  },
  usage_15m: {
    time: "bucket",
    step_ms: 900_000,
    literal: (steps, step_ms) => `toDateTime(${scale(steps, step_ms, 1_000)}, 'UTC')`,
    date_time: "bucket",
  },
  usage_day: DAYS,
  usage_user_day: DAYS,
};

/** Finest first, so that a part can leave out what those behind it read. */
const ORDER: readonly UsageSource[] = USAGE_SOURCES;

/** What is read. */
export interface RowsQuestion {
  /** Columns of `schemas/usage-columns.ts`. */
  readonly columns: readonly string[];
  /** Dimensions, or the one that the reader picks, by the names of their columns. */
  readonly by?: Readonly<Record<string, GroupKey>>;
  readonly step?: Step;
  /** The range that the reader picked when it is not given. */
  readonly range?: Range;
  /** `dashboard`: the project and the filters of the variables; `none`, for alerts. */
  readonly filters?: "dashboard" | "none";
  /** More conditions, each on a dimension: SQL behind it, such as `!= '(none)'`. */
  readonly where?: Readonly<Partial<Record<DimensionName, string>>>;
}

/** The tables that each column can be read from: those of the measures that are computed from it. */
function sourcesOf(column: string): readonly UsageSource[] {
  if (COVERAGE_COLUMNS.includes(column) || Object.hasOwn(DERIVED_COLUMNS, column)) return ORDER;
  const found = MEASURE_NAMES.filter((name) =>
    (MEASURES[name].columns as readonly string[]).includes(column),
  ).flatMap((name) => [...MEASURES[name].sources]);
  if (found.length === 0) throw new Error(`no measure is computed from ${column}`);
  return found;
}

/** A table of a question, and the condition under which it is read; null: always. */
interface Part {
  readonly source: UsageSource;
  readonly condition: string | null;
}

function partsOf(question: RowsQuestion): Part[] {
  const keys: GroupKey[] = [
    ...Object.values(question.by ?? {}),
    ...(Object.keys(question.where ?? {}) as GroupKey[]),
  ];
  return ORDER.filter(
    (source) =>
      keys.every((key) => canHave(source, key)) &&
      question.columns.every((name) => sourcesOf(name).includes(source)),
  ).flatMap((source) => {
    const condition = conditionOf(source, keys, question);
    return condition === "1 = 0" ? [] : [{ source, condition }];
  });
}

/** When a table has what is asked, as a constant of the engine; null: always. */
function conditionOf(
  source: UsageSource,
  keys: readonly GroupKey[],
  { filters = "dashboard", step }: RowsQuestion,
): string | null {
  if (source === "usage_calls") return null;
  const { step_ms } = TABLES[source];
  const has_filters = filters === "dashboard";
  const lacking = FILTER_NAMES.filter((name) => !filtersOf(source).includes(name));
  const conditions = [
    ...(has_filters ? lacking.map((name) => isAllSql(name)) : []),
    ...(keys.includes(GROUP_BY) ? [hasPickedGroupSql(source)] : []),
    ...(step === undefined ? [] : [`${STEPS[step].seconds} % ${step_ms / 1000} = 0`]),
  ];
  // Users are many: their table is for what no other has.
  const needs_users =
    keys.includes("user_id") || (keys.includes(GROUP_BY) && source === "usage_user_day");
  if (source === "usage_user_day" && !needs_users) {
    if (!has_filters) return "1 = 0";
    conditions.push(`NOT ${isAllSql("user")}`);
  }
  return conditions.length === 0 ? null : conditions.join(" AND ");
}

/** From the first to the last whole step of a width in the range, as values of a table's column. */
function wholeSteps({ from, to }: Range, step_ms: number, { time, literal }: Table): string {
  const [first, last] =
    step_ms === 1
      ? [from, to]
      : [`intDiv(${from} + ${step_ms - 1}, ${step_ms})`, `intDiv(${to}, ${step_ms})`];
  return `${time} >= ${literal(first, step_ms)} AND ${time} < ${literal(last, step_ms)}`;
}

function partSql(
  { source, condition }: Part,
  coarser: readonly Part[],
  question: RowsQuestion,
): string {
  const {
    by = {},
    columns,
    filters = "dashboard",
    range = PICKED_RANGE,
    step,
    where = {},
  } = question;
  const table = TABLES[source];
  const selected = [
    ...(step === undefined ? [] : [`${STEPS[step].start(table.date_time)} AS time`]),
    ...Object.values(by).map((key, index) => `${keySql(key, source)} AS k${index}`),
    ...columns.map((name) => {
      const sql = DERIVED_COLUMNS[name] ?? usageColumn(name).sql;
      return sql === undefined ? name : `${sql} AS ${name}`;
    }),
  ];
  const conditions = [
    ...(condition === null ? [] : [condition]),
    ...(filters === "dashboard" ? [PROJECT_SQL] : []),
    wholeSteps(range, table.step_ms, table),
    ...coarser.map((part) => {
      const covered = wholeSteps(range, TABLES[part.source].step_ms, table);
      return `NOT (${part.condition === null ? "" : `${part.condition} AND `}${covered})`;
    }),
    ...(filters === "dashboard" ? filtersOf(source).map((name) => filterSql(name)) : []),
    ...Object.entries(where).map(([name, sql]) => `${dimensionSql(name as DimensionName)} ${sql}`),
  ];
  return `  SELECT ${selected.join(", ")}
  FROM ${source}
  WHERE ${conditions.join("\n    AND ")}`;
}

/**
 * A FROM of the rows that are summed: `part`, with the columns of the question, its keys as `k0`, `k1`, ...
 * and `time` where there are steps.
 */
export function usageRows(question: RowsQuestion): string {
  const parts = partsOf(question);
  const statements = parts.map((part, index) => partSql(part, parts.slice(index + 1), question));
  return `(\n${statements.join("\n  UNION ALL\n")}\n) AS part`;
}

/** How a column of two groups becomes the column of both. */
const COMBINE_SQL: Readonly<Record<Combination, (column: string) => string>> = {
  sum: (column) => `sum(${column})`,
  or: (column) => `groupBitOr(${column})`,
  histogram: (column) => `sumMap(${column})`,
  by_price: (column) => `sumMap(${column})`,
  distinct: (column) => `uniqExactIf(${column}, ${column} != '')`,
};

function combine(from: string, name: string): string {
  return `${COMBINE_SQL[usageColumn(name).combine](`${from}.${name}`)} AS ${name}`;
}

/** A question of a panel: values by keys and steps. */
export interface UsageQuestion extends Omit<RowsQuestion, "columns"> {
  /** The columns of the answer: SQL over sums, of `measureSql` and `coverageSql`. */
  readonly select: Readonly<Record<string, string>>;
  /** Keeps this many groups, by their `rank` over the whole range, and adds up the others. */
  readonly top?: number;
  /** The measure that ranks groups, one of `RANK_NAMES`; the cost when it is not given. */
  readonly rank?: MeasureName;
  /** A condition on groups, SQL over sums. */
  readonly having?: string;
  /** ORDER BY; by time and keys with steps, else the first selected, the largest first. */
  readonly order?: string;
  readonly limit?: number;
}

/** How the groups beyond `top` are shown. */
export const OTHERS = "all others";

/** A name of a column as SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The statement that answers the question, without groups of no calls. */
export function usageSql(question: UsageQuestion): string {
  const { by = {}, select, step, having, limit } = question;
  const names = Object.keys(by);
  const values = Object.entries(select).map(([name, sql]) => `  ${sql} AS ${quoteName(name)}`);
  const selected = [
    ...(step === undefined ? [] : ["  sums.time AS time"]),
    ...names.map((name, index) => `  sums.k${index} AS ${quoteName(name)}`),
    ...values,
  ];
  const [first = names[0] ?? "1"] = Object.keys(select);
  const order =
    question.order ??
    (step === undefined
      ? `${quoteName(first)} DESC`
      : ["time", ...names.map((name) => quoteName(name))].join(", "));
  return `SELECT
${selected.join(",\n")}
FROM ${sumsSql(question)} AS sums${having === undefined ? "" : `\nWHERE ${having}`}
ORDER BY ${order}${limit === undefined ? "" : `\nLIMIT ${limit}`}`;
}

/** The sums of each group and step, as a sub-select. */
function sumsSql(question: UsageQuestion): string {
  const { by = {}, having = "", select, step, top, rank = "cost_usd" } = question;
  const ranking = top === undefined ? [] : rankColumns(rank);
  const columns = [
    ...new Set(["calls", ...columnsIn([...Object.values(select), having]), ...ranking]),
  ];
  const keys = [
    ...(step === undefined ? [] : ["time"]),
    ...Object.keys(by).map((_name, index) => `k${index}`),
  ];
  const rows = usageRows({ ...question, columns });
  const grouped = keys.length === 0 ? "" : `\nGROUP BY ${keys.join(", ")}`;
  const sums = `(SELECT ${[...keys, ...columns.map((name) => combine("part", name))].join(", ")}
FROM ${rows}${grouped}
HAVING sum(part.calls) > 0)`;
  if (top === undefined) return sums;
  if (keys.at(-1) !== "k0") throw new Error("top keeps the largest groups of one key");
  const distinct = columns.find((name) => usageColumn(name).combine === "distinct");
  if (distinct !== undefined) throw new Error(`${distinct} cannot be added up over groups`);
  const ranked = `(SELECT * EXCEPT (k0), k0 AS name, dense_rank() OVER (ORDER BY total DESC, k0) AS place
FROM (SELECT *, sum(${ranking.join(" + ")}) OVER (PARTITION BY k0) AS total FROM ${sums})) AS ranked`;
  const kept = keys.map((key) =>
    key === "k0"
      ? `if(ranked.place <= ${top}, ranked.name, '${OTHERS}') AS k0`
      : `ranked.${key} AS ${key}`,
  );
  return `(SELECT ${[...kept, ...columns.map((name) => combine("ranked", name))].join(", ")}
FROM ${ranked}
GROUP BY ${keys.join(", ")})`;
}

/** A question of measures without fields, each named as it is. */
export function selectMeasures(...names: readonly MeasureName[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, measureSql(name)]));
}
