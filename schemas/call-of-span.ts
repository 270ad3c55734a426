/**
 * The ledger row of a span, for `explain`. The server answers the same row from the table `spans`
 * (`query-api/call-row.ts`); a test holds the two against each other over every capture.
 */
import type { CallRow } from "./call.ts";
import type { Candidate, Decision } from "./ledger.ts";
import { type Attributes, type AttributeValue, type Span, totalCost } from "./span.ts";
import {
  INPUT_CLASSES,
  OUTPUT_CLASSES,
  sumClasses,
  TOKEN_CLASSES,
  type TokenClass,
} from "./tokens.ts";
import { formatTimestamp, formatUsd } from "./units.ts";

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Lower-case hex of an id. */
export function formatId(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** Values of the classes by name. */
export function nameClasses<Value>(values: readonly Value[]): Record<TokenClass, Value> {
  return Object.fromEntries(
    TOKEN_CLASSES.map((name, index) => [name, values[index] as Value]),
  ) as Record<TokenClass, Value>;
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

function tagText(value: AttributeValue): string {
  return typeof value === "string" ? value : "";
}

function namedTags(tags: Attributes): Record<string, string> {
  return Object.fromEntries(
    tags.keys.map((key, index) => [key, tagText(tags.values[index] ?? null)]),
  );
}

/** The identity of a span in its project: its start is part of it. */
export function keyOfSpan(span: Pick<Span, "start_ns" | "trace_id" | "span_id">): string {
  return `${span.start_ns} ${formatId(span.trace_id)} ${formatId(span.span_id)}`;
}

function idOrEmpty(bytes: Uint8Array): string {
  return bytes.every((byte) => byte === 0) ? "" : formatId(bytes);
}

/** The span as the counting rules see it. The same is read from the table by `select_candidates`. */
export function candidateOfSpan(span: Span): Candidate {
  return {
    key: keyOfSpan(span),
    trace_id: formatId(span.trace_id),
    span_id: formatId(span.span_id),
    parent_span_id: idOrEmpty(span.parent_span_id),
    start_ns: span.start_ns,
    duration_ns: span.duration_ns,
    name: span.name,
    span_class: span.span_class,
    signal: span.signal,
    dialect: span.dialect,
    scope_name: span.scope_name,
    service_name: span.service_name,
    status: span.status,
    provider: span.provider,
    model: span.response_model === "" ? span.request_model : span.response_model,
    response_id: span.response_id,
    usage_status: span.usage_status,
    known_classes: span.tokens.filter((count) => count !== null).length,
    input_total: sumClasses(span.tokens, INPUT_CLASSES),
    output_total: sumClasses(span.tokens, OUTPUT_CLASSES),
    provider_calls: span.provider_calls,
    is_priced: span.cost_status === "priced" || span.cost_status === "partial",
    user_id: span.user_id,
    session_id: span.session_id,
    agent_name: span.agent_name,
    finish_reason: span.finish_reason,
  };
}

/** Whether the span is a row of the ledger: as decided, else as its class says. */
export function isCounted(span: Span, decision: Decision | undefined): boolean {
  return decision?.counted ?? span.span_class === "billable";
}

/** The reason of a span with that of its decision. */
export function reasonOf(span: Span, decision: Decision | undefined): string {
  const more = decision?.reason ?? "";
  return more === "" ? span.reason : `${span.reason}; ${more}`;
}

/** The row of a span that counts, with what the counting rules decided of it. */
export function callOfSpan(span: Span, decision?: Decision): CallRow {
  const trace_id = formatId(span.trace_id);
  const span_id = formatId(span.span_id);
  const parent = formatId(span.parent_span_id);
  const cost = totalCost(span);
  const usage_status = span.usage_status === "none" ? "missing" : span.usage_status;
  return {
    call_id: `${trace_id}-${span_id}`,
    project: span.project_id,
    trace_id,
    span_id,
    parent_span_id: /^0*$/.test(parent) ? null : parent,
    start_time: formatTimestamp(span.start_ns),
    duration_ns: Number(span.duration_ns),
    ttft_ns: span.ttft_ns === null ? null : Number(span.ttft_ns),
    provider: orNull(span.provider),
    operation: orNull(span.operation),
    request_model: orNull(span.request_model),
    response_model: orNull(span.response_model),
    response_id: orNull(span.response_id),
    streaming: span.streaming,
    status: span.status === "error" ? "error" : "ok",
    error_type: orNull(span.error_type),
    http_status: span.http_status === 0 ? null : span.http_status,
    finish_reason: orNull(decision?.finish_reason || span.finish_reason),
    service_tier: orNull(span.service_tier),
    region: orNull(span.region),
    tokens: nameClasses(span.tokens),
    input_total: sumClasses(span.tokens, INPUT_CLASSES),
    output_total: sumClasses(span.tokens, OUTPUT_CLASSES),
    usage_status: decision?.is_aggregate === true ? "aggregate" : usage_status,
    provider_calls: decision === undefined ? span.provider_calls : decision.provider_calls,
    cost_usd: cost === null ? null : formatUsd(cost),
    cost: nameClasses(span.cost.map((value) => (value === null ? null : formatUsd(value)))),
    fees: Object.fromEntries(span.fee_units.map(({ kind, count }) => [kind, count])),
    fees_usd: span.cost_fees === null ? null : formatUsd(span.cost_fees),
    price_id: orNull(span.price_id),
    cost_status: span.cost_status === "none" ? "unpriced" : span.cost_status,
    client_cost_usd: span.client_cost === null ? null : formatUsd(span.client_cost),
    service_name: orNull(span.service_name),
    environment: orNull(span.environment),
    user_id: orNull(decision?.user_id || span.user_id),
    session_id: orNull(decision?.session_id || span.session_id),
    agent_name: orNull(decision?.agent_name || span.agent_name),
    tags: namedTags(span.tags),
    dialect: span.dialect,
    scope_name: orNull(span.scope_name),
    scope_version: orNull(span.scope_version),
    signal: span.signal,
    duplicates: decision?.duplicates ?? 0,
    suspected_duplicate: decision?.suspected_duplicate ?? false,
    reason: reasonOf(span, decision),
  };
}
