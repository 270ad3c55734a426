/**
 * The price files against what the importer makes of the seed and the overlay, and against literals.
 * Invariant: the files in the tree are reviewed output; a change of either side shows here.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PRICED_PROVIDERS, readPriceFiles } from "../price-files.ts";
import { PriceFile } from "../prices.ts";
import type { ModelPrices } from "../prices.ts";
import { parseUsd } from "../units.ts";
import { diffPriceFiles, formatJson } from "./format.ts";
import { buildPriceFiles, importPrices, listUnpricedModels, readOverlay } from "./import.ts";
import { multiplyDecimals } from "./merge.ts";

const files = readPriceFiles();

function findModel(provider: string, model: string): ModelPrices {
  const found = files
    .find((file) => file.provider === provider)
    ?.models.find((entry) => entry.model === model);
  if (found === undefined) throw new Error(`no ${provider}/${model}`);
  return found;
}

/** The rows of the list price in every region without one of its own. */
function standardRows(provider: string, model: string): ModelPrices["prices"] {
  return findModel(provider, model).prices.filter(
    (row) => row.tier === "standard" && row.regions.length === 0,
  );
}

describe("the files in the tree", () => {
  test("are byte for byte what the importer makes", () => {
    const built = buildPriceFiles(readOverlay());
    expect(built.map((file) => file.provider)).toEqual(PRICED_PROVIDERS);
    for (const file of built) {
      const text = readFileSync(new URL(`./${file.provider}.json`, import.meta.url), "utf8");
      expect(`${formatJson(file)}\n` === text, `${file.provider}: run the importer`).toBe(true);
    }
  });

  test("pass the schema and say of every row where its price was read", () => {
    for (const file of files) {
      expect(PriceFile.safeParse(file).success).toBe(true);
      for (const model of file.models) {
        for (const row of model.prices) {
          expect(row.source).toMatch(/[a-z]/);
          expect(Date.parse(row.evidence_date)).toBeLessThanOrEqual(Date.parse("2026-11-21"));
        }
      }
    }
  });

  test("hold whole lower-case ids and no fragments, patterns or fine-tune prefixes", () => {
    for (const file of files) {
      for (const model of file.models) {
        for (const id of [model.model, ...model.aliases]) {
          expect(id).toMatch(/^[~@a-z0-9][a-z0-9._:/@-]*[a-z0-9]$/);
          expect(id).not.toMatch(/^ft:|-4-2025$|flash-0$/);
        }
      }
    }
  });

  test("hold list prices of the provider only", () => {
    const ids = files.flatMap((file) =>
      file.models.map((model) => `${file.provider} ${model.model}`),
    );
    expect(ids.filter((id) => id.startsWith("google claude"))).toEqual([]);
    expect(ids.filter((id) => id.startsWith("openai gpt-oss"))).toEqual([]);
  });
});

describe("the mapping", () => {
  test("gives an embedding model its input price only", () => {
    expect(findModel("openai", "text-embedding-3-small").prices).toEqual([
      expect.objectContaining({ usd_per_million: { input_uncached: "0.02" } }),
    ]);
    expect(findModel("google", "gemini-embedding-001").prices).toEqual([
      expect.objectContaining({ usd_per_million: { input_uncached: "0.15" } }),
    ]);
  });

  test("splits Anthropic's cache writes by lifetime and takes 5 minutes for unknown", () => {
    const standard = standardRows("anthropic", "claude-opus-4-5");
    expect(standard).toEqual([
      expect.objectContaining({
        valid_from: null,
        input_tokens_over: 0,
        usd_per_million: {
          input_uncached: "5",
          cache_read: "0.5",
          cache_write_5m: "6.25",
          cache_write_1h: "10",
          cache_write: "6.25",
          output_text: "25",
          output_reasoning: "25",
        },
      }),
    ]);
  });

  test("prices OpenAI's cache writes, audio and images in their own classes", () => {
    const [luna] = standardRows("openai", "gpt-6-luna");
    expect(luna?.usd_per_million).toEqual({
      input_uncached: "0.1",
      cache_read: "0.01",
      cache_write: "0.125",
      output_text: "0.5",
      output_reasoning: "0.5",
    });
    const [realtime] = standardRows("openai", "gpt-realtime");
    expect(realtime?.usd_per_million).toMatchObject({
      input_audio: "32",
      output_audio: "64",
      input_image: "5",
    });
  });

  test("makes a row for each date and for each prompt size at which a price changes", () => {
    const rows = standardRows("openai", "gpt-5.6-luna").map((row) => [
      row.valid_from,
      row.input_tokens_over,
      row.usd_per_million.input_uncached,
      row.usd_per_million.output_text,
    ]);
    expect(rows).toEqual([
      [null, 0, "1", "6"],
      [null, 271_999, "2", "9"],
      ["2026-07-30", 0, "0.2", "1.2"],
      ["2026-07-30", 271_999, "0.4", "1.8"],
    ]);
  });

  test("lists one Gemini input price for text and images, and audio where it differs", () => {
    const [flash] = standardRows("google", "gemini-2.5-flash");
    expect(flash?.usd_per_million).toEqual({
      input_uncached: "0.3",
      cache_read: "0.03",
      output_text: "2.5",
      output_reasoning: "2.5",
      input_audio: "1",
      input_image: "0.3",
    });
  });

  test("leaves out only what it says why", () => {
    const reasons = new Set(
      listUnpricedModels(files).map((line) => line.slice(line.lastIndexOf(": ") + 2)),
    );
    expect([...reasons].sort()).toEqual([
      "billed by request or by citation too",
      "no token price or no whole id",
      "price read at another seller",
      "priced by the time of day",
      "sold by Vertex AI",
    ]);
  });

  test("leaves out of OpenAI's list only models without a token price and resold ones", () => {
    const missing = listUnpricedModels(files)
      .filter((line) => line.startsWith("openai "))
      .map((line) => line.split(/ |: /)[1]);
    const expected = `
      ft:gpt-3.5-turbo- ft:gpt-4o ft:gpt-4o-mini gpt-4o-mini-2024-07-18.ft- gpt-5-image
      gpt-5-image-mini gpt-5.4-image-2 gpt-chat-latest gpt-oss-120b gpt-oss-20b
      gpt-oss-safeguard-20b gpt-transcribe moderation whisper-1`;
    expect(missing).toEqual(expected.trim().split(/\s+/));
  });

  test("takes a seller's own entry before one that it shares", () => {
    // Azure lists its own ada, an embedding model without an output price.
    expect(findModel("azure", "ada").prices.map((row) => row.usd_per_million)).toEqual([
      { input_uncached: "0.1" },
    ]);
    expect(findModel("azure", "gpt-4o").prices[0]?.usd_per_million).toMatchObject({
      input_uncached: "2.5",
      output_text: "10",
    });
  });

  test("gives Bedrock's global profile rows of its own beside the regional ones", () => {
    const model = findModel("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0");
    expect(model.prices.map((row) => [row.regions, row.usd_per_million.input_uncached])).toEqual([
      [[], "1.1"],
      [["global"], "1"],
    ]);
    expect(model.aliases).toContain("claude-haiku-4-5-20251001-v1:0");
  });
});

describe("the overlay", () => {
  test("prices every batch row of Anthropic at half the standard row of the same day and prompt size", () => {
    const models = files
      .filter((file) => file.provider === "anthropic")
      .flatMap((file) => file.models)
      .filter((model) => model.prices.some((row) => row.tier === "batch"));
    const listRows = (tier: string, factor: bigint) =>
      models.flatMap((model) =>
        model.prices
          .filter((row) => row.tier === tier)
          .map((row) => [
            model.model,
            row.regions,
            row.valid_from,
            row.input_tokens_over,
            Object.entries(row.usd_per_million).map(([name, price]) => [
              name,
              (parseUsd(price ?? "") ?? -1n) * factor,
            ]),
          ]),
      );
    expect(listRows("batch", 2n)).toEqual(listRows("standard", 1n));
    expect(listRows("batch", 2n).length).toBeGreaterThan(40);
  });

  test("prices Haiku 5.5 in two steps since 2026-10-07", () => {
    const rows = standardRows("anthropic", "claude-haiku-5-5");
    expect(rows.map((row) => [row.valid_from, row.input_tokens_over])).toEqual([
      ["2026-10-07", 0],
      ["2026-10-07", 100_000],
    ]);
    expect(rows.map((row) => Object.values(row.usd_per_million).join(" "))).toEqual([
      "0.1 0.01 0.125 0.2 0.125 0.5 0.5",
      "0.5 0.05 0.625 1 0.625 2.5 2.5",
    ]);
  });

  test("wins over the seed class by class and keeps the rest of the row", () => {
    const built = buildPriceFiles([
      {
        provider: "anthropic",
        currency: "USD",
        models: [
          {
            model: "claude-opus-4-5",
            aliases: ["opus-of-ours"],
            other_regions: "same",
            prices: [
              {
                valid_from: null,
                tier: "standard",
                regions: [],
                input_tokens_over: 0,
                usd_per_million: { cache_read: "0.25" },
                usd_per_thousand: {},
                source: "contract 7",
                evidence_date: "2026-11-01",
              },
            ],
          },
        ],
      },
    ]);
    const model = built
      .find((file) => file.provider === "anthropic")
      ?.models.find((entry) => entry.model === "claude-opus-4-5");
    const [row] = model?.prices.filter(({ tier }) => tier === "standard") ?? [];
    expect(model?.aliases).toContain("opus-of-ours");
    expect(row?.usd_per_million).toMatchObject({
      input_uncached: "5",
      cache_read: "0.25",
      output_text: "25",
    });
    expect(row?.source).toMatch(/^contract 7; rest: @pydantic/);
    // A rule works on the price as the overlay corrected it.
    const batch = model?.prices.find(({ tier }) => tier === "batch");
    expect(batch?.usd_per_million.cache_read).toBe("0.125");
  });
});

describe("multiplyDecimals", () => {
  test.each([
    ["3", "1.1", "3.3"],
    ["0.25", "0.5", "0.125"],
    ["10", "0.5", "5"],
    ["0", "1.1", "0"],
    ["0.01", "1.1", "0.011"],
    ["100", "10", "1000"],
  ])("%s times %s is %s", (a, b, product) => {
    expect(multiplyDecimals(a, b)).toBe(product);
  });
});

describe("the difference between two versions", () => {
  test("names each row that came, went or changed, with what it was", () => {
    const [file] = files;
    if (file === undefined) throw new Error("no price files");
    const [model] = file.models;
    const [row] = model?.prices ?? [];
    if (model === undefined || row === undefined) throw new Error("no rows");
    const make = (prices: ModelPrices["prices"]): PriceFile => ({
      provider: "acme",
      currency: "USD",
      models: [{ model: "m", aliases: [], other_regions: "same", prices }],
    });
    const flat = { ...row, tier: "standard", usd_per_thousand: {} };
    const before = make([
      { ...flat, usd_per_million: { input_uncached: "1" } },
      { ...flat, tier: "flex", usd_per_million: { input_uncached: "2" } },
    ]);
    const after = make([
      { ...flat, usd_per_million: { input_uncached: "3" } },
      { ...flat, tier: "batch", usd_per_million: { input_uncached: "4" } },
    ]);
    const from = row.valid_from ?? "initial";
    expect(diffPriceFiles(before, after)).toEqual([
      `+ acme/m/batch/${from} { "input_uncached": "4" } {}`,
      `- acme/m/flex/${from} { "input_uncached": "2" } {}`,
      `~ acme/m/standard/${from} { "input_uncached": "1" } {} -> { "input_uncached": "3" } {}`,
    ]);
    expect(diffPriceFiles(before, before)).toEqual([]);
  });

  test("is empty for the files in the tree", () => {
    expect(importPrices({ dry_run: true })).toEqual([]);
  });
});
