/** The price book as the query API sees it: what choosing a price finds, and nothing of other projects. */
import { expect, test } from "vitest";
import { compilePrices, loadPrices } from "../collector/pipeline.ts";
import type { PriceFile } from "../schemas/prices.ts";
import { CLASS_INDEX } from "../schemas/tokens.ts";
import { makePriceLister } from "./price-lister.ts";

function makeFile(project_id: string | undefined, model: string, usd: string): PriceFile {
  return {
    provider: "openai",
    currency: "USD",
    ...(project_id === undefined ? {} : { project_id }),
    models: [
      {
        model,
        aliases: [`${model}-alias`],
        other_regions: "same",
        prices: [
          {
            valid_from: null,
            tier: "standard",
            regions: [],
            input_tokens_over: 0,
            usd_per_million: { input_uncached: usd },
            usd_per_thousand: {},
            source: "test",
            evidence_date: "2026-01-01",
          },
        ],
      },
    ],
  };
}

const PRICES = compilePrices(
  [makeFile(undefined, "m", "1")],
  [makeFile("alpha", "m", "0.5"), makeFile("beta", "secret", "0.25")],
);
const lister = makePriceLister(PRICES);
const LOOKUP = { provider: "openai", service_tier: "", region: "", at_ms: Date.UTC(2026, 10, 1) };

test("a row is found by its id, with its unit prices", () => {
  const row = lister.findRow("openai/m/standard/initial");
  expect(row).toMatchObject({ tier: "standard", region: "", input_tokens_over: 0 });
  expect(row?.picodollars_per_token[CLASS_INDEX.input_uncached]).toBe(1_000_000n);
  expect(lister.priceOf("openai/m/standard/initial", "input_uncached")).toBe(1_000_000n);
  expect(lister.priceOf("openai/m/standard/initial", "cache_read")).toBeNull();
  expect(lister.findRow("openai/m/batch/initial")).toBeNull();
});

test("a project has its own prices and models, and not those of another", () => {
  const [own] = lister.listPrices({ ...LOOKUP, project_id: "alpha", model: "m" });
  expect(own?.price_id).toBe("openai/m/standard/initial/negotiated/alpha");
  const [list] = lister.listPrices({ ...LOOKUP, project_id: "beta", model: "m-alias" });
  expect(list?.price_id).toBe("openai/m/standard/initial");
  expect(lister.listPrices({ ...LOOKUP, project_id: "alpha", model: "secret" })).toEqual([]);
  expect(lister.hasModel({ project_id: "alpha", provider: "openai", model: "secret" })).toBe(false);
  expect(lister.hasModel({ project_id: "beta", provider: "openai", model: "secret" })).toBe(true);
  expect(lister.listModels("alpha")).toEqual([{ provider: "openai", model: "m" }]);
  expect(lister.listModels("beta")).toEqual([
    { provider: "openai", model: "secret" },
    { provider: "openai", model: "m" },
  ]);
});

test("the prices that ship have batches at the price that was in force, by prompt size", () => {
  const shipped = makePriceLister(loadPrices());
  const lookup = { ...LOOKUP, provider: "google", model: "gemini-2.5-pro", project_id: "p" };
  const standard = shipped.listPrices(lookup);
  expect(standard.map((row) => row.input_tokens_over)).toEqual([0, 200_000]);
  const batch = shipped.listPrices({ ...lookup, service_tier: "batch" });
  const price = (row: (typeof batch)[number] | undefined) =>
    row?.picodollars_per_token[CLASS_INDEX.input_uncached] ?? null;
  expect(price(standard[0])).not.toBeNull();
  expect(price(batch[0])).toBe((price(standard[0]) ?? 0n) / 2n);
  // Before its first row nothing is known of a tier.
  expect(
    shipped.listPrices({ ...lookup, service_tier: "batch", at_ms: Date.UTC(2001, 0, 1) }),
  ).toEqual([]);
});
