/** Logfire's Python instrumentation (dialects.md section 9), on the truth table of that file. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeOne, type Pairs } from "./fixture.ts";

function spanOf(scope: string, pairs: Pairs): Span {
  return normalizeOne(pairs, { scope: { name: scope, version: "4.0.0" }, span: { kind: 1 } });
}

const OPENAI_USAGE = {
  prompt_tokens: 1500,
  completion_tokens: 500,
  total_tokens: 2000,
  prompt_tokens_details: { cached_tokens: 1024 },
  completion_tokens_details: { reasoning_tokens: 448 },
};
const OPENAI_TRUTH = byClass({
  input_uncached: 476,
  cache_read: 1024,
  output_text: 52,
  output_reasoning: 448,
});

function json(value: unknown): string {
  return JSON.stringify(value);
}

describe("instrument_openai", () => {
  test("the digest of the answer has what the attributes leave out", () => {
    const span = spanOf("logfire.openai", {
      "logfire.span_type": "span",
      request_data: json({ model: "gpt-5-mini", messages: [] }),
      response_data: json({ message: {}, usage: OPENAI_USAGE }),
      "gen_ai.system": "openai",
      "gen_ai.request.model": "gpt-5-mini",
      "gen_ai.response.model": "gpt-5-mini-2025-08-07",
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
      "operation.cost": 0.0011446,
    });
    expect(span).toMatchObject({
      span_class: "billable",
      dialect: "logfire",
      provider: "openai",
      response_model: "gpt-5-mini-2025-08-07",
      tokens: OPENAI_TRUTH,
      usage_status: "reported",
      client_cost: 1_144_600_000n,
    });
  });

  test("a stream is two spans: the one with the answer is the call", () => {
    const request = json({ model: "gpt-5-mini", stream: true, messages: [] });
    const begun = spanOf("logfire.openai", {
      "logfire.span_type": "span",
      "logfire.level_num": 9,
      "gen_ai.request.model": "gpt-5-mini",
      request_data: request,
    });
    expect(begun.span_class).toBe("structure");
    const came = spanOf("logfire.openai", {
      "logfire.span_type": "log",
      "gen_ai.request.model": "gpt-5-mini",
      request_data: request,
      response_data: json({ message: {}, usage: OPENAI_USAGE }),
    });
    expect(came).toMatchObject({ span_class: "billable", streaming: true, tokens: OPENAI_TRUTH });
  });

  test("a stream that was refused has no second span: it is a failed call", () => {
    const span = spanOf("logfire.openai", {
      "logfire.span_type": "span",
      "logfire.level_num": 17,
      request_data: json({ model: "gpt-5-mini", stream: true }),
    });
    expect(span).toMatchObject({ span_class: "billable", request_model: "gpt-5-mini" });
  });

  test("a prompt that spells a stream is none", () => {
    const span = spanOf("logfire.openai", {
      "logfire.span_type": "span",
      request_data: json({ model: "gpt-5-mini", messages: ['{"stream": true}'] }),
    });
    expect(span.span_class).toBe("billable");
  });
});

describe("instrument_anthropic", () => {
  test("model and usage are in the JSON alone", () => {
    const span = spanOf("logfire.anthropic", {
      request_data: json({ model: "claude-sonnet-4-5", max_tokens: 10 }),
      response_data: json({
        message: { role: "assistant" },
        usage: {
          input_tokens: 25,
          output_tokens: 60,
          cache_creation_input_tokens: 300,
          cache_read_input_tokens: 2000,
          cache_creation: { ephemeral_5m_input_tokens: 200, ephemeral_1h_input_tokens: 100 },
          service_tier: "standard",
        },
      }),
    });
    expect(span).toMatchObject({
      span_class: "billable",
      provider: "anthropic",
      request_model: "claude-sonnet-4-5",
      service_tier: "standard",
      tokens: byClass({
        input_uncached: 25,
        cache_read: 2000,
        cache_write: 0,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 60,
      }),
      usage_status: "reported",
    });
  });

  test("a stream whose digest has no usage is a call with missing usage", () => {
    const span = spanOf("logfire.anthropic", {
      "logfire.span_type": "log",
      request_data: json({ model: "claude-sonnet-4-5", stream: true }),
      response_data: json({ combined_chunk_content: "Hello", chunk_count: 3 }),
    });
    expect(span).toMatchObject({ span_class: "billable", usage_status: "missing" });
  });
});

test("Logfire for JavaScript goes by OpenTelemetry's instrumentation; its early copies are none", () => {
  const chat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
  };
  const scope = "@opentelemetry/instrumentation-openai";
  expect(spanOf(scope, chat)).toMatchObject({ span_class: "billable", dialect: "otel-openai-js" });
  const copy = { ...chat, "logfire.span_type": "pending_span" };
  expect(spanOf(scope, copy)).toMatchObject({ span_class: "structure", usage_status: "none" });
});

test("what scrubbing leaves of a session's id names no session", () => {
  const scrubbed = { "session.id": "[Scrubbed due to 'session']", "user.id": "user-1" };
  const pairs = { ...scrubbed, "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1" };
  const known = { user_id: "user-1", session_id: "" };
  expect(spanOf("@opentelemetry/instrumentation-openai", pairs)).toMatchObject(known);
  expect(spanOf("logfire", scrubbed)).toMatchObject(known);
});
