/** Canonical spans for tests: plain defaults, one difference at a time. */
import { Attributes, type Span } from "../../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES, type TokenClass } from "../../schemas/tokens.ts";

/** Raw bytes of a hex id. */
export function idBytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

/** Tokens or costs in storage order from the classes named. */
export function byClass<Value>(values: Partial<Record<TokenClass, Value>>): (Value | null)[] {
  const list: (Value | null)[] = TOKEN_CLASSES.map(() => null);
  for (const [name, value] of Object.entries(values)) {
    list[CLASS_INDEX[name as TokenClass]] = value;
  }
  return list;
}

/** A priced chat call of gpt-4o-mini, changed as asked. */
export function makeSpan(changes: Partial<Span> = {}): Span {
  return {
    project_id: "default",
    key_id: "",
    start_ns: 1_795_225_705_123_456_789n,
    duration_ns: 1_500_000_000n,
    trace_id: idBytes("0102030405060708090a0b0c0d0e0f10"),
    span_id: idBytes("a1a2a3a4a5a6a7a8"),
    parent_span_id: new Uint8Array(8),
    name: "chat gpt-4o-mini",
    kind: 3,
    status: "unset",
    status_message: "",
    span_class: "billable",
    operation: "chat",
    provider: "openai",
    request_model: "gpt-4o-mini",
    response_model: "gpt-4o-mini-2024-07-18",
    response_id: "chatcmpl-1",
    streaming: null,
    error_type: "",
    http_status: 0,
    finish_reason: "stop",
    service_tier: "",
    region: "",
    ttft_ns: null,
    tokens: byClass({ input_uncached: 100, output_text: 20 }),
    usage_status: "reported",
    fee_units: [],
    provider_calls: 1,
    cost: byClass({ input_uncached: 15_000_000n, output_text: 12_000_000n }),
    cost_fees: null,
    cost_status: "priced",
    price_id: "openai/gpt-4o-mini/standard/initial",
    client_cost: null,
    service_name: "checkout",
    environment: "test",
    user_id: "",
    session_id: "",
    agent_name: "",
    tags: new Attributes(),
    dialect: "otel-genai",
    scope_name: "test",
    scope_version: "1.0.0",
    signal: "span",
    reason: "chat is one model call",
    attributes: new Attributes(),
    resource_attributes: new Attributes(),
    events: [],
    links: [],
    ...changes,
  };
}
