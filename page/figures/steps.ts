/** What figures over time have in common: rows of `GET /v1/usage` with a step. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import type { Answer } from "../answers.ts";
import { textColumn } from "../columns.ts";
import type { Column } from "../table.ts";
import type { Range, Step } from "../time.ts";

/** An answer with an interval, and what it was asked with. */
export interface StepsProps {
  readonly answer: Answer<UsageAnswer>;
  readonly step: Step;
  readonly range: Range;
  /** Of the chart, CSS pixels. */
  readonly height?: number;
}

/** The start of the step, as the API has it. */
export function timeColumn(): Column<UsageRow> {
  return textColumn("time", "From (UTC)", ({ time }) =>
    time?.replace("T", " ").replace(/:00(?:\.0+)?Z$|Z$/, ""),
  );
}

/** The start of the step of a row, Unix ms. */
export function timeOf(row: UsageRow): number {
  return Date.parse(row.time ?? "");
}

/** A value by the start of its step; not known is null. */
export function valuesOf(
  data: UsageAnswer,
  read: (row: UsageRow) => number | null | undefined,
): ReadonlyMap<number, number | null> {
  return new Map(data.rows.map((row) => [timeOf(row), read(row) ?? null]));
}
