/**
 * The three signals through the real HTTP server and the real stages, down to the log on a disk that
 * loses power on command: what a sender is told, and what is kept of what it sent.
 */
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { decodeRecord, type RecordTable } from "../schemas/record.ts";
import { FaultyDisk } from "../test/support/faulty-disk.ts";
import { writeOtlpJson } from "../test/support/otlp-oracle.ts";
import {
  encodeLogsRequest,
  encodeMetricsRequest,
  encodeTraceRequest,
  type OtlpKeyValue,
  type OtlpLogsRequest,
  type OtlpMetricsRequest,
  type OtlpTraceRequest,
} from "../test/support/otlp-proto.ts";
import { type BatchTarget, startInsertLoop } from "./insert/loop.ts";
import { loadPriceBook, makePipeline, type PipelineResult } from "./pipeline.ts";
import {
  decodeExportResponse,
  decodeStatus,
  send,
  startServer,
  type TestServer,
} from "./receive/fixture.ts";
import type { OtlpEncoding, OtlpSignal } from "./receive/reply.ts";
import { openWal, type Wal } from "./wal/wal.ts";

const book = loadPriceBook();
const ENCODINGS: readonly OtlpEncoding[] = ["protobuf", "json"];
const SIGNALS: readonly OtlpSignal[] = ["traces", "logs", "metrics"];
const TYPES: Readonly<Record<OtlpEncoding, string>> = {
  protobuf: "application/x-protobuf",
  json: "application/json",
};
/** How many of a signal were refused, as its OTLP/JSON answer names it. */
const REJECTED: Readonly<Record<OtlpSignal, string>> = {
  traces: "rejectedSpans",
  logs: "rejectedLogRecords",
  metrics: "rejectedDataPoints",
};
const NANOSECONDS_PER_DAY = 86_400_000_000_000n;

let disk: FaultyDisk;
let wal: Wal;
let server: TestServer;
/** What the pipeline said of each request, in order. */
let results: PipelineResult[];

async function open(): Promise<void> {
  wal = await openWal({
    directory: "/log",
    disk: disk.connect(),
    segment_max_bytes: 1 << 20,
    max_bytes: 1 << 30,
    now_ms: Date.now,
    new_uuid: () => "0f0e0d0c-0b0a-4908-8706-050403020100",
  });
  const pipeline = makePipeline({
    wal,
    book,
    capture_content: false,
    max_future_s: 86_400,
    max_age_s: 10 * 366 * 86_400,
    seed: 1,
    now_ms: Date.now,
    onSynced: () => {},
  });
  server = await startServer({
    async exportBody(...call) {
      const result = await pipeline.exportBody(...call);
      results.push(result);
      return result;
    },
  });
}

beforeEach(async () => {
  disk = new FaultyDisk(1);
  results = [];
  await open();
});
afterEach(async () => {
  await server.close();
  await wal.close();
});

function attribute(key: string, value: string | number): OtlpKeyValue {
  return { key, value: typeof value === "string" ? { stringValue: value } : { intValue: value } };
}

const resource = { attributes: [attribute("service.name", "shop")] };

function now(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** A request of model calls, one for each start. */
function makeTraces(...starts: bigint[]): OtlpTraceRequest {
  const spans = starts.map((start, index) => ({
    traceId: Buffer.alloc(16, 7),
    spanId: Buffer.alloc(8, index + 1),
    name: "chat",
    kind: 3,
    startTimeUnixNano: start,
    endTimeUnixNano: start,
    attributes: [attribute("gen_ai.operation.name", "chat")],
  }));
  return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "shop" }, spans }] }] };
}

/** A request of events that Claude Code writes for a model call, or of the same from elsewhere. */
function makeLogs(source: "claude_code" | "shop", ...times: bigint[]): OtlpLogsRequest {
  const logRecords = times.map((time, index) => ({
    timeUnixNano: time,
    observedTimeUnixNano: time,
    body: { stringValue: `${source}.api_request` },
    attributes: [
      attribute("session.id", "a session"),
      attribute("event.name", "api_request"),
      attribute("event.sequence", index),
      attribute("model", "claude-sonnet-4-5-20250929"),
      attribute("input_tokens", 25),
      attribute("output_tokens", 60),
      attribute("cache_read_tokens", 0),
      attribute("cache_creation_tokens", 0),
    ],
  }));
  const name = source === "shop" ? source : "com.anthropic.claude_code.events";
  const scope = { name, version: "2.1.329" };
  return { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords }] }] };
}

/** A request of data points of a counter of tokens, or of another metric. */
function makeMetrics(name: string, ...times: bigint[]): OtlpMetricsRequest {
  const dataPoints = times.map((time, index) => ({
    startTimeUnixNano: time - 1_000_000_000n,
    timeUnixNano: time,
    asInt: 25n,
    attributes: [
      attribute("session.id", `session ${index}`),
      attribute("model", "claude-sonnet-4-5"),
      attribute("type", "input"),
    ],
  }));
  const sum = { dataPoints, aggregationTemporality: 1, isMonotonic: true };
  const scope = { name: "com.anthropic.claude_code", version: "2.1.329" };
  const metrics = [{ name, unit: "tokens", sum }];
  return { resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics }] }] };
}

/** Bodies of items that are stored, at these times. */
const MAKE: Readonly<Record<OtlpSignal, (encoding: OtlpEncoding, ...times: bigint[]) => Buffer>> = {
  traces(encoding, ...times) {
    const request = makeTraces(...times);
    return encode(encoding, encodeTraceRequest(request), writeOtlpJson(request, "quoted"));
  },
  logs(encoding, ...times) {
    const request = makeLogs("claude_code", ...times);
    return encode(encoding, encodeLogsRequest(request), writeOtlpJson(request, "quoted"));
  },
  metrics(encoding, ...times) {
    const request = makeMetrics("claude_code.token.usage", ...times);
    return encode(encoding, encodeMetricsRequest(request), writeOtlpJson(request, "quoted"));
  },
};

function encode(encoding: OtlpEncoding, protobuf: Uint8Array, json: string): Buffer {
  return Buffer.from(encoding === "json" ? json : protobuf);
}

function post(path: string, encoding: OtlpEncoding, body: Uint8Array | string, gzip = false) {
  const headers = { "content-type": TYPES[encoding] };
  if (!gzip) return send(server, { path, headers, body });
  return send(server, {
    path,
    headers: { ...headers, "content-encoding": "gzip" },
    body: gzipSync(body),
  });
}

/** Table, rows and count of buckets of each record in the log. */
async function readLog(): Promise<[RecordTable, rows: number, buckets: number][]> {
  const records = await wal.read(0, 1 << 30);
  return records.map(({ payload }) => {
    const { table, rows, buckets } = decodeRecord(payload).header;
    return [table, rows, buckets.length];
  });
}

describe.each(SIGNALS)("%s", (signal) => {
  const path = `/v1/${signal}`;
  const table: RecordTable = signal === "metrics" ? "usage_metric_points" : "spans";
  // A data point is in no bucket: it changes no rollup.
  const bucket_count = signal === "metrics" ? 0 : 1;

  test.each(ENCODINGS)(
    "T01 T09 as %s, plain and with gzip, are in the log, synced, when the empty answer comes",
    async (encoding) => {
      const time = now(); // one for both, as two could be in two buckets
      const body = MAKE[signal](encoding, time, time);
      for (const gzip of [false, true]) {
        const answer = await post(path, encoding, body, gzip);
        expect(answer.status).toBe(200);
        expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
        expect(Buffer.from(answer.body).toString()).toBe(encoding === "json" ? "{}" : "");
      }
      expect(results).toMatchObject([
        { accepted_items: 2, rejected_items: 0, ignored_items: 0 },
        { accepted_items: 2, rejected_items: 0, ignored_items: 0 },
      ]);
      // Whatever a power cut takes, it does not take this.
      disk.crash();
      await server.close();
      await open();
      const record = [table, 2, bucket_count];
      expect(await readLog()).toEqual([record, record]);
    },
  );

  test.each(ENCODINGS)(
    "R01 as %s: what a broken clock dated is refused and told, its neighbours are stored",
    async (encoding) => {
      const future = now() + 2n * NANOSECONDS_PER_DAY;
      const year_1999 = BigInt(Date.UTC(1999, 11, 31)) * 1_000_000n;
      const body = MAKE[signal](encoding, future, now(), year_1999);
      const answer = await post(path, encoding, body);
      expect(answer.status).toBe(200);
      expect(decodeExportResponse(signal, encoding, answer.body)).toEqual({
        partialSuccess: {
          [REJECTED[signal]]: "2",
          errorMessage: expect.stringContaining("clock") as string,
        },
      });
      expect(results).toMatchObject([{ accepted_items: 1, rejected_items: 2 }]);
      expect(await readLog()).toEqual([
        [table, 1, bucket_count],
        ["set_aside_items", 2, 0],
      ]);
    },
  );

  test("R06 are asked back while the log cannot be synced, and then taken", async () => {
    const send = () => post(path, "protobuf", MAKE[signal]("protobuf", now()));
    disk.failNext("sync", "EIO");
    const refused = await send();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect((await send()).status).toBe(200);
    expect(await readLog()).toEqual([[table, 1, bucket_count]]);
  });

  test("R06 are not acknowledged before the sync is done", async () => {
    disk.sync_turns = 50;
    const syncs = disk.sync_count;
    await post(path, "protobuf", MAKE[signal]("protobuf", now()));
    expect(disk.sync_count).toBeGreaterThan(syncs);
    expect(await readLog()).toEqual([[table, 1, bucket_count]]);
  });

  test.each(SIGNALS.filter((other) => other !== signal))(
    "P24 a body of %s is 400 and told its path, in both encodings",
    async (other) => {
      for (const encoding of ENCODINGS) {
        const answer = await post(path, encoding, MAKE[other](encoding, now()), true);
        expect(answer.status).toBe(400);
        const { code, message } = decodeStatus(encoding, answer.body);
        expect(code).toBe(3); // INVALID_ARGUMENT
        expect(message).toMatch(new RegExp(`/v1/${other}$`));
      }
      expect(await readLog()).toEqual([]);
    },
  );

  test("T08 empty bodies succeed and write nothing", async () => {
    const list = { traces: "resourceSpans", logs: "resourceLogs", metrics: "resourceMetrics" };
    const syncs = disk.sync_count;
    expect((await post(path, "protobuf", "")).body).toHaveLength(0);
    for (const body of ["{}", `{"${list[signal]}":[]}`, `{"${list[signal]}":[{}]}`]) {
      const answer = await post(path, "json", body);
      expect([body, answer.status]).toEqual([body, 200]);
      expect(Buffer.from(answer.body).toString()).toBe("{}");
    }
    expect(results).toHaveLength(4);
    for (const result of results) {
      expect(result).toMatchObject({ accepted_items: 0, rejected_items: 0, ignored_items: 0 });
    }
    expect(disk.sync_count).toBe(syncs);
  });

  test.each(ENCODINGS)(
    "P01 a body of %s that is cut off is 400 and stores nothing",
    async (encoding) => {
      const body = MAKE[signal](encoding, now(), now());
      const answer = await post(path, encoding, body.subarray(0, body.length - 3));
      expect(answer.status).toBe(400);
      expect(await readLog()).toEqual([]);
    },
  );
});

test.each(["/api/public/otel/v1/traces", "/otel/v1/traces"])(
  "%s takes spans and tells logs and metrics their path",
  async (path) => {
    for (const encoding of ENCODINGS) {
      expect((await post(path, encoding, MAKE.traces(encoding, now()), true)).status).toBe(200);
      for (const other of ["logs", "metrics"] as const) {
        const answer = await post(path, encoding, MAKE[other](encoding, now()));
        expect(answer.status).toBe(400);
        expect(decodeStatus(encoding, answer.body).message).toContain(`/v1/${other}`);
      }
    }
    expect(await readLog()).toEqual([
      ["spans", 1, 1],
      ["spans", 1, 1],
    ]);
  },
);

test("log records that are no calls are accepted, counted as ignored and not stored", async () => {
  const body = encodeLogsRequest(makeLogs("shop", now(), 0n));
  const answer = await post("/v1/logs", "protobuf", body);
  expect(answer.status).toBe(200);
  expect(answer.body).toHaveLength(0);
  expect(results).toMatchObject([
    { accepted_items: 2, rejected_items: 0, ignored_items: 2, counted_calls: 0 },
  ]);
  expect(await readLog()).toEqual([]);
});

test("a log record that is a call is counted as one", async () => {
  await post("/v1/logs", "protobuf", MAKE.logs("protobuf", now(), now()));
  expect(results).toMatchObject([{ accepted_items: 2, ignored_items: 0, counted_calls: 2 }]);
});

test("data points that count neither tokens nor cost nor calls are ignored", async () => {
  const body = encodeMetricsRequest(makeMetrics("process.uptime", now(), now(), now()));
  const answer = await post("/v1/metrics", "protobuf", body);
  expect(answer.status).toBe(200);
  expect(answer.body).toHaveLength(0);
  expect(results).toMatchObject([{ accepted_items: 3, rejected_items: 0, ignored_items: 3 }]);
  expect(await readLog()).toEqual([]);
});

test("data points and spans of before a power cut are inserted after it, each into its table", async () => {
  await post("/v1/metrics", "json", MAKE.metrics("json", now(), now()));
  await post("/v1/traces", "json", MAKE.traces("json", now()));
  await post("/v1/metrics", "protobuf", MAKE.metrics("protobuf", now()));
  const written = await wal.read(0, 1 << 30);
  const last_sequence = written.at(-1)?.sequence;
  const blocks = written.map(({ payload }) => Buffer.from(decodeRecord(payload).block));
  disk.crash();
  await server.close();
  await open();

  const inserted: (readonly [RecordTable, Buffer[]])[] = [];
  const marks: (number | "late")[] = [];
  const target: BatchTarget = {
    async insertBlocks(table, found) {
      inserted.push([table, found.map((block) => Buffer.from(block))]);
    },
    resolveCalls: () => Promise.resolve([]),
    async markBuckets(_buckets, sequence) {
      marks.push(sequence);
    },
  };
  const loop = startInsertLoop(wal, target, wal.stats().released_sequence, {
    max_rows: 100,
    max_age_ms: 0,
    max_bytes: 1 << 20,
    now_ms: Date.now,
    setAside: (_record, reason) => Promise.reject(new Error(reason)),
    observe: () => {},
  });
  await vi.waitFor(() => expect(loop.released()).toBe(last_sequence));
  await loop.stop();
  expect(inserted).toEqual([
    ["spans", [blocks[1]]],
    ["usage_metric_points", [blocks[0], blocks[2]]],
  ]);
  expect(marks).toEqual([last_sequence]);
  expect(wal.stats().records_pending).toBe(0);
});
