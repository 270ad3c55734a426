/**
 * What Spanledger tells of itself in one run of the real program with accepted, partly accepted and
 * refused requests over HTTP and gRPC: metrics, log lines and traces. The expected numbers are those
 * of the requests that this file sends.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCollectorMetrics } from "../../collector/metrics.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { GrpcClient } from "../support/grpc-client.ts";
import { encodeLogsRequest, encodeTraceRequest } from "../support/otlp-proto.ts";
import { type OtlpSink, startOtlpSink, type SunkSpan } from "../support/otlp-sink.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
const API_KEY = "key-of-the-collector-4f9a1c7e2b";
const WRONG_KEY = "key-of-nobody-93d0b7a6e5c4f2";
const EXPORT_KEY = "key-of-the-backend-7c2e9d41";
const CLICKHOUSE_PASSWORD = "p@ss/of:clickhouse";
const COOKIE = "session=cookie-of-somebody-51";
const CANARY = "canary-prompt-that-nobody-may-log-8812";
const TRACE_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/** Trace that a sender says it is in; spans of ours must not be in it. */
const SENDER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

const data = makeDataDirectory();
let program: Program;
let sink: OtlpSink;

function post(
  path: string,
  body: Uint8Array<ArrayBuffer> | string,
  headers: Record<string, string> = {},
) {
  return fetch(`${program.otlp}${path}`, {
    method: "POST",
    headers: { "x-api-key": API_KEY, "content-type": "application/x-protobuf", ...headers },
    body,
  });
}

const JSON_TYPE = { "content-type": "application/json" };

/** A body of spans in JSON: one good with a prompt, one without an id, one of 1990. */
function makeJsonBody(): string {
  const start = String(BigInt(Date.now()) * 1_000_000n);
  const span = (number: number, startTimeUnixNano: string, spanId: string) => ({
    traceId: "ab".repeat(15) + number.toString(16).padStart(2, "0"),
    spanId,
    name: "chat",
    startTimeUnixNano,
    endTimeUnixNano: startTimeUnixNano,
    attributes: [
      { key: "gen_ai.prompt", value: { stringValue: CANARY } },
      { key: "gen_ai.request.model", value: { stringValue: "gpt-4o-mini" } },
    ],
  });
  const spans = [
    span(1, start, "cd".repeat(8)),
    span(2, start, ""),
    span(3, "631152000000000000", "ef".repeat(8)),
  ];
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ scope: { name: "t" }, spans }] }] });
}

function makeLogs(): Uint8Array<ArrayBuffer> {
  const timeUnixNano = BigInt(Date.now()) * 1_000_000n;
  const record = { timeUnixNano, body: { stringValue: CANARY } };
  return encodeLogsRequest({
    resourceLogs: [{ scopeLogs: [{ scope: { name: "app" }, logRecords: [record, record] }] }],
  });
}

/** One call that two instrumentations report, one inside the other: the counting rules decide. */
function makeTwins(): Uint8Array<ArrayBuffer> {
  const start = BigInt(Date.now()) * 1_000_000n;
  const span = (spanId: string, parentSpanId: string) => ({
    traceId: Buffer.from("77".repeat(16), "hex"),
    spanId: Buffer.from(spanId.repeat(8), "hex"),
    parentSpanId: Buffer.from(parentSpanId.repeat(8), "hex"),
    name: "chat gpt-4o-mini",
    kind: 3,
    startTimeUnixNano: start,
    endTimeUnixNano: start + 1_000_000n,
    attributes: [
      { key: "gen_ai.operation.name", value: { stringValue: "chat" } },
      { key: "gen_ai.provider.name", value: { stringValue: "openai" } },
      { key: "gen_ai.request.model", value: { stringValue: "gpt-4o-mini" } },
      { key: "gen_ai.usage.input_tokens", value: { intValue: 70n } },
      { key: "gen_ai.usage.output_tokens", value: { intValue: 7n } },
    ],
  });
  const spans = [span("a1", ""), span("b2", "a1")];
  return encodeTraceRequest({ resourceSpans: [{ scopeSpans: [{ scope: { name: "t" }, spans }] }] });
}

/** Sends everything once; the statuses are as OTLP has them. */
async function sendAll(): Promise<void> {
  const traceparent = `00-${SENDER_TRACE}-00f067aa0ba902b7-01`;
  const answers = [
    await post("/v1/traces", makeCallsBody(0, 10), { traceparent, cookie: COOKIE }),
    await post("/v1/traces", gzipSync(makeCallsBody(100, 20)), { "content-encoding": "gzip" }),
    await post("/v1/traces", makeJsonBody(), JSON_TYPE),
    await post("/v1/logs", makeLogs()),
    await post("/v1/traces", makeTwins()),
    await post("/v1/traces", makeCallsBody(0, 1), { "x-api-key": WRONG_KEY }),
    await post("/v1/traces", `{"${CANARY}`, JSON_TYPE),
    await post("/v1/traces", new Uint8Array(70_000)),
    await post("/v1/traces", CANARY, { "content-encoding": "gzip" }),
    await post("/v1/nothing", makeCallsBody(0, 1)),
  ];
  expect(answers.map(({ status }) => status)).toEqual([
    200, 200, 200, 200, 200, 401, 400, 413, 400, 404,
  ]);
  const client = new GrpcClient(program.otlp_grpc.replace("http://", ""));
  const headers = { "x-api-key": API_KEY };
  const codes = [
    (await client.call(TRACE_EXPORT, makeCallsBody(200, 7), { headers })).code,
    (await client.call(TRACE_EXPORT, Buffer.from(CANARY), { headers })).code,
    (await client.call(TRACE_EXPORT, makeCallsBody(0, 1), { headers: { "x-api-key": WRONG_KEY } }))
      .code,
  ];
  client.close();
  const asked = await fetch(`${program.api}/v1/usage?${CANARY}=1`, {
    headers: { ...headers, cookie: COOKIE },
  });
  expect(asked.status).toBe(400);
  // OK, INVALID_ARGUMENT, UNAUTHENTICATED
  expect(codes).toEqual([0, 3, 16]);
}

/** Samples by name and labels. */
async function readMetrics(api = program.api): Promise<Map<string, number>> {
  const text = await (await fetch(`${api}/metrics`, { headers: { "x-api-key": API_KEY } })).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space).replace(/^spanledger_/, ""), Number(line.slice(space + 1))];
    }),
  );
}

beforeAll(async () => {
  sink = await startOtlpSink();
  program = await startServe(data.path, {
    SPANLEDGER_API_KEY: API_KEY,
    SPANLEDGER_MAX_BODY_BYTES: "65536",
    OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${EXPORT_KEY}`,
    OTEL_SERVICE_NAME: "ledger-under-test",
  });
  await sendAll();
}, 60_000);
afterAll(async () => {
  await program.end("SIGTERM");
  await sink.close();
  data.remove();
});

describe("metrics", () => {
  test("requests are counted by signal, transport, encoding and status, and refusals by reason", async () => {
    const metrics = await readMetrics();
    const requests = [...metrics].filter(([name]) => name.startsWith("otlp_requests_total"));
    const labels = (signal: string, transport: string, encoding: string, status: number) =>
      `otlp_requests_total{signal="${signal}",transport="${transport}",encoding="${encoding}",status="${status}"}`;
    expect(Object.fromEntries(requests)).toEqual({
      [labels("traces", "http", "protobuf", 200)]: 3,
      [labels("traces", "http", "json", 200)]: 1,
      [labels("logs", "http", "protobuf", 200)]: 1,
      [labels("traces", "http", "json", 400)]: 1,
      [labels("traces", "http", "none", 400)]: 1,
      [labels("traces", "http", "none", 401)]: 1,
      [labels("traces", "http", "none", 413)]: 1,
      [labels("", "http", "none", 404)]: 1,
      [labels("traces", "grpc", "protobuf", 200)]: 1,
      [labels("traces", "grpc", "protobuf", 400)]: 1,
      [labels("traces", "grpc", "none", 401)]: 1,
    });
    const refused = [...metrics].filter(([name]) => name.startsWith("otlp_refused_requests_total"));
    const reason = (signal: string, transport: string, word: string) =>
      `otlp_refused_requests_total{signal="${signal}",transport="${transport}",reason="${word}"}`;
    expect(Object.fromEntries(refused)).toEqual({
      [reason("traces", "http", "decode")]: 2,
      [reason("traces", "http", "unauthenticated")]: 1,
      [reason("traces", "http", "too_large")]: 1,
      [reason("", "http", "unsupported")]: 1,
      [reason("traces", "grpc", "decode")]: 1,
      [reason("traces", "grpc", "unauthenticated")]: 1,
    });
  });

  test("items are counted as accepted, rejected by reason, and ignored; spans by the way they were read", async () => {
    const metrics = await readMetrics();
    expect(metrics.get('accepted_items_total{signal="traces"}')).toBe(40);
    expect(metrics.get('accepted_items_total{signal="logs"}')).toBe(2);
    expect(metrics.get('ignored_items_total{signal="logs"}')).toBe(2);
    expect(metrics.get('rejected_items_total{signal="traces",reason="invalid_id"}')).toBe(1);
    expect(metrics.get('rejected_items_total{signal="traces",reason="invalid_time"}')).toBe(1);
    const in_place = metrics.get('read_spans_total{way="in_place"}') ?? 0;
    const objects = metrics.get('read_spans_total{way="object"}') ?? 0;
    expect(in_place + objects).toBe(40);
    // The JSON span is one, and each shape of a span is learned from an object.
    expect(objects).toBeGreaterThanOrEqual(2);
    expect(in_place).toBeGreaterThan(objects);
  });

  test("every family is there, and those of what happened in this run have moved", async () => {
    await eventually(
      readMetrics,
      (metrics) =>
        metrics.get("inserted_rows_total") === 41 &&
        (metrics.get("recompute_duration_seconds_count") ?? 0) > 0,
      20_000,
    );
    const response = await fetch(`${program.api}/metrics`, { headers: { "x-api-key": API_KEY } });
    const text = await response.text();
    const families = (await makeCollectorMetrics().registry.getMetricsAsJSON()).map(
      ({ name }) => name,
    );
    const missing = families.filter((name) => !text.includes(`# TYPE ${name} `));
    expect(missing).toEqual([]);
    const metrics = await readMetrics();
    const moved = [
      'otlp_received_bytes_total{transport="http"}',
      'otlp_received_bytes_total{transport="grpc"}',
      'otlp_inflated_bytes_total{signal="traces"}',
      'otlp_inflated_bytes_total{signal="logs"}',
      "counted_calls_total",
      "ack_duration_seconds_count",
      "commit_group_requests_count",
      "commit_group_spans_sum",
      "wal_sync_duration_seconds_count",
      "wal_sync_records_sum",
      "wal_written_bytes_total",
      "wal_bytes",
      "insert_duration_seconds_count",
      'insert_step_duration_seconds_count{step="insert"}',
      'insert_step_duration_seconds_count{step="resolve"}',
      'insert_step_duration_seconds_count{step="mark"}',
      "insert_batch_rows_sum",
      "resolve_duration_seconds_count",
      "recomputed_buckets_total",
      'build_info{version="0.1.0",engine="embedded"}',
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
    ];
    expect(moved.filter((name) => !((metrics.get(name) ?? 0) > 0))).toEqual([]);
    // Of the time since the last look, which was just now.
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
    const later = await readMetrics();
    for (const name of ["p99", "max"]) {
      expect(later.get(`nodejs_eventloop_lag_${name}_seconds`), name).toBeGreaterThan(0);
    }
    // Nothing is being worked on any more, and nothing has failed.
    const at_rest = ["otlp_in_flight_requests", "otlp_in_flight_bytes", "waiting_spans"];
    const failures = [
      "wal_sync_failures_total",
      "resolve_failures_total",
      "set_aside_records_total",
    ];
    expect([...at_rest, ...failures].map((name) => metrics.get(name))).toEqual([0, 0, 0, 0, 0, 0]);
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain("default");
  });
});

describe("traces of itself", () => {
  /** Children of a span, by name. */
  const childrenOf = (parent: SunkSpan) =>
    new Map(
      sink.spans
        .filter(({ parentSpanId = [] }) =>
          Buffer.from(parentSpanId).equals(Buffer.from(parent.spanId ?? [])),
        )
        .map((span) => [span.name ?? "", span] as const),
    );
  const attribute = (span: SunkSpan, key: string) =>
    Object.values(span.attributes?.find((each) => each.key === key)?.value ?? {})[0];

  test("export requests arrive at the endpoint with their steps, and so do groups, batches and rounds", async () => {
    const names = () => sink.spans.map(({ name }) => name);
    const wanted = ["export request", "wal sync group", "insert batch", "recompute round"];
    await eventually(
      async () => names(),
      (found) => wanted.every((name) => found.includes(name)),
      20_000,
    );
    const requests = sink.spans.filter(({ name }) => name === "export request");
    // Those that came to the pipeline: 5 and 1 accepted, 1 and 1 that cannot be decoded.
    expect(requests).toHaveLength(8);
    const accepted = requests.filter(
      (span) => attribute(span, "spanledger.accepted_items") === 10n,
    );
    expect(accepted).toHaveLength(1);
    for (const span of accepted) {
      expect([...childrenOf(span).keys()].toSorted()).toEqual(["decode", "sync", "wait"]);
      const sync = childrenOf(span).get("sync");
      expect([...childrenOf(sync as SunkSpan).keys()]).toEqual(["wal sync group"]);
      for (const child of childrenOf(span).values()) {
        expect(child.startTimeUnixNano).toBeGreaterThanOrEqual(span.startTimeUnixNano as bigint);
        expect(child.endTimeUnixNano).toBeLessThanOrEqual(span.endTimeUnixNano as bigint);
      }
      expect(span.resource).toMatchObject({ "service.name": "ledger-under-test" });
    }
    const refused = requests.filter(({ status }) => status?.code === 2);
    expect(new Set(refused.map((span) => attribute(span, "error.type")))).toEqual(
      new Set(["invalid_json", "invalid_protobuf"]),
    );
    const batch = sink.spans.find(({ name }) => name === "insert batch") as SunkSpan;
    expect([...childrenOf(batch).keys()]).toContain("insert");
    const steps = sink.spans.filter(({ name }) => name === "resolve" || name === "mark");
    expect(steps.length).toBeGreaterThanOrEqual(2);
  });

  test("they are roots of their own, are sent with the headers that were set, and hold nothing of a request", () => {
    const ids = new Set(sink.spans.map(({ traceId = [] }) => Buffer.from(traceId).toString("hex")));
    expect(ids.has(SENDER_TRACE)).toBe(false);
    expect(new Set(sink.requests.map(({ path }) => path))).toEqual(new Set(["/v1/traces"]));
    expect(sink.requests[0]?.headers["x-api-key"]).toBe(EXPORT_KEY);
    expect(sink.requests[0]?.headers["user-agent"]).toContain("spanledger-self/");
    const text = JSON.stringify(sink.spans, (_key, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    for (const word of [CANARY, API_KEY, WRONG_KEY, "gpt-4o-mini"])
      expect(text).not.toContain(word);
  });
});

/** Runs a program until it has logged a text or the time is over; resolves with all of stderr. */
async function logOf(
  name: string,
  settings: Record<string, string>,
  until: string,
): Promise<string> {
  const other = makeDataDirectory();
  const child = spawn(process.execPath, [LAUNCHER, name], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_DATA_DIR: other.path,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_MONITOR: "127.0.0.1:0",
      ...settings,
    },
  });
  let text = "";
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const exited = once(child, "exit");
  await eventually(
    async () => text,
    (found) => found.includes(until) || child.exitCode !== null,
    20_000,
  );
  child.kill("SIGTERM");
  await exited;
  other.remove();
  return text;
}

describe("the log", () => {
  test("is one JSON object a line, without any secret or prompt of the run", () => {
    const lines = program.log().trimEnd().split("\n");
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) {
      const fields = JSON.parse(line) as Record<string, unknown>;
      expect(fields).toMatchObject({ program: "serve" });
      expect(["info", "warn", "error"]).toContain(fields["level"]);
      expect(Number.isFinite(Date.parse(String(fields["time"])))).toBe(true);
    }
    for (const secret of [API_KEY, WRONG_KEY, EXPORT_KEY, COOKIE, CANARY]) {
      expect(program.log()).not.toContain(secret);
    }
  });

  test("of a ClickHouse that is away tells that it is, and not with which password it was asked", async () => {
    const password = encodeURIComponent(CLICKHOUSE_PASSWORD);
    const text = await logOf(
      "collector",
      { SPANLEDGER_CLICKHOUSE_URL: `http://writer:${password}@127.0.0.1:1/db` },
      "ClickHouse is away",
    );
    expect(text).toContain("ClickHouse is away");
    expect(text).not.toContain(CLICKHOUSE_PASSWORD);
    expect(text).not.toContain(password);
  });

  test("has only the levels that were asked for", async () => {
    const text = await logOf(
      "collector",
      {
        SPANLEDGER_CLICKHOUSE_URL: "http://127.0.0.1:1/db",
        SPANLEDGER_LOG_LEVEL: "warn",
      },
      "ClickHouse is away",
    );
    const levels = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).level as string);
    expect(new Set(levels)).toEqual(new Set(["warn"]));
  });
});

/** A port that is free now. */
async function findPort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("a collector that traces itself into itself stores its traces, and comes to rest", async () => {
  const other = makeDataDirectory();
  const port = await findPort();
  const self = await startServe(other.path, {
    SPANLEDGER_OTLP_HTTP: `127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
  });
  const accepted = async () =>
    (await readMetrics(self.api)).get('accepted_items_total{signal="traces"}') ?? 0;
  try {
    await fetch(`${self.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: makeCallsBody(0, 5),
    });
    await eventually(accepted, (count) => count > 5, 20_000);
    // At rest: nothing new for longer than two exports take to come.
    let last = { count: 0, since_ms: performance.now() };
    await eventually(
      async () => {
        const count = await accepted();
        if (count !== last.count) last = { count, since_ms: performance.now() };
        return performance.now() - last.since_ms;
      },
      (quiet_ms) => quiet_ms > 6_000,
      45_000,
    );
    // The request and its group are 5 spans, and batches and rounds of ten seconds not many more.
    expect(last.count).toBeLessThan(200);
  } finally {
    await self.end("SIGTERM");
    other.remove();
  }
}, 90_000);
