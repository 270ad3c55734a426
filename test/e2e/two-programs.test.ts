/** The collector and the query API as two programs on one ClickHouse server, as in docker-compose.yml. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { openTestEngine, type TestEngine } from "../support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../support/fake-clickhouse.ts";
import { eventually, makeDataDirectory } from "../support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
const API_KEY = "a-key-of-24-characters-or-more";
const data = makeDataDirectory();
const children: ChildProcess[] = [];
let engine: TestEngine;
let clickhouse: FakeClickHouse;

beforeAll(async () => {
  engine = await openTestEngine();
  clickhouse = await startFakeClickHouse({
    directory: `${engine.directory}/clickhouse`,
    database: "spanledger",
  });
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await clickhouse.close();
  await engine.close();
  data.remove();
});

/** Starts a program and returns its ready line. */
function start(name: string): Promise<Record<string, string>> {
  const child = spawn(process.execPath, [LAUNCHER, name], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_CLICKHOUSE_URL: clickhouse.url,
      SPANLEDGER_DATA_DIR: data.path,
      SPANLEDGER_API_KEY: API_KEY,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_HTTP: "127.0.0.1:0",
      SPANLEDGER_MONITOR: "127.0.0.1:0",
    },
  });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.stdout.once("data", (chunk: Buffer) => {
      resolve(JSON.parse(chunk.toString()) as Record<string, string>);
    });
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code}`)));
  });
}

test("spans sent to the collector with the key are in the answer of the query API, and without it nowhere", async () => {
  const collector = await start("collector");
  const api = await start("query-api");
  const post = (key: string) =>
    fetch(`http://${collector["otlp_http"]}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf", authorization: `Bearer ${key}` },
      body: makeCallsBody(0, 30),
    });
  expect((await post("wrong")).status).toBe(401);
  expect((await post(API_KEY)).status).toBe(200);
  for (const path of ["healthz", "readyz", "metrics"]) {
    expect((await fetch(`http://${collector["monitor"]}/${path}`)).status, path).toBe(200);
  }

  const usage = (headers: Record<string, string>) =>
    fetch(`http://${api["http"]}/v1/usage?measures=calls,cost_usd`, { headers });
  expect((await usage({})).status).toBe(401);
  const { answer } = await eventually(
    async () => (await (await usage({ "x-api-key": API_KEY })).json()) as UsageAnswer,
    (found) => found.totals?.calls === 30,
    15_000,
  );
  // 30 * 0.00021
  expect(answer.totals.cost_usd).toBe("0.0063");
}, 60_000);
