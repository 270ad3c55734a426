/** Compiling: exact units, order of rows, refusal of doubles. Invariant: amounts are literals. */
import { describe, expect, test } from "vitest";
import type { ModelPrices, PriceFile } from "../../schemas/prices.ts";
import { CLASS_INDEX } from "../../schemas/tokens.ts";
import { compilePriceBook, toPicodollarsPerToken } from "./book.ts";

function makeRow(fields: Partial<ModelPrices["prices"][number]>): ModelPrices["prices"][number] {
  return {
    valid_from: null,
    tier: "standard",
    input_tokens_over: 0,
    usd_per_million: { input_uncached: "1" },
    source: "test",
    ...fields,
  };
}

function makeFile(provider: string, models: PriceFile["models"]): PriceFile {
  return { provider, currency: "USD", models };
}

describe("toPicodollarsPerToken", () => {
  test("turns US dollars per million tokens into whole picodollars per token", () => {
    // 1 USD / 1,000,000 tokens = 1e12 picodollars / 1e6 tokens = 1,000,000 a token.
    expect(toPicodollarsPerToken("1")).toBe(1_000_000n);
    expect(toPicodollarsPerToken("0.075")).toBe(75_000n);
    expect(toPicodollarsPerToken("3.75")).toBe(3_750_000n);
    expect(toPicodollarsPerToken("0.000001")).toBe(1n);
    expect(toPicodollarsPerToken("0")).toBe(0n);
    expect(toPicodollarsPerToken("600")).toBe(600_000_000n);
  });

  test.each(["", "-1", "1e3", ".5", "1.", "0.0000001", "1,5", " 1"])(
    "refuses %j, which is no decimal with at most six decimals",
    (text) => {
      expect(() => toPicodollarsPerToken(text)).toThrow(
        expect.objectContaining({ name: "PermanentError", code: "bad_unit_price" }),
      );
    },
  );
});

describe("compilePriceBook", () => {
  test("orders periods latest first and steps largest first, whatever the order of the file", () => {
    const book = compilePriceBook([
      makeFile("acme", [
        {
          model: "m",
          aliases: [],
          prices: [
            makeRow({ input_tokens_over: 1000 }),
            makeRow({ valid_from: "2026-02-01" }),
            makeRow({}),
            makeRow({ valid_from: "2026-10-01" }),
            makeRow({ input_tokens_over: 5000 }),
            makeRow({ tier: "batch" }),
          ],
        },
      ]),
    ]);
    const tiers = book.providers.get("acme")?.get("m")?.model.tiers;
    const ids = tiers
      ?.get("standard")
      ?.map((period) => [period.valid_from_ns, period.steps.map((step) => step.price_id)]);
    expect(ids).toEqual([
      // Seconds of 2026-10-01 and 2026-02-01 UTC by `date -ud <day> +%s`.
      [1_790_812_800_000_000_000n, ["acme/m/standard/2026-10-01"]],
      [1_769_904_000_000_000_000n, ["acme/m/standard/2026-02-01"]],
      [
        0n,
        [
          "acme/m/standard/initial/over-5000",
          "acme/m/standard/initial/over-1000",
          "acme/m/standard/initial",
        ],
      ],
    ]);
    expect(tiers?.get("batch")?.[0]?.steps[0]?.price_id).toBe("acme/m/batch/initial");
  });

  test("keeps a missing class apart from a free one", () => {
    const row = makeRow({ usd_per_million: { input_uncached: "2.5", cache_read: "0" } });
    const book = compilePriceBook([makeFile("acme", [{ model: "m", aliases: [], prices: [row] }])]);
    const step = book.providers.get("acme")?.get("m")?.model.tiers.get("standard")?.[0]?.steps[0];
    expect(step?.picodollars_per_token[CLASS_INDEX.input_uncached]).toBe(2_500_000n);
    expect(step?.picodollars_per_token[CLASS_INDEX.cache_read]).toBe(0n);
    expect(step?.picodollars_per_token[CLASS_INDEX.output_text]).toBeNull();
  });

  const prices = [makeRow({})];
  const model = { model: "m", aliases: ["n"], prices };
  test.each([
    ["two models of one id", [makeFile("acme", [model, { model: "m", aliases: [], prices }])]],
    [
      "an alias that is another model",
      [makeFile("acme", [model, { model: "n", aliases: [], prices }])],
    ],
    [
      "ids that differ in case only",
      [makeFile("acme", [model, { model: "N", aliases: [], prices }])],
    ],
    ["an alias of itself", [makeFile("acme", [{ model: "m", aliases: ["m"], prices }])]],
    ["one provider in two files", [makeFile("acme", [model]), makeFile("acme", [model])]],
  ])("refuses %s", (_name, files) => {
    expect(() => compilePriceBook(files)).toThrow(
      expect.objectContaining({ name: "PermanentError", code: "duplicate_price_id" }),
    );
  });

  test("refuses two rows of one tier, prompt size and day", () => {
    for (const fields of [{}, { valid_from: "2026-10-01" }, { input_tokens_over: 5 }]) {
      const rows = [makeRow(fields), makeRow({ ...fields, source: "another" })];
      const file = makeFile("acme", [{ model: "m", aliases: [], prices: rows }]);
      expect(() => compilePriceBook([file])).toThrow(
        expect.objectContaining({ name: "PermanentError", code: "duplicate_price_row" }),
      );
    }
  });

  test("accepts one id at two providers, which then needs the provider to match", () => {
    const book = compilePriceBook([makeFile("acme", [model]), makeFile("other", [model])]);
    expect(book.providers.get("other")?.get("n")?.confidence).toBe("alias");
    expect(book.any_provider.get("m")).toBeNull();
  });
});
