/** Claude Code (dialects.md section 12), on the truth table at the head of that file. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeEvent, normalizeOne, type Pairs } from "./fixture.ts";

const EVENTS = { scope: { name: "com.anthropic.claude_code.events", version: "2.1.329" } };
const TRACING = { scope: { name: "com.anthropic.claude_code.tracing", version: "1.0.0" } };

const SESSION = {
  "session.id": "sess-1",
  "user.id": "c14531",
  "organization.id": "org-1",
  "user.account_uuid": "acc-1",
  "user.email": "a@example.com",
  "anthropic.provider": "firstParty",
};

const REQUEST = {
  ...SESSION,
  "event.name": "api_request",
  model: "claude-sonnet-4-5-20250929",
  input_tokens: 25,
  output_tokens: 60,
  cache_read_tokens: 2000,
  cache_creation_tokens: 300,
  cache_creation_5m_tokens: 200,
  cache_creation_1h_tokens: 100,
  cost_usd: 0.002925,
  cost_usd_micros: 2925,
  duration_ms: 66,
  ttft_ms: 30,
  speed: "normal",
  query_source: "sdk",
};

function eventOf(...pairs: Pairs[]): Span | undefined {
  return normalizeEvent(Object.assign({}, ...pairs) as Pairs, EVENTS);
}

describe("log events", () => {
  test.each([
    ["1.0.60", "estimated"],
    ["1.0.86", "estimated"],
    ["1.0.88", "reported"],
    ["1.0.100", "reported"],
    ["2.0.14", "reported"],
  ])("the output of version %s is %s", (version, status) => {
    const scope = { name: "com.anthropic.claude_code.events", version };
    expect(normalizeEvent(REQUEST, { scope })?.usage_status).toBe(status);
  });

  test("zeros of an answered call, which 2.0.14 sends after a retry, are lost counts", () => {
    const lost = { input_tokens: "0", output_tokens: "0", cost_usd: "0" };
    const cache = { cache_read_tokens: "0", cache_creation_tokens: "0" };
    const lifetimes = { cache_creation_5m_tokens: "0", cache_creation_1h_tokens: "0" };
    const span = eventOf(REQUEST, lost, cache, lifetimes);
    expect(span).toMatchObject({ span_class: "billable", usage_status: "missing" });
    expect(span?.tokens.every((count) => count === null)).toBe(true);
    expect(span?.reason).toContain("counts that were lost");
  });

  test("api_request is one call with disjoint classes and both lifetimes", () => {
    const span = eventOf(REQUEST);
    expect(span).toMatchObject({
      span_class: "billable",
      signal: "log",
      dialect: "claude-code",
      operation: "chat",
      provider: "anthropic",
      request_model: "",
      response_model: "claude-sonnet-4-5-20250929",
      usage_status: "reported",
      service_tier: "standard",
      client_cost: 2_925_000_000n,
      ttft_ns: 30_000_000n,
      duration_ns: 66_000_000n,
      session_id: "sess-1",
      user_id: "c14531",
      agent_name: "",
      provider_calls: 1,
    });
    expect(span?.tokens).toEqual(
      byClass({
        input_uncached: 25,
        cache_read: 2000,
        cache_write_5m: 200,
        cache_write_1h: 100,
        cache_write: 0,
        output_text: 60,
      }),
    );
  });

  test("older releases send the numbers as strings and no lifetimes", () => {
    const span = eventOf(SESSION, {
      "event.name": "api_request",
      model: "claude-sonnet-4-5-20250929",
      input_tokens: "25",
      output_tokens: "60",
      cache_read_tokens: "2000",
      cache_creation_tokens: "300",
      cost_usd: "0.002925",
      duration_ms: "66",
    });
    expect(span?.tokens).toEqual(
      byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
    );
    expect(span).toMatchObject({ client_cost: 2_925_000_000n, duration_ns: 66_000_000n });
  });

  test("fast mode is the service tier fast", () => {
    expect(eventOf(REQUEST, { speed: "fast" })?.service_tier).toBe("fast");
  });

  test.each([
    ["firstParty", "anthropic"],
    ["bedrock", "bedrock"],
    ["vertex", "vertex"],
    ["foundry", "azure"],
    ["gateway", "anthropic"],
  ])("the calls of %s are billed by %s", (sent, provider) => {
    expect(eventOf(REQUEST, { "anthropic.provider": sent })?.provider).toBe(provider);
  });

  test("a subagent is an agent, what issued the request is none", () => {
    const span = eventOf(REQUEST, { query_source: "compact", "agent.name": "Explore" });
    expect(span?.agent_name).toBe("Explore");
  });

  test("the account names the user where there is no id", () => {
    expect(eventOf(REQUEST, { "user.id": "" })?.user_id).toBe("acc-1");
  });

  test("api_error is one failed attempt", () => {
    const span = eventOf(SESSION, {
      "event.name": "api_error",
      model: "claude-opus-4-5",
      error: "overloaded",
      status_code: 529,
      attempt: 1,
      request_id: "req_011",
      duration_ms: 9,
    });
    expect(span).toMatchObject({
      span_class: "billable",
      status: "error",
      http_status: 529,
      error_type: "529",
      request_model: "claude-opus-4-5",
      response_model: "",
      response_id: "",
      usage_status: "missing",
      tokens: byClass({}),
    });
  });

  test("api_error without an answer of the provider has failed too", () => {
    const span = eventOf(SESSION, { "event.name": "api_error", model: "m", error: "ECONNRESET" });
    expect(span).toMatchObject({ span_class: "billable", status: "error", http_status: 0 });
  });

  test("what sums up the attempts is no call", () => {
    const exhausted = { "event.name": "api_retries_exhausted", model: "m", status_code: 429 };
    expect(eventOf(SESSION, exhausted)).toMatchObject({ span_class: "structure" });
  });

  test("prompts and tools are rows without usage, and without what was said", () => {
    const prompt = eventOf(SESSION, { "event.name": "user_prompt", prompt: "tell me a secret" });
    expect(prompt).toMatchObject({ span_class: "structure", usage_status: "none" });
    expect(prompt?.attributes.keys).not.toContain("prompt");
    const tool = eventOf(SESSION, { "event.name": "tool_result", success: "false" });
    expect(tool).toMatchObject({ span_class: "tool", status: "error" });
    expect(eventOf(SESSION, { "event.name": "tool_decision" })?.span_class).toBe("structure");
  });

  test("a name with its prefix, in the field alone, is the same event", () => {
    const { "event.name": _name, ...request } = REQUEST;
    const record = { event_name: "claude_code.api_request" };
    expect(normalizeEvent(request, { ...EVENTS, record })).toMatchObject({
      span_class: "billable",
      response_model: "claude-sonnet-4-5-20250929",
    });
  });

  test("other events and other scopes are not kept", () => {
    expect(eventOf(SESSION, { "event.name": "plugin_loaded" })).toBeUndefined();
    expect(normalizeEvent(REQUEST)).toBeUndefined();
  });
});

describe("spans", () => {
  const LLM_REQUEST = {
    ...SESSION,
    "span.type": "llm_request",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    model: "claude-sonnet-4-5",
    "gen_ai.conversation.id": "sess-1",
    speed: "normal",
    input_tokens: 25,
    output_tokens: 60,
    cache_read_tokens: 2000,
    cache_creation_tokens: 300,
    ttft_ms: 30,
    success: true,
    stop_reason: "end_turn",
  };

  test("llm_request is one call whose cache writes have no lifetime", () => {
    const span = normalizeOne(LLM_REQUEST, { ...TRACING, span: { kind: 1 } });
    expect(span).toMatchObject({
      span_class: "billable",
      signal: "span",
      dialect: "claude-code",
      operation: "chat",
      provider: "anthropic",
      request_model: "claude-sonnet-4-5",
      response_model: "",
      finish_reason: "stop",
      service_tier: "standard",
      ttft_ns: 30_000_000n,
      session_id: "sess-1",
      usage_status: "reported",
    });
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
    );
  });

  test("a failed one has the status, the class of the error, and no response id", () => {
    const span = normalizeOne(
      {
        ...SESSION,
        "span.type": "llm_request",
        "gen_ai.request.model": "err-429",
        success: false,
        status_code: 429,
        error_class: "rate_limit",
        "gen_ai.response.id": "req_fake",
      },
      TRACING,
    );
    expect(span).toMatchObject({
      span_class: "billable",
      status: "error",
      http_status: 429,
      error_type: "rate_limit",
      response_id: "",
      usage_status: "missing",
    });
  });

  test.each([
    ["interaction", "structure"],
    ["tool", "tool"],
    ["tool.execution", "structure"],
    ["tool.blocked_on_user", "structure"],
    ["hook", "structure"],
  ])("%s is %s", (type, span_class) => {
    const pairs = { ...SESSION, "span.type": type, "gen_ai.operation.name": "invoke_agent" };
    expect(normalizeOne(pairs, TRACING)).toMatchObject({ span_class, session_id: "sess-1" });
  });
});
