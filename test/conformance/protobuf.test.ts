/** Rows D of the conformance checklist (`rows.ts`): what a protobuf decoder must take and refuse. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  encodeMessage,
  field,
  type OtlpKeyValue,
  type OtlpSpan,
  repeat,
  varint,
} from "../support/otlp-proto.ts";
import {
  encode,
  type Encoding,
  ENCODINGS,
  logsOf,
  makeSpan,
  newId,
  nowNs,
  openLaboratory,
  type Outcome,
  post,
  readOutcome,
  type Signal,
  storedSessions,
  storedSpan,
  storedSpans,
  TAKEN,
  type TestCollector,
  text,
  tracesOf,
} from "./collector.ts";

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ engine, collector, close } = await openLaboratory());
});
afterAll(() => close());

// Most of a test is waiting for its rows: together they wait once.
describe.concurrent("rows D", () => {
  async function sendBytes(body: Uint8Array, signal: Signal = "traces"): Promise<Outcome> {
    return readOutcome(signal, await post(collector, signal, "protobuf", body));
  }

  const bytes = (...list: number[]) => Uint8Array.from(list);
  const spanBytes = (span: OtlpSpan) => encodeMessage("Span", span);
  const pairBytes = (pair: OtlpKeyValue) => encodeMessage("KeyValue", pair);

  /** A request of one span, given as the bytes of its message. */
  function around(span: Uint8Array): Uint8Array {
    return field(1, field(2, field(2, span)));
  }

  /** A field with a value that OTLP does not know, of each wire type. */
  const UNKNOWN_FIELDS: readonly Uint8Array[] = [
    bytes(...varint(900 * 8), 0xff, 0x01),
    bytes(...varint(900 * 8 + 1), 1, 2, 3, 4, 5, 6, 7, 8),
    field(900, bytes(1, 2, 3)),
    bytes(...varint(900 * 8 + 3), 0x08, 0x01, ...varint(900 * 8 + 4)),
    bytes(...varint(900 * 8 + 5), 1, 2, 3, 4),
  ];

  describe("unknown and repeated fields", () => {
    test("D01 unknown fields of every wire type are skipped, in every message", async () => {
      const span = makeSpan({ attributes: [text("after", "unknown")] });
      const unknown = Buffer.concat(UNKNOWN_FIELDS);
      const scope = field(1, encodeMessage("InstrumentationScope", { name: "kept" }), unknown);
      const message = Buffer.concat([unknown, spanBytes(span), unknown]);
      const body = field(1, unknown, field(2, unknown, scope, field(2, message), unknown), unknown);
      expect(await sendBytes(Buffer.concat([unknown, body]))).toEqual(TAKEN);
      expect(await storedSpan(engine, span.traceId)).toMatchObject({
        attributes: { after: "unknown" },
        scope_name: "kept",
      });
    });

    test("D01 groups that open 200,000 times are 400, and quickly", async () => {
      const begun_ms = performance.now();
      const body = Buffer.concat([spanBytes(makeSpan()), repeat(bytes(0xa3, 0x38), 200_000)]);
      expect((await sendBytes(around(body))).status).toBe(400);
      expect(performance.now() - begun_ms).toBeLessThan(5_000);
    });

    test.each([
      ["packed", true],
      ["unpacked", false],
    ])("D02 repeated numbers are taken %s", async (name, packed) => {
      const session = `D02-${name}`;
      const numbers = [1, 2, 3].map((count) => bytes(count, 0, 0, 0, 0, 0, 0, 0));
      const counts = packed
        ? field(6, ...numbers)
        : Buffer.concat(numbers.map((number) => Buffer.from([6 * 8 + 1, ...number])));
      const point = { timeUnixNano: nowNs(), count: 6n, sum: 25, attributes: [] as OtlpKeyValue[] };
      point.attributes = [text("token_type", "input"), text("session.id", session)];
      const dataPoint = field(1, encodeMessage("HistogramDataPoint", point), counts);
      const histogram = field(9, dataPoint, bytes(2 * 8, 1));
      const metric = Buffer.concat([
        encodeMessage("Metric", { name: "codex.turn.token_usage" }),
        histogram,
      ]);
      expect(await sendBytes(field(1, field(2, field(2, metric))), "metrics")).toEqual(TAKEN);
      expect(await storedSessions(engine, "metrics", session)).toMatchObject([{ amount: 25 }]);
    });

    test("D03 of a oneof the last member counts, and repeated messages merge", async () => {
      const span = makeSpan();
      const value = Buffer.concat([
        encodeMessage("AnyValue", { stringValue: "first" }),
        encodeMessage("AnyValue", { intValue: 7 }),
      ]);
      const pair = Buffer.concat([field(1, Buffer.from("oneof")), field(2, value)]);
      const resource = (key: string) => field(1, field(1, pairBytes(text(key, key))));
      const scopeSpans = field(2, field(2, spanBytes(span), field(9, pair)));
      expect(await sendBytes(field(1, resource("before"), scopeSpans, resource("behind")))).toEqual(
        TAKEN,
      );
      expect(await storedSpan(engine, span.traceId)).toMatchObject({
        attributes: { oneof: "7" },
        resource: { before: "before", behind: "behind" },
      });
    });
  });

  describe("what is no protobuf", () => {
    const span = spanBytes(makeSpan());
    test.each([
      ["a varint of more than 10 bytes", bytes(0x30, ...Array<number>(10).fill(0xff), 0x01)],
      ["field number 0", bytes(0x00, 0x01)],
      ["wire type 6", bytes(0x36, 0x01)],
      ["wire type 7", bytes(0x37, 0x01)],
      ["a known field of another wire type", bytes(7 * 8, 0x01)],
      ["an end of a group that did not begin", bytes(...varint(900 * 8 + 4))],
      ["a group that does not end", bytes(...varint(900 * 8 + 3), 0x08, 0x01)],
    ])("D04 %s is 400", async (_name, broken) => {
      expect((await sendBytes(around(Buffer.concat([span, broken])))).status).toBe(400);
    });

    test.each([
      ["longer than what is left", [5 * 8 + 2, 0x7f]],
      ["of 2 GiB", [5 * 8 + 2, 0x80, 0x80, 0x80, 0x80, 0x08]],
      ["of 2^63", [5 * 8 + 2, ...Array<number>(9).fill(0x80), 0x01]],
      ["of -1", [5 * 8 + 2, ...Array<number>(9).fill(0xff), 0x01]],
    ])("D05 a length %s is 400 and nothing of it is allocated", async (_name, broken) => {
      const before_bytes = process.memoryUsage().rss;
      for (let count = 0; count < 20; count += 1) {
        expect((await sendBytes(around(Buffer.concat([span, bytes(...broken)])))).status).toBe(400);
      }
      expect(process.memoryUsage().rss - before_bytes).toBeLessThan(512 * 1024 ** 2);
    });
  });

  test("D06 text that is not UTF-8 is stored with U+FFFD and a warning, and costs no span", async () => {
    const broken = makeSpan();
    const good = makeSpan({ traceId: broken.traceId, startTimeUnixNano: nowNs() + 1_000n });
    const value = field(2, field(1, bytes(0x61, 0xff, 0x62)));
    const pair = field(9, field(1, Buffer.from("odd")), value);
    const spans = [Buffer.concat([spanBytes(broken), pair]), spanBytes(good)];
    const outcome = await sendBytes(field(1, field(2, ...spans.map((one) => field(2, one)))));
    expect(outcome).toMatchObject({ status: 200, rejected: 0 });
    expect(outcome.message).toContain("U+FFFD");
    const stored = await storedSpans(engine, broken.traceId, 2);
    expect(stored).toHaveLength(2);
    expect(stored.map(({ attributes }) => attributes["odd"])).toContain("a\ufffdb");
  });

  test.each(ENCODINGS)(
    "D07 wrong and all-zero ids cost their span alone (%s)",
    async (encoding) => {
      const good = makeSpan();
      const bad = [
        { traceId: new Uint8Array(16) },
        { traceId: newId(16).subarray(1) },
        { traceId: new Uint8Array(0) },
        { spanId: new Uint8Array(8) },
        { spanId: newId(16) },
        { parentSpanId: newId(8).subarray(1) },
      ].map(makeSpan);
      const spans = [...bad.slice(0, 3), good, ...bad.slice(3)];
      const body = encode("traces", encoding, tracesOf(...spans));
      const outcome = readOutcome("traces", await post(collector, "traces", encoding, body));
      expect(outcome).toMatchObject({ status: 200, rejected: bad.length });
      expect(outcome.message).toContain("id");
      await storedSpan(engine, good.traceId);
    },
  );

  test("D08 an end before the start, or none, is a duration of zero; no start is refused alone", async () => {
    const start = nowNs();
    const backwards = makeSpan({ startTimeUnixNano: start, endTimeUnixNano: start - 5_000n });
    const open = makeSpan({ endTimeUnixNano: 0n });
    const timeless = makeSpan({ startTimeUnixNano: 0n });
    const body = encode("traces", "protobuf", tracesOf(backwards, open, timeless));
    expect(await sendBytes(body)).toMatchObject({ status: 200, rejected: 1 });
    for (const { traceId } of [backwards, open]) {
      expect((await storedSpan(engine, traceId)).duration_ns).toBe("0");
    }
  });

  test("D09 flags of any bits are taken", async () => {
    const span = makeSpan({
      flags: 0xffffffff,
      links: [{ traceId: newId(16), spanId: newId(8), flags: 0xfffffd00 }],
    });
    expect(await sendBytes(encode("traces", "protobuf", tracesOf(span)))).toEqual(TAKEN);
    await storedSpan(engine, span.traceId);
  });

  test("D10 an empty value is a value, and references of profiles are absent with a warning", async () => {
    const span = makeSpan({ attributes: [{ key: "empty", value: {} }, text("full", "x")] });
    expect(await sendBytes(encode("traces", "protobuf", tracesOf(span)))).toEqual(TAKEN);
    expect((await storedSpan(engine, span.traceId)).attributes).toEqual({ empty: "", full: "x" });
    for (const reference of [
      Buffer.concat([field(1, Buffer.from("k")), field(2, bytes(8 * 8, 3))]),
      bytes(3 * 8, 3),
    ]) {
      const other = makeSpan();
      const body = around(Buffer.concat([spanBytes(other), field(9, reference)]));
      const outcome = await sendBytes(body);
      expect(outcome).toMatchObject({ status: 200, rejected: 0 });
      expect(outcome.message).toContain("profiles");
      await storedSpan(engine, other.traceId);
    }
  });

  test.each(ENCODINGS)(
    "D11 of a key that comes twice the last one is what is asked for (%s)",
    async (encoding) => {
      const session = `D11-${encoding}`;
      const attributes = [text("session.id", "an earlier one"), text("session.id", session)];
      const span = makeSpan({ attributes: [text("gen_ai.operation.name", "chat"), ...attributes] });
      const body = encode("traces", encoding, tracesOf(span));
      expect(readOutcome("traces", await post(collector, "traces", encoding, body))).toMatchObject({
        status: 200,
        rejected: 0,
      });
      expect((await storedSpan(engine, span.traceId)).session_id).toBe(session);
    },
  );

  test.each(ENCODINGS)(
    "D12 unknown and unspecified kinds are kept as numbers (%s)",
    async (encoding) => {
      for (const kind of [0, 5, 77]) {
        const span = makeSpan({ kind });
        const body = encode("traces", encoding, tracesOf(span));
        expect(readOutcome("traces", await post(collector, "traces", encoding, body))).toEqual(
          TAKEN,
        );
        expect((await storedSpan(engine, span.traceId)).kind).toBe(kind);
      }
    },
  );

  test.each(ENCODINGS)("D13 times keep every nanosecond (%s)", async (encoding) => {
    const start = nowNs() + 123_457n;
    const span = makeSpan({
      startTimeUnixNano: start,
      endTimeUnixNano: start + 3_600_123_456_789n,
    });
    const body = encode("traces", encoding, tracesOf(span));
    expect(readOutcome("traces", await post(collector, "traces", encoding, body))).toEqual(TAKEN);
    expect(await storedSpan(engine, span.traceId)).toMatchObject({
      start_ns: String(start),
      duration_ns: "3600123456789",
    });
  });

  test.each(ENCODINGS)(
    "D14 a record without a time has the one it was observed at, without both it is refused (%s)",
    async (encoding) => {
      const observed = nowNs() - 3_600_000_000_321n;
      const session = `D14-${encoding}`;
      const times = { timeUnixNano: 0n, observedTimeUnixNano: observed };
      const body = encode("logs", encoding, logsOf(session, times));
      expect(readOutcome("logs", await post(collector, "logs", encoding, body))).toEqual(TAKEN);
      const [row] = await storedSessions(engine, "logs", session);
      expect(row?.time_ns).toBe(String(observed));
      const timeless = encode("logs", encoding, logsOf(session, {}));
      expect(readOutcome("logs", await post(collector, "logs", encoding, timeless))).toMatchObject({
        status: 200,
        rejected: 1,
      });
    },
  );

  /** An AnyValue in so many lists; the innermost is level `depth`. protobufjs stops at 100 messages. */
  function nestedBytes(depth: number): Uint8Array {
    // From the inside out and backwards: to concatenate each level would be quadratic.
    const pieces: number[][] = [[...Buffer.from("innermost")].toReversed()];
    let length = 9;
    const wrap = (number: number) => {
      const head = [number * 8 + 2, ...varint(length)];
      pieces.push(head.toReversed());
      length += head.length;
    };
    wrap(1);
    for (let level = 1; level < depth; level += 1) {
      wrap(1);
      wrap(5);
    }
    return Uint8Array.from(pieces.flat()).reverse();
  }

  function nestedJson(depth: number): string {
    const open = '{"arrayValue":{"values":['.repeat(depth - 1);
    return `${open}{"stringValue":"innermost"}${"]}}".repeat(depth - 1)}`;
  }

  /** Bodies of a span with one shallow attribute and one of so many levels. */
  function deepBody(encoding: Encoding, span: OtlpSpan, depth: number): Uint8Array {
    if (encoding === "protobuf") {
      const pair = field(9, field(1, Buffer.from("deep")), field(2, nestedBytes(depth)));
      return around(Buffer.concat([spanBytes(span), pair]));
    }
    const attributes = [...(span.attributes ?? []), text("deep", "HERE")];
    const body = Buffer.from(
      encode("traces", "json", tracesOf({ ...span, attributes })),
    ).toString();
    return Buffer.from(body.replace('{"stringValue":"HERE"}', nestedJson(depth)));
  }

  test.each([
    ["protobuf", 64, true],
    ["json", 64, true],
    ["protobuf", 65, false],
    ["json", 65, false],
    ["json", 200, false],
    ["protobuf", 100_000, false],
  ] as const)(
    "D15 of a value of %s with %i levels all is kept: %s",
    async (encoding, depth, kept) => {
      const span = makeSpan({ attributes: [text("shallow", "kept")] });
      const body = deepBody(encoding, span, depth);
      const outcome = readOutcome("traces", await post(collector, "traces", encoding, body));
      expect(outcome).toMatchObject({ status: 200, rejected: 0 });
      expect(outcome.message.includes("64 levels")).toBe(!kept);
      const { attributes } = await storedSpan(engine, span.traceId);
      expect(attributes["shallow"]).toBe("kept");
      expect(attributes["deep"]?.includes("innermost")).toBe(kept);
    },
  );
});
