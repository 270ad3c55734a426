/**
 * The questions and answers about traces: `GET /v1/traces`, those of a range of time, found by what their
 * calls are and by what they cost; `GET /v1/traces/{trace_id}`, the spans of one.
 *
 * Invariant: sums of a trace are those of the calls that count, as everywhere.
 */
import { z } from "zod";
import {
  count,
  Coverage,
  decimalUsd,
  filtersOf,
  instant,
  oneOf,
  wholeNumber,
} from "./api-parts.ts";
import { UsageQuery } from "./api-usage.ts";
import { CallRow } from "./call.ts";
import { CALL_FILTER_NAMES } from "./usage.ts";

/** Traces of a page. */
export const MAX_TRACE_ROWS = 200;
/** Models, users, sessions and agents that are named of one trace. */
export const MAX_TRACE_NAMES = 10;
/** Characters of a cursor; ours have about 130. */
const MAX_CURSOR_LENGTH = 512;
/** Characters of the part of a name that is looked for. */
const MAX_SEARCH_LENGTH = 256;
/** Longest duration that can be asked for, ms: eleven days. */
const MAX_DURATION_MS = 999_999_999;

/** What traces are ordered by, the largest first; `start`: the newest. */
export const TRACE_ORDERS = ["start", "cost", "duration", "calls"] as const;
export type TraceOrder = (typeof TRACE_ORDERS)[number];

export const TracesQuery = z.strictObject({
  from: instant.optional().describe("Start, inclusive; default 24 hours before `to`"),
  to: instant
    .optional()
    .describe("End, exclusive; default now. A trace is where its first span starts"),
  order_by: oneOf(TRACE_ORDERS)
    .optional()
    .describe(`The largest first: ${TRACE_ORDERS.join(", ")}; default start, the newest first`),
  limit: wholeNumber(1, MAX_TRACE_ROWS)
    .optional()
    .describe(`Traces of a page; default 50, at most ${MAX_TRACE_ROWS}`),
  cursor: z
    .string()
    .max(MAX_CURSOR_LENGTH, `must have at most ${MAX_CURSOR_LENGTH} characters`)
    .optional()
    .describe("`next_cursor` of the page before; opaque. Pages keep range and order of the first"),
  name: z
    .string()
    .min(1)
    .max(MAX_SEARCH_LENGTH, `must have at most ${MAX_SEARCH_LENGTH} characters`)
    .optional()
    .describe("Text that the name of the root span has in it, in capitals or not"),
  has_errors: oneOf(["true", "false"])
    .optional()
    .describe("`true`: only traces with a span that failed; `false`: only those without"),
  min_cost_usd: z
    .string()
    .regex(/^\d{1,9}(\.\d{1,12})?$/, "must be an amount such as 0.25")
    .optional()
    .describe("Least cost of the calls of the trace, US dollars"),
  min_duration_ms: wholeNumber(0, MAX_DURATION_MS)
    .optional()
    .describe("Least time from the start of the first span to the end of the last, ms"),
  tag: UsageQuery.shape.tag,
  ...filtersOf(CALL_FILTER_NAMES),
});
export type TracesQuery = z.infer<typeof TracesQuery>;

const names = (of: string) =>
  z.array(z.string()).describe(`${of} of its calls, at most ${MAX_TRACE_NAMES}`);

export const TraceRow = z.object({
  trace_id: z.string(),
  name: z
    .string()
    .nullable()
    .describe("of the root span; of the first one when the root is missing"),
  service_name: z.string().nullable().describe("of the same span"),
  start_time: z.string().describe("RFC 3339, UTC, nanoseconds"),
  duration_ns: count.describe("from the start of the first span to the end of the last"),
  spans: count,
  failed_spans: count.describe("spans of any kind whose status is an error"),
  calls: count.describe("calls that count"),
  errors: count.describe("calls that failed"),
  input_total: count.nullable().describe("tokens; null when nobody reported any"),
  output_total: count.nullable(),
  cost_usd: decimalUsd.nullable().describe("US dollars, exact; null when no call is priced"),
  models: names("models"),
  users: names("users"),
  sessions: names("sessions"),
  agents: names("agents"),
  coverage: Coverage,
});
export type TraceRow = z.infer<typeof TraceRow>;

export const TracesAnswer = z.object({
  from: z.string(),
  to: z.string(),
  order_by: z.enum(TRACE_ORDERS),
  traces: z.array(TraceRow),
  coverage: Coverage.describe("How far the sums of this page can be trusted"),
  next_cursor: z
    .string()
    .nullable()
    .describe("null on the last page. A page may be short, or empty, and still have a next one"),
});
export type TracesAnswer = z.infer<typeof TracesAnswer>;

/** Spans of one answer; traces beyond it are cut and say so. */
export const MAX_TRACE_SPANS = 10_000;

/** How much is said of each span. */
export const TRACE_DETAILS = ["full", "tree"] as const;
export type TraceDetail = (typeof TRACE_DETAILS)[number];

export const TraceQuery = z.strictObject({
  detail: oneOf(TRACE_DETAILS)
    .optional()
    .describe(
      "`full`, the default: all that is known of each span; `tree`: what a picture of the trace needs, " +
        "without attributes, events and tokens by class, for traces of thousands of spans",
    ),
  span_id: z
    .string()
    .regex(/^[0-9a-fA-F]{16}$/, "must be 16 hexadecimal digits")
    .optional()
    .describe("Answers this span alone; the totals stay those of the trace"),
  limit: wholeNumber(1, MAX_TRACE_SPANS)
    .optional()
    .describe(
      `Spans of the answer, the first ones; default and at most ${MAX_TRACE_SPANS}. The totals stay ` +
        "those of the trace",
    ),
});
export type TraceQuery = z.infer<typeof TraceQuery>;

/** What all answers about one trace have. */
const TraceSums = z.object({
  trace_id: z.string(),
  start_time: z.string(),
  duration_ns: count,
  truncated: z
    .boolean()
    .describe(`true when the trace has more than ${MAX_TRACE_SPANS} spans: sums are of the first`),
  span_count: count.describe(`spans that the sums are of, at most ${MAX_TRACE_SPANS}`),
  totals: z.object({
    calls: count,
    errors: count,
    input_total: count.nullable(),
    output_total: count.nullable(),
    cost_usd: decimalUsd.nullable(),
  }),
  coverage: Coverage,
});

const TraceSpan = z.object({
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
  is_agent: z.boolean().describe("whether the span says that it is the work of an agent"),
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
});

export const TraceAnswer = TraceSums.extend({ spans: z.array(TraceSpan) });
export type TraceAnswer = z.infer<typeof TraceAnswer>;

const TreeCall = CallRow.pick({
  provider: true,
  request_model: true,
  response_model: true,
  error_type: true,
  input_total: true,
  output_total: true,
  usage_status: true,
  cost_usd: true,
  cost_status: true,
  user_id: true,
  session_id: true,
});

const TreeSpan = TraceSpan.pick({
  span_id: true,
  parent_span_id: true,
  name: true,
  start_time: true,
  duration_ns: true,
  status: true,
  service_name: true,
  span_class: true,
  is_agent: true,
  counted: true,
  cost_usd: true,
}).extend({ call: TreeCall.nullable().describe("of the ledger row, when the span is one") });

/** The answer to `detail=tree`: the same trace with fewer fields of each span. */
export const TraceTreeAnswer = TraceSums.extend({ spans: z.array(TreeSpan) });
export type TraceTreeAnswer = z.infer<typeof TraceTreeAnswer>;
