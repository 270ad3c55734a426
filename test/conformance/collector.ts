/**
 * For the conformance tests: a real collector on loopback with the real pipeline, log and embedded
 * engine behind it, and the rows that it stores.
 *
 * Invariant: requests are made by protobufjs, JSON.stringify or by hand, never by code of ours.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine } from "../../clickhouse/engine.ts";
import { type Collector, startCollector } from "../../collector/collector.ts";
import {
  type Answer,
  decodeExportResponse,
  decodeStatus,
  type Request,
  send,
} from "../../collector/receive/fixture.ts";
import { RetryableError } from "../../schemas/errors.ts";
import { keyOfHeaders } from "../../schemas/keys.ts";
import { DEFAULT_SENDER } from "../../schemas/sender.ts";
import { parseSettings } from "../../schemas/settings.ts";
import { openTestEngine } from "../support/engine.ts";
import { writeOtlpJson } from "../support/otlp-oracle.ts";
import {
  encodeLogsRequest,
  encodeMetricsRequest,
  encodeTraceRequest,
  type OtlpKeyValue,
  type OtlpLogsRequest,
  type OtlpMetricsRequest,
  type OtlpSpan,
  type OtlpTraceRequest,
} from "../support/otlp-proto.ts";
import { eventually } from "../support/program.ts";
import { refuseAll } from "../support/sender.ts";

export const SIGNALS = ["traces", "logs", "metrics"] as const;
export type Signal = (typeof SIGNALS)[number];
export const ENCODINGS = ["protobuf", "json"] as const;
export type Encoding = (typeof ENCODINGS)[number];
export const TYPES: Readonly<Record<Encoding, string>> = {
  protobuf: "application/x-protobuf",
  json: "application/json",
};

/** The key of the collector, and one whose project cannot be looked up at the moment. */
export const KEY = "a-key-of-24-characters-or-more";
const KEY_OF_AN_OUTAGE = "a-key-that-nobody-can-look-up";
/** Longest that rows may take to be in the table, ms. */
const STORE_TIMEOUT_MS = 10_000;

export interface TestCollector {
  readonly port: number;
  readonly collector: Collector;
  /** Levels and messages of what it logged above `info`. */
  readonly complaints: readonly string[];
  readonly data_dir: string;
  stop(): Promise<void>;
}

/** Starts a collector on an engine. The data directory is a new one unless it is given. */
export async function startTestCollector(
  engine: Engine,
  changes: Readonly<Record<string, string>> = {},
): Promise<TestCollector> {
  const own = mkdtempSync(join(tmpdir(), "spanledger-conformance-"));
  const parsed = parseSettings({
    SPANLEDGER_DATA_DIR: own,
    SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
    SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
    SPANLEDGER_INSERT_MAX_AGE_MS: "10",
    // Else values that may be prompts are dropped before anything is stored.
    SPANLEDGER_CAPTURE_CONTENT: "true",
    // Rollups and settled traces are no matter of the protocol.
    SPANLEDGER_RECOMPUTE_INTERVAL_MS: "3600000",
    SPANLEDGER_TRACE_SETTLE_S: "86400",
    ...changes,
  });
  if (!("settings" in parsed)) throw new Error(parsed.problems.join("; "));
  const complaints: string[] = [];
  const complain = (_fields: object, message: string) => complaints.push(message);
  const collector = await startCollector({
    settings: parsed.settings,
    engine,
    log: { info: () => {}, warn: complain, error: complain },
    authenticate(headers) {
      const key = keyOfHeaders(headers);
      if (key === KEY) return DEFAULT_SENDER;
      if (key !== KEY_OF_AN_OUTAGE) return refuseAll();
      throw new RetryableError("keys_away", "The keys cannot be read; send again.");
    },
    onFatal: (error) => complaints.push(error.message),
  });
  return {
    port: Number(collector.otlp_http.split(":").at(-1)),
    collector,
    complaints,
    data_dir: parsed.settings.SPANLEDGER_DATA_DIR,
    async stop() {
      await collector.stop();
      rmSync(own, { recursive: true, force: true });
    },
  };
}

/** One engine and one collector for a file of tests. */
export async function openLaboratory(): Promise<{
  engine: Engine;
  collector: TestCollector;
  close: () => Promise<void>;
}> {
  const opened = await openTestEngine();
  const { engine } = opened;
  const collector = await startTestCollector(engine);
  return {
    engine,
    collector,
    async close() {
      await collector.stop();
      await opened.close();
    },
  };
}

/** Sends a body of a signal with the good key. */
export function post(
  to: { readonly port: number },
  signal: Signal,
  encoding: Encoding,
  body: Uint8Array | string,
  request: Request = {},
): Promise<Answer> {
  const headers = { "content-type": TYPES[encoding], "x-api-key": KEY, ...request.headers };
  return send(to, { path: `/v1/${signal}`, ...request, headers, body });
}

/** Headers that make a key of which the project cannot be looked up. */
export const OUTAGE_HEADERS = { "x-api-key": KEY_OF_AN_OUTAGE };

/** What an answer says: its status, and how many items were refused with which words. */
export interface Outcome {
  readonly status: number;
  readonly rejected: number;
  readonly message: string;
}

const REJECTED: Readonly<Record<Signal, string>> = {
  traces: "rejectedSpans",
  logs: "rejectedLogRecords",
  metrics: "rejectedDataPoints",
};

/** Reads an answer in the encoding that it says it has. */
export function readOutcome(signal: Signal, answer: Answer): Outcome {
  const encoding = answer.headers.get("content-type") === TYPES.json ? "json" : "protobuf";
  if (answer.status !== 200) {
    const { message } = decodeStatus(encoding, answer.body);
    return { status: answer.status, rejected: 0, message };
  }
  const { partialSuccess = {} } = decodeExportResponse(signal, encoding, answer.body) as {
    partialSuccess?: Record<string, string>;
  };
  return {
    status: 200,
    rejected: Number(partialSuccess[REJECTED[signal]] ?? 0),
    message: partialSuccess["errorMessage"] ?? "",
  };
}

/** An answer to a request of which everything was taken and nothing is to be said. */
export const TAKEN: Outcome = { status: 200, rejected: 0, message: "" };

let lastId = 0;

/** Bytes that no other call of the process returns and that are not all zero. */
export function newId(byteCount: 8 | 16): Uint8Array {
  lastId += 1;
  const id = Buffer.alloc(byteCount, 0xa5);
  id.writeUInt32BE(lastId, byteCount - 4);
  return new Uint8Array(id);
}

/** A time of now, ns since 1970. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** A valid span with ids of its own. */
export function makeSpan(changes: Partial<OtlpSpan> = {}): OtlpSpan & { traceId: Uint8Array } {
  const start = nowNs();
  return {
    traceId: newId(16),
    spanId: newId(8),
    name: "chat gpt-4o-mini",
    kind: 3,
    startTimeUnixNano: start,
    endTimeUnixNano: start + 1_000_000n,
    ...changes,
  };
}

export function text(key: string, value: string): OtlpKeyValue {
  return { key, value: { stringValue: value } };
}

export function tracesOf(...spans: OtlpSpan[]): OtlpTraceRequest {
  return { resourceSpans: [{ scopeSpans: [{ scope: { name: "test" }, spans }] }] };
}

/** A log record that is a call, with this text as its session. */
export function logsOf(session: string, time: object = { timeUnixNano: nowNs() }): OtlpLogsRequest {
  const attributes = [
    text("event.name", "api_request"),
    text("session.id", session),
    text("model", "claude-sonnet-4-5-20250929"),
    { key: "input_tokens", value: { intValue: 25 } },
    { key: "output_tokens", value: { intValue: 60 } },
  ];
  const scope = { name: "com.anthropic.claude_code.events", version: "2.1.0" };
  const logRecords = [{ ...time, body: { stringValue: "claude_code.api_request" }, attributes }];
  return { resourceLogs: [{ scopeLogs: [{ scope, logRecords }] }] };
}

/** A point of a metric that is kept, with this text as its session. */
export function metricsOf(session: string): OtlpMetricsRequest {
  const point = {
    timeUnixNano: nowNs(),
    asInt: 25n,
    attributes: [text("type", "input"), text("session.id", session)],
  };
  const sum = { dataPoints: [point], aggregationTemporality: 1, isMonotonic: true };
  const metrics = [{ name: "claude_code.token.usage", sum }];
  const scope = { name: "com.anthropic.claude_code", version: "2.1.0" };
  return { resourceMetrics: [{ scopeMetrics: [{ scope, metrics }] }] };
}

/** A request of each signal that becomes one row, with this text as its session. */
export function makeRequest(signal: Signal, session: string): object {
  if (signal === "logs") return logsOf(session);
  if (signal === "metrics") return metricsOf(session);
  return tracesOf(
    makeSpan({
      attributes: [
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "gpt-4o-mini"),
        text("gen_ai.conversation.id", session),
      ],
    }),
  );
}

const ENCODERS = {
  traces: encodeTraceRequest,
  logs: encodeLogsRequest,
  metrics: encodeMetricsRequest,
} as const;

/** A request in an encoding, by protobufjs or JSON.stringify. */
export function encode(
  signal: Signal,
  encoding: Encoding,
  request: object,
): Uint8Array<ArrayBuffer> {
  if (encoding === "protobuf") return ENCODERS[signal](request);
  return new Uint8Array(Buffer.from(writeOtlpJson(request, "quoted")));
}

/** What is stored of a span. */
export interface StoredSpan {
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_span_id: string;
  readonly name: string;
  readonly kind: number;
  readonly start_ns: string;
  readonly duration_ns: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, string>>;
  readonly scope_name: string;
  readonly session_id: string;
}

// ClickHouse takes an alias for the column of that name, also in WHERE: hence the inner query.
const SPAN_QUERY = `
  SELECT lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id,
         lower(hex(parent_span_id)) AS parent_span_id, name, kind,
         toString(toUnixTimestamp64Nano(ts)) AS start_ns, duration_ns, attributes,
         resource_attributes AS resource, scope_name, session_id
  FROM (SELECT * FROM spans FINAL WHERE trace_id = unhex({id:String}) ORDER BY ts, span_id)`;

const hex = (id: Uint8Array) => Buffer.from(id).toString("hex");

/** The spans of a trace, in the order of their start, as soon as there are so many. */
export async function storedSpans(
  engine: Engine,
  trace_id: Uint8Array,
  count = 1,
): Promise<StoredSpan[]> {
  const ask = () => engine.query<StoredSpan>(SPAN_QUERY, { id: hex(trace_id) });
  const { answer } = await eventually(ask, (rows) => rows.length >= count, STORE_TIMEOUT_MS);
  return answer;
}

/** The one span of a trace, as soon as it is there. */
export async function storedSpan(engine: Engine, trace_id: Uint8Array): Promise<StoredSpan> {
  const [span] = await storedSpans(engine, trace_id);
  if (span === undefined) throw new Error("no span");
  return span;
}

/** Rows of a session in the table of a signal, as soon as there is one. */
export async function storedSessions(
  engine: Engine,
  signal: Signal,
  session: string,
): Promise<{ time_ns: string; session_id: string; amount: number }[]> {
  const [table, value] = signal === "metrics" ? ["usage_metric_points", "value"] : ["spans", "0"];
  const sql = `
    SELECT toString(toUnixTimestamp64Nano(ts)) AS time_ns, session_id, ${value} AS amount
    FROM ${table} FINAL`;
  const ask = () =>
    engine.query<{ time_ns: string; session_id: string; amount: number }>(
      `${sql} WHERE session_id = {session:String}`,
      { session },
    );
  const { answer } = await eventually(ask, (rows) => rows.length > 0, STORE_TIMEOUT_MS);
  return answer;
}

/** Resolves when all that was acknowledged before is in the tables. */
export async function settle(to: TestCollector, engine: Engine): Promise<void> {
  const marker = makeSpan();
  await post(to, "traces", "protobuf", encode("traces", "protobuf", tracesOf(marker)));
  await storedSpan(engine, marker.traceId);
}

/** How many spans of a trace are stored now; asked after `settle`. */
export async function countSpans(engine: Engine, trace_id: Uint8Array): Promise<number> {
  const rows = await engine.query<{ n: string }>(
    "SELECT count() AS n FROM spans FINAL WHERE trace_id = unhex({id:String})",
    { id: hex(trace_id) },
  );
  return Number(rows[0]?.n);
}
