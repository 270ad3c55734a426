/** The Vercel AI SDK, version by version (dialects.md section 6), on the truth table at its head. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeOne, type Pairs } from "./fixture.ts";

const OPENAI = { "ai.model.provider": "openai.chat", "ai.model.id": "gpt-5-mini" };
const ANTHROPIC = {
  "ai.model.provider": "anthropic.messages",
  "ai.model.id": "claude-sonnet-4-5",
};
const GOOGLE = { "ai.model.provider": "google.generative-ai", "ai.model.id": "gemini-2.5-flash" };
const BEDROCK = {
  "ai.model.provider": "amazon-bedrock",
  "ai.model.id": "anthropic.claude-sonnet-4-5-20250929-v1:0",
};

/** A span of `experimental_telemetry`: all of them are INTERNAL and of the scope `ai`. */
function callOf(operation_id: string, ...pairs: Pairs[]): Span {
  const attributes = Object.assign({ "ai.operationId": operation_id }, ...pairs) as Pairs;
  return normalizeOne(attributes, { scope: { name: "ai", version: "" }, span: { kind: 1 } });
}

function metadataOf(value: unknown): Pairs {
  return { "ai.response.providerMetadata": JSON.stringify(value) };
}

const RAW_ANTHROPIC = {
  input_tokens: 25,
  output_tokens: 60,
  cache_creation_input_tokens: 300,
  cache_read_input_tokens: 2000,
  cache_creation: { ephemeral_5m_input_tokens: 200, ephemeral_1h_input_tokens: 100 },
  service_tier: "standard",
};
const RAW_GEMINI = {
  promptTokenCount: 500,
  cachedContentTokenCount: 400,
  candidatesTokenCount: 40,
  thoughtsTokenCount: 160,
  totalTokenCount: 710,
};
const OPENAI_TRUTH = byClass({
  input_uncached: 476,
  cache_read: 1024,
  output_text: 52,
  output_reasoning: 448,
});
const ANTHROPIC_TRUTH = byClass({
  input_uncached: 25,
  cache_read: 2000,
  cache_write: 0,
  cache_write_5m: 200,
  cache_write_1h: 100,
  output_text: 60,
});
const ANTHROPIC_WITHOUT_LIFETIMES = byClass({
  input_uncached: 25,
  cache_read: 2000,
  cache_write: 300,
  output_text: 60,
});
const GEMINI_TRUTH = byClass({
  input_uncached: 110,
  cache_read: 400,
  output_text: 40,
  output_reasoning: 160,
});

describe("which spans are calls", () => {
  test.each([
    ["ai.generateText.doGenerate", "chat", false],
    ["ai.streamText.doStream", "chat", true],
    ["ai.generateObject.doGenerate", "chat", false],
    ["ai.streamObject.doStream", "chat", true],
    ["ai.embed.doEmbed", "embeddings", null],
    ["ai.embedMany.doEmbed", "embeddings", null],
    ["ai.rerank.doRerank", "rerank", null],
  ])("%s is one call", (operation_id, operation, streaming) => {
    expect(callOf(operation_id, OPENAI)).toMatchObject({
      span_class: "billable",
      operation,
      streaming,
      provider_calls: 1,
      dialect: "vercel-ai",
    });
  });

  test.each(["ai.generateText", "ai.streamText", "ai.generateObject", "ai.streamObject"])(
    "%s sums its steps up, or is structure where it failed",
    (operation_id) => {
      const usage = { "ai.usage.promptTokens": 3000, "ai.usage.completionTokens": 1000 };
      expect(callOf(operation_id, OPENAI, usage)).toMatchObject({
        span_class: "aggregate",
        usage_status: "aggregate",
        provider_calls: null,
        tokens: byClass({ input_uncached: 3000, output_text: 1000 }),
      });
      expect(callOf(operation_id, OPENAI).span_class).toBe("structure");
    },
  );

  test("an embedding carries its tokens on parent and child: only the child is the call", () => {
    const embedding = {
      "ai.model.provider": "openai.embedding",
      "ai.model.id": "text-embedding-3-small",
      "ai.usage.tokens": 16,
    };
    expect(callOf("ai.embedMany", embedding).span_class).toBe("aggregate");
    expect(callOf("ai.embedMany.doEmbed", embedding)).toMatchObject({
      span_class: "billable",
      provider: "openai",
      request_model: "text-embedding-3-small",
      tokens: byClass({ input_uncached: 16 }),
      usage_status: "reported",
    });
  });

  test("an embedding of many tokens hides no cache", () => {
    const span = callOf("ai.embed.doEmbed", OPENAI, { "ai.usage.tokens": 5000 });
    expect(span.usage_status).toBe("reported");
  });

  test("a tool call and an operation of tomorrow that only names a model are no calls", () => {
    expect(callOf("ai.toolCall").span_class).toBe("tool");
    expect(callOf("ai.generateMusic", OPENAI).span_class).toBe("structure");
  });
});

describe("v4", () => {
  const TWO_NAMES = { "ai.usage.promptTokens": 1500, "ai.usage.completionTokens": 500 };

  test("OpenAI's cached and reasoning tokens are in the metadata", () => {
    const metadata = metadataOf({ openai: { reasoningTokens: 448, cachedPromptTokens: 1024 } });
    expect(callOf("ai.generateText.doGenerate", OPENAI, TWO_NAMES, metadata)).toMatchObject({
      tokens: OPENAI_TRUTH,
      usage_status: "reported",
    });
  });

  test("Anthropic's input leaves out the cache, which the metadata tells", () => {
    const usage = { "ai.usage.promptTokens": 25, "ai.usage.completionTokens": 60 };
    const metadata = metadataOf({
      anthropic: { cacheCreationInputTokens: 300, cacheReadInputTokens: 2000 },
    });
    expect(callOf("ai.streamText.doStream", ANTHROPIC, usage, metadata)).toMatchObject({
      tokens: ANTHROPIC_WITHOUT_LIFETIMES,
      usage_status: "reported",
    });
  });

  test("Anthropic's input leaves out the cache also where it is the larger part", () => {
    const usage = { "ai.usage.promptTokens": 4000, "ai.usage.completionTokens": 60 };
    const metadata = metadataOf({
      anthropic: { cacheCreationInputTokens: 0, cacheReadInputTokens: 2000 },
    });
    expect(callOf("ai.generateText.doGenerate", ANTHROPIC, usage, metadata).tokens).toEqual(
      byClass({ input_uncached: 4000, cache_read: 2000, cache_write: 0, output_text: 60 }),
    );
  });

  test("Google's thoughts are lost: the output is a lower bound and says so", () => {
    const usage = { "ai.usage.promptTokens": 500, "ai.usage.completionTokens": 40 };
    const metadata = metadataOf({ google: { groundingMetadata: null, safetyRatings: null } });
    const span = callOf("ai.streamText.doStream", GOOGLE, usage, metadata);
    expect(span).toMatchObject({
      tokens: byClass({ input_uncached: 500, output_text: 40 }),
      usage_status: "estimated",
    });
    expect(span.reason).toContain("the output is a lower bound");
  });

  test("Bedrock's input leaves out the cache, which the metadata tells", () => {
    const usage = { "ai.usage.promptTokens": 70, "ai.usage.completionTokens": 33 };
    const metadata = metadataOf({
      bedrock: { usage: { cacheReadInputTokens: 500, cacheWriteInputTokens: 120 } },
    });
    expect(callOf("ai.generateText.doGenerate", BEDROCK, usage, metadata)).toMatchObject({
      provider: "bedrock",
      tokens: byClass({ input_uncached: 70, cache_read: 500, cache_write: 120, output_text: 33 }),
      usage_status: "reported",
    });
  });

  test("DeepSeek's cache hits are part of the input", () => {
    const model = { "ai.model.provider": "deepseek.chat", "ai.model.id": "deepseek-chat" };
    const metadata = metadataOf({
      deepseek: { promptCacheHitTokens: 1024, promptCacheMissTokens: 476 },
    });
    expect(callOf("ai.generateText.doGenerate", model, TWO_NAMES, metadata)).toMatchObject({
      provider: "deepseek",
      tokens: byClass({ input_uncached: 476, cache_read: 1024, output_text: 500 }),
      usage_status: "reported",
    });
  });

  test("xAI's output leaves out the reasoning", () => {
    const model = { "ai.model.provider": "xai.chat", "ai.model.id": "grok-4" };
    const usage = { "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 300 };
    const metadata = metadataOf({ xai: { reasoningTokens: 200, cachedPromptTokens: 0 } });
    expect(callOf("ai.generateText.doGenerate", model, usage, metadata)).toMatchObject({
      provider: "xai",
      tokens: byClass({
        input_uncached: 100,
        cache_read: 0,
        output_text: 300,
        output_reasoning: 200,
      }),
      usage_status: "derived",
    });
  });
});

describe("v5", () => {
  test("generateText with OpenAI has lost the cached tokens: estimated, none invented", () => {
    const usage = { "ai.usage.promptTokens": 1500, "ai.usage.completionTokens": 500 };
    const metadata = metadataOf({
      openai: { acceptedPredictionTokens: 0, rejectedPredictionTokens: 0 },
    });
    expect(callOf("ai.generateText.doGenerate", OPENAI, usage, metadata)).toMatchObject({
      tokens: byClass({ input_uncached: 1500, output_text: 500 }),
      usage_status: "estimated",
    });
  });

  test("generateText with OpenAI hides nothing of a prompt too short for the cache", () => {
    const usage = { "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 20 };
    expect(callOf("ai.generateText.doGenerate", OPENAI, usage).usage_status).toBe("reported");
  });

  test("streamText with OpenAI reports both", () => {
    const usage = {
      "ai.usage.inputTokens": 1500,
      "ai.usage.outputTokens": 500,
      "ai.usage.totalTokens": 2000,
      "ai.usage.reasoningTokens": 448,
      "ai.usage.cachedInputTokens": 1024,
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
    };
    expect(callOf("ai.streamText.doStream", OPENAI, usage)).toMatchObject({
      tokens: OPENAI_TRUTH,
      usage_status: "reported",
    });
  });

  test("Anthropic's own usage is in the metadata, with the lifetimes of the cache and the tier", () => {
    const usage = { "ai.usage.promptTokens": 25, "ai.usage.completionTokens": 60 };
    const metadata = metadataOf({
      anthropic: { usage: RAW_ANTHROPIC, cacheCreationInputTokens: 300 },
    });
    expect(callOf("ai.generateText.doGenerate", ANTHROPIC, usage, metadata)).toMatchObject({
      tokens: ANTHROPIC_TRUTH,
      usage_status: "reported",
      service_tier: "standard",
    });
  });

  test("without outputs recorded, Anthropic's input is a lower bound and says so", () => {
    const usage = { "ai.usage.promptTokens": 25, "ai.usage.completionTokens": 60 };
    const span = callOf("ai.generateText.doGenerate", ANTHROPIC, usage);
    expect(span.usage_status).toBe("estimated");
    expect(span.reason).toContain("the input is a lower bound");
  });

  test("without outputs recorded, a stream of Anthropic's tells of the reads beside the input", () => {
    const usage = {
      "ai.usage.inputTokens": 3000,
      "ai.usage.outputTokens": 60,
      "ai.usage.totalTokens": 3060,
      "ai.usage.cachedInputTokens": 2000,
    };
    expect(callOf("ai.streamText.doStream", ANTHROPIC, usage)).toMatchObject({
      tokens: byClass({ input_uncached: 3000, cache_read: 2000, output_text: 60 }),
      usage_status: "derived",
    });
  });

  test("the metadata of a parent is that of its last step: the sum stays", () => {
    const usage = { "ai.usage.promptTokens": 50, "ai.usage.completionTokens": 120 };
    const metadata = metadataOf({ anthropic: { usage: RAW_ANTHROPIC } });
    expect(callOf("ai.generateText", ANTHROPIC, usage, metadata).tokens).toEqual(
      byClass({ input_uncached: 50, output_text: 120 }),
    );
  });

  test("Google's own usage is in the metadata; its total holds the prompts of tools", () => {
    const usage = { "ai.usage.promptTokens": 500, "ai.usage.completionTokens": 40 };
    const metadata = metadataOf({ google: { usageMetadata: RAW_GEMINI, serviceTier: null } });
    expect(callOf("ai.generateText.doGenerate", GOOGLE, usage, metadata)).toMatchObject({
      tokens: GEMINI_TRUTH,
      usage_status: "derived",
    });
  });

  test("without outputs recorded, a stream of Google's is told by its total", () => {
    const usage = {
      "ai.usage.inputTokens": 500,
      "ai.usage.outputTokens": 40,
      "ai.usage.totalTokens": 710,
      "ai.usage.reasoningTokens": 160,
      "ai.usage.cachedInputTokens": 400,
    };
    expect(callOf("ai.streamText.doStream", GOOGLE, usage).tokens).toEqual(GEMINI_TRUTH);
  });

  test("a grounded answer of Google's is billed a search", () => {
    const metadata = metadataOf({
      google: { usageMetadata: RAW_GEMINI, groundingMetadata: { webSearchQueries: ["a", "b"] } },
    });
    expect(callOf("ai.generateText.doGenerate", GOOGLE, metadata).fee_units).toEqual([
      { kind: "grounding", count: 1 },
    ]);
  });

  test("a stream of Bedrock's has the reads in the attributes and the writes in the metadata", () => {
    const usage = {
      "ai.usage.inputTokens": 70,
      "ai.usage.outputTokens": 33,
      "ai.usage.totalTokens": 103,
      "ai.usage.cachedInputTokens": 500,
    };
    const metadata = metadataOf({ bedrock: { usage: { cacheWriteInputTokens: 120 } } });
    expect(callOf("ai.streamText.doStream", BEDROCK, usage, metadata)).toMatchObject({
      tokens: byClass({ input_uncached: 70, cache_read: 500, cache_write: 120, output_text: 33 }),
      usage_status: "derived",
    });
  });

  test("generateText with Bedrock has lost the reads: a lower bound", () => {
    const usage = { "ai.usage.promptTokens": 70, "ai.usage.completionTokens": 33 };
    const metadata = metadataOf({ bedrock: { usage: { cacheWriteInputTokens: 120 } } });
    expect(callOf("ai.generateText.doGenerate", BEDROCK, usage, metadata)).toMatchObject({
      tokens: byClass({ input_uncached: 70, cache_write: 120, output_text: 33 }),
      usage_status: "estimated",
    });
  });

  test("OpenRouter's usage and cost are in the metadata", () => {
    const model = { "ai.model.provider": "openrouter", "ai.model.id": "openai/gpt-5-mini" };
    const usage = {
      promptTokens: 1500,
      promptTokensDetails: { cachedTokens: 1024 },
      completionTokens: 500,
      completionTokensDetails: { reasoningTokens: 448 },
      totalTokens: 2000,
      cost: 0.0011446,
    };
    const metadata = metadataOf({ openrouter: { provider: "OpenAI", usage } });
    expect(callOf("ai.generateText.doGenerate", model, metadata)).toMatchObject({
      provider: "openrouter",
      request_model: "openai/gpt-5-mini",
      tokens: OPENAI_TRUTH,
      client_cost: 1_144_600_000n,
    });
  });

  test("the zeros that OpenRouter's package writes without usage are no usage", () => {
    const usage = { promptTokens: 0, completionTokens: 0, totalTokens: 0 };
    const span = callOf("ai.streamText.doStream", OPENAI, metadataOf({ openrouter: { usage } }));
    expect(span).toMatchObject({ usage_status: "missing", tokens: byClass({}) });
  });

  test("a call through the AI Gateway belongs to the provider that answered", () => {
    const model = { "ai.model.provider": "gateway", "ai.model.id": "anthropic/claude-sonnet-4-5" };
    const metadata = metadataOf({
      anthropic: { usage: RAW_ANTHROPIC },
      gateway: { routing: { finalProvider: "anthropic" }, cost: "0.002925" },
    });
    expect(callOf("ai.generateText.doGenerate", model, metadata)).toMatchObject({
      provider: "anthropic",
      tokens: ANTHROPIC_TRUTH,
      client_cost: 2_925_000_000n,
    });
  });
});

describe("v6", () => {
  const DETAILS = {
    "ai.usage.inputTokens": 2325,
    "ai.usage.outputTokens": 60,
    "ai.usage.totalTokens": 2385,
    "ai.usage.cachedInputTokens": 2000,
    "ai.usage.inputTokenDetails.noCacheTokens": 25,
    "ai.usage.inputTokenDetails.cacheReadTokens": 2000,
    "ai.usage.inputTokenDetails.cacheWriteTokens": 300,
  };

  test("Anthropic's input holds the cache; the metadata adds its lifetimes", () => {
    const metadata = metadataOf({ anthropic: { usage: RAW_ANTHROPIC, serviceTier: "standard" } });
    expect(callOf("ai.generateText.doGenerate", ANTHROPIC, DETAILS, metadata)).toMatchObject({
      tokens: ANTHROPIC_TRUTH,
      usage_status: "reported",
    });
  });

  test("without outputs recorded, the input still holds the cache", () => {
    expect(callOf("ai.generateText.doGenerate", ANTHROPIC, DETAILS)).toMatchObject({
      tokens: ANTHROPIC_WITHOUT_LIFETIMES,
      usage_status: "reported",
    });
  });

  test("OpenAI's generateText reports all", () => {
    const usage = {
      "ai.usage.inputTokens": 1500,
      "ai.usage.outputTokens": 500,
      "ai.usage.inputTokenDetails.noCacheTokens": 476,
      "ai.usage.inputTokenDetails.cacheReadTokens": 1024,
      "ai.usage.outputTokenDetails.textTokens": 52,
      "ai.usage.outputTokenDetails.reasoningTokens": 448,
    };
    expect(callOf("ai.generateText.doGenerate", OPENAI, usage)).toMatchObject({
      tokens: OPENAI_TRUTH,
      usage_status: "reported",
    });
  });

  test("xAI's output holds the reasoning", () => {
    const model = { "ai.model.provider": "xai.chat", "ai.model.id": "grok-4" };
    const usage = {
      "ai.usage.inputTokens": 100,
      "ai.usage.outputTokens": 500,
      "ai.usage.inputTokenDetails.noCacheTokens": 100,
      "ai.usage.outputTokenDetails.textTokens": 300,
      "ai.usage.outputTokenDetails.reasoningTokens": 200,
    };
    expect(callOf("ai.generateText.doGenerate", model, usage).tokens).toEqual(
      byClass({ input_uncached: 100, output_text: 300, output_reasoning: 200 }),
    );
  });

  test("Bedrock's input holds the cache, whose lifetimes are in the metadata", () => {
    const usage = {
      "ai.usage.inputTokens": 690,
      "ai.usage.outputTokens": 33,
      "ai.usage.inputTokenDetails.noCacheTokens": 70,
      "ai.usage.inputTokenDetails.cacheReadTokens": 500,
      "ai.usage.inputTokenDetails.cacheWriteTokens": 120,
    };
    const cacheDetails = [
      { ttl: "5m", inputTokens: 100 },
      { ttl: "1h", inputTokens: 20 },
    ];
    const metadata = metadataOf({
      bedrock: {
        usage: { cacheWriteInputTokens: 120, cacheDetails },
        serviceTier: { type: "flex" },
      },
    });
    expect(callOf("ai.streamText.doStream", BEDROCK, usage, metadata)).toMatchObject({
      tokens: byClass({
        input_uncached: 70,
        cache_read: 500,
        cache_write: 0,
        cache_write_5m: 100,
        cache_write_1h: 20,
        output_text: 33,
      }),
      usage_status: "reported",
      service_tier: "flex",
    });
  });

  test("generateObject keeps the two old names: Anthropic's own usage settles them", () => {
    const usage = { "ai.usage.promptTokens": 2325, "ai.usage.completionTokens": 60 };
    const metadata = metadataOf({ anthropic: { usage: RAW_ANTHROPIC } });
    expect(callOf("ai.generateObject.doGenerate", ANTHROPIC, usage, metadata).tokens).toEqual(
      ANTHROPIC_TRUTH,
    );
  });
});

describe("v7, @ai-sdk/otel", () => {
  function spanOf(operation: string, kind: number, ...pairs: Pairs[]): Span {
    const attributes = Object.assign({ "gen_ai.operation.name": operation }, ...pairs) as Pairs;
    return normalizeOne(attributes, { scope: { name: "gen_ai", version: "" }, span: { kind } });
  }
  const MODEL = {
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
  };
  const USAGE = {
    "gen_ai.usage.input_tokens": 2325,
    "gen_ai.usage.output_tokens": 60,
    "gen_ai.usage.cache_read.input_tokens": 2000,
    "gen_ai.usage.cache_creation.input_tokens": 300,
  };
  const METADATA = metadataOf({ anthropic: { usage: RAW_ANTHROPIC, serviceTier: "standard" } });
  const FULL = { "ai.usage.inputTokenDetails.noCacheTokens": 25 };

  test("the time to a first chunk tells that the answer was streamed", () => {
    const first_chunk = { "gen_ai.client.operation.time_to_first_chunk": 0.05 };
    const span = spanOf("chat", 3, MODEL, USAGE, first_chunk);
    expect(span).toMatchObject({ streaming: true, ttft_ns: 50_000_000n });
    expect(spanOf("chat", 3, MODEL, USAGE).streaming).toBeNull();
  });

  test("of an object the cache writes are kept back: the input is only an estimate", () => {
    const { "gen_ai.usage.cache_creation.input_tokens": _, ...rest } = USAGE;
    const span = spanOf("chat", 3, MODEL, rest, { "gen_ai.output.type": "json" });
    expect(span).toMatchObject({
      tokens: byClass({ input_uncached: 325, cache_read: 2000, output_text: 60 }),
      usage_status: "estimated",
      reason: expect.stringContaining("hides cache writes") as string,
    });
    expect(spanOf("chat", 3, MODEL, rest, FULL)).toMatchObject({
      tokens: ANTHROPIC_WITHOUT_LIFETIMES,
      usage_status: "derived",
    });
    const openai = { ...rest, "gen_ai.provider.name": "openai" };
    expect(spanOf("chat", 3, MODEL, openai).usage_status).toBe("reported");
  });

  test("by default the input holds the cache", () => {
    expect(spanOf("chat", 3, MODEL, USAGE)).toMatchObject({
      span_class: "billable",
      dialect: "vercel-ai-7",
      tokens: ANTHROPIC_WITHOUT_LIFETIMES,
      usage_status: "reported",
    });
  });

  test("with its options on, the call has the lifetimes of the cache and the tier", () => {
    expect(spanOf("chat", 3, MODEL, USAGE, FULL, METADATA)).toMatchObject({
      tokens: ANTHROPIC_TRUTH,
      usage_status: "reported",
      service_tier: "standard",
    });
  });

  test("Google's input holds the prompts of tools, its output the thoughts", () => {
    const model = {
      "gen_ai.provider.name": "gcp.gemini",
      "gen_ai.request.model": "gemini-2.5-flash",
    };
    const usage = {
      "gen_ai.usage.input_tokens": 510,
      "gen_ai.usage.output_tokens": 200,
      "gen_ai.usage.cache_read.input_tokens": 400,
    };
    expect(spanOf("chat", 3, model, usage)).toMatchObject({
      provider: "google",
      tokens: byClass({ input_uncached: 110, cache_read: 400, output_text: 200 }),
      usage_status: "reported",
    });
    const raw = { ...RAW_GEMINI, toolUsePromptTokenCount: 10 };
    const metadata = metadataOf({ google: { usageMetadata: raw } });
    expect(spanOf("chat", 3, model, usage, metadata)).toMatchObject({
      tokens: GEMINI_TRUTH,
      usage_status: "reported",
    });
  });

  test("the agent and its steps repeat usage and metadata, and are no calls", () => {
    expect(spanOf("invoke_agent", 1, MODEL, USAGE, FULL, METADATA).span_class).toBe("aggregate");
    expect(spanOf("agent_step", 1, FULL, METADATA).span_class).toBe("aggregate");
    expect(spanOf("agent_step", 1).span_class).toBe("structure");
    expect(spanOf("execute_tool", 1).span_class).toBe("tool");
  });

  test("reasoning is told by the details alone", () => {
    const details = {
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.output_tokens": 500,
      "gen_ai.usage.cache_read.input_tokens": 1024,
      "ai.usage.inputTokenDetails.noCacheTokens": 476,
      "ai.usage.outputTokenDetails.reasoningTokens": 448,
    };
    expect(spanOf("chat", 3, MODEL, details).tokens).toEqual(OPENAI_TRUTH);
  });

  test("the first chunk is a span attribute in seconds", () => {
    const span = spanOf("chat", 3, MODEL, {
      "gen_ai.client.operation.time_to_first_chunk": 0.0475,
      "gen_ai.response.finish_reasons": ["tool-calls"],
    });
    expect(span).toMatchObject({ ttft_ns: 47_500_000n, finish_reason: "tool_call" });
  });
});

describe("whose call it is, and how it went", () => {
  test("the runtime context of v7 names user and session", () => {
    const attributes = {
      "gen_ai.operation.name": "invoke_agent",
      "ai.settings.context.userId": "user-1",
      "ai.settings.context.sessionId": "sess-1",
    };
    const span = normalizeOne(attributes, { scope: { name: "gen_ai", version: "" } });
    expect(span).toMatchObject({ user_id: "user-1", session_id: "sess-1" });
    const context = { "ai.settings.context.user_id": "user-2" };
    expect(callOf("ai.generateText.doGenerate", OPENAI, context).user_id).toBe("user-2");
  });

  test("a stream of an object has its first chunk under a name of its own", () => {
    const first_chunk = { "ai.stream.msToFirstChunk": 58.5 };
    const span = callOf("ai.streamObject.doStream", OPENAI, first_chunk);
    expect(span).toMatchObject({ streaming: true, ttft_ns: 58_500_000n });
  });

  test("the application's metadata names user and session, the function id the agent", () => {
    const span = callOf("ai.generateText.doGenerate", OPENAI, {
      "ai.telemetry.metadata.userId": "user-1",
      "ai.telemetry.metadata.sessionId": "sess-1",
      "ai.telemetry.functionId": "fn-weather",
    });
    expect(span).toMatchObject({
      user_id: "user-1",
      session_id: "sess-1",
      agent_name: "fn-weather",
    });
  });

  test("also in snake case", () => {
    const span = callOf("ai.generateText.doGenerate", OPENAI, {
      "ai.telemetry.metadata.user_id": "user-1",
      "ai.telemetry.metadata.session_id": "sess-1",
    });
    expect(span).toMatchObject({ user_id: "user-1", session_id: "sess-1" });
  });

  test("OpenAI's Responses tell tier and id in the metadata; the first chunk comes in ms", () => {
    const metadata = metadataOf({ openai: { responseId: "resp_1", serviceTier: "flex" } });
    const first_chunk = { "ai.response.msToFirstChunk": 41.5 };
    const span = callOf("ai.streamText.doStream", OPENAI, first_chunk, metadata);
    expect(span).toMatchObject({
      service_tier: "flex",
      response_id: "resp_1",
      ttft_ns: 41_500_000n,
    });
  });

  test("an id that the SDK made up is none of the provider's", () => {
    const span = callOf("ai.streamText.doStream", GOOGLE, {
      "ai.response.id": "aitxt-k96n5FY2r37biLIBFjbszAS3",
      "gen_ai.response.id": "aitxt-k96n5FY2r37biLIBFjbszAS3",
    });
    expect(span.response_id).toBe("");
  });

  test.each([
    ["azure-openai.chat", "azure"],
    ["azure.responses", "azure"],
    ["google.vertex.chat", "vertex"],
    ["vertex.anthropic.messages", "vertex"],
    ["bedrock.anthropic.messages", "bedrock"],
    ["groq.chat", "groq"],
    ["openai.embedding", "openai"],
    ["cohere.textEmbedding", "cohere"],
  ])("the provider %s is %s", (sent, provider) => {
    expect(callOf("ai.generateText.doGenerate", { "ai.model.provider": sent }).provider).toBe(
      provider,
    );
  });

  test("metadata that is no object, or cut in the middle, says nothing", () => {
    const usage = { "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 20 };
    for (const broken of ['{"openai":{"cachedPromptTokens":5', "[1]", '"text"', "null"]) {
      const span = callOf("ai.generateText.doGenerate", OPENAI, usage, {
        "ai.response.providerMetadata": broken,
      });
      expect(span.tokens).toEqual(byClass({ input_uncached: 100, output_text: 20 }));
    }
  });
});
