/**
 * Spans for the ledger bench, made by the engine itself: some days of fifty projects, in the order
 * they would arrive, agents with model calls and tools as in `bodies.ts`.
 *
 * Invariant: the rows are a pure function of their number, so every run reads the same ledger.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { TOKEN_CLASSES } from "../schemas/tokens.ts";

export const PROJECTS = 50;
/** Inserts of one day: the parts that a partition has before they are merged. */
export const PARTS_PER_DAY = 4;
/** Start of the first day, Unix seconds. */
export const FIRST_DAY_S = Date.UTC(2026, 9, 1) / 1000;
export const DAY_S = 86_400;

/** Spans of which the first is the agent, four are model calls and two are tools: 57 % are calls. */
const SPANS_PER_TRACE = 7;
const SESSIONS_PER_PROJECT = 500;
const MODELS = [
  ["openai", "gpt-4o", "gpt-4o-2024-08-06", 2_500_000, 10_000_000],
  ["openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", 150_000, 600_000],
  ["openai", "gpt-4.1", "gpt-4.1-2025-04-14", 2_000_000, 8_000_000],
  ["anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 3_000_000, 15_000_000],
  ["anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", 1_000_000, 5_000_000],
  ["google", "gemini-2.5-flash", "gemini-2.5-flash", 300_000, 2_500_000],
] as const;

/** One column of MODELS as an expression that picks by the model of the span. */
function pick(column: 0 | 1 | 2 | 3 | 4): string {
  const values = MODELS.map((row) => {
    const value = row[column];
    return typeof value === "number" ? String(value) : `'${value}'`;
  });
  return `[${values.join(", ")}][model]`;
}

/** Attributes that the rows hold besides their columns; about as many as the bodies of `ingest`. */
const ATTRIBUTES: readonly (readonly [string, string])[] = [
  ["gen_ai.operation.name", "operation"],
  ["gen_ai.provider.name", "provider"],
  ["gen_ai.request.model", "request_model"],
  ["gen_ai.response.model", "response_model"],
  ["gen_ai.response.id", "response_id"],
  ["gen_ai.response.finish_reasons", `'["stop"]'`],
  ["gen_ai.usage.input_tokens", "toString(tokens_input_uncached + tokens_cache_read)"],
  ["gen_ai.usage.output_tokens", "toString(tokens_output_text)"],
  ["gen_ai.usage.cache_read.input_tokens", "toString(tokens_cache_read)"],
  ["gen_ai.request.temperature", "['0', '0.2', '0.7', '1'][1 + h % 4]"],
  ["gen_ai.request.top_p", "['0.9', '0.95', '1'][1 + h % 3]"],
  ["gen_ai.request.max_tokens", "['512', '1024', '4096'][1 + h % 3]"],
  ["gen_ai.request.stream", "if(h % 2, 'true', 'false')"],
  ["gen_ai.output.type", "'text'"],
  ["gen_ai.agent.name", "agent_name"],
  ["gen_ai.conversation.id", "concat('conv_', lower(hex(sipHash64(session_id))))"],
  ["user.id", "user_id"],
  ["session.id", "session_id"],
  ["server.address", "concat('api.', provider, '.com')"],
  ["server.port", "'443'"],
  ["spanledger.tag.feature", "['answer', 'classify', 'extract', 'draft'][1 + t % 4]"],
  ["spanledger.tag.customer", "concat('customer-', toString(t % 120))"],
  ["app.request.id", "lower(hex(sipHash128(trace_number)))"],
  ["app.tenant.region", "['eu-west-1', 'us-east-1', 'ap-south-1'][1 + t % 3]"],
  ["app.build.id", "lower(hex(toUInt32(trace_number % 40)))"],
  ["thread.id", "toString(1 + h % 64)"],
  ["thread.name", "concat('worker-', toString(h % 16))"],
];

const IS_CALL = "slot BETWEEN 1 AND 4";

/** Picodollars of some tokens at a price in picodollars, as the column has them. */
function cost(tokens: string, price: string): string {
  return `reinterpret(toInt64(${tokens}) * ${price}, 'Decimal(18, 12)')`;
}

/** Bits of the token classes named. */
function bits(...names: (typeof TOKEN_CLASSES)[number][]): number {
  return names.reduce((mask, name) => mask | (1 << TOKEN_CLASSES.indexOf(name)), 0);
}

const USAGE_MASK = bits("input_uncached", "cache_read", "output_text");

/** Columns of a span, by name, over the columns of `numbersSql`. A later one may use an earlier. */
const COLUMNS: readonly (readonly [string, string])[] = [
  ["project_id", `concat('p', toString(t % ${PROJECTS}))`],
  ["ts", "fromUnixTimestamp64Nano(start_ns, 'UTC')"],
  ["trace_id", "reinterpretAsFixedString(sipHash128(trace_number, 'trace'))"],
  ["span_id", "reinterpretAsFixedString(sipHash64(n, 'span'))"],
  [
    "parent_span_id",
    "if(slot = 0, toFixedString('', 8), reinterpretAsFixedString(sipHash64(n - slot, 'span')))",
  ],
  ["operation", `multiIf(slot = 0, 'invoke_agent', ${IS_CALL}, 'chat', 'execute_tool')`],
  ["provider", `if(slot <= 4, ${pick(0)}, '')`],
  ["request_model", `if(slot <= 4, ${pick(1)}, '')`],
  ["response_model", `if(${IS_CALL}, ${pick(2)}, '')`],
  ["response_id", `if(${IS_CALL}, concat('resp-', lower(hex(sipHash128(n)))), '')`],
  ["agent_name", "['planner', 'researcher', 'reviewer', 'triage'][1 + t % 4]"],
  ["name", "concat(operation, ' ', if(request_model = '', 'search_orders', request_model))"],
  ["kind", `if(${IS_CALL}, 3, 1)`],
  ["status", `if(${IS_CALL} AND h % 50 = 0, 'error', 'unset')`],
  ["error_type", "if(status = 'error', 'TimeoutError', '')"],
  ["duration_ns", "300000000 + h % 4000000000"],
  ["span_class", `multiIf(slot = 0, 'aggregate', ${IS_CALL}, 'billable', 'tool')`],
  ["finish_reason", `if(${IS_CALL}, 'stop', '')`],
  ["ttft_known", IS_CALL],
  ["ttft_ns", `if(${IS_CALL}, 100000000 + h % 900000000, 0)`],
  ["usage_status", `multiIf(slot = 0, 'aggregate', ${IS_CALL}, 'reported', 'none')`],
  ["usage_mask", `if(${IS_CALL}, ${USAGE_MASK}, 0)`],
  ["tokens_input_uncached", `if(${IS_CALL}, 200 + h % 4000, 0)`],
  ["tokens_cache_read", `if(${IS_CALL} AND h % 2, h % 3000, 0)`],
  ["tokens_output_text", `if(${IS_CALL}, 20 + h % 900, 0)`],
  ["provider_calls", IS_CALL],
  ["cost_status", `if(${IS_CALL}, 'priced', 'none')`],
  ["priced_mask", "usage_mask"],
  ["cost_input_uncached", cost("tokens_input_uncached", pick(3))],
  ["cost_cache_read", cost("tokens_cache_read", `intDiv(${pick(3)}, 10)`)],
  ["cost_output_text", cost("tokens_output_text", pick(4))],
  ["price_id", `if(${IS_CALL}, concat(provider, '/', request_model, '/standard/initial'), '')`],
  ["service_name", "['checkout', 'support-bot', 'search'][1 + t % 3]"],
  ["environment", "if(t % 5, 'production', 'staging')"],
  ["user_id", "concat('user-', toString(t % 2000))"],
  ["session_id", `concat('s-', toString(intDiv(t, ${PROJECTS}) % ${SESSIONS_PER_PROJECT}))`],
  ["tags", "map('feature', ['answer', 'classify', 'extract', 'draft'][1 + t % 4])"],
  ["dialect", "'otel-genai'"],
  ["scope_name", "'opentelemetry.instrumentation.genai'"],
  ["scope_version", "'0.9.0'"],
  ["signal", "'span'"],
  ["reason", `if(${IS_CALL}, 'chat is one model call', '')`],
  ["attributes", `map(${ATTRIBUTES.map(([key, value]) => `'${key}', ${value}`).join(", ")})`],
  [
    "resource_attributes",
    "map('service.name', service_name, 'service.version', '2.4.1', 'telemetry.sdk.name', 'opentelemetry')",
  ],
  ["ingest_seq", "n"],
  ["ingested_at", "ts + INTERVAL 1 SECOND"],
];

/** How much to make. */
export interface LedgerSize {
  readonly spans: number;
  readonly days: number;
}

/** Numbers of the spans, with what they share with the others of their trace. */
function numbersSql(from: number, count: number, { spans, days }: LedgerSize): string {
  return `
    SELECT
      number AS n,
      intDiv(number, ${SPANS_PER_TRACE}) AS trace_number,
      number % ${SPANS_PER_TRACE} AS slot,
      sipHash64(number, 'value') AS h,
      sipHash64(trace_number, 'shared') AS t,
      1 + intDiv(t, 7919) % ${MODELS.length} AS model,
      ${FIRST_DAY_S} * 1000000000
        + intDiv(number * ${days * DAY_S * 1_000_000}, ${spans}) * 1000 AS start_ns
    FROM numbers(${from}, ${count})`;
}

/**
 * Fills the table `spans` with PARTS_PER_DAY inserts a day, and leaves the parts as they are: merges of
 * the table are stopped.
 */
export async function fillSpans(engine: Engine, size: LedgerSize): Promise<void> {
  await engine.command("SYSTEM STOP MERGES spans");
  const inserts = size.days * PARTS_PER_DAY;
  const names = COLUMNS.map(([name]) => name).join(", ");
  const expressions = COLUMNS.map(([name, sql]) => `${sql} AS ${name}`).join(",\n");
  for (let insert = 0; insert < inserts; insert += 1) {
    const from = Math.floor((size.spans * insert) / inserts);
    const count = Math.floor((size.spans * (insert + 1)) / inserts) - from;
    await engine.command(
      `INSERT INTO spans (${names}) SELECT ${expressions} FROM (${numbersSql(from, count, size)})`,
      {},
      "insert",
    );
  }
}
