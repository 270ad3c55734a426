/**
 * Raw usage of providers, put on spans by the helper, gives the token classes that the ground truth of
 * the captures says.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Attributes, Span } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { explainBodies } from "../cli/explain.ts";
import { encodeTraceRequest, type OtlpValue } from "../test/support/otlp-proto.ts";
import { recordCall, usageOfAnthropic, usageOfGoogle, usageOfOpenAI } from "./index.ts";

const CAPTURES = fileURLToPath(new URL("../test/captures/", import.meta.url));

interface Expectation {
  readonly provider: string;
  readonly api: string;
  readonly request_model: string;
  readonly response_model: string;
  readonly response_id: string | null;
  readonly usage_raw: object | null;
  readonly tokens: Readonly<Record<string, number>> | null;
}

/** One call of each usage shape that the captures have for the three providers. */
function readExpectations(): Expectation[] {
  const byUsage = new Map<string, Expectation>();
  for (const client of readdirSync(CAPTURES)) {
    if (client.endsWith(".md")) continue;
    for (const file of readdirSync(`${CAPTURES}${client}`)) {
      if (!file.endsWith(".expect.json")) continue;
      const text = readFileSync(`${CAPTURES}${client}/${file}`, "utf8");
      for (const call of (JSON.parse(text) as { calls: Expectation[] }).calls) {
        if (call.usage_raw == null || call.tokens == null) continue;
        byUsage.set(`${call.provider} ${JSON.stringify(call.usage_raw)}`, call);
      }
    }
  }
  return [...byUsage.values()].filter(({ provider }) => provider in READERS);
}

const READERS: Readonly<Record<string, (usage: never) => Attributes>> = {
  openai: usageOfOpenAI,
  anthropic: usageOfAnthropic,
  google: usageOfGoogle,
};

/** A span that keeps its attributes and can do nothing else. */
function recordingSpan(attributes: Map<string, unknown>): Span {
  const span = {
    setAttribute(key: string, value: unknown) {
      attributes.set(key, value);
      return span;
    },
    setAttributes(values: Attributes) {
      for (const [key, value] of Object.entries(values)) attributes.set(key, value);
      return span;
    },
  };
  return span as unknown as Span;
}

function otlpValue(value: unknown): OtlpValue {
  if (typeof value === "number") return { intValue: BigInt(value) };
  if (typeof value === "boolean") return { boolValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map((item) => otlpValue(item)) } };
  return { stringValue: String(value) };
}

function explain(attributes: ReadonlyMap<string, unknown>) {
  const body = encodeTraceRequest({
    resourceSpans: [
      {
        scopeSpans: [
          {
            spans: [
              {
                traceId: Buffer.alloc(16, 1),
                spanId: Buffer.alloc(8, 1),
                name: "call",
                kind: 3,
                startTimeUnixNano: 1_795_225_705_000_000_000n,
                endTimeUnixNano: 1_795_225_706_000_000_000n,
                attributes: [...attributes].map(([key, value]) => ({
                  key,
                  value: otlpValue(value),
                })),
              },
            ],
          },
        ],
      },
    ],
  });
  return explainBodies([body]).calls;
}

test("raw usage of each provider becomes the token classes that the truth says", () => {
  const expectations = readExpectations();
  expect(expectations.length).toBeGreaterThan(8);
  for (const call of expectations) {
    const attributes = new Map<string, unknown>();
    const read = READERS[call.provider] as (usage: object) => Attributes;
    recordCall(
      recordingSpan(attributes),
      {
        operation: call.api === "embeddings" ? "embeddings" : "chat",
        provider: call.provider,
        request_model: call.request_model,
        response_model: call.response_model,
      },
      read(call.usage_raw as object),
    );
    const [row, ...more] = explain(attributes);
    expect(more).toEqual([]);
    const truth = call.tokens ?? {};
    const tokens = row?.tokens;
    const written = tokens && [tokens.cache_write, tokens.cache_write_5m, tokens.cache_write_1h];
    expect(
      {
        input_total: row?.input_total,
        input_uncached: tokens?.input_uncached,
        cache_read: tokens?.cache_read ?? 0,
        cache_write: written?.reduce<number>((total, count) => total + (count ?? 0), 0),
        output_total: row?.output_total ?? 0,
        reasoning_output: tokens?.output_reasoning ?? 0,
      },
      JSON.stringify(call.usage_raw),
    ).toEqual({
      input_total: truth["input_total"],
      input_uncached: truth["input_uncached"],
      cache_read: truth["cache_read"],
      cache_write: truth["cache_write"],
      output_total: truth["output_total"],
      reasoning_output: truth["reasoning_output"],
    });
  }
});

test("everything said of a call arrives in its row", () => {
  const attributes = new Map<string, unknown>();
  recordCall(recordingSpan(attributes), {
    operation: "chat",
    provider: "openai",
    request_model: "gpt-4o-mini",
    response_id: "chatcmpl-1",
    finish_reason: "length",
    streaming: true,
    user_id: "ada",
    session_id: "s-1",
    tags: { team: "search" },
  });
  expect(explain(attributes)).toMatchObject([
    {
      provider: "openai",
      request_model: "gpt-4o-mini",
      response_id: "chatcmpl-1",
      finish_reason: "length",
      streaming: true,
      user_id: "ada",
      session_id: "s-1",
      tags: { team: "search" },
      usage_status: "missing",
    },
  ]);
});
