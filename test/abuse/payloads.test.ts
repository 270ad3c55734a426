/**
 * Hostile payloads (rows P) sent to a real collector as operators run it, with content not kept: what
 * the sender is told, and what is in the table afterwards. `README.md` says where the other rows are.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  encode,
  ENCODINGS,
  makeSpan,
  newId,
  nowNs,
  openLaboratory,
  type Outcome,
  post,
  readOutcome,
  settle,
  startTestCollector,
  storedSpan,
  storedSpans,
  type TestCollector,
  text,
  tracesOf,
} from "../conformance/collector.ts";
import { encodeMessage, field, type OtlpSpan, repeat, varint } from "../support/otlp-proto.ts";

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  const laboratory = await openLaboratory();
  engine = laboratory.engine;
  collector = await startTestCollector(engine, { SPANLEDGER_CAPTURE_CONTENT: "false" });
  close = async () => {
    await collector.stop();
    await laboratory.close();
  };
});
afterAll(() => close());

async function sendBytes(body: Uint8Array): Promise<Outcome> {
  return readOutcome("traces", await post(collector, "traces", "protobuf", body));
}

/** Sends spans; the good one that goes before each makes its form known. */
const sendSpans = (...spans: OtlpSpan[]): Promise<Outcome> =>
  sendBytes(encode("traces", "protobuf", tracesOf(...spans)));

const spanBytes = (span: OtlpSpan): Uint8Array => encodeMessage("Span", span);
/** A request of spans, each given as the bytes of its message. */
const around = (...spans: Uint8Array[]): Uint8Array =>
  field(1, field(2, ...spans.map((span) => field(2, span))));
const hexOf = (id: Uint8Array): string => Buffer.from(id).toString("hex");

const call = (model: string, changes: Partial<OtlpSpan> = {}) =>
  makeSpan({
    ...changes,
    attributes: [
      text("gen_ai.operation.name", "chat"),
      text("gen_ai.provider.name", "openai"),
      text("gen_ai.request.model", model),
      { key: "gen_ai.usage.input_tokens", value: { intValue: 1000 } },
      ...(changes.attributes ?? []),
    ],
  });

test("P01 a body cut at any byte is 400, and nothing of it is stored", async () => {
  const span = call("gpt-4o-mini");
  const body = encode("traces", "protobuf", tracesOf(span));
  for (let size = 1; size < body.length; size += 1) {
    expect((await sendBytes(body.subarray(0, size))).status, `${size} bytes`).toBe(400);
  }
  await settle(collector, engine);
  const stored = await engine.query("SELECT 1 FROM spans WHERE trace_id = unhex({id:String})", {
    id: hexOf(span.traceId),
  });
  expect(stored).toEqual([]);
});

test.each<[what: string, bytes: readonly number[]]>([
  ["a dropped count of 70 bits", [0x50, ...Array<number>(9).fill(0xff), 0x7f]],
  ["a varint of eleven bytes", [0x50, ...Array<number>(10).fill(0x80), 0x01]],
  ["field number 0", [0x00, 0x01]],
  ["wire type 6", [0x56, 0x01]],
  ["wire type 7", [0x57, 0x01]],
  ["a group that does not end", [0x83, 0x38, 0x08, 0x01]],
  ["an end of no group", [0x84, 0x38]],
  ["an attribute that is cut off after its tag", [0x4a, 0x01, 0x0a]],
  ["an attribute of no length", [0x4a]],
])("P02 %s in a span of a known form refuses the body", async (_what, bytes) => {
  const known = makeSpan();
  expect((await sendSpans(known)).status).toBe(200);
  const first = makeSpan();
  const broken = Buffer.concat([spanBytes(makeSpan()), Uint8Array.from(bytes)]);
  expect((await sendBytes(around(spanBytes(first), broken))).status).toBe(400);
  await settle(collector, engine);
  const stored = await engine.query("SELECT 1 FROM spans WHERE trace_id = unhex({id:String})", {
    id: hexOf(first.traceId),
  });
  expect(stored, "the span before it").toEqual([]);
});

/** An AnyValue of lists in each other, so many levels deep. */
function nest(levels: number): Uint8Array {
  const sizes: number[] = [0];
  for (let level = 0; level < levels; level += 1) {
    const value = sizes.at(-1) as number;
    const list = 1 + varint(value).length + value;
    sizes.push(1 + varint(list).length + list);
  }
  const parts: number[] = [];
  for (let level = levels; level > 0; level -= 1) {
    const value = sizes[level - 1] as number;
    const list = 1 + varint(value).length + value;
    parts.push(0x2a, ...varint(list), 0x0a, ...varint(value));
  }
  return Uint8Array.from(parts);
}

test("P04 a value nested 200,000 deep costs no span, and the sender is told", async () => {
  const span = makeSpan();
  const pair = field(9, field(1, Buffer.from("deep")), field(2, nest(200_000)));
  const outcome = await sendBytes(around(Buffer.concat([spanBytes(span), pair])));
  expect(outcome).toMatchObject({ status: 200, rejected: 0 });
  expect(outcome.message).toContain("deep");
  expect(await storedSpan(engine, span.traceId)).toMatchObject({ attributes: {} });
});

test("P08 10,000 attributes, a key of 64 KiB and a value of 8 MiB leave the span, and are told", async () => {
  const many = Array.from({ length: 10_000 }, (_, index) => text(`k${index}`, "v"));
  const spans = [
    makeSpan({ attributes: many }),
    makeSpan({ attributes: [text("k".repeat(65_536), "v"), text("kept", "v")] }),
    makeSpan({ attributes: [text("large", "v".repeat(8 * 1024 ** 2)), text("kept", "v")] }),
  ] as const;
  const outcome = await sendSpans(...spans);
  expect(outcome).toMatchObject({ status: 200, rejected: 0 });
  expect(outcome.message).toMatch(/512/);
  expect(Object.keys((await storedSpan(engine, spans[0].traceId)).attributes)).toHaveLength(512);
  for (const span of spans.slice(1)) {
    expect((await storedSpan(engine, span.traceId)).attributes).toEqual({ kept: "v" });
  }
});

test("P09 a million empty envelopes are refused without being kept", async () => {
  const start = performance.now();
  const outcome = await sendBytes(repeat(Uint8Array.from([0x0a, 0x00]), 1_000_000));
  expect(outcome.status).toBe(413);
  expect(outcome.message).toContain("250000");
  expect(performance.now() - start).toBeLessThan(5_000);
});

const ODD_NAMES = [
  "nul\u0000nul",
  "\u001b[31mred\u001b[0m",
  "right\u202Eleft",
  "zero\u200Bwidth",
  "line\r\nbreak",
  "'; DROP TABLE spans --",
  "<script>alert(1)</script>",
  "=cmd|' /C calc'!A0",
  "../../etc/passwd",
];

test.each(ENCODINGS)(
  "P12 P26 odd characters are data, in names and in attributes (%s)",
  async (encoding) => {
    for (const name of ODD_NAMES) {
      const trace = newId(16);
      const spans = [1, 2].map(() =>
        makeSpan({ traceId: trace, name, attributes: [text("app.label", name)] }),
      );
      const answer = await post(
        collector,
        "traces",
        encoding,
        encode("traces", encoding, tracesOf(...spans)),
      );
      expect(readOutcome("traces", answer)).toEqual({ status: 200, rejected: 0, message: "" });
      const kept = name.startsWith("<") ? {} : { "app.label": name };
      for (const stored of await storedSpans(engine, trace, 2)) {
        expect(stored).toMatchObject({ name, attributes: kept });
      }
    }
  },
);

test("P13 P14 counts that are none never become tokens or money, after a span of the same form", async () => {
  const odd = [
    { intValue: -5n },
    { intValue: 2n ** 63n - 1n },
    { doubleValue: Number.NaN },
    { doubleValue: Number.POSITIVE_INFINITY },
    { doubleValue: -0 },
    { doubleValue: 1.5 },
    { doubleValue: 1e30 },
    { stringValue: "abc" },
    { stringValue: "-3" },
    { arrayValue: { values: [{ intValue: 3 }] } },
  ];
  const trace = newId(16);
  const spans = odd.flatMap((value) => [
    call("gpt-4o-mini", { traceId: trace }),
    call("gpt-4o-mini", {
      traceId: trace,
      attributes: [{ key: "gen_ai.usage.output_tokens", value }],
    }),
  ]);
  expect(await sendSpans(...spans)).toMatchObject({ status: 200, rejected: 0 });
  await storedSpans(engine, trace, spans.length);
  const [sums] = await engine.query<{ n: string; tokens: string; most: string }>(
    `SELECT count() AS n, sum(tokens_output_text) AS tokens, max(cost_output_text) AS most
     FROM spans FINAL WHERE trace_id = unhex({id:String})`,
    { id: hexOf(trace) },
  );
  expect(sums).toMatchObject({ tokens: "0" });
  expect([Number(sums?.n), Number(sums?.most)]).toEqual([spans.length, 0]);
});

test("P16 times that are none are set aside and told; the others of the body are stored", async () => {
  const times = [
    0n,
    1n,
    2n ** 63n - 1n,
    2n ** 64n - 1n,
    9_223_372_036n * 10n ** 9n,
    nowNs() + 10n ** 15n,
  ];
  const good = makeSpan();
  const outcome = await sendSpans(
    good,
    ...times.map((startTimeUnixNano) =>
      makeSpan({ startTimeUnixNano, endTimeUnixNano: startTimeUnixNano }),
    ),
    makeSpan({ endTimeUnixNano: 5n }),
  );
  expect(outcome).toMatchObject({ status: 200, rejected: times.length });
  expect(outcome.message).toContain("set_aside_items");
  expect(await storedSpan(engine, good.traceId)).toMatchObject({ name: good.name });
  const days = await engine.query<{ days: string }>(
    "SELECT uniqExact(toDate(ts)) AS days FROM spans WHERE ts < now() - 864000 OR ts > now() + 864000",
  );
  expect(days).toEqual([{ days: "0" }]);
});

test("P17 ids of zeros or words cost their span alone, also in a known form", async () => {
  const good = makeSpan();
  const outcome = await sendSpans(
    good,
    makeSpan({ traceId: new Uint8Array(16) }),
    makeSpan({ spanId: new Uint8Array(8) }),
    makeSpan({ spanId: Buffer.from("null") }),
    makeSpan({ traceId: Buffer.from("undefined") }),
    makeSpan(),
  );
  expect(outcome).toMatchObject({ status: 200, rejected: 4 });
  expect(await storedSpan(engine, good.traceId)).toMatchObject({
    span_id: hexOf(good.spanId as Uint8Array),
  });
});

test("P18 parents of themselves, cycles and a span sent twice in one body are stored as sent", async () => {
  const trace = newId(16);
  const [own, one, two] = [newId(8), newId(8), newId(8)];
  const of = (spanId: Uint8Array, parentSpanId: Uint8Array) =>
    call("gpt-4o-mini", { traceId: trace, spanId, parentSpanId });
  const spans = [of(own, own), of(one, two), of(two, one), of(own, own)];
  expect(await sendSpans(...spans)).toMatchObject({ status: 200, rejected: 0 });
  const stored = await storedSpans(engine, trace, 3);
  expect(new Set(stored.map(({ span_id }) => span_id))).toEqual(
    new Set([own, one, two].map(hexOf)),
  );
  expect(stored).toHaveLength(3);
});

test("P20 names that only look like a known model are models of their own without a price", async () => {
  const trace = newId(16);
  const models = ["gpt-4o-mini", "GPT-4O-MINI-ſ", "gpt‑4o‑mini", "gрt-4o-mini"];
  expect(await sendSpans(...models.map((model) => call(model, { traceId: trace })))).toMatchObject({
    status: 200,
  });
  await storedSpans(engine, trace, models.length);
  const rows = await engine.query<{ request_model: string; cost_status: string }>(
    `SELECT request_model, toString(cost_status) AS cost_status FROM spans FINAL
     WHERE trace_id = unhex({id:String})`,
    { id: hexOf(trace) },
  );
  const statuses = new Map(rows.map((row) => [row.request_model, row.cost_status]));
  expect(statuses.get("gpt-4o-mini")).toBe("priced");
  for (const model of models.slice(1)) expect(statuses.get(model), model).toBe("unpriced");
});

test("P23 fields of a future OTLP are ignored, in the form that is read in place too", async () => {
  const trace = newId(16);
  const future = [field(77, Buffer.from("future")), Uint8Array.from([0xa8, 0x05, 0x01])];
  const bodies = [1, 2, 3].map(() =>
    Buffer.concat([spanBytes(makeSpan({ traceId: trace })), ...future]),
  );
  expect(await sendBytes(around(...bodies))).toEqual({ status: 200, rejected: 0, message: "" });
  expect(await storedSpans(engine, trace, 3)).toHaveLength(3);
});
