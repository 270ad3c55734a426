/**
 * ClickHouse away, slow, and lying, behind the real program: spans go on being taken until the log is
 * full, then senders are asked back, and in the end everything acknowledged is counted once.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { openTestEngine, type TestEngine } from "../support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../support/fake-clickhouse.ts";
import { clearLedger } from "../support/ledger.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

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
  expect(asked.answer).toMatchObject({ error: { code: "storage_unavailable" } });
  expect((await fetch(`${program.api}/readyz`)).status).toBe(503);
  expect((await fetch(`${program.api}/healthz`)).status).toBe(200);

  await clickhouse.heal();
  const { answer } = await eventually(
    usage,
    (found) => found.status === 200 && found.answer.coverage.calls >= acknowledged,
    20_000,
  );
  expect(answer.answer.coverage.calls).toBe(acknowledged);
  expect((await post(makeCallsBody(1_000_000, 10))).status).toBe(200);
}, 60_000);

const FAILURES = [
  "error_500",
  "execute_then_drop",
  "reset",
  "memory_limit",
  "late_exception",
] as const;

test.each(FAILURES)(
  "with inserts failing as %s for a while everything is counted once",
  async (mode) => {
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
