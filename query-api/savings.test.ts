/**
 * What could be saved, worked out by hand: nothing without a price is ever compared or counted as free.
 */
import { describe, expect, test } from "vitest";
import { CLASS_INDEX, TOKEN_CLASSES, type TokenClass } from "../schemas/tokens.ts";
import type { PriceLister, UnitPrices } from "./prices.ts";
import { type PricedGroup, saveByBatch, saveByCache, saveByTarget } from "./savings.ts";

type Amounts = Partial<Record<TokenClass, bigint>>;

function makeRow(prices: Amounts, changes: Partial<UnitPrices> = {}): UnitPrices {
  return {
    price_id: "row",
    tier: "standard",
    region: "",
    input_tokens_over: 0,
    picodollars_per_token: TOKEN_CLASSES.map((name) => prices[name] ?? null),
    ...changes,
  };
}

/** Calls of which each class costs what the row says. */
function makeGroup(tokens: Amounts, row: UnitPrices | null, changes: Partial<PricedGroup> = {}) {
  return {
    provider: "openai",
    model: "m",
    price_id: row?.price_id ?? "",
    calls: 10n,
    tokens: TOKEN_CLASSES.map((name) => tokens[name] ?? 0n),
    cost: TOKEN_CLASSES.map(
      (name) => (tokens[name] ?? 0n) * (row?.picodollars_per_token[CLASS_INDEX[name]] ?? 0n),
    ),
    row,
    ...changes,
  };
}

describe("caching", () => {
  test("saved what cached tokens would have cost uncached, less what writing cost more", () => {
    const row = makeRow({ input_uncached: 100n, cache_read: 10n, cache_write_5m: 125n });
    const found = saveByCache([
      makeGroup({ input_uncached: 7n, cache_read: 1_000n, cache_write_5m: 200n }, row),
      makeGroup({ input_uncached: 3n, cache_read: 100n }, row),
    ]);
    expect(found).toEqual({
      read_saved: 1_100n * 90n,
      write_surcharge: 200n * 25n,
      tokens_not_judged: 0n,
      could_save_at_most: 10n * 90n,
      uncached_tokens: 10n,
      uncached_tokens_not_judged: 0n,
    });
  });

  test("without a price on either side is counted, and never zero", () => {
    const no_uncached = makeRow({ cache_read: 10n });
    const no_read = makeRow({ input_uncached: 100n });
    const found = saveByCache([
      makeGroup({ cache_read: 5n }, no_uncached),
      makeGroup({ cache_read: 6n, input_uncached: 9n }, null),
      makeGroup({ cache_read: 7n, input_uncached: 8n }, no_read),
    ]);
    expect(found).toEqual({
      read_saved: null,
      write_surcharge: null,
      tokens_not_judged: 18n,
      could_save_at_most: null,
      uncached_tokens: 0n,
      uncached_tokens_not_judged: 17n,
    });
  });

  test("of a row that is gone from the price book is not judged", () => {
    const row = makeRow({ input_uncached: 100n, cache_read: 10n });
    const group = { ...makeGroup({ cache_read: 5n }, row), row: null };
    expect(saveByCache([group])).toMatchObject({ read_saved: null, tokens_not_judged: 5n });
  });
});

describe("batches", () => {
  const standard = makeRow({ input_uncached: 100n, output_text: 400n });
  const long = makeRow({ input_uncached: 200n }, { price_id: "long", input_tokens_over: 1_000 });
  const listed = [
    makeRow({ input_uncached: 60n }, { tier: "batch" }),
    makeRow({ input_uncached: 90n }, { tier: "batch", input_tokens_over: 1_000 }),
  ];
  const asked: unknown[] = [];
  const prices: PriceLister = {
    priceOf: () => null,
    findRow: () => null,
    listPrices: (lookup) => {
      asked.push(lookup);
      return lookup.provider === "openai" ? listed : [];
    },
    hasModel: () => true,
    listModels: () => [],
  };
  const save = (groups: readonly PricedGroup[]) => saveByBatch(groups, "alpha", 5, prices);

  test("cost what the price book says for prompts of that size; the rest keeps its cost", () => {
    const found = save([
      makeGroup({ input_uncached: 10n, output_text: 5n }, standard),
      makeGroup({ input_uncached: 10n }, long),
    ]);
    expect(found).toMatchObject({
      could_save: 10n * 40n + 10n * 110n,
      from_price_book: 1_500n,
      from_assumption: 0n,
      cost_of_candidates: 1_000n + 2_000n + 2_000n,
    });
    expect(asked[0]).toEqual({
      project_id: "alpha",
      provider: "openai",
      model: "m",
      service_tier: "batch",
      region: "",
      at_ms: 5,
    });
  });

  test("are assumed to cost half only of providers that say so, and are named as assumed", () => {
    const bedrock = makeGroup({ input_uncached: 3n }, standard, { provider: "bedrock" });
    const xai = makeGroup({ input_uncached: 3n }, standard, { provider: "xai" });
    expect(save([bedrock, xai])).toMatchObject({
      could_save: 150n,
      from_price_book: 0n,
      from_assumption: 150n,
      cost_of_candidates: 300n,
      calls_without_batch_price: 10n,
    });
    expect(save([xai]).could_save).toBeNull();
  });

  test("are not made of calls that are batches, of other tiers, or without a price", () => {
    const found = save([
      makeGroup({ input_uncached: 3n }, makeRow({ input_uncached: 1n }, { tier: "batch" })),
      makeGroup({ input_uncached: 3n }, makeRow({ input_uncached: 1n }, { tier: "flex" })),
      makeGroup({ input_uncached: 3n }, null),
    ]);
    expect(found).toMatchObject({
      could_save: null,
      calls_already_batch: 10n,
      calls_of_other_tiers: 10n,
      calls_without_price: 10n,
    });
  });
});

describe("another model", () => {
  const target = makeRow({ input_uncached: 50n, output_text: 100n });

  test("prices all tokens it can, and compares those that have a price on both sides", () => {
    const source = makeRow({ input_uncached: 100n, cache_read: 10n, output_text: 400n });
    const found = saveByTarget(
      [
        makeGroup({ input_uncached: 10n, cache_read: 20n, output_text: 3n }, source),
        makeGroup({ input_uncached: 7n, input_audio: 9n }, null),
      ],
      [target],
    );
    expect(found).toEqual({
      target_cost: 10n * 50n + 20n * 50n + 3n * 100n + 7n * 50n,
      target_cost_at_most: null,
      compared: {
        cost: 10n * 100n + 20n * 10n + 3n * 400n,
        target_cost: 10n * 50n + 20n * 50n + 3n * 100n,
        tokens: 33n,
      },
      tokens: 49n,
      substituted: new Map([["cache_read", { priced_as: "input_uncached", tokens: 20n }]]),
      tokens_without_target_price: new Map([["input_audio", 9n]]),
    });
  });

  test("with dearer long prompts is bounded from both sides", () => {
    const dear = makeRow({ input_uncached: 80n }, { input_tokens_over: 200_000 });
    const found = saveByTarget(
      [makeGroup({ input_uncached: 10n, output_text: 1n }, target)],
      [target, dear],
    );
    expect(found).toMatchObject({ target_cost: 600n, target_cost_at_most: 900n });
  });

  test("without a price for any of the tokens costs null", () => {
    const found = saveByTarget([makeGroup({ input_image: 10n }, target)], [target]);
    expect(found).toMatchObject({ target_cost: null, compared: { tokens: 0n } });
  });
});
