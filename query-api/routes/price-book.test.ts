/** The price book as people read it holds what calls are priced by, row for row and day for day. */
import { describe, expect, test } from "vitest";
import { makePriceLister } from "../../cli/price-lister.ts";
import { compilePrices, loadPrices } from "../../collector/pipeline.ts";
import { PricesAnswer } from "../../schemas/api-prices.ts";
import { readPriceFiles } from "../../schemas/price-files.ts";
import type { PriceFile, PriceRow } from "../../schemas/prices.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { makeTestApi, readStrictly } from "../../test/support/api.ts";
import type { Engine } from "../../clickhouse/engine.ts";
import { PriceRows } from "../price-rows.ts";

function makeRow(changes: Partial<PriceRow>): PriceRow {
  return {
    valid_from: null,
    tier: "standard",
    regions: [],
    input_tokens_over: 0,
    usd_per_million: { input_uncached: "1" },
    usd_per_thousand: {},
    source: "a page",
    evidence_date: "2026-01-01",
    ...changes,
  };
}

function makeFile(prices: PriceRow[], changes: Partial<PriceFile> = {}, model = "M-1"): PriceFile {
  return {
    provider: "Acme",
    currency: "USD",
    models: [{ model, aliases: [`${model}-also`], other_regions: "same", prices }],
    ...changes,
  };
}

const LIST = [
  makeFile([
    makeRow({ usd_per_million: { input_uncached: "0.125", output_text: "2.000001" } }),
    makeRow({ input_tokens_over: 1000, usd_per_million: { input_uncached: "3" } }),
    makeRow({ valid_from: "2026-03-01", usd_per_million: { input_uncached: "0.1" } }),
    makeRow({ valid_from: "2026-06-01", regions: ["eu", "us"], evidence_date: "2026-06-02" }),
    makeRow({ tier: "batch", usd_per_thousand: { web_search: "10" } }),
  ]),
];
const CONTRACTS = [
  makeFile([makeRow({ source: "contract of alpha" })], { project_id: "alpha" }),
  makeFile([makeRow({ source: "contract of beta" })], { project_id: "beta" }, "secret"),
  makeFile([makeRow({ source: "contract of all" })]),
];

/** Prices need no engine. */
const NO_ENGINE = { kind: "embedded" } as unknown as Engine;
const api = makeTestApi(NO_ENGINE, { price_rows: new PriceRows(CONTRACTS, () => LIST) });

async function read(query: string, key = "key-alpha"): Promise<PricesAnswer> {
  const { status, text, json } = await api.ask(`/v1/prices${query}`, key);
  if (status !== 200) throw new Error(`${query} answered ${status}: ${text}`);
  return readStrictly(PricesAnswer, json);
}

async function idsOf(query: string, key?: string): Promise<string[]> {
  return (await read(query, key)).prices.map(({ price_id }) => price_id);
}

describe("the rows of a project", () => {
  test("are the list, the contracts of all, and its own alone", async () => {
    const shared = [
      "acme/m-1/batch/initial",
      "acme/m-1/standard/2026-03-01",
      "acme/m-1/standard/2026-06-01/in-eu",
      "acme/m-1/standard/2026-06-01/in-us",
      "acme/m-1/standard/initial",
      "acme/m-1/standard/initial/negotiated",
      "acme/m-1/standard/initial/over-1000",
    ];
    const own = ["acme/m-1/standard/initial/negotiated/alpha"];
    expect(await idsOf("")).toEqual([...shared, ...own].toSorted());
    const of_beta = await idsOf("", "key-beta");
    expect(of_beta).toEqual([...shared, "acme/secret/standard/initial/negotiated/beta"].toSorted());
    expect(await idsOf("?source=contract")).toEqual([shared[5], ...own]);
    expect((await read("")).evidence_date).toBe("2026-06-02");
  });

  test("say what they cost to the last digit, since when and until when", async () => {
    const { prices } = await read("?source=list&tier=standard");
    expect(
      prices.map((row) => [
        row.price_id.replace("acme/m-1/standard/", ""),
        row.region,
        row.valid_from,
        row.valid_to,
        row.usd_per_million,
      ]),
    ).toEqual([
      ["2026-03-01", null, "2026-03-01", null, { input_uncached: "0.1" }],
      ["2026-06-01/in-eu", "eu", "2026-06-01", null, { input_uncached: "1" }],
      ["2026-06-01/in-us", "us", "2026-06-01", null, { input_uncached: "1" }],
      ["initial", null, null, "2026-03-01", { input_uncached: "0.125", output_text: "2.000001" }],
      ["initial/over-1000", null, null, "2026-03-01", { input_uncached: "3" }],
    ]);
  });

  test.each([
    ["?day=2026-02-28&tier=standard&source=list", ["initial", "initial/over-1000"]],
    ["?day=2026-03-01&tier=standard&source=list", ["2026-03-01"]],
    [
      "?day=2026-06-01&tier=standard&source=list",
      ["2026-03-01", "2026-06-01/in-eu", "2026-06-01/in-us"],
    ],
    ["?model=M-1&tier=batch", ["acme/m-1/batch/initial"]],
    ["?model=m-1-ALSO&tier=batch", ["acme/m-1/batch/initial"]],
    ["?model=m&tier=batch", []],
    ["?search=1-A&tier=batch&provider=ACME", ["acme/m-1/batch/initial"]],
    ["?search=1-a&provider=other", []],
  ])("%s finds what it says", async (query, wanted) => {
    const ids = await idsOf(query);
    expect(ids.map((id) => id.replace("acme/m-1/standard/", ""))).toEqual(wanted);
  });

  test("come page by page, each once", async () => {
    const found: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const suffix: string = cursor === "" ? "" : `&cursor=${cursor}`;
      const page = await read(`?limit=3${suffix}`);
      expect(page.total).toBe(8);
      found.push(...page.prices.map(({ price_id }) => price_id));
      cursor = page.next_cursor;
    }
    expect(found).toEqual(await idsOf(""));
  });

  test.each(["?day=2026-02-30", "?limit=501", "?cursor=x", "?source=other", "?model="])(
    "%s is refused",
    async (query) => {
      expect((await api.ask(`/v1/prices${query}`)).status).toBe(400);
    },
  );
});

test("every row of the real book is one that the pricing knows, at the same price, and none lacks", () => {
  const rows = new PriceRows().list("");
  const lister = makePriceLister(loadPrices());
  expect(new Set(rows.map(({ price_id }) => price_id)).size).toBe(rows.length);
  for (const row of rows) {
    const known = lister.findRow(row.price_id);
    const prices = TOKEN_CLASSES.map((name) => {
      const text = row.usd_per_million[name];
      // A dollar for a million tokens is 10^6 picodollars for one.
      return text === undefined ? null : BigInt(Math.round(Number(text) * 1e6));
    });
    expect(known?.picodollars_per_token, row.price_id).toEqual(prices);
    expect([known?.tier, known?.region]).toEqual([row.tier, row.region ?? ""]);
  }
  const wanted = readPriceFiles().flatMap(({ models }) =>
    models.flatMap(({ prices }) => prices.map(({ regions }) => Math.max(1, regions.length))),
  );
  expect(rows).toHaveLength(wanted.reduce((sum, count) => sum + count, 0));
});

test("on any day the rows in force are those that a call of that day is priced by", () => {
  const list = readPriceFiles();
  const rows = new PriceRows([], () => list).list("");
  const lister = makePriceLister(compilePrices(list));
  const days = ["2024-01-01", "2025-08-15", "2026-10-12", "2026-11-21"];
  const models = new Map(
    rows
      .filter(({ tier, region }) => tier === "standard" && region === null)
      .map(({ provider, model }) => [`${provider}/${model}`, { provider, model }]),
  );
  let in_force = 0;
  for (const { provider, model } of models.values()) {
    const of_model = rows.filter(
      (row) =>
        row.provider === provider &&
        row.model === model &&
        row.tier === "standard" &&
        row.region === null,
    );
    for (const day of days) {
      const listed = lister.listPrices({
        project_id: "",
        provider,
        model,
        service_tier: "",
        region: "",
        at_ms: Date.parse(`${day}T12:00:00Z`),
      });
      const shown = of_model.filter(
        ({ valid_from, valid_to }) =>
          (valid_from ?? "") <= day && (valid_to === null || day < valid_to),
      );
      in_force += shown.length;
      expect(shown.map(({ price_id }) => price_id).toSorted(), `${model} ${day}`).toEqual(
        listed.map(({ price_id }) => price_id).toSorted(),
      );
    }
  }
  expect(in_force).toBeGreaterThan(1_000);
});
