/**
 * Compiles a usage question to one SQL statement over the coarsest source that answers it exactly.
 *
 * Identifiers come from the tables of `schemas/usage.ts`, values only as bound parameters. The parts
 * of the range that do not fill a whole bucket are read from the calls themselves, so that every
 * range is exact to the nanosecond of its ends.
 */
import type { Params } from "../clickhouse/engine.ts";
import {
  DIMENSIONS,
  type DimensionName,
  HISTOGRAM_COLUMNS,
  type Interval,
  INTERVAL_SQL,
  MASK_COLUMNS,
  MEASURES,
  type MeasureName,
  type UsageSource,
} from "../schemas/usage.ts";
import { columnsOf } from "./measures.ts";

export interface UsageQuestion {
  readonly project_id: string;
  /** Unix ms; `from` inclusive, `to` exclusive. */
  readonly from_ms: number;
  readonly to_ms: number;
  readonly measures: readonly MeasureName[];
  readonly group_by: readonly DimensionName[];
  readonly interval: Interval;
  /** As `canonicalTimeZone` gives it. */
  readonly tz: string;
  readonly filters: Readonly<Partial<Record<DimensionName, readonly string[]>>>;
  readonly limit: number;
}

export interface CompiledQuery {
  readonly sql: string;
  readonly params: Params;
  readonly source: UsageSource;
}

const STEP_MS: Readonly<Record<Exclude<UsageSource, "usage_calls">, number>> = {
  usage_15m: 900_000,
  usage_day: 86_400_000,
  usage_user_day: 86_400_000,
};

/** The time of a row of each source, as a DateTime. */
const TIME_SQL: Readonly<Record<UsageSource, string>> = {
  usage_calls: "toDateTime(ts, 'UTC')",
  usage_15m: "bucket",
  usage_day: "toDateTime(day, 'UTC')",
  usage_user_day: "toDateTime(day, 'UTC')",
};

/** Sources to try, coarsest and so cheapest first. */
const PREFERENCE: readonly UsageSource[] = ["usage_user_day", "usage_day", "usage_15m"];

/** The sources that have all that is asked, the coarsest first; the calls always have it. */
export function answeringSources(question: UsageQuestion): UsageSource[] {
  const dimensions = usedDimensions(question);
  const daily_steps = ["none", "day", "week", "month"].includes(question.interval);
  const days_fit = daily_steps && (question.interval === "none" || question.tz === "UTC");
  const answers = (source: UsageSource) =>
    dimensions.every((name) => includes(DIMENSIONS[name].sources, source)) &&
    question.measures.every((name) => includes(MEASURES[name].sources, source)) &&
    (source === "usage_15m" || days_fit) &&
    // Users are many: their rollup is for questions about users.
    (source !== "usage_user_day" || dimensions.includes("user_id"));
  return [...PREFERENCE.filter(answers), "usage_calls"];
}

function includes(sources: readonly UsageSource[], source: UsageSource): boolean {
  return sources.includes(source);
}

function usedDimensions(question: UsageQuestion): DimensionName[] {
  const filtered = Object.keys(question.filters) as DimensionName[];
  return [...new Set([...question.group_by, ...filtered])];
}

interface Part {
  readonly source: UsageSource;
  readonly from_ms: number;
  readonly to_ms: number;
}

/** The whole buckets of the range from the source, what is left at both ends from the calls. */
function splitRange(source: UsageSource, from_ms: number, to_ms: number): Part[] {
  if (source === "usage_calls") return [{ source, from_ms, to_ms }];
  const step = STEP_MS[source];
  const first = Math.ceil(from_ms / step) * step;
  const last = Math.floor(to_ms / step) * step;
  if (first >= last) return [{ source: "usage_calls", from_ms, to_ms }];
  const parts: Part[] = [
    { source: "usage_calls", from_ms, to_ms: first },
    { source, from_ms: first, to_ms: last },
    { source: "usage_calls", from_ms: last, to_ms },
  ];
  return parts.filter((part) => part.from_ms < part.to_ms);
}

/**
 * Compiles the question over a source that has all it asks, by default the coarsest. One row more
 * than the limit is asked for, to see whether there are more.
 */
export function compileUsage(
  question: UsageQuestion,
  source: UsageSource = answeringSources(question)[0] ?? "usage_calls",
): CompiledQuery {
  const params: Record<string, string | number | readonly string[]> = {
    project_id: question.project_id,
    tz: question.tz,
    limit: question.limit + 1,
  };
  const conditions = Object.entries(question.filters).map(([name, values]) => {
    params[`filter_${name}`] = values;
    return `${DIMENSIONS[name as DimensionName].sql} IN {filter_${name}:Array(String)}`;
  });
  const columns = columnsOf(question.measures);
  const parts = splitRange(source, question.from_ms, question.to_ms).map((part, index) =>
    compilePart(part, index, question, columns, conditions, params),
  );
  const keys = [...(question.interval === "none" ? [] : ["time"]), ...question.group_by];
  const selected = [...keys, ...columns.map((name) => `${combine(name)} AS ${name}`)];
  const cost = columns
    .filter((name) => name.startsWith("cost_"))
    .map((name) => `sum(part.${name})`);
  const dearest = cost.length > 0 ? `${cost.join(" + ")} DESC, ` : "";
  const order = [
    ...(question.interval === "none" ? [] : ["time"]),
    `${dearest}sum(part.calls) DESC`,
    ...question.group_by,
  ];
  const group = keys.length === 0 ? "" : `GROUP BY ${keys.join(", ")}`;
  const sql = `SELECT ${selected.join(", ")}
FROM (${parts.join("\nUNION ALL\n")}) AS part
${group}
HAVING sum(part.calls) > 0
ORDER BY ${order.join(", ")}
LIMIT {limit:UInt32}`;
  return { sql, params, source };
}

/** How a column of two groups becomes the column of both. */
function combine(name: string): string {
  if (MASK_COLUMNS.includes(name)) return `groupBitOr(part.${name})`;
  if (HISTOGRAM_COLUMNS.includes(name)) return `sumMap(part.${name})`;
  return `sum(part.${name})`;
}

function compilePart(
  part: Part,
  index: number,
  question: UsageQuestion,
  columns: readonly string[],
  conditions: readonly string[],
  params: Record<string, string | number | readonly string[]>,
): string {
  // Milliseconds as text: DateTime64 parameters are read from decimal seconds.
  params[`from_${index}`] = (part.from_ms / 1000).toFixed(3);
  params[`to_${index}`] = (part.to_ms / 1000).toFixed(3);
  const selected = [
    ...(question.interval === "none"
      ? []
      : [
          `${INTERVAL_SQL[question.interval]
            .replaceAll("{time}", TIME_SQL[part.source])
            .replaceAll("{tz}", "{tz:String}")} AS time`,
        ]),
    ...question.group_by.map((name) => `${DIMENSIONS[name].sql} AS ${name}`),
    ...columns,
  ];
  const time = part.source === "usage_calls" ? "ts" : TIME_SQL[part.source];
  const where = [
    "project_id = {project_id:String}",
    `${time} >= toDateTime64({from_${index}:Decimal(18, 3)}, 9, 'UTC')`,
    `${time} < toDateTime64({to_${index}:Decimal(18, 3)}, 9, 'UTC')`,
    ...conditions,
  ];
  return `SELECT ${selected.join(", ")} FROM ${part.source} WHERE ${where.join(" AND ")}`;
}
