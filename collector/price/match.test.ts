/**
 * Matching against the price files that ship. Invariant: the expected ids are written down here from
 * the providers' model lists and not read from the book.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { readPriceFiles } from "../../schemas/price-files.ts";
import { compilePriceBook } from "./book.ts";
import type { PriceBook } from "./book.ts";
import { MAX_CACHED_LOOKUPS, MAX_MODEL_CHARS, matchModel } from "./match.ts";

let book: PriceBook;
beforeAll(() => {
  book = compilePriceBook(readPriceFiles());
});

function describeMatch(provider: string, model: string): string | null {
  const match = matchModel(book, provider, model);
  return match === null ? null : `${match.confidence} ${match.model.provider}/${match.model.model}`;
}

describe("matchModel", () => {
  test.each([
    ["openai", "gpt-4o", "exact openai/gpt-4o"],
    ["openai", "gpt-4o-2024-08-06", "alias openai/gpt-4o"],
    ["openai", "gpt-4o-2024-05-13", "exact openai/gpt-4o-2024-05-13"],
    ["openai", "gpt-4o-mini-2024-07-18", "alias openai/gpt-4o-mini"],
    ["openai", "gpt-5-nano-2025-08-07", "dated openai/gpt-5-nano"],
    ["openai", "gpt-6-luna-2026-09-30", "dated openai/gpt-6-luna"],
    ["openai", "GPT-4.1", "exact openai/gpt-4.1"],
    ["openai", "openai/gpt-4o", "exact openai/gpt-4o"],
    ["anthropic", "claude-sonnet-4-5-20250929", "dated anthropic/claude-sonnet-4-5"],
    ["anthropic", "claude-sonnet-4-5@20250929", "dated anthropic/claude-sonnet-4-5"],
    ["anthropic", "claude-opus-4-20250514", "alias anthropic/claude-opus-4-0"],
    ["anthropic", "claude-sonnet-4-20250514", "dated anthropic/claude-sonnet-4-0"],
    ["anthropic", "claude-3-5-sonnet-latest", "dated anthropic/claude-3-5-sonnet"],
    ["anthropic", "anthropic/claude-opus-5-5", "exact anthropic/claude-opus-5-5"],
    ["google", "models/gemini-2.5-flash", "exact google/gemini-2.5-flash"],
    ["google", "google/models/gemini-2.5-flash", "exact google/gemini-2.5-flash"],
    ["Google", "gemini-2.5-flash-preview-09-2025", "alias google/gemini-2.5-flash"],
    ["", "claude-haiku-4-5-20251001", "dated anthropic/claude-haiku-4-5"],
    ["", "openai/gpt-4o", "exact openai/gpt-4o"],
  ])("finds %s %s", (provider, model, expected) => {
    expect(describeMatch(provider, model)).toBe(expected);
  });

  test.each([
    ["openai", "gpt-4o-minim"],
    ["openai", "gpt-5-nano-2025-08-07-2025-08-07"],
    ["openai", "gpt-4o-2024-13-06"],
    ["openai", "gpt-4o-99990101"],
    ["openai", "ft:gpt-4o-mini-2024-07-18:acme::abc"],
    ["openai", "anthropic/claude-sonnet-4-5"],
    ["openai", "claude-sonnet-4-5"],
    ["openai", ""],
    ["openai", "gpt"],
    ["anthropic", "claude-sonnet-5-5-20260901"],
    ["azure", "gpt-4o"],
    ["vertex", "gemini-2.5-flash"],
    ["bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"],
    ["openrouter", "openai/gpt-4o"],
    ["", "acme/gpt-4o"],
    ["__proto__", "gpt-4o"],
    ["openai", "__proto__"],
    ["openai", "constructor"],
    ["openai", "x".repeat(MAX_MODEL_CHARS + 1)],
  ])("finds nothing for %s %s", (provider, model) => {
    expect(describeMatch(provider, model)).toBeNull();
  });

  test("needs the provider when two providers of the book have the id", () => {
    const [file] = readPriceFiles();
    if (file === undefined) throw new Error("no price files");
    const double = compilePriceBook([file, { ...file, provider: "reseller" }]);
    expect(matchModel(double, "", "claude-sonnet-4-5")).toBeNull();
    expect(matchModel(double, "", "claude-sonnet-4-5-20250929")).toBeNull();
    expect(matchModel(double, "reseller", "claude-sonnet-4-5")?.model.provider).toBe("reseller");
    expect(matchModel(double, "", "reseller/claude-opus-5")?.model.provider).toBe("reseller");
  });

  test("leads every id of the book to itself, also where another id is its prefix", () => {
    let pairs = 0;
    for (const [provider, ids] of book.providers) {
      for (const long of ids.keys()) {
        const shorter = [...ids.keys()].filter((id) => id !== long && long.startsWith(id));
        pairs += shorter.length;
        expect(matchModel(book, provider, long)).toBe(ids.get(long));
      }
    }
    // gpt-4o and gpt-4o-mini, claude-sonnet-4-5 and its like: the guard must have had work.
    expect(pairs).toBeGreaterThan(100);
  });

  test("never takes an id for the prefix of a newer name", () => {
    const endings = ["-5", "-5-5", ".1", "-mini", "-pro", "x", "0", "-", "-2", "-fast", "-v2:0"];
    const names = [...book.providers].flatMap(([provider, ids]) =>
      [...ids.keys()]
        .flatMap((id) => endings.map((ending) => `${id}${ending}`))
        .filter((name) => !ids.has(name))
        .map((name) => [provider, name] as const),
    );
    expect(names.length).toBeGreaterThan(1000);
    expect(names.filter(([provider, name]) => matchModel(book, provider, name) !== null)).toEqual(
      [],
    );
  });

  test("keeps a bounded number of answers and stays right beyond it", () => {
    for (let index = 0; index < MAX_CACHED_LOOKUPS * 2 + 10; index += 1) {
      matchModel(book, index % 2 === 0 ? "openai" : `p${String(index)}`, `m${String(index)}`);
      expect(book.lookups.size).toBeLessThanOrEqual(MAX_CACHED_LOOKUPS);
    }
    const held = [...book.lookups.by_provider.values()].reduce((sum, map) => sum + map.size, 0);
    expect(held).toBe(book.lookups.size);
    expect(describeMatch("openai", "gpt-4o")).toBe("exact openai/gpt-4o");
    expect(describeMatch("openai", "m0")).toBeNull();
  });
});

/** Ids that the providers serve or served in 2025 and 2026 and that the book must know. */
const KNOWN: Readonly<Record<string, string>> = {
  openai: `
    gpt-3.5-turbo gpt-4 gpt-4-turbo gpt-4o gpt-4o-mini gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-5
    gpt-5-mini gpt-5-nano gpt-5-pro gpt-5.1 gpt-5.2 gpt-5.4 gpt-5.4-mini gpt-5.5 gpt-5.5-pro
    gpt-5.6-sol gpt-5.6-terra gpt-5.6-luna gpt-6-astra gpt-6-sol gpt-6-luna o1 o3 o3-mini o4-mini
    gpt-realtime gpt-audio gpt-image-1 text-embedding-3-small text-embedding-3-large
    text-embedding-ada-002`,
  anthropic: `
    claude-3-haiku-20240307 claude-3-5-haiku-20241022 claude-3-7-sonnet-20250219
    claude-opus-4-1-20250805 claude-sonnet-4-5 claude-haiku-4-5 claude-opus-4-5 claude-opus-4-6
    claude-sonnet-4-6 claude-opus-4-7 claude-opus-4-8 claude-opus-5 claude-sonnet-5
    claude-opus-5-5 claude-fable-5 claude-fable-5-1 claude-haiku-5-5`,
  google: `
    gemini-2.0-flash gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro gemini-3-flash-preview
    gemini-3-pro-preview gemini-3.1-pro-preview gemini-3.5-flash gemini-3.6-flash gemini-3.8-flash
    gemini-embedding-001`,
};

/** Current ids without a price we have evidence for: an honest null, never a neighbour's price. */
const UNPRICED: readonly (readonly [string, string])[] = [
  ["openai", "gpt-6.1-sol"],
  ["openai", "gpt-6.1-terra"],
  ["openai", "gpt-image-2.6-flare"],
  ["openai", "dall-e-3"],
  ["openai", "tts-1"],
  ["anthropic", "claude-sonnet-5-5"],
  ["anthropic", "claude-fable-5-2"],
  ["google", "gemini-4-argon"],
  ["google", "gemini-nano-banana-2.1"],
  ["google", "veo-3.1-generate"],
  ["x-ai", "grok-4.7"],
];

describe("coverage of current model ids", () => {
  test("knows every id of the list with a price, dated or not", () => {
    for (const [provider, text] of Object.entries(KNOWN)) {
      const models = text.trim().split(/\s+/);
      const missing = models.filter((model) => matchModel(book, provider, model) === null);
      expect(missing).toEqual([]);
    }
  });

  test.each(UNPRICED)("leaves %s %s unpriced, with and without the provider", (provider, model) => {
    expect(matchModel(book, provider, model)).toBeNull();
    expect(matchModel(book, "", model)).toBeNull();
  });
});
