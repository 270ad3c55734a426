/** OpenInference: each emitter and quirk that dialects.md sections 1 and 4 name, by one span. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { attributesOf, normalizeOne, type Pairs } from "./fixture.ts";

/** The known token classes of a span, by name. */
function tokensOf(span: Span): Record<string, number> {
  const pairs = TOKEN_CLASSES.map((name, index): [string, number | null] => [
    name,
    span.tokens[index] ?? null,
  ]);
  return Object.fromEntries(pairs.filter((pair): pair is [string, number] => pair[1] !== null));
}

function normalizeFrom(scope: string, attributes: Pairs): Span {
  return normalizeOne(attributes, { scope: { name: scope }, span: { kind: 1, status_code: 1 } });
}

const OPENAI = "@arizeai/openinference-instrumentation-openai";
const JSON_TYPE = "application/json";

describe("OpenInference, OpenAI", () => {
  const answer = {
    id: "chatcmpl-1",
    model: "gpt-5-mini-2025-08-07",
    choices: [{ finish_reason: "stop" }],
    usage: {
      prompt_tokens: 1500,
      completion_tokens: 500,
      total_tokens: 2000,
      prompt_tokens_details: { cached_tokens: 1024 },
      completion_tokens_details: { reasoning_tokens: 448 },
    },
    service_tier: "flex",
  };
  const call = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-5-mini-2025-08-07",
    "llm.invocation_parameters": '{"model":"gpt-5-mini","service_tier":"auto","user":"u-1"}',
    "llm.system": "openai",
    "llm.token_count.prompt": 1500,
    "llm.token_count.completion": 500,
    "llm.token_count.total": 2000,
    "llm.token_count.prompt_details.cache_read": 1024,
    "llm.token_count.completion_details.reasoning": 448,
  };

  test("a call is split from its attributes, and its request is known beside the response", () => {
    const span = normalizeFrom(OPENAI, call);
    expect(span).toMatchObject({
      dialect: "openinference",
      span_class: "billable",
      operation: "chat",
      provider: "openai",
      request_model: "gpt-5-mini",
      response_model: "gpt-5-mini-2025-08-07",
      service_tier: "",
      user_id: "u-1",
      usage_status: "reported",
      provider_calls: 1,
      client_cost: null,
    });
    expect(tokensOf(span)).toEqual({
      input_uncached: 476,
      cache_read: 1024,
      output_text: 52,
      output_reasoning: 448,
    });
  });

  test("the raw answer adds the response id and the tier that was really used", () => {
    const span = normalizeFrom(OPENAI, {
      ...call,
      "output.value": JSON.stringify(answer),
      "output.mime_type": JSON_TYPE,
    });
    expect(span).toMatchObject({ response_id: "chatcmpl-1", service_tier: "flex" });
    expect(span.finish_reason).toBe("stop");
    expect(tokensOf(span)["cache_read"]).toBe(1024);
  });

  test("a model's own JSON is not taken for an answer of the provider", () => {
    const span = normalizeFrom(OPENAI, {
      ...call,
      "output.value": JSON.stringify({ id: "cmpl-fake", usage: { prompt_tokens: 7 } }),
      "output.mime_type": "text/plain",
    });
    expect(span.response_id).toBe("");
    expect(tokensOf(span)["input_uncached"]).toBe(476);
  });

  test("nor is what a model wrote as JSON an answer, where it only has an id", () => {
    const span = normalizeFrom(OPENAI, {
      ...call,
      "output.value": JSON.stringify({ id: "patient-7", model: "wheelchair" }),
      "output.mime_type": JSON_TYPE,
    });
    expect(span).toMatchObject({ response_id: "", response_model: "gpt-5-mini-2025-08-07" });
  });

  test("an answer of the Responses API that was cut off says why", () => {
    const span = normalizeFrom(OPENAI, {
      "openinference.span.kind": "LLM",
      "output.value": JSON.stringify({
        id: "resp_3",
        status: "incomplete",
        incomplete_details: { reason: "max_output_tokens" },
        output: [],
      }),
      "output.mime_type": JSON_TYPE,
      "llm.model_name": "gpt-4.1",
    });
    expect(span).toMatchObject({ response_id: "resp_3", finish_reason: "length" });
  });

  test("a stream without counts is a call whose usage nobody reported", () => {
    const span = normalizeFrom(OPENAI, {
      "openinference.span.kind": "LLM",
      "llm.model_name": "gpt-5-mini",
      "llm.invocation_parameters": '{"model":"gpt-5-mini","stream":true}',
      "llm.system": "openai",
      "output.value": "Hello",
      "output.mime_type": "text/plain",
    });
    expect(span).toMatchObject({
      usage_status: "missing",
      streaming: true,
      request_model: "gpt-5-mini",
      response_model: "",
    });
  });

  test("embeddings have no counts and are calls", () => {
    const span = normalizeFrom(OPENAI, {
      "openinference.span.kind": "EMBEDDING",
      "embedding.model_name": "text-embedding-3-small",
      "llm.system": "openai",
    });
    expect(span).toMatchObject({
      span_class: "billable",
      operation: "embeddings",
      request_model: "text-embedding-3-small",
      usage_status: "missing",
    });
  });

  test("an answer of the Responses API that calls a tool says so", () => {
    const span = normalizeFrom(OPENAI, {
      "openinference.span.kind": "LLM",
      "output.value": JSON.stringify({
        id: "resp_1",
        status: "completed",
        model: "gpt-4.1-2025-04-14",
        output: [{ type: "function_call" }],
        usage: {
          input_tokens: 1200,
          input_tokens_details: { cached_tokens: 1024 },
          output_tokens: 30,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: 1230,
        },
      }),
      "output.mime_type": JSON_TYPE,
    });
    expect(span).toMatchObject({ response_id: "resp_1", finish_reason: "tool_call" });
    expect(tokensOf(span)).toEqual({
      input_uncached: 176,
      cache_read: 1024,
      output_text: 30,
      output_reasoning: 0,
    });
  });

  test("LangChain's details beat its own estimate of the totals", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-langchain", {
      "openinference.span.kind": "LLM",
      "llm.model_name": "gpt-5-mini",
      "output.mime_type": JSON_TYPE,
      "output.value": JSON.stringify({
        generations: [
          [
            {
              message: {
                kwargs: {
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
        llmOutput: { estimatedTokenUsage: { promptTokens: 1500, completionTokens: 500 } },
      }),
    });
    expect(span.usage_status).toBe("reported");
    expect(tokensOf(span)).toEqual({
      input_uncached: 476,
      cache_read: 1024,
      output_text: 52,
      output_reasoning: 448,
    });
  });

  test("openai-agents lists the answer of a chat completion: id, model and counts are in it", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-openai-agents", {
      "openinference.span.kind": "LLM",
      "llm.system": "openai",
      "llm.model_name": "gpt-5-mini",
      "llm.finish_reason": "stop",
      "output.mime_type": JSON_TYPE,
      "output.value": JSON.stringify([
        { ...answer, choices: [{ finish_reason: "tool_calls" }], service_tier: "default" },
      ]),
    });
    expect(span).toMatchObject({
      request_model: "gpt-5-mini",
      response_model: "gpt-5-mini-2025-08-07",
      response_id: "chatcmpl-1",
      finish_reason: "tool_call",
    });
    expect(tokensOf(span)).toMatchObject({ input_uncached: 476, cache_read: 1024 });
  });

  test("openai-agents names no model of a response that failed, which is a call all the same", () => {
    const failed = (message: string): Span =>
      normalizeOne(
        { "openinference.span.kind": "LLM", "llm.system": "openai", "llm.provider": "openai" },
        {
          scope: { name: "@arizeai/openinference-instrumentation-openai-agents" },
          span: { kind: 1, status_code: 2, status_message: message },
        },
      );
    const refused = { span_class: "billable", status: "error", provider: "openai" };
    expect(failed("429 fake 429")).toMatchObject({ ...refused, http_status: 429 });
    expect(failed('Error streaming response: {"error":"Error: 500 fake"}')).toMatchObject({
      ...refused,
      http_status: 500,
    });
  });

  test("openai-agents has the id and the model of the answer among the parameters", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-openai-agents", {
      "openinference.span.kind": "LLM",
      "llm.system": "openai",
      "llm.model_name": "gpt-5-mini-2025-08-07",
      "llm.invocation_parameters":
        '{"id":"resp_2","model":"gpt-5-mini-2025-08-07","service_tier":"default"}',
      "llm.token_count.prompt": 1500,
      "llm.token_count.completion": 500,
    });
    expect(span).toMatchObject({
      response_id: "resp_2",
      request_model: "",
      response_model: "gpt-5-mini-2025-08-07",
      service_tier: "default",
    });
  });
});

describe("OpenInference, what is no call", () => {
  test.each([
    ["TOOL", "tool"],
    ["RETRIEVER", "structure"],
    ["CHAIN", "structure"],
    ["AGENT", "structure"],
    ["PROMPT", "structure"],
    ["GUARDRAIL", "structure"],
    ["EVALUATOR", "structure"],
  ])("%s is %s", (kind, span_class) => {
    const span = normalizeFrom(OPENAI, { "openinference.span.kind": kind, "llm.system": "openai" });
    expect(span).toMatchObject({ span_class, usage_status: "none", provider_calls: null });
  });

  test("what is marked LLM without a model and without usage is a piece of a call", () => {
    const span = normalizeFrom(OPENAI, { "openinference.span.kind": "LLM" });
    expect(span.span_class).toBe("structure");
  });

  test("an agent with the sum of its run is an aggregate, and its answer is not a call's", () => {
    const span = normalizeFrom("openinference.instrumentation.smolagents", {
      "openinference.span.kind": "AGENT",
      "llm.token_count.prompt": 3000,
      "llm.token_count.completion": 1000,
      "llm.token_count.total": 4000,
      "output.value": '{"id":"chatcmpl-9","usage":{"prompt_tokens":1,"completion_tokens":1}}',
      "output.mime_type": JSON_TYPE,
    });
    expect(span).toMatchObject({
      span_class: "aggregate",
      usage_status: "aggregate",
      provider_calls: null,
      response_id: "",
    });
    expect(tokensOf(span)).toEqual({ input_uncached: 3000, output_text: 1000 });
  });

  test("an agent is named by what means its name", () => {
    const nameOf = (attributes: Pairs): string => normalizeFrom(OPENAI, attributes).agent_name;
    const kind = { "openinference.span.kind": "AGENT" };
    expect(nameOf({ ...kind, "graph.node.id": "weather-agent" })).toBe("weather-agent");
    expect(nameOf({ ...kind, "graph.node.id": "9f", "graph.node.name": "Writer" })).toBe("Writer");
    expect(nameOf({ ...kind, "graph.node.id": "9f", "agent.name": "a" })).toBe("a");
    expect(nameOf(kind)).toBe("");
  });
});

describe("OpenInference, other emitters", () => {
  const ANTHROPIC_RAW = {
    input_tokens: 25,
    cache_creation_input_tokens: 300,
    cache_read_input_tokens: 2000,
    cache_creation: { ephemeral_5m_input_tokens: 200, ephemeral_1h_input_tokens: 100 },
    output_tokens: 60,
    service_tier: "standard",
  };
  const ANTHROPIC_SPLIT = {
    input_uncached: 25,
    cache_read: 2000,
    cache_write_5m: 200,
    cache_write_1h: 100,
    cache_write: 0,
    output_text: 60,
  };

  test("Anthropic's counts include the cache", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-anthropic", {
      "openinference.span.kind": "LLM",
      "llm.request.model_name": "claude-sonnet-4-5",
      "llm.response.model_name": "claude-sonnet-4-5-20250929",
      "llm.model_name": "claude-sonnet-4-5-20250929",
      "llm.provider": "anthropic",
      "llm.invocation_parameters": '{"stream":true,"metadata":{"user_id":"end-user-7"}}',
      "llm.finish_reason": "end_turn",
      "llm.token_count.prompt": 2325,
      "llm.token_count.completion": 60,
      "llm.token_count.total": 2385,
      "llm.token_count.prompt_details.cache_write": 300,
      "llm.token_count.prompt_details.cache_read": 2000,
    });
    expect(span).toMatchObject({
      request_model: "claude-sonnet-4-5",
      response_model: "claude-sonnet-4-5-20250929",
      finish_reason: "stop",
      streaming: true,
      user_id: "end-user-7",
      usage_status: "reported",
    });
    expect(tokensOf(span)).toEqual({
      input_uncached: 25,
      cache_read: 2000,
      cache_write: 300,
      output_text: 60,
    });
  });

  test("Bedrock's Converse is read from the raw answer, and its model from the request", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-bedrock", {
      "openinference.span.kind": "LLM",
      "llm.provider": "aws",
      "llm.system": "anthropic",
      "llm.model_name": "anthropic",
      "input.value": '{"modelId":"us.anthropic.claude-sonnet-4-5-20250929-v1:0","messages":[]}',
      "input.mime_type": JSON_TYPE,
      "output.value": JSON.stringify({
        stopReason: "end_turn",
        usage: {
          inputTokens: 70,
          outputTokens: 33,
          totalTokens: 723,
          cacheReadInputTokens: 500,
          cacheWriteInputTokens: 120,
        },
      }),
      "output.mime_type": JSON_TYPE,
      "llm.token_count.prompt": 70,
      "llm.token_count.completion": 33,
      "llm.token_count.total": 723,
    });
    expect(span).toMatchObject({
      dialect: "openinference-bedrock",
      provider: "bedrock",
      request_model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
      response_model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
      finish_reason: "stop",
      usage_status: "reported",
    });
    expect(tokensOf(span)).toEqual({
      input_uncached: 70,
      cache_read: 500,
      cache_write: 120,
      output_text: 33,
    });
  });

  test("Bedrock's stream lost its cached tokens: the input is a lower bound", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-bedrock", {
      "openinference.span.kind": "LLM",
      "llm.provider": "aws",
      "llm.model_name": "claude-sonnet-4-5-20250929",
      "output.value": JSON.stringify({
        text: "Hello",
        usage: { input_tokens: 70, output_tokens: 33, total_tokens: 723 },
        streaming: true,
        stop_reason: "end_turn",
      }),
      "output.mime_type": JSON_TYPE,
      "llm.token_count.prompt": 70,
      "llm.token_count.completion": 33,
      "llm.token_count.total": 723,
    });
    expect(span).toMatchObject({ usage_status: "estimated", streaming: true });
    expect(span.reason).toContain("lower bound");
    expect(tokensOf(span)).toEqual({ input_uncached: 70, output_text: 33 });
  });

  test("Bedrock's InvokeModel without the answer excludes the cache by the table", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-bedrock", {
      "openinference.span.kind": "LLM",
      "llm.provider": "aws",
      "llm.model_name": "claude-sonnet-4-5-20250929",
      "llm.token_count.prompt": 2500,
      "llm.token_count.completion": 60,
      "llm.token_count.prompt_details.cache_read": 2000,
      "llm.token_count.prompt_details.cache_write": 300,
    });
    expect(span.usage_status).toBe("derived");
    expect(tokensOf(span)).toMatchObject({ input_uncached: 2500, cache_read: 2000 });
  });

  test("Python's Bedrock includes the cache, and for Converse the total tells", () => {
    const scope = "openinference.instrumentation.bedrock";
    const call = { "openinference.span.kind": "LLM", "llm.provider": "aws", "llm.model_name": "m" };
    const invoked = normalizeFrom(scope, {
      ...call,
      "llm.token_count.prompt": 2325,
      "llm.token_count.completion": 60,
      "llm.token_count.prompt_details.cache_read": 2000,
      "llm.token_count.prompt_details.cache_write": 300,
    });
    expect(tokensOf(invoked)["input_uncached"]).toBe(25);
    const conversed = normalizeFrom(scope, {
      ...call,
      "llm.token_count.prompt": 700,
      "llm.token_count.completion": 33,
      "llm.token_count.total": 1353,
      "llm.token_count.prompt_details.cache_read": 500,
      "llm.token_count.prompt_details.cache_write": 120,
    });
    expect(tokensOf(conversed)["input_uncached"]).toBe(700);
  });

  test("the Claude Agent SDK's agent is an aggregate that hides the cache", () => {
    const span = normalizeFrom("@arizeai/openinference-instrumentation-claude-agent-sdk", {
      "openinference.span.kind": "AGENT",
      "session.id": "s-1",
      "llm.model_name": "claude-sonnet-4-5",
      "llm.token_count.prompt": 25,
      "llm.token_count.completion": 60,
      "llm.token_count.total": 85,
      "llm.cost.total": 0.002925,
    });
    expect(span).toMatchObject({
      span_class: "aggregate",
      usage_status: "aggregate",
      provider: "anthropic",
      client_cost: 2_925_000_000n,
      session_id: "s-1",
    });
    expect(span.reason).toContain("lower bound");
    expect(tokensOf(span)).toEqual({ input_uncached: 25, output_text: 60 });
  });

  test("its Python twin sends the cache beside the input", () => {
    const span = normalizeFrom("openinference.instrumentation.claude_agent_sdk", {
      "openinference.span.kind": "AGENT",
      "llm.model_name": "claude-sonnet-4-5",
      "llm.token_count.prompt": 2500,
      "llm.token_count.completion": 60,
      "llm.token_count.total": 2560,
      "llm.token_count.prompt_details.cache_read": 2000,
      "llm.token_count.prompt_details.cache_write": 300,
    });
    expect(tokensOf(span)).toMatchObject({ input_uncached: 2500, cache_read: 2000 });
  });

  test("Gemini's counts hold thoughts and prompts of tools", () => {
    const span = normalizeFrom("openinference.instrumentation.google_genai", {
      "openinference.span.kind": "LLM",
      "llm.provider": "google",
      "llm.model_name": "gemini-2.5-flash",
      "llm.token_count.prompt": 510,
      "llm.token_count.completion": 200,
      "llm.token_count.total": 710,
      "llm.token_count.prompt_details.cache_read": 400,
      "llm.token_count.completion_details.reasoning": 160,
    });
    expect(span.usage_status).toBe("reported");
    expect(tokensOf(span)).toEqual({
      input_uncached: 110,
      cache_read: 400,
      output_text: 40,
      output_reasoning: 160,
    });
  });

  test("Google's ADK for Python has the cached tokens only in the answer", () => {
    const attributes = {
      "openinference.span.kind": "LLM",
      "llm.provider": "google",
      "llm.model_name": "gemini-2.5-flash",
      "llm.token_count.prompt": 1510,
      "llm.token_count.completion": 200,
      "llm.token_count.total": 1710,
      "llm.token_count.completion_details.reasoning": 160,
    };
    const scope = "openinference.instrumentation.google_adk";
    expect(normalizeFrom(scope, attributes).usage_status).toBe("estimated");
    const span = normalizeFrom(scope, {
      ...attributes,
      "output.value": JSON.stringify({
        usage_metadata: {
          prompt_token_count: 1500,
          cached_content_token_count: 1400,
          candidates_token_count: 40,
          thoughts_token_count: 160,
          tool_use_prompt_token_count: 10,
          total_token_count: 1710,
        },
      }),
      "output.mime_type": JSON_TYPE,
    });
    expect(span.usage_status).toBe("reported");
    expect(tokensOf(span)).toEqual({
      input_uncached: 110,
      cache_read: 1400,
      output_text: 40,
      output_reasoning: 160,
    });
  });

  test("the older Vertex AI instrumentation leaves the thoughts out", () => {
    const span = normalizeFrom("openinference.instrumentation.vertexai", {
      "openinference.span.kind": "LLM",
      "llm.provider": "google",
      "llm.system": "vertexai",
      "llm.model_name": "gemini-2.5-flash",
      "llm.token_count.prompt": 500,
      "llm.token_count.completion": 40,
      "llm.token_count.total": 710,
    });
    expect(span).toMatchObject({ provider: "vertex", usage_status: "estimated" });
    expect(tokensOf(span)).toEqual({ input_uncached: 500, output_text: 40 });
  });

  test("LiteLLM's names for the cache are part of OpenAI's totals, and it knows the price", () => {
    const span = normalizeFrom("openinference.instrumentation.litellm", {
      "openinference.span.kind": "LLM",
      "llm.model_name": "claude-sonnet-4-5",
      "llm.provider": "anthropic",
      "llm.cost.total": "0.003",
      "llm.token_count.prompt": 2325,
      "llm.token_count.completion": 60,
      "llm.token_count.prompt_details.cache_input": 2325,
      "output.value": JSON.stringify({
        id: "chatcmpl-x",
        usage: {
          prompt_tokens: 2325,
          completion_tokens: 60,
          total_tokens: 2385,
          cache_creation_input_tokens: 300,
          cache_read_input_tokens: 2000,
        },
      }),
      "output.mime_type": JSON_TYPE,
    });
    expect(span.client_cost).toBe(3_000_000_000n);
    expect(tokensOf(span)).toEqual({
      input_uncached: 25,
      cache_read: 2000,
      cache_write: 300,
      output_text: 60,
    });
  });

  test("a cost of 0 claims nothing", () => {
    const span = normalizeFrom(OPENAI, {
      "openinference.span.kind": "LLM",
      "llm.model_name": "m",
      "llm.cost.total": 0,
    });
    expect(span.client_cost).toBeNull();
  });

  test("the processor for Strands leaves the old names beside its own, which are taken", () => {
    const span = normalizeFrom("strands.telemetry.tracer", {
      "openinference.span.kind": "LLM",
      "llm.system": "strands-agents",
      "llm.provider": "strands-agents",
      "llm.model_name": "claude-sonnet-4-5",
      "gen_ai.system": "strands-agents",
      "gen_ai.usage.input_tokens": 70,
      "gen_ai.usage.prompt_tokens": 70,
      "gen_ai.usage.cache_read_input_tokens": 500,
      "gen_ai.usage.cache_write_input_tokens": 120,
      "llm.token_count.prompt": 690,
      "llm.token_count.completion": 33,
      "llm.token_count.total": 723,
      "llm.token_count.prompt_details.cache_read": 500,
      "llm.token_count.prompt_details.cache_write": 120,
    });
    expect(span.provider).toBe("anthropic");
    expect(tokensOf(span)).toEqual({
      input_uncached: 70,
      cache_read: 500,
      cache_write: 120,
      output_text: 33,
    });
  });

  test("a refused call is an error with the status of its message", () => {
    const span = normalizeOne(
      { "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.system": "openai" },
      {
        span: {
          status_code: 2,
          status_message: "429 fake 429",
          events: [
            {
              name: "exception",
              time_ns: 1n,
              attributes: attributesOf({ "exception.type": "RateLimitError" }),
            },
          ],
        },
      },
    );
    expect(span).toMatchObject({ status: "error", http_status: 429, error_type: "RateLimitError" });
    expect(span.usage_status).toBe("missing");
  });

  describe("LangChain", () => {
    const scope = "@arizeai/openinference-instrumentation-langchain";
    const langchain = (message: object, around: object = {}): Span =>
      normalizeFrom(scope, {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude-sonnet-4-5",
        "llm.invocation_parameters": '{"model":"claude-sonnet-4-5","stream":false}',
        metadata: '{"ls_provider":"anthropic","session_id":"s-1","user_id":"u-1"}',
        "llm.token_count.prompt": 2325,
        "llm.token_count.completion": 60,
        "llm.token_count.prompt_details.cache_read": 2000,
        "output.value": JSON.stringify({ generations: [[{ message, ...around }]] }),
        "output.mime_type": JSON_TYPE,
      });

    test("the provider's usage in the message has the lifetimes that LangChain's lacks", () => {
      const span = langchain({
        id: ["langchain_core", "messages", "AIMessage"],
        kwargs: {
          id: "msg_1",
          response_metadata: {
            model: "claude-sonnet-4-5-20250929",
            stop_reason: "end_turn",
            usage: ANTHROPIC_RAW,
          },
          usage_metadata: {
            input_tokens: 2325,
            output_tokens: 60,
            total_tokens: 2385,
            input_token_details: { cache_creation: 300, cache_read: 2000 },
          },
        },
      });
      expect(span).toMatchObject({
        provider: "anthropic",
        request_model: "claude-sonnet-4-5",
        response_model: "claude-sonnet-4-5-20250929",
        response_id: "msg_1",
        finish_reason: "stop",
        service_tier: "standard",
        streaming: false,
        session_id: "s-1",
        user_id: "u-1",
      });
      expect(tokensOf(span)).toEqual(ANTHROPIC_SPLIT);
    });

    test("of a stream the sum is taken, and of the raw usage how long the cache writes live", () => {
      const span = langchain({
        id: ["langchain_core", "messages", "AIMessageChunk"],
        kwargs: {
          id: "msg_1",
          response_metadata: { usage: { ...ANTHROPIC_RAW, output_tokens: 1 } },
          usage_metadata: {
            input_tokens: 2325,
            output_tokens: 60,
            total_tokens: 2385,
            input_token_details: { cache_creation: 300, cache_read: 2000 },
          },
        },
      });
      expect(span.streaming).toBe(true);
      expect(tokensOf(span)).toEqual({
        input_uncached: 25,
        cache_read: 2000,
        cache_write: 0,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 60,
      });
    });

    test("through Bedrock the total tells that the input excludes the cache", () => {
      const span = langchain({
        kwargs: {
          usage_metadata: {
            input_tokens: 700,
            output_tokens: 33,
            total_tokens: 1353,
            input_token_details: { cache_creation: 120, cache_read: 500 },
          },
        },
      });
      expect(tokensOf(span)).toMatchObject({ input_uncached: 700, cache_read: 500 });
    });

    test.each([
      ["run-4f1c2b3a-0", "chatcmpl-7", "chatcmpl-7"],
      ["lc_run--4f1c2b3a-0", undefined, ""],
      ["0b9ab2e4-27b6-4f7c-9f3c-3c9bb5a3f7aa", undefined, ""],
      ["msg_out_1", "resp_7", "resp_7"],
      ["chatcmpl-8", undefined, "chatcmpl-8"],
    ])("of the ids %s and %s the response id is %s", (id, kept, response_id) => {
      const span = langchain({ kwargs: { id, response_metadata: { id: kept } } });
      expect(span.response_id).toBe(response_id);
    });

    test("Python's older shape has the fields on the message and the usage on the run", () => {
      const span = normalizeFrom("openinference.instrumentation.langchain", {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4.1-2025-04-14",
        "llm.provider": "openai",
        "output.value": JSON.stringify({
          generations: [[{ generation_info: { finish_reason: "stop" }, message: { content: "" } }]],
          llm_output: {
            token_usage: {
              prompt_tokens: 1200,
              completion_tokens: 30,
              total_tokens: 1230,
              prompt_tokens_details: { cached_tokens: 1024 },
            },
            model_name: "gpt-4.1-2025-04-14",
            id: "chatcmpl-5",
          },
        }),
        "output.mime_type": JSON_TYPE,
      });
      expect(span).toMatchObject({ response_id: "chatcmpl-5", finish_reason: "stop" });
      expect(tokensOf(span)).toEqual({ input_uncached: 176, cache_read: 1024, output_text: 30 });
    });

    test("what LangChain counted itself is an estimate", () => {
      const span = normalizeFrom(scope, {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini",
        "llm.token_count.prompt": 9,
        "llm.token_count.completion": 4,
        "output.value": JSON.stringify({
          generations: [[{ text: "Hello" }]],
          llmOutput: { estimatedTokenUsage: { promptTokens: 9, completionTokens: 4 } },
        }),
        "output.mime_type": JSON_TYPE,
      });
      expect(span.usage_status).toBe("estimated");
      expect(span.reason).toContain("LangChain counted");
      expect(tokensOf(span)).toEqual({ input_uncached: 9, output_text: 4 });
    });

    test("a model run without raw usage has LangChain's own totals", () => {
      const span = normalizeFrom(scope, {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini",
        "output.value": JSON.stringify({
          generations: [[{ text: "Hello" }]],
          llmOutput: { tokenUsage: { promptTokens: 100, completionTokens: 20, totalTokens: 120 } },
        }),
        "output.mime_type": JSON_TYPE,
      });
      expect(tokensOf(span)).toEqual({ input_uncached: 100, output_text: 20 });
    });
  });
});
