/**
 * Several collectors behind one port, on one ClickHouse server: what senders were told is stored is
 * counted once, whichever worker took it, whoever is killed, and however many there are afterwards.
 * The truth is kept by the sender.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT_CONTEXT, SpanKind } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { makeCallsBody } from "../support/bodies.ts";
import { openTestEngine, type TestEngine } from "../support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../support/fake-clickhouse.ts";
import { encodeTraceRequest } from "../support/otlp-proto.ts";
import { eventually, makeDataDirectory } from "../support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const EXPORT_SUCCESS = 0;
/** Longest until everything acknowledged is in the answer, ms; the machine may be busy. */
const CATCH_UP_MS = 30_000;

let engine: TestEngine;
let clickhouse: FakeClickHouse;
let data: ReturnType<typeof makeDataDirectory>;
const running = new Set<Collectors>();

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
beforeEach(async () => {
  data = makeDataDirectory();
  for (const table of ["spans", "call_decisions", "rollup_dirty"]) {
    await engine.engine.command(`TRUNCATE TABLE ${table}`);
  }
});
afterEach(async () => {
  for (const collectors of running) await collectors.end("SIGKILL");
  await clickhouse.heal();
  data.remove();
});

interface Collectors {
  readonly ready: Readonly<Record<string, string | number | null>>;
  readonly otlp: string;
  log(): string;
  /** Signals the first process and waits for its end. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null>;
}

interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly output: { stdout: string; stderr: string };
}

function run(argv: readonly string[], settings: Readonly<Record<string, string>> = {}): Started {
  const child = spawn(process.execPath, [LAUNCHER, ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_CLICKHOUSE_URL: clickhouse.url,
      SPANLEDGER_DATA_DIR: data.path,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_MONITOR: "127.0.0.1:0",
      SPANLEDGER_INSERT_MAX_AGE_MS: "100",
      SPANLEDGER_RECOMPUTE_INTERVAL_MS: "500",
      ...settings,
    },
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  // "close" and not "exit": what it wrote last is in the output then.
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, exited, output };
}

/** Starts collectors and waits for the ready line. */
async function start(
  argv: readonly string[],
  settings?: Readonly<Record<string, string>>,
): Promise<Collectors> {
  const { child, exited, output } = run(argv, settings);
  const failed = exited.then((code) => {
    throw new Error(`ended with ${code} before it was ready:\n${output.stderr}`);
  });
  const told = eventually(
    () => Promise.resolve(output.stdout),
    (text) => text.includes("\n"),
    CATCH_UP_MS,
  );
  await Promise.race([told, failed]);
  failed.catch(() => {});
  expect(output.stdout.trim().split("\n")).toHaveLength(1);
  const ready = JSON.parse(output.stdout) as Collectors["ready"];
  const collectors: Collectors = {
    ready,
    otlp: `http://${ready["otlp_http"]}`,
    log: () => output.stderr,
    end(signal) {
      running.delete(collectors);
      child.kill(signal);
      return exited;
    },
  };
  running.add(collectors);
  return collectors;
}

/** The process that has the log of a worker open. */
function pidOf(worker: number): number {
  return Number.parseInt(readFileSync(join(data.path, `workers/${worker}/wal/lock`), "utf8"), 10);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Posts a body on a connection of its own, so that the next one goes to the next worker. */
function post(collectors: Collectors, body: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${collectors.otlp}/v1/traces`, {
      method: "POST",
      agent: new Agent({ keepAlive: false }),
      headers: { "content-type": "application/x-protobuf", "content-length": body.length },
    });
    sent.on("error", reject);
    sent.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.end(body);
  });
}

/** Spans that each worker acknowledged since it was started, by its number. */
async function acceptedByWorker(collectors: Collectors): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${collectors.ready["monitor"]}/metrics`)).text();
  const lines = text.matchAll(
    /^spanledger_accepted_items_total\{signal="traces",worker="(\d+)"\} (\d+)$/gm,
  );
  return new Map([...lines].map(([, worker = "", count]) => [worker, Number(count)]));
}

interface Totals {
  readonly calls: number;
  readonly cost_usd: number;
  readonly duplicates: number;
}

async function readTotals(): Promise<Totals> {
  const [row] = await engine.engine.query<Totals>(
    `SELECT toFloat64(count()) AS calls, toFloat64(sum(cost_input_uncached + cost_output_text)) AS cost_usd,
       toFloat64(sum(duplicates)) AS duplicates
     FROM calls`,
  );
  return row as Totals;
}

/** Waits until that many calls count, and a moment longer: no more may come. */
async function expectCalls(calls: number): Promise<void> {
  await eventually(readTotals, (totals) => totals.calls >= calls, CATCH_UP_MS);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const totals = await readTotals();
  expect(totals.calls).toBe(calls);
  // 0.00021 US dollars each (test/support/bodies.ts).
  expect(totals.cost_usd).toBeCloseTo(calls * 0.00021, 9);
}

/** An exporter that gives a batch again until it was taken, as a gateway with a queue does. */
function persist(exporter: SpanExporter, count: (spans: number) => void): SpanExporter {
  return {
    export(spans, done) {
      const attempt = () => {
        exporter.export(spans, (result) => {
          if (result.error !== undefined || (result.code as number) !== EXPORT_SUCCESS)
            return void setTimeout(attempt, 100);
          count(spans.length);
          done(result);
        });
      };
      attempt();
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}

test("a worker killed under real exporters loses nothing and counts nothing twice", async () => {
  const collectors = await start(["collector", "--workers", "2"]);
  expect(collectors.ready).toMatchObject({ msg: "ready", workers: 2 });
  let acknowledged = 0;
  let started = 0;
  const url = `${collectors.otlp}/v1/traces`;
  const grpc_url = `http://${collectors.ready["otlp_grpc"]}`;
  const exporters = [
    new JsonExporter({ url, timeoutMillis: 2_000 }),
    new ProtobufExporter({ url, timeoutMillis: 2_000 }),
    new GrpcExporter({ url: grpc_url, timeoutMillis: 2_000 }),
    new GrpcExporter({ url: grpc_url, timeoutMillis: 2_000 }),
  ];
  const providers = exporters.map((of_kind, index) => {
    const exporter = persist(of_kind, (spans) => {
      acknowledged += spans;
    });
    return new TracerProvider({
      resource: resourceFromAttributes({ "service.name": `sender-${index}` }),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter,
          scheduledDelayMillis: 50,
          maxQueueSize: 20_000,
          exportTimeoutMillis: 60_000,
        }),
      ],
    });
  });
  const sendFor = async (duration_ms: number) => {
    const ending = AbortSignal.timeout(duration_ms);
    while (!ending.aborted) {
      for (const provider of providers) {
        const span = provider.getTracer("test").startSpan(
          "chat gpt-4o-mini",
          {
            kind: SpanKind.CLIENT,
            attributes: {
              "gen_ai.operation.name": "chat",
              "gen_ai.provider.name": "openai",
              "gen_ai.request.model": "gpt-4o-mini",
              "gen_ai.usage.input_tokens": 1000,
              "gen_ai.usage.output_tokens": 100,
            },
          },
          ROOT_CONTEXT,
        );
        span.end();
        started += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  };

  await sendFor(1_000);
  const victim = pidOf(2);
  process.kill(victim, "SIGKILL");
  await sendFor(1_500);
  await eventually(
    async () => (await acceptedByWorker(collectors)).get("2") ?? 0,
    (count) => count >= 0 && pidOf(2) !== victim,
    CATCH_UP_MS,
  );
  await sendFor(1_000);
  await Promise.all(providers.map((provider) => provider.forceFlush()));
  await eventually(
    () => Promise.resolve(acknowledged),
    (count) => count >= started,
    CATCH_UP_MS,
  );
  expect(acknowledged).toBe(started);
  expect(started).toBeGreaterThan(500);
  await expectCalls(started);
  expect(collectors.log()).toContain("worker 2 ended by SIGKILL: starting it again");
  const metrics = await (await fetch(`http://${collectors.ready["monitor"]}/metrics`)).text();
  expect(metrics).toContain('spanledger_worker_restarts_total{worker="2"} 1');
  await Promise.all(providers.map((provider) => provider.shutdown()));
  expect(await collectors.end("SIGTERM")).toBe(0);
}, 120_000);

test("two reports of a call that different workers take at one time count once", async () => {
  const collectors = await start(["collector", "--workers", "2"]);
  const PAIRS = 40;
  const report = (pair: number, side: number) => {
    const start_ns = BigInt(Date.now()) * 1_000_000n;
    const text = (key: string, value: string) => ({ key, value: { stringValue: value } });
    return encodeTraceRequest({
      resourceSpans: [
        {
          resource: { attributes: [text("service.name", side === 0 ? "app" : "gateway")] },
          scopeSpans: [
            {
              scope: { name: side === 0 ? "sdk" : "gateway", version: "1" },
              spans: [
                {
                  traceId: Buffer.from(`${side + 1}${pair}`.padStart(32, "a"), "hex"),
                  spanId: Buffer.from(`${side + 1}${pair}`.padStart(16, "b"), "hex"),
                  name: "chat gpt-4o-mini",
                  kind: 3,
                  startTimeUnixNano: start_ns,
                  endTimeUnixNano: start_ns + 1_000_000n,
                  attributes: [
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.provider.name", "openai"),
                    text("gen_ai.request.model", "gpt-4o-mini"),
                    text("gen_ai.response.id", `chatcmpl-pair-${pair}`),
                    { key: "gen_ai.usage.input_tokens", value: { intValue: 1000n } },
                    { key: "gen_ai.usage.output_tokens", value: { intValue: 100n } },
                  ],
                },
              ],
            },
          ],
        },
      ],
    });
  };
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const statuses = await Promise.all(
      [0, 1].map((side) => post(collectors, report(100 + pair, side))),
    );
    expect(statuses).toEqual([200, 200]);
    // Some pairs fall into one round of inserts, others into two.
    await new Promise((resolve) => setTimeout(resolve, (pair * 7) % 60));
  }
  const accepted = await acceptedByWorker(collectors);
  expect(accepted.get("1")).toBeGreaterThan(PAIRS / 2);
  expect(accepted.get("2")).toBeGreaterThan(PAIRS / 2);
  await eventually(readTotals, ({ duplicates }) => duplicates === PAIRS, CATCH_UP_MS);
  await expectCalls(PAIRS);
}, 120_000);

test("a backlog of workers that are no more is inserted, by fewer workers and by one process", async () => {
  await clickhouse.fail("refuse");
  let collectors = await start(["collector", "--workers", "2"]);
  for (let index = 0; index < 4; index += 1) {
    expect(await post(collectors, makeCallsBody(index * 50, 50))).toBe(200);
  }
  expect([...(await acceptedByWorker(collectors)).values()]).toEqual([100, 100]);
  await collectors.end("SIGKILL");

  await clickhouse.heal();
  collectors = await start(["collector", "--workers", "1"]);
  await expectCalls(200);
  expect(await collectors.end("SIGTERM")).toBe(0);

  await clickhouse.fail("refuse");
  collectors = await start(["collector", "--workers", "3"]);
  for (let index = 4; index < 10; index += 1) {
    expect(await post(collectors, makeCallsBody(index * 50, 50))).toBe(200);
  }
  expect(await collectors.end("SIGTERM")).toBe(0);

  await clickhouse.heal();
  collectors = await start(["collector"]);
  await expectCalls(500);
  expect(await collectors.end("SIGTERM")).toBe(0);
}, 120_000);

test("the monitor answers for all workers, and all end with their supervisor", async () => {
  const collectors = await start(["collector", "--workers", "2"]);
  const pids = [pidOf(1), pidOf(2)];
  const monitor = `http://${collectors.ready["monitor"]}`;
  expect((await fetch(`${monitor}/healthz`)).status).toBe(200);
  const readyz = await fetch(`${monitor}/readyz`);
  expect(readyz.status).toBe(200);
  expect(await readyz.json()).toEqual({
    status: "ready",
    workers: [
      { worker: 1, status: "ready" },
      { worker: 2, status: "ready" },
    ],
  });
  const lines = (await (await fetch(`${monitor}/metrics`)).text()).split("\n");
  expect(lines).toContain("spanledger_workers 2");
  expect(lines).toContain("spanledger_workers_ready 2");
  // One head for a metric, however many workers have it.
  expect(lines.filter((line) => line.startsWith("# TYPE spanledger_wal_bytes "))).toHaveLength(1);
  expect(lines.filter((line) => line.startsWith("spanledger_wal_bytes{"))).toHaveLength(2);
  expect(lines).toContain('spanledger_ack_duration_seconds_bucket{le="+Inf",worker="2"} 0');

  // A supervisor that is killed cannot ask its workers to stop.
  await collectors.end("SIGKILL");
  await eventually(
    () => Promise.resolve(pids.filter(isAlive)),
    (alive) => alive.length === 0,
    10_000,
  );
}, 60_000);

test("a start that cannot go well ends with what to do, and leaves no worker", async () => {
  const embedded = run(["collector", "--workers", "2"], { SPANLEDGER_CLICKHOUSE_URL: "" });
  expect(await embedded.exited).toBe(1);
  expect(embedded.output.stderr).toContain("set SPANLEDGER_CLICKHOUSE_URL");

  for (const count of ["0", "65", "two", ""]) {
    const refused = run(["collector", "--workers", count]);
    expect(await refused.exited).toBe(2);
    expect(refused.output.stderr).toContain("a number from 1 to 64");
  }

  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as { port: number };
  const taken = run(["collector", "--workers", "2"], {
    SPANLEDGER_OTLP_HTTP: `127.0.0.1:${port}`,
    SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
  });
  expect(await taken.exited).toBe(1);
  expect(taken.output.stderr).toContain(`127.0.0.1:${port} is taken by another program`);
  expect(taken.output.stdout).toBe("");
  await new Promise((resolve) => other.close(resolve));
}, 60_000);
