/** The price book as a table: what is written, and that a second write has nothing to do. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { TOKEN_CLASSES } from "../schemas/tokens.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import type { UnitPrices } from "./prices.ts";
import { writeUnitPrices } from "./unit-prices.ts";

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());

function makeRow(price_id: string, prices: Readonly<Record<string, bigint>>): UnitPrices {
  return {
    price_id,
    tier: "standard",
    region: "eu",
    input_tokens_over: 200_000,
    picodollars_per_token: TOKEN_CLASSES.map((name) => prices[name] ?? null),
  };
}

const ROWS = [
  makeRow("openai/a/standard/initial", { output_text: 10_000_000n, input_uncached: 2_500_000n }),
  makeRow("odd/it's \\ one/standard/initial", { cache_read: 1n }),
  makeRow("free/model/standard/initial", {}),
];

test("rows stand in the table to the last digit, a class without a price is left out", async () => {
  const { engine } = test_engine;
  expect(await writeUnitPrices(engine, ROWS, 1_000)).toBe(3);
  const stored = await engine.query(
    "SELECT price_id, tier, region, input_tokens_over, usd_per_token FROM unit_prices FINAL ORDER BY price_id",
  );
  const common = { tier: "standard", region: "eu", input_tokens_over: "200000" };
  expect(stored).toEqual([
    { price_id: "free/model/standard/initial", ...common, usd_per_token: {} },
    {
      price_id: "odd/it's \\ one/standard/initial",
      ...common,
      usd_per_token: { cache_read: "0.000000000001" },
    },
    {
      price_id: "openai/a/standard/initial",
      ...common,
      usd_per_token: { input_uncached: "0.0000025", output_text: "0.00001" },
    },
  ]);
});

test("a second write has nothing to do, and a changed price replaces the old one", async () => {
  const { engine } = test_engine;
  expect(await writeUnitPrices(engine, ROWS, 2_000)).toBe(0);
  const changed = [makeRow("openai/a/standard/initial", { input_uncached: 3_000_000n })];
  expect(await writeUnitPrices(engine, changed, 3_000)).toBe(1);
  expect(
    await engine.query(
      "SELECT toString(usd_per_token) AS prices FROM unit_prices FINAL WHERE price_id LIKE 'openai/%'",
    ),
  ).toEqual([{ prices: "{'input_uncached':0.000003}" }]);
});
