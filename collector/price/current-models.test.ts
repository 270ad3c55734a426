/**
 * The model ids that providers serve now, each at its published price or unpriced. Invariant: every
 * amount here was typed from the providers' price lists and not read from the book.
 */
import { describe, expect, test } from "vitest";
import { readPriceFiles } from "../../schemas/price-files.ts";
import { formatUsd } from "../../schemas/units.ts";
import { compilePriceBook } from "./book.ts";
import { priceSpan } from "./cost.ts";
import { costOf, listTokens, makeSpan } from "./fixture.ts";

const book = compilePriceBook(readPriceFiles());

function priceThousand(provider: string, model: string) {
  const tokens = listTokens({ input_uncached: 1000, output_text: 1000 });
  const span = makeSpan({ provider, response_model: model, tokens });
  priceSpan(book, span);
  return span;
}

/** Provider, id, US dollars per million input and output tokens on 2026-11-21. */
const PUBLISHED = `
  openai gpt-3.5-turbo 0.5 1.5
  openai gpt-4 30 60
  openai gpt-4-turbo 10 30
  openai gpt-4o 2.5 10
  openai gpt-4o-mini 0.15 0.6
  openai gpt-4.1 2 8
  openai gpt-4.1-mini 0.4 1.6
  openai gpt-4.1-nano 0.1 0.4
  openai gpt-5 1.25 10
  openai gpt-5-mini 0.25 2
  openai gpt-5-nano 0.05 0.4
  openai gpt-5-pro 15 120
  openai gpt-5.1 1.25 10
  openai gpt-5.2 1.75 14
  openai gpt-5.4 2.5 15
  openai gpt-5.4-mini 0.75 4.5
  openai gpt-5.4-nano 0.2 1.25
  openai gpt-5.5 5 30
  openai gpt-5.5-pro 30 180
  openai gpt-5.6-sol 4 20
  openai gpt-5.6-terra 2 12
  openai gpt-5.6-luna 0.2 1.2
  openai gpt-6-astra 10 50
  openai gpt-6-sol 2 10
  openai gpt-6-luna 0.1 0.5
  openai gpt-6.1-sol 2 10
  openai gpt-6.1-terra 1 5
  openai o1 15 60
  openai o3 2 8
  openai o3-mini 1.1 4.4
  openai o4-mini 1.1 4.4
  openai gpt-realtime 4 16
  anthropic claude-3-haiku-20240307 0.25 1.25
  anthropic claude-3-5-haiku-20241022 0.8 4
  anthropic claude-3-7-sonnet-20250219 3 15
  anthropic claude-sonnet-4-20250514 3 15
  anthropic claude-opus-4-1-20250805 15 75
  anthropic claude-sonnet-4-5-20250929 3 15
  anthropic claude-haiku-4-5-20251001 1 5
  anthropic claude-opus-4-5-20251101 5 25
  anthropic claude-opus-4-6 5 25
  anthropic claude-sonnet-4-6 3 15
  anthropic claude-opus-4-7 5 25
  anthropic claude-opus-4-8 5 25
  anthropic claude-opus-5 5 25
  anthropic claude-opus-5-5 4 20
  anthropic claude-sonnet-5 2 10
  anthropic claude-sonnet-5-5 2 10
  anthropic claude-fable-5 10 50
  anthropic claude-fable-5-1 10 50
  anthropic claude-fable-5-2 8 40
  anthropic claude-haiku-5-5 0.1 0.5
  google gemini-2.0-flash 0.1 0.4
  google gemini-2.5-flash 0.3 2.5
  google gemini-2.5-flash-lite 0.1 0.4
  google gemini-2.5-pro 1.25 10
  google gemini-3-flash-preview 0.5 3
  google gemini-3-pro-preview 2 12
  google gemini-3.1-pro-preview 2 12
  google gemini-3.5-flash 1.5 9
  google gemini-3.6-flash 0.75 3.75
  google gemini-4-argon 2 10
  google gemini-nano-banana-2.1 1.5 7.5
  xai grok-4.7 2 6
`;

describe("ids that are served now", () => {
  const rows = PUBLISHED.trim()
    .split("\n")
    .map((line) => line.trim().split(" "));

  test("are as many as were surveyed", () => {
    expect(rows.length).toBeGreaterThanOrEqual(62);
  });

  test.each(rows)("%s %s costs %s and %s USD a million", (provider, model, input, output) => {
    const span = priceThousand(provider ?? "", model ?? "");
    expect(formatUsd((costOf(span, "input_uncached") ?? -1n) * 1000n)).toBe(input);
    expect(formatUsd((costOf(span, "output_text") ?? -1n) * 1000n)).toBe(output);
    expect(span.cost_status).toBe("priced");
    expect(span.price_id.split("/").slice(0, 1)).toEqual([provider]);
  });

  test.each([
    ["openai", "text-embedding-3-small", "0.02"],
    ["openai", "text-embedding-3-large", "0.13"],
    ["openai", "text-embedding-ada-002", "0.1"],
    ["google", "gemini-embedding-001", "0.15"],
  ])("%s %s costs %s USD a million input tokens", (provider, model, input) => {
    const tokens = listTokens({ input_uncached: 1000 });
    const span = makeSpan({ provider, response_model: model, tokens });
    priceSpan(book, span);
    expect(formatUsd((costOf(span, "input_uncached") ?? -1n) * 1000n)).toBe(input);
  });
});

describe("ids without a price that we have evidence for", () => {
  test.each([
    ["openai", "gpt-image-2.6-flare"],
    ["openai", "dall-e-3"],
    ["openai", "tts-1"],
    ["openai", "whisper-1"],
    ["openai", "gpt-6.1-luna"],
    ["openai", "gpt-7"],
    ["anthropic", "claude-sonnet-5-6"],
    ["anthropic", "claude-fable-5-3"],
    ["anthropic", "claude-opus-6"],
    ["google", "veo-3.1-generate"],
    ["google", "gemini-4-argon-lite"],
    ["google", "gemini-5-flash"],
    ["xai", "grok-4.8"],
    ["deepseek", "deepseek-chat"],
  ])("%s %s is unpriced, with and without the provider", (provider, model) => {
    for (const named of [provider, ""]) {
      const span = priceThousand(named, model);
      expect(span.cost_status).toBe("unpriced");
      expect(span.price_id).toBe("");
    }
  });
});

describe("what the price notes of the providers say", () => {
  function costOfCall(fields: Parameters<typeof makeSpan>[0]): string | null {
    const span = makeSpan({ provider: "anthropic", ...fields });
    priceSpan(book, span);
    const [cost] = span.cost.filter((value) => value !== null);
    return cost === undefined ? null : formatUsd(cost * 1000n);
  }
  const read = listTokens({ cache_read: 1000 });

  test("a cache read of Sonnet 5.5 fell from 0.20 to 0.10 USD on 2026-10-07", () => {
    const call = { response_model: "claude-sonnet-5-5", tokens: read };
    // Unix seconds of 2026-10-07T00:00:00Z by `date -ud 2026-10-07 +%s`.
    const midnight = 1_791_331_200_000_000_000n;
    expect(costOfCall({ ...call, start_ns: midnight - 1n })).toBe("0.2");
    expect(costOfCall({ ...call, start_ns: midnight })).toBe("0.1");
  });

  test("cache reads cost 0.1x of the input, Opus and Sonnet 5.5 0.05x, Fable 5.1 0.025x", () => {
    expect(costOfCall({ response_model: "claude-opus-5", tokens: read })).toBe("0.5");
    expect(costOfCall({ response_model: "claude-opus-5-5", tokens: read })).toBe("0.2");
    expect(costOfCall({ response_model: "claude-fable-5-1", tokens: read })).toBe("0.25");
  });

  test("the fast mode of Opus 5 costs 10 and 50 USD", () => {
    const call = { response_model: "claude-opus-5", service_tier: "fast" };
    expect(costOfCall({ ...call, tokens: listTokens({ input_uncached: 1000 }) })).toBe("10");
    expect(costOfCall({ ...call, tokens: listTokens({ output_text: 1000 }) })).toBe("50");
  });

  test("Gemini 4 Argon doubles on 2026-12-01", () => {
    // Unix seconds of 2026-12-01T00:00:00Z by `date -ud 2026-12-01 +%s`.
    const call = {
      provider: "google",
      response_model: "gemini-4-argon",
      start_ns: 1_796_083_200_000_000_000n,
    };
    expect(costOfCall({ ...call, tokens: listTokens({ output_text: 1000 }) })).toBe("20");
  });

  test.each([
    ["gpt-5.5", "batch", "2.5"],
    ["gpt-5.5", "flex", "2.5"],
    ["gpt-5.5", "priority", "12.5"],
    ["gpt-5.4", "priority", "5"],
    ["gpt-5.2", "priority", "3.5"],
    ["gpt-5-mini", "priority", "0.45"],
    ["gpt-6-astra", "fast", "20"],
    ["gpt-6-astra", "batch", "5"],
    ["gpt-5.6-sol", "fast", "8"],
  ])("the input of %s in the tier %s costs %s USD", (response_model, service_tier, usd) => {
    const tokens = listTokens({ input_uncached: 1000 });
    expect(costOfCall({ provider: "openai", response_model, service_tier, tokens })).toBe(usd);
  });
});
