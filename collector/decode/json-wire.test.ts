/**
 * The JSON encoding's quick way: whatever it takes, it has to make of it what the tolerant decoder
 * makes, and it must take nothing that JSON.parse refuses. JSON.parse and `decodeTracesJson`, which is
 * proved against protobufjs and the captures, are the truth here.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { makeJsonBodies } from "../../bench/bodies.ts";
import { PermanentError } from "../../schemas/errors.ts";
import type { AttributeValue, DecodedSpan, DecodedTraces } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import { WireSpan } from "../../schemas/wire-span.ts";
import { encodeJson, type OtlpJson, parseBody } from "../../test/support/corpus-bodies.ts";
import { encodeNeeded } from "../../test/support/blocks.ts";
import { readCorpus } from "../../test/support/corpus.ts";
import {
  arbitraryTraceRequest,
  expectedTraces,
  type IntegerStyle,
  writeOtlpJson,
} from "../../test/support/otlp-oracle.ts";
import { makeRandom, type Random } from "../../test/support/random.ts";
import { makeSpanBlockWriter } from "../columns/span-block.ts";
import { SpanRows } from "../columns/span-rows.ts";
import { loadPriceBook, READERS } from "../pipeline.ts";
import { TraceBody, TracePass } from "../traces.ts";
import { makeJsonTranscoder } from "./json-wire.ts";
import { decodeTracesJson } from "./json.ts";
import {
  MAX_ATTRIBUTES,
  MAX_EVENTS_PER_SPAN,
  MAX_JSON_CONTAINERS,
  MAX_JSON_DEPTH,
  MAX_LINKS_PER_SPAN,
} from "./limits.ts";
import { FOUND_END, FOUND_ODD_BODY, FOUND_SPAN, TraceScanner } from "./scan.ts";
import { Shapes } from "./shapes.ts";
import { decodeTraces } from "./traces.ts";
import { senderOf } from "../../test/support/sender.ts";

const TRACE_HEX = "0af7651916cd43dd8448eb211c80319c";
const SPAN_HEX = "b7ad6b7169203331";
const IDS = `"traceId":"${TRACE_HEX}","spanId":"${SPAN_HEX}"`;

const json = makeJsonTranscoder();

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A request of one scope with these JSON texts as spans. */
function requestOf(...spans: string[]): string {
  return `{"resourceSpans":[{"scopeSpans":[{"spans":[${spans.join(",")}]}]}]}`;
}

const spanOf = (members: string) => requestOf(`{${IDS},${members}}`);
const valueOf = (value: string) => spanOf(`"attributes":[{"key":"k","value":${value}}]`);

/** What a decoder makes of a body; the code of the error when it refuses it. */
function outcomeOf(decode: () => DecodedTraces): DecodedTraces | string {
  try {
    return decode();
  } catch (error) {
    if (error instanceof PermanentError) return error.code;
    throw error;
  }
}

/** Whether the body is taken; when it is, it has to be what the tolerant decoder makes of it. */
function isTaken(body: Uint8Array, what = ""): boolean {
  const wire = json.transcode(body);
  if (wire === null) return false;
  const expected = outcomeOf(() => decodeTracesJson(body));
  expect(
    outcomeOf(() => decodeTraces(wire)),
    what,
  ).toStrictEqual(expected);
  return true;
}

function expectTaken(text: string): void {
  expect(isTaken(bytesOf(text), text), text).toBe(true);
}

function expectLeft(text: string): void {
  expect(isTaken(bytesOf(text), text), text).toBe(false);
}

/** The only span of a body, as the quick way reads it; undefined when it is not taken. */
function readSpan(text: string): DecodedSpan | undefined {
  const wire = json.transcode(bytesOf(text));
  return wire === null ? undefined : decodeTraces(wire).scope_spans[0]?.spans[0];
}

/** The only value, or undefined when the body is not taken. */
function readValue(value: string): AttributeValue | undefined {
  return readSpan(valueOf(value))?.attributes.values[0];
}

const corpus = readCorpus().flatMap(({ id, bodies }) =>
  bodies
    .filter(({ signal }) => signal === "traces")
    .map(({ name, bytes }) => ({
      name: `${id}/${name}`,
      bytes,
      is_json: bytes[0] === 0x7b,
      json: parseBody("traces", bytes),
    })),
);
const sent = corpus.filter(({ is_json }) => is_json);

describe("what clients send", () => {
  test("nearly every capture is taken as it was sent, and read as the tolerant decoder reads it", () => {
    expect(sent.length).toBeGreaterThan(100);
    const taken = sent.filter(({ name, bytes }) => isTaken(bytes, name));
    expect(taken.length / sent.length).toBeGreaterThan(0.98);
  });

  test("captures of the other encoding are taken when they are written as JSON", () => {
    const taken = corpus.filter(({ name, json }) => isTaken(encodeJson(json), name));
    expect(taken.length / corpus.length).toBeGreaterThan(0.98);
  });

  test("white space between everything changes nothing", () => {
    for (const { name, json } of corpus) {
      const body = bytesOf(` ${JSON.stringify(json, null, "\t").replaceAll("\n", "\r\n ")}\n`);
      expect(isTaken(body, name), name).toBe(true);
    }
  });

  test("every span of the bodies that benches send is found in place", () => {
    for (const body of makeJsonBodies(3)) {
      expect(isTaken(body)).toBe(true);
      const wire = json.transcode(body) as Uint8Array;
      const scanner = new TraceScanner(wire, new Shapes(1), new WireSpan());
      scanner.resume();
      let spans = 0;
      while (scanner.next() === FOUND_SPAN) spans += 1;
      expect(spans).toBe(512);
    }
  });

  test("the spans of captures are found as often in place as those of protobuf", () => {
    const scanned = { spans: 0, in_place: 0 };
    for (const { name, bytes } of sent) {
      const wire = json.transcode(bytes);
      if (wire === null) continue;
      const scanner = new TraceScanner(wire, new Shapes(1), new WireSpan());
      scanner.resume();
      const spans: (DecodedSpan | undefined)[] = [];
      for (let found = scanner.next(); found !== FOUND_END; found = scanner.next()) {
        expect(found, name).not.toBe(FOUND_ODD_BODY);
        scanned.in_place += found === FOUND_SPAN ? 1 : 0;
        spans.push(scanner.decodeSpan());
      }
      scanned.spans += spans.length;
      const expected = decodeTracesJson(bytes).scope_spans.flatMap((scope) => scope.spans);
      expect(spans, name).toStrictEqual(expected);
    }
    expect(scanned.in_place / scanned.spans).toBeGreaterThan(0.9);
  });

  test.each<IntegerStyle>(["quoted", "bare"])(
    "any valid request with %s integers is read as protobuf would be, when it is taken",
    (style) => {
      let taken = 0;
      fc.assert(
        fc.property(arbitraryTraceRequest, (request) => {
          const body = bytesOf(writeOtlpJson(request, style));
          const wire = json.transcode(body);
          if (wire === null) return;
          taken += 1;
          expect(decodeTraces(wire)).toStrictEqual(expectedTraces(request));
        }),
        { numRuns: 300 },
      );
      expect(taken).toBeGreaterThan(50);
    },
  );
});

describe("rows", () => {
  const book = loadPriceBook();
  const limits = { oldest_ns: 0n, latest_ns: (1n << 64n) - 1n, max_resource_size: 1 << 29 };
  const batch = { ingest_seq: 7, ingested_ms: 1_795_225_706_001 };
  const write = makeSpanBlockWriter();

  test.each([false, true])(
    "captures become the same rows as by objects (content kept: %s)",
    (capture_content) => {
      const pass = new TracePass({ book, capture_content, seed: 99 });
      for (const { name, json: body } of [...corpus, ...corpus]) {
        const bytes = encodeJson(body);
        const rows = new SpanRows();
        const wire = json.transcode(bytes) as Uint8Array;
        const way = new TraceBody(pass, wire, senderOf("p"), { rows, addTime: () => {} }, limits);
        expect(way.step(Infinity, Infinity), name).toBe("done");
        const { spans } = READERS.traces(bytes, "json", book, { project_id: "p", capture_content });
        const block = write(rows, batch);
        expect(Buffer.compare(block.bytes, encodeNeeded(spans, batch)), name).toBe(0);
        block.release();
      }
    },
  );
});

type Node = Record<string, unknown>;

/** All objects of a body, from the outside in. */
function objectsOf(value: unknown): Node[] {
  if (Array.isArray(value)) return value.flatMap(objectsOf);
  if (typeof value !== "object" || value === null) return [];
  return [value as Node, ...Object.values(value).flatMap(objectsOf)];
}

/** Values that may stand anywhere, most of them where they do not belong. */
const ODD_VALUES: readonly unknown[] = [
  null,
  "",
  "0",
  "7",
  "-7",
  "1795226753661477805",
  "18446744073709551615",
  "18446744073709551616",
  "NaN",
  "AAEC",
  TRACE_HEX,
  SPAN_HEX.toUpperCase(),
  "0".repeat(16),
  "0".repeat(32),
  `${SPAN_HEX}0`,
  'a "quoted"\n\\ text / é 😀 \u2028',
  "x".repeat(127),
  "x".repeat(128),
  "é".repeat(9_000),
  0,
  -0,
  1,
  -1,
  0.1,
  1e21,
  2 ** 53,
  429,
  true,
  false,
  {},
  [],
  [null],
  [{}],
  { stringValue: "s" },
  { intValue: "3" },
  { intValue: -3 },
  { doubleValue: 0.25 },
  { boolValue: true },
  { bytesValue: "_-8=" },
  { stringValue: null, intValue: 1 },
  { kvlistValue: { values: [{ key: "k", value: { arrayValue: { values: [null, {}] } } }] } },
  [{ key: "k" }, null, { value: {} }],
];

const NAMES = [
  "resourceSpans",
  "scopeSpans",
  "spans",
  "resource",
  "scope",
  "attributes",
  "key",
  "value",
  "stringValue",
  "intValue",
  "doubleValue",
  "boolValue",
  "arrayValue",
  "kvlistValue",
  "bytesValue",
  "values",
  "name",
  "kind",
  "traceId",
  "parentSpanId",
  "startTimeUnixNano",
  "start_time_unix_nano",
  "events",
  "links",
  "status",
  "code",
  "message",
  "flags",
  "unknown",
  "__proto__",
];

function changeBody(body: Node, random: Random): void {
  const node = random.pick(objectsOf(body));
  const names = Object.keys(node);
  const roll = random.next();
  if (roll < 0.5 && names.length > 0) {
    node[random.pick(names)] = structuredClone(random.pick(ODD_VALUES));
  } else if (roll < 0.7) {
    const name = random.pick(NAMES);
    if (name !== "__proto__") node[name] = structuredClone(random.pick(ODD_VALUES));
  } else if (roll < 0.8 && names.length > 0) {
    delete node[random.pick(names)];
  } else if (roll < 0.9) {
    // The members in another order.
    const entries = Object.entries(node).reverse();
    for (const name of names) delete node[name];
    Object.assign(node, Object.fromEntries(entries));
  } else {
    const lists = Object.values(node).filter((value) => Array.isArray(value)) as unknown[][];
    if (lists.length > 0) random.pick(lists).push(structuredClone(random.pick(ODD_VALUES)));
  }
}

describe("bodies that were changed", () => {
  const small = corpus.filter(({ bytes }) => bytes.length < 30_000);

  test.each([1, 2, 3, 4])(
    "captures with other values and members are read alike (seed %s)",
    (seed) => {
      const random = makeRandom(seed);
      let taken = 0;
      for (let run = 0; run < 500; run += 1) {
        const { name, json } = random.pick(small);
        const changed: OtlpJson = structuredClone(json);
        const changes = 1 + random.whole(3);
        for (let change = 0; change < changes; change += 1) changeBody(changed, random);
        if (isTaken(encodeJson(changed), `seed ${seed}, run ${run}, ${name}`)) taken += 1;
      }
      // Enough of both kinds for the test to mean something.
      expect(taken).toBeGreaterThan(100);
      expect(taken).toBeLessThan(490);
    },
  );

  test.each([1, 2, 3])("what JSON.parse refuses is never taken (seed %s)", (seed) => {
    const random = makeRandom(seed);
    const structure = Buffer.from('{}[]",:0123456789.eE-+\\/ubntrufalsn _xXA\n\t\0\u001f');
    let taken = 0;
    for (let run = 0; run < 2_000; run += 1) {
      const { name, bytes, json } = random.pick(small);
      const body = Buffer.from(random.chance(0.5) ? bytes : encodeJson(json));
      const changes = 1 + random.whole(3);
      for (let change = 0; change < changes; change += 1) {
        const byte = random.chance(0.7) ? structure[random.whole(structure.length)] : undefined;
        body[random.whole(body.length)] = byte ?? random.whole(256);
      }
      const cut = random.chance(0.1) ? body.subarray(0, random.whole(body.length)) : body;
      const what = `seed ${seed}, run ${run}, ${name}`;
      if (!isTaken(cut, what)) continue;
      taken += 1;
      expect(
        () => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(cut)),
        what,
      ).not.toThrow();
    }
    expect(taken).toBeGreaterThan(100);
  });

  const whole = bytesOf(
    ` {"x":[1.5e-3,-0,{"y":"\\u0041é"},true,false,null],"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a\\nb"}}]},"scopeSpans":[{"scope":{"name":"s","version":"1"},"spans":[{${IDS},"parentSpanId":"","name":"chat \\ud83d\\ude00","kind":3,"startTimeUnixNano":"1795226753661477805","endTimeUnixNano":1795226753661477806,"attributes":[{"key":"n","value":{"intValue":"12"}},{"key":"d","value":{"doubleValue":0.25}},{"key":"b","value":{"boolValue":true}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},null]}}},{"key":"y","value":{"bytesValue":"AAEC"}}],"events":[{"timeUnixNano":"5","name":"e"}],"links":[{${IDS}}],"status":{"code":2,"message":"m"},"flags":257}]}]}]} `,
  );

  test("a body is taken whole, and none of its beginnings is", () => {
    expect(isTaken(whole)).toBe(true);
    const last = whole.length - 1;
    for (let size = 0; size < last; size += 1) {
      expect(json.transcode(whole.subarray(0, size)), `${size} bytes`).toBeNull();
    }
  });

  test("a byte more, a byte less or another byte at every place is never taken wrongly", () => {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const check = (body: Uint8Array, what: string) => {
      if (isTaken(body, what)) expect(() => JSON.parse(strict.decode(body)), what).not.toThrow();
    };
    for (let at = 0; at < whole.length; at += 1) {
      check(Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1)]), `without ${at}`);
      for (const byte of Buffer.from('"\\{}[],:0 -.e\u0001\u00ff')) {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        check(changed, `${byte} at ${at}`);
        check(
          Buffer.concat([whole.subarray(0, at), Buffer.of(byte), whole.subarray(at)]),
          `${byte} before ${at}`,
        );
      }
    }
  });

  test.each([
    ["nothing", ""],
    ["white space", "  "],
    ["a byte order mark", `\uFEFF${spanOf('"kind":1')}`],
    ["two values", `${spanOf('"kind":1')}{}`],
    ["a trailing comma in an object", spanOf('"kind":1,')],
    ["a trailing comma in a list", spanOf('"attributes":[{"key":"k"},]')],
    ["a leading comma", spanOf('"attributes":[,{"key":"k"}]')],
    ["a comment", spanOf('/**/"kind":1')],
    ["a single quote", spanOf("\"name\":'a'")],
    ["another kind of white space", spanOf('\u00a0"kind":1')],
    ["a vertical tab", spanOf('\v"kind":1')],
    ["a line break in a string", spanOf('"name":"a\nb"')],
    ["a control character in a string", spanOf('"name":"a\u001fb"')],
    ["a control character in a name", spanOf('"x\u0000":1')],
    ["an unknown escape", spanOf('"name":"\\x41"')],
    ["an escape without digits", spanOf('"name":"\\u00g0"')],
    ["an escape of an unknown field", spanOf('"unknown":"\\q"')],
    ["a bad number in an unknown field", spanOf('"unknown":[01]')],
    ["a bad word in an unknown field", spanOf('"unknown":nul')],
    ["brackets that do not match", spanOf('"unknown":[{]}')],
    ["a name without a value", spanOf('"unknown"')],
    ["a name that is no string", spanOf("unknown:1")],
  ])("%s is left to the tolerant decoder", (_name, text) => {
    expectLeft(text);
  });

  test.each([
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "1e+",
    "--1",
    "0x1",
    "1_0",
    "NaN",
    "Infinity",
    "1.e3",
  ])("the number %s is taken nowhere", (number) => {
    for (const text of [
      valueOf(`{"doubleValue":${number}}`),
      valueOf(`{"intValue":${number}}`),
      spanOf(`"startTimeUnixNano":${number}`),
      spanOf(`"kind":${number}`),
      spanOf(`"unknown":${number}`),
    ]) {
      expectLeft(text);
    }
  });
});

describe("numbers", () => {
  const edges = [
    0n,
    1n,
    127n,
    128n,
    2n ** 32n - 1n,
    2n ** 32n,
    999_999_999_999_999n,
    10n ** 15n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    10n ** 18n,
    2n ** 63n - 1n,
  ];

  test("integers at the edges are exact, as strings and bare", () => {
    for (const edge of [...edges, ...edges.map((edge) => -edge), -(2n ** 63n)]) {
      const expected =
        BigInt(Number(edge)) === edge && Number.isSafeInteger(Number(edge)) ? Number(edge) : edge;
      expect(readValue(`{"intValue":"${edge}"}`)).toBe(expected);
      expect(readValue(`{"intValue":${edge}}`)).toBe(expected);
    }
    expect(readValue('{"intValue":-0}')).toBe(0);
    expect(readValue('{"intValue":"007"}')).toBe(7);
  });

  test("any 64 bits are read exactly as a time", () => {
    const uint64 = fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.constantFrom(...edges, 2n ** 64n - 1n),
    );
    fc.assert(
      fc.property(uint64, (value) => {
        expect(readSpan(spanOf(`"startTimeUnixNano":"${value}"`))?.start_ns).toBe(value);
        expect(readSpan(spanOf(`"endTimeUnixNano":${value}`))?.end_ns).toBe(value);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    "1.0",
    "1e3",
    "1.5",
    '""',
    '"-"',
    '" 1"',
    '"1.0"',
    "9223372036854775808",
    "-9223372036854775809",
    '"18446744073709551616"',
    '"99999999999999999999"',
    '"000000000000000000001"',
    "true",
    "{}",
  ])("the integer %s is left to the tolerant decoder", (text) => {
    expectLeft(valueOf(`{"intValue":${text}}`));
  });

  test.each([
    "18446744073709551616",
    '"99999999999999999999"',
    "-1",
    '"-0"',
    "1.0",
    "1e3",
    '"soon"',
    "true",
  ])("the time %s is left to the tolerant decoder", (text) => {
    expectLeft(spanOf(`"startTimeUnixNano":${text}`));
  });

  test("any double is read as JSON.parse reads it, however it is written", () => {
    const digits = fc.stringMatching(/^-?(0|[1-9]\d{0,19})(\.\d{1,20})?([eE][+-]?\d{1,3})?$/);
    const written = fc
      .double({ noDefaultInfinity: true, noNaN: true })
      .map((value) => JSON.stringify(value));
    fc.assert(
      fc.property(fc.oneof(digits, written), (text) => {
        expect(readValue(`{"doubleValue":${text}}`)).toBe(JSON.parse(text));
      }),
      { numRuns: 2000 },
    );
    for (const text of [
      "-0",
      "-0.0",
      "0e9",
      "1e999",
      "-1e999",
      "5e-324",
      "0.1",
      "1.7976931348623157e308",
      "9007199254740993",
      "9007199254740993.0",
    ]) {
      expect(readValue(`{"doubleValue":${text}}`)).toBe(JSON.parse(text));
      expectTaken(valueOf(`{"doubleValue":${text}}`));
    }
  });

  test.each(['"NaN"', '"1.5"', "true", "[]"])(
    "the double %s is left to the tolerant decoder",
    (text) => {
      expectLeft(valueOf(`{"doubleValue":${text}}`));
    },
  );

  test("a double that is null is absent, as JSON.stringify writes NaN", () => {
    expect(readValue('{"doubleValue":null}')).toBeNull();
  });

  test("enums are read from numbers and their texts, and names are left", () => {
    expect(readSpan(spanOf('"kind":3,"status":{"code":"2"}'))).toMatchObject({
      kind: 3,
      status_code: 2,
    });
    expect(readSpan(spanOf('"kind":2147483647'))?.kind).toBe(2147483647);
    for (const kind of ['"SPAN_KIND_CLIENT"', "2147483648", "-1", "1.5"]) {
      expectLeft(spanOf(`"kind":${kind}`));
    }
  });
});

describe("texts", () => {
  test("any text is read as JSON.parse reads it, raw and in escapes", () => {
    const escaped = (text: string) =>
      `"${Array.from({ length: text.length }, (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, "0")}`).join("")}"`;
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), fc.boolean(), (text, raw) => {
        const written = raw ? JSON.stringify(text) : escaped(text);
        expect(JSON.parse(written)).toBe(text);
        const span = readSpan(
          spanOf(
            `"name":${written},"attributes":[{"key":${written},"value":{"stringValue":${written}}}],"status":{"message":${written}}`,
          ),
        );
        if (Buffer.byteLength(text) > 1_000) return;
        expect(span?.name).toBe(text);
        expect(span?.status_message).toBe(text);
        expect(span?.attributes).toStrictEqual(new Attributes([text], [text]));
      }),
      { numRuns: 1000 },
    );
  });

  test("every escape is read at every place of a word, and at the end of the body", () => {
    for (let before = 0; before < 9; before += 1) {
      for (const escape of [
        '\\"',
        "\\\\",
        "\\/",
        "\\b",
        "\\f",
        "\\n",
        "\\r",
        "\\t",
        "\\u0000",
        "\\u00e9",
        "\\u20AC",
        "\\uD83D\\uDE00",
        "é",
        "€",
        "😀",
      ]) {
        const written = `"${"x".repeat(before)}${escape}${"y".repeat(before % 4)}"`;
        expect(readValue(`{"stringValue":${written}}`), written).toBe(JSON.parse(written));
      }
    }
  });

  test("texts around the sizes where a length takes another byte are kept whole", () => {
    for (const size of [
      0,
      1,
      120,
      125,
      126,
      127,
      128,
      129,
      16_380,
      16_383,
      16_384,
      2 ** 21 - 1,
      2 ** 21,
    ]) {
      const text = "x".repeat(size);
      expect(readValue(`{"stringValue":"${text}"}`), `${size}`).toBe(text);
      const nested = readValue(
        `{"arrayValue":{"values":[{"stringValue":"${text}"},{"arrayValue":{"values":[{"stringValue":"${text}"}]}}]}}`,
      );
      expect(nested, `${size}`).toStrictEqual([text, [text]]);
    }
    expectLeft(spanOf(`"attributes":[{"key":"${"k".repeat(1_025)}"}]`));
    for (const size of [126, 127, 128, 129, 1_000]) {
      const key = "k".repeat(size);
      const span = readSpan(spanOf(`"attributes":[{"key":"${key}","value":{"intValue":1}}]`));
      expect(span?.attributes).toStrictEqual(new Attributes([key], [1]));
    }
  });

  test.each(["\\ud800", "\\ud800x", "\\udc00", "\\ud800\\ud800", "\\ud83d\\n"])(
    "the unpaired surrogate %s is left to the tolerant decoder",
    (text) => {
      expectLeft(spanOf(`"name":"${text}"`));
      expectLeft(spanOf(`"unknown":"${text}"`));
    },
  );

  test("bytes are taken exactly where they are UTF-8", () => {
    const strict = new TextDecoder("utf-8", { fatal: true });
    const [head, tail] = spanOf('"name":"a|b"').split("|");
    const isUtf8 = (bytes: Uint8Array) => {
      try {
        strict.decode(bytes);
        return true;
      } catch {
        return false;
      }
    };
    const edge = fc.constantFrom(
      0x41,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xe1,
      0xec,
      0xed,
      0xee,
      0xef,
      0xf0,
      0xf1,
      0xf3,
      0xf4,
      0xf5,
      0xff,
    );
    fc.assert(
      fc.property(fc.array(edge, { minLength: 1, maxLength: 5 }), (bytes) => {
        const middle = Uint8Array.from(bytes);
        const body = Buffer.concat([Buffer.from(`${head}`), middle, Buffer.from(`${tail}`)]);
        expect(isTaken(body)).toBe(isUtf8(middle));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("members", () => {
  test.each([
    spanOf('"name":"a","name":"b"'),
    spanOf('"name":"a","name":null'),
    spanOf('"attributes":[],"attributes":[]'),
    valueOf('{"stringValue":"a","intValue":1}'),
    valueOf('{"intValue":null,"intValue":1}'),
    requestOf(`{${IDS},${IDS}}`),
  ])("%s has a name twice and is left to the tolerant decoder", expectLeft);

  test.each([
    spanOf('"start_time_unix_nano":"5"'),
    spanOf('"n\\u0061me":"a"'),
    valueOf('{"string_value":"a"}'),
    valueOf('{"stringValueStrindex":1}'),
    '{"resource_spans":[]}',
    '{"resourceLogs":[]}',
    "{}",
    '{"resourceSpans":null}',
    '{"resourceSpans":{}}',
    "[]",
    '{"resourceSpans":[5]}',
    spanOf('"attributes":{}'),
    spanOf('"attributes":[5]'),
    spanOf('"events":[[]]'),
    spanOf('"status":5'),
    spanOf('"name":5'),
    valueOf("5"),
    valueOf('{"arrayValue":[]}'),
    valueOf('{"arrayValue":{"values":[5]}}'),
    valueOf('{"bytesValue":"a"}'),
    valueOf('{"bytesValue":"ab=c"}'),
  ])("%s is left to the tolerant decoder", expectLeft);

  test.each([
    spanOf('"unknown":{"traceId":5,"a_b":[{"c":"\\ud83d\\ude00"}]},"isRemote":false'),
    spanOf('"flags":257,"droppedEventsCount":null,"traceState":5'),
    spanOf('"name":null,"kind":null,"status":null,"attributes":null,"events":null,"links":null'),
    spanOf('"attributes":[null,{},{"value":{"intValue":1},"key":"k"},{"key":null,"value":null}]'),
    spanOf('"events":[null,{}],"links":[null,{},{"traceId":""}],"status":{}'),
    spanOf(`"links":[{${IDS},"attributes":[{"key":"k","value":{"boolValue":false}}]}]`),
    '{"resourceSpans":[null,{},{"scopeSpans":null},{"scopeSpans":[null,{},{"spans":[null]}]}]}',
    `{"resourceSpans":[{"scopeSpans":[{"spans":[{${IDS}}],"scope":{"name":"s","x":[]}}],"resource":{"attributes":[{"key":"k"}]}}]}`,
    valueOf("null"),
    valueOf("{}"),
    valueOf('{"unknown":1}'),
    valueOf('{"stringValue":null}'),
    valueOf('{"arrayValue":{}}'),
    valueOf('{"arrayValue":{"values":[null,{},{"kvlistValue":{"values":[{"key":"k"}]}}]}}'),
    valueOf('{"kvlistValue":{}}'),
    valueOf('{"bytesValue":""}'),
    valueOf('{"bytesValue":"_-8"}'),
    valueOf('{"bytesValue":"/+8="}'),
  ])("%s is taken", expectTaken);

  test.each([
    `"traceId":"","spanId":"${SPAN_HEX}"`,
    `"spanId":"${SPAN_HEX}"`,
    `"traceId":"${TRACE_HEX}"`,
    `"traceId":"${"0".repeat(32)}","spanId":"${SPAN_HEX}"`,
    `"traceId":"${TRACE_HEX}","spanId":"${"0".repeat(16)}"`,
    `${IDS.toUpperCase().replace("TRACEID", "traceId").replace("SPANID", "spanId")},"parentSpanId":"${"0".repeat(16)}"`,
  ])("a span with %s is taken, refused or not", (ids) => {
    expectTaken(requestOf(`{${IDS}}`, `{${ids}}`));
  });

  test.each([
    `"${TRACE_HEX}00"`,
    `"${TRACE_HEX.slice(1)}g"`,
    `"${"A".repeat(22)}=="`,
    "5",
    `"${TRACE_HEX}`,
  ])("the trace id %s is left to the tolerant decoder", (id) => {
    expectLeft(requestOf(`{"traceId":${id},"spanId":"${SPAN_HEX}"}`));
  });
});

describe("memory", () => {
  test("a body that is kept is not overwritten by the next, whatever its size", () => {
    const transcoder = makeJsonTranscoder();
    const [first, second] = makeJsonBodies(2) as [Uint8Array, Uint8Array];
    const large = bytesOf(valueOf(`{"stringValue":"${"x".repeat(3_000_000)}"}`));
    for (const body of [first, large]) {
      const kept = transcoder.keep(transcoder.transcode(body) as Uint8Array);
      const copy = Uint8Array.from(kept);
      transcoder.transcode(second);
      transcoder.transcode(bytesOf(valueOf(`{"stringValue":"${"y".repeat(3_000_000)}"}`)));
      expect(Buffer.compare(kept, copy)).toBe(0);
    }
  });

  test("what is written takes no more room than what was read, of whatever there are many", () => {
    const requests = ["{}", "null", '{"x":1}', '{"resource":{}}', '{"scopeSpans":[{}]}'];
    const scopes = ["{}", '{"scope":{}}', '{"spans":[{}]}', '{"scope":{"name":""}}'];
    const spans = [
      "{}",
      '{"kind":1}',
      '{"name":""}',
      '{"status":{}}',
      '{"status":{"code":1}}',
      '{"events":[{}]}',
      '{"events":[{"name":""}]}',
      '{"links":[{}]}',
      '{"traceId":""}',
      '{"attributes":[{}]}',
      '{"startTimeUnixNano":0}',
    ];
    const values = [
      "{}",
      "null",
      '{"arrayValue":{}}',
      '{"arrayValue":{"values":[{}]}}',
      '{"kvlistValue":{"values":[{"key":""}]}}',
      '{"kvlistValue":{"values":[{"value":{}}]}}',
      '{"boolValue":true}',
      '{"doubleValue":1}',
      '{"intValue":-1}',
      '{"intValue":9223372036854775807}',
      '{"stringValue":""}',
      '{"bytesValue":""}',
      '{"bytesValue":"AA"}',
    ];
    const many = (part: string) => `${`${part},`.repeat(2_000)}{}`;
    const deep = (text: string) =>
      valueOf(`${'{"arrayValue":{"values":['.repeat(5)}${text}${"]}}".repeat(5)}`);
    for (const text of [
      ...requests.map((part) => `{"resourceSpans":[${many(part)}]}`),
      ...scopes.map((part) => `{"resourceSpans":[{"scopeSpans":[${many(part)}]}]}`),
      ...spans.map((part) => requestOf(many(part))),
      ...values.map((part) => deep(many(part))),
    ]) {
      const what = text.slice(0, 200);
      expect(isTaken(bytesOf(text)), what).toBe(true);
      const wire = json.transcode(bytesOf(text)) as Uint8Array;
      expect(wire.length, what).toBeLessThanOrEqual(text.length);
    }
  });
});

describe("hostile bodies", () => {
  /** Milliseconds of CPU of the cheapest of three runs, as others use the machine too. */
  function timeOf(body: Uint8Array): number {
    const times = [0, 1, 2].map(() => {
      const before = process.cpuUsage();
      json.transcode(body);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    });
    return Math.min(...times);
  }

  test("nesting is taken to a depth and left beyond it, whatever nests", () => {
    const array = (depth: number) =>
      valueOf(`${'{"arrayValue":{"values":['.repeat(depth)}{}${"]}}".repeat(depth)}`);
    const list = (depth: number) =>
      valueOf(
        `${'{"kvlistValue":{"values":[{"key":"k","value":'.repeat(depth)}{"stringValue":"${"x".repeat(300)}"}${"}]}}".repeat(depth)}`,
      );
    for (const nest of [array, list]) {
      for (const depth of [1, 2, 3, 31]) expectTaken(nest(depth));
      for (const depth of [32, 64, 100]) expectLeft(nest(depth));
    }
    const unknown = (depth: number) => spanOf(`"unknown":${"[".repeat(depth)}${"]".repeat(depth)}`);
    expectTaken(unknown(60));
    expectLeft(unknown(MAX_JSON_DEPTH));
    expectLeft(spanOf(`"unknown":${"[".repeat(1_000_000)}`));
    expectLeft(spanOf(`"unknown":${'{"a":'.repeat(1_000_000)}`));
    expectLeft("[".repeat(1_000_000));
  });

  test("lists are taken up to the items that are kept of them", () => {
    const many = (name: string, item: string, count: number) =>
      spanOf(`"${name}":[null,${`${item},`.repeat(count - 1)}${item}]`);
    const lists: [string, string, number][] = [
      ["attributes", '{"key":"k"}', MAX_ATTRIBUTES],
      ["events", "{}", MAX_EVENTS_PER_SPAN],
      ["links", `{${IDS}}`, MAX_LINKS_PER_SPAN],
    ];
    for (const [name, item, limit] of lists) {
      expectTaken(many(name, item, limit));
      expectLeft(many(name, item, limit + 1));
    }
  });

  test("objects and lists are taken up to the limit and left beyond it, whatever they are", () => {
    const usual = '{"key":"k","value":{"stringValue":"v"}},'.repeat(200);
    const others = '{"key":"k", "value":{"arrayValue":{"values":[{}]}}},'.repeat(200);
    const bodyOf = (fill: number) => {
      const span = `{${IDS},"attributes":[${usual}${others}{}]}`;
      const spans = `"scopeSpans":[{"spans":[${span}]}]`;
      return `{"resourceSpans":[{"x":[${"[],".repeat(fill)}[]],${spans}}]}`;
    };
    const other_count = bodyOf(0).match(/[[{]/g)?.length ?? 0;
    const last = bodyOf(MAX_JSON_CONTAINERS - other_count);
    expect(json.transcode(bytesOf(last))).not.toBeNull();
    expect(json.transcode(bytesOf(last.replace("[],", "[[],[]],")))).toBeNull();
    expect(json.transcode(bytesOf(last.replace("[],", "[],[],")))).toBeNull();
  });

  test.each<[string, (size: number) => string]>([
    ["a long text", (size) => valueOf(`{"stringValue":"${"x".repeat(size)}"}`)],
    ["a long text of escapes", (size) => valueOf(`{"stringValue":"${"\\n".repeat(size / 2)}"}`)],
    ["a long text beyond ASCII", (size) => valueOf(`{"stringValue":"${"é".repeat(size / 2)}"}`)],
    [
      "a long text deep inside",
      (size) =>
        valueOf(
          `${'{"arrayValue":{"values":['.repeat(30)}{"stringValue":"${"x".repeat(size)}"}${"]}}".repeat(30)}`,
        ),
    ],
    ["a long key", (size) => spanOf(`"attributes":[{"key":"${"k".repeat(size)}"}]`)],
    ["a long name", (size) => spanOf(`"${"k".repeat(size)}":1`)],
    ["many names", (size) => spanOf(`"k":1,`.repeat(size / 6) + '"k":1')],
    ["a long number", (size) => valueOf(`{"doubleValue":${"1".repeat(size)}}`)],
    ["white space", (size) => spanOf(`"kind":${" ".repeat(size)}1`)],
    [
      "many bad base64 texts",
      (size) =>
        spanOf(`"attributes":[${'{"key":"k","value":{"bytesValue":""}},'.repeat(size / 40)}{}]`),
    ],
    ["many spans", (size) => requestOf(`${"{},".repeat(size / 3)}{}`)],
    [
      "attributes that begin as usual and end otherwise",
      (size) =>
        requestOf(
          `${`{"attributes":[{"key":"k","value":{"stringValue":"${"v".repeat(100)}"} }]},`.repeat(size / 150)}{}`,
        ),
    ],
  ])("%s takes time in proportion to its size", (_name, make) => {
    const small = bytesOf(make(300_000));
    const large = bytesOf(make(2_400_000));
    timeOf(small);
    // Eight times the size; a square would take 64 times as long.
    expect(timeOf(large)).toBeLessThan(Math.max(timeOf(small), 1) * 30);
  });
});
