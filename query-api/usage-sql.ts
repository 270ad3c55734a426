/**
 * Compiles a usage question to one SQL statement over the coarsest sources that answer it exactly.
 *
 * Invariant: identifiers come from the tables of `schemas/`, values only as bound parameters; the
 * names of columns of the answer are positions, never words of the question.
 */
import type { Param, Params } from "../clickhouse/engine.ts";
import { rankColumns } from "../schemas/measures.ts";
import {
  DIMENSIONS,
  type DimensionName,
  type GroupName,
  type Interval,
  INTERVAL_SQL,
  type MeasureName,
  tagKeyOf,
  type UsageSource,
} from "../schemas/usage.ts";
import { usageColumn } from "../schemas/usage-columns.ts";
import { columnsOf } from "./measures.ts";
import { fromTable, isClean } from "./reading.ts";
import type { Filters, TagFilters, UsageQuestion, UsageTables } from "./usage-question.ts";
import { VIEWS } from "./usage-question.ts";
import { answeringSources, type SourceParts, splitRange } from "./usage-source.ts";

export interface CompiledQuery {
  readonly sql: string;
  readonly params: Params;
  /** The coarsest source that is read. */
  readonly source: UsageSource;
}

/** What the routes of usage add to a question when they ask in several steps. */
export interface CompileOptions {
  readonly tables?: UsageTables;
  /** The sources to read, coarsest first; all that answer when it is not given. */
  readonly sources?: readonly UsageSource[];
  /** Groups with a row of their own, by their keys; all others become one row a step. */
  readonly top_groups?: readonly (readonly string[])[];
  /** The only rows wanted, each as `rowKeyOf` names it. */
  readonly only_rows?: readonly (readonly string[])[];
}

/** The time of a row of each source, as a DateTime. */
const TIME_SQL: Readonly<Record<UsageSource, string>> = {
  usage_calls: "toDateTime(ts, 'UTC')",
  usage_15m: "bucket",
  usage_day: "toDateTime(day, 'UTC')",
  usage_user_day: "toDateTime(day, 'UTC')",
};

/** Names a row: its step in Unix seconds, whether it is the row of all others, its keys. */
export function rowKeyOf(
  time_s: number | null | undefined,
  is_other: boolean,
  keys: readonly string[],
): string[] {
  return [String(time_s ?? ""), is_other ? "1" : "0", ...keys];
}

/** The measure that ranks: the one asked for, else the cost when one is asked for, else the calls. */
export function rankOf({ order_by, measures }: UsageQuestion): MeasureName {
  if (order_by !== undefined) return order_by;
  return measures.some((name) => RANKED_BY_COST.has(name)) ? "cost_usd" : "calls";
}

const RANKED_BY_COST: ReadonlySet<MeasureName> = new Set([
  "cost_usd",
  "cost",
  "cost_per_call_usd",
  "cost_per_user_usd",
  "cost_per_session_usd",
  "cost_per_1k_output_tokens_usd",
]);

type MutableParams = Record<string, Param>;

/** How the ends of a range are compared with the time of a source. */
interface Bound {
  /** Compared bare: the engine leaves out no month by a function of it. */
  readonly column: string;
  /** SQL of an end, with the type of its parameter in braces. */
  readonly bound: string;
  /** The parameter of an end, Unix ms; parts of rollups begin and end with their steps. */
  readonly value: (unix_ms: number) => Param;
}

/** Last values of a Date and a DateTime: no call is as late. */
const MAX_DAY = 2 ** 16 - 1;
const MAX_SECOND = 2 ** 32 - 1;

const DAY_BOUND: Bound = {
  column: "day",
  bound: "toDate({UInt16})",
  value: (unix_ms) => Math.min(Math.round(unix_ms / 86_400_000), MAX_DAY),
};

const BOUNDS: Readonly<Record<UsageSource, Bound>> = {
  usage_calls: {
    column: "ts",
    bound: "toDateTime64({Decimal(18, 3)}, 9, 'UTC')",
    // Milliseconds as text: DateTime64 parameters are read from decimal seconds.
    value: (unix_ms) => (unix_ms / 1000).toFixed(3),
  },
  usage_15m: {
    column: "bucket",
    bound: "toDateTime({UInt32}, 'UTC')",
    value: (unix_ms) => Math.min(Math.round(unix_ms / 1000), MAX_SECOND),
  },
  usage_day: DAY_BOUND,
  usage_user_day: DAY_BOUND,
};

/** What all parts of a statement share. */
interface Shared {
  readonly question: UsageQuestion;
  readonly options: CompileOptions;
  readonly columns: readonly string[];
  readonly conditions: readonly string[];
  /** SQL of each dimension that is grouped by. */
  readonly groups: readonly string[];
}

/** The rows that a question adds up, named `part`, before they are grouped. */
export interface CompiledRows {
  /** From FROM on, with the conditions; the columns are those of `part`. */
  readonly from: string;
  /** SQL of the step of a row, Unix seconds; null without steps. */
  readonly time: string | null;
  /** SQL of each dimension that is grouped by, as texts. */
  readonly keys: readonly string[];
  /** Columns of `part` that are summed. */
  readonly columns: readonly string[];
  readonly params: Params;
  /** The coarsest source that is read. */
  readonly source: UsageSource;
  /** Settings that end the statement; empty for none. */
  readonly settings: string;
}

/** A day of a project is few rows: more threads cost more to start than they save. */
const FEW_ROWS_SETTINGS = "SETTINGS max_threads = 1";

/**
 * Compiles the rows of a question. What is read of one table alone is not put into a sub-select, which
 * would cost about half as much again to plan.
 */
export function compileRows(question: UsageQuestion, options: CompileOptions = {}): CompiledRows {
  const rank = rankOf(question);
  const sources =
    options.sources ?? answeringSources({ ...question, measures: [...question.measures, rank] });
  const params: MutableParams = { project_id: question.project_id, tz: question.tz };
  const shared: Shared = {
    question,
    options,
    columns: [...new Set([...columnsOf(question.measures), ...rankColumns(rank)])],
    conditions: compileConditions(question, params),
    groups: question.group_by.map((name, index) => compileGroup(name, index, params)),
  };
  const { columns, groups } = shared;
  const rows = splitRange(sources, question.from_ms, question.to_ms);
  const common = { columns, params, source: sources[0] ?? "usage_calls" };
  const [only] = rows;
  // Columns made of others name those as the table does, and sums of them have the same names.
  const is_plain = columns.every((name) => usageColumn(name).sql === undefined);
  if (only !== undefined && rows.length === 1 && is_plain) {
    const from = compileFrom(only, 0, shared, params);
    const keys = groups.map((sql) => `toString(${sql})`);
    const has_days =
      isClean((options.tables ?? VIEWS)[only.source]) && BOUNDS[only.source] === DAY_BOUND;
    const settings = has_days ? FEW_ROWS_SETTINGS : "";
    return { ...common, from, time: compileTime(only.source, question.interval), keys, settings };
  }
  const parts = rows.map((part, index) => compilePart(part, index, shared, params));
  return {
    ...common,
    from: `FROM (${parts.join("\nUNION ALL\n")}) AS part`,
    time: question.interval === "none" ? null : "part.time",
    keys: groups.map((_sql, index) => `toString(part.g${index})`),
    settings: "",
  };
}

/**
 * Compiles the question. Rows have `time` and `is_other` where there are such, `rank`, the dimensions
 * as `k0`, `k1`, ..., and the columns. One row more than the limit is asked for, to see whether there
 * are more.
 */
export function compileUsage(question: UsageQuestion, options: CompileOptions = {}): CompiledQuery {
  const rank = rankOf(question);
  const rows = compileRows(question, options);
  const params: MutableParams = { ...rows.params, limit: question.limit + 1 };
  const keys = rows.keys.map((_sql, index) => `k${index}`);
  const grouping = [
    ...(question.interval === "none" ? [] : ["time"]),
    ...(options.top_groups === undefined ? [] : ["is_other"]),
    ...keys,
  ];
  const in_order = [`-${rankSql(rank)}`, "-toInt64(sum(part.calls))"];
  const order = [...grouping.filter((name) => !keys.includes(name)), ...in_order, ...keys];
  const having = [
    "sum(part.calls) > 0",
    ...compileAfter(question, order, params),
    ...compileOnly(question, options, keys, params),
  ];
  const selected = [
    ...(rows.time === null ? [] : [`${rows.time} AS time`]),
    ...compileKeys(rows.keys, options, params),
    `toString(${rankSql(rank)}) AS rank`,
    ...rows.columns.map((name) => `${combine(name)} AS ${name}`),
  ];
  const sql = `SELECT ${selected.join(", ")}
${rows.from}
${grouping.length === 0 ? "" : `GROUP BY ${grouping.join(", ")}`}
HAVING ${having.join(" AND ")}
ORDER BY ${order.join(", ")}
LIMIT {limit:UInt32}
${rows.settings}`;
  return { sql, params, source: rows.source };
}

/** The dimensions of a row: texts, empty when unknown and in the row of all others. */
function compileKeys(
  texts: readonly string[],
  { top_groups }: CompileOptions,
  params: MutableParams,
): string[] {
  if (top_groups === undefined) return texts.map((sql, index) => `${sql} AS k${index}`);
  params["top_groups"] = top_groups;
  return [
    // A sub-select, because IN with a list of arrays compares each with each.
    `${listOfTexts(texts)} NOT IN (SELECT arrayJoin({top_groups:Array(Array(String))})) AS is_other`,
    ...texts.map((sql, index) => `if(is_other, '', ${sql}) AS k${index}`),
  ];
}

/** The condition that a row comes behind the last one of the page before. */
function compileAfter(
  { after, interval }: UsageQuestion,
  order: readonly string[],
  params: MutableParams,
): string[] {
  if (after === undefined) return [];
  const bound: readonly (readonly [name: string, type: string, value: Param])[] = [
    ...(interval === "none" ? [] : [["after_time", "UInt32", after.time_s ?? 0] as const]),
    ...(order.includes("is_other")
      ? [["after_other", "UInt8", after.is_other ? 1 : 0] as const]
      : []),
    ["after_rank", "Decimal(38, 12)", after.rank],
    ["after_calls", "Int64", after.calls],
    ...after.keys.map((key, index) => [`after_k${index}`, "String", key] as const),
  ];
  for (const [name, , value] of bound) params[name] = value;
  const values = bound.map(([name, type]) =>
    name === "after_rank" || name === "after_calls" ? `-{${name}:${type}}` : `{${name}:${type}}`,
  );
  return [`(${order.join(", ")}) > (${values.join(", ")})`];
}

/** The condition that a row is one of those wanted. */
function compileOnly(
  question: UsageQuestion,
  options: CompileOptions,
  keys: readonly string[],
  params: MutableParams,
): string[] {
  if (options.only_rows === undefined) return [];
  params["only_rows"] = options.only_rows;
  const key = listOfTexts([
    question.interval === "none" ? "''" : "toString(time)",
    options.top_groups === undefined ? "'0'" : "toString(is_other)",
    ...keys,
  ]);
  return [`${key} IN (SELECT arrayJoin({only_rows:Array(Array(String))}))`];
}

function listOfTexts(items: readonly string[]): string {
  return `[${items.join(", ")}]`;
}

/** The sum that ranks groups by a measure; of the type that a cursor's is read as. */
function rankSql(rank: MeasureName): string {
  const columns = rankColumns(rank).map((name) => combine(name));
  return `CAST(${columns.length === 0 ? "sum(part.calls)" : columns.join(" + ")}, 'Decimal(38, 12)')`;
}

/** How a column of two groups becomes the column of both. */
const COMBINE_SQL = {
  sum: (column: string) => `sum(${column})`,
  or: (column: string) => `groupBitOr(${column})`,
  histogram: (column: string) => `sumMap(${column})`,
  by_price: (column: string) => `sumMap(${column})`,
  distinct: (column: string) => `uniqExactIf(${column}, ${column} != '')`,
} as const;

function combine(name: string): string {
  return COMBINE_SQL[usageColumn(name).combine](`part.${name}`);
}

/** SQL of a dimension; the key of a tag is a parameter. */
function compileGroup(name: GroupName, index: number, params: MutableParams): string {
  const key = tagKeyOf(name);
  if (key === null) return DIMENSIONS[name as DimensionName].sql;
  params[`group_tag_${index}`] = key;
  return `tags[{group_tag_${index}:String}]`;
}

/** The conditions of the filters on the columns of every source. */
function compileConditions(question: UsageQuestion, params: MutableParams): string[] {
  const dimensions = (filters: Filters, prefix: string, operator: string) =>
    Object.entries(filters).map(([name, values]) => {
      params[`${prefix}_${name}`] = values;
      const { sql } = DIMENSIONS[name as DimensionName];
      return `${sql} ${operator} {${prefix}_${name}:Array(String)}`;
    });
  const tags = (filters: TagFilters, prefix: string, operator: string) =>
    [...filters].map(([key, values], index) => {
      params[`${prefix}_key_${index}`] = key;
      params[`${prefix}_values_${index}`] = values;
      return `tags[{${prefix}_key_${index}:String}] ${operator} {${prefix}_values_${index}:Array(String)}`;
    });
  return [
    ...dimensions(question.filters, "filter", "IN"),
    ...dimensions(question.excluded ?? {}, "exclude", "NOT IN"),
    ...tags(question.tags ?? new Map(), "tag", "IN"),
    ...tags(question.excluded_tags ?? new Map(), "exclude_tag", "NOT IN"),
  ];
}

/** The step that a row of a source falls in; null without steps. */
function compileTime(source: UsageSource, interval: Interval): string | null {
  if (interval === "none") return null;
  const sql = INTERVAL_SQL[interval].replaceAll("{time}", TIME_SQL[source]);
  return sql.replaceAll("{tz}", "{tz:String}");
}

function compilePart(
  part: SourceParts,
  part_index: number,
  shared: Shared,
  params: MutableParams,
): string {
  const time = compileTime(part.source, shared.question.interval);
  const selected = [
    ...(time === null ? [] : [`${time} AS time`]),
    ...shared.groups.map((sql, position) => `${sql} AS g${position}`),
    ...shared.columns.map((name) => {
      const { sql } = usageColumn(name);
      return sql === undefined ? name : `${sql} AS ${name}`;
    }),
  ];
  return `SELECT ${selected.join(", ")} ${compileFrom(part, part_index, shared, params)}`;
}

/** The table of a part and the conditions on its rows. */
function compileFrom(
  part: SourceParts,
  part_index: number,
  { options, conditions }: Shared,
  params: MutableParams,
): string {
  const { column, bound, value } = BOUNDS[part.source];
  const ranges = part.ranges.map(([from_ms, to_ms], index) => {
    const name = `${part_index}_${index}`;
    params[`from_${name}`] = value(from_ms);
    params[`to_${name}`] = value(to_ms);
    const [from, to] = [`from_${name}`, `to_${name}`].map((key) => bound.replace("{", `{${key}:`));
    return `(${column} >= ${from} AND ${column} < ${to})`;
  });
  const where = ["project_id = {project_id:String}", `(${ranges.join(" OR ")})`, ...conditions];
  const table = (options.tables ?? VIEWS)[part.source];
  return `${fromTable(table)} WHERE ${where.join(" AND ")}`;
}
