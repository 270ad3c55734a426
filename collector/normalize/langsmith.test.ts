/** LangSmith's SDKs in OpenTelemetry mode: what dialects.md section 8 tells, by one span. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { attributesOf, normalizeOne, type Around, type Pairs } from "./fixture.ts";

function normalizeRun(attributes: Pairs, span: Around["span"] = {}): Span {
  return normalizeOne(attributes, {
    scope: { name: "langsmith", version: "0.10.5" },
    span: { kind: 1, status_code: 1, ...span },
  });
}

const RUN = {
  "langsmith.span.kind": "llm",
  "gen_ai.operation.name": "chat",
  "gen_ai.system": "openai",
  "gen_ai.request.model": "gpt-5-mini",
  "langsmith.metadata.ls_provider": "openai",
};

describe("LangSmith's usage", () => {
  test("totals include the cache and the reasoning, details are JSON", () => {
    const span = normalizeRun({
      ...RUN,
      "langsmith.usage_metadata": JSON.stringify({
        input_tokens: 1500,
        output_tokens: 500,
        total_tokens: 2000,
        input_token_details: { audio: 0, cache_read: 1024 },
        output_token_details: { audio: 0, reasoning: 448 },
      }),
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
      "gen_ai.response.model": "gpt-5-mini-2025-08-07",
      "gen_ai.response.id": "chatcmpl-1",
      "gen_ai.response.finish_reasons": "stop",
      "gen_ai.response.service_tier": "default",
    });
    expect(span).toMatchObject({
      dialect: "langsmith",
      span_class: "billable",
      operation: "chat",
      response_id: "chatcmpl-1",
      finish_reason: "stop",
      service_tier: "default",
      usage_status: "reported",
    });
    expect(span.tokens).toEqual(
      byClass({
        input_uncached: 476,
        cache_read: 1024,
        input_audio: 0,
        output_text: 52,
        output_reasoning: 448,
        output_audio: 0,
      }),
    );
  });

  test.each(["flex", "priority"])("details of the tier %s are named after it", (tier) => {
    const span = normalizeRun({
      ...RUN,
      "langsmith.usage_metadata": JSON.stringify({
        input_tokens: 1500,
        output_tokens: 500,
        total_tokens: 2000,
        input_token_details: { audio: 0, [`${tier}_cache_read`]: 1024, [tier]: 476 },
        output_token_details: { audio: 0, [`${tier}_reasoning`]: 448, [tier]: 52 },
      }),
    });
    expect(span.service_tier).toBe(tier);
    expect(span.tokens).toEqual(
      byClass({
        input_uncached: 476,
        cache_read: 1024,
        input_audio: 0,
        output_text: 52,
        output_reasoning: 448,
        output_audio: 0,
      }),
    );
  });

  test("Anthropic's cache writes have a lifetime, the longer one with an r", () => {
    const span = normalizeRun({
      ...RUN,
      "gen_ai.system": "anthropic",
      "langsmith.metadata.ls_provider": "anthropic",
      "langsmith.usage_metadata": JSON.stringify({
        input_tokens: 2325,
        output_tokens: 60,
        total_tokens: 2385,
        input_token_details: {
          cache_read: 2000,
          ephemeral_5m_input_tokens: 200,
          ephemeral_1hr_input_tokens: 100,
        },
        total_cost: 0.002925,
      }),
    });
    expect(span.tokens).toEqual(
      byClass({
        input_uncached: 25,
        cache_read: 2000,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 60,
      }),
    );
    expect(span.client_cost).toBe(2_925_000_000n);
  });

  test("Python's usage is only in the answer: its details are no JSON", () => {
    const span = normalizeRun({
      ...RUN,
      "gen_ai.usage.input_tokens": 1200,
      "gen_ai.usage.output_tokens": 30,
      "gen_ai.usage.input_token_details": "{'audio': 0, 'cache_read': 1024}",
      "gen_ai.completion": JSON.stringify({
        id: "chatcmpl-2",
        model: "gpt-4.1-2025-04-14",
        choices: [{ finish_reason: "tool_calls" }],
        usage_metadata: {
          input_tokens: 1200,
          output_tokens: 30,
          total_tokens: 1230,
          input_token_details: { cache_read: 1024 },
        },
      }),
    });
    expect(span).toMatchObject({ response_id: "chatcmpl-2", finish_reason: "tool_call" });
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 176, cache_read: 1024, output_text: 30 }),
    );
  });
});

describe("LangSmith's runs", () => {
  test("a stream of Anthropic's has lifetimes, model and reason in the message, and tokens too many", () => {
    const written = { ephemeral_5m_input_tokens: 200, ephemeral_1h_input_tokens: 100 };
    const kwargs = {
      id: "msg_4",
      additional_kwargs: { model: "claude-sonnet-4-5-20250929", stop_reason: "end_turn" },
      response_metadata: {
        model_provider: "anthropic",
        usage: { cache_read_input_tokens: 2000, cache_creation: written },
      },
      usage_metadata: {
        input_tokens: 2325,
        output_tokens: 61,
        total_tokens: 2386,
        input_token_details: { cache_read: 2000, cache_creation: 300 },
        output_token_details: {},
      },
    };
    const id = ["langchain_core", "messages", "AIMessageChunk"];
    const span = normalizeRun({
      ...RUN,
      "langsmith.metadata.ls_provider": "anthropic",
      "langsmith.metadata.ls_model_name": "claude-sonnet-4-5",
      "gen_ai.completion": JSON.stringify({ generations: [[{ message: { id, kwargs } }]] }),
    });
    expect(span).toMatchObject({
      response_id: "msg_4",
      response_model: "claude-sonnet-4-5-20250929",
      finish_reason: "stop",
      streaming: true,
      usage_status: "estimated",
      tokens: byClass({
        input_uncached: 25,
        cache_read: 2000,
        cache_write: 0,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 61,
      }),
    });
    expect(span.reason).toContain("first tokens of a stream twice");
  });

  test("a LangChain run that overwrote its parent has everything in the answer", () => {
    const span = normalizeRun({
      ...RUN,
      "langsmith.metadata.stream": "false",
      "gen_ai.completion": JSON.stringify({
        generations: [
          [
            {
              message: {
                id: ["langchain_core", "messages", "AIMessageChunk"],
                kwargs: {
                  id: "chatcmpl-3",
                  response_metadata: {
                    model_name: "gpt-5-mini-2025-08-07",
                    service_tier: "default",
                    finish_reason: "stop",
                  },
                  usage_metadata: {
                    input_tokens: 1500,
                    output_tokens: 500,
                    total_tokens: 2000,
                    input_token_details: { cache_read: 1024 },
                    output_token_details: { reasoning: 448 },
                  },
                },
              },
            },
          ],
        ],
      }),
    });
    expect(span).toMatchObject({
      response_id: "chatcmpl-3",
      response_model: "gpt-5-mini-2025-08-07",
      service_tier: "default",
      finish_reason: "stop",
      streaming: true,
    });
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 476, cache_read: 1024, output_text: 52, output_reasoning: 448 }),
    );
  });

  test("a failed call has the status OK and an exception event", () => {
    const span = normalizeRun(
      {
        ...RUN,
        "gen_ai.system": "langchain",
        "gen_ai.request.model": "err-429",
        "langsmith.metadata.ls_provider": "openai",
      },
      {
        events: [
          {
            name: "exception",
            time_ns: 1n,
            attributes: attributesOf({
              "exception.type": "Error",
              "exception.message": "Error: 429 fake 429",
            }),
          },
        ],
      },
    );
    expect(span).toMatchObject({
      status: "error",
      http_status: 429,
      provider: "openai",
      usage_status: "missing",
    });
  });

  test("of the reasons of several choices the first is taken", () => {
    const span = normalizeRun({ ...RUN, "gen_ai.response.finish_reasons": "tool_calls, stop" });
    expect(span.finish_reason).toBe("tool_call");
  });

  test("the provider that was called beats the one guessed from the model's name", () => {
    const span = normalizeRun({ ...RUN, "langsmith.metadata.ls_provider": "amazon_bedrock" });
    expect(span.provider).toBe("bedrock");
  });

  test("a thread is the session, the project is not", () => {
    const attributes = {
      ...RUN,
      "langsmith.trace.session_name": "my-project",
      "langsmith.metadata.session_id": "s-1",
      "langsmith.metadata.user_id": "u-1",
      "langsmith.metadata.ls_invocation_params": '{"user":"end-user-7","service_tier":"flex"}',
    };
    expect(normalizeRun(attributes)).toMatchObject({
      session_id: "s-1",
      user_id: "u-1",
      service_tier: "flex",
    });
    const threaded = normalizeRun({ ...attributes, "langsmith.metadata.thread_id": "t-1" });
    expect(threaded.session_id).toBe("t-1");
  });

  test.each([
    ["chain", "chain", "structure"],
    ["tool", "execute_tool", "tool"],
    ["retriever", "embeddings", "structure"],
    ["prompt", "chat", "structure"],
    ["parser", "parser", "structure"],
  ])("a %s whose operation is %s is %s", (kind, operation, span_class) => {
    const span = normalizeRun({
      "langsmith.span.kind": kind,
      "gen_ai.operation.name": operation,
      "gen_ai.system": "langchain",
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
    });
    expect(span).toMatchObject({ span_class, usage_status: "none" });
  });

  test("an embedding run is a call", () => {
    const span = normalizeRun({
      "langsmith.span.kind": "embedding",
      "gen_ai.request.model": "text-embedding-3-small",
    });
    expect(span).toMatchObject({ span_class: "billable", operation: "embeddings" });
  });
});
