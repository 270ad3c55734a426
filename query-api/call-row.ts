/**
 * The ledger row of a row of the view `calls`: the same shape, to the letter, as `explain` gives.
 */
import type { CallRow } from "../schemas/call.ts";
import {
  INPUT_CLASSES,
  OUTPUT_CLASSES,
  sumClasses,
  TOKEN_CLASSES,
  type TokenClass,
} from "../schemas/tokens.ts";
import { formatTimestamp, formatUsd, parseUsd } from "../schemas/units.ts";

/** A row of `clickhouse/queries/select_calls.sql`; 64-bit numbers and decimals are strings. */
export interface StoredCall {
  readonly project_id: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_span_id: string;
  readonly start_ns: string;
  readonly duration_ns: string;
  readonly operation: string;
  readonly provider: string;
  readonly request_model: string;
  readonly response_model: string;
  readonly response_id: string;
  readonly streaming: "unknown" | "no" | "yes";
  readonly status: "unset" | "ok" | "error";
  readonly error_type: string;
  readonly http_status: number;
  readonly finish_reason: string;
  readonly service_tier: string;
  readonly region: string;
  readonly ttft_known: number;
  readonly ttft_ns: string;
  readonly usage_status: CallRow["usage_status"];
  readonly usage_mask: number;
  readonly tokens: readonly number[];
  readonly fee_units: CallRow["fees"];
  readonly provider_calls: number;
  readonly cost_status: CallRow["cost_status"];
  readonly priced_mask: number;
  readonly cost: readonly string[];
  readonly fees_priced: number;
  readonly cost_fees: string;
  readonly price_id: string;
  readonly client_cost_known: number;
  readonly client_cost_usd: string;
  readonly service_name: string;
  readonly environment: string;
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly dialect: string;
  readonly scope_name: string;
  readonly scope_version: string;
  readonly signal: CallRow["signal"];
  readonly reason: string;
  readonly duplicates: number;
  readonly suspected_duplicate: number;
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

function perClass<Value>(read: (index: number) => Value): Record<TokenClass, Value> {
  return Object.fromEntries(TOKEN_CLASSES.map((name, index) => [name, read(index)])) as Record<
    TokenClass,
    Value
  >;
}

/** Exact decimal text of a Decimal column, without the zeros ClickHouse may write. */
function normalizeUsd(text: string): string {
  return formatUsd(parseUsd(text) ?? 0n);
}

/** The parent's id; null for a root, whose stored id is all zero. */
export function parentOrNull(hex: string): string | null {
  return /^0*$/.test(hex) ? null : hex;
}

const STREAMING = { unknown: null, no: false, yes: true } as const;

export function callOfRow(row: StoredCall): CallRow {
  const known = (mask: number, index: number) => (mask & (1 << index)) !== 0;
  const tokens = TOKEN_CLASSES.map((_name, index) =>
    known(row.usage_mask, index) ? (row.tokens[index] ?? null) : null,
  );
  const cost = TOKEN_CLASSES.map((_name, index) =>
    known(row.priced_mask, index) ? normalizeUsd(row.cost[index] ?? "0") : null,
  );
  const fees_usd = row.fees_priced === 1 ? normalizeUsd(row.cost_fees) : null;
  const total = [...cost, fees_usd].reduce(
    (sum: bigint, amount) => sum + (parseUsd(amount ?? "0") ?? 0n),
    0n,
  );
  return {
    call_id: `${row.trace_id}-${row.span_id}`,
    project: row.project_id,
    trace_id: row.trace_id,
    span_id: row.span_id,
    parent_span_id: parentOrNull(row.parent_span_id),
    start_time: formatTimestamp(BigInt(row.start_ns)),
    duration_ns: Number(row.duration_ns),
    ttft_ns: row.ttft_known === 1 ? Number(row.ttft_ns) : null,
    provider: orNull(row.provider),
    operation: orNull(row.operation),
    request_model: orNull(row.request_model),
    response_model: orNull(row.response_model),
    response_id: orNull(row.response_id),
    streaming: STREAMING[row.streaming],
    status: row.status === "error" ? "error" : "ok",
    error_type: orNull(row.error_type),
    http_status: row.http_status === 0 ? null : row.http_status,
    finish_reason: orNull(row.finish_reason),
    service_tier: orNull(row.service_tier),
    region: orNull(row.region),
    tokens: perClass((index) => tokens[index] ?? null),
    input_total: sumClasses(tokens, INPUT_CLASSES),
    output_total: sumClasses(tokens, OUTPUT_CLASSES),
    usage_status: row.usage_status,
    provider_calls: row.provider_calls === 0 ? null : row.provider_calls,
    cost_usd: row.cost_status === "unpriced" ? null : formatUsd(total),
    cost: perClass((index) => cost[index] ?? null),
    fees: { ...row.fee_units },
    fees_usd,
    price_id: orNull(row.price_id),
    cost_status: row.cost_status,
    client_cost_usd: row.client_cost_known === 1 ? normalizeUsd(row.client_cost_usd) : null,
    service_name: orNull(row.service_name),
    environment: orNull(row.environment),
    user_id: orNull(row.user_id),
    session_id: orNull(row.session_id),
    agent_name: orNull(row.agent_name),
    tags: { ...row.tags },
    dialect: row.dialect,
    scope_name: orNull(row.scope_name),
    scope_version: orNull(row.scope_version),
    signal: row.signal,
    duplicates: row.duplicates,
    suspected_duplicate: row.suspected_duplicate === 1,
    reason: row.reason,
  };
}
