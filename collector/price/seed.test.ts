/**
 * The whole price book against the calculator it was seeded from. Invariant: the expected amounts come
 * from `calcPrice` of @pydantic/genai-prices, which knows nothing of our files.
 */
import { calcPrice } from "@pydantic/genai-prices";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readPriceFiles } from "../../schemas/price-files.ts";
import type { ModelPrices } from "../../schemas/prices.ts";
import type { TokenClass } from "../../schemas/tokens.ts";
import { compilePriceBook } from "./book.ts";
import { totalCost } from "../../schemas/span.ts";
import { priceSpan } from "./cost.ts";
import { listTokens, makeSpan, toUnixNanoseconds } from "./fixture.ts";

const files = readPriceFiles();
const book = compilePriceBook(files);
const SEEDED = "@pydantic/genai-prices";

/** Providers of ours by their names in the seed, where those differ. */
const SEED_PROVIDERS = new Map([
  ["bedrock", "aws"],
  ["vertex", "google"],
  ["xai", "x-ai"],
]);

/** One model id on one day, with the classes priced then. */
interface Sample {
  provider: string;
  /** As both sides know it: with the geography in front for a row of one. */
  model: string;
  day: string;
  classes: TokenClass[];
}

/** The ids of a row: each alone, or the main one behind each geography of the row. */
function spellIds(model: ModelPrices, regions: readonly string[]): string[] {
  if (regions.length > 0) return regions.map((region) => `${region}.${model.model}`);
  return [model.model, ...model.aliases];
}

const samples: Sample[] = files.flatMap((file) =>
  file.models.flatMap((model) =>
    model.prices
      .filter((row) => row.tier === "standard" && row.source.startsWith(SEEDED))
      .flatMap((row) =>
        spellIds(model, row.regions).map((id) => ({
          provider: file.provider,
          model: id,
          day: row.valid_from ?? "2024-01-01",
          classes: Object.keys(row.usd_per_million) as TokenClass[],
        })),
      ),
  ),
);

type Counts = Partial<Record<TokenClass, number>>;

/** Our disjoint classes as the totals with parts that genai-prices wants. */
function toUsage(counts: Counts): Record<string, number> {
  const count = (name: TokenClass) => counts[name] ?? 0;
  const cache_write_1h_tokens = count("cache_write_1h");
  const cache_write_tokens = count("cache_write_5m") + cache_write_1h_tokens + count("cache_write");
  return {
    input_tokens:
      count("input_uncached") +
      count("cache_read") +
      cache_write_tokens +
      count("input_audio") +
      count("input_image"),
    cache_read_tokens: count("cache_read"),
    cache_write_tokens,
    cache_write_1h_tokens,
    input_audio_tokens: count("input_audio"),
    input_image_tokens: count("input_image"),
    // Where audio is priced the overlap of audio and cache must be stated.
    cache_audio_read_tokens: 0,
    cache_image_read_tokens: 0,
    output_tokens:
      count("output_text") +
      count("output_reasoning") +
      count("output_audio") +
      count("output_image"),
    output_reasoning_tokens: count("output_reasoning"),
    output_audio_tokens: count("output_audio"),
    output_image_tokens: count("output_image"),
  };
}

function compare({ provider, model, day }: Sample, counts: Counts): void {
  const span = makeSpan({
    provider,
    response_model: model,
    start_ns: toUnixNanoseconds(`${day}T12:00:00Z`),
    tokens: listTokens(counts),
  });
  priceSpan(book, span);
  const timestamp = new Date(`${day}T12:00:00Z`);
  const expected = calcPrice(toUsage(counts), model, {
    providerId: SEED_PROVIDERS.get(provider) ?? provider,
    timestamp,
  });
  const ours = Number(totalCost(span) ?? -1n) / 1e12;
  const theirs = expected?.total_price ?? Number.NaN;
  expect(
    Math.abs(ours - theirs),
    `${provider} ${model} ${day}: ${String(ours)}`,
  ).toBeLessThanOrEqual(1e-9 * theirs);
}

describe("the price book and genai-prices", () => {
  test("agree on every imported id, day and class for random counts below and above the steps", () => {
    // Ids on some days twice; an id left out by mistake would shorten this list.
    expect(samples.length).toBeGreaterThan(1700);
    for (const sample of samples) {
      const counts = fc.record<Counts>(
        Object.fromEntries(
          sample.classes.map((name) => [name, fc.oneof(fc.nat(5000), fc.nat(500_000))]),
        ),
      );
      fc.assert(
        fc.property(counts, (tokens) => compare(sample, tokens)),
        { numRuns: 25 },
      );
    }
  });

  test("agree on both sides of each prompt size at which prices change", () => {
    let edges = 0;
    for (const file of files) {
      for (const model of file.models) {
        for (const row of model.prices) {
          if (row.tier !== "standard" || !row.source.startsWith(SEEDED)) continue;
          if (row.input_tokens_over === 0) continue;
          const day = row.valid_from ?? "2024-01-01";
          const [id = model.model] = spellIds(model, row.regions);
          const sample = { provider: file.provider, model: id, day, classes: [] };
          for (const extra of [-1, 0, 1, 2]) {
            compare(sample, { input_uncached: row.input_tokens_over + extra, output_text: 1000 });
            edges += 1;
          }
        }
      }
    }
    expect(edges).toBeGreaterThan(60);
  });
});
