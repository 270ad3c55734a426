/**
 * Requests and answers of the query API. The routes validate by these schemas and the OpenAPI
 * document is made from them, so the three cannot differ.
 */
import { z } from "zod";
import { CallRow } from "./call.ts";
import { TOKEN_CLASSES } from "./tokens.ts";
import {
  DIMENSION_ALIASES,
  DIMENSION_NAMES,
  type DimensionName,
  INTERVALS,
  MEASURE_NAMES,
  type MeasureName,
} from "./usage.ts";

/** Longest range of one question, seconds: ten years. */
export const MAX_RANGE_S = 3_660 * 86_400;
/** Latest instant that can be asked for, Unix ms: the tables hold times of the years 1970 to 2105. */
export const MAX_INSTANT_MS = Date.UTC(2106, 0, 1);
/** Values of one filter. */
export const MAX_FILTER_VALUES = 100;
/** Characters of one value of a filter. */
export const MAX_FILTER_LENGTH = 1024;
/** Characters of a cursor; ours have about 130. */
const MAX_CURSOR_LENGTH = 512;
export const MAX_USAGE_ROWS = 10_000;
export const MAX_CALL_ROWS = 1_000;

/** What is wrong with a name that is no time zone. */
export const NO_SUCH_ZONE = "must be an IANA time zone such as Europe/Berlin";
const INSTANT_BOUNDS = "must lie in the years 1970 to 2105";

const decimalUsd = z.string().describe("US dollars, exact decimal");
const count = z.number().int().nonnegative();

/** How far a sum can be trusted (DESIGN section 10). */
export const Coverage = z
  .object({
    calls: count,
    calls_missing_usage: count.describe("calls nobody reported the usage of, refused calls apart"),
    calls_estimated: count.describe("calls whose token split rests on an assumption"),
    calls_unpriced: count.describe("calls whose cost is not, or not wholly, known"),
    tokens_priced_share: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe("share of the known tokens that has a price; null without tokens"),
  })
  .describe("How far the sums can be trusted");
export type Coverage = z.infer<typeof Coverage>;

const perClass = <T extends z.ZodType>(value: T) =>
  z.object(
    Object.fromEntries(TOKEN_CLASSES.map((name) => [name, value])) as Record<
      (typeof TOKEN_CLASSES)[number],
      T
    >,
  );

const Latency = z.object({
  calls: count,
  mean_ns: count.nullable(),
  p50_ns: count.nullable(),
  p90_ns: count.nullable(),
  p95_ns: count.nullable(),
  p99_ns: count.nullable(),
});
export type Latency = z.infer<typeof Latency>;

const MeasureValues = z.object({
  calls: count.optional(),
  errors: count.optional(),
  tokens: perClass(count.nullable()).optional(),
  input_total: count.nullable().optional(),
  output_total: count.nullable().optional(),
  cost_usd: decimalUsd.nullable().optional(),
  cost: perClass(decimalUsd.nullable()).optional(),
  fees_usd: decimalUsd.nullable().optional(),
  client_cost_usd: decimalUsd.nullable().optional(),
  duration: Latency.optional(),
  ttft: Latency.optional(),
  coverage: Coverage,
});
export type MeasureValues = z.infer<typeof MeasureValues>;

/** An instant: RFC 3339 with a zone, or a day (its start, UTC). Unix ms. */
const instant = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], {
    error: "must be RFC 3339 such as 2026-11-21T08:00:00Z, or a date",
  })
  .transform((text) => Date.parse(text))
  .pipe(z.number().min(0, INSTANT_BOUNDS).max(MAX_INSTANT_MS, INSTANT_BOUNDS))
  .describe("RFC 3339 with a zone, or YYYY-MM-DD (UTC); digits beyond milliseconds are cut");

const timeZone = z
  .string()
  .max(64, NO_SUCH_ZONE)
  .refine((name) => canonicalTimeZone(name) !== null, NO_SUCH_ZONE)
  .describe("IANA time zone");

/** The name that every time zone database has for an IANA name in any case; null for no zone. */
export function canonicalTimeZone(name: string): string | null {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return null;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null; // the constructor throws for zones it does not know
  }
}

function oneOf<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names, { error: `must be one of: ${names.join(", ")}` });
}

/** A list in one parameter, separated by commas. */
function listOf<Name extends string>(names: readonly Name[], aliases: Record<string, Name> = {}) {
  return z
    .string()
    .transform((text) => text.split(",").map((word) => aliases[word.trim()] ?? word.trim()))
    .pipe(
      z.array(
        z.enum(names as readonly [Name, ...Name[]], {
          error: `must be a list of: ${names.join(", ")}`,
        }),
      ),
    )
    .transform((list) => [...new Set(list)]);
}

const filterValues = z
  .array(
    z.string().max(MAX_FILTER_LENGTH, `must have at most ${MAX_FILTER_LENGTH} characters a value`),
  )
  .max(MAX_FILTER_VALUES, `may be given at most ${MAX_FILTER_VALUES} times`)
  .describe("Give it several times to allow several values");

/** Filters by dimension; a parameter may be given several times. */
const filters = Object.fromEntries(
  DIMENSION_NAMES.map((name) => [name, filterValues.optional()]),
) as Record<DimensionName, z.ZodOptional<typeof filterValues>>;

const range = {
  from: instant.optional().describe("Start, inclusive; default 24 hours before `to`"),
  to: instant.optional().describe("End, exclusive; default now"),
};

const wholeNumber = (minimum: number, maximum: number) => {
  const within = `must be a whole number from ${minimum} to ${maximum}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, within)
    .transform(Number)
    .pipe(z.number().refine((value) => value >= minimum && value <= maximum, within));
};

export const UsageQuery = z.strictObject({
  ...range,
  measures: listOf<MeasureName>(MEASURE_NAMES)
    .optional()
    .describe(`Comma-separated; default all. One of: ${MEASURE_NAMES.join(", ")}`),
  group_by: listOf<DimensionName>(DIMENSION_NAMES, DIMENSION_ALIASES)
    .optional()
    .describe(`Comma-separated: ${DIMENSION_NAMES.join(", ")}`),
  interval: oneOf(INTERVALS).optional().describe("Step of the time series; default none"),
  tz: timeZone.optional().describe("Time zone of day, week and month; default UTC"),
  limit: wholeNumber(1, MAX_USAGE_ROWS)
    .optional()
    .describe(
      "Rows at most: within a step the dearest first, or those of the most calls when no cost is " +
        `asked for; default 1000, at most ${MAX_USAGE_ROWS}`,
    ),
  ...filters,
});
export type UsageQuery = z.infer<typeof UsageQuery>;

export const UsageAnswer = z.object({
  from: z.string(),
  to: z.string(),
  tz: z.string(),
  interval: z.enum(INTERVALS),
  group_by: z.array(z.string()),
  rows: z.array(
    z
      .object({ time: z.string().optional().describe("Start of the step, RFC 3339 UTC") })
      .extend(
        Object.fromEntries(
          DIMENSION_NAMES.map((name) => [name, z.string().nullable().optional()]),
        ) as Record<DimensionName, z.ZodOptional<z.ZodNullable<z.ZodString>>>,
      )
      .extend(MeasureValues.shape),
  ),
  totals: MeasureValues.describe("Over all rows, also those beyond the limit"),
  coverage: Coverage,
  truncated: z.boolean().describe("true when there are more rows than the limit"),
});
export type UsageAnswer = z.infer<typeof UsageAnswer>;

export const CallsQuery = z.strictObject({
  ...range,
  limit: wholeNumber(1, MAX_CALL_ROWS)
    .optional()
    .describe(`Rows of a page; default 100, at most ${MAX_CALL_ROWS}`),
  cursor: z
    .string()
    .max(MAX_CURSOR_LENGTH, `must have at most ${MAX_CURSOR_LENGTH} characters`)
    .optional()
    .describe("`next_cursor` of the page before; opaque. Pages keep the range of the first"),
  status: oneOf(["ok", "error"]).optional(),
  trace_id: z
    .string()
    .regex(/^[0-9a-fA-F]{32}$/, "must be 32 hexadecimal digits")
    .optional(),
  ...filters,
});
export type CallsQuery = z.infer<typeof CallsQuery>;

export const CallsAnswer = z.object({
  from: z.string(),
  to: z.string(),
  calls: z.array(CallRow).describe("Newest first"),
  next_cursor: z.string().nullable().describe("null on the last page"),
});
export type CallsAnswer = z.infer<typeof CallsAnswer>;

export const TraceAnswer = z.object({
  trace_id: z.string(),
  start_time: z.string(),
  duration_ns: count,
  truncated: z.boolean().describe("true when the trace has more spans than are given"),
  totals: z.object({
    calls: count,
    errors: count,
    input_total: count.nullable(),
    output_total: count.nullable(),
    cost_usd: decimalUsd.nullable(),
  }),
  coverage: Coverage,
  spans: z.array(
    z.object({
      span_id: z.string(),
      parent_span_id: z.string().nullable(),
      name: z.string(),
      kind: z.string(),
      start_time: z.string(),
      duration_ns: count,
      status: z.enum(["unset", "ok", "error"]),
      status_message: z.string().nullable(),
      service_name: z.string().nullable(),
      span_class: z.enum(["other", "billable", "aggregate", "tool", "structure"]),
      counted: z.boolean().describe("whether the span is a row of the ledger"),
      counted_by: z
        .string()
        .nullable()
        .describe("call_id of the call that is counted in its place; null when there is none"),
      reason: z.string().describe("why the span counts or does not"),
      cost_usd: decimalUsd
        .nullable()
        .describe("of the span and all below it; null when nothing there is priced"),
      attributes: z.record(z.string(), z.string()),
      resource_attributes: z.record(z.string(), z.string()),
      events: z.array(
        z.object({
          time: z.string(),
          name: z.string(),
          attributes: z.record(z.string(), z.string()),
        }),
      ),
      call: CallRow.nullable().describe("the ledger row, when the span is a call that counts"),
    }),
  ),
});
export type TraceAnswer = z.infer<typeof TraceAnswer>;

const ExplainedSpan = z.object({
  call_id: z.string(),
  name: z.string(),
  start_time: z.string(),
  signal: z.enum(["span", "log", "metric"]),
  dialect: z.string().nullable(),
  scope_name: z.string().nullable(),
  span_class: z.enum(["other", "billable", "aggregate", "tool", "structure"]),
  counted: z.boolean(),
  counted_by: z.string().nullable().describe("call_id of the call that is counted in its place"),
  reason: z.string().describe("why it counts or does not, and what is known of its numbers"),
});

export const ExplainAnswer = z.object({
  span: ExplainedSpan,
  call: CallRow.nullable().describe("the ledger row; null when the span is none"),
  replaced: z
    .array(ExplainedSpan)
    .describe("spans and events that gave way to this call, and why; at most 1,000"),
  truncated: z.boolean(),
});
export type ExplainAnswer = z.infer<typeof ExplainAnswer>;

/** The one shape of every error. */
export const ErrorAnswer = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    details: z.array(z.object({ path: z.string(), message: z.string() })),
  }),
});
export type ErrorAnswer = z.infer<typeof ErrorAnswer>;
