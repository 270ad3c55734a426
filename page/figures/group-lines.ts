/**
 * Groups of a dimension over time, one line each: what comparisons of models, providers and services
 * are drawn by.
 *
 * Invariant: a group has the colour that it has in every other figure.
 */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { colorOf, colorOfValue } from "../colors.ts";
import { NO_VALUE } from "../filters.ts";
import type { Series } from "../series.ts";
import { timeOf } from "./steps.ts";

/** Dimensions that calls are compared by here. */
export type GroupDimension =
  | "model"
  | "request_model"
  | "provider"
  | "service_name"
  | "operation"
  | "streaming"
  | "error_type";

export interface GroupLine extends Series {
  /** The value to filter by, empty when it is not known; null for what adds up all others. */
  readonly value: string | null;
  /** Ranks the line. */
  readonly total: number;
}

/** The name of the group of a row, for people. */
export function nameOfGroup(row: UsageRow, group: GroupDimension): string {
  if (row.is_other === true) return "All others";
  const value = row[group] ?? null;
  if (group !== "streaming") return value ?? NO_VALUE;
  return value === null ? "Not told" : value === "true" ? "Streamed" : "Not streamed";
}

/** One line a group by `read`, those with the most by `rank` first and the rest last. */
export function groupLines(
  data: UsageAnswer,
  group: GroupDimension,
  read: (row: UsageRow) => number | null | undefined,
  rank: (row: UsageRow) => number,
): GroupLine[] {
  const rows = new Map<string | null, UsageRow[]>();
  for (const row of data.rows) {
    const value = row.is_other === true ? null : (row[group] ?? "");
    const of_group = rows.get(value);
    if (of_group === undefined) rows.set(value, [row]);
    else of_group.push(row);
  }
  // A model has one colour, asked for or answering.
  const colored_by = group === "request_model" ? "model" : group;
  return [...rows]
    .map(([value, of_group]) => ({
      value,
      name: of_group[0] === undefined ? "" : nameOfGroup(of_group[0], group),
      color: value === null ? colorOf("other") : colorOfValue(colored_by, value),
      values: new Map(of_group.map((row) => [timeOf(row), read(row) ?? null])),
      total: of_group.reduce((sum, row) => sum + rank(row), 0),
      is_dashed: value === null,
    }))
    .sort((a, b) => (a.value === null ? 1 : b.value === null ? -1 : b.total - a.total));
}

/** How much more than before, as a share of it; null when one of both is not known. */
export function changeOf(
  now: number | null | undefined,
  before: number | null | undefined,
): number | null {
  if (now === null || now === undefined || before === null || before === undefined) return null;
  return before === 0 ? null : now / before - 1;
}
