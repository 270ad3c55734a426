/** Rows J of the conformance checklist (`rows.ts`): OTLP/JSON, strict in what it means, mild in form. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  type StoredSpan,
  countSpans,
  newId,
  nowNs,
  openLaboratory,
  type Outcome,
  post,
  readOutcome,
  settle,
  storedSpan,
  TAKEN,
  type TestCollector,
} from "./collector.ts";

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ engine, collector, close } = await openLaboratory());
});
afterAll(() => close());

// Most of a test is waiting for its rows: together they wait once.
describe.concurrent("rows J", () => {
  const hexOf = (id: Uint8Array) => Buffer.from(id).toString("hex");

  /** The fields of a valid span; any may be replaced, and undefined leaves one out. */
  function jsonSpan(changes: Record<string, unknown> = {}): Record<string, unknown> {
    const start = nowNs();
    return {
      traceId: hexOf(newId(16)),
      spanId: hexOf(newId(8)),
      name: "chat",
      kind: 3,
      startTimeUnixNano: String(start),
      endTimeUnixNano: String(start + 1_000_000n),
      ...changes,
    };
  }

  const around = (...spans: unknown[]) => ({ resourceSpans: [{ scopeSpans: [{ spans }] }] });

  async function sendText(body: Uint8Array | string): Promise<Outcome> {
    return readOutcome("traces", await post(collector, "traces", "json", body));
  }

  const sendSpans = (...spans: unknown[]) => sendText(JSON.stringify(around(...spans)));

  function stored(span: Record<string, unknown>): Promise<StoredSpan> {
    return storedSpan(engine, Buffer.from(String(span["traceId"]), "hex"));
  }

  /** Sends one attribute as the text of its value; returns the answer and what is stored of it. */
  async function sendValue(value: string): Promise<{ outcome: Outcome; kept: string | undefined }> {
    const span = jsonSpan({ attributes: "HERE" });
    const body = JSON.stringify(around(span));
    const list = `[{"key":"a","value":${value}}]`;
    const outcome = await sendText(body.replace('"HERE"', list));
    return { outcome, kept: (await stored(span)).attributes["a"] };
  }

  describe("J01 ids and bytes", () => {
    test("J01 ids are hex of either case", async () => {
      const parent = hexOf(newId(8));
      const span = jsonSpan({
        traceId: hexOf(newId(16)).toUpperCase(),
        parentSpanId: parent.toUpperCase(),
      });
      expect(await sendSpans(span)).toEqual(TAKEN);
      expect((await stored(span)).parent_span_id).toBe(parent);
    });

    test("J01 an id in base64 costs its span, with the words what it should be", async () => {
      const good = jsonSpan();
      const bad = jsonSpan({ traceId: Buffer.from(newId(16)).toString("base64") });
      const outcome = await sendSpans(bad, good);
      expect(outcome).toMatchObject({ status: 200, rejected: 1 });
      expect(outcome.message).toContain("hex");
      await stored(good);
    });

    test.each(["+/+/AA==", "-_-_AA==", "+/+/AA", "-_-_AA"])(
      "J01 the bytes %j are read as base64",
      async (base64) => {
        const { outcome, kept } = await sendValue(`{"bytesValue":"${base64}"}`);
        expect(outcome).toEqual(TAKEN);
        const expected = await sendValue('{"bytesValue":"+/+/AA=="}');
        expect(kept).toBe(expected.kept);
      },
    );
  });

  test.each([
    [3, TAKEN],
    [
      "SPAN_KIND_CLIENT",
      { status: 200, rejected: 0, message: expect.stringContaining("integers") as string },
    ],
  ])("J02 the enum %j is taken", async (kind, expected) => {
    const span = jsonSpan({ kind });
    expect(await sendSpans(span)).toEqual(expected);
    expect((await stored(span)).kind).toBe(3);
  });

  test("J02 an unknown name of an enum costs its span", async () => {
    const good = jsonSpan();
    const outcome = await sendSpans(jsonSpan({ kind: "SPAN_KIND_MADE_UP" }), good);
    expect(outcome).toMatchObject({ status: 200, rejected: 1 });
    await stored(good);
  });

  test("J03 unknown names are ignored everywhere", async () => {
    const more = { fromTheFuture: { deep: [1, { a: null }] }, another: "x" };
    const span = jsonSpan({
      ...more,
      attributes: [{ key: "a", value: { intValue: 1, ...more }, ...more }],
    });
    const scope = { scope: { name: "s", ...more }, spans: [span], ...more };
    const resource = { resource: { attributes: [], ...more }, scopeSpans: [scope], ...more };
    expect(await sendText(JSON.stringify({ resourceSpans: [resource], ...more }))).toEqual(TAKEN);
    expect((await stored(span)).attributes).toEqual({ a: "1" });
  });

  test("J04 snake_case names are taken with a warning instead of silently ignored", async () => {
    const camel = jsonSpan();
    const span = Object.fromEntries(
      Object.entries(camel).map(([name, value]) => [
        name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        value,
      ]),
    );
    const body = { resource_spans: [{ scope_spans: [{ spans: [span] }] }] };
    const outcome = await sendText(JSON.stringify(body));
    expect(outcome).toMatchObject({ status: 200, rejected: 0 });
    expect(outcome.message).toContain("lowerCamelCase");
    expect((await stored(camel)).kind).toBe(3);
  });

  describe("numbers", () => {
    test.each([
      ['"9007199254740993"', "9007199254740993"],
      ["9007199254740993", "9007199254740993"],
      ['"-9223372036854775808"', "-9223372036854775808"],
      ["-9223372036854775808", "-9223372036854775808"],
      ["9223372036854775807", "9223372036854775807"],
    ])("J05 the 64-bit integer %s keeps every digit", async (written, expected) => {
      expect(await sendValue(`{"intValue":${written}}`)).toEqual({
        outcome: TAKEN,
        kept: expected,
      });
    });

    test("J05 times may be bare numbers, and the answer writes its counts as strings", async () => {
      const span = jsonSpan();
      const bare = JSON.stringify(around(span)).replace(/"(\w+UnixNano)":"(\d+)"/g, '"$1":$2');
      expect(bare).toMatch(/"startTimeUnixNano":\d{19},/);
      expect(await sendText(bare)).toEqual(TAKEN);
      expect((await stored(span)).start_ns).toBe(span["startTimeUnixNano"]);
      const answer = await post(
        collector,
        "traces",
        "json",
        JSON.stringify(around(jsonSpan({ traceId: "00" }))),
      );
      expect(Buffer.from(answer.body).toString()).toContain('"rejectedSpans":"1"');
    });

    test.each([
      ["1.5", "1.5"],
      ['"1.5"', "1.5"],
      ['"NaN"', "nan"],
      ['"Infinity"', "inf"],
      ['"-Infinity"', "-inf"],
      ["1e999", "inf"],
    ])("J06 the double %s is read", async (written, expected) => {
      const { outcome, kept } = await sendValue(`{"doubleValue":${written}}`);
      expect(outcome).toEqual(TAKEN);
      expect(kept?.toLowerCase().replace("infinity", "inf")).toBe(expected);
    });

    test.each([
      ["1e3", "1000"],
      ["1.0", "1"],
      ['"1e3"', "1000"],
      ['"12.50e2"', "1250"],
    ])("J07 the integer %s is read", async (written, expected) => {
      expect(await sendValue(`{"intValue":${written}}`)).toEqual({
        outcome: TAKEN,
        kept: expected,
      });
    });

    test("J07 a fraction in place of an integer costs its span, in a value only the attribute", async () => {
      const good = jsonSpan();
      const outcome = await sendSpans(jsonSpan({ startTimeUnixNano: 1.5 }), good);
      expect(outcome).toMatchObject({ status: 200, rejected: 1 });
      await stored(good);
      const value = await sendValue('{"intValue":1.5}');
      expect(value.outcome).toMatchObject({ status: 200, rejected: 0 });
      expect(value.outcome.message).toContain("attributes");
      expect(value.kept).toBeUndefined();
    });

    test.each(["3", '"3"', "3.0"])("J09 the 32-bit integer %s is read", async (written) => {
      const span = jsonSpan({ kind: "HERE", droppedAttributesCount: "7" });
      expect(await sendText(JSON.stringify(around(span)).replace('"HERE"', written))).toEqual(
        TAKEN,
      );
      expect((await stored(span)).kind).toBe(3);
    });
  });

  test("J08 null is absent, in every field, and an empty value is empty", async () => {
    const names = ["parentSpanId", "kind", "endTimeUnixNano", "events", "links", "status", "flags"];
    const span = jsonSpan({
      ...Object.fromEntries(names.map((name) => [name, null])),
      attributes: [
        { key: "null", value: null },
        { key: "empty", value: {} },
        { key: "none", value: { stringValue: null } },
        null,
      ],
    });
    const body = {
      resourceSpans: [{ resource: null, scopeSpans: [{ scope: null, spans: [span] }, null] }, null],
    };
    expect(await sendText(JSON.stringify(body))).toEqual(TAKEN);
    expect(await stored(span)).toMatchObject({
      kind: 0,
      attributes: { null: "", empty: "", none: "" },
    });
    for (const lists of [{ resourceSpans: null }, { resourceSpans: [{ scopeSpans: null }] }]) {
      expect((await sendText(JSON.stringify(lists))).status).toBe(200);
    }
  });

  test("J10 an empty id costs its span, an empty parent is a root", async () => {
    const good = jsonSpan({ parentSpanId: "" });
    const outcome = await sendSpans(jsonSpan({ traceId: "" }), jsonSpan({ spanId: "" }), good);
    expect(outcome).toMatchObject({ status: 200, rejected: 2 });
    expect((await stored(good)).parent_span_id).toBe("0000000000000000");
  });

  test.each([
    ["cut off", (body: string) => body.slice(0, -1)],
    ["behind a byte order mark", (body: string) => `\ufeff${body}`],
    ["with a comma too many", (body: string) => body.replace("]}", ",]}")],
    ["with a bare NaN", (body: string) => body.replace('"chat"', "NaN")],
    ["with single quotes", (body: string) => body.replaceAll('"', "'")],
    ["with a comment", (body: string) => `/* */${body}`],
    ["followed by more", (body: string) => `${body}{}`],
    ["text alone", () => '"resourceSpans"'],
    ["a list", (body: string) => `[${body}]`],
  ])("J11 JSON that is %s is 400, and its text is not in the answer", async (_name, spoil) => {
    const span = jsonSpan();
    const { status, message } = await sendText(spoil(JSON.stringify(around(span))));
    expect(status).toBe(400);
    expect(message).not.toContain("chat");
    await settle(collector, engine);
    expect(await countSpans(engine, Buffer.from(String(span["traceId"]), "hex"))).toBe(0);
  });

  test("J11 of a name that comes twice the last one counts", async () => {
    const span = jsonSpan();
    const body = JSON.stringify(around(span)).replace('"kind":3', '"kind":1,"kind":3');
    expect(await sendText(body)).toEqual(TAKEN);
    expect((await stored(span)).kind).toBe(3);
  });

  test("J12 half a surrogate pair is stored as U+FFFD with a warning", async () => {
    const { outcome, kept } = await sendValue(String.raw`{"stringValue":"a\ud800b"}`);
    expect(outcome).toMatchObject({ status: 200, rejected: 0 });
    expect(outcome.message).toContain("U+FFFD");
    expect(kept).toBe("a\ufffdb");
  });

  test("J13 keys with names of Object.prototype are data, and no object changes", async () => {
    const keys = ["__proto__", "constructor", "prototype", "a.__proto__.polluted", "toString", ""];
    const attributes = keys.map((key) => ({ key, value: { stringValue: `value of ${key}` } }));
    const span = jsonSpan({ attributes });
    const member = '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},';
    const body = JSON.stringify(around(span)).replace('"kind"', `${member}"kind"`);
    expect(await sendText(body)).toEqual(TAKEN);
    const kept = await engine.query<{ key: string; value: string }>(
      `SELECT pair.1 AS key, pair.2 AS value
     FROM (SELECT arrayJoin(mapApply((k, v) -> (k, v), attributes)::Array(Tuple(String, String))) AS pair
           FROM spans FINAL WHERE trace_id = unhex({id:String}))`,
      { id: (await stored(span)).trace_id },
    );
    expect(new Map(kept.map(({ key, value }) => [key, value]))).toEqual(
      new Map(keys.map((key) => [key, `value of ${key}`])),
    );
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("J14 JSON nested a million deep is 400, and quickly", async () => {
    const deep = "[".repeat(1_000_000);
    for (const body of [
      deep,
      `${deep}${"]".repeat(1_000_000)}`,
      `{"x":${'{"x":'.repeat(500_000)}`,
    ]) {
      const begun_ms = performance.now();
      expect((await sendText(body)).status).toBe(400);
      expect(performance.now() - begun_ms).toBeLessThan(5_000);
    }
  });
});
