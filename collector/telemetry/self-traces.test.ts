import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { beforeEach, describe, expect, test } from "vitest";
import { RetryableError } from "../../schemas/errors.ts";
import { encodeTraceRequest } from "../../test/support/otlp-proto.ts";
import { makeCollectorMetrics } from "../metrics.ts";
import { BUSY_MS, SELF_SCOPE, SelfTraces } from "./self-traces.ts";
import { Telemetry } from "./telemetry.ts";
import { senderOf } from "../../test/support/sender.ts";

let exporter: InMemorySpanExporter;
let provider: TracerProvider;
let now_ms = 0;
let traces: SelfTraces;

beforeEach(() => {
  exporter = new InMemorySpanExporter();
  provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  now_ms = 0;
  traces = new SelfTraces(provider.getTracer(SELF_SCOPE), () => now_ms);
});

const FOREIGN = Uint8Array.of(1, 2, 3);

/** What an exporter of ours sends: resource, scope and a span. */
function ownBody(scope: string): Uint8Array {
  return encodeTraceRequest({
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "any name" } }] },
        scopeSpans: [{ scope: { name: scope }, spans: [{ name: "export request" }] }],
      },
    ],
  });
}

function finished(): ReadableSpan[] {
  return exporter.getFinishedSpans();
}

function names(): string[] {
  return finished().map(({ name }) => name);
}

function byName(name: string): ReadableSpan {
  const found = finished().find((span) => span.name === name);
  if (found === undefined) throw new Error(`no span ${name} in ${names().join(", ")}`);
  return found;
}

function nanoseconds([seconds, rest]: readonly [number, number]): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(rest);
}

function group(started_ms: number, ended_ms: number, is_durable = true) {
  return { requests: 2, spans: 10, object_spans: 3, started_ms, ended_ms, is_durable };
}

test("a request has decode, wait and sync inside it, one after the other, and its group below the sync", () => {
  const request = traces.startRequest("traces", "protobuf", FOREIGN);
  request?.noteCommit();
  const committed_ms = performance.now();
  const synced = group(committed_ms + 1, committed_ms + 2);
  request?.noteGroup(synced);
  traces.noteGroup(synced);
  while (performance.now() < committed_ms + 3);
  request?.end({ "spanledger.accepted_items": 4 }, null);

  const root = byName("export request");
  expect(root.parentSpanContext).toBeUndefined();
  expect(root.attributes).toEqual({
    "spanledger.signal": "traces",
    "spanledger.encoding": "protobuf",
    "spanledger.body_bytes": 3,
    "spanledger.accepted_items": 4,
  });
  const steps = ["decode", "wait", "sync"].map(byName);
  let last = nanoseconds(root.startTime);
  for (const step of steps) {
    expect(step.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
    expect(nanoseconds(step.startTime)).toBe(last);
    last = nanoseconds(step.endTime);
    expect(last).toBeGreaterThanOrEqual(nanoseconds(step.startTime));
  }
  expect(nanoseconds(root.endTime)).toBeGreaterThanOrEqual(last);
  const shared = byName("wal sync group");
  expect(shared.parentSpanContext?.spanId).toBe(byName("sync").spanContext().spanId);
  expect(shared.attributes).toMatchObject({ "spanledger.requests": 2, "spanledger.spans": 10 });
});

test("requests that shared a group are linked from it, once", () => {
  const [first, second] = [FOREIGN, FOREIGN].map((body) =>
    traces.startRequest("traces", "json", body),
  );
  const synced = group(performance.now(), performance.now());
  for (const request of [first, second]) request?.noteGroup(synced);
  traces.noteGroup(synced);
  traces.noteGroup(group(performance.now(), performance.now()));
  const groups = finished().filter(({ name }) => name === "wal sync group");
  expect(groups).toHaveLength(1);
  const links = groups[0]?.links.map(({ context }) => context.traceId);
  expect(links).toEqual([second?.work.span.spanContext().traceId]);
});

test("a refused request says so by a code, and nothing of the message", () => {
  const request = traces.startRequest("metrics", "json", FOREIGN);
  request?.end({}, "wal_full");
  const root = byName("export request");
  expect(root.status).toEqual({ code: 2 });
  expect(root.attributes["error.type"]).toBe("wal_full");
});

describe("what our own export causes is not traced", () => {
  test("a body of our scope is not, in protobuf and in JSON", () => {
    expect(traces.startRequest("traces", "protobuf", ownBody(SELF_SCOPE))).toBeNull();
    const json = `{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"${SELF_SCOPE}"}}]}]}`;
    expect(traces.startRequest("traces", "json", Buffer.from(json))).toBeNull();
    expect(traces.startRequest("traces", "protobuf", ownBody("somebody else"))).not.toBeNull();
  });

  test("work behind the log is traced only while somebody else sends", () => {
    const work = () => {
      traces.noteStep("insert", 0, 1, true);
      traces.noteBatch(5, null);
      traces.noteRound(3, 1, true);
    };
    work();
    traces.startRequest("traces", "protobuf", ownBody(SELF_SCOPE));
    work();
    expect(names()).toEqual([]);
    traces.startRequest("traces", "protobuf", FOREIGN);
    now_ms = BUSY_MS - 1;
    work();
    expect(names()).toEqual(["insert", "insert batch", "recompute round"]);
    exporter.reset();
    now_ms = BUSY_MS;
    work();
    expect(names()).toEqual([]);
  });
});

test("a batch holds its steps, and a failed one says with which code", () => {
  traces.startRequest("traces", "protobuf", FOREIGN);
  const start_ms = performance.now();
  traces.noteStep("insert", start_ms, start_ms + 1, true);
  traces.noteStep("resolve", start_ms + 1, start_ms + 2, false);
  traces.noteBatch(0, "clickhouse_241");
  const batch = byName("insert batch");
  expect(batch.status.code).toBe(2);
  expect(batch.attributes["error.type"]).toBe("clickhouse_241");
  for (const step of ["insert", "resolve"]) {
    expect(byName(step).parentSpanContext?.spanId).toBe(batch.spanContext().spanId);
  }
  expect(byName("resolve").status.code).toBe(2);
});

test("a request that is not sampled has no spans at all", () => {
  const off = new TracerProvider({
    sampler: new AlwaysOffSampler(),
    spanProcessors: [new SimpleSpanProcessor({ exporter })],
  });
  const quiet = new SelfTraces(off.getTracer(SELF_SCOPE));
  expect(quiet.startRequest("traces", "protobuf", FOREIGN)).toBeNull();
  expect(names()).toEqual([]);
});

describe("a watched receiver", () => {
  const result = {
    accepted_items: 1,
    rejected_items: 0,
    ignored_items: 0,
    counted_calls: 0,
    message: "",
  };
  let told: object[] = [];
  const tell = (fields: object) => told.push(fields);
  beforeEach(() => {
    told = [];
  });
  const makeTelemetry = (tracer: "on" | "off") =>
    new Telemetry({
      metrics: makeCollectorMetrics(),
      log: { info: tell, warn: tell, error: tell },
      tracer: tracer === "on" ? provider.getTracer(SELF_SCOPE) : null,
      statusOf: () => 503,
    });

  test.each(["on", "off"] as const)(
    "changes neither result nor error (traces %s)",
    async (tracer) => {
      const failure = new RetryableError("wal_full", "no room");
      const telemetry = makeTelemetry(tracer);
      const good = telemetry.watchReceiver("http", async () => result);
      expect(await good.exportBody("traces", FOREIGN, "json", senderOf("p"))).toBe(result);
      const bad = telemetry.watchReceiver("grpc", () => Promise.reject(failure));
      await expect(bad.exportBody("traces", FOREIGN, "json", senderOf("p"))).rejects.toBe(failure);
      const expected = ["decode", "sync", "export request", "decode", "export request"];
      expect(names()).toEqual(tracer === "on" ? expected : []);
    },
  );

  test("tells of a fault of ours where it was, once for all who meet it, and nothing that it says", async () => {
    const telemetry = makeTelemetry("off");
    const receiver = telemetry.watchReceiver("http", async () => {
      throw new TypeError("cannot read a prompt");
    });
    for (let request = 0; request < 3; request += 1) {
      const exporting = receiver.exportBody("traces", FOREIGN, "json", senderOf("p"));
      await expect(exporting).rejects.toThrow(TypeError);
    }
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ fault: "TypeError", at: expect.any(Array) });
    expect(JSON.stringify(told)).toContain("self-traces.test.ts");
    expect(JSON.stringify(told)).not.toContain("prompt");
  });

  test("lets a log find the request at work, also after a turn of others", async () => {
    const telemetry = makeTelemetry("on");
    const { watch } = telemetry.watchLog({ stats: () => ({ queued_bytes: 0 }) });
    const receiver = telemetry.watchReceiver("http", async () => {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      const follower = watch.follow();
      follower?.noteCommit();
      const synced = group(performance.now(), performance.now());
      follower?.noteGroup(synced);
      watch.observeGroup(synced);
      return result;
    });
    expect(watch.follow()).toBeNull();
    await receiver.exportBody("traces", FOREIGN, "json", senderOf("p"));
    expect(names()).toEqual(["decode", "wait", "sync", "wal sync group", "export request"]);
  });
});
