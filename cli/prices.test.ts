/** `spanledger prices`: what it lists, what it finds old, and how it is asked. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { PriceFile } from "../schemas/prices.ts";
import { formatPrices, isAskedFor, type ListedPrice, listPrices, tellOldPrices } from "./prices.ts";

const file: PriceFile = {
  provider: "acme",
  currency: "USD",
  project_id: "p1",
  models: [
    {
      model: "m",
      aliases: ["m-2026"],
      other_regions: "same",
      prices: [
        {
          valid_from: "2026-06-01",
          tier: "standard",
          regions: ["eu", "us"],
          input_tokens_over: 100,
          usd_per_million: { input_uncached: "1.5", output_text: "6" },
          usd_per_thousand: { web_search: "8" },
          source: "contract 7",
          evidence_date: "2026-08-20",
        },
      ],
    },
  ],
};

const now_ms = Date.parse("2026-11-21T12:00:00Z");
const rows = listPrices([file], { negotiated: true, now_ms });

describe("listPrices", () => {
  test("gives a line to each region of a row, with the age of its evidence in days", () => {
    expect(rows.map((row) => [row.price_id, row.region, row.age_days])).toEqual([
      ["acme/m/standard/2026-06-01/in-eu/over-100/negotiated/p1", "eu", 93],
      ["acme/m/standard/2026-06-01/in-us/over-100/negotiated/p1", "us", 93],
    ]);
  });

  test("is found by provider and by exact id or alias in any case, never by a prefix", () => {
    const found = (provider?: string, model?: string) =>
      rows.filter((row) => isAskedFor(row, provider, model)).length;
    expect(found()).toBe(2);
    expect(found("ACME", "M-2026")).toBe(2);
    expect(found("acme", "m-20")).toBe(0);
    expect(found("other")).toBe(0);
  });

  test("prints a table for people", () => {
    const [title, line] = formatPrices(rows).split("\n");
    expect(title).toMatch(/^PRICE +TIER +REGION +FROM +PRICES USD +AGE +SOURCE$/);
    expect(line).toMatch(
      / standard +eu +2026-06-01 +input_uncached 1\.5, output_text 6, web_search 8\/1000 +93 +contract 7$/,
    );
  });
});

describe("tellOldPrices", () => {
  test("tells rows above the limit of days and none at it", () => {
    expect(tellOldPrices(rows, 93)).toEqual([]);
    expect(tellOldPrices(rows, 92)).toEqual([
      expect.stringMatching(/^old: 2 rows of acme read 2026-08-20, 93 days ago: acme\/m\//),
    ]);
  });
});

describe("the command", () => {
  const directory = mkdtempSync(join(tmpdir(), "prices-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  function run(words: readonly string[], prices_file = "") {
    return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const program = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));
      const env = { ...process.env, SPANLEDGER_PRICES_FILE: prices_file };
      const options = { env, maxBuffer: 64 * 1024 ** 2 };
      execFile("node", [program, "prices", ...words], options, (error, stdout, stderr) => {
        resolve({ code: Number(error?.code ?? 0), stdout, stderr });
      });
    });
  }

  test("lists negotiated rows before list prices, as JSON", async () => {
    const path = join(directory, "good.json");
    const own = { ...file, provider: "openai" };
    const models = [{ ...file.models[0], model: "gpt-4o", aliases: [] }];
    writeFileSync(path, JSON.stringify({ ...own, models }));
    const { code, stdout } = await run(["list", "--model", "gpt-4o", "--json"], path);
    const listed = JSON.parse(stdout) as ListedPrice[];
    expect(code).toBe(0);
    expect(listed[0]?.price_id).toBe(
      "openai/gpt-4o/standard/2026-06-01/in-eu/over-100/negotiated/p1",
    );
    expect(listed.map((row) => row.price_id)).toContain("openai/gpt-4o/standard/initial");
  });

  test("check passes with the files that ship and tells models without a price", async () => {
    const { code, stdout } = await run(["check", "--max-age-days", "9999"]);
    expect(code).toBe(0);
    expect(stdout).toContain("no price: deepseek deepseek-chat: priced by the time of day");
    expect(stdout).not.toContain("old: ");
    expect(stdout).toMatch(/ 0 errors\n$/);
  });

  test("check fails when the negotiated file cannot be used, and says why", async () => {
    const path = join(directory, "bad.json");
    writeFileSync(path, JSON.stringify({ ...file, currency: "EUR" }));
    const { code, stdout } = await run(["check"], path);
    expect(code).toBe(1);
    expect(stdout).toContain('currency: must be "USD"');
  });

  test("import --dry-run finds the files in the tree up to date", async () => {
    const { code, stdout } = await run(["import", "--dry-run"]);
    expect(stdout).toBe("0 changes. Nothing was written.\n");
    expect(code).toBe(0);
  });

  test.each([[], ["lst"], ["list", "--dry-run"], ["check", "--max-age-days", "x"], ["list", "x"]])(
    "refuses %j with its usage",
    async (...words) => {
      const { code, stderr } = await run(words);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^usage: spanledger prices list/);
    },
  );

  test.each(["list", "check", "import"])("%s --help prints the usage", async (name) => {
    const { code, stdout } = await run([name, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^usage: spanledger prices list/);
  });
});
