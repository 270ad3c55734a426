/**
 * Requests and answers of the query API. The routes validate by these schemas and the OpenAPI
 * document is made from them, so the three cannot differ.
 */
import { z } from "zod";
import { CallRow } from "./call.ts";
import { filtersOf, instant, oneOf, wholeNumber } from "./api-parts.ts";
import { CALL_FILTER_NAMES } from "./usage.ts";

export {
  canonicalTimeZone,
  Coverage,
  MAX_FILTER_LENGTH,
  MAX_FILTER_VALUES,
  MAX_INSTANT_MS,
  MAX_RANGE_S,
  NO_SUCH_ZONE,
} from "./api-parts.ts";
export { TraceAnswer } from "./api-traces.ts";
export {
  type Latency,
  MAX_USAGE_ROWS,
  type MeasureValues,
  UsageAnswer,
  UsageQuery,
} from "./api-usage.ts";

/** Characters of a cursor; ours have about 130. */
const MAX_CURSOR_LENGTH = 512;
export const MAX_CALL_ROWS = 1_000;

const range = {
  from: instant.optional().describe("Start, inclusive; default 24 hours before `to`"),
  to: instant.optional().describe("End, exclusive; default now"),
};

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
  ...filtersOf(CALL_FILTER_NAMES),
});
export type CallsQuery = z.infer<typeof CallsQuery>;

export const CallsAnswer = z.object({
  from: z.string(),
  to: z.string(),
  calls: z.array(CallRow).describe("Newest first"),
  next_cursor: z.string().nullable().describe("null on the last page"),
});
export type CallsAnswer = z.infer<typeof CallsAnswer>;

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
