/** The inference event of the OpenTelemetry GenAI conventions (dialects.md sections 2.1 and 2.2). */
import { describe, expect, test } from "vitest";
import { byClass } from "../../test/support/span.ts";
import { normalizeEvent } from "./fixture.ts";

const DETAILS = {
  "event.name": "gen_ai.client.inference.operation.details",
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "openai",
  "gen_ai.request.model": "gpt-5-mini",
};
const USED = {
  "gen_ai.response.id": "chatcmpl-1",
  "gen_ai.usage.input_tokens": 1500,
  "gen_ai.usage.cache_read.input_tokens": 1024,
  "gen_ai.usage.output_tokens": 500,
  "gen_ai.usage.reasoning.output_tokens": 448,
};

describe("gen_ai.client.inference.operation.details", () => {
  test("with usage it is one call below its span", () => {
    const span = normalizeEvent({ ...DETAILS, ...USED });
    expect(span).toMatchObject({
      span_class: "billable",
      signal: "log",
      dialect: "otel-genai",
      operation: "chat",
      provider: "openai",
      response_id: "chatcmpl-1",
      usage_status: "reported",
      parent_span_id: new Uint8Array(8).fill(2),
      tokens: byClass({
        input_uncached: 476,
        cache_read: 1024,
        output_text: 52,
        output_reasoning: 448,
      }),
    });
  });

  test("with an error it is one failed call", () => {
    const span = normalizeEvent({ ...DETAILS, "error.type": "RateLimitError" });
    expect(span).toMatchObject({ span_class: "billable", status: "error" });
  });

  test("named by the field alone it is the same event", () => {
    const { "event.name": event_name, ...rest } = DETAILS;
    expect(normalizeEvent({ ...rest, ...USED }, { record: { event_name } })?.span_class).toBe(
      "billable",
    );
  });

  test("of an agent it repeats the usage of its calls", () => {
    const span = normalizeEvent({ ...DETAILS, ...USED, "gen_ai.operation.name": "invoke_agent" });
    expect(span?.span_class).toBe("aggregate");
  });

  test("without either it announces a request and is not kept", () => {
    expect(normalizeEvent(DETAILS)).toBeUndefined();
  });

  test.each(["gen_ai.user.message", "gen_ai.system.message", "gen_ai.choice"])(
    "the legacy event %s is content and not kept",
    (name) => {
      expect(normalizeEvent({ "event.name": name, "gen_ai.system": "openai" })).toBeUndefined();
    },
  );
});
