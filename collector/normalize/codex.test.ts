/** Codex CLI (dialects.md section 13), on the truth table at the head of that file. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeEvent, normalizeOne, type Pairs } from "./fixture.ts";

const THREAD = "01a1fbda-5a78-7a32-9edf-e720d3a5429a";
const EVENTS = {
  scope: { name: "codex_otel.log_only", version: "" },
  record: { trace_id: new Uint8Array(0), span_id: new Uint8Array(0) },
};
const CONVERSATION = {
  "conversation.id": THREAD,
  "user.account_id": "acc-1",
  "user.email": "a@example.com",
  model: "gpt-5-mini",
  slug: "gpt-5-mini",
};
const COMPLETED = {
  ...CONVERSATION,
  "event.name": "codex.sse_event",
  "event.kind": "response.completed",
};
const COUNTS = {
  input_token_count: "1500",
  output_token_count: "500",
  cached_token_count: 1024,
  cache_write_token_count: 0,
  reasoning_token_count: 448,
  tool_token_count: "2000",
  ttft_ms: 28,
};
const TRUTH = byClass({
  input_uncached: 476,
  cache_read: 1024,
  cache_write: 0,
  output_text: 52,
  output_reasoning: 448,
});

function eventOf(...pairs: Pairs[]): Span | undefined {
  return normalizeEvent(Object.assign({}, ...pairs) as Pairs, EVENTS);
}

describe("log events", () => {
  test("the 0 that stands for every time to the first token is no time", () => {
    expect(eventOf(COMPLETED, COUNTS, { ttft_ms: "0" })?.ttft_ns).toBeNull();
  });

  test("the completed response with counts is one call; its tool tokens are the total", () => {
    const span = eventOf(COMPLETED, COUNTS);
    expect(span).toMatchObject({
      span_class: "billable",
      signal: "log",
      dialect: "codex",
      operation: "chat",
      provider: "openai",
      request_model: "gpt-5-mini",
      streaming: true,
      ttft_ns: 28_000_000n,
      usage_status: "reported",
      session_id: THREAD,
      user_id: "acc-1",
      tokens: TRUTH,
    });
  });

  test("the completed response without counts is the same answer once more", () => {
    expect(eventOf(COMPLETED, { duration_ms: "0" })).toBeUndefined();
  });

  test("a completed response whose counts could not be read was billed all the same", () => {
    expect(eventOf(COMPLETED, { "error.message": "missing field" })).toMatchObject({
      span_class: "billable",
      status: "unset",
      usage_status: "missing",
    });
  });

  test("an answer that was cut short was billed, by an amount that nobody says", () => {
    expect(eventOf(COMPLETED, { "event.kind": "response.incomplete" })).toMatchObject({
      span_class: "billable",
      status: "unset",
      usage_status: "missing",
    });
  });

  test.each([
    ["a failed response", { "event.kind": "response.failed", "error.message": "x" }],
    ["a stream that fell silent", { "event.kind": "", "error.message": "idle timeout" }],
  ])("%s is one failed call", (_name, pairs) => {
    expect(eventOf(COMPLETED, pairs)).toMatchObject({
      span_class: "billable",
      status: "error",
      usage_status: "missing",
    });
  });

  test("a piece of a stream that could not be read is no call", () => {
    const pairs = { "event.kind": "response.output_item.done", "error.message": "bad item" };
    expect(eventOf(COMPLETED, pairs)).toBeUndefined();
  });

  const API_REQUEST = {
    ...CONVERSATION,
    "event.name": "codex.api_request",
    endpoint: "/responses",
    attempt: 0,
    duration_ms: "16",
  };

  test("a refused request is one failed call for each attempt", () => {
    const span = eventOf(API_REQUEST, { "http.response.status_code": 500 });
    expect(span).toMatchObject({
      span_class: "billable",
      status: "error",
      http_status: 500,
      duration_ns: 16_000_000n,
    });
    const old = { endpoint: "", "http.response.status_code": "429" };
    expect(eventOf(API_REQUEST, old)).toMatchObject({ status: "error", http_status: 429 });
  });

  test("a request that got no answer failed", () => {
    expect(eventOf(API_REQUEST, { "error.message": "connection refused" })).toMatchObject({
      span_class: "billable",
      status: "error",
      http_status: 0,
    });
  });

  test.each([
    ["an answered request is told by its stream", { "http.response.status_code": 200 }],
    [
      "a request for the list of models is no call",
      { endpoint: "/models", "http.response.status_code": 401 },
    ],
  ])("%s", (_name, pairs) => {
    expect(eventOf(API_REQUEST, pairs)).toBeUndefined();
  });

  test("prompts and tools are rows without usage, and without what was said", () => {
    const prompt = eventOf(CONVERSATION, { "event.name": "codex.user_prompt", prompt: "secret" });
    expect(prompt?.span_class).toBe("structure");
    expect(prompt?.attributes.keys).not.toContain("prompt");
    const tool = eventOf(CONVERSATION, { "event.name": "codex.tool_result", output: "secret" });
    expect(tool?.span_class).toBe("tool");
    expect(tool?.attributes.keys).not.toContain("output");
    expect(eventOf(CONVERSATION, { "event.name": "codex.turn_ttft" })).toBeUndefined();
  });
});

describe("spans", () => {
  const around = { scope: { name: "codex_exec", version: "" } };
  const FRAME = { "code.module.name": "codex_core::session::turn", "thread.id": 3, busy_ns: 1 };

  test("the span that handles a response with usage is one call, of no model", () => {
    const span = normalizeOne(
      {
        ...FRAME,
        "gen_ai.usage.input_tokens": 1500,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.output_tokens": 500,
        "codex.usage.reasoning_output_tokens": 448,
        "codex.usage.total_tokens": 2000,
      },
      around,
    );
    expect(span).toMatchObject({
      span_class: "billable",
      dialect: "codex",
      operation: "chat",
      request_model: "",
      usage_status: "reported",
      session_id: "",
      tokens: TRUTH,
    });
  });

  test("a turn repeats the sum of its calls and names model and conversation", () => {
    const span = normalizeOne(
      [
        ["thread.id", 4],
        ["thread.id", THREAD],
        ["model", "gpt-5-mini"],
        ["codex.turn.token_usage.input_tokens", 1500],
        ["codex.turn.token_usage.cached_input_tokens", 1024],
        ["codex.turn.token_usage.cache_write_input_tokens", 0],
        ["codex.turn.token_usage.non_cached_input_tokens", 476],
        ["codex.turn.token_usage.output_tokens", 500],
        ["codex.turn.token_usage.reasoning_output_tokens", 448],
        ["codex.turn.token_usage.total_tokens", 2000],
      ],
      around,
    );
    expect(span).toMatchObject({
      span_class: "aggregate",
      request_model: "gpt-5-mini",
      session_id: THREAD,
      usage_status: "aggregate",
      provider_calls: null,
      tokens: TRUTH,
    });
  });

  test.each([
    ["a frame", FRAME, ""],
    ["a frame that names the model", { ...FRAME, model: "gpt-5-mini" }, ""],
    ["a frame of nothing but a model", { model: "gpt-5-mini" }, ""],
    ["a frame of the conversation", { ...FRAME, "conversation.id": THREAD }, THREAD],
    ["a frame that handles a response without usage", { ...FRAME, "codex.request.x": "y" }, ""],
  ])("%s is no call, and the number of a thread is no session", (_name, pairs, session_id) => {
    expect(normalizeOne(pairs, around)).toMatchObject({
      span_class: "structure",
      dialect: "codex",
      session_id,
    });
  });

  test("other originators are Codex too", () => {
    const scope = { name: "codex_cli_rs", version: "" };
    expect(normalizeOne(FRAME, { scope }).dialect).toBe("codex");
  });
});
