/**
 * The shapes a span has on its way: as decoded from the wire (`DecodedSpan`), and as normalized and
 * priced (`Span`, one row of the table `spans`).
 *
 * Attributes are parallel arrays, never object properties: a key such as `__proto__` is data.
 */

/** A value of the OTLP AnyValue: null is the empty value, Attributes a key-value list. */
export type AttributeValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | AttributeValue[]
  | Attributes;

/** Key-value pairs in the order sent. A key may occur twice; the last one counts (OTLP D11). */
export class Attributes {
  readonly keys: string[];
  readonly values: AttributeValue[];

  constructor(keys: string[] = [], values: AttributeValue[] = []) {
    this.keys = keys;
    this.values = values;
  }

  add(key: string, value: AttributeValue): void {
    this.keys.push(key);
    this.values.push(value);
  }

  /** The last value of the key, or undefined when the key is absent or its value is empty. */
  get(key: string): Exclude<AttributeValue, null> | undefined {
    const index = this.keys.lastIndexOf(key);
    return index === -1 ? undefined : (this.values[index] ?? undefined);
  }
}

/** An event of a span (OTLP Span.Event). */
export interface SpanEvent {
  /** Unix time, ns. */
  time_ns: bigint;
  name: string;
  attributes: Attributes;
}

/** A link of a span (OTLP Span.Link): 16 and 8 raw bytes. */
export interface SpanLink {
  trace_id: Uint8Array;
  span_id: Uint8Array;
  attributes: Attributes;
}

/** A span as it came over the wire; ids are raw bytes of the right length and not all zero. */
export interface DecodedSpan {
  trace_id: Uint8Array;
  span_id: Uint8Array;
  /** 8 bytes, or empty for a root. */
  parent_span_id: Uint8Array;
  name: string;
  /** OTLP SpanKind number, 0 to 5; unknown numbers are kept. */
  kind: number;
  /** Unix time, ns, as sent. */
  start_ns: bigint;
  end_ns: bigint;
  attributes: Attributes;
  events: SpanEvent[];
  links: SpanLink[];
  /** OTLP StatusCode: 0 unset, 1 ok, 2 error. */
  status_code: number;
  status_message: string;
}

export interface Scope {
  name: string;
  version: string;
}

/** The spans of one scope under one resource. */
export interface ScopeSpans {
  resource: Attributes;
  scope: Scope;
  spans: DecodedSpan[];
}

/** A whole export request, with what was refused of it (OTLP partial success). */
export interface DecodedTraces {
  scope_spans: ScopeSpans[];
  /** Spans in `scope_spans`. */
  span_count: number;
  /** Spans that were permanently invalid, and why (a few reasons, each once). */
  rejected_spans: number;
  rejections: string[];
  /** What was accepted but not as it should have been sent. */
  warnings: string[];
}

/**
 * What a span is to the ledger (DESIGN section 5 rule 1). The order is the storage number.
 * `billable` is one call of a model; `aggregate` repeats what its descendants used; `tool` and
 * `structure` are never money; `other` has nothing to do with GenAI.
 */
export const SPAN_CLASSES = ["other", "billable", "aggregate", "tool", "structure"] as const;
export type SpanClass = (typeof SPAN_CLASSES)[number];

/** How the usage of a call is known; `none` for spans that are no call. Storage order. */
export const USAGE_STATUSES = [
  "none",
  "reported",
  "derived",
  "estimated",
  "aggregate",
  "missing",
] as const;
export type UsageStatus = (typeof USAGE_STATUSES)[number];

/** Whether the tokens of a call could be priced; `none` for spans that are no call. Storage order. */
export const COST_STATUSES = ["none", "priced", "partial", "unpriced"] as const;
export type CostStatus = (typeof COST_STATUSES)[number];

export const SPAN_STATUSES = ["unset", "ok", "error"] as const;
export type SpanStatus = (typeof SPAN_STATUSES)[number];

export const SIGNALS = ["span", "log", "metric"] as const;
export type Signal = (typeof SIGNALS)[number];

export const SPAN_KINDS = [
  "unspecified",
  "internal",
  "server",
  "client",
  "producer",
  "consumer",
] as const;

/** Pieces of one kind that a call is billed for beside its tokens. */
export interface FeeUnits {
  readonly kind: FeeKind;
  /** Whole and above zero. */
  readonly count: number;
}

/** What providers bill by the piece. Append only: the names are stored. */
export const FEE_KINDS = [
  "web_search",
  "grounding",
  "file_search",
  "code_interpreter",
  "image",
  "rerank_search",
] as const;
export type FeeKind = (typeof FEE_KINDS)[number];

/**
 * A span after normalizing and pricing: what becomes one row of `spans`. Strings are empty when
 * unknown; numbers that may be unknown are null, because zero is a value.
 */
export interface Span {
  project_id: string;
  /** Id of the key that the sender used; empty without one. */
  key_id: string;
  /** Unix time, ns. */
  start_ns: bigint;
  duration_ns: bigint;
  trace_id: Uint8Array;
  span_id: Uint8Array;
  /** 8 bytes; all zero for a root. */
  parent_span_id: Uint8Array;
  name: string;
  kind: number;
  status: SpanStatus;
  /** Empty unless content capture is on: it may quote a prompt. */
  status_message: string;
  span_class: SpanClass;

  operation: string;
  provider: string;
  request_model: string;
  response_model: string;
  response_id: string;
  /** Null when the source does not say. */
  streaming: boolean | null;
  error_type: string;
  /** 0 when unknown. */
  http_status: number;
  finish_reason: string;
  service_tier: string;
  /** Where the provider ran the call, as it prices it (`eu`, `us-east-1`); empty when unknown. */
  region: string;
  /** Time to first token, ns; null when unknown. */
  ttft_ns: bigint | null;

  /** Tokens by class, in the order of TOKEN_CLASSES; null is unknown. */
  tokens: (number | null)[];
  usage_status: UsageStatus;
  /** What is billed by the piece beside tokens, such as web searches; empty when nothing is. */
  fee_units: readonly FeeUnits[];
  /** Calls of the provider that this row stands for; null when an aggregate does not say. */
  provider_calls: number | null;
  /** Cost by class, picodollars; null is unknown or unpriced. */
  cost: (bigint | null)[];
  /** Cost of the fee units, picodollars; null when there are none or one of them has no price. */
  cost_fees: bigint | null;
  cost_status: CostStatus;
  /** The price row that applied; empty when none did. */
  price_id: string;
  /** What the client claims the call cost, picodollars; never used as ours. */
  client_cost: bigint | null;

  service_name: string;
  environment: string;
  user_id: string;
  session_id: string;
  agent_name: string;
  tags: Attributes;

  dialect: string;
  scope_name: string;
  scope_version: string;
  signal: Signal;
  /** Why the span counts or does not, in words. */
  reason: string;

  attributes: Attributes;
  resource_attributes: Attributes;
  events: SpanEvent[];
  links: SpanLink[];
}

/**
 * What a span cost, picodollars: the sum of its priced classes and fees, zero for a refused call,
 * null when it is unpriced or no call. A partial cost is a lower bound.
 */
export function totalCost(span: Pick<Span, "cost" | "cost_fees" | "cost_status">): bigint | null {
  if (span.cost_status === "none" || span.cost_status === "unpriced") return null;
  return span.cost.reduce((total: bigint, cost) => total + (cost ?? 0n), span.cost_fees ?? 0n);
}
