/** Langfuse: the families of names in usage_details, and what else dialects.md section 7 tells. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeOne, type Pairs } from "./fixture.ts";

const SCOPE = { scope: { name: "langfuse-sdk", version: "5.11.1" }, span: { kind: 1 } };

function normalizeGeneration(attributes: Pairs): Span {
  return normalizeOne(
    { "langfuse.observation.type": "generation", ...(attributes as Record<string, string>) },
    SCOPE,
  );
}

function normalizeUsage(usage: object, model = "gpt-4.1-2025-04-14"): Span {
  return normalizeGeneration({
    "langfuse.observation.model.name": model,
    "langfuse.observation.usage_details": JSON.stringify(usage),
  });
}

test("an agent is named by its observation, and other observations name none", () => {
  const around = { ...SCOPE, span: { kind: 1, name: "my-agent" } };
  const agent = normalizeOne({ "langfuse.observation.type": "agent" }, around);
  expect(agent).toMatchObject({ dialect: "langfuse", agent_name: "my-agent" });
  const chain = normalizeOne({ "langfuse.observation.type": "chain" }, around);
  expect(chain.agent_name).toBe("");
});

describe("Langfuse's usage", () => {
  test("observeOpenAI's entries are disjoint", () => {
    const span = normalizeUsage({
      input: 476,
      output: 52,
      total: 2000,
      input_cached_tokens: 1024,
      input_audio_tokens: 0,
      output_reasoning_tokens: 448,
      output_audio_tokens: 0,
      output_accepted_prediction_tokens: 0,
      output_rejected_prediction_tokens: 0,
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
    expect(span).toMatchObject({ usage_status: "reported", span_class: "billable" });
  });

  test("predictions are output that is billed like the rest", () => {
    const span = normalizeUsage({
      input: 100,
      output: 20,
      output_accepted_prediction_tokens: 3,
      output_rejected_prediction_tokens: 4,
      total: 127,
    });
    expect(span.tokens).toEqual(byClass({ input_uncached: 100, output_text: 27 }));
  });

  test("the LangChain handler's names", () => {
    const span = normalizeUsage({
      input: 476,
      output: 52,
      total: 2000,
      input_audio: 0,
      input_cache_read: 1024,
      output_audio: 0,
      output_reasoning: 448,
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

  test("names in the style of Anthropic, by hand", () => {
    const span = normalizeUsage(
      {
        input: 25,
        output: 60,
        cache_read_input_tokens: 2000,
        cache_creation_input_tokens: 300,
        total: 2385,
      },
      "claude-sonnet-4-5",
    );
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
    );
    expect(span.provider).toBe("anthropic");
  });

  test("cache writes by lifetime, beside each other or as parts of their sum", () => {
    const expected = byClass({
      input_uncached: 25,
      cache_read: 2000,
      cache_write_5m: 200,
      cache_write_1h: 100,
      cache_write: 0,
      output_text: 60,
    });
    const lifetimes = { input_cache_creation_5m: 200, input_cache_creation_1h: 100 };
    const rest = { input: 25, output: 60, input_cache_read: 2000 };
    expect(normalizeUsage({ ...rest, ...lifetimes }).tokens).toEqual(expected);
    expect(normalizeUsage({ ...rest, ...lifetimes, input_cache_creation: 300 }).tokens).toEqual(
      expected,
    );
  });

  test("a total of just the two says that the details are parts of them", () => {
    const span = normalizeUsage({
      input: 1500,
      output: 500,
      total: 2000,
      input_cached_tokens: 1024,
      output_reasoning_tokens: 448,
    });
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 476, cache_read: 1024, output_text: 52, output_reasoning: 448 }),
    );
    expect(span.usage_status).toBe("derived");
    expect(span.reason).toContain("parts of the two counts");
  });

  test.each([
    {
      prompt_tokens: 1500,
      completion_tokens: 500,
      total_tokens: 2000,
      prompt_tokens_details: { cached_tokens: 1024 },
      completion_tokens_details: { reasoning_tokens: 448 },
    },
    {
      input_tokens: 1500,
      output_tokens: 500,
      total_tokens: 2000,
      input_token_details: { cache_read: 1024 },
      output_token_details: { reasoning: 448 },
    },
  ])("a provider's own usage object is read as the provider counts %#", (usage) => {
    expect(normalizeUsage(usage).tokens).toEqual(
      byClass({ input_uncached: 476, cache_read: 1024, output_text: 52, output_reasoning: 448 }),
    );
  });

  test("Gemini's own usage object keeps its thoughts apart", () => {
    const span = normalizeUsage(
      {
        promptTokenCount: 500,
        cachedContentTokenCount: 400,
        candidatesTokenCount: 40,
        thoughtsTokenCount: 160,
        toolUsePromptTokenCount: 10,
        totalTokenCount: 710,
      },
      "gemini-2.5-flash",
    );
    expect(span.tokens).toEqual(
      byClass({ input_uncached: 110, cache_read: 400, output_text: 40, output_reasoning: 160 }),
    );
  });

  test("entries that are disjoint add up to the total again, whatever their order", () => {
    const count = fc.nat(1_000_000);
    const usage = fc.record({
      input: count,
      output: count,
      input_cached_tokens: fc.integer({ min: 1, max: 1_000_000 }),
      input_cache_creation: count,
      input_audio_tokens: count,
      output_reasoning_tokens: count,
      output_audio_tokens: count,
    });
    fc.assert(
      fc.property(usage, fc.boolean(), (entries, reversed) => {
        const total = Object.values(entries).reduce((sum, entry) => sum + entry, 0);
        const pairs = Object.entries({ ...entries, total });
        const span = normalizeUsage(Object.fromEntries(reversed ? pairs.toReversed() : pairs));
        const sum = span.tokens.reduce<number>((all, tokens) => all + (tokens ?? 0), 0);
        expect(sum).toBe(total);
        expect(span.usage_status).toBe("reported");
      }),
    );
  });

  test("no usage is missing usage, also for embeddings", () => {
    const span = normalizeGeneration({
      "langfuse.observation.model.name": "text-embedding-3-small",
    });
    expect(span).toMatchObject({ usage_status: "missing", provider: "openai", provider_calls: 1 });
  });

  test.each(['{"input":-1,"output":2}', '{"input":1.5,"output":2}'])(
    "counts that are none are not believed: %s",
    (usage) => {
      const span = normalizeGeneration({
        "langfuse.observation.model.name": "m",
        "langfuse.observation.usage_details": usage,
      });
      expect(span.usage_status).toBe("estimated");
      expect(span.reason).toContain("no token count");
    },
  );
});

describe("Langfuse's observations", () => {
  test("a failed call is known by its level, and its cost of 0 claims nothing", () => {
    const span = normalizeGeneration({
      "langfuse.observation.model.name": "err-429",
      "langfuse.observation.model.parameters": '{"response_format":""}',
      "langfuse.observation.level": "ERROR",
      "langfuse.observation.status_message":
        "RateLimitCapacityError: 429 fake 429\n\nTroubleshooting",
      "langfuse.observation.cost_details": '{"input":0,"output":0,"total":0}',
    });
    expect(span).toMatchObject({
      status: "error",
      http_status: 429,
      error_type: "429",
      client_cost: null,
      provider: "openai",
      usage_status: "missing",
    });
  });

  test("a warning is no failure", () => {
    const span = normalizeGeneration({
      "langfuse.observation.model.name": "m",
      "langfuse.observation.level": "WARNING",
    });
    expect(span.status).toBe("unset");
  });

  test.each([
    ['{"input":0.000075,"output":0.0009,"total":0.0027}', 2_700_000_000n],
    ['{"input":0.000075,"output":0.0009}', 975_000_000n],
  ])("the cost that the application states of %s", (cost, client_cost) => {
    const span = normalizeGeneration({
      "langfuse.observation.model.name": "claude-sonnet-4-5",
      "langfuse.observation.cost_details": cost,
    });
    expect(span.client_cost).toBe(client_cost);
  });

  test("the LangChain handler names provider and request in the metadata", () => {
    const span = normalizeGeneration({
      "langfuse.observation.model.name": "gpt-5-mini-2025-08-07",
      "langfuse.observation.metadata.ls_provider": "azure",
      "langfuse.observation.metadata.ls_model_name": "gpt-5-mini",
      "langfuse.observation.model.parameters": '{"service_tier":"flex","stream":true}',
      "user.id": "u-1",
      "langfuse.session.id": "s-1",
    });
    expect(span).toMatchObject({
      provider: "azure",
      request_model: "gpt-5-mini",
      response_model: "gpt-5-mini-2025-08-07",
      service_tier: "flex",
      streaming: true,
      user_id: "u-1",
      session_id: "s-1",
    });
  });

  test("the wrapper of OpenAI's client tells the provider only where the model does not", () => {
    const parameters = { "langfuse.observation.model.parameters": '{"response_format":""}' };
    const providerOf = (model: string): string =>
      normalizeGeneration({ ...parameters, "langfuse.observation.model.name": model }).provider;
    expect(providerOf("my-deployment")).toBe("openai");
    expect(providerOf("gemini-2.5-flash")).toBe("google");
  });

  test("the first token's time is JSON in a text", () => {
    const span = normalizeGeneration({
      "langfuse.observation.model.name": "m",
      // The fixture's span begins at 2026-11-21T01:48:25Z.
      "langfuse.observation.completion_start_time": '"2026-11-21T01:48:25.250Z"',
    });
    expect(span.ttft_ns).toBe(250_000_000n);
  });

  test.each([
    ["span", "structure"],
    ["agent", "structure"],
    ["chain", "structure"],
    ["tool", "tool"],
    ["retriever", "structure"],
    ["evaluator", "structure"],
    ["guardrail", "structure"],
    ["event", "structure"],
  ])("a %s is %s", (type, span_class) => {
    const span = normalizeOne({ "langfuse.observation.type": type }, SCOPE);
    expect(span).toMatchObject({ span_class, dialect: "langfuse", provider_calls: null });
  });

  test("an agent that was given usage sums its calls up", () => {
    const span = normalizeOne(
      {
        "langfuse.observation.type": "agent",
        "langfuse.observation.usage_details": '{"input":3000,"output":1000}',
      },
      SCOPE,
    );
    expect(span).toMatchObject({ span_class: "aggregate", usage_status: "aggregate" });
  });

  test("an embedding is a call of its own kind", () => {
    const span = normalizeOne(
      {
        "langfuse.observation.type": "embedding",
        "langfuse.observation.model.name": "text-embedding-3-small",
        "langfuse.observation.usage_details": '{"input":16}',
      },
      SCOPE,
    );
    expect(span).toMatchObject({ operation: "embeddings", span_class: "billable" });
    expect(span.tokens).toEqual(byClass({ input_uncached: 16 }));
  });

  test("another instrumentation's span that Langfuse only stamped keeps its own dialect", () => {
    const span = normalizeOne({
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "gpt-4o-mini",
      "langfuse.environment": "production",
    });
    expect(span.dialect).toBe("otel-genai");
  });
});
