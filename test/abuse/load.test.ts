/**
 * Requests that are large or become large (rows P07 and P10): what they take of the memory and of the
 * turns of others, against a real collector.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  encode,
  makeSpan,
  newId,
  openLaboratory,
  type Outcome,
  post,
  readOutcome,
  storedSpan,
  TAKEN,
  type TestCollector,
  text,
  tracesOf,
} from "../conformance/collector.ts";
import { encodeMessage, field, type OtlpSpan } from "../support/otlp-proto.ts";

const MIB = 1024 ** 2;
/** SPANLEDGER_MAX_BODY_BYTES when nothing is set. */
const MAX_BODY_BYTES = 64 * MIB;

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ engine, collector, close } = await openLaboratory());
});
afterAll(() => close());

async function sendBytes(body: Uint8Array, encoding = "identity"): Promise<Outcome> {
  const headers = { "content-encoding": encoding };
  return readOutcome("traces", await post(collector, "traces", "protobuf", body, { headers }));
}

/** The most memory that the process had above its beginning, bytes. */
async function riseWhile(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 2);
  await work();
  clearInterval(timer);
  return most - before;
}

test("P07 bombs of gzip, zstd and gzip in gzip are refused, and take no more than the limit", async () => {
  const zeros = Buffer.alloc(256 * MIB);
  const bombs = [
    ["gzip", gzipSync(zeros), 413],
    ["zstd", zstdCompressSync(zeros), 413],
    ["gzip", gzipSync(gzipSync(zeros)), 400],
  ] as const;
  for (const [encoding, bomb, status] of bombs) {
    const rise = await riseWhile(async () => {
      expect((await sendBytes(bomb, encoding)).status).toBe(status);
    });
    expect(rise, `${encoding} of ${bomb.length} bytes`).toBeLessThan(1.5 * MAX_BODY_BYTES);
  }
});

const spanBytes = (span: OtlpSpan): Uint8Array => encodeMessage("Span", span);

/** A request of so many copies of a span that differ in their ids. */
function copiesOf(span: OtlpSpan, count: number): Buffer {
  const first = Buffer.from(field(2, spanBytes(span)));
  const copies = Buffer.alloc(first.length * count);
  const at = first.indexOf(span.spanId as Uint8Array);
  for (let index = 0; index < count; index += 1) {
    first.copy(copies, index * first.length);
    copies.writeUInt32BE(index, index * first.length + at);
  }
  return Buffer.from(field(1, field(2, copies)));
}

const ids = () => ({ traceId: newId(16), spanId: Buffer.from("\u0000\u0000\u0000\u0000aaaa") });

/** Longest that others wait for their turn, ms, in 99 of 100 turns. */
const MAX_LAG_MS = 50;
/** A machine that others use makes turns late too. */
const CHANCES = 3;

test("P10 240,000 tiny spans in one request leave the turns of others short", async () => {
  let lag_ms = Infinity;
  for (let chance = 0; chance < CHANCES && lag_ms > MAX_LAG_MS; chance += 1) {
    const body = copiesOf(makeSpan({ ...ids(), name: "" }), 240_000);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    expect(await sendBytes(body)).toEqual(TAKEN);
    delay.disable();
    lag_ms = Math.min(lag_ms, delay.percentile(99) / 1e6);
  }
  expect(lag_ms).toBeLessThan(MAX_LAG_MS);
});

test("P10 half a million spans in one request are refused with what to do, and nothing is stored", async () => {
  const span = makeSpan({ ...ids(), name: "" });
  const outcome = await sendBytes(copiesOf(span, 500_000));
  expect(outcome).toMatchObject({ status: 413 });
  expect(outcome.message).toContain("smaller batches");
  const [row] = await engine.query<{ n: string }>(
    "SELECT count() AS n FROM spans WHERE trace_id = unhex({id:String})",
    { id: Buffer.from(span.traceId).toString("hex") },
  );
  expect(row).toEqual({ n: "0" });
});

test("P10 small requests are answered while large ones are read, and rows stay apart", async () => {
  const attributes = [text("app.label", "large")];
  const large = Array.from({ length: 3 }, () => makeSpan({ ...ids(), attributes }));
  const sent = large.map((span) => sendBytes(copiesOf(span, 60_000)));
  const small = Array.from({ length: 40 }, (_, index) =>
    makeSpan({ attributes: [text("app.label", `small ${index}`)] }),
  );
  for (const span of small) {
    expect(await sendBytes(encode("traces", "protobuf", tracesOf(span)))).toEqual(TAKEN);
  }
  expect(await Promise.all(sent)).toEqual([TAKEN, TAKEN, TAKEN]);
  for (const [index, span] of small.entries()) {
    const stored = await storedSpan(engine, span.traceId);
    expect(stored.attributes).toEqual({ "app.label": `small ${index}` });
  }
  for (const span of large) {
    await storedSpan(engine, span.traceId);
    const [row] = await engine.query<{ n: string; labels: string[] }>(
      `SELECT count() AS n, groupUniqArray(attributes['app.label']) AS labels
       FROM spans FINAL WHERE trace_id = unhex({id:String})`,
      { id: Buffer.from(span.traceId).toString("hex") },
    );
    expect(row).toEqual({ n: "60000", labels: ["large"] });
  }
});
