/** The JSON decoder against the protobuf bodies of the same spans, the captures, and bad bodies. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AttributeValue, DecodedTraces } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type { IntegerStyle } from "../../test/support/otlp-oracle.ts";
import {
  arbitraryTraceRequest,
  expectedTraces,
  readOtlpJson,
  readTraceCaptures,
  refusalOf,
  unlessRefused,
  writeOtlpJson,
} from "../../test/support/otlp-oracle.ts";
import { encodeTraceRequest } from "../../test/support/otlp-proto.ts";
import { decodeTracesJson } from "./json.ts";
import {
  MAX_ATTRIBUTES,
  MAX_ENVELOPES_PER_REQUEST,
  MAX_EVENTS_PER_SPAN,
  MAX_JSON_CONTAINERS,
  MAX_JSON_DEPTH,
  MAX_KEY_BYTES,
  MAX_LINKS_PER_SPAN,
  MAX_NOTES,
  MAX_VALUE_DEPTH,
  TOO_DEEP_VALUE,
} from "./limits.ts";
import { REJECTIONS, WARNINGS } from "./notes.ts";
import { decodeTraces } from "./traces.ts";

const TRACE_HEX = "0af7651916cd43dd8448eb211c80319c";
const SPAN_HEX = "b7ad6b7169203331";
const TRACE_ID = Uint8Array.from(Buffer.from(TRACE_HEX, "hex"));
const SPAN_ID = Uint8Array.from(Buffer.from(SPAN_HEX, "hex"));
const IDS = `"traceId":"${TRACE_HEX}","spanId":"${SPAN_HEX}"`;

function decodeText(text: string): DecodedTraces {
  return decodeTracesJson(new TextEncoder().encode(text));
}

/** A request of one scope with these JSON texts as spans. */
function requestOf(...spans: string[]): string {
  return `{"resourceSpans":[{"scopeSpans":[{"spans":[${spans.join(",")}]}]}]}`;
}

/** Decodes a span with ids and the members of the JSON text. */
function decodeSpan(members: string) {
  const traces = decodeText(requestOf(`{${IDS}${members === "" ? "" : `,${members}`}}`));
  return { ...traces, span: traces.scope_spans[0]?.spans[0] };
}

/** Decodes an attribute `k` whose AnyValue is the JSON text; undefined when it was dropped. */
function decodeValue(anyValue: string) {
  const traces = decodeSpan(`"attributes":[{"key":"k","value":${anyValue}}]`);
  return { warnings: traces.warnings, value: traces.span?.attributes.values[0] };
}

const captures = readTraceCaptures();
const jsonCaptures = captures.filter(({ encoding }) => encoding === "json");

describe("what valid requests give", () => {
  test.each<IntegerStyle>(["quoted", "bare"])(
    "any request written with %s integers is decoded like its protobuf",
    (style) => {
      fc.assert(
        fc.property(arbitraryTraceRequest, (request) => {
          const traces = decodeText(writeOtlpJson(request, style));
          expect(traces).toStrictEqual(expectedTraces(request));
          expect(traces).toStrictEqual(decodeTraces(encodeTraceRequest(request)));
        }),
        { numRuns: 300 },
      );
    },
  );

  test("there are captures of more than a hundred JSON exports", () => {
    expect(jsonCaptures.length).toBeGreaterThan(100);
  });

  test.each(jsonCaptures)("$name is decoded to what JSON.parse reads in it", ({ body }) => {
    const traces = decodeTracesJson(body);
    const request = readOtlpJson(new TextDecoder().decode(body));
    expect(traces).toStrictEqual(expectedTraces(request));
    expect(traces.span_count).toBeGreaterThan(0);
  });

  // Where a case has a second JSON body, the protobuf one is the twin of one of them.
  const twins = captures.flatMap(({ case_name, encoding, body }) => {
    const jsons = jsonCaptures.filter((json) => json.case_name === case_name);
    return encoding === "pb" && jsons.length > 0 ? [{ case_name, body, jsons }] : [];
  });

  test("there are cases captured in both encodings", () => {
    expect(twins.length).toBeGreaterThan(80);
  });

  test.each(twins)("$case_name is the same in both encodings", ({ body, jsons }) => {
    expect(jsons.map((json) => decodeTracesJson(json.body))).toContainEqual(decodeTraces(body));
  });

  test.each([
    "{}",
    ' {"resourceSpans":[]}\n',
    '{"resourceSpans":null}',
    '{"resourceSpans":[null]}',
  ])("%s is an empty request", (text) => {
    const empty = { scope_spans: [], span_count: 0, rejected_spans: 0 };
    expect(decodeText(text)).toStrictEqual({ ...empty, rejections: [], warnings: [] });
  });
});

describe("names", () => {
  const attribute =
    '{"key":"k","value":{"kvlist_value":{"values":[{"key":"n","value":{"int_value":"1"}}]}}}';
  const snake = `{"resource_spans":[{"scope_spans":[{"spans":[{
    "trace_id":"${TRACE_HEX}","span_id":"${SPAN_HEX}","parent_span_id":"${SPAN_HEX}",
    "start_time_unix_nano":"5","end_time_unix_nano":"6","attributes":[${attribute}],
    "events":[{"time_unix_nano":"7"}],"links":[{"trace_id":"${TRACE_HEX}","span_id":"${SPAN_HEX}"}]
  }]}]}]}`;
  const camel = snake.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());

  test("snake_case names give the same spans as lowerCamelCase ones, with a warning", () => {
    const fromCamel = decodeText(camel);
    expect(fromCamel.warnings).toStrictEqual([]);
    expect(fromCamel.scope_spans[0]?.spans[0]).toMatchObject({
      parent_span_id: SPAN_ID,
      start_ns: 5n,
      end_ns: 6n,
      attributes: new Attributes(["k"], [new Attributes(["n"], [1])]),
      events: [{ time_ns: 7n }],
      links: [{ trace_id: TRACE_ID, span_id: SPAN_ID }],
    });
    expect(decodeText(snake)).toStrictEqual({ ...fromCamel, warnings: [WARNINGS.snake_case] });
  });

  test("a snake_case name of a value alone gives the warning too", () => {
    expect(decodeValue('{"int_value":1}')).toStrictEqual({
      warnings: [WARNINGS.snake_case],
      value: 1,
    });
  });

  test("a lowerCamelCase name wins over the snake_case one", () => {
    const { span, warnings } = decodeSpan('"start_time_unix_nano":"1","startTimeUnixNano":"2"');
    expect(span?.start_ns).toBe(2n);
    expect(warnings).toStrictEqual([]);
  });

  test("unknown names are ignored everywhere", () => {
    const junk = '"x":{"y":[1]},"flags":257,"droppedEventsCount":null,"traceState":5';
    const value = `{${junk},"intValue":"3"}`;
    const span = `{${IDS},${junk},"attributes":[{${junk},"key":"k","value":${value}}]}`;
    const text = `{${junk},"resourceSpans":[{${junk},"scopeSpans":[{${junk},"spans":[${span}]}]}]}`;
    const traces = decodeText(text);
    expect(traces).toMatchObject({ span_count: 1, warnings: [] });
    expect(traces.scope_spans[0]?.spans[0]?.attributes).toStrictEqual(new Attributes(["k"], [3]));
  });

  test("of duplicate names the last counts", () => {
    expect(decodeSpan('"name":"a","name":"b"').span?.name).toBe("b");
    expect(decodeValue('{"intValue":1,"stringValue":"s"}').value).toBe("s");
  });

  test("null is absent for every field", () => {
    const nulls = [
      "name",
      "kind",
      "startTimeUnixNano",
      "endTimeUnixNano",
      "parentSpanId",
      "status",
    ];
    const lists = ["attributes", "events", "links"];
    const members = [...nulls, ...lists].map((name) => `"${name}":null`).join(",");
    expect(decodeSpan(members)).toStrictEqual(decodeSpan(""));
    const inner = '"attributes":[null,{"key":null,"value":null}],"events":[null],"links":[null]';
    const { span, warnings, rejected_spans } = decodeSpan(inner);
    expect({ warnings, rejected_spans }).toStrictEqual({ warnings: [], rejected_spans: 0 });
    expect(span).toMatchObject({ attributes: new Attributes([""], [null]), events: [], links: [] });
    const text = `{"resourceSpans":[null,{"resource":null,"scopeSpans":[null,{"scope":null,"spans":[null,{${IDS}}]}]}]}`;
    expect(decodeText(text)).toStrictEqual(decodeText(requestOf(`{${IDS}}`)));
  });

  test("names that mean something to JavaScript are stored as data", () => {
    const keys = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "", "0"];
    const pairs = keys.map((key) => `{"key":${JSON.stringify(key)},"value":{"stringValue":"v"}}`);
    const hostile =
      '"__proto__":{"name":"polluted"},"constructor":{"prototype":{"name":"polluted"}}';
    const { span } = decodeSpan(`${hostile},"attributes":[${pairs.join(",")}]`);
    expect(span?.name).toBe("");
    expect(span?.attributes).toStrictEqual(
      new Attributes(
        keys,
        keys.map(() => "v"),
      ),
    );
    expect(decodeText(`{"__proto__":{"resourceSpans":[{"scopeSpans":5}]}}`).span_count).toBe(0);
    expect(Object.keys(Object.prototype)).toStrictEqual([]);
    expect("polluted" in {}).toBe(false);
  });
});

describe("inherited properties", () => {
  test("a property of all objects is no field of the body", () => {
    Reflect.defineProperty(Object.prototype, "parentSpanId", { value: 5, configurable: true });
    const traces = decodeSpan("");
    Reflect.deleteProperty(Object.prototype, "parentSpanId");
    expect(traces).toMatchObject({ span_count: 1, rejections: [] });
  });
});

describe("ids", () => {
  const spanWith = (ids: string) => decodeText(requestOf(`{${IDS}}`, `{${ids}}`, `{${IDS}}`));

  test("hex is read in either case", () => {
    const text = requestOf(
      `{${IDS.toUpperCase().replace("TRACEID", "traceId").replace("SPANID", "spanId")}}`,
    );
    const span = decodeText(text).scope_spans[0]?.spans[0];
    expect(span).toMatchObject({ trace_id: TRACE_ID, span_id: SPAN_ID });
  });

  const base64Trace = Buffer.from(TRACE_ID).toString("base64");
  const base64Span = Buffer.from(SPAN_ID).toString("base64");

  test.each([
    [`"traceId":"${base64Trace}","spanId":"${base64Span}"`, REJECTIONS.id_encoding],
    [`"traceId":"${TRACE_HEX}","spanId":"${base64Span}"`, REJECTIONS.id_encoding],
    [`${IDS},"parentSpanId":"${base64Span}"`, REJECTIONS.id_encoding],
    [`"traceId":"${"g".repeat(32)}","spanId":"${SPAN_HEX}"`, REJECTIONS.id_encoding],
    [`"traceId":5,"spanId":"${SPAN_HEX}"`, REJECTIONS.id_encoding],
    [`"traceId":"undefined","spanId":"${SPAN_HEX}"`, REJECTIONS.id_encoding],
    [`"traceId":"","spanId":"${SPAN_HEX}"`, REJECTIONS.trace_id_size],
    [`"spanId":"${SPAN_HEX}"`, REJECTIONS.trace_id_size],
    [`"traceId":"${TRACE_HEX}00","spanId":"${SPAN_HEX}"`, REJECTIONS.trace_id_size],
    [`"traceId":"${TRACE_HEX}","spanId":"${SPAN_HEX}0"`, REJECTIONS.span_id_size],
    [`"traceId":"${TRACE_HEX}","spanId":null`, REJECTIONS.span_id_size],
    [`"traceId":"${"0".repeat(32)}","spanId":"${SPAN_HEX}"`, REJECTIONS.trace_id_zero],
    [`"traceId":"${TRACE_HEX}","spanId":"${"0".repeat(16)}"`, REJECTIONS.span_id_zero],
    [`${IDS},"parentSpanId":"${SPAN_HEX}ff"`, REJECTIONS.parent_span_id_size],
  ])("a span with %s is rejected and its neighbours are kept", (ids, reason) => {
    expect(spanWith(ids)).toMatchObject({
      span_count: 2,
      rejected_spans: 1,
      rejections: [reason],
      warnings: [],
    });
  });

  test("the reason for base64 ids says that ids must be hex", () => {
    const { rejections } = spanWith(`"traceId":"${base64Trace}","spanId":"${base64Span}"`);
    expect(rejections[0]).toContain("ids must be hex");
  });

  test.each(['""', "null", `"${"0".repeat(16)}"`])("the parent %s is no parent", (parent) => {
    expect(decodeSpan(`"parentSpanId":${parent}`).span?.parent_span_id).toStrictEqual(
      new Uint8Array(0),
    );
  });

  test("a link without hex ids is dropped with a warning and its span is kept", () => {
    const link = `{"traceId":"${base64Trace}","spanId":"${base64Span}"}`;
    const { span, warnings } = decodeSpan(`"links":[${link},{${IDS}}]`);
    expect(span?.links).toHaveLength(1);
    expect(warnings).toStrictEqual([WARNINGS.link_id]);
  });
});

describe("integers", () => {
  const int64 = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }),
  );
  const asRead = (value: bigint) =>
    BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;

  test("an int64 is read without loss from a string and from a bare number", () => {
    fc.assert(
      fc.property(int64, (value) => {
        const expected = { warnings: [], value: asRead(value) };
        expect(decodeValue(`{"intValue":"${value}"}`)).toStrictEqual(expected);
        expect(decodeValue(`{"intValue":${value}}`)).toStrictEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test("a bare time of today is read to the nanosecond", () => {
    const { span } = decodeSpan(
      '"startTimeUnixNano":1795226010303000001,"endTimeUnixNano":18446744073709551615',
    );
    expect(span?.start_ns).toBe(1795226010303000001n);
    expect(span?.end_ns).toBe(18446744073709551615n);
  });

  test("a fraction of zeros and an exponent change nothing about an integer", () => {
    fc.assert(
      fc.property(int64, fc.nat({ max: 6 }), (value, shift) => {
        const digits = `${value}`.replace("-", "").padStart(shift + 1, "0");
        const sign = value < 0n ? "-" : "";
        const point = digits.length - shift;
        const shifted = `${sign}${digits.slice(0, point)}.${digits.slice(point)}0e${shift}`;
        for (const text of [shifted, `${value}.00`, `"${shifted}"`, `"${value}.0"`]) {
          expect(decodeValue(`{"intValue":${text}}`).value).toBe(asRead(value));
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["0", 0],
    ["-0", 0],
    ["-0.0", 0],
    ["1e3", 1000],
    ["1.0", 1],
    ["1.5e1", 15],
    ["1200e-2", 12],
    ['"007"', 7],
    ["0e999", 0],
    ["9223372036854775807", 9223372036854775807n],
    ["-9223372036854775808", -9223372036854775808n],
    ["9.223372036854775807e18", 9223372036854775807n],
  ])("intValue %s is %s", (text, value) => {
    expect(decodeValue(`{"intValue":${text}}`)).toStrictEqual({ warnings: [], value });
  });

  test.each([
    "1.5",
    '"1.5"',
    "1e999",
    "1e-1",
    "9223372036854775808",
    '"-9223372036854775809"',
    '"abc"',
    '""',
    '" 1"',
    '"0x10"',
    '"+1"',
    '"1_000"',
    "true",
    "[1]",
    "{}",
    `"${"9".repeat(500)}"`,
  ])("an attribute with the intValue %s is dropped with a warning and its span is kept", (text) => {
    const other = '{"key":"other","value":{"intValue":1}}';
    const { span, warnings } = decodeSpan(
      `"attributes":[{"key":"k","value":{"intValue":${text}}},${other}]`,
    );
    expect(span?.attributes).toStrictEqual(new Attributes(["other"], [1]));
    expect(warnings).toStrictEqual([WARNINGS.attribute_value]);
  });

  test.each(["-1", '"1.5"', "18446744073709551616", '"soon"', "true"])(
    "a span that starts at %s is rejected",
    (text) => {
      const traces = decodeSpan(`"startTimeUnixNano":${text}`);
      expect(traces).toMatchObject({ span_count: 0, rejected_spans: 1 });
      expect(traces.rejections[0]).toContain("startTimeUnixNano");
    },
  );

  test("digits inside strings are no numbers", () => {
    const digits = "1".repeat(40);
    expect(decodeValue(`{"stringValue":"\\"${digits}"}`).value).toBe(`"${digits}`);
  });
});

describe("doubles and the other values", () => {
  test("any double is read from a number and from a string", () => {
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }), (value) => {
        const text = Object.is(value, -0) ? "-0" : `${value}`;
        expect(decodeValue(`{"doubleValue":${text}}`)).toStrictEqual({ warnings: [], value });
        expect(decodeValue(`{"doubleValue":"${text}"}`)).toStrictEqual({ warnings: [], value });
      }),
    );
  });

  test.each<[string, number]>([
    ['"NaN"', Number.NaN],
    ['"Infinity"', Number.POSITIVE_INFINITY],
    ['"-Infinity"', Number.NEGATIVE_INFINITY],
    ["1e999", Number.POSITIVE_INFINITY],
    ["18446744073709551616", 2 ** 64],
    ['"1.5e3"', 1500],
  ])("doubleValue %s is %s", (text, value) => {
    expect(decodeValue(`{"doubleValue":${text}}`)).toStrictEqual({ warnings: [], value });
  });

  test("bytes are read from either alphabet of base64, padded or not", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (value) => {
        const standard = Buffer.from(value).toString("base64");
        const urlSafe = Buffer.from(value).toString("base64url");
        const padded = urlSafe.padEnd(standard.length, "=");
        for (const text of [standard, urlSafe, padded, standard.replaceAll("=", "")]) {
          expect(decodeValue(`{"bytesValue":"${text}"}`)).toStrictEqual({ warnings: [], value });
        }
      }),
    );
  });

  test.each<[string, AttributeValue]>([
    ["{}", null],
    ["null", null],
    ['{"stringValue":null}', null],
    ['{"stringValue":""}', ""],
    ['{"boolValue":false}', false],
    ['{"arrayValue":{}}', []],
    ['{"arrayValue":{"values":null}}', []],
    ['{"arrayValue":{"values":[{"intValue":1},null,{}]}}', [1, null, null]],
    ['{"kvlistValue":{}}', new Attributes()],
    ['{"bytesValue":""}', new Uint8Array(0)],
  ])("the value %s is %j", (text, value) => {
    expect(decodeValue(text)).toStrictEqual({ warnings: [], value });
  });

  test.each([
    '"text"',
    "5",
    "[]",
    '{"stringValue":5}',
    '{"boolValue":"true"}',
    '{"boolValue":1}',
    '{"doubleValue":"x"}',
    '{"doubleValue":" 1"}',
    '{"doubleValue":"0x1"}',
    '{"bytesValue":"a"}',
    '{"bytesValue":"ab="}',
    '{"bytesValue":"ab=c"}',
    '{"bytesValue":"===="}',
    '{"bytesValue":"a b="}',
    '{"bytesValue":"é"}',
    '{"arrayValue":[]}',
    '{"arrayValue":{"values":{}}}',
    '{"arrayValue":{"values":[{"intValue":1},5]}}',
    '{"kvlistValue":[]}',
  ])("an attribute with the value %s is dropped with a warning", (text) => {
    expect(decodeValue(text)).toStrictEqual({
      warnings: [WARNINGS.attribute_value],
      value: undefined,
    });
  });

  test.each(["{}", '"x"', "[5]", '[{"key":5,"value":{"intValue":1}}]'])(
    "the attributes %s are dropped with a warning and the span is kept",
    (text) => {
      const { span, warnings } = decodeSpan(`"attributes":${text}`);
      expect(span?.attributes).toStrictEqual(new Attributes());
      expect(warnings).toStrictEqual([WARNINGS.attribute_list]);
    },
  );

  test("a string table reference is read as absent, with a warning", () => {
    expect(decodeValue('{"stringValueStrindex":1}')).toStrictEqual({
      warnings: [WARNINGS.string_index],
      value: null,
    });
  });
});

describe("enums and fields of a wrong type", () => {
  test("enums are read from integers and their texts, and unknown numbers are kept", () => {
    expect(decodeSpan('"kind":3,"status":{"code":"2"}')).toMatchObject({
      warnings: [],
      span: { kind: 3, status_code: 2 },
    });
    expect(decodeSpan('"kind":99').span?.kind).toBe(99);
  });

  test("known names of enums are accepted with a warning", () => {
    const members = '"kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"}';
    expect(decodeSpan(members)).toMatchObject({
      warnings: [WARNINGS.enum_name],
      span: { kind: 3, status_code: 2 },
    });
  });

  test.each([
    '"kind":"SPAN_KIND_FUTURE"',
    '"kind":"client"',
    '"kind":"toString"',
    '"kind":1.5',
    '"kind":4294967296',
    '"kind":{}',
    '"status":{"code":"STATUS_CODE_MAYBE"}',
    '"status":5',
    '"status":{"message":5}',
    '"name":5',
    '"events":{}',
    '"events":[5]',
    '"events":[{"name":5}]',
    '"events":[{"timeUnixNano":"x"}]',
    '"links":"x"',
    '"links":["x"]',
  ])("a span with %s is rejected and its neighbours are kept", (members) => {
    const traces = decodeText(requestOf(`{${IDS}}`, `{${IDS},${members}}`, `{${IDS}}`));
    expect(traces).toMatchObject({ span_count: 2, rejected_spans: 1 });
    expect(traces.rejections).toHaveLength(1);
  });

  test("of many reasons and warnings only the first few are kept, each once", () => {
    const fields = [
      "name",
      "kind",
      "startTimeUnixNano",
      "endTimeUnixNano",
      "events",
      "links",
      "status",
    ];
    const bad = [...fields, ...fields].map((field) => `{${IDS},"${field}":true}`);
    const traces = decodeText(requestOf(...bad));
    expect(traces.rejected_spans).toBe(bad.length);
    expect(new Set(traces.rejections).size).toBe(MAX_NOTES);
    expect(traces.rejections).toHaveLength(MAX_NOTES);
    expect(traces.rejections[0]).toBe("name must be a string");
    const attributes = [
      '{"key":5}',
      '{"key":"k","value":5}',
      '{"value":{"stringValueStrindex":1}}',
    ];
    const oddities = `"name":"\\ud800","kind":"SPAN_KIND_CLIENT","links":[{}],"attributes":[${attributes.join(",")}]`;
    expect(decodeSpan(`${oddities},"start_time_unix_nano":1`).warnings).toHaveLength(MAX_NOTES);
  });

  test("what is no object among the spans is rejected and its neighbours are kept", () => {
    const traces = decodeText(requestOf(`{${IDS}}`, "5", "[]", '"x"', `{${IDS}}`));
    expect(traces).toMatchObject({ span_count: 2, rejected_spans: 3 });
  });
});

describe("limits", () => {
  const pairs = (count: number) =>
    Array.from({ length: count }, (_, index) => `{"key":"k${index}"}`).join(",");

  test("attributes, events and links are kept up to their limits", () => {
    const events = Array.from({ length: MAX_EVENTS_PER_SPAN + 1 }, () => "{}").join(",");
    const links = Array.from({ length: MAX_LINKS_PER_SPAN + 1 }, () => `{${IDS}}`).join(",");
    const { span, warnings } = decodeSpan(
      `"attributes":[${pairs(MAX_ATTRIBUTES + 1)}],"events":[${events}],"links":[${links}]`,
    );
    expect(span?.attributes.keys).toHaveLength(MAX_ATTRIBUTES);
    expect(span?.events).toHaveLength(MAX_EVENTS_PER_SPAN);
    expect(span?.links).toHaveLength(MAX_LINKS_PER_SPAN);
    const { attribute_count, event_count, link_count } = WARNINGS;
    expect(warnings).toStrictEqual([attribute_count, event_count, link_count]);
  });

  test("keys are measured in bytes of UTF-8, and too long ones are dropped", () => {
    const keys = [
      "a".repeat(MAX_KEY_BYTES),
      "é".repeat(MAX_KEY_BYTES / 2),
      "é".repeat(MAX_KEY_BYTES / 2 + 1),
      "a".repeat(MAX_KEY_BYTES + 1),
      "b",
    ];
    const { span, warnings } = decodeSpan(
      `"attributes":[${keys.map((key) => `{"key":"${key}"}`).join(",")}]`,
    );
    expect(span?.attributes.keys).toStrictEqual([keys[0], keys[1], "b"]);
    expect(warnings).toStrictEqual([WARNINGS.key_size]);
  });

  test.each([
    ["arrays", '{"arrayValue":{"values":[', "]}}"],
    ["key-value lists", '{"kvlistValue":{"values":[{"key":"n","value":', "}]}}"],
  ])("%s are kept down to the limit of depth and marked below it", (_name, open, close) => {
    const nest = (depth: number) =>
      decodeValue(`${open.repeat(depth - 1)}{"boolValue":true}${close.repeat(depth - 1)}`);
    const innermost = ({ value }: ReturnType<typeof nest>) => {
      let inner = value;
      while (Array.isArray(inner) || inner instanceof Attributes) {
        inner = Array.isArray(inner) ? inner[0] : inner.values[0];
      }
      return inner;
    };
    const kept = nest(MAX_VALUE_DEPTH);
    expect(kept.warnings).toStrictEqual([]);
    expect(innermost(kept)).toBe(true);
    const cut = nest(MAX_VALUE_DEPTH + 1);
    expect(cut.warnings).toStrictEqual([WARNINGS.value_depth]);
    expect(innermost(cut)).toBe(TOO_DEEP_VALUE);
  });

  test.each(["[", '{"a":', '{"resourceSpans":['])(
    "a million levels of %s are refused in 100 ms",
    (open) => {
      const body = new TextEncoder().encode(open.repeat(1_000_000));
      const start = performance.now();
      const refusal = refusalOf(() => decodeTracesJson(body));
      expect(performance.now() - start).toBeLessThan(100);
      expect(refusal.code).toBe("invalid_json");
      expect(refusal.message).toMatch(/at byte \d+: nested deeper/);
    },
  );

  test("brackets inside strings are no nesting", () => {
    const text = `\\"${"[{".repeat(MAX_JSON_DEPTH)}\\\\`;
    const { span, rejected_spans } = decodeSpan(`"name":"${text}"`);
    expect(rejected_spans).toBe(0);
    expect(span?.name).toBe(`"${"[{".repeat(MAX_JSON_DEPTH)}\\`);
  });

  test("more objects and arrays than the limit are refused before they are made", () => {
    const text = `{"resourceSpans":[${"{},".repeat(MAX_JSON_CONTAINERS)}{}]}`;
    expect(refusalOf(() => decodeText(text)).code).toBe("too_many_objects");
  });

  test("more envelopes than the limit are refused", () => {
    const count = MAX_ENVELOPES_PER_REQUEST;
    expect(decodeText(`{"resourceSpans":[${"{},".repeat(count - 1)}{}]}`).span_count).toBe(0);
    const refusal = refusalOf(() => decodeText(`{"resourceSpans":[${"{},".repeat(count)}{}]}`));
    expect(refusal.code).toBe("too_many_objects");
  });
});

describe("text", () => {
  test("unpaired surrogates become U+FFFD with a warning", () => {
    const attribute = '{"key":"\\udc00k","value":{"stringValue":"\\ud83d\\ude00\\ud800"}}';
    const { span, warnings } = decodeSpan(`"name":"\\ud800x","attributes":[${attribute}]`);
    expect(span?.name).toBe("\uFFFDx");
    expect(span?.attributes).toStrictEqual(new Attributes(["\uFFFDk"], ["😀\uFFFD"]));
    expect(warnings).toStrictEqual([WARNINGS.lone_surrogate]);
  });

  test("invalid UTF-8 becomes U+FFFD with a warning, also after a valid body", () => {
    for (let run = 0; run < 2; run += 1) {
      expect(decodeText(requestOf(`{${IDS},"name":"é"}`)).warnings).toStrictEqual([]);
      const [head, tail] = requestOf(`{${IDS},"name":"a|b"}`).split("|");
      const body = Buffer.concat([Buffer.from(`${head}`), Buffer.of(0xff), Buffer.from(`${tail}`)]);
      const traces = decodeTracesJson(body);
      expect(traces.scope_spans[0]?.spans[0]?.name).toBe("a\uFFFDb");
      expect(traces.warnings).toStrictEqual([WARNINGS.invalid_text]);
    }
  });
});

describe("bodies that are refused", () => {
  test.each([
    ["nothing", ""],
    ["white space", "  "],
    ["a byte order mark", '\uFEFF{"resourceSpans":[]}'],
    ["a trailing comma", '{"resourceSpans":[],}'],
    ["a NaN literal", '{"resourceSpans":[],"x":NaN}'],
    ["a comment", '{/**/"resourceSpans":[]}'],
    ["two values", "{}{}"],
    ["an array", "[]"],
    ["null", "null"],
    ["a string", '"resourceSpans"'],
    ["a number", "12345678901234567890"],
    ["resourceSpans that are no array", '{"resourceSpans":{}}'],
    ["a resourceSpans that is no object", '{"resourceSpans":[5]}'],
    ["scopeSpans that are no array", '{"resourceSpans":[{"scopeSpans":{}}]}'],
    ["a scopeSpans that is no object", '{"resourceSpans":[{"scopeSpans":["x"]}]}'],
    ["spans that are no array", '{"resourceSpans":[{"scopeSpans":[{"spans":"x"}]}]}'],
    [
      "a resource that is no object",
      `{"resourceSpans":[{"resource":5,"scopeSpans":[{"spans":[{${IDS}}]}]}]}`,
    ],
    [
      "a scope name that is no string",
      `{"resourceSpans":[{"scopeSpans":[{"scope":{"name":5},"spans":[{${IDS}}]}]}]}`,
    ],
  ])("%s is refused as invalid JSON", (_name, text) => {
    expect(refusalOf(() => decodeText(text)).code).toBe("invalid_json");
  });

  test("the message names a byte order mark", () => {
    expect(refusalOf(() => decodeText("\uFEFF{}")).message).toContain("byte order mark");
  });

  test("the message says where the JSON ends to be JSON, and quotes none of it", () => {
    const refusal = refusalOf(() => decodeText('{"resourceSpans":[],"my secret":"a" "b"}'));
    expect(refusal.message).toBe("the body is not JSON, at character 36");
    for (const text of ['{"my secret', '{"a":secret}', "my secret prompt"]) {
      expect(refusalOf(() => decodeText(text)).message).not.toMatch(/my|secret/);
    }
  });

  test.each(["resourceLogs", "resource_logs", "resourceMetrics", "resource_metrics"])(
    "a body of %s is refused as a wrong signal",
    (name) => {
      const refusal = refusalOf(() => decodeText(`{"${name}":[]}`));
      expect(refusal.code).toBe("wrong_signal");
      expect(refusal.message).toContain(name);
    },
  );

  test("a body without resourceSpans is accepted with a warning that names them", () => {
    const traces = decodeText('{"spans":[{}]}');
    expect(traces).toMatchObject({ span_count: 0, rejected_spans: 0 });
    expect(traces.warnings).toStrictEqual([WARNINGS.no_resource_spans]);
    expect(traces.warnings[0]).toContain("resourceSpans");
  });

  test("arbitrary bytes and arbitrary JSON are decoded or refused and nothing else", () => {
    const names = ["resourceSpans", "scopeSpans", "spans", "attributes", "value", "values", "key"];
    const json = fc.json({ maxDepth: 5 }).map((text) => {
      let index = 0;
      return text.replaceAll(/"[^"\\]*":/g, () => `"${names[(index += 1) % names.length]}":`);
    });
    const texts = fc.oneof(json, fc.json()).map((text) => new TextEncoder().encode(text));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), texts), (bytes) => {
        for (const body of [bytes, wrapAsSpan(bytes)]) {
          const traces = unlessRefused(() => decodeTracesJson(body));
          const spans = traces?.scope_spans.flatMap((scoped) => scoped.spans) ?? [];
          expect(spans).toHaveLength(traces?.span_count ?? 0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("mutated captures are decoded or refused, with every span counted", () => {
    const bodies = jsonCaptures.filter(({ body }) => body.length < 20_000).map(({ body }) => body);
    const characters = Buffer.from('{}[]",:0123456789.eE-+\\\ntrufalsn _x');
    const edit = fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(...characters), fc.nat({ max: 255 })));
    const mutation = fc.record({
      capture: fc.nat({ max: bodies.length - 1 }),
      edits: fc.array(edit, { minLength: 1, maxLength: 4 }),
    });
    let acceptedCount = 0;
    fc.assert(
      fc.property(mutation, ({ capture, edits }) => {
        const body = Uint8Array.from(bodies[capture] as Uint8Array);
        for (const [offset, byte] of edits) body[offset % body.length] = byte;
        const traces = unlessRefused(() => decodeTracesJson(body));
        acceptedCount += traces === undefined ? 0 : 1;
        const spans = traces?.scope_spans.flatMap((scoped) => scoped.spans) ?? [];
        expect(spans).toHaveLength(traces?.span_count ?? 0);
      }),
      { numRuns: 2000, interruptAfterTimeLimit: 4000 },
    );
    expect(acceptedCount).toBeGreaterThan(10);
  });
});

/** The bytes as the one span of a request. */
function wrapAsSpan(bytes: Uint8Array): Uint8Array {
  const [head, tail] = requestOf("|").split("|");
  return Buffer.concat([Buffer.from(`${head}`), bytes, Buffer.from(`${tail}`)]);
}
