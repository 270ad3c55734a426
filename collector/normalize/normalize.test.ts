/** From decoded spans to rows: which generation speaks, what counts, errors, and who it belongs to. */
import { describe, expect, test } from "vitest";
import type { AttributeValue, SpanEvent } from "../../schemas/span.ts";
import { SPAN_CLASSES } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { attributesOf, normalizeOne, type Pairs } from "./fixture.ts";

const CHAT = {
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "openai",
  "gen_ai.request.model": "gpt-4o-mini",
};
const USAGE = { "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20 };

function eventOf(name: string, pairs: Pairs): SpanEvent {
  return { name, time_ns: 1n, attributes: attributesOf(pairs) };
}

describe("the generations of the OpenTelemetry conventions", () => {
  test("v1.26: gen_ai.system, no operation name, prompt and completion tokens", () => {
    const span = normalizeOne({
      "gen_ai.system": "openai",
      "gen_ai.request.model": "gpt-4o-mini",
      "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
      "gen_ai.response.id": "chatcmpl-1",
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.usage.prompt_tokens": 100,
      "gen_ai.usage.completion_tokens": 20,
    });
    expect(span).toMatchObject({
      span_class: "billable",
      operation: "",
      provider: "openai",
      request_model: "gpt-4o-mini",
      response_model: "gpt-4o-mini-2024-07-18",
      response_id: "chatcmpl-1",
      finish_reason: "stop",
      tokens: byClass({ input_uncached: 100, output_text: 20 }),
      usage_status: "reported",
      provider_calls: 1,
    });
  });

  test("v1.28 to v1.36: gen_ai.system, operation name, input and output tokens", () => {
    const span = normalizeOne({
      "gen_ai.operation.name": "chat",
      "gen_ai.system": "az.ai.openai",
      "gen_ai.request.model": "gpt-4o-mini",
      "gen_ai.openai.response.service_tier": "Flex",
      "gen_ai.conversation.id": "conversation-1",
      ...USAGE,
    });
    expect(span).toMatchObject({
      span_class: "billable",
      operation: "chat",
      provider: "azure",
      service_tier: "flex",
      session_id: "conversation-1",
      tokens: byClass({ input_uncached: 100, output_text: 20 }),
    });
  });

  test("v1.37: gen_ai.provider.name, which wins over gen_ai.system", () => {
    const span = normalizeOne({
      ...CHAT,
      ...USAGE,
      "gen_ai.system": "azure.ai.openai",
      "openai.response.service_tier": "default",
      "openai.request.service_tier": "auto",
    });
    expect(span).toMatchObject({ provider: "openai", service_tier: "default" });
    const empty = { ...CHAT, "gen_ai.provider.name": "", "gen_ai.system": "anthropic" };
    expect(normalizeOne(empty).provider).toBe("anthropic");
  });

  test("v1.40: cache_read and cache_creation are inside the input", () => {
    const span = normalizeOne({
      ...CHAT,
      "gen_ai.usage.input_tokens": 2325,
      "gen_ai.usage.cache_read.input_tokens": 2000,
      "gen_ai.usage.cache_creation.input_tokens": 300,
      "gen_ai.usage.output_tokens": 60,
    });
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
    );
  });

  test("v1.41 and the genai repository: cache_write, reasoning, stream, time to first chunk", () => {
    const span = normalizeOne({
      ...CHAT,
      "gen_ai.request.stream": true,
      "gen_ai.response.time_to_first_chunk": 0.25,
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.cache_read.input_tokens": 1024,
      "gen_ai.usage.cache_write.input_tokens": 0,
      "gen_ai.usage.output_tokens": 500,
      "gen_ai.usage.reasoning.output_tokens": 448,
    });
    expect(span).toMatchObject({
      streaming: true,
      ttft_ns: 250_000_000n,
      tokens: byClass({
        input_uncached: 476,
        cache_read: 1024,
        cache_write: 0,
        output_text: 52,
        output_reasoning: 448,
      }),
    });
  });

  test("Anthropic's SDK names the stop reason and the tier in its own way", () => {
    const span = normalizeOne(
      {
        ...CHAT,
        "anthropic.message.stop_reason": "tool_use",
        "anthropic.response.service_tier": "standard",
      },
      { scope: { name: "com.anthropic.sdk.typescript" } },
    );
    expect(span).toMatchObject({
      dialect: "anthropic-sdk",
      finish_reason: "tool_call",
      service_tier: "standard",
    });
  });
});

describe("what counts", () => {
  const classOf = (attributes: Pairs, kind = 3) =>
    normalizeOne(attributes, { span: { kind } }).span_class;
  const operation = (name: string, more: Record<string, AttributeValue> = {}) =>
    classOf({ ...CHAT, "gen_ai.operation.name": name, ...more });

  test.each([
    ["chat text_completion generate_content embeddings rerank", "billable"],
    ["chat.completions text_completions acompletion aresponses image audio", "billable"],
    ["execute_tool", "tool"],
    ["retrieval fetch_response", "structure"],
  ])("%s are %s, with usage or without", (names, span_class) => {
    for (const name of names.split(" ")) {
      expect([name, operation(name)]).toEqual([name, span_class]);
      expect([name, operation(name, USAGE)]).toEqual([name, span_class]);
    }
  });

  test("agents and workflows repeat usage: aggregates, or structure without any", () => {
    const names =
      "invoke_agent create_agent invoke_workflow plan agent_step model_generation llm_call";
    for (const name of names.split(" ")) {
      expect([name, operation(name, USAGE)]).toEqual([name, "aggregate"]);
      expect([name, operation(name)]).toEqual([name, "structure"]);
    }
    const agent = normalizeOne({ ...CHAT, ...USAGE, "gen_ai.operation.name": "invoke_agent" });
    expect(agent).toMatchObject({
      usage_status: "aggregate",
      provider_calls: null,
      tokens: byClass({ input_uncached: 100, output_text: 20 }),
    });
  });

  test("tools and structure have no tokens, whatever they carry", () => {
    for (const name of ["execute_tool", "retrieval", "fetch_response"]) {
      const span = normalizeOne({ ...CHAT, ...USAGE, "gen_ai.operation.name": name });
      expect(span.tokens).toEqual(byClass({}));
      expect(span.usage_status).toBe("none");
    }
  });

  test("an unknown operation counts only as a client's with model and usage", () => {
    const unknown = { ...CHAT, "gen_ai.operation.name": "dream" };
    expect(classOf({ ...unknown, ...USAGE }, 3)).toBe("billable");
    expect(classOf({ ...unknown, ...USAGE }, 1)).toBe("aggregate");
    expect(classOf(unknown, 3)).toBe("structure");
    expect(classOf({ "gen_ai.operation.name": "dream", ...USAGE }, 3)).toBe("aggregate");
  });

  test("without an operation a model makes it a call, a provider alone does not", () => {
    expect(classOf({ "gen_ai.request.model": "gpt-4o" })).toBe("billable");
    expect(classOf({ "gen_ai.system": "openai", "gen_ai.response.model": "gpt-4o" })).toBe(
      "billable",
    );
    expect(classOf({ "gen_ai.system": "openai" })).toBe("structure");
  });

  test("a call whose usage nobody reported is a row, marked missing", () => {
    const span = normalizeOne(CHAT);
    expect(span).toMatchObject({
      span_class: "billable",
      usage_status: "missing",
      provider_calls: 1,
      tokens: byClass({}),
      ttft_ns: null,
      streaming: null,
      client_cost: null,
    });
    expect(span.reason).toContain("nobody reported its usage");
  });

  test("plain HTTP client spans are other and keep what they are", () => {
    const span = normalizeOne(
      {
        "http.request.method": "POST",
        "url.full": "https://api.openai.com/v1/chat/completions",
        "http.response.status_code": 429,
        "server.address": "api.openai.com",
      },
      { span: { name: "POST", status_code: 2 }, scope: { name: "@opentelemetry/undici" } },
    );
    expect(span).toMatchObject({
      span_class: "other",
      dialect: "",
      name: "POST",
      status: "error",
      usage_status: "none",
      tokens: byClass({}),
    });
  });

  test("Logfire's early copy of a span is no second call", () => {
    const copy = { ...CHAT, ...USAGE, "logfire.span_type": "pending_span" };
    expect(normalizeOne(copy)).toMatchObject({
      span_class: "structure",
      usage_status: "none",
      tokens: byClass({}),
      provider_calls: null,
    });
    expect(classOf({ ...CHAT, "logfire.span_type": "span" })).toBe("billable");
  });

  test("every class that comes out can be stored", () => {
    const names = ["chat", "invoke_agent", "execute_tool", "retrieval", "dream", ""];
    for (const name of names) expect(SPAN_CLASSES).toContain(operation(name, USAGE));
  });
});

describe("errors", () => {
  test("429 at the beginning of the status message is the HTTP status", () => {
    for (const message of ["429 Rate limit reached", "Error code: 429 - {'error': {}}"]) {
      const span = normalizeOne(
        { ...CHAT, "error.type": "RateLimitError" },
        { span: { status_code: 2, status_message: message } },
      );
      expect(span).toMatchObject({
        status: "error",
        error_type: "RateLimitError",
        http_status: 429,
        span_class: "billable",
        usage_status: "missing",
      });
      expect(span.reason).toContain("it failed without usage");
    }
  });

  test("numbers elsewhere in the message are none", () => {
    for (const message of ["4290 tokens", "used 429 tokens", "200 OK", "42 is it"]) {
      const around = { span: { status_code: 2, status_message: message } };
      expect(normalizeOne(CHAT, around).http_status).toBe(0);
    }
  });

  test("http.response.status_code wins over the message and alone makes an error", () => {
    const span = normalizeOne(
      { ...CHAT, "http.response.status_code": 503 },
      { span: { status_message: "429 no" } },
    );
    expect(span).toMatchObject({ status: "error", http_status: 503, error_type: "503" });
    const older = normalizeOne({ ...CHAT, "http.status_code": "529" });
    expect(older).toMatchObject({ status: "error", http_status: 529 });
    const good = normalizeOne({ ...CHAT, "http.response.status_code": 200 });
    expect(good).toMatchObject({ status: "unset", http_status: 200, error_type: "" });
  });

  test("error.type alone makes an error", () => {
    const span = normalizeOne({ ...CHAT, "error.type": "timeout" });
    expect(span).toMatchObject({ status: "error", error_type: "timeout", http_status: 0 });
  });

  test("the last exception event names the error that the span does not", () => {
    const events = [
      eventOf("exception", { "exception.type": "FirstError" }),
      eventOf("exception", {
        "exception.type": "APIConnectionError",
        "exception.message": "429 too many",
      }),
      eventOf("gen_ai.choice", { index: 0 }),
    ];
    const failed = normalizeOne(CHAT, { span: { status_code: 2, events } });
    expect(failed).toMatchObject({ error_type: "APIConnectionError", http_status: 429 });
    const handled = normalizeOne({ ...CHAT, ...USAGE }, { span: { events } });
    expect(handled).toMatchObject({ status: "unset", error_type: "", http_status: 0 });
  });

  test("an error without any name is _OTHER, as the convention has it", () => {
    expect(normalizeOne(CHAT, { span: { status_code: 2 } }).error_type).toBe("_OTHER");
  });

  test("a failed call that was billed keeps its usage", () => {
    const span = normalizeOne({ ...CHAT, ...USAGE }, { span: { status_code: 2 } });
    expect(span).toMatchObject({
      status: "error",
      usage_status: "reported",
      tokens: byClass({ input_uncached: 100, output_text: 20 }),
    });
  });
});

describe("whom it belongs to", () => {
  test("service and environment come from the resource, the older name too", () => {
    const resource = { "service.name": "checkout", "deployment.environment": "staging" };
    expect(normalizeOne(CHAT, { resource })).toMatchObject({
      service_name: "checkout",
      environment: "staging",
    });
    const both = { ...resource, "deployment.environment.name": "production" };
    expect(normalizeOne(CHAT, { resource: both }).environment).toBe("production");
    const blank = { ...resource, "deployment.environment.name": "" };
    expect(normalizeOne(CHAT, { resource: blank }).environment).toBe("staging");
    expect(normalizeOne(CHAT)).toMatchObject({ service_name: "", environment: "" });
  });

  test("A09 the project comes from the key, not from any attribute", () => {
    const attributes = { ...CHAT, project_id: "other", "spanledger.project": "other" };
    const around = { resource: { project_id: "other" }, options: { project_id: "mine" } };
    expect(normalizeOne(attributes, around).project_id).toBe("mine");
  });

  test("user, session, agent and the client's cost are read", () => {
    const span = normalizeOne({
      ...CHAT,
      "enduser.id": "old-name",
      "user.id": "user-1",
      "session.id": "session-1",
      "gen_ai.agent.name": "planner",
      "gen_ai.usage.cost": 0.5,
    });
    expect(span).toMatchObject({
      user_id: "user-1",
      session_id: "session-1",
      agent_name: "planner",
      client_cost: 500_000_000_000n,
    });
  });

  test("a client's cost of 0 claims nothing: emitters send it when they know no price", () => {
    expect(normalizeOne({ ...CHAT, "gen_ai.usage.cost": 0 }).client_cost).toBeNull();
  });

  test("tags come from resource and span, and the span's win", () => {
    const span = normalizeOne(
      {
        ...CHAT,
        "spanledger.tag.feature": "search",
        "spanledger.tag.plan": 7,
        "spanledger.tag.": "x",
      },
      { resource: { "spanledger.tag.feature": "none", "spanledger.tag.team": "growth" } },
    );
    const tags = new Map(span.tags.keys.map((key) => [key, span.tags.get(key)]));
    expect(tags).toEqual(
      new Map<string, AttributeValue>([
        ["feature", "search"],
        ["team", "growth"],
        ["plan", "7"],
      ]),
    );
  });

  test("tags that are lists, empty or long are left out", () => {
    const span = normalizeOne({
      ...CHAT,
      "spanledger.tag.list": ["a"],
      "spanledger.tag.empty": "",
      "spanledger.tag.long": "x".repeat(257),
      "spanledger.tag.good": "x".repeat(256),
    });
    expect(span.tags.keys).toEqual(["good"]);
  });
});

describe("hostile spans", () => {
  test("P19 keys of Object.prototype are data and nothing inherits them", () => {
    const keys = ["__proto__", "constructor", "toString", "hasOwnProperty", "__proto__.polluted"];
    const pairs = keys.flatMap((key): [string, AttributeValue][] => [
      [key, "x"],
      [`gen_ai.usage.${key}`, 5],
      [`spanledger.tag.${key}`, "tag"],
    ]);
    const before = Object.getOwnPropertyNames(Object.prototype);
    const span = normalizeOne([...Object.entries(CHAT), ...pairs], { resource: pairs });
    expect(span.tags.keys).toEqual([...keys, ...keys]);
    expect(span.attributes.get("__proto__")).toBe("x");
    expect(span.resource_attributes.get("constructor")).toBe("x");
    expect(span.tokens).toEqual(byClass({}));
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("P19 values that name members of Object.prototype are only words", () => {
    for (const word of ["__proto__", "constructor", "toString"]) {
      const span = normalizeOne({
        "gen_ai.operation.name": word,
        "gen_ai.provider.name": word,
        "gen_ai.request.model": word,
        "gen_ai.response.finish_reasons": [word],
      });
      expect(span).toMatchObject({ operation: word, request_model: word, span_class: "structure" });
      expect(span.provider).toBe(word.toLowerCase());
      expect(span.finish_reason).toBe(word.toLowerCase());
    }
  });

  test("D08 a duration is never negative and never absurd", () => {
    const duration = (start_ns: bigint, end_ns: bigint) =>
      normalizeOne(CHAT, { span: { start_ns, end_ns } }).duration_ns;
    expect(duration(100n, 107n)).toBe(7n);
    expect(duration(100n, 99n)).toBe(0n);
    expect(duration(100n, 0n)).toBe(0n);
    expect(duration(1_795_225_705_000_000_000n, 2n ** 64n - 1n)).toBe(0n);
    const month_ns = 30n * 86_400n * 10n ** 9n;
    expect(duration(5n, 5n + month_ns)).toBe(month_ns);
  });

  test("long texts of typed columns are cut", () => {
    const span = normalizeOne(
      { ...CHAT, "gen_ai.request.model": "m".repeat(100_000), "user.id": "u".repeat(100_000) },
      { scope: { name: "s".repeat(100_000), version: "v".repeat(100_000) } },
    );
    for (const text of [span.request_model, span.user_id, span.scope_name, span.scope_version]) {
      expect(text).toHaveLength(1024);
    }
  });

  test("the same span gives the same row, whatever came before it", () => {
    const first = normalizeOne({ ...CHAT, ...USAGE });
    normalizeOne({ ...CHAT, "error.type": "x", "user.id": "u", "gen_ai.usage.cost": 9 });
    expect(normalizeOne({ ...CHAT, ...USAGE })).toEqual(first);
    expect(normalizeOne({})).toMatchObject({ span_class: "other", user_id: "", client_cost: null });
  });

  test("nothing that came in is changed", () => {
    const attributes = attributesOf({ ...CHAT, ...USAGE, "input.value": "secret" });
    const event = eventOf("e", { content: "secret" });
    normalizeOne({}, { span: { attributes, events: [event] } });
    expect(attributes.get("input.value")).toBe("secret");
    expect(event.attributes.get("content")).toBe("secret");
  });
});
