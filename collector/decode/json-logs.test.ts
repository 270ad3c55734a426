/** The JSON decoder of logs against the protobuf bodies of the same records, and bad bodies. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DecodedLogs } from "../../schemas/logs.ts";
import type { AttributeValue } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type { IntegerStyle } from "../../test/support/otlp-oracle.ts";
import {
  arbitraryLogsRequest,
  expectedLogs,
  readOtlpJson,
  readSignalCaptures,
  refusalOf,
  unlessRefused,
  writeOtlpJson,
} from "../../test/support/otlp-oracle.ts";
import { encodeLogsRequest } from "../../test/support/otlp-proto.ts";
import { decodeLogsJson } from "./json-logs.ts";
import { MAX_ENVELOPES_PER_REQUEST } from "./limits.ts";
import { decodeLogs } from "./logs.ts";
import { WARNINGS } from "./notes.ts";

const NONE = new Uint8Array(0);

function decodeText(text: string): DecodedLogs {
  return decodeLogsJson(new TextEncoder().encode(text));
}

/** A request of one scope with these JSON texts as records. */
function requestOf(...records: string[]): string {
  return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[${records.join(",")}]}]}]}`;
}

/** Decodes a record with the members of the JSON text. */
function decodeRecord(members: string) {
  const logs = decodeText(requestOf(`{${members}}`));
  return { ...logs, record: logs.scope_logs[0]?.records[0] };
}

const jsonCaptures = readSignalCaptures("logs").filter(({ encoding }) => encoding === "json");

describe("what valid requests give", () => {
  test.each<IntegerStyle>(["quoted", "bare"])(
    "any request written with %s integers is decoded like its protobuf",
    (style) => {
      fc.assert(
        fc.property(arbitraryLogsRequest, (request) => {
          const logs = decodeText(writeOtlpJson(request, style));
          expect(logs).toStrictEqual(expectedLogs(request));
          expect(logs).toStrictEqual(decodeLogs(encodeLogsRequest(request)));
        }),
        { numRuns: 200 },
      );
    },
  );

  test.each(jsonCaptures)("$name is decoded to what JSON.parse reads in it", ({ body }) => {
    const logs = decodeLogsJson(body);
    const request = readOtlpJson(new TextDecoder().decode(body));
    expect(logs).toStrictEqual(expectedLogs(request));
    expect(logs.record_count).toBeGreaterThan(0);
  });

  test.each(["{}", '{"resourceLogs":[]}', '{"resourceLogs":null}', '{"resourceLogs":[null]}'])(
    "J08: %s is an empty request",
    (text) => {
      expect(decodeText(text)).toStrictEqual({
        scope_logs: [],
        record_count: 0,
        rejected_records: 0,
        rejections: [],
        warnings: [],
      });
    },
  );
});

describe("records as clients write them", () => {
  test("a record as Codex writes it: body null, time 0 in a string, unknown fields", () => {
    const { record, warnings } = decodeRecord(
      `"timeUnixNano":"0","observedTimeUnixNano":"1795226753661477805","severityNumber":9,
       "severityText":"INFO","body":null,"flags":1,"entityRefs":[],"traceId":"","spanId":"",
       "attributes":[{"key":"input_token_count","value":{"stringValue":"1500"}},
         {"key":"count","value":{"intValue":"7"}},{"key":"choice.count","value":{}}]`,
    );
    expect(warnings).toStrictEqual([]);
    expect(record).toStrictEqual({
      time_ns: 0n,
      observed_ns: 1795226753661477805n,
      severity_number: 9,
      event_name: "",
      body: null,
      attributes: new Attributes(["input_token_count", "count", "choice.count"], ["1500", 7, null]),
      trace_id: NONE,
      span_id: NONE,
    });
  });

  test("J05: a bare time of today is read to the nanosecond", () => {
    const { record } = decodeRecord('"timeUnixNano":1795226010303000001');
    expect(record?.time_ns).toBe(1795226010303000001n);
  });

  test("J04: snake_case names give the same record as lowerCamelCase ones, with a warning", () => {
    const snake = `{"resource_logs":[{"scope_logs":[{"log_records":[{"time_unix_nano":"5",
      "observed_time_unix_nano":"6","severity_number":17,"event_name":"e",
      "trace_id":"${"ab".repeat(16)}","span_id":"${"cd".repeat(8)}"}]}]}]}`;
    const camel = snake.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
    const fromCamel = decodeText(camel);
    expect(fromCamel.warnings).toStrictEqual([]);
    expect(fromCamel.scope_logs[0]?.records[0]).toMatchObject({
      time_ns: 5n,
      observed_ns: 6n,
      severity_number: 17,
      event_name: "e",
      trace_id: new Uint8Array(16).fill(0xab),
      span_id: new Uint8Array(8).fill(0xcd),
    });
    expect(decodeText(snake)).toStrictEqual({ ...fromCamel, warnings: [WARNINGS.snake_case] });
  });

  test.each([
    ["SEVERITY_NUMBER_TRACE", 1],
    ["SEVERITY_NUMBER_INFO", 9],
    ["SEVERITY_NUMBER_WARN3", 15],
    ["SEVERITY_NUMBER_FATAL4", 24],
  ])("J02: the severity %s is %s, with a warning", (name, number) => {
    const { record, warnings } = decodeRecord(`"severityNumber":"${name}"`);
    expect(record?.severity_number).toBe(number);
    expect(warnings).toStrictEqual([WARNINGS.enum_name]);
  });

  test.each<[string, AttributeValue, string[]]>([
    ['{"stringValue":"text"}', "text", []],
    ['{"kvlistValue":{"values":[{"key":"a","value":{"intValue":1}}]}}', oneAttribute(), []],
    ["{}", null, []],
    ['"plain text"', null, [WARNINGS.log_body]],
    ['{"intValue":"many"}', null, [WARNINGS.log_body]],
  ])("the body %s is %j and the record is kept", (text, body, warnings) => {
    const decoded = decodeRecord(`"body":${text},"eventName":"e"`);
    expect(decoded.record).toMatchObject({ event_name: "e" });
    expect(decoded.record?.body).toStrictEqual(body);
    expect(decoded.warnings).toStrictEqual(warnings);
  });

  test("J13: names that mean something to JavaScript are stored as data", () => {
    const keys = ["__proto__", "constructor", "toString", ""];
    const pairs = keys.map((key) => `{"key":${JSON.stringify(key)},"value":{"intValue":1}}`);
    const members = `"__proto__":{"eventName":"polluted"},"attributes":[${pairs.join(",")}]`;
    const { record } = decodeRecord(members);
    expect(record?.event_name).toBe("");
    expect(record?.attributes).toStrictEqual(new Attributes(keys, [1, 1, 1, 1]));
    expect(Object.keys(Object.prototype)).toStrictEqual([]);
  });
});

function oneAttribute(): Attributes {
  return new Attributes(["a"], [1]);
}

describe("ids", () => {
  test.each([
    ["base64", `"traceId":"${Buffer.alloc(16, 7).toString("base64")}"`],
    ["31 digits", `"traceId":"${"a".repeat(31)}"`],
    ["no text", '"spanId":5'],
    ["the word undefined", '"spanId":"undefined"'],
  ])("D07: a record whose id is %s is kept without it, with a warning", (_name, id) => {
    const { record, warnings, rejected_records } = decodeRecord(`${id},"eventName":"kept"`);
    expect(record).toMatchObject({ event_name: "kept", trace_id: NONE, span_id: NONE });
    expect({ warnings, rejected_records }).toStrictEqual({
      warnings: [WARNINGS.log_id],
      rejected_records: 0,
    });
  });

  test("ids of zeros are none, without a warning", () => {
    const ids = `"traceId":"${"0".repeat(32)}","spanId":"${"0".repeat(16)}"`;
    const { record, warnings } = decodeRecord(ids);
    expect(record).toMatchObject({ trace_id: NONE, span_id: NONE });
    expect(warnings).toStrictEqual([]);
  });
});

describe("bad records and bad bodies", () => {
  test.each([
    '"timeUnixNano":"soon"',
    '"timeUnixNano":-1',
    '"observedTimeUnixNano":1.5',
    '"severityNumber":"LOUD"',
    '"eventName":5',
  ])("J07: a record with %s is rejected and its neighbours are kept", (members) => {
    const logs = decodeText(requestOf("{}", `{${members}}`, "{}"));
    expect(logs).toMatchObject({ record_count: 2, rejected_records: 1 });
    expect(logs.rejections).toHaveLength(1);
  });

  test("what is no object among the records is rejected and null is none", () => {
    const logs = decodeText(requestOf("{}", "5", "[]", "null", "{}"));
    expect(logs).toMatchObject({ record_count: 2, rejected_records: 2 });
    expect(logs.rejections).toStrictEqual(["logRecords must be objects"]);
  });

  test.each([
    ["nothing", ""],
    ["a byte order mark", '\uFEFF{"resourceLogs":[]}'],
    ["an array", "[]"],
    ["resourceLogs that are no array", '{"resourceLogs":{}}'],
    ["scopeLogs that are no array", '{"resourceLogs":[{"scopeLogs":5}]}'],
    ["logRecords that are no array", '{"resourceLogs":[{"scopeLogs":[{"logRecords":"x"}]}]}'],
    ["a cut-off body", requestOf("{}").slice(0, -1)],
  ])("J11: %s is refused as invalid JSON", (_name, text) => {
    expect(refusalOf(() => decodeText(text)).code).toBe("invalid_json");
  });

  test("a body without resourceLogs is accepted with a warning that names them", () => {
    expect(decodeText('{"logs":[{}]}').warnings).toStrictEqual([WARNINGS.no_resource_logs]);
  });

  test("P09: more records than the limit are refused", () => {
    const records = (count: number) => requestOf(`${"{},".repeat(count - 1)}{}`);
    const most = MAX_ENVELOPES_PER_REQUEST - 2;
    expect(decodeText(records(most)).record_count).toBe(most);
    expect(refusalOf(() => decodeText(records(most + 1))).code).toBe("too_many_objects");
  });

  test("P05: a million levels are refused in 100 ms", () => {
    const body = new TextEncoder().encode('{"resourceLogs":['.repeat(1_000_000));
    const start = performance.now();
    expect(refusalOf(() => decodeLogsJson(body)).code).toBe("invalid_json");
    expect(performance.now() - start).toBeLessThan(100);
  });

  test("P28: arbitrary JSON, cut and mutated captures are decoded or refused and nothing else", () => {
    const bodies = jsonCaptures.map(({ body }) => body);
    const mutated = fc
      .tuple(
        fc.constantFrom(...bodies),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
        fc.nat(),
      )
      .map(([body, edits, cut]) => {
        const copy = Uint8Array.from(body);
        for (const [offset, byte] of edits) copy[offset % copy.length] = byte;
        return cut % 2 === 0 ? copy : copy.subarray(0, cut % copy.length);
      });
    const records = fc.json().map((json) => new TextEncoder().encode(requestOf(json)));
    const noise = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(fc.oneof(mutated, records, noise), (body) => {
        const logs = unlessRefused(() => decodeLogsJson(body));
        const kept = logs?.scope_logs.flatMap((scoped) => scoped.records) ?? [];
        expect(kept).toHaveLength(logs?.record_count ?? 0);
      }),
      { numRuns: 1500 },
    );
  });
});
