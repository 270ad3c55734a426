/** Compiling: exact units, order of rows, refusal of doubles. Invariant: amounts are literals. */
import { describe, expect, test } from "vitest";
import { CLASS_INDEX } from "../../schemas/tokens.ts";
import { compilePriceBook, toPicodollarsPerToken, toPicodollarsPerUnit } from "./book.ts";
import { listLayer, makeFile, makeModel, makeRow } from "./fixture.ts";

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

describe("toPicodollarsPerUnit", () => {
  test("turns US dollars per thousand pieces into whole picodollars a piece", () => {
    // 1 USD / 1,000 pieces = 1e12 picodollars / 1e3 pieces = 1,000,000,000 a piece.
    expect(toPicodollarsPerUnit("10")).toBe(10_000_000_000n);
    expect(toPicodollarsPerUnit("2.5")).toBe(2_500_000_000n);
    expect(toPicodollarsPerUnit("0.000000001")).toBe(1n);
    expect(() => toPicodollarsPerUnit("0.0000000001")).toThrow("at most 9 decimals");
  });
});

describe("compilePriceBook", () => {
  test("orders periods latest first and steps largest first, whatever the order of the file", () => {
    const book = compilePriceBook([
      makeFile("acme", [
        makeModel("m", [
          makeRow({ input_tokens_over: 1000 }),
          makeRow({ valid_from: "2026-02-01" }),
          makeRow({}),
          makeRow({ valid_from: "2026-10-01" }),
          makeRow({ input_tokens_over: 5000 }),
          makeRow({ tier: "batch" }),
          makeRow({ regions: ["eu", "jp"] }),
        ]),
      ]),
    ]);
    const tiers = listLayer(book).providers.get("acme")?.get("m")?.model.tiers;
    const ids = tiers
      ?.get("standard")
      ?.get("")
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
    expect(tiers?.get("batch")?.get("")?.[0]?.steps[0]?.price_id).toBe("acme/m/batch/initial");
    expect(tiers?.get("standard")?.get("jp")?.[0]?.steps[0]?.price_id).toBe(
      "acme/m/standard/initial/in-jp",
    );
  });

  test("keeps a missing class apart from a free one", () => {
    const row = makeRow({ usd_per_million: { input_uncached: "2.5", cache_read: "0" } });
    const book = compilePriceBook([makeFile("acme", [makeModel("m", [row])])]);
    const model = listLayer(book).providers.get("acme")?.get("m")?.model;
    const step = model?.tiers.get("standard")?.get("")?.[0]?.steps[0];
    expect(step?.picodollars_per_token[CLASS_INDEX.input_uncached]).toBe(2_500_000n);
    expect(step?.picodollars_per_token[CLASS_INDEX.cache_read]).toBe(0n);
    expect(step?.picodollars_per_token[CLASS_INDEX.output_text]).toBeNull();
  });

  const prices = [makeRow({})];
  const model = makeModel("m", prices, ["n"]);
  test.each([
    ["two models of one id", [makeFile("acme", [model, makeModel("m", prices)])]],
    ["an alias that is another model", [makeFile("acme", [model, makeModel("n", prices)])]],
    ["ids that differ in case only", [makeFile("acme", [model, makeModel("N", prices)])]],
    ["an alias of itself", [makeFile("acme", [makeModel("m", prices, ["m"])])]],
    ["one provider in two files", [makeFile("acme", [model]), makeFile("acme", [model])]],
  ])("refuses %s", (_name, files) => {
    expect(() => compilePriceBook(files)).toThrow(
      expect.objectContaining({ name: "PermanentError", code: "duplicate_price_id" }),
    );
  });

  test("refuses two rows of one tier, prompt size and day", () => {
    const cases = [{}, { valid_from: "2026-10-01" }, { input_tokens_over: 5 }, { regions: ["eu"] }];
    for (const fields of cases) {
      const rows = [makeRow(fields), makeRow({ ...fields, source: "another" })];
      const file = makeFile("acme", [makeModel("m", rows)]);
      expect(() => compilePriceBook([file])).toThrow(
        expect.objectContaining({ name: "PermanentError", code: "duplicate_price_row" }),
      );
    }
  });

  test("accepts one id at two providers, which then needs the provider to match", () => {
    const book = compilePriceBook([makeFile("acme", [model]), makeFile("other", [model])]);
    expect(listLayer(book).providers.get("other")?.get("n")?.confidence).toBe("alias");
    expect(listLayer(book).any_provider.get("m")).toBeNull();
  });

  test("never leads from an id alone to one who sells models of others", () => {
    const book = compilePriceBook([makeFile("azure", [model]), makeFile("openrouter", [model])]);
    expect(listLayer(book).any_provider.has("m")).toBe(false);
  });

  test("keeps negotiated prices of projects apart from each other and from the list", () => {
    const file = makeFile("acme", [model]);
    const book = compilePriceBook(
      [file],
      [{ ...file, project_id: "p1" }, { ...file, project_id: "p2" }, file],
    );
    expect([...book.projects.keys()]).toEqual(["p1", "p2"]);
    expect(book.projects.get("p1")).toHaveLength(3);
    expect(book.layers).toHaveLength(2);
  });

  test("refuses a double in the negotiated prices of one project", () => {
    const file = { ...makeFile("acme", [model]), project_id: "p1" };
    expect(() => compilePriceBook([], [file, file])).toThrow("acme has m twice of project p1");
  });
});
