/** Genkit (dialects.md section 18), on the truth table at the head of that file. */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { normalizeOne } from "./fixture.ts";

function spanOf(pairs: Readonly<Record<string, string>>, output?: unknown): Span {
  const attributes = {
    "genkit:type": "action",
    ...(output === undefined ? {} : { "genkit:output": JSON.stringify(output) }),
    ...pairs,
  };
  return normalizeOne(attributes, {
    scope: { name: "genkit-tracer", version: "v1" },
    span: { kind: 1 },
  });
}

const GEMINI = { "genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini-2.5-flash" };
const GEMINI_TRUTH = byClass({
  input_uncached: 110,
  cache_read: 400,
  output_text: 40,
  output_reasoning: 160,
});
const USAGE = {
  inputTokens: 500,
  outputTokens: 40,
  thoughtsTokens: 160,
  cachedContentTokens: 400,
  totalTokens: 710,
};

describe("the call", () => {
  test("why it ended is the provider's word, not the plugin's", () => {
    const raw = {
      id: "chatcmpl-1",
      choices: [{ finish_reason: "tool_calls" }],
      usage: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 },
    };
    const model = { "genkit:metadata:subtype": "model", "genkit:name": "openai/gpt-4o-mini" };
    expect(spanOf(model, { finishReason: "stop", raw }).finish_reason).toBe("tool_call");
    expect(spanOf(model, { finishReason: "length" }).finish_reason).toBe("length");
  });

  test.each([
    ["RESOURCE_EXHAUSTED: 429 Rate limit reached", 429],
    [
      "RESOURCE_EXHAUSTED: Error fetching from https://example.test/v1beta/models/x: [429 Too Many Requests] quota",
      429,
    ],
    ["FAILED_PRECONDITION: No valid candidates returned.", 0],
  ])(
    "of a failed call the status is what the plugin's message tells: %s",
    (message, http_status) => {
      const attributes = { "genkit:type": "action", "genkit:state": "error", ...GEMINI };
      const span = normalizeOne(attributes, {
        scope: { name: "genkit-tracer" },
        span: { status_code: 2, status_message: message },
      });
      expect(span).toMatchObject({ status: "error", http_status });
    },
  );

  test("model and provider are one name; output leaves out thoughts, input the prompts of tools", () => {
    expect(spanOf(GEMINI, { finishReason: "stop", usage: USAGE })).toMatchObject({
      span_class: "billable",
      operation: "chat",
      dialect: "genkit",
      provider: "google",
      request_model: "gemini-2.5-flash",
      finish_reason: "stop",
      tokens: GEMINI_TRUTH,
      usage_status: "derived",
    });
  });

  test("the provider's own answer inside beats the summary", () => {
    const raw = {
      responseId: "gem1",
      modelVersion: "gemini-2.5-flash-002",
      usageMetadata: {
        promptTokenCount: 500,
        cachedContentTokenCount: 400,
        candidatesTokenCount: 40,
        thoughtsTokenCount: 160,
        toolUsePromptTokenCount: 10,
        totalTokenCount: 710,
      },
    };
    expect(spanOf(GEMINI, { finishReason: "stop", usage: { inputTokens: 1 }, raw })).toMatchObject({
      response_id: "gem1",
      response_model: "gemini-2.5-flash-002",
      tokens: GEMINI_TRUTH,
      usage_status: "reported",
    });
  });

  test("Gemini's plugin calls the provider's answer custom", () => {
    const custom = { usageMetadata: { promptTokenCount: 500, candidatesTokenCount: 40 } };
    expect(spanOf(GEMINI, { usage: { inputTokens: 1, outputTokens: 1 }, custom }).tokens).toEqual(
      byClass({ input_uncached: 500, output_text: 40 }),
    );
  });

  test("Anthropic's summary leaves the cache out of the input and beside it", () => {
    const model = {
      "genkit:metadata:subtype": "model",
      "genkit:name": "anthropic/claude-sonnet-4-5",
    };
    const usage = {
      inputTokens: 4000,
      outputTokens: 60,
      custom: { cache_read_input_tokens: 2000, cache_creation_input_tokens: 300 },
    };
    expect(spanOf(model, { usage })).toMatchObject({
      provider: "anthropic",
      tokens: byClass({
        input_uncached: 4000,
        cache_read: 2000,
        cache_write: 300,
        output_text: 60,
      }),
      usage_status: "derived",
    });
  });

  test("the summary of OpenAI's plugin leaves out the cached tokens, its answer does not", () => {
    const model = { "genkit:metadata:subtype": "model", "genkit:name": "openai/gpt-5-mini" };
    const raw = {
      id: "chatcmpl-1",
      usage: {
        prompt_tokens: 1500,
        completion_tokens: 500,
        total_tokens: 2000,
        prompt_tokens_details: { cached_tokens: 1024 },
        completion_tokens_details: { reasoning_tokens: 448 },
      },
    };
    expect(spanOf(model, { usage: { inputTokens: 1500, outputTokens: 500 }, raw })).toMatchObject({
      provider: "openai",
      request_model: "gpt-5-mini",
      response_id: "chatcmpl-1",
      tokens: byClass({
        input_uncached: 476,
        cache_read: 1024,
        output_text: 52,
        output_reasoning: 448,
      }),
    });
  });

  test("an embedder is a call whose usage nobody reports", () => {
    const embedder = {
      "genkit:metadata:subtype": "embedder",
      "genkit:name": "googleai/gemini-embedding-001",
    };
    expect(spanOf(embedder, { embeddings: [] })).toMatchObject({
      span_class: "billable",
      operation: "embeddings",
      usage_status: "missing",
    });
  });

  test("a failed call says so by its state", () => {
    const span = spanOf({ ...GEMINI, "genkit:state": "error" });
    expect(span).toMatchObject({
      span_class: "billable",
      status: "error",
      usage_status: "missing",
    });
  });
});

describe("what stands around it", () => {
  test("generate repeats the output, and is no call", () => {
    const span = spanOf({ "genkit:type": "util", "genkit:name": "generate" }, { usage: USAGE });
    expect(span).toMatchObject({
      span_class: "structure",
      request_model: "",
      tokens: byClass({}),
    });
  });

  test.each([
    ["flow", "structure"],
    ["tool", "tool"],
    ["prompt", "structure"],
    ["something-new", "structure"],
  ])("an action of the subtype %s is %s", (subtype, span_class) => {
    const pairs = { "genkit:metadata:subtype": subtype, "genkit:name": "my-flow" };
    expect(spanOf(pairs)).toMatchObject({ span_class, request_model: "" });
  });
});
