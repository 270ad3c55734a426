/** The protobuf decoder of logs against protobufjs, the captures of real clients, and bad bodies. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DecodedLogRecord } from "../../schemas/logs.ts";
import { eventNameOf, timeOf } from "../../schemas/logs.ts";
import { Attributes } from "../../schemas/span.ts";
import {
  arbitraryLogsRequest,
  expectedLogs,
  readOtlpJson,
  readSignalCaptures,
  refusalOf,
  unlessRefused,
} from "../../test/support/otlp-oracle.ts";
import type { OtlpLogRecord, OtlpLogsRequest } from "../../test/support/otlp-proto.ts";
import {
  decodeLogsRequest,
  encodeLogsRequest,
  encodeMessage,
  field,
  repeat,
} from "../../test/support/otlp-proto.ts";
import { decodeLogsJson } from "./json-logs.ts";
import {
  MAX_ATTRIBUTES,
  MAX_ENVELOPES_PER_REQUEST,
  MAX_VALUE_DEPTH,
  MAX_VALUES_PER_REQUEST,
  TOO_DEEP_VALUE,
} from "./limits.ts";
import { decodeLogs } from "./logs.ts";
import { WARNINGS } from "./notes.ts";

const TRACE_ID = new Uint8Array(16).fill(0xab);
const SPAN_ID = new Uint8Array(8).fill(0xcd);
const NONE = new Uint8Array(0);

/** A request of one scope with these LogRecord messages. */
function requestOf(...records: Uint8Array[]): Uint8Array {
  return field(1, field(2, ...records.map((record) => field(2, record))));
}

function encodeRecord(record: OtlpLogRecord): Uint8Array {
  return encodeMessage("LogRecord", record);
}

/** The one record of a request of this LogRecord message, and the warnings. */
function decodeRecord(...parts: Uint8Array[]): DecodedLogRecord & { warnings: string[] } {
  const { scope_logs, warnings } = decodeLogs(requestOf(Buffer.concat(parts)));
  const record = scope_logs[0]?.records[0];
  if (record === undefined) throw new Error("the record was not decoded");
  return { ...record, warnings };
}

const captures = readSignalCaptures("logs");
const pbCaptures = captures.filter(({ encoding }) => encoding === "pb");
const jsonCaptures = captures.filter(({ encoding }) => encoding === "json");

describe("what valid requests give", () => {
  test("any request that protobufjs encodes is decoded to what was encoded", () => {
    fc.assert(
      fc.property(arbitraryLogsRequest, (request) => {
        expect(decodeLogs(encodeLogsRequest(request))).toStrictEqual(expectedLogs(request));
      }),
      { numRuns: 300 },
    );
  });

  test("there are captures in both encodings", () => {
    expect(pbCaptures.length).toBeGreaterThanOrEqual(3);
    expect(jsonCaptures.length).toBeGreaterThanOrEqual(10);
  });

  test.each(pbCaptures)("$name is decoded to what protobufjs reads in it", ({ body }) => {
    const logs = decodeLogs(body);
    expect(logs).toStrictEqual(expectedLogs(decodeLogsRequest(body)));
    expect(logs.record_count).toBeGreaterThan(0);
  });

  test.each(jsonCaptures)("$name written as protobuf is decoded like its JSON", ({ body }) => {
    const request = readOtlpJson(new TextDecoder().decode(body));
    expect(decodeLogs(encodeLogsRequest(request))).toStrictEqual(decodeLogsJson(body));
  });

  test("an empty body is an empty request", () => {
    expect(decodeLogs(NONE)).toStrictEqual({
      scope_logs: [],
      record_count: 0,
      rejected_records: 0,
      rejections: [],
      warnings: [],
    });
  });

  test("an empty record is a record in which everything is absent", () => {
    expect(decodeRecord(NONE)).toStrictEqual({
      time_ns: 0n,
      observed_ns: 0n,
      severity_number: 0,
      event_name: "",
      body: null,
      attributes: new Attributes(),
      trace_id: NONE,
      span_id: NONE,
      warnings: [],
    });
  });

  test("the result does not change when the body is overwritten", () => {
    const record = {
      traceId: TRACE_ID,
      spanId: SPAN_ID,
      body: { bytesValue: Uint8Array.of(1, 2) },
    };
    const request = { resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] };
    const body = encodeLogsRequest(request);
    const logs = decodeLogs(body);
    body.fill(0xff);
    expect(logs).toStrictEqual(expectedLogs(request));
  });
});

describe("what a record means", () => {
  const eventName = "event src/telemetry.rs:703";
  const named = (value: object) => [{ key: "event.name", value }];

  test("the attribute event.name goes before the field, which Codex fills with a place in its source", () => {
    const attributes = named({ stringValue: "codex.sse_event" });
    expect(eventNameOf(decodeRecord(encodeRecord({ eventName, attributes })))).toBe(
      "codex.sse_event",
    );
  });

  test.each([[{ stringValue: "" }], [{ intValue: 5 }], [{}]])(
    "an attribute event.name of %j leaves the field as the name",
    (value) => {
      const record = decodeRecord(encodeRecord({ eventName, attributes: named(value) }));
      expect(eventNameOf(record)).toBe(eventName);
      expect(eventNameOf(decodeRecord(encodeRecord({})))).toBe("");
    },
  );

  test("D14: a record of time 0 happened when it was observed, and of neither at 0", () => {
    const times = { timeUnixNano: 5n, observedTimeUnixNano: 1795226753661477805n };
    expect(timeOf(decodeRecord(encodeRecord(times)))).toBe(5n);
    expect(timeOf(decodeRecord(encodeRecord({ ...times, timeUnixNano: 0n })))).toBe(
      1795226753661477805n,
    );
    expect(timeOf(decodeRecord(NONE))).toBe(0n);
  });
});

describe("order, repetition and unknown fields", () => {
  test("D03: of repeated fields of a record the last counts, and bodies merge", () => {
    const list = (intValue: number) => ({ arrayValue: { values: [{ intValue }] } });
    const first = encodeRecord({ severityNumber: 9, eventName: "a", body: list(1) });
    const second = encodeRecord({ eventName: "b", body: list(2) });
    const record = decodeRecord(first, second);
    expect(record).toMatchObject({ severity_number: 9, event_name: "b", body: [1, 2] });
  });

  test("D11: both values of a repeated key are kept in order, and get gives the last", () => {
    const values = [{ intValue: 4 }, { stringValue: "01a1fbda" }];
    const attributes = values.map((value) => ({ key: "thread.id", value }));
    const record = decodeRecord(encodeRecord({ attributes }));
    expect(record.attributes).toStrictEqual(
      new Attributes(["thread.id", "thread.id"], [4, "01a1fbda"]),
    );
    expect(record.attributes.get("thread.id")).toBe("01a1fbda");
  });

  test("D01: unknown fields of all wire types and the fields that are not kept are skipped", () => {
    // Fields 100 to 104: varint, fixed64, delimited, a group with a varint in it, fixed32.
    const unknown = Buffer.from(
      "a00601a9060102030405060708b20603616263bb060801bc06c50601020304",
      "hex",
    );
    const skipped = encodeRecord({ severityText: "INFO", flags: 257, droppedAttributesCount: 3 });
    const record = decodeRecord(unknown, skipped, unknown, encodeRecord({ eventName: "kept" }));
    expect(record).toMatchObject({ event_name: "kept", warnings: [] });
  });

  test("an unknown severity is kept as its number", () => {
    expect(decodeRecord(encodeRecord({ severityNumber: 99 })).severity_number).toBe(99);
  });
});

describe("ids", () => {
  const ones = (size: number) => new Uint8Array(size).fill(1);

  test.each<[string, OtlpLogRecord]>([
    ["a trace id of 15 bytes", { traceId: ones(15) }],
    ["a trace id of 32 bytes of hex", { traceId: ones(32) }],
    ["a trace id of one byte", { traceId: ones(1) }],
    ["a trace id of 15 zeros", { traceId: new Uint8Array(15) }],
  ])("D07: a record with %s is kept without it, with a warning", (_name, ids) => {
    const record = decodeRecord(encodeRecord({ spanId: SPAN_ID, eventName: "e", ...ids }));
    expect(record).toMatchObject({ trace_id: NONE, span_id: SPAN_ID, event_name: "e" });
    expect(record.warnings).toStrictEqual([WARNINGS.log_id]);
  });

  test("D07: a record with a span id of 16 bytes is kept without it, with a warning", () => {
    const record = decodeRecord(encodeRecord({ traceId: TRACE_ID, spanId: ones(16) }));
    expect(record).toMatchObject({ trace_id: TRACE_ID, span_id: NONE });
    expect(record.warnings).toStrictEqual([WARNINGS.log_id]);
  });

  test("ids of zeros are none, without a warning", () => {
    const zeros = { traceId: new Uint8Array(16), spanId: new Uint8Array(8) };
    const record = decodeRecord(encodeRecord(zeros));
    expect(record).toMatchObject({ trace_id: NONE, span_id: NONE, warnings: [] });
  });
});

describe("limits", () => {
  test("P08: attributes are kept up to the limit and the record is kept", () => {
    const attributes = Array.from({ length: MAX_ATTRIBUTES + 1 }, (_, index) => ({
      key: `k${index}`,
    }));
    const record = decodeRecord(encodeRecord({ attributes }));
    expect(record.attributes.keys).toHaveLength(MAX_ATTRIBUTES);
    expect(record.warnings).toStrictEqual([WARNINGS.attribute_count]);
  });

  test("P04: a body is kept down to the limit of depth and marked below it", () => {
    const nest = (depth: number) => {
      let value: Uint8Array = encodeMessage("AnyValue", { stringValue: "innermost" });
      for (let level = 1; level < depth; level += 1) value = field(5, field(1, value));
      const { body, warnings } = decodeRecord(field(5, value));
      let inner = body;
      while (Array.isArray(inner)) inner = inner[0] ?? null;
      return { inner, warnings };
    };
    expect(nest(MAX_VALUE_DEPTH)).toStrictEqual({ inner: "innermost", warnings: [] });
    expect(nest(MAX_VALUE_DEPTH + 1)).toStrictEqual({
      inner: TOO_DEEP_VALUE,
      warnings: [WARNINGS.value_depth],
    });
  });

  test("P09: more envelopes or values than the limits are refused", () => {
    const count = MAX_ENVELOPES_PER_REQUEST;
    expect(decodeLogs(repeat(field(1), count)).scope_logs).toStrictEqual([]);
    for (const body of [
      repeat(field(1), count + 1),
      field(1, repeat(field(2), count)),
      field(1, field(2, repeat(field(2), count))),
      requestOf(field(5, field(5, repeat(field(1), MAX_VALUES_PER_REQUEST + 1)))),
    ]) {
      expect(refusalOf(() => decodeLogs(body)).code).toBe("too_many_objects");
    }
  });

  test("P11: invalid UTF-8 becomes U+FFFD with one warning", () => {
    const invalid = Buffer.from("61ff62c3", "hex");
    const record = decodeRecord(field(12, invalid), field(5, field(1, invalid)));
    expect(record).toMatchObject({ event_name: "a\uFFFDb\uFFFD", body: "a\uFFFDb\uFFFD" });
    expect(record.warnings).toStrictEqual([WARNINGS.invalid_text]);
  });
});

describe("bodies that are not protobuf", () => {
  test.each([
    ["a resource_logs that is a varint", "0801"],
    ["a severity that is a string", "0a0712051203120161"],
    ["JSON", Buffer.from('{"resourceLogs":[]}').toString("hex")],
    ["a gzip stream", "1f8b0800000000000003"],
  ])("D04: %s is refused with the offset", (_name, hex) => {
    const refusal = refusalOf(() => decodeLogs(Buffer.from(hex, "hex")));
    expect(refusal.code).toBe("invalid_protobuf");
    expect(refusal.message).toMatch(/^at byte \d+: ./);
  });

  test("P01: a capture cut at any byte is refused, or was cut between two resources", () => {
    const { body } = pbCaptures.toSorted((a, b) => a.body.length - b.body.length)[0] ?? {
      body: NONE,
    };
    const whole = decodeLogs(body).record_count;
    const twice = Buffer.concat([body, body]);
    const accepted = Array.from({ length: twice.length + 1 }, (_, size) => ({
      size,
      count: unlessRefused(() => decodeLogs(twice.subarray(0, size)))?.record_count,
    })).filter(({ count }) => count !== undefined);
    expect(accepted).toStrictEqual([
      { size: 0, count: 0 },
      { size: body.length, count: whole },
      { size: twice.length, count: whole * 2 },
    ]);
  });

  test("P28: arbitrary bytes are decoded or refused and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const body of [bytes, requestOf(bytes), requestOf(field(5, bytes))]) {
          const logs = unlessRefused(() => decodeLogs(body));
          const records = logs?.scope_logs.flatMap((scoped) => scoped.records) ?? [];
          expect(records).toHaveLength(logs?.record_count ?? 0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("mutated captures are decoded or refused, and accepted as protobufjs reads them", () => {
    const mutation = fc.record({
      capture: fc.nat({ max: pbCaptures.length - 1 }),
      edits: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
    });
    let acceptedCount = 0;
    fc.assert(
      fc.property(mutation, ({ capture, edits }) => {
        const body = Uint8Array.from(pbCaptures[capture]?.body ?? []);
        for (const [offset, byte] of edits) body[offset % body.length] = byte;
        const logs = unlessRefused(() => decodeLogs(body));
        if (logs === undefined || logs.warnings.length > 0) return;
        const request = decodeOrUndefined(body);
        if (request === undefined) return;
        acceptedCount += 1;
        expect(logs).toStrictEqual(expectedLogs(request));
      }),
      { numRuns: 1000, interruptAfterTimeLimit: 4000 },
    );
    expect(acceptedCount).toBeGreaterThan(10);
  });
});

/** Undefined where protobufjs refuses the body: it also reads the fields that are skipped here. */
function decodeOrUndefined(body: Uint8Array): OtlpLogsRequest | undefined {
  try {
    return decodeLogsRequest(body);
  } catch {
    return undefined;
  }
}
