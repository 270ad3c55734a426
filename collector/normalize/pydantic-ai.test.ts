/** Pydantic AI (dialects.md section 9), on the truth table at the head of that file. */
import { expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { byClass } from "../../test/support/span.ts";
import { type Around, attributesOf, normalizeOne, type Pairs } from "./fixture.ts";

function spanOf(pairs: Pairs, around: Around = {}): Span {
  return normalizeOne(pairs, {
    scope: { name: "pydantic-ai", version: "1.2.0" },
    ...around,
    span: { kind: 1, ...around.span },
  });
}

const CHAT = {
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "anthropic",
  "gen_ai.system": "anthropic",
  "gen_ai.request.model": "claude-sonnet-4-5",
};

test("details repeat the cache counts for older readers: each counts once", () => {
  const span = spanOf({
    ...CHAT,
    "gen_ai.usage.input_tokens": 2325,
    "gen_ai.usage.output_tokens": 60,
    "gen_ai.usage.cache_read.input_tokens": 2000,
    "gen_ai.usage.cache_creation.input_tokens": 300,
    "gen_ai.usage.details.cache_read_tokens": 2000,
    "gen_ai.usage.details.cache_write_tokens": 300,
    "gen_ai.usage.details.input_tokens": 25,
    "operation.cost": 0.002925,
    "gen_ai.agent.name": "helper",
    "gen_ai.conversation.id": "sess-1",
  });
  expect(span).toMatchObject({
    span_class: "billable",
    dialect: "pydantic-ai",
    tokens: byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
    usage_status: "reported",
    client_cost: 2_925_000_000n,
    agent_name: "helper",
    session_id: "sess-1",
  });
});

test("releases without cache attributes tell the cache by the provider's names", () => {
  const anthropic = spanOf({
    ...CHAT,
    "gen_ai.usage.input_tokens": 2325,
    "gen_ai.usage.output_tokens": 60,
    "gen_ai.usage.details.cache_read_input_tokens": 2000,
    "gen_ai.usage.details.cache_creation_input_tokens": 300,
  });
  expect(anthropic.tokens).toEqual(
    byClass({ input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 }),
  );
  const openai = spanOf({
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 1500,
    "gen_ai.usage.output_tokens": 500,
    "gen_ai.usage.details.cached_tokens": 1024,
    "gen_ai.usage.details.reasoning_tokens": 448,
  });
  expect(openai.tokens).toEqual(
    byClass({ input_uncached: 476, cache_read: 1024, output_text: 52, output_reasoning: 448 }),
  );
});

test("Gemini goes by two names, and its thoughts are part of the output", () => {
  const span = spanOf({
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "google-gla",
    "gen_ai.request.model": "gemini-2.5-flash",
    "gen_ai.usage.input_tokens": 510,
    "gen_ai.usage.output_tokens": 200,
    "gen_ai.usage.details.cached_content_tokens": 400,
    "gen_ai.usage.details.thoughts_tokens": 160,
  });
  expect(span).toMatchObject({
    provider: "google",
    tokens: byClass({
      input_uncached: 110,
      cache_read: 400,
      output_text: 40,
      output_reasoning: 160,
    }),
  });
  const vertex = { "gen_ai.operation.name": "chat", "gen_ai.system": "google-vertex" };
  expect(spanOf(vertex).provider).toBe("vertex");
});

test.each(["gen_ai.usage", "gen_ai.aggregated_usage"])(
  "an agent run with %s sums its calls up",
  (prefix) => {
    const span = spanOf({
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": "helper",
      [`${prefix}.input_tokens`]: 3000,
      [`${prefix}.output_tokens`]: 1000,
      [`${prefix}.cache_read.input_tokens`]: 2048,
      [`${prefix}.details.reasoning_tokens`]: 896,
    });
    expect(span).toMatchObject({
      span_class: "aggregate",
      provider_calls: null,
      tokens: byClass({
        input_uncached: 952,
        cache_read: 2048,
        output_text: 104,
        output_reasoning: 896,
      }),
    });
  },
);

test("an agent run of before operation names, and a running tool, are no calls", () => {
  const run = {
    model_name: "gpt-5-mini",
    agent_name: "helper",
    "gen_ai.usage.input_tokens": 3000,
    "gen_ai.usage.output_tokens": 1000,
  };
  expect(spanOf(run)).toMatchObject({ span_class: "structure", agent_name: "helper" });
  expect(spanOf({ "gen_ai.operation.name": "execute_tool" }).span_class).toBe("tool");
});

test("a refused call tells its status in the message of the exception", () => {
  const events = [
    {
      name: "exception",
      time_ns: 1n,
      attributes: attributesOf({
        "exception.type": "pydantic_ai.exceptions.ModelHTTPError",
        "exception.message": "status_code: 429, model_name: gpt-5-mini, body: None",
      }),
    },
  ];
  expect(spanOf(CHAT, { span: { status_code: 2, events } })).toMatchObject({
    status: "error",
    http_status: 429,
    error_type: "pydantic_ai.exceptions.ModelHTTPError",
  });
});

test("the early copy of a span is nobody's call", () => {
  const span = spanOf({ ...CHAT, "logfire.span_type": "pending_span" });
  expect(span).toMatchObject({ span_class: "structure", usage_status: "none" });
});
