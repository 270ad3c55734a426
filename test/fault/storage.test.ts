/**
 * ClickHouse away, slow, and lying, behind the real program: spans go on being taken until the log is
 * full, then senders are asked back, and in the end everything acknowledged is counted once.
 */
import { execFile } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { openTestEngine, type TestEngine } from "../support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../support/fake-clickhouse.ts";
import { clearLedger } from "../support/ledger.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));

let engine: TestEngine;
let clickhouse: FakeClickHouse;
let program: Program | null = null;
let data = makeDataDirectory();

beforeAll(async () => {
  engine = await openTestEngine();
  clickhouse = await startFakeClickHouse({
    directory: `${engine.directory}/clickhouse`,
    database: "spanledger",
  });
});
afterAll(async () => {
  await clickhouse.close();
  await engine.close();
});
afterEach(async () => {
  await clickhouse.heal();
  await program?.end("SIGKILL");
  program = null;
  data.remove();
  data = makeDataDirectory();
  await clearLedger(engine.engine);
});

async function post(body: Uint8Array<ArrayBuffer>): Promise<Response> {
  return fetch(`${program?.otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body,
  });
}

async function usage(): Promise<{ status: number; answer: UsageAnswer }> {
  const response = await fetch(`${program?.api}/v1/usage?measures=calls,cost_usd`);
  return { status: response.status, answer: (await response.json()) as UsageAnswer };
}

const settings = () => ({ SPANLEDGER_CLICKHOUSE_URL: clickhouse.url });

test("with ClickHouse away spans are taken until the log is full, then 503, and all is counted when it is back", async () => {
  await clickhouse.fail("refuse");
  program = await startServe(data.path, { ...settings(), SPANLEDGER_WAL_MAX_BYTES: "1048576" });
  expect(program.ready_ms).toBeLessThan(10_000);
  let acknowledged = 0;
  let refused: Response | null = null;
  for (let index = 0; index < 200 && refused === null; index += 1) {
    const response = await post(makeCallsBody(index * 100, 100));
    if (response.status === 200) acknowledged += 100;
    else refused = response;
  }
  expect(acknowledged).toBeGreaterThan(1_000);
  expect(refused?.status).toBe(503);
  expect(refused?.headers.get("retry-after")).toBe("1");
  expect(refused?.headers.get("content-type")).toBe("application/x-protobuf");

  const asked = await usage();
  expect(asked.status).toBe(503);
  // Nothing is known of keys yet, so nobody is shown anything.
  expect(asked.answer).toMatchObject({ error: { code: "keys_unavailable" } });
  expect((await fetch(`${program.api}/readyz`)).status).toBe(503);
  expect((await fetch(`${program.api}/healthz`)).status).toBe(200);

  await clickhouse.heal();
  const { answer } = await eventually(
    usage,
    (found) => found.status === 200 && found.answer.coverage.calls >= acknowledged,
    20_000,
  );
  expect(answer.answer.coverage.calls).toBe(acknowledged);
  // The rows are there before their segments are released, and the log is full until then.
  const taken = await eventually(
    () => post(makeCallsBody(1_000_000, 10)),
    (response) => response.status === 200,
    20_000,
  );
  expect(taken.answer.status).toBe(200);
}, 60_000);

/** How inserts fail for a while, with the row of research/reliability.md 3.2. */
const FAILURES = [
  ["C06", "error_500"],
  ["C04", "execute_then_drop"],
  ["C04", "reset"],
  ["C05", "late_exception"],
  ["C06", "memory_limit"],
  ["C06", "too_many_parts"],
  ["C06", "timeout"],
  ["C14", "half_insert"],
  ["C15", "disk_full"],
] as const;

test.each(FAILURES)(
  "%s: with inserts failing as %s for a while everything is counted once",
  async (_id, mode) => {
    program = await startServe(data.path, settings());
    await eventually(usage, (found) => found.status === 200, 10_000);
    for (let index = 0; index < 5; index += 1) {
      expect((await post(makeCallsBody(index * 20, 20))).status).toBe(200);
    }
    await clickhouse.fail(mode);
    for (let index = 5; index < 10; index += 1) {
      expect((await post(makeCallsBody(index * 20, 20))).status).toBe(200);
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
    }
    await clickhouse.heal();
    const { answer } = await eventually(
      usage,
      (found) => found.status === 200 && found.answer.coverage.calls >= 200,
      20_000,
    );
    // 200 * 0.00021
    expect(answer.answer.totals).toMatchObject({ calls: 200, cost_usd: "0.042" });
  },
  60_000,
);

test("a killed collector gives the server what it had acknowledged", async () => {
  await clickhouse.fail("refuse");
  program = await startServe(data.path, settings());
  expect((await post(makeCallsBody(0, 70))).status).toBe(200);
  await program.end("SIGKILL");
  await clickhouse.heal();
  program = await startServe(data.path, settings());
  const { answer } = await eventually(
    usage,
    (found) => found.status === 200 && found.answer.coverage.calls >= 70,
    20_000,
  );
  expect(answer.answer.totals.calls).toBe(70);
}, 60_000);

test("C03: with inserts that take a second there is one at a time, and everything is counted once", async () => {
  program = await startServe(data.path, settings());
  await eventually(usage, (found) => found.status === 200, 10_000);
  await clickhouse.fail("slow", 1_000);
  const before = clickhouse.statements.length;
  for (let index = 0; index < 20; index += 1) {
    expect((await post(makeCallsBody(index * 10, 10))).status).toBe(200);
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
  expect(clickhouse.peak_inserts).toBe(1);
  const inserts = clickhouse.statements
    .slice(before)
    .filter((sql) => sql.startsWith("INSERT INTO spans"));
  expect(inserts.length).toBeLessThanOrEqual(4);
  await clickhouse.heal();
  const { answer } = await eventually(
    usage,
    (found) => found.status === 200 && found.answer.coverage.calls >= 200,
    20_000,
  );
  expect(answer.answer.totals).toMatchObject({ calls: 200, cost_usd: "0.042" });
}, 60_000);

function deadLetter(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env["PATH"], SPANLEDGER_DATA_DIR: data.path, ...settings() };
  return new Promise((resolve) => {
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

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${program?.api}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

test("C07: what ClickHouse refuses is set aside and told, replayed once the cause is mended, and counted once however often it is replayed", async () => {
  program = await startServe(data.path, settings());
  await eventually(usage, (found) => found.status === 200, 10_000);
  expect((await post(makeCallsBody(0, 50))).status).toBe(200);
  await eventually(usage, (found) => found.answer.coverage.calls === 50, 20_000);

  await clickhouse.fail("incorrect_data");
  expect((await post(makeCallsBody(50, 30))).status).toBe(200);
  await eventually(
    () => metric("spanledger_dead_letter_records"),
    (records) => records === 1,
    20_000,
  );
  await eventually(
    async () => program?.log() ?? "",
    (log) => log.includes("was set aside"),
    10_000,
  );
  // A replay before the cause is mended fails, says why, and leaves it there.
  const early = await deadLetter("replay", "--all", "--json");
  expect(early.code).toBe(1);
  expect(JSON.parse(early.stdout)).toMatchObject({
    replayed: [{ rows: 30, error: expect.stringContaining("Expected end of block") }],
  });
  await clickhouse.heal();
  expect((await post(makeCallsBody(80, 20))).status).toBe(200);
  const { answer } = await eventually(usage, (found) => found.answer.coverage.calls >= 70, 20_000);
  expect(answer.answer.totals).toMatchObject({ calls: 70, cost_usd: "0.0147" });

  const listed = await deadLetter("list", "--json");
  expect(listed.code).toBe(0);
  const { dead_letters } = JSON.parse(listed.stdout) as { dead_letters: { name: string }[] };
  expect(dead_letters).toMatchObject([
    { table: "spans", rows: 30, projects: ["default"], code: "clickhouse_117" },
  ]);
  const name = dead_letters[0]?.name ?? "";
  const folder = join(data.path, "dead-letter");
  cpSync(folder, `${folder}-copy`, { recursive: true });
  for (let round = 0; round < 2; round += 1) {
    const replayed = await deadLetter("replay", name);
    expect(replayed).toMatchObject({ code: 0, stdout: expect.stringContaining("1 replayed") });
    const { answer: after } = await eventually(
      usage,
      (found) => found.answer.coverage.calls >= 100,
      20_000,
    );
    // 100 * 0.00021
    expect(after.answer.totals).toMatchObject({ calls: 100, cost_usd: "0.021" });
    expect(await metric("spanledger_dead_letter_records")).toBe(0);
    expect((await deadLetter("replay", name)).code).toBe(1);
    cpSync(`${folder}-copy`, folder, { recursive: true });
  }
  expect((await deadLetter("drop", "--all")).code).toBe(0);
  expect(await metric("spanledger_dead_letter_records")).toBe(0);
}, 120_000);
