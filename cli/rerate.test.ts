/** `spanledger prices rerate`: how it is asked, what it prints, and the whole command on a real ledger. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { RatingReport } from "../collector/rating/report.ts";
import { makeDataDirectory, startServe } from "../test/support/program.ts";
import { formatReport, readFilter } from "./rerate.ts";

const NO_WORDS = {
  from: undefined,
  to: undefined,
  provider: undefined,
  model: undefined,
  project: undefined,
};

describe("the filter", () => {
  test("is all calls without words, and else what they say", () => {
    expect(readFilter(NO_WORDS)).toEqual({
      from: null,
      to: null,
      provider: null,
      model: null,
      project_id: null,
    });
    const words = { from: "2026-11-01", to: "2026-11-01", provider: "a", model: "b", project: "c" };
    expect(readFilter(words)).toEqual({
      from: "2026-11-01",
      to: "2026-11-01",
      provider: "a",
      model: "b",
      project_id: "c",
    });
  });

  test.each([
    [{ from: "2026-02-30" }, "--from must be a UTC day"],
    [{ to: "yesterday" }, "--to must be a UTC day"],
    [{ to: "2026-11-21T00:00:00Z" }, "--to must be a UTC day"],
    [{ from: "1969-12-31" }, "--from must be a UTC day"],
    [{ to: "2106-02-07" }, "--to must be a UTC day"],
    [{ from: "2026-11-02", to: "2026-11-01" }, "is after"],
    [{ project: "" }, "--project is empty"],
  ])("%j is refused", (words, message) => {
    expect(() => readFilter({ ...NO_WORDS, ...words })).toThrow(message);
  });
});

const sums = {
  calls: 12,
  calls_changed: 2,
  newly_priced: 1,
  no_longer_priced: 0,
  cost_usd_before: "1.5",
  cost_usd_after: "2.000000000001",
};
const report: RatingReport = {
  ...sums,
  dry_run: false,
  fingerprint: "f",
  from: null,
  to: null,
  provider: null,
  model: null,
  project_id: null,
  spans_changed: 3,
  models: [{ provider: "openai", model: "gpt-4o", ...sums }],
};

describe("the report for people", () => {
  test("is a table of the models and a sentence", () => {
    const lines = formatReport(report).trimEnd().split("\n");
    const cells = ["12", "2", "1", "0", "1.5", "2.000000000001"];
    expect(lines.map((line) => line.trim().split(/ {2,}/)).slice(1)).toEqual([
      ["openai", "gpt-4o", ...cells],
      ["all", "-", ...cells],
      ["2 of 12 calls change (3 rows): USD 1.5 -> 2.000000000001. Written."],
    ]);
    expect(lines[0]).toMatch(/^PROVIDER {2}MODEL +CALLS .* COST BEFORE USD {2}COST AFTER USD$/);
    expect(new Set(lines.slice(0, 3).map((line) => line.length)).size).toBe(1);
  });

  test("says so when nothing changes, and when nothing was written", () => {
    expect(formatReport({ ...report, spans_changed: 0, calls_changed: 0, models: [] })).toBe(
      "12 calls, USD 2.000000000001: all are priced by this price book.\n",
    );
    expect(formatReport({ ...report, dry_run: true })).toContain("Nothing was written");
  });
});

const LAUNCHER = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));
const data = makeDataDirectory();
const folder = mkdtempSync(join(tmpdir(), "spanledger-rerate-"));
const prices_file = join(folder, "prices.json");
afterAll(() => {
  data.remove();
  rmSync(folder, { recursive: true, force: true });
});

function run(words: readonly string[], settings: Readonly<Record<string, string>> = {}) {
  const env = { PATH: process.env["PATH"], SPANLEDGER_DATA_DIR: data.path, ...settings };
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(
      process.execPath,
      [LAUNCHER, "prices", "rerate", ...words],
      { env },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
const START_NS = BigInt(Math.floor(Date.now() / 86_400_000) * 86_400 - 3_600) * 1_000_000_000n;
const DAY = new Date(Number(START_NS / 1_000_000n)).toISOString().slice(0, 10);

const BODY = JSON.stringify({
  resourceSpans: [
    {
      resource: { attributes: [text("service.name", "checkout")] },
      scopeSpans: [
        {
          scope: { name: "test", version: "1" },
          spans: [
            {
              traceId: "0102030405060708090a0b0c0d0e0f10",
              spanId: "a1a2a3a4a5a6a7a8",
              name: "chat house-model",
              kind: 3,
              startTimeUnixNano: String(START_NS),
              endTimeUnixNano: String(START_NS + 1_000_000n),
              attributes: [
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.provider.name", "acme"),
                text("gen_ai.request.model", "house-model"),
                { key: "gen_ai.usage.input_tokens", value: { intValue: "1000000" } },
                { key: "gen_ai.usage.output_tokens", value: { intValue: "0" } },
              ],
            },
          ],
        },
      ],
    },
  ],
});

function writePrices(input_uncached: string): void {
  const row = {
    usd_per_million: { input_uncached, output_text: "1" },
    source: "contract",
    evidence_date: "2026-11-01",
  };
  const model = { model: "house-model", prices: [row] };
  writeFileSync(
    prices_file,
    JSON.stringify({ provider: "acme", currency: "USD", models: [model] }),
  );
}

async function readCost(api: string): Promise<unknown> {
  const answer = await fetch(`${api}/v1/calls`);
  const { calls } = (await answer.json()) as { calls: { cost_usd: unknown; reason: string }[] };
  return calls.map(({ cost_usd, reason }) => [cost_usd, reason.includes("the price book has no")]);
}

async function waitFor<Value>(read: () => Promise<Value>, isDone: (value: Value) => boolean) {
  for (;;) {
    const value = await read();
    if (isDone(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("the command", () => {
  test("prices history by a new price file, once the server has stopped", async () => {
    const own = { SPANLEDGER_PRICES_FILE: prices_file };
    const server = await startServe(data.path);
    await fetch(`${server.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: BODY,
    });
    await waitFor(
      () => readCost(server.api),
      (calls) => JSON.stringify(calls) === "[[null,true]]",
    );
    expect(server.log()).not.toContain("price book has changed");

    writePrices("3");
    const refused = await run([], own);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain('stop "spanledger serve"');
    await server.end("SIGTERM");

    const dry = await run(["--dry-run", "--json", "--from", DAY, "--to", DAY], own);
    const wanted = {
      calls: 1,
      calls_changed: 1,
      newly_priced: 1,
      no_longer_priced: 0,
      cost_usd_before: "0",
      cost_usd_after: "3",
    };
    expect(JSON.parse(dry.stdout)).toMatchObject({
      ...wanted,
      dry_run: true,
      from: DAY,
      models: [{ provider: "acme", model: "house-model", ...wanted }],
    });
    const told = await startServe(data.path, own);
    await waitFor(
      () => Promise.resolve(told.log()),
      (log) => log.includes("price book has changed"),
    );
    expect(await readCost(told.api)).toEqual([[null, true]]);
    await told.end("SIGTERM");

    const done = await run([], own);
    expect(done.stdout).toContain("1 of 1 calls change (1 rows): USD 0 -> 3. Written.");
    expect((await run([], own)).stdout).toBe(
      "1 calls, USD 3: all are priced by this price book.\n",
    );
    const after = await startServe(data.path, own);
    expect(await readCost(after.api)).toEqual([["3", false]]);
    const usage = await fetch(`${after.api}/v1/usage?group_by=model`);
    expect(JSON.stringify(await usage.json())).toContain('"3"');
    expect(after.log()).not.toContain("price book has changed");
    await after.end("SIGTERM");
  }, 90_000);
});
