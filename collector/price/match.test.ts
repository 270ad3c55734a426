/**
 * Matching against the price files that ship. Invariant: the expected ids are written down here from
 * the providers' model lists and not read from the book.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { readPriceFiles } from "../../schemas/price-files.ts";
import { compilePriceBook, type PriceLayer } from "./book.ts";
import { listLayer } from "./fixture.ts";
import { MAX_CACHED_LOOKUPS, MAX_MODEL_CHARS, matchModel } from "./match.ts";

let book: PriceLayer;
beforeAll(() => {
  book = listLayer(compilePriceBook(readPriceFiles()));
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
    ["azure", "gpt-4o-2024-08-06", "alias azure/gpt-4o"],
    ["", "azure/gpt-4o", "exact azure/gpt-4o"],
    ["vertex", "gemini-2.5-flash", "exact vertex/gemini-2.5-flash"],
    ["vertex", "google/gemini-2.5-flash", "exact vertex/gemini-2.5-flash"],
    ["vertex", "publishers/google/models/gemini-2.5-flash", "exact vertex/gemini-2.5-flash"],
    ["vertex", "claude-sonnet-4-5@20250929", "dated vertex/claude-sonnet-4-5"],
    ["vertex", "claude-opus-5@default", "exact vertex/claude-opus-5"],
    ["", "vertex_ai/gemini-2.5-pro", "exact vertex/gemini-2.5-pro"],
    ["google", "googleai/gemini-2.5-flash", "exact google/gemini-2.5-flash"],
    ["", "gemini/gemini-2.5-flash", "exact google/gemini-2.5-flash"],
    ["openrouter", "openai/gpt-4o", "exact openrouter/openai/gpt-4o"],
    ["", "openrouter/openai/gpt-4o", "exact openrouter/openai/gpt-4o"],
    ["groq", "openai/gpt-oss-120b", "exact groq/openai/gpt-oss-120b"],
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
    ["anthropic", "claude-sonnet-5-6-20260901"],
    ["azure", "our-deployment"],
    ["bedrock", "anthropic.claude-sonnet-4-5-20250929-v2:0"],
    ["bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:00"],
    ["bedrock", "xx.anthropic.claude-sonnet-4-5-20250929-v1:0"],
    ["bedrock", "us.us.anthropic.claude-sonnet-4-5-20250929-v1:0.us"],
    ["bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"],
    ["bedrock", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3"],
    ["", "anthropic.claude-sonnet-4-5-20250929-v1:0"],
    ["vertex", "publishers/google/models/"],
    ["vertex", "openai/gpt-4o"],
    ["openrouter", "gpt-4o-2024-05-13-x"],
    ["openai", "azure/gpt-4o"],
    ["", "acme/gpt-4o"],
    ["__proto__", "gpt-4o"],
    ["openai", "__proto__"],
    ["openai", "constructor"],
    ["openai", "x".repeat(MAX_MODEL_CHARS + 1)],
  ])("finds nothing for %s %s", (provider, model) => {
    expect(describeMatch(provider, model)).toBeNull();
  });

  const SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0";
  test.each([
    ["bedrock", SONNET, ""],
    ["bedrock", `us.${SONNET}`, "us"],
    ["bedrock", `eu.${SONNET}`, "eu"],
    ["bedrock", `apac.${SONNET}`, "apac"],
    ["bedrock", `global.${SONNET}`, "global"],
    ["", `jp.${SONNET}`, "jp"],
    ["", `bedrock/us.${SONNET}`, "us"],
    ["bedrock", `bedrock/converse/au.${SONNET}`, "au"],
    ["bedrock", `bedrock/us-west-2/${SONNET}`, "us-west-2"],
    ["bedrock", "claude-sonnet-4-5-20250929-v1:0", ""],
    ["bedrock", `arn:aws:bedrock:us-east-1::foundation-model/${SONNET}`, "us-east-1"],
    ["", `arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.${SONNET}`, "eu"],
    [
      "bedrock",
      `arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.${SONNET}`,
      "us-gov",
    ],
  ])("reads of %s %s the model and the region %j", (provider, model, region) => {
    const match = matchModel(book, provider, model);
    expect(match?.model.model).toBe(SONNET);
    expect(match?.region).toBe(region);
  });

  test("reads the location of a Vertex resource name as the region", () => {
    const name = "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash";
    expect(matchModel(book, "", name)?.region).toBe("us-central1");
    expect(matchModel(book, "vertex", name)?.model.model).toBe("gemini-2.5-flash");
  });

  test("needs the provider when two providers of the book have the id", () => {
    const file = readPriceFiles().find(({ provider }) => provider === "anthropic");
    if (file === undefined) throw new Error("no price file");
    const double = listLayer(compilePriceBook([file, { ...file, provider: "reseller" }]));
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
