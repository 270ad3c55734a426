/**
 * The price files against what the importer makes of the seed and the overlay, and against literals.
 * Invariant: the files in the tree are reviewed output; a change of either side shows here.
 */
import { readFileSync } from "node:fs";
import { findProvider } from "@pydantic/genai-prices";
import { describe, expect, test } from "vitest";
import { readPriceFiles } from "../price-files.ts";
import { PriceFile } from "../prices.ts";
import type { ModelPrices } from "../prices.ts";
import { parseUsd } from "../units.ts";
import { IMPORTED_PROVIDERS, buildPriceFiles, formatJson, readOverlay } from "./import.ts";

const files = readPriceFiles();

function findModel(provider: string, model: string): ModelPrices {
  const found = files
    .find((file) => file.provider === provider)
    ?.models.find((entry) => entry.model === model);
  if (found === undefined) throw new Error(`no ${provider}/${model}`);
  return found;
}

describe("the files in the tree", () => {
  test("are byte for byte what the importer makes", () => {
    const built = buildPriceFiles(readOverlay());
    expect(built.map((file) => file.provider)).toEqual(IMPORTED_PROVIDERS);
    for (const file of built) {
      const text = readFileSync(new URL(`./${file.provider}.json`, import.meta.url), "utf8");
      expect(`${formatJson(file)}\n` === text, `${file.provider}: run the importer`).toBe(true);
    }
  });

  test("pass the schema and say of every row where its price was read", () => {
    for (const file of files) {
      expect(PriceFile.safeParse(file).success).toBe(true);
      for (const model of file.models) {
        for (const row of model.prices) expect(row.source).toMatch(/\d/);
      }
    }
  });

  test("hold whole lower-case ids and no fragments, patterns or fine-tune prefixes", () => {
    for (const file of files) {
      for (const model of file.models) {
        for (const id of [model.model, ...model.aliases]) {
          expect(id).toMatch(/^[a-z0-9][a-z0-9.:-]*[a-z0-9]$/);
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
    expect(ids.filter((id) => id.includes("gpt-oss"))).toEqual([]);
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
    const standard = findModel("anthropic", "claude-opus-4-5").prices.filter(
      (row) => row.tier === "standard",
    );
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
    const [luna] = findModel("openai", "gpt-6-luna").prices;
    expect(luna?.usd_per_million).toEqual({
      input_uncached: "0.1",
      cache_read: "0.01",
      cache_write: "0.125",
      output_text: "0.5",
      output_reasoning: "0.5",
    });
    const [realtime] = findModel("openai", "gpt-realtime").prices;
    expect(realtime?.usd_per_million).toMatchObject({
      input_audio: "32",
      output_audio: "64",
      input_image: "5",
    });
  });

  test("makes a row for each date and for each prompt size at which a price changes", () => {
    const rows = findModel("openai", "gpt-5.6-luna").prices.map((row) => [
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
    const [flash] = findModel("google", "gemini-2.5-flash").prices;
    expect(flash?.usd_per_million).toEqual({
      input_uncached: "0.3",
      cache_read: "0.03",
      output_text: "2.5",
      output_reasoning: "2.5",
      input_audio: "1",
      input_image: "0.3",
    });
  });

  test("leaves out only models without a token price, resold ones and fine-tune prefixes", () => {
    const missing = IMPORTED_PROVIDERS.flatMap((provider) => {
      const ids = new Set(
        files
          .filter((file) => file.provider === provider)
          .flatMap((file) => file.models.flatMap((model) => [model.model, ...model.aliases])),
      );
      const models = findProvider({ providerId: provider })?.models ?? [];
      return models
        .map((model) => model.id)
        .filter((id) => !ids.has(id) && !id.startsWith("claude-"));
    });
    const expected = `
      gemma-2-27b-it gemma-3 gemma-3n gemma-4-26b-a4b-it gemma-4-26b-a4b-it-maas gemma-4-31b-it
      ft:gpt-3.5-turbo- ft:gpt-4o ft:gpt-4o-mini gpt-4o-mini-2024-07-18.ft- gpt-5-image
      gpt-5-image-mini gpt-5.4-image-2 gpt-chat-latest gpt-oss-120b gpt-oss-20b
      gpt-oss-safeguard-20b gpt-transcribe moderation whisper-1`;
    expect(missing).toEqual(expected.trim().split(/\s+/));
  });
});

describe("the overlay", () => {
  test("prices every batch row at half the standard row of the same day and prompt size", () => {
    const models = files
      .flatMap((file) => file.models)
      .filter((model) => model.prices.some((row) => row.tier === "batch"));
    const listRows = (tier: string, factor: bigint) =>
      models.flatMap((model) =>
        model.prices
          .filter((row) => row.tier === tier)
          .map((row) => [
            model.model,
            row.valid_from,
            row.input_tokens_over,
            Object.entries(row.usd_per_million).map(([name, price]) => [
              name,
              (parseUsd(price ?? "") ?? -1n) * factor,
            ]),
          ]),
      );
    expect(listRows("batch", 2n)).toEqual(listRows("standard", 1n));
    // 17 models of one row, 4.6 Opus and Sonnet of three, Sonnet 4.5 and Haiku 5.5 of two.
    expect(listRows("batch", 2n)).toHaveLength(27);
  });

  test("prices Haiku 5.5 in two steps since 2026-10-07", () => {
    const rows = findModel("anthropic", "claude-haiku-5-5").prices.filter(
      (row) => row.tier === "standard",
    );
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
    const [file] = buildPriceFiles([
      {
        provider: "anthropic",
        currency: "USD",
        models: [
          {
            model: "claude-opus-4-5",
            aliases: ["opus-of-ours"],
            prices: [
              {
                valid_from: null,
                tier: "standard",
                input_tokens_over: 0,
                usd_per_million: { cache_read: "0.25" },
                source: "contract 7",
              },
            ],
          },
        ],
      },
    ]);
    const model = file?.models.find((entry) => entry.model === "claude-opus-4-5");
    expect(model?.aliases).toContain("opus-of-ours");
    expect(model?.prices).toHaveLength(1);
    expect(model?.prices[0]?.usd_per_million).toMatchObject({
      input_uncached: "5",
      cache_read: "0.25",
      output_text: "25",
    });
    expect(model?.prices[0]?.source).toMatch(/^contract 7; rest: @pydantic/);
  });
});
