/**
 * Parts of the questions and answers under `/v1/analytics/`.
 *
 * Invariant: a measure is the same field as in `GET /v1/usage`.
 */
import { z } from "zod";
import {
  count,
  Coverage,
  decimalUsd,
  filtersOf,
  instantOrDay,
  timeZone,
  wholeNumber,
} from "./api-parts.ts";
import { MeasureValues } from "./api-usage.ts";
import { DIMENSION_NAMES, type MeasureName } from "./usage.ts";

/** Days of the range that is answered when none is asked for. */
export const DEFAULT_ANALYTICS_DAYS = 30;
/** Rows of a list at most, and those that are given when no number is. */
export const MAX_ANALYTICS_ROWS = 500;
export const DEFAULT_ANALYTICS_ROWS = 50;
/** Rows of each list of a dashboard at most, and those that are given when no number is. */
export const MAX_TOP_ROWS = 50;
export const DEFAULT_TOP_ROWS = 10;
/** Steps of a series at most: a year of hours. */
export const MAX_SERIES_STEPS = 8_784;

/** A part of a whole; null when there is no whole. */
export const share = z.number().min(0).max(1).nullable();
/** US dollars; null when they are not known. */
export const usd = decimalUsd.nullable();
/** Null when the calls do not say. */
export const name = z.string().nullable();
/** An instant of an answer. */
export const instantText = z.string().describe("RFC 3339");
/** US dollars of a comparison, which may be below zero. */
export const signedUsd = z.string().describe("US dollars, exact decimal; below zero it is dearer");

type MeasureFields = typeof MeasureValues.shape;
type Given<Field> = Field extends z.ZodOptional<infer Inner> ? Inner : Field;

/** The measures of these names, each of them there, with their coverage. */
export function measuresOf<Name extends MeasureName>(names: readonly Name[]) {
  const fields = names.map((field) => [field, MeasureValues.shape[field].unwrap()]);
  return z.object({
    ...(Object.fromEntries(fields) as { [Field in Name]: Given<MeasureFields[Field]> }),
    coverage: Coverage,
  });
}

/** Filters by every dimension. */
export const filters = filtersOf(DIMENSION_NAMES);
/** The time zone that is asked for. */
export const tz = timeZone
  .optional()
  .describe("Time zone of steps and periods, and of days in `from` and `to`; default UTC");
/** The range that is asked for. */
export const range = {
  from: instantOrDay
    .optional()
    .describe(
      `Start, inclusive; default the start of the day, ${DEFAULT_ANALYTICS_DAYS} days with that of \`to\`. ${instantOrDay.description}`,
    ),
  to: instantOrDay
    .optional()
    .describe(
      `End, exclusive; default the end of the current quarter of an hour. ${instantOrDay.description}`,
    ),
  tz,
};
/** The range of an answer. */
export const ranged = { from: instantText, to: instantText, tz: z.string() };
/** Rows of a list. */
export const limit = wholeNumber(1, MAX_ANALYTICS_ROWS)
  .optional()
  .describe(`Rows at most; default ${DEFAULT_ANALYTICS_ROWS}, at most ${MAX_ANALYTICS_ROWS}`);
/** Rows of each of several lists. */
export const top = wholeNumber(1, MAX_TOP_ROWS)
  .optional()
  .describe(`Rows of each list at most; default ${DEFAULT_TOP_ROWS}, at most ${MAX_TOP_ROWS}`);
/** What figures rest on. */
export const assumptions = z.array(z.string()).describe("What the figures rest on, for people");

/** What a list leaves out. */
export const Other = z
  .object({ calls: count, cost_usd: usd })
  .nullable()
  .describe("What all groups have that are not in the list; null when all are");
