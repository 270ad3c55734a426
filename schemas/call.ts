/**
 * One row of the ledger as users see it: `spanledger explain --json` and `GET /v1/calls` answer the
 * same rows (DESIGN section 10). Names are OpenTelemetry's where it has one.
 */
import { z } from "zod";
import { FEE_KINDS } from "./span.ts";
import { TOKEN_CLASSES } from "./tokens.ts";

const tokenCount = z.number().int().nonnegative().nullable();
const decimalUsd = z
  .string()
  .regex(/^-?\d+(\.\d+)?$/)
  .describe("US dollars, exact decimal");

const perClass = <T extends z.ZodType>(value: T) =>
  z.object(
    Object.fromEntries(TOKEN_CLASSES.map((name) => [name, value])) as Record<
      (typeof TOKEN_CLASSES)[number],
      T
    >,
  );

export const CallRow = z.object({
  call_id: z.string().describe("trace id, a hyphen, span id: stable however often it is sent"),
  project: z.string(),
  trace_id: z.string(),
  span_id: z.string(),
  parent_span_id: z.string().nullable().describe("null for a root span"),
  start_time: z.string().describe("RFC 3339, UTC, nanoseconds"),
  duration_ns: z.number().int().nonnegative(),
  ttft_ns: z.number().int().nonnegative().nullable().describe("time to first token"),
  provider: z.string().nullable(),
  operation: z.string().nullable(),
  request_model: z.string().nullable(),
  response_model: z.string().nullable(),
  response_id: z.string().nullable(),
  streaming: z.boolean().nullable(),
  status: z.enum(["ok", "error"]),
  error_type: z.string().nullable(),
  http_status: z.number().int().nullable(),
  finish_reason: z.string().nullable(),
  service_tier: z.string().nullable(),
  region: z.string().nullable().describe("where the provider ran the call, as it prices it"),
  tokens: perClass(tokenCount).describe("disjoint classes; null is unknown, 0 is zero"),
  input_total: tokenCount,
  output_total: tokenCount,
  usage_status: z.enum(["reported", "derived", "estimated", "aggregate", "missing"]),
  provider_calls: z.number().int().nullable(),
  cost_usd: decimalUsd.nullable().describe("null when nothing could be priced"),
  cost: perClass(decimalUsd.nullable()),
  fees: z
    .partialRecord(z.enum(FEE_KINDS), z.number().int().positive())
    .describe("pieces billed beside tokens, by kind"),
  fees_usd: decimalUsd
    .nullable()
    .describe("their cost; null when there are none or one is unpriced"),
  price_id: z.string().nullable(),
  cost_status: z.enum(["priced", "partial", "unpriced"]),
  client_cost_usd: decimalUsd.nullable().describe("what the client claims; never ours"),
  service_name: z.string().nullable(),
  environment: z.string().nullable(),
  user_id: z.string().nullable(),
  session_id: z.string().nullable(),
  agent_name: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  dialect: z.string(),
  scope_name: z.string().nullable(),
  scope_version: z.string().nullable(),
  signal: z.enum(["span", "log", "metric"]),
  duplicates: z
    .number()
    .int()
    .nonnegative()
    .describe("other reports of this call that were not counted"),
  suspected_duplicate: z.boolean(),
  reason: z.string().describe("why it counts"),
});

export type CallRow = z.infer<typeof CallRow>;
