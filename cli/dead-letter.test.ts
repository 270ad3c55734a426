/** `spanledger dead-letter`: its words, and the whole command on the embedded engine. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test, vi } from "vitest";
import { makeBlockWriter, makeRowWriter } from "../collector/columns/block.ts";
import { DeadLetters } from "../collector/dead-letter/store.ts";
import type { UsageAnswer } from "../schemas/api.ts";
import { BUCKET_S, encodeRecord, type RecordTable } from "../schemas/record.ts";
import { SET_ASIDE_COLUMNS, setAsideRow } from "../schemas/set-aside.ts";
import { eventually, makeDataDirectory, startServe } from "../test/support/program.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { runDeadLetter } from "./dead-letter.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));
const data = makeDataDirectory();
afterAll(() => data.remove());

function run(words: readonly string[], directory = data.path) {
  const env = { PATH: process.env["PATH"], SPANLEDGER_DATA_DIR: directory };
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(
      process.execPath,
      [LAUNCHER, "dead-letter", ...words],
      { env },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

test("words that cannot be understood are answered with the usage and 2, --help with 0", async () => {
  const wrong = [
    [],
    ["replay"],
    ["drop"],
    ["show"],
    ["show", "1", "2"],
    ["replay", "--all", "1"],
    ["list", "1"],
    ["eat"],
    ["list", "--what"],
  ];
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    }),
  );
  try {
    for (const words of wrong) {
      written.stderr = "";
      expect([words, await runDeadLetter(words)]).toEqual([words, 2]);
      expect(written.stderr).toContain("usage: spanledger dead-letter");
    }
    expect(written.stdout).toBe("");
    expect(await runDeadLetter(["--help"])).toBe(0);
    expect(written.stdout).toContain("replay --all | NAME...");
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
});

test("a data directory that is not there is an error that says what to set, and nothing is made", async () => {
  const { code, stderr } = await run(["list"], join(data.path, "nowhere"));
  expect(code).toBe(1);
  expect(stderr).toContain("Set SPANLEDGER_DATA_DIR");
});

const START_NS = BigInt(Date.now()) * 1_000_000n;
const WRITTEN_MS = Date.now();

/** A call of USD 0.000027, by the row of prices that `makeSpan` has. */
function spansOf(first: number, count: number) {
  return Array.from({ length: count }, (_unused, index) =>
    makeSpan({
      start_ns: START_NS + BigInt(first + index),
      trace_id: idBytes((first + index).toString(16).padStart(32, "0")),
      span_id: idBytes((first + index).toString(16).padStart(16, "0")),
      response_id: `r${first + index}`,
    }),
  );
}

function encode(table: RecordTable, rows: number, buckets: [string, number][], block: Uint8Array) {
  return Buffer.concat(encodeRecord({ header: { table, rows, buckets }, block }));
}

function spanPayload(sequence: number, first: number, count: number): Uint8Array {
  const batch = { ingest_seq: sequence, ingested_ms: WRITTEN_MS };
  const start_s = Number(START_NS / 1_000_000_000n);
  const buckets: [string, number][] = [["default", start_s - (start_s % BUCKET_S)]];
  return encode("spans", count, buckets, makeBlockWriter().encode(spansOf(first, count), batch));
}

async function totals(): Promise<UsageAnswer["totals"]> {
  const program = await startServe(data.path);
  try {
    const { answer } = await eventually(
      async () => fetch(`${program.api}/v1/usage?measures=calls,cost_usd`),
      ({ status }) => status === 200,
      20_000,
    );
    return ((await answer.json()) as UsageAnswer).totals;
  } finally {
    await program.end("SIGTERM");
  }
}

test("dead letters of the program and of its workers are listed, shown, replayed into an exact ledger, twice without a difference, and what is broken stays until it is dropped", async () => {
  const limits = { max_bytes: 1e9, max_files: 100 };
  const own = new DeadLetters(data.path, limits, Date.now);
  const worker = new DeadLetters(join(data.path, "workers", "2"), limits, Date.now);
  const keep = async () => {
    const shared = { written_ms: WRITTEN_MS };
    await own.keep({ ...shared, sequence: 5, payload: spanPayload(5, 1, 20) }, "w", "why", "c1");
    await worker.keep(
      { ...shared, sequence: 5, payload: spanPayload(5, 100, 10) },
      "v",
      "why",
      "c2",
    );
  };
  await keep();
  const cut = spanPayload(6, 200, 10).slice(0, -60);
  await own.keep({ sequence: 6, written_ms: WRITTEN_MS, payload: cut }, "w", "cut", "c3");
  const aside = makeRowWriter(SET_ASIDE_COLUMNS).encode(
    [setAsideRow(makeSpan({ start_ns: 5n, service_name: "old clock" }), "before_2000", WRITTEN_MS)],
    { ingest_seq: 7, ingested_ms: WRITTEN_MS },
  );
  await own.keep(
    { sequence: 7, written_ms: WRITTEN_MS, payload: encode("set_aside_items", 1, [], aside) },
    "w",
    "why",
    "c4",
  );

  // Nothing was ever stored: to list does not make an engine.
  const first = await run(["list", "--json"]);
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(first.stdout)).toMatchObject({
    dead_letters: [
      { name: "5", rows: 20, code: "c1" },
      { name: "6", rows: 10, code: "c3" },
      { name: "7", rows: 1, table: "set_aside_items" },
      { name: "workers/2/5", rows: 10, code: "c2" },
    ],
    refused_items: [],
  });
  const shown = await run(["show", "workers/2/5"]);
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining("reason: why") });

  const program = await startServe(data.path);
  const busy = await run(["replay", "--all"]);
  expect(busy.code).toBe(1);
  expect(busy.stderr).toContain('stop "spanledger serve"');
  await program.end("SIGTERM");

  const replayed = await run(["replay", "--all", "--json"]);
  expect(replayed.code).toBe(1);
  expect(JSON.parse(replayed.stdout)).toMatchObject({
    replayed: [
      { name: "5", error: null },
      { name: "6", error: expect.stringContaining("Cannot read all data") },
      { name: "7", error: null },
      { name: "workers/2/5", error: null },
    ],
  });
  await keep();
  expect(await run(["replay", "5", "workers/2/5"])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("2 replayed, 0 failed"),
  });
  // 30 * 0.000027
  expect(await totals()).toMatchObject({ calls: 30, cost_usd: "0.00081" });

  const listed = await run(["list"]);
  expect(listed.stdout).toContain("1 records that ClickHouse refused\n  6  ");
  expect(listed.stdout).toContain("1 span before_2000 project=default service=old clock");
  expect(await run(["drop", "6"])).toMatchObject({ code: 0, stdout: "6  dropped\n1 dropped\n" });
}, 120_000);
