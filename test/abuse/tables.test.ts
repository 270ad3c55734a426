/**
 * Input made to fill, grow or slow down what the hot path remembers of all senders: keys, shapes, forms,
 * names, scopes and resources. The tables belong to everybody, so whoever attacks them must neither
 * change anybody's rows nor take memory or time from them.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { ByteTable } from "../../schemas/byte-table.ts";
import { expectQuick, expectSame, makePass, startWay } from "../fuzz/ways.ts";
import { encodeTraceRequest, type OtlpKeyValue, type OtlpSpan } from "../support/otlp-proto.ts";

const START = 1_795_225_706_123_456_789n;
/** Room in a table of the hot path, entries: more than the largest has. */
const MANY = 40_000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function usedBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const text = (key: string, value: string): OtlpKeyValue => ({ key, value: { stringValue: value } });

function spanOf(index: number, changes: Partial<OtlpSpan> = {}): OtlpSpan {
  return {
    traceId: Buffer.alloc(16, 1),
    spanId: Buffer.from(String(index).padStart(8, "0")),
    name: "chat",
    startTimeUnixNano: START,
    endTimeUnixNano: START + 5n,
    ...changes,
  };
}

const bodyOf = (
  spans: OtlpSpan[],
  resource: OtlpKeyValue[] = [],
  scope: { name?: string; version?: string } = {},
): Uint8Array =>
  encodeTraceRequest({
    resourceSpans: [{ resource: { attributes: resource }, scopeSpans: [{ scope, spans }] }],
  });

const list = <Item>(count: number, make: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_unused, index) => make(index));

/** A call whose row every table has a part in. */
const victim = bodyOf(
  list(3, (index) =>
    spanOf(index, {
      attributes: [
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o-mini"),
        { key: "gen_ai.usage.input_tokens", value: { intValue: 1000 } },
        { key: "gen_ai.usage.output_tokens", value: { intValue: 100 } },
      ],
    }),
  ),
  [text("service.name", "victim")],
  { name: "victim", version: "1" },
);

interface Flood {
  readonly what: string;
  readonly bodies: number;
  readonly make: (body: number) => Uint8Array;
}

const SPANS = 1_000;
const each = (make: (number: number) => Partial<OtlpSpan>) => (body: number) =>
  bodyOf(list(SPANS, (index) => spanOf(index, make(body * SPANS + index))));

/** A resource that is made anew each time, as it is more than is compared. */
const large = bodyOf(
  [spanOf(1), spanOf(2)],
  list(500, (key) => text(`k${key}`, "v".repeat(200))),
);

/** Each fills a table at least once over. */
const FLOODS: readonly Flood[] = [
  { what: "names", bodies: MANY / SPANS, make: each((number) => ({ name: `name ${number}` })) },
  {
    what: "attribute keys",
    bodies: 10,
    make: each((number) => ({ attributes: [text(`key ${number}`, "v")] })),
  },
  {
    what: "models",
    bodies: MANY / SPANS,
    make: each((number) => ({
      attributes: [
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", `m${number}`),
      ],
    })),
  },
  {
    what: "shapes, each the beginning of the next",
    bodies: 60,
    make: (body) =>
      bodyOf(
        list(250, (index) =>
          spanOf(index, {
            attributes: list(index + 1, (key) => text(key === 0 ? `c${body}` : `k${key}`, "v")),
          }),
        ),
      ),
  },
  {
    what: "resources too large to be known",
    bodies: 1_500,
    make: () => large,
  },
  {
    what: "resources",
    bodies: 600,
    make: (body) =>
      encodeTraceRequest({
        resourceSpans: list(10, (index) => ({
          resource: {
            attributes: [text("service.name", `s${body * 10 + index}`.padEnd(2_000, "x"))],
          },
          scopeSpans: [{ spans: [spanOf(1), spanOf(2)] }],
        })),
      }),
  },
  {
    what: "scopes with long names",
    bodies: 300,
    make: (body) => bodyOf([spanOf(1), spanOf(2)], [], { name: `${body}`.padEnd(400_000, "x") }),
  },
  {
    what: "scopes",
    bodies: 10,
    make: (body) =>
      encodeTraceRequest({
        resourceSpans: list(SPANS, (index) => ({
          scopeSpans: [{ scope: { name: `scope ${body * SPANS + index}` }, spans: [spanOf(1)] }],
        })),
      }),
  },
];

/** What all tables may hold at once, bytes: theirs are 16 MiB and less each. */
const MAX_KEPT_BYTES = 100 * 1024 ** 2;

describe("P21 C16 ever new values", () => {
  test.each(FLOODS)(
    "$what: nobody's rows change and memory is bounded",
    ({ what, bodies, make }) => {
      const pass = makePass(false);
      const before = usedBytes();
      const readVictim = (when: string) => {
        for (let turn = 0; turn < 2; turn += 1) {
          const way = startWay(pass, victim, "victim");
          way.step(Infinity);
          expect(expectSame(way, false, `${what}, ${when}`)).toBe(true);
        }
      };
      readVictim("before");
      for (let body = 0; body < bodies; body += 1) {
        const bytes = make(body);
        const way = startWay(pass, bytes, "attacker");
        while (way.step(2_048));
        if (body % 50 === 0) {
          expectSame(way, false, `${what}, body ${body}`);
          readVictim(`after body ${body}`);
        }
      }
      readVictim("after");
      expect(usedBytes() - before).toBeLessThan(MAX_KEPT_BYTES);
    },
  );
});

test("A09 a table of resources that was full gives no project the number of another", () => {
  const pass = makePass(false);
  const read = (service: string, project_id: string) => {
    const way = startWay(pass, bodyOf([spanOf(1)], [text("service.name", service)]), project_id);
    way.step(Infinity);
    return way;
  };
  read("first", "project-0");
  // Whichever body it is that empties the table, the next two projects take the first numbers.
  for (let index = 0; index < 3_700; index += 1) {
    read(`service ${index}`, "project-1");
    if (index < 3_540 || index > 3_600) continue;
    read(`service ${index}`, "project-0");
    expect(expectSame(read(`service ${index}`, "project-2"), false, `${index}`)).toBe(true);
  }
});

test("A09 a scope whose name holds what stands between name and version is another scope", () => {
  const pass = makePass(false);
  const attributes = [
    text("gen_ai.operation.name", "chat"),
    text("gen_ai.request.model", "gpt-4o"),
  ];
  const scopes = [
    { name: "pydantic-ai", version: "1\u0000x" },
    { name: "pydantic-ai\u00001", version: "x" },
    { name: "pydantic-ai\u00001\u0000x", version: "" },
    { name: "", version: "pydantic-ai\u00001\u0000x" },
  ];
  for (const scope of [...scopes, ...scopes.toReversed()]) {
    const way = startWay(
      pass,
      bodyOf([spanOf(1, { attributes }), spanOf(2, { attributes })], [], scope),
      "p",
    );
    way.step(Infinity);
    expect(expectSame(way, false, JSON.stringify(scope))).toBe(true);
  }
});

/**
 * Eight bytes in two forms that collide in a multiplicative hash whatever its seed is: the highest bit
 * of the first word stays the highest through a product with an odd number.
 */
function twinBytes(is_second: boolean): Buffer {
  const bytes = Buffer.alloc(8, 0x41);
  if (is_second) bytes.set([0xc1], 3);
  if (is_second) bytes.set([0x40, 0xc1], 6);
  return bytes;
}

const colliding = (number: number, bits: number): Buffer =>
  Buffer.concat(list(bits, (bit) => twinBytes(((number >> bit) & 1) === 1)));

test("P19 byte strings that collide whatever the seed cost no more than others", () => {
  const BITS = 14;
  const strings = list(2 ** BITS, (number) => colliding(number, BITS));
  for (const seed of [1, 99, -5]) {
    const table = new ByteTable(32_768, 16 * 1024 ** 2, seed);
    expectQuick(strings.length * BITS * 8, `seed ${seed}`, () => {
      for (const bytes of strings) {
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        table.intern(view, 0, bytes.length);
        table.find(view, 0, bytes.length);
      }
    });
  }
});

test("P19 resources that collide whatever the seed are read as quickly as others, and rightly", () => {
  const pass = makePass(false);
  const BITS = 12;
  const bodies = list(8, (part) =>
    encodeTraceRequest({
      resourceSpans: list(500, (index) => ({
        resource: {
          attributes: [
            { key: "aligns", value: { bytesValue: colliding(part * 500 + index, BITS) } },
          ],
        },
        scopeSpans: [{ spans: [spanOf(index), spanOf(index + 1)] }],
      })),
    }),
  );
  for (const body of bodies) {
    const way = startWay(pass, body, "p");
    way.step(Infinity);
    expect(expectSame(way, false, "collisions")).toBe(true);
    expectQuick(body.length, "collisions", () => void startWay(pass, body, "p").step(Infinity));
  }
});

test("P19 a hundred thousand keys that look like numbers take no longer than others", () => {
  const timeOf = (prefix: string): number => {
    const pass = makePass(false);
    const bodies = list(20, (body) =>
      bodyOf(
        list(20, (span) =>
          spanOf(span, {
            attributes: list(250, (key) =>
              text(`${prefix}${body * 5_000 + span * 250 + key}`, "v"),
            ),
          }),
        ),
      ),
    );
    const before = process.threadCpuUsage();
    for (const body of bodies) while (startWay(pass, body, "p").step(Infinity));
    return process.threadCpuUsage(before).user;
  };
  timeOf("warm ");
  expect(timeOf("")).toBeLessThan(4 * timeOf("x") + 100_000);
});

test("P08 256 attributes and 16 events and more come out as the objects do", () => {
  const pass = makePass(false);
  for (const attributes of [1, 254, 255, 256, 257, 512, 513]) {
    for (const events of [0, 1, 15, 16, 17]) {
      const span = (index: number) =>
        spanOf(index, {
          attributes: list(attributes, (key) => text(`k${key}`, `v${key}`)),
          events: list(events, (event) => ({
            timeUnixNano: START,
            name: `e${event}`,
            attributes: [text("n", "v")],
          })),
        });
      const way = startWay(pass, bodyOf([span(1), span(2), span(3)]), "p");
      way.step(Infinity);
      expect(expectSame(way, false, `${attributes} attributes, ${events} events`)).toBe(true);
    }
  }
});

test("P08 events that take the whole key of a form, to the last byte, refuse nothing", () => {
  const pass = makePass(false);
  for (let last = 180; last <= 256; last += 1) {
    const events = list(16, (event) => ({
      timeUnixNano: START,
      name: "exception",
      attributes: [
        text("exception.type", "x".repeat(event < 14 ? 256 : last)),
        text("exception.message", "429 x"),
      ],
    }));
    const way = startWay(
      pass,
      bodyOf([spanOf(1, { events }), spanOf(2, { events: events.slice(0, 15) })]),
      "p",
    );
    way.step(Infinity);
    expect(expectSame(way, false, `${last}`)).toBe(true);
  }
});
