/** Negotiated prices: what is accepted, and that every problem is told with its place. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseNegotiatedPrices, readNegotiatedPrices } from "./price-files.ts";

const directory = mkdtempSync(join(tmpdir(), "prices-"));
afterAll(() => rmSync(directory, { recursive: true }));

const row = {
  usd_per_million: { input_uncached: "1.5" },
  source: "contract 7",
  evidence_date: "2026-11-01",
};

function fileOf(fields: Record<string, unknown>): unknown {
  const models = [{ model: "gpt-4o", prices: [row] }];
  return { provider: "openai", currency: "USD", models, ...fields };
}

function problemsOf(value: unknown): string[] {
  const result = parseNegotiatedPrices(typeof value === "string" ? value : JSON.stringify(value));
  return "problems" in result ? result.problems : [];
}

describe("parseNegotiatedPrices", () => {
  test("takes one file or a list, and fills in what a row leaves out", () => {
    const one = parseNegotiatedPrices(JSON.stringify(fileOf({ project_id: "p1" })));
    const filled = {
      valid_from: null,
      tier: "standard",
      regions: [],
      input_tokens_over: 0,
      usd_per_thousand: {},
      ...row,
    };
    const models = [{ model: "gpt-4o", aliases: [], other_regions: "same", prices: [filled] }];
    const file = { provider: "openai", currency: "USD", project_id: "p1", models };
    expect(one).toEqual({ files: [file] });
    const two = [fileOf({ project_id: "p1" }), fileOf({ project_id: "p2" }), fileOf({})];
    expect(problemsOf(two)).toEqual([]);
  });

  test.each([
    ["{", /^it is not JSON/],
    [fileOf({ currency: "EUR" }), /^currency: must be "USD": prices are in US dollars only$/],
    [fileOf({ prices: 1 }), /Unrecognized key/],
    [fileOf({ models: [] }), /^models: /],
    [
      fileOf({
        models: [
          { model: "m", prices: [{ ...row, usd_per_million: { input: "1", cache_read: "1" } }] },
        ],
      }),
      /^models\.0\.prices\.0\.usd_per_million: Unrecognized key/,
    ],
    [
      fileOf({
        models: [{ model: "m", prices: [{ ...row, usd_per_million: { cache_read: "1e-7" } }] }],
      }),
      /^models\.0\.prices\.0\.usd_per_million\.cache_read: a decimal with at most six decimals$/,
    ],
    [
      fileOf({ models: [{ model: "m", prices: [{ ...row, usd_per_million: {} }] }] }),
      /^models\.0\.prices\.0: needs a price in usd_per_million or usd_per_thousand$/,
    ],
    [
      fileOf({ models: [{ model: "m", prices: [row, { ...row, source: "another" }] }] }),
      /^openai\/m\/standard\/initial stands twice: remove one$/,
    ],
    [[fileOf({}), fileOf({})], /^openai has gpt-4o twice: remove one$/],
    [[fileOf({ project_id: "p" }), fileOf({ project_id: "p" })], /twice of project p: remove one$/],
  ])("refuses %j and says where and why", (value, problem) => {
    expect(problemsOf(value)).toEqual([expect.stringMatching(problem)]);
  });
});

test("the example of docs/prices.md is accepted", () => {
  const page = readFileSync(new URL("../docs/prices.md", import.meta.url), "utf8");
  const [, example = ""] = /```json\n([^]*?)```/.exec(page) ?? [];
  const result = parseNegotiatedPrices(example);
  expect(result).toMatchObject({ files: [{ provider: "azure" }] });
});

describe("readNegotiatedPrices", () => {
  test("says of a file that is missing what to do", () => {
    expect(() => readNegotiatedPrices(join(directory, "absent.json"))).toThrow(
      expect.objectContaining({
        code: "bad_prices",
        message: expect.stringMatching(/cannot be read .*correct the path or unset it$/) as string,
      }),
    );
  });

  test("tells every problem of a file in one message, up to ten", () => {
    const path = join(directory, "bad.json");
    const bad = { ...row, usd_per_million: { input_uncached: 1 } };
    const models = Array.from({ length: 12 }, (_, n) => ({ model: `m${n}`, prices: [bad] }));
    writeFileSync(path, JSON.stringify(fileOf({ models })));
    expect(() => readNegotiatedPrices(path)).toThrow(/models\.9\.[^]*and 2 more$/);
  });

  test("reads what is right", () => {
    const path = join(directory, "good.json");
    writeFileSync(path, JSON.stringify(fileOf({})));
    expect(readNegotiatedPrices(path).map((file) => file.provider)).toEqual(["openai"]);
  });
});
