/**
 * The question that budgets and rules ask of the ledger. Who answers it is given from outside: the one
 * door to usage of the query API.
 *
 * Invariant: what is told to people is what `GET /v1/usage` answers to the same question.
 */
import type { Scope } from "../schemas/alerting.ts";
import type { Coverage } from "../schemas/api-parts.ts";
import type { MeasureValues } from "../schemas/api-usage.ts";
import type { DimensionName } from "../schemas/dimensions.ts";
import type { MeasureName } from "../schemas/measures.ts";

/** A question of sums over one range of time, or day by day. */
export interface UsageQuestion {
  readonly project_id: string;
  /** Unix ms; `from` inclusive, `to` exclusive. */
  readonly from_ms: number;
  readonly to_ms: number;
  readonly measures: readonly MeasureName[];
  readonly group_by: readonly never[];
  readonly interval: "none" | "day";
  readonly tz: string;
  readonly filters: Readonly<Partial<Record<DimensionName, readonly string[]>>>;
  readonly tags: ReadonlyMap<string, readonly string[]>;
  readonly limit: number;
}

export interface UsageSums {
  readonly rows: readonly (MeasureValues & { readonly time?: string })[];
  readonly totals: MeasureValues;
  readonly coverage: Coverage;
}

/** Answers a question; rejects as the engine does. */
export type AskUsage = (question: UsageQuestion) => Promise<UsageSums>;

/** Days of the longest series: a year, and what a forecast looks back. */
const MAX_ROWS = 400;

/** What a budget or rule is about. */
export interface Subject extends Scope {
  readonly project_id: string;
  readonly tz: string;
}

/** The question of a subject over a range. */
export function makeQuestion(
  { project_id, tz, filters, tags }: Subject,
  range: { readonly start_ms: number; readonly end_ms: number },
  measures: readonly MeasureName[],
  interval: UsageQuestion["interval"] = "none",
): UsageQuestion {
  const given = Object.entries(filters).filter(([, values]) => values !== undefined);
  return {
    project_id,
    from_ms: range.start_ms,
    to_ms: range.end_ms,
    measures,
    group_by: [],
    interval,
    tz,
    filters: Object.fromEntries(given),
    tags: new Map(tags.map(({ key, values }) => [key, values])),
    limit: MAX_ROWS,
  };
}

/** The measure of a path such as `duration.p95_ns`. */
export function measureOf(path: string): MeasureName {
  return path.split(".")[0] as MeasureName;
}

/** The value at a path, money in US dollars; null when it is not known. */
export function valueAt(values: MeasureValues, path: string): number | null {
  const [measure = "", field] = path.split(".");
  const value = (values as Readonly<Record<string, unknown>>)[measure];
  const found =
    field === undefined ? value : (value as Readonly<Record<string, unknown>> | undefined)?.[field];
  if (typeof found === "number") return found;
  return typeof found === "string" ? Number(found) : null;
}
