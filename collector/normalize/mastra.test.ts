/** Mastra's two exporters (dialects.md section 10), on the truth table at the head of that file. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeOne, type Pairs } from "./fixture.ts";

function spanOf(type: string, ...pairs: Pairs[]): Span {
  const attributes = Object.assign({ "mastra.span.type": type }, ...pairs) as Pairs;
  return normalizeOne(attributes, { scope: { name: "@mastra/otel-exporter", version: "1.4.0" } });
}

const ANTHROPIC_USAGE = {
  "gen_ai.usage.input_tokens": 2325,
  "gen_ai.usage.output_tokens": 60,
  "gen_ai.usage.cache_read.input_tokens": 2000,
  "gen_ai.usage.cache_creation.input_tokens": 300,
};
const CHAT = {
  "gen_ai.operation.name": "chat",
  "gen_ai.request.model": "gpt-5-mini",
  "gen_ai.provider.name": "openai.chat",
};

describe("@mastra/otel-exporter", () => {
  test("model_inference is the call, with reasoning under the old name", () => {
    const span = spanOf("model_inference", CHAT, {
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
      "gen_ai.usage.reasoning_tokens": 448,
      "gen_ai.usage.cache_read.input_tokens": 1024,
      "gen_ai.response.finish_reasons": '["tool-calls"]',
      "gen_ai.agent.name": "weather-agent",
      "mastra.metadata.userId": "user-1",
      "mastra.metadata.sessionId": "sess-1",
    });
    expect(span).toMatchObject({
      span_class: "billable",
      dialect: "mastra",
      provider: "openai",
      finish_reason: "tool_call",
      tokens: byClass({
        input_uncached: 476,
        cache_read: 1024,
        output_text: 52,
        output_reasoning: 448,
      }),
      usage_status: "reported",
      user_id: "user-1",
      session_id: "sess-1",
      agent_name: "weather-agent",
    });
  });

  test("Anthropic's input holds the cache, whose lifetimes newer releases tell", () => {
    expect(spanOf("model_inference", ANTHROPIC_USAGE).tokens).toEqual(
      byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
    );
    const lifetimes = {
      "gen_ai.usage.cache_creation.5m_input_tokens": 200,
      "gen_ai.usage.cache_creation.1h_input_tokens": 100,
    };
    expect(spanOf("model_inference", ANTHROPIC_USAGE, lifetimes).tokens).toEqual(
      byClass({
        input_uncached: 25,
        cache_read: 2000,
        cache_write: 0,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 60,
      }),
    );
  });

  test("where nobody names the provider of an Anthropic stream, the model does", () => {
    const model = { "gen_ai.request.model": "claude-sonnet-4-5" };
    expect(spanOf("model_inference", model).provider).toBe("anthropic");
  });

  test("a failed call is OK with the finish reason error: it is a failed call", () => {
    const attributes = {
      ...CHAT,
      "mastra.span.type": "model_inference",
      "gen_ai.response.finish_reasons": '["error"]',
    };
    expect(normalizeOne(attributes, { span: { status_code: 1 } })).toMatchObject({
      span_class: "billable",
      status: "error",
      usage_status: "missing",
    });
  });

  test.each(["agent_run", "model_step", "model_chunk", "model_generation", "workflow_step"])(
    "%s without usage is no call",
    (type) => {
      expect(spanOf(type, { "gen_ai.operation.name": type }).span_class).toBe("structure");
    },
  );

  test("a tool call is a tool, an embedding is a call", () => {
    expect(spanOf("tool_call").span_class).toBe("tool");
    expect(spanOf("mcp_tool_call").span_class).toBe("tool");
    const embedding = {
      "gen_ai.request.model": "text-embedding-3-small",
      "gen_ai.usage.input_tokens": 16,
    };
    expect(spanOf("rag_embedding", embedding)).toMatchObject({
      span_class: "billable",
      operation: "embeddings",
      tokens: byClass({ input_uncached: 16 }),
    });
  });

  test("the step around a call has the provider's answer: its id is taken, its usage is not", () => {
    const body = {
      id: "chatcmpl-1",
      model: "gpt-5-mini-2025-08-07",
      usage: { prompt_tokens: 1500, completion_tokens: 500 },
    };
    const span = spanOf("model_step", { "mastra.metadata.body": JSON.stringify(body) });
    expect(span).toMatchObject({
      span_class: "structure",
      response_id: "chatcmpl-1",
      tokens: byClass({}),
    });
  });

  test("the first token came at a time of day", () => {
    const span = normalizeOne(
      {
        ...CHAT,
        "mastra.span.type": "model_inference",
        "mastra.completion_start_time": "2026-11-21T02:00:28.133Z",
      },
      {
        span: {
          start_ns: BigInt(Date.parse("2026-11-21T02:00:28.100Z")) * 1_000_000n,
          end_ns: BigInt(Date.parse("2026-11-21T02:00:28.200Z")) * 1_000_000n,
        },
      },
    );
    expect(span.ttft_ns).toBe(33_000_000n);
  });
});

describe("@mastra/arize", () => {
  test("the parameters name the model of the request, the attribute that of the answer", () => {
    const span = spanOf("model_generation", {
      "openinference.span.kind": "LLM",
      "llm.model_name": "gpt-5-mini-2025-08-07",
      "llm.invocation_parameters": '{"model":"gpt-5-mini"}',
      "llm.token_count.prompt": 1500,
      "llm.token_count.completion": 500,
    });
    expect(span).toMatchObject({
      request_model: "gpt-5-mini",
      response_model: "gpt-5-mini-2025-08-07",
    });
  });

  const LLM = { "openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini" };

  test("model_generation sums up its calls: how many is not known", () => {
    const span = spanOf("model_generation", LLM, {
      "llm.token_count.prompt": 3000,
      "llm.token_count.completion": 1000,
      "llm.token_count.total": 4000,
      "llm.token_count.prompt_details.cache_read": 2048,
      "llm.token_count.completion_details.reasoning": 896,
      "session.id": "thread-1",
      "user.id": "user-1",
    });
    expect(span).toMatchObject({
      span_class: "aggregate",
      usage_status: "aggregate",
      provider_calls: null,
      tokens: byClass({
        input_uncached: 952,
        cache_read: 2048,
        output_text: 104,
        output_reasoning: 896,
      }),
      session_id: "thread-1",
      user_id: "user-1",
    });
  });

  test("model_step and model_chunk are marked LLM, and are no calls", () => {
    for (const type of ["model_step", "model_chunk"]) {
      expect(spanOf(type, { "openinference.span.kind": "LLM" }).span_class).toBe("structure");
    }
  });

  test("a model_generation with a model and without usage is one call that failed or told nothing", () => {
    expect(spanOf("model_generation", LLM)).toMatchObject({
      span_class: "billable",
      usage_status: "missing",
      request_model: "gpt-5-mini",
    });
  });

  test("the session is inside the metadata", () => {
    const metadata = JSON.stringify({ runId: "r", sessionId: "sess-1", user_id: "user-1" });
    expect(spanOf("agent_run", { metadata })).toMatchObject({
      session_id: "sess-1",
      user_id: "user-1",
    });
  });
});
