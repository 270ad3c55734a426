/** The protobuf decoder against protobufjs, the captures of real clients, and hostile bodies. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AttributeValue, DecodedSpan } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import {
  arbitraryTraceRequest,
  expectedTraces,
  readTraceCaptures,
  refusalOf,
  unlessRefused,
} from "../../test/support/otlp-oracle.ts";
import type { OtlpSpan, OtlpTraceRequest, OtlpValue } from "../../test/support/otlp-proto.ts";
import {
  decodeTraceRequest,
  encodeMessage,
  encodeTraceRequest,
  field,
  repeat,
  varint,
} from "../../test/support/otlp-proto.ts";
import {
  MAX_ATTRIBUTES,
  MAX_ENVELOPES_PER_REQUEST,
  MAX_EVENTS_PER_SPAN,
  MAX_KEY_BYTES,
  MAX_LINKS_PER_SPAN,
  MAX_VALUE_DEPTH,
  MAX_VALUES_PER_REQUEST,
  TOO_DEEP_VALUE,
} from "./limits.ts";
import { REJECTIONS, WARNINGS } from "./notes.ts";
import { decodeTraces } from "./traces.ts";

const TRACE_ID = new Uint8Array(16).fill(0xab);
const SPAN_ID = new Uint8Array(8).fill(0xcd);
const IDS = { traceId: TRACE_ID, spanId: SPAN_ID };

/** A request of one scope with these Span messages. */
function requestOf(...spans: Uint8Array[]): Uint8Array {
  return field(1, field(2, ...spans.map((span) => field(2, span))));
}

function encodeSpan(span: OtlpSpan): Uint8Array {
  return encodeMessage("Span", span);
}

const VALID_SPAN = encodeSpan(IDS);

/** The one span of a request of this Span message. */
function decodeSpan(...parts: Uint8Array[]): DecodedSpan {
  const span = decodeTraces(requestOf(Buffer.concat(parts))).scope_spans[0]?.spans[0];
  if (span === undefined) throw new Error("the span was not decoded");
  return span;
}

/** The value of the attribute `k` whose AnyValue has these bytes. */
function decodeValue(...anyValue: Uint8Array[]): AttributeValue | undefined {
  const key = field(1, Buffer.from("k"));
  return decodeSpan(VALID_SPAN, field(9, key, field(2, ...anyValue))).attributes.values[0];
}

const captures = readTraceCaptures();
const pbCaptures = captures.filter(({ encoding }) => encoding === "pb");

describe("what valid requests give", () => {
  test("any request that protobufjs encodes is decoded to what was encoded", () => {
    fc.assert(
      fc.property(arbitraryTraceRequest, (request) => {
        expect(decodeTraces(encodeTraceRequest(request))).toStrictEqual(expectedTraces(request));
      }),
      { numRuns: 500 },
    );
  });

  test("there are captures of more than a hundred protobuf exports", () => {
    expect(pbCaptures.length).toBeGreaterThan(100);
  });

  test.each(pbCaptures)("$name is decoded to what protobufjs reads in it", ({ body }) => {
    const traces = decodeTraces(body);
    expect(traces).toStrictEqual(expectedTraces(decodeTraceRequest(body)));
    expect(traces.span_count).toBeGreaterThan(0);
  });

  test("an empty body is an empty request", () => {
    const empty = { scope_spans: [], span_count: 0, rejected_spans: 0 };
    expect(decodeTraces(new Uint8Array(0))).toStrictEqual({
      ...empty,
      rejections: [],
      warnings: [],
    });
  });

  test("an envelope without spans leaves nothing", () => {
    expect(decodeTraces(field(1, field(1), field(2, field(1)))).scope_spans).toStrictEqual([]);
  });

  test("the result does not change when the body is overwritten", () => {
    const request = {
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: [
                { ...IDS, attributes: [{ key: "k", value: { bytesValue: Uint8Array.of(1, 2) } }] },
              ],
            },
          ],
        },
      ],
    };
    const body = encodeTraceRequest(request);
    const traces = decodeTraces(body);
    body.fill(0xff);
    expect(traces).toStrictEqual(expectedTraces(request));
  });

  test("a body inside a larger buffer is decoded alone", () => {
    const body = requestOf(VALID_SPAN);
    const larger = Buffer.concat([Buffer.from("ffff", "hex"), body, Buffer.from("ffff", "hex")]);
    expect(decodeTraces(larger.subarray(2, 2 + body.length)).span_count).toBe(1);
  });
});

describe("order, repetition and unknown fields", () => {
  const name = (text: string) => field(1, Buffer.from(text));
  const attribute = (key: string, value: OtlpValue) =>
    field(1, encodeMessage("KeyValue", { key, value }));

  test("a resource after its spans and a scope after its spans reach them", () => {
    const scopeSpans = field(2, field(2, VALID_SPAN), field(1, name("late scope")));
    const resource = field(1, attribute("service.name", { stringValue: "late" }));
    const [scoped] = decodeTraces(field(1, scopeSpans, resource)).scope_spans;
    expect(scoped?.scope.name).toBe("late scope");
    expect(scoped?.resource.get("service.name")).toBe("late");
  });

  test("repeated resources merge and of a repeated scope name the last counts", () => {
    const version = field(2, Buffer.from("1.0"));
    const scopeSpans = field(
      2,
      field(1, name("first"), version),
      field(2, VALID_SPAN),
      field(1, name("last")),
    );
    const resources = [
      field(1, attribute("a", { intValue: 1 })),
      field(1, attribute("b", { intValue: 2 }), attribute("a", { intValue: 3 })),
    ];
    const [scoped] = decodeTraces(field(1, ...resources, scopeSpans)).scope_spans;
    expect(scoped?.scope).toStrictEqual({ name: "last", version: "1.0" });
    expect(scoped?.resource.keys).toStrictEqual(["a", "b", "a"]);
    expect(scoped?.resource.get("a")).toBe(3);
  });

  test("of repeated fields of a span the last counts, and status messages merge", () => {
    const first = encodeSpan({ ...IDS, name: "a", kind: 1, status: { message: "m", code: 1 } });
    const second = encodeSpan({
      spanId: new Uint8Array(8).fill(7),
      name: "b",
      status: { code: 2 },
    });
    const span = decodeSpan(first, second);
    expect(span).toMatchObject({ name: "b", kind: 1, status_message: "m", status_code: 2 });
    expect(span.span_id).toStrictEqual(new Uint8Array(8).fill(7));
  });

  test("a valid id after one of a wrong length makes the span valid", () => {
    expect(decodeSpan(field(1, Uint8Array.of(1)), VALID_SPAN).trace_id).toStrictEqual(TRACE_ID);
  });

  test("of several members of an AnyValue the last counts", () => {
    const members = [{ stringValue: "x" }, { boolValue: true }, { intValue: 5 }];
    expect(decodeValue(...members.map((value) => encodeMessage("AnyValue", value)))).toBe(5);
  });

  test("lists repeated in one AnyValue merge, also over repeated values", () => {
    const list = (...values: OtlpValue[]) => encodeMessage("AnyValue", { arrayValue: { values } });
    expect(decodeValue(list({ intValue: 1 }), list({ intValue: 2 }))).toStrictEqual([1, 2]);
    const key = field(1, Buffer.from("k"));
    const parts = [field(2, list({ intValue: 1 })), key, field(2, list({ intValue: 2 }))];
    expect(decodeSpan(VALID_SPAN, field(9, ...parts)).attributes.get("k")).toStrictEqual([1, 2]);
  });

  test("both values of a repeated key are kept in order, and get gives the last", () => {
    const attributes = [1, 2].map((intValue) => ({ key: "k", value: { intValue } }));
    const decoded = decodeSpan(encodeSpan({ ...IDS, attributes })).attributes;
    expect(decoded).toStrictEqual(new Attributes(["k", "k"], [1, 2]));
    expect(decoded.get("k")).toBe(2);
  });

  test("unknown fields of all wire types are ignored in every message", () => {
    // Fields 100 to 104: varint, fixed64, delimited, a group with a varint in it, fixed32.
    const unknown = Buffer.from(
      "a00601a9060102030405060708b20603616263bb060801bc06c50601020304",
      "hex",
    );
    const pair = field(
      9,
      unknown,
      field(1, Buffer.from("k")),
      field(
        2,
        unknown,
        field(5, unknown, field(1, unknown, encodeMessage("AnyValue", { intValue: 1 }))),
      ),
    );
    const event = field(11, unknown, field(2, Buffer.from("e")));
    const link = field(13, field(1, TRACE_ID), field(2, SPAN_ID), unknown);
    const status = field(15, unknown, field(2, Buffer.from("m")));
    const span = Buffer.concat([unknown, VALID_SPAN, pair, event, link, status]);
    const scopeSpans = field(2, field(1, unknown, name("scope")), unknown, field(2, span));
    const body = Buffer.concat([
      unknown,
      field(1, field(1, unknown), unknown, scopeSpans),
      unknown,
    ]);
    const traces = decodeTraces(body);
    expect(traces).toMatchObject({ span_count: 1, warnings: [] });
    expect(traces.scope_spans[0]?.scope.name).toBe("scope");
    expect(traces.scope_spans[0]?.spans[0]).toMatchObject({
      attributes: new Attributes(["k"], [[1]]),
      events: [{ name: "e" }],
      links: [{ trace_id: TRACE_ID }],
      status_message: "m",
    });
  });

  test("spans in the deprecated instrumentation library field are ignored as unknown", () => {
    const traces = decodeTraces(field(1, field(1000, field(2, VALID_SPAN))));
    expect(traces).toMatchObject({ span_count: 0, rejected_spans: 0, warnings: [] });
  });

  test("an enum number that OTLP does not know is kept", () => {
    expect(decodeSpan(encodeSpan({ ...IDS, kind: 77, status: { code: -5 } }))).toMatchObject({
      kind: 77,
      status_code: -5,
    });
  });

  test("a reference into a string table is read as absent, with a warning", () => {
    expect(decodeValue(encodeMessage("AnyValue", { intValue: 1 }), Uint8Array.of(0x40, 5))).toBe(
      null,
    );
    const key = field(1, Buffer.from("k"));
    const pair = field(9, key, Uint8Array.of(0x18, 5), field(2, Uint8Array.of(0x40, 5)));
    const traces = decodeTraces(requestOf(Buffer.concat([VALID_SPAN, pair])));
    expect(traces.warnings).toStrictEqual([WARNINGS.string_index]);
    expect(traces.scope_spans[0]?.spans[0]?.attributes).toStrictEqual(
      new Attributes(["k"], [null]),
    );
  });
});

describe("bad spans", () => {
  const zeros = (size: number) => new Uint8Array(size);
  const ones = (size: number) => new Uint8Array(size).fill(1);

  test.each<[string, OtlpSpan, string]>([
    ["no trace id", { spanId: SPAN_ID }, REJECTIONS.trace_id_size],
    ["no span id", { traceId: TRACE_ID }, REJECTIONS.span_id_size],
    ["a trace id of 15 bytes", { ...IDS, traceId: ones(15) }, REJECTIONS.trace_id_size],
    ["a trace id of 17 bytes", { ...IDS, traceId: ones(17) }, REJECTIONS.trace_id_size],
    ["a trace id of 32 bytes of hex", { ...IDS, traceId: ones(32) }, REJECTIONS.trace_id_size],
    ["a span id of 7 bytes", { ...IDS, spanId: ones(7) }, REJECTIONS.span_id_size],
    ["a span id of 16 bytes", { ...IDS, spanId: ones(16) }, REJECTIONS.span_id_size],
    ["a zero trace id", { ...IDS, traceId: zeros(16) }, REJECTIONS.trace_id_zero],
    ["a zero span id", { ...IDS, spanId: zeros(8) }, REJECTIONS.span_id_zero],
    ["a parent of 7 bytes", { ...IDS, parentSpanId: ones(7) }, REJECTIONS.parent_span_id_size],
    ["a parent of 16 bytes", { ...IDS, parentSpanId: ones(16) }, REJECTIONS.parent_span_id_size],
    ["a parent of 16 zeros", { ...IDS, parentSpanId: zeros(16) }, REJECTIONS.parent_span_id_size],
    ["a parent of one zero", { ...IDS, parentSpanId: zeros(1) }, REJECTIONS.parent_span_id_size],
  ])("a span with %s is rejected and its neighbours are kept", (_name, bad, reason) => {
    const good = { ...IDS, name: "good" };
    const traces = decodeTraces(requestOf(...[good, bad, good].map(encodeSpan)));
    expect(traces).toMatchObject({ span_count: 2, rejected_spans: 1, rejections: [reason] });
    expect(traces.scope_spans[0]?.spans.map((span) => span.name)).toStrictEqual(["good", "good"]);
  });

  test("a parent of eight zeros is no parent", () => {
    const span = decodeSpan(encodeSpan({ ...IDS, parentSpanId: zeros(8) }));
    expect(span.parent_span_id).toStrictEqual(zeros(0));
  });

  test("each reason is given once, however many spans it cost", () => {
    const spans = Array.from({ length: 50 }, () => encodeSpan({ ...IDS, spanId: ones(3) }));
    const traces = decodeTraces(requestOf(...spans, encodeSpan({ ...IDS, traceId: ones(3) })));
    expect(traces.rejected_spans).toBe(51);
    expect(traces.rejections).toStrictEqual([REJECTIONS.span_id_size, REJECTIONS.trace_id_size]);
    expect(traces.scope_spans).toStrictEqual([]);
  });

  test("a link without usable ids is dropped with a warning and its span is kept", () => {
    const links = [{ ...IDS, spanId: ones(3) }, {}, IDS, { traceId: zeros(16), spanId: zeros(8) }];
    const traces = decodeTraces(requestOf(encodeSpan({ ...IDS, links })));
    expect(traces.warnings).toStrictEqual([WARNINGS.link_id]);
    expect(traces.scope_spans[0]?.spans[0]?.links.map((link) => link.trace_id)).toStrictEqual([
      TRACE_ID,
      zeros(16),
    ]);
  });
});

describe("limits", () => {
  const decodeWith = (span: OtlpSpan) => {
    const traces = decodeTraces(requestOf(encodeSpan({ ...IDS, ...span })));
    return { warnings: traces.warnings, span: traces.scope_spans[0]?.spans[0] };
  };
  const pairs = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: { intValue: index } }));

  test("attributes are kept up to the limit and the first ones win", () => {
    expect(decodeWith({ attributes: pairs(MAX_ATTRIBUTES) }).warnings).toStrictEqual([]);
    const { warnings, span } = decodeWith({ attributes: pairs(10_000) });
    expect(warnings).toStrictEqual([WARNINGS.attribute_count]);
    expect(span?.attributes.keys).toStrictEqual(pairs(MAX_ATTRIBUTES).map(({ key }) => key));
  });

  test("the limit of attributes holds for events, links, resources and nested lists", () => {
    const attributes = pairs(MAX_ATTRIBUTES + 1);
    const nested = { key: "n", value: { kvlistValue: { values: attributes } } };
    const body = encodeTraceRequest({
      resourceSpans: [
        {
          resource: { attributes },
          scopeSpans: [
            {
              spans: [
                {
                  ...IDS,
                  attributes: [nested],
                  events: [{ attributes }],
                  links: [{ ...IDS, attributes }],
                },
              ],
            },
          ],
        },
      ],
    });
    const [scoped] = decodeTraces(body).scope_spans;
    const span = scoped?.spans[0];
    const lists = [
      scoped?.resource,
      span?.events[0]?.attributes,
      span?.links[0]?.attributes,
      span?.attributes.get("n"),
    ];
    expect(lists.map((list) => (list as Attributes).keys.length)).toStrictEqual(
      lists.map(() => MAX_ATTRIBUTES),
    );
  });

  test("an attribute whose key is too long is dropped and the others are kept", () => {
    const keys = ["a", "b".repeat(MAX_KEY_BYTES), "c".repeat(MAX_KEY_BYTES + 1), "d"];
    const { warnings, span } = decodeWith({ attributes: keys.map((key) => ({ key })) });
    expect(warnings).toStrictEqual([WARNINGS.key_size]);
    expect(span?.attributes.keys).toStrictEqual(["a", "b".repeat(MAX_KEY_BYTES), "d"]);
  });

  test("events and links are kept up to their limits", () => {
    const events = Array.from({ length: MAX_EVENTS_PER_SPAN + 1 }, () => ({ name: "e" }));
    const links = Array.from({ length: MAX_LINKS_PER_SPAN + 1 }, () => IDS);
    const { warnings, span } = decodeWith({ events, links });
    expect(warnings).toStrictEqual([WARNINGS.event_count, WARNINGS.link_count]);
    expect(span?.events).toHaveLength(MAX_EVENTS_PER_SPAN);
    expect(span?.links).toHaveLength(MAX_LINKS_PER_SPAN);
  });

  test("values are kept down to the limit of depth and replaced by a marker below it", () => {
    // Written by hand, because protobufjs refuses to encode such depths.
    const nest = (depth: number) => {
      let value = encodeMessage("AnyValue", { stringValue: "innermost" }) as Uint8Array;
      for (let level = 1; level < depth; level += 1) value = field(5, field(1, value));
      const pair = field(9, field(1, Buffer.from("k")), field(2, value));
      const traces = decodeTraces(requestOf(Buffer.concat([VALID_SPAN, pair])));
      return { warnings: traces.warnings, span: traces.scope_spans[0]?.spans[0] };
    };
    const unwrap = ({ span }: ReturnType<typeof nest>) => {
      let value = span?.attributes.get("k") as AttributeValue;
      let depth = 1;
      for (; Array.isArray(value); depth += 1) value = value[0] as AttributeValue;
      return { value, depth };
    };
    const kept = nest(MAX_VALUE_DEPTH);
    expect(kept.warnings).toStrictEqual([]);
    expect(unwrap(kept)).toStrictEqual({ value: "innermost", depth: MAX_VALUE_DEPTH });
    const cut = nest(MAX_VALUE_DEPTH + 1);
    expect(cut.warnings).toStrictEqual([WARNINGS.value_depth]);
    expect(unwrap(cut)).toStrictEqual({ value: TOO_DEEP_VALUE, depth: MAX_VALUE_DEPTH + 1 });
  });

  test.each([
    ["arrays", [5, 1]],
    ["key-value lists", [6, 1, 2]],
  ])("%s nested 200,000 deep cost their value and nothing else", (_name, numbers) => {
    // Written from the inside, as heads alone: the innermost value is empty.
    const heads: number[][] = [];
    let size = 0;
    for (let level = 0; level < 200_000; level += 1) {
      for (const number of numbers.toReversed()) {
        const head = [number * 8 + 2, ...varint(size)];
        size += head.length;
        heads.push(head);
      }
    }
    const value = Uint8Array.from(heads.toReversed().flat());
    const pair = field(9, field(1, Buffer.from("deep")), field(2, value));
    const after = field(9, field(1, Buffer.from("after")));
    const span = Buffer.concat([VALID_SPAN, pair, after]);
    const start = performance.now();
    const traces = decodeTraces(requestOf(VALID_SPAN, span));
    expect(performance.now() - start).toBeLessThan(500);
    expect(traces).toMatchObject({ span_count: 2, warnings: [WARNINGS.value_depth] });
    expect(traces.scope_spans[0]?.spans[1]?.attributes.keys).toStrictEqual(["deep", "after"]);
  });

  test("a million envelopes are decoded without keeping the empty ones, one more is refused", () => {
    const start = performance.now();
    const atLimit = repeat(field(1), MAX_ENVELOPES_PER_REQUEST);
    expect(decodeTraces(atLimit).scope_spans).toStrictEqual([]);
    for (const body of [
      repeat(field(1), MAX_ENVELOPES_PER_REQUEST + 1),
      field(1, repeat(field(2), MAX_ENVELOPES_PER_REQUEST)),
      field(1, field(2, repeat(field(2), MAX_ENVELOPES_PER_REQUEST))),
    ]) {
      expect(refusalOf(() => decodeTraces(body)).code).toBe("too_many_objects");
    }
    expect(performance.now() - start).toBeLessThan(3000);
  });

  test("more values than the limit in one request are refused", () => {
    const list = (count: number) => field(9, field(2, field(5, repeat(field(1), count))));
    const span = (count: number) => requestOf(Buffer.concat([VALID_SPAN, list(count)]));
    expect(decodeTraces(span(MAX_VALUES_PER_REQUEST - 1)).span_count).toBe(1);
    const refusal = refusalOf(() => decodeTraces(span(MAX_VALUES_PER_REQUEST)));
    expect(refusal.code).toBe("too_many_objects");
  });
});

describe("text", () => {
  const invalid = Buffer.from("61ff62c3", "hex");

  test("invalid UTF-8 anywhere becomes U+FFFD with one warning, and nothing else is lost", () => {
    const pair = field(9, field(1, invalid), field(2, field(1, invalid)));
    const span = Buffer.concat([VALID_SPAN, field(5, invalid), pair, pair]);
    for (let run = 0; run < 2; run += 1) {
      const traces = decodeTraces(requestOf(span, VALID_SPAN));
      expect(traces).toMatchObject({ span_count: 2, rejected_spans: 0 });
      expect(traces.warnings).toStrictEqual([WARNINGS.invalid_text]);
      const text = "a\uFFFDb\uFFFD";
      expect(traces.scope_spans[0]?.spans[0]).toMatchObject({
        name: text,
        attributes: new Attributes([text, text], [text, text]),
      });
    }
  });

  test("names that mean something to JavaScript are stored as data", () => {
    const keys = [
      "__proto__",
      "constructor.prototype.x",
      "toString",
      "",
      "a..b",
      "0",
      "a\0b",
      "\x1b[31m",
    ];
    const attributes = keys.map((key) => ({ key, value: { stringValue: key } }));
    const nested = { key: "list", value: { kvlistValue: { values: attributes } } };
    const span = decodeSpan(encodeSpan({ ...IDS, attributes: [...attributes, nested] }));
    const list = new Attributes(keys, keys);
    expect(span.attributes).toStrictEqual(new Attributes([...keys, "list"], [...keys, list]));
    expect(Object.keys(Object.prototype)).toStrictEqual([]);
  });
});

describe("bodies that are not protobuf", () => {
  test.each([
    ["a resource_spans that is a varint", "0801"],
    ["a span that is a fixed64", "0a0b1209110000000000000000"],
    ["a kind that is a string", "0a0912070a05320361626"],
    ["a trace state that is a varint", "0a061204120218 01".replaceAll(" ", "")],
    ["a dropped count that is a fixed32", "0a09120712055500000000"],
    ["JSON", Buffer.from('{"resourceSpans":[]}').toString("hex")],
    ["a gzip stream", "1f8b0800000000000003"],
  ])("%s is refused with the offset", (_name, hex) => {
    const refusal = refusalOf(() => decodeTraces(Buffer.from(hex, "hex")));
    expect(refusal.code).toBe("invalid_protobuf");
    expect(refusal.message).toMatch(/^at byte \d+: ./);
  });

  test("a message never quotes the body", () => {
    const refusal = refusalOf(() => decodeTraces(Buffer.from("my secret prompt")));
    expect(refusal.message).not.toMatch(/secret|prompt/);
  });

  test("a capture cut at any byte is refused, or is a valid prefix of its resources", () => {
    const small = pbCaptures.toSorted((a, b) => a.body.length - b.body.length).slice(0, 3);
    for (const { body } of small) {
      const twice = Buffer.concat([body, body]);
      const cut = Array.from({ length: twice.length + 1 }, (_, size) => {
        const traces = unlessRefused(() => decodeTraces(twice.subarray(0, size)));
        return traces === undefined ? undefined : traces.scope_spans.length;
      });
      const once = decodeTraces(body).scope_spans.length;
      const accepted = cut.flatMap((count, size) => (count === undefined ? [] : [{ count, size }]));
      expect(accepted[0]).toStrictEqual({ count: 0, size: 0 });
      expect(accepted).toContainEqual({ count: once, size: body.length });
      expect(accepted.at(-1)).toStrictEqual({ count: once * 2, size: twice.length });
      const bounds = resourceBounds(twice);
      expect(accepted.map(({ size }) => size)).toStrictEqual(bounds);
    }
  });

  test("arbitrary bytes are decoded or refused and nothing else", () => {
    const noise = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(noise, (bytes) => {
        const attribute = Buffer.concat([VALID_SPAN, field(9, bytes)]);
        for (const body of [bytes, requestOf(bytes), requestOf(attribute)]) {
          const traces = unlessRefused(() => decodeTraces(body));
          const spans = traces?.scope_spans.flatMap((scoped) => scoped.spans) ?? [];
          expect(spans).toHaveLength(traces?.span_count ?? 0);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("mutated captures are decoded or refused, and accepted as protobufjs reads them", () => {
    const bodies = pbCaptures.filter(({ body }) => body.length < 20_000).map(({ body }) => body);
    const mutation = fc.record({
      capture: fc.nat({ max: bodies.length - 1 }),
      edits: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
    });
    let acceptedCount = 0;
    fc.assert(
      fc.property(mutation, ({ capture, edits }) => {
        const body = Uint8Array.from(bodies[capture] as Uint8Array);
        for (const [offset, byte] of edits) body[offset % body.length] = byte;
        const traces = unlessRefused(() => decodeTraces(body));
        if (traces === undefined || traces.rejected_spans > 0 || traces.warnings.length > 0) return;
        const request = decodeOrUndefined(body);
        if (request === undefined) return;
        acceptedCount += 1;
        expect(traces).toStrictEqual(expectedTraces(request));
      }),
      { numRuns: 2000, interruptAfterTimeLimit: 4000 },
    );
    expect(acceptedCount).toBeGreaterThan(10);
  });
});

/** Undefined where protobufjs refuses the body: it also reads the fields that are skipped here. */
function decodeOrUndefined(body: Uint8Array): OtlpTraceRequest | undefined {
  try {
    return decodeTraceRequest(body);
  } catch {
    return undefined;
  }
}

/** Where a request may end: the offsets before, between and after its top-level fields. */
function resourceBounds(body: Uint8Array): number[] {
  const bounds = [0];
  for (let pos = 0; pos < body.length;) {
    pos += 1;
    let length = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = body[pos] as number;
      pos += 1;
      length += (byte & 0x7f) * shift;
      if (byte < 0x80) break;
    }
    pos += length;
    bounds.push(pos);
  }
  return bounds;
}
