/** The fingerprint tells books apart that price a call otherwise, and no others. */
import { expect, test } from "vitest";
import type { PriceFile, PriceRow } from "../prices.ts";
import { fingerprintPrices } from "./fingerprint.ts";

const row: PriceRow = {
  valid_from: null,
  tier: "standard",
  regions: [],
  input_tokens_over: 0,
  usd_per_million: { input_uncached: "1" },
  usd_per_thousand: { web_search: "10" },
  source: "a page",
  evidence_date: "2026-11-01",
};

function fileWith(changes: Partial<PriceRow>, project_id?: string): PriceFile {
  const prices = [{ ...row, ...changes }];
  const models: PriceFile["models"] = [{ model: "m", aliases: [], other_regions: "same", prices }];
  const file: PriceFile = { provider: "p", currency: "USD", models };
  return project_id === undefined ? file : { ...file, project_id };
}

test("newer evidence and another source for the same prices change nothing", () => {
  expect(fingerprintPrices([fileWith({ source: "a list", evidence_date: "2026-11-20" })])).toBe(
    fingerprintPrices([fileWith({})]),
  );
});

test("whatever prices a call otherwise gives another fingerprint", () => {
  const files = [
    fileWith({}),
    fileWith({ valid_from: "2026-11-01" }),
    fileWith({ tier: "batch" }),
    fileWith({ regions: ["eu"] }),
    fileWith({ input_tokens_over: 1 }),
    fileWith({ usd_per_million: { input_uncached: "2" } }),
    fileWith({ usd_per_million: { output_text: "1" } }),
    fileWith({ usd_per_thousand: { web_search: "11" } }),
    fileWith({ usd_per_thousand: { image: "10" } }),
    fileWith({}, "checkout"),
  ];
  const prints = [
    ...files.map((file) => fingerprintPrices([file])),
    fingerprintPrices([], [fileWith({})]),
    fingerprintPrices([]),
  ];
  expect(new Set(prints).size).toBe(prints.length);
  expect(prints[0]).toMatch(/^[0-9a-f]{64}$/);
});
