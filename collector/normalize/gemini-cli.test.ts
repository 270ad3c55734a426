/** Gemini CLI (dialects.md section 14), on the truth table at the head of that file. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeEvent, normalizeOne, type Pairs } from "./fixture.ts";

const CLI = { scope: { name: "gemini-cli", version: "v1" } };
const SESSION = { "session.id": "sess-1", auth_type: "gemini-api-key", prompt_id: "p" };
const RESPONSE = {
  ...SESSION,
  "event.name": "gemini_cli.api_response",
  model: "gemini-2.5-flash",
  status_code: 200,
  duration_ms: 59,
  input_token_count: 500,
  output_token_count: 40,
  cached_content_token_count: 400,
  thoughts_token_count: 160,
  tool_token_count: 10,
  total_token_count: 710,
};

function eventOf(...pairs: Pairs[]): Span | undefined {
  return normalizeEvent(Object.assign({}, ...pairs) as Pairs, CLI);
}

describe("log events", () => {
  test("api_response is one call with tool prompts in its input and thoughts in its output", () => {
    const span = eventOf(RESPONSE, { finish_reasons: ["stop", "stop", "stop"] });
    expect(span).toMatchObject({
      span_class: "billable",
      signal: "log",
      dialect: "gemini-cli",
      operation: "generate_content",
      provider: "google",
      response_model: "gemini-2.5-flash",
      status: "unset",
      http_status: 200,
      finish_reason: "stop",
      duration_ns: 59_000_000n,
      session_id: "sess-1",
    });
    expect(span?.tokens).toEqual(
      byClass({
        input_uncached: 110,
        cache_read: 400,
        output_text: 40,
        output_reasoning: 160,
      }),
    );
    expect(["reported", "derived"]).toContain(span?.usage_status);
  });

  test("of the reasons of its chunks, which say stop until the last, the last one ended the stream", () => {
    const span = eventOf(RESPONSE, { finish_reasons: ["stop", "stop", "length"] });
    expect(span?.finish_reason).toBe("length");
  });

  test("a call without thoughts, cache and tools is plain", () => {
    const span = eventOf(RESPONSE, {
      input_token_count: 100,
      output_token_count: 20,
      cached_content_token_count: 0,
      thoughts_token_count: 0,
      tool_token_count: 0,
      total_token_count: 120,
    });
    expect(span?.tokens).toEqual(
      byClass({ input_uncached: 100, cache_read: 0, output_text: 20, output_reasoning: 0 }),
    );
    expect(span?.usage_status).toBe("reported");
  });

  test.each([
    ["gemini-api-key", "google"],
    ["oauth-personal", "google"],
    ["cloud-shell", "google"],
    ["compute-default-credentials", "google"],
    ["gateway", "google"],
    ["vertex-ai", "vertex"],
  ])("a login by %s calls %s", (auth_type, provider) => {
    expect(eventOf(RESPONSE, { auth_type })?.provider).toBe(provider);
  });

  test("the login names the user", () => {
    expect(eventOf(RESPONSE, { "user.email": "a@example.com" })?.user_id).toBe("a@example.com");
  });

  test("api_error is one failed attempt", () => {
    const span = eventOf(SESSION, {
      "event.name": "gemini_cli.api_error",
      model: "gemini-2.5-pro",
      model_name: "gemini-2.5-pro",
      error: '{"error":{"code":500}}',
      "error.type": "ApiError",
      status_code: 500,
      "http.status_code": 500,
      duration_ms: 8,
    });
    expect(span).toMatchObject({
      span_class: "billable",
      status: "error",
      http_status: 500,
      error_type: "ApiError",
      request_model: "gemini-2.5-pro",
      usage_status: "missing",
    });
  });

  test("api_error without a status has failed too", () => {
    const pairs = { "event.name": "gemini_cli.api_error", model: "gemini-2.5-pro" };
    expect(eventOf(SESSION, pairs)?.status).toBe("error");
  });

  test("what is announced is not kept, and what says less of the same call is no call", () => {
    expect(eventOf(RESPONSE, { "event.name": "gemini_cli.api_request" })).toBeUndefined();
    const details = {
      ...SESSION,
      "event.name": "gen_ai.client.inference.operation.details",
      "gen_ai.operation.name": "generate_content",
      "gen_ai.provider.name": "gcp.gen_ai",
      "gen_ai.request.model": "gemini-2.5-flash",
    };
    const used = { "gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 40 };
    expect(eventOf(details)?.span_class).toBe("structure");
    expect(eventOf(details, used)).toMatchObject({ span_class: "structure", tokens: byClass({}) });
  });
});

describe("spans", () => {
  const LLM_CALL = {
    "gen_ai.operation.name": "llm_call",
    "gen_ai.request.model": "gemini-2.5-flash",
    "gen_ai.conversation.id": "sess-1",
    "gen_ai.agent.name": "gemini-cli",
  };

  test("llm_call is one call whose numbers are a lower bound", () => {
    const span = normalizeOne(
      { ...LLM_CALL, "gen_ai.usage.input_tokens": 1500, "gen_ai.usage.output_tokens": 40 },
      { ...CLI, span: { kind: 1 } },
    );
    expect(span).toMatchObject({
      span_class: "billable",
      dialect: "gemini-cli",
      operation: "generate_content",
      provider: "google",
      session_id: "sess-1",
      agent_name: "gemini-cli",
      usage_status: "estimated",
      tokens: byClass({ input_uncached: 1500, output_text: 40 }),
    });
  });

  test("a failed one is a failed call", () => {
    const span = normalizeOne(LLM_CALL, { ...CLI, span: { status_code: 2 } });
    expect(span).toMatchObject({
      span_class: "billable",
      status: "error",
      usage_status: "missing",
    });
  });

  test.each([
    ["tool_call", "tool"],
    ["agent_call", "structure"],
    ["user_prompt", "structure"],
    ["system_prompt", "structure"],
    ["schedule_tool_calls", "structure"],
  ])("%s is %s", (operation, span_class) => {
    const pairs = { ...LLM_CALL, "gen_ai.operation.name": operation };
    expect(normalizeOne(pairs, CLI).span_class).toBe(span_class);
  });
});
