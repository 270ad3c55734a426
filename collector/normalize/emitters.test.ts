import { describe, expect, test } from "vitest";
import type { AttributeValue, Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { type Around, attributesOf, normalizeEvent, normalizeOne } from "./fixture.ts";

type Values = Readonly<Record<string, AttributeValue>>;

function normalizeIn(scope: string, attributes: Values, around: Around = {}): Span {
  return normalizeOne(attributes, { ...around, scope: { name: scope } });
}

/** The token classes that are known, by name. */
function tokensOf(span: Span): Record<string, number> {
  const known: [string, number][] = [];
  TOKEN_CLASSES.forEach((name, index) => {
    const count = span.tokens[index];
    if (count !== null && count !== undefined) known.push([name, count]);
  });
  return Object.fromEntries(known);
}

const OPENAI_CHAT: Values = {
  "gen_ai.provider.name": "openai",
  "gen_ai.operation.name": "chat",
  "gen_ai.request.model": "gpt-5-mini",
};
const CLAUDE_CHAT: Values = {
  "gen_ai.provider.name": "anthropic",
  "gen_ai.operation.name": "chat",
  "gen_ai.request.model": "claude-sonnet-4-5",
};
const GEMINI_CALL: Values = {
  "gen_ai.provider.name": "gcp.gen_ai",
  "gen_ai.operation.name": "generate_content",
  "gen_ai.request.model": "gemini-2.5-flash",
};

function usage(input: number, output: number): Values {
  return { "gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": output };
}

const CACHED: Values = {
  "gen_ai.usage.cache_read.input_tokens": 2000,
  "gen_ai.usage.cache_creation.input_tokens": 300,
};
const CLAUDE_TOKENS = { input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 };

describe("OpenLLMetry for JavaScript", () => {
  test("LangChain's callbacks pass on what the provider said, also of a stream", () => {
    const call = { ...OPENAI_CHAT, ...usage(100, 20) };
    expect(normalizeIn("@traceloop/instrumentation-langchain", call)).toMatchObject({
      dialect: "traceloop-js",
      usage_status: "reported",
    });
    expect(normalizeIn("@traceloop/instrumentation-openai", call).usage_status).toBe("estimated");
  });

  const ANTHROPIC = "@traceloop/instrumentation-anthropic";
  const OPENAI = "@traceloop/instrumentation-openai";
  const GOOGLE = "@traceloop/instrumentation-google-generativeai";

  test("Anthropic's input leaves the cache out, also where it is larger than the cache", () => {
    const span = normalizeIn(ANTHROPIC, { ...CLAUDE_CHAT, ...usage(25, 60), ...CACHED });
    expect(tokensOf(span)).toEqual(CLAUDE_TOKENS);
    expect(span.usage_status).toBe("derived");
    const large = normalizeIn(ANTHROPIC, { ...CLAUDE_CHAT, ...usage(5000, 60), ...CACHED });
    expect(tokensOf(large)).toEqual({ ...CLAUDE_TOKENS, input_uncached: 5000 });
  });

  test("an uncached prompt of Anthropic's is reported as sent", () => {
    const span = normalizeIn(ANTHROPIC, {
      ...CLAUDE_CHAT,
      ...usage(40, 15),
      "gen_ai.usage.cache_read.input_tokens": 0,
      "gen_ai.usage.cache_creation.input_tokens": 0,
    });
    expect(span.usage_status).toBe("reported");
    expect(tokensOf(span)).toMatchObject({ input_uncached: 40, output_text: 15 });
  });

  test("a chat that may have been a stream has estimated usage", () => {
    const chat = { ...OPENAI_CHAT, ...usage(4, 4), "gen_ai.response.id": "chatcmpl-1" };
    const span = normalizeIn(OPENAI, chat);
    expect(span.usage_status).toBe("estimated");
    expect(span.reason).toContain("estimates streams");
  });

  test("an answer of the Responses API is the provider's count", () => {
    const chat = { ...OPENAI_CHAT, ...usage(100, 20), "gen_ai.response.id": "resp_1" };
    expect(normalizeIn(OPENAI, chat).usage_status).toBe("reported");
  });

  test("a prompt that may have been cached is estimated, the counts kept as sent", () => {
    const chat = { ...OPENAI_CHAT, ...usage(1500, 500), "gen_ai.response.id": "resp_1" };
    const span = normalizeIn(OPENAI, chat);
    expect(span.usage_status).toBe("estimated");
    expect(tokensOf(span)).toEqual({ input_uncached: 1500, output_text: 500 });
  });

  test("counts that come with cached tokens are the provider's", () => {
    const span = normalizeIn(OPENAI, {
      ...OPENAI_CHAT,
      ...usage(1500, 500),
      "gen_ai.usage.cache_read.input_tokens": 1024,
      "gen_ai.usage.reasoning_tokens": 448,
    });
    expect(span.usage_status).toBe("reported");
    expect(tokensOf(span)).toEqual({
      input_uncached: 476,
      cache_read: 1024,
      output_text: 52,
      output_reasoning: 448,
    });
  });

  test("Gemini's thoughts and tool prompts are told by the total", () => {
    const span = normalizeIn(GOOGLE, {
      ...GEMINI_CALL,
      ...usage(500, 40),
      "gen_ai.usage.total_tokens": 710,
      "gen_ai.usage.reasoning_tokens": 160,
      "gen_ai.usage.cache_read.input_tokens": 400,
    });
    expect(tokensOf(span)).toEqual({
      input_uncached: 110,
      cache_read: 400,
      output_text: 40,
      output_reasoning: 160,
    });
    expect(span.provider).toBe("google");
  });

  test("Gemini's thoughts stand beside a longer output without a total", () => {
    const span = normalizeIn("@traceloop/instrumentation-vertexai", {
      ...GEMINI_CALL,
      "gen_ai.provider.name": "gcp.vertex_ai",
      ...usage(500, 400),
      "gen_ai.usage.reasoning_tokens": 160,
    });
    expect(tokensOf(span)).toMatchObject({ output_text: 400, output_reasoning: 160 });
  });

  test("Bedrock's hidden cache makes the input a lower bound", () => {
    const span = normalizeIn("@traceloop/instrumentation-bedrock", {
      "gen_ai.provider.name": "aws.bedrock",
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "claude-sonnet-4-5-20250929-v1:0",
      ...usage(25, 60),
    });
    expect(span).toMatchObject({ provider: "bedrock", usage_status: "estimated" });
    expect(span.reason).toContain("lower bound");
  });

  test("a Converse call without usage and operation is a call without usage", () => {
    const span = normalizeIn("@traceloop/instrumentation-bedrock", {
      "gen_ai.provider.name": "aws.bedrock",
      "gen_ai.request.model": "claude-sonnet-4-5-20250929-v1:0",
    });
    expect(span).toMatchObject({ span_class: "billable", usage_status: "missing" });
  });
});

describe("the entities of Traceloop's SDKs", () => {
  test("workflows and tasks are structure, tools are tools", () => {
    const classes = ["workflow", "task", "tool"].map(
      (kind) =>
        normalizeIn("@traceloop/node-server-sdk", {
          "traceloop.span.kind": kind,
          "traceloop.entity.name": "e",
        }).span_class,
    );
    expect(classes).toEqual(["structure", "structure", "tool"]);
  });

  test("an agent's entity names the agent and a task's does not", () => {
    const named = ["agent", "task"].map(
      (kind) =>
        normalizeIn("traceloop.tracer", {
          "traceloop.span.kind": kind,
          "traceloop.entity.name": "e",
        }).agent_name,
    );
    expect(named).toEqual(["e", ""]);
  });

  test("associated properties are user and session on calls of any emitter", () => {
    const associated = {
      ...OPENAI_CHAT,
      "traceloop.association.properties.user_id": "user-1",
      "traceloop.association.properties.session_id": "sess-1",
    };
    for (const scope of ["@traceloop/instrumentation-openai", "my-own"]) {
      const span = normalizeIn(scope, associated);
      expect(span).toMatchObject({ user_id: "user-1", session_id: "sess-1" });
    }
    const threads = { ...OPENAI_CHAT, "traceloop.association.properties.thread_id": "t" };
    expect(normalizeIn("my-own", threads).session_id).toBe("t");
  });
});

describe("OpenLLMetry for Python", () => {
  test("Anthropic's input holds the cache, by the older names of the counts", () => {
    const span = normalizeIn("opentelemetry.instrumentation.anthropic", {
      "gen_ai.system": "Anthropic",
      "llm.request.type": "completion",
      "gen_ai.request.model": "claude-sonnet-4-5",
      "gen_ai.usage.prompt_tokens": 2325,
      "gen_ai.usage.completion_tokens": 60,
      "llm.usage.total_tokens": 2385,
      "gen_ai.usage.cache_read_input_tokens": 2000,
      "gen_ai.usage.cache_creation_input_tokens": 300,
      "gen_ai.completion.0.finish_reason": "end_turn",
    });
    expect(tokensOf(span)).toEqual(CLAUDE_TOKENS);
    expect(span).toMatchObject({
      usage_status: "reported",
      provider: "anthropic",
      finish_reason: "stop",
      operation: "text_completion",
      span_class: "billable",
    });
  });

  test("a stream of OpenAI's has the provider's counts, and llm.* names are read", () => {
    const span = normalizeIn("opentelemetry.instrumentation.openai.v1", {
      "gen_ai.system": "OpenAI",
      "llm.request.type": "chat",
      "gen_ai.request.model": "gpt-5-mini",
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
      "gen_ai.usage.cache_read_input_tokens": 1024,
      "gen_ai.usage.reasoning_tokens": 448,
      "llm.is_streaming": true,
      "llm.user": "end-user",
    });
    expect(tokensOf(span)).toMatchObject({ input_uncached: 476, output_reasoning: 448 });
    expect(span).toMatchObject({
      usage_status: "reported",
      operation: "chat",
      streaming: true,
      user_id: "end-user",
    });
  });

  test("a long prompt of a version that knows nothing of the cache is estimated", () => {
    const scope = "opentelemetry.instrumentation.openai_v2";
    const long = normalizeIn(scope, { ...OPENAI_CHAT, ...usage(1500, 500) });
    expect(long.usage_status).toBe("estimated");
    const uncached = { ...usage(1500, 500), "gen_ai.usage.cache_read.input_tokens": 0 };
    const told = normalizeIn(scope, { ...OPENAI_CHAT, ...uncached });
    expect(told.usage_status).toBe("reported");
  });

  test("an embedding and a rerank of the old generation are calls", () => {
    const operations = ["embedding", "rerank"].map(
      (type) =>
        normalizeIn("opentelemetry.instrumentation.cohere", {
          "llm.request.type": type,
          "gen_ai.request.model": "m",
        }).operation,
    );
    expect(operations).toEqual(["embeddings", "rerank"]);
  });

  test("Vertex without thoughts is a lower bound, OpenTelemetry's Gemini holds them", () => {
    const call = { ...GEMINI_CALL, ...usage(500, 40), "gen_ai.usage.total_tokens": 710 };
    const vertex = normalizeIn("opentelemetry.instrumentation.vertexai", call);
    expect(vertex.usage_status).toBe("estimated");
    const google = normalizeIn("opentelemetry.instrumentation.google_genai", {
      ...GEMINI_CALL,
      ...usage(500, 200),
      "gen_ai.usage.reasoning.output_tokens": 160,
      "gen_ai.usage.cache_read.input_tokens": 400,
    });
    expect(tokensOf(google)).toMatchObject({ output_text: 40, output_reasoning: 160 });
  });

  test("other instrumentations of OpenTelemetry for Python are no calls", () => {
    const span = normalizeIn("opentelemetry.instrumentation.requests", { "http.url": "x" });
    expect(span).toMatchObject({ span_class: "other", dialect: "" });
  });
});

describe("LiteLLM", () => {
  const CALL: Values = {
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.id": "chatcmpl-1",
    "llm.request.type": "acompletion",
    "llm.is_streaming": "True",
    "llm.user": "end-user",
    "gen_ai.cost.total_cost": 0.002925,
    "gen_ai.response.finish_reasons": '["stop"]',
    ...usage(40, 15),
  };

  test("a call on a span of its own is read with its text flags and its cost", () => {
    const span = normalizeIn("litellm", { ...CALL, "gen_ai.operation.name": "acompletion" });
    expect(span).toMatchObject({
      span_class: "billable",
      operation: "chat",
      provider: "anthropic",
      streaming: true,
      user_id: "end-user",
      finish_reason: "stop",
      client_cost: 2_925_000_000n,
      usage_status: "reported",
    });
  });

  test("the call type stands in for the operation where content is not logged", () => {
    expect(normalizeIn("litellm", CALL).operation).toBe("chat");
    const type = { ...CALL, "llm.request.type": "aembedding" };
    expect(normalizeIn("litellm", type).operation).toBe("embeddings");
  });

  test("a call on the span of its caller is a call of LiteLLM's", () => {
    const span = normalizeIn("my-server", {
      ...CALL,
      "metadata.user_api_key_hash": "h",
      "metadata.user_api_key_user_id": "u",
    });
    expect(span).toMatchObject({ dialect: "litellm", span_class: "billable" });
  });

  test("a long prompt is estimated, for its cached tokens are not told", () => {
    const span = normalizeIn("litellm", { ...CALL, ...usage(2325, 60) });
    expect(span.usage_status).toBe("estimated");
    expect(tokensOf(span)).toEqual({ input_uncached: 2325, output_text: 60 });
  });

  test("the usage among the hidden parameters tells what was cached, and the cost", () => {
    const hidden = JSON.stringify({
      response_cost: "0.5",
      usage_object: {
        prompt_tokens: 2325,
        completion_tokens: 60,
        total_tokens: 2385,
        prompt_tokens_details: { cached_tokens: 2000, audio_tokens: null },
        completion_tokens_details: null,
        cache_creation_input_tokens: 300,
        cache_read_input_tokens: 2000,
      },
    });
    const { "gen_ai.cost.total_cost": _cost, ...call } = CALL;
    const span = normalizeIn("litellm", { ...call, ...usage(2325, 60), hidden_params: hidden });
    expect(tokensOf(span)).toEqual(CLAUDE_TOKENS);
    expect(span).toMatchObject({ usage_status: "reported", client_cost: 500_000_000_000n });
  });

  test("the raw request below it and the proxy's request are structure", () => {
    const raw = normalizeIn("litellm", { "llm.anthropic.model": "claude-sonnet-4-5" });
    expect(raw.span_class).toBe("structure");
    expect(normalizeIn("litellm", {}).span_class).toBe("structure");
  });
});

describe("OpenLIT", () => {
  const ANTHROPIC = "@openlit/instrumentation-anthropic";
  const MADE: Values = { "telemetry.sdk.name": "openlit", "gen_ai.usage.cost": 0 };

  test("Anthropic's input leaves the cache out, and a cost of 0 claims nothing", () => {
    const span = normalizeIn(ANTHROPIC, { ...CLAUDE_CHAT, ...MADE, ...usage(25, 60), ...CACHED });
    expect(tokensOf(span)).toEqual(CLAUDE_TOKENS);
    expect(span).toMatchObject({ usage_status: "derived", client_cost: null });
  });

  test("a stream of Anthropic's counts output twice: estimated, with its first token", () => {
    const span = normalizeIn(ANTHROPIC, {
      ...CLAUDE_CHAT,
      ...MADE,
      ...usage(25, 61),
      ...CACHED,
      "gen_ai.request.is_stream": true,
      "gen_ai.server.time_to_first_token": 0.25,
    });
    expect(span).toMatchObject({
      usage_status: "estimated",
      streaming: true,
      ttft_ns: 250_000_000n,
    });
  });

  test("a stream without a provider's parts may be a guess; without a stream it is none", () => {
    const scope = "@openlit/instrumentation-vllm";
    const call = { ...OPENAI_CHAT, ...MADE, ...usage(4, 4) };
    const stream = { ...call, "gen_ai.request.is_stream": true };
    expect(normalizeIn(scope, stream).usage_status).toBe("estimated");
    expect(normalizeIn(scope, { ...call, "gen_ai.request.is_stream": false }).usage_status).toBe(
      "reported",
    );
    const counted = {
      ...stream,
      ...usage(1500, 500),
      "gen_ai.usage.cache_read.input_tokens": 1024,
    };
    expect(normalizeIn(scope, counted).usage_status).toBe("reported");
  });

  test.each<[string, Values, string]>([
    ["that repeats the guess of a stream", usage(1, 8), "estimated"],
    [
      "with a count of the cache",
      { ...usage(1500, 500), "gen_ai.usage.cache_read.input_tokens": 1024 },
      "reported",
    ],
  ])("an event %s is %s", (_name, counts, status) => {
    const span = normalizeEvent(
      {
        "event.name": "gen_ai.client.inference.operation.details",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.response.id": "chatcmpl-1",
        ...counts,
      },
      { scope: { name: "openlit" } },
    );
    expect(span).toMatchObject({ dialect: "openlit", span_class: "billable", signal: "log" });
    expect(span?.usage_status).toBe(status);
  });

  test("an event of Anthropic's call has a lower bound of the input", () => {
    const event = { "event.name": "gen_ai.client.inference.operation.details" };
    const around = { scope: { name: "openlit" } };
    const span = normalizeEvent({ ...event, ...CLAUDE_CHAT, ...usage(25, 60) }, around);
    expect(span?.usage_status).toBe("estimated");
    expect(span?.reason).toContain("lower bound");
  });

  test("Python's Gemini leaves thoughts out whatever its own total says", () => {
    const span = normalizeIn("openlit.otel.tracing", {
      ...GEMINI_CALL,
      ...MADE,
      ...usage(500, 400),
      "gen_ai.usage.total_tokens": 900,
      "gen_ai.usage.reasoning_tokens": 160,
    });
    expect(span.dialect).toBe("openlit");
    expect(tokensOf(span)).toMatchObject({ output_text: 400, output_reasoning: 160 });
  });
});

describe("Google ADK", () => {
  const SCOPE = "gcp.vertex.agent";
  const CALL: Values = {
    "gen_ai.system": "gcp.vertex.agent",
    "gen_ai.request.model": "gemini-2.5-flash",
    "gcp.vertex.agent.session_id": "sess-1",
    ...usage(500, 40),
  };
  const TRUTH = {
    input_uncached: 110,
    cache_read: 400,
    output_text: 40,
    output_reasoning: 160,
  };

  test("the recorded answer tells all classes, in JavaScript's and in Python's words", () => {
    const camel = JSON.stringify({
      usageMetadata: {
        promptTokenCount: 500,
        candidatesTokenCount: 40,
        totalTokenCount: 710,
        cachedContentTokenCount: 400,
        thoughtsTokenCount: 160,
        toolUsePromptTokenCount: 10,
      },
    });
    const snake = JSON.stringify({
      usage_metadata: {
        prompt_token_count: 500,
        candidates_token_count: 40,
        total_token_count: 710,
        cached_content_token_count: 400,
        thoughts_token_count: 160,
        tool_use_prompt_token_count: 10,
      },
    });
    for (const answer of [camel, snake]) {
      const span = normalizeIn(SCOPE, { ...CALL, "gcp.vertex.agent.llm_response": answer });
      expect(tokensOf(span)).toEqual(TRUTH);
      expect(span).toMatchObject({
        span_class: "billable",
        usage_status: "reported",
        provider: "google",
        session_id: "sess-1",
      });
    }
  });

  test("without the recorded answer the output is a lower bound", () => {
    const span = normalizeIn(SCOPE, { ...CALL, "gcp.vertex.agent.llm_response": "{}" });
    expect(span.usage_status).toBe("estimated");
    expect(tokensOf(span)).toEqual({ input_uncached: 500, output_text: 40 });
  });

  test("tools, agents and bare failed calls are no calls", () => {
    const tool = {
      "gen_ai.operation.name": "execute_tool",
      "gcp.vertex.agent.llm_request": "{}",
      "gcp.vertex.agent.llm_response": "{}",
    };
    expect(normalizeIn(SCOPE, tool).span_class).toBe("tool");
    const agent = { "gen_ai.operation.name": "invoke_agent" };
    expect(normalizeIn(SCOPE, agent).span_class).toBe("structure");
    expect(normalizeIn(SCOPE, {}).span_class).toBe("structure");
  });

  test("a grounded answer is billed a search", () => {
    const answer = JSON.stringify({
      usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 4, totalTokenCount: 9 },
      groundingMetadata: { webSearchQueries: ["q"] },
    });
    const span = normalizeIn(SCOPE, { ...CALL, "gcp.vertex.agent.llm_response": answer });
    expect(span.fee_units).toEqual([{ kind: "grounding", count: 1 }]);
  });

  test("a model of another provider names it; a path of Google's does not", () => {
    const other = normalizeIn(SCOPE, { ...CALL, "gen_ai.request.model": "openai/gpt-4.1" });
    expect(other).toMatchObject({ provider: "openai", request_model: "gpt-4.1" });
    const path = "projects/p/locations/us/endpoints/1";
    const own = normalizeIn(SCOPE, { ...CALL, "gen_ai.request.model": path });
    expect(own).toMatchObject({ provider: "", request_model: path });
  });
});

describe("Strands", () => {
  const CHAT: Values = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "strands-agents",
    "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "gen_ai.usage.prompt_tokens": 70,
    "gen_ai.usage.input_tokens": 70,
    "gen_ai.usage.completion_tokens": 33,
    "gen_ai.usage.output_tokens": 33,
    "gen_ai.usage.total_tokens": 723,
    "gen_ai.usage.cache_read_input_tokens": 500,
    "gen_ai.usage.cache_write_input_tokens": 120,
  };
  const TRUTH = { input_uncached: 70, cache_read: 500, cache_write: 120, output_text: 33 };

  test("Bedrock's input leaves the cache out, counted once under two names", () => {
    const span = normalizeIn("strands.telemetry.tracer", CHAT);
    expect(tokensOf(span)).toEqual(TRUTH);
    expect(span).toMatchObject({ provider: "bedrock", usage_status: "derived" });
  });

  test("the first token comes in milliseconds and the finish reason in an event", () => {
    const around = (name: string, attributes: Values): Around => ({
      span: { events: [{ name, time_ns: 0n, attributes: attributesOf(attributes) }] },
    });
    const timed = { ...CHAT, "gen_ai.server.time_to_first_token": 350 };
    const choice = around("gen_ai.choice", { finish_reason: "toolUse", message: "[]" });
    expect(normalizeIn("strands-agents", timed, choice)).toMatchObject({
      ttft_ns: 350_000_000n,
      finish_reason: "tool_call",
    });
    const details = around("gen_ai.client.inference.operation.details", {
      "gen_ai.output.messages": '[{"role":"assistant","finish_reason":"end_turn"}]',
    });
    expect(normalizeIn("strands-agents", timed, details).finish_reason).toBe("stop");
  });

  test("OpenAI's input holds the cache, of which a long prompt tells nothing", () => {
    const span = normalizeIn("strands-agents", {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "strands-agents",
      "gen_ai.request.model": "gpt-5-mini",
      ...usage(1500, 500),
    });
    expect(span).toMatchObject({ provider: "openai", usage_status: "estimated" });
  });

  test("a total above its parts tells that the cached tokens of an answer were dropped", () => {
    const call = {
      "gen_ai.operation.name": "chat",
      "gen_ai.system": "strands-agents",
      "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
      ...usage(70, 33),
    };
    const short = normalizeIn("strands-agents", { ...call, "gen_ai.usage.total_tokens": 723 });
    expect(tokensOf(short)).toEqual({ input_uncached: 70, output_text: 33 });
    expect(short.usage_status).toBe("estimated");
    expect(short.reason).toContain("exceeds its parts");
    const whole = normalizeIn("strands-agents", { ...call, "gen_ai.usage.total_tokens": 103 });
    expect(whole.usage_status).toBe("reported");
  });

  test("an agent's sums are an aggregate", () => {
    const agent = { ...CHAT, "gen_ai.operation.name": "invoke_agent" };
    expect(normalizeIn("strands-agents", agent).span_class).toBe("aggregate");
  });
});

describe("emitters that follow the conventions but for a few words", () => {
  test("OpenTelemetry's AWS instrumentation gives a lower bound of Bedrock's input", () => {
    const call = {
      "gen_ai.system": "aws.bedrock",
      "gen_ai.request.model": "anthropic.claude-sonnet-4-5-20250929-v1:0",
      ...usage(70, 33),
    };
    for (const scope of [
      "@opentelemetry/instrumentation-aws-sdk",
      "opentelemetry.instrumentation.botocore.bedrock-runtime",
    ]) {
      const span = normalizeIn(scope, call, { span: { name: "BedrockRuntime.InvokeModel" } });
      expect(span).toMatchObject({
        dialect: "otel-aws",
        span_class: "billable",
        provider: "bedrock",
        usage_status: "estimated",
      });
      expect(normalizeIn(scope, { "rpc.service": "S3" }).span_class).toBe("other");
    }
  });

  test.each([
    ["Converse", false],
    ["ConverseStream", true],
    ["InvokeModel", false],
    ["InvokeModelWithResponseStream", true],
  ])("of Bedrock's methods %s tells that streaming is %s", (method, streaming) => {
    const call = { "gen_ai.system": "aws.bedrock", "gen_ai.request.model": "amazon.nova-pro-v1:0" };
    const scope = "@opentelemetry/instrumentation-aws-sdk";
    const span = normalizeIn(scope, { ...call, "rpc.method": method, ...usage(70, 33) });
    expect(span).toMatchObject({ span_class: "billable", streaming });
  });

  test.each([
    [
      "InvokeModelWithResponseStream",
      "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
      "first event",
    ],
    ["InvokeModel", "mistral.mistral-large-2402-v1:0", "length of the text"],
    ["InvokeModel", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "hides cached"],
  ])("%s of %s says what is wrong with its counts", (method, model, reason) => {
    const call = { "gen_ai.system": "aws.bedrock", "gen_ai.request.model": model };
    const scope = "@opentelemetry/instrumentation-aws-sdk";
    const span = normalizeIn(scope, { ...call, "rpc.method": method, ...usage(25, 1) });
    expect(span.usage_status).toBe("estimated");
    expect(span.reason).toContain(reason);
  });

  test("Copilot's call is inclusive, its agent an aggregate, its cost no dollars", () => {
    const chat = {
      ...CLAUDE_CHAT,
      ...usage(2325, 60),
      "gen_ai.usage.cache_read.input_tokens": 2000,
      "gen_ai.usage.cache_write.input_tokens": 300,
      "github.copilot.cost": 1,
    };
    const span = normalizeIn("github.copilot", chat);
    expect(tokensOf(span)).toEqual(CLAUDE_TOKENS);
    expect(span).toMatchObject({ usage_status: "reported", client_cost: null });
    const agent = { ...CLAUDE_CHAT, "gen_ai.operation.name": "invoke_agent", ...usage(2325, 60) };
    expect(normalizeIn("github.copilot", agent).span_class).toBe("aggregate");
  });

  test("Copilot's older names tell session and first token", () => {
    const span = normalizeIn("copilot-chat", {
      ...OPENAI_CHAT,
      "copilot_chat.time_to_first_token": 120,
      "copilot_chat.chat_session_id": "s",
    });
    expect(span).toMatchObject({ ttft_ns: 120_000_000n, session_id: "s" });
  });

  test("Semantic Kernel's operations, finish reason and older counts are read", () => {
    const span = normalizeIn("Microsoft.SemanticKernel.Diagnostics", {
      "gen_ai.operation.name": "chat.completions",
      "gen_ai.system": "openai",
      "gen_ai.request.model": "gpt-4o-mini",
      "gen_ai.response.finish_reason": "Stop",
      "gen_ai.response.prompt_tokens": 100,
      "gen_ai.response.completion_tokens": 20,
    });
    expect(span).toMatchObject({
      span_class: "billable",
      finish_reason: "stop",
      usage_status: "reported",
    });
    expect(tokensOf(span)).toEqual({ input_uncached: 100, output_text: 20 });
  });

  test("Semantic Kernel hides the cached part of a long prompt", () => {
    const chat = { ...OPENAI_CHAT, ...usage(1500, 500) };
    expect(normalizeIn("Microsoft.SemanticKernel", chat).usage_status).toBe("estimated");
  });

  test("Anthropic's own service and its SDK on Bedrock speak the same dialect", () => {
    const platform = normalizeIn(
      "com.anthropic.claude-platform",
      {
        ...CLAUDE_CHAT,
        ...usage(2325, 60),
        "gen_ai.usage.cache_read.input_tokens": 2000,
        "gen_ai.usage.cache_write.input_tokens": 300,
        "anthropic.message.stop_reason": "end_turn",
      },
      { span: { kind: 2 } },
    );
    expect(tokensOf(platform)).toEqual(CLAUDE_TOKENS);
    expect(platform).toMatchObject({ dialect: "anthropic-sdk", finish_reason: "stop" });
    const cloud = normalizeIn("com.anthropic.sdk.typescript.bedrock", {
      ...CLAUDE_CHAT,
      "gen_ai.provider.name": "aws.bedrock",
    });
    expect(cloud).toMatchObject({ dialect: "anthropic-sdk", provider: "bedrock" });
  });

  test("Spring AI's counts as text and CrewAI's provider name are understood", () => {
    const spring = normalizeIn("org.springframework.boot", {
      ...OPENAI_CHAT,
      "gen_ai.usage.input_tokens": "100",
      "gen_ai.usage.output_tokens": "20",
    });
    expect(tokensOf(spring)).toEqual({ input_uncached: 100, output_text: 20 });
    const crew = normalizeIn("my-crew", { ...OPENAI_CHAT, "gen_ai.provider.name": "crewai" });
    expect(crew.provider).toBe("openai");
  });
});
