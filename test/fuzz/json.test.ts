/**
 * P28 for exports in JSON: changed captures, written in all the ways that JSON allows and some that it
 * does not, give what the same export gives in protobuf or are refused with a code; nothing else is
 * thrown, and nothing is slow. Run longer as `traces.test.ts` says.
 */
import { expect, test } from "vitest";
import { decodeLogsJson } from "../../collector/decode/json-logs.ts";
import { decodeMetricsJson } from "../../collector/decode/json-metrics.ts";
import { makeJsonTranscoder } from "../../collector/decode/json-wire.ts";
import { decodeTracesJson } from "../../collector/decode/json.ts";
import { decodeTraces } from "../../collector/decode/traces.ts";
import { READERS } from "../../collector/pipeline.ts";
import { parseBody } from "../support/corpus-bodies.ts";
import { readCorpus } from "../support/corpus.ts";
import { makeRandom, type Random } from "../support/random.ts";
import { JSON_REGRESSIONS } from "./regressions.ts";
import { book, expectQuick, refusedOr, repeatSeeds, surround } from "./ways.ts";

const SIGNALS = ["traces", "logs", "metrics"] as const;
const MAX_SEED_BYTES = 24_000;

const seeds = Object.fromEntries(
  SIGNALS.map((signal) => [
    signal,
    readCorpus()
      .flatMap(({ bodies }) => bodies.filter((body) => body.signal === signal))
      .map(({ bytes }) => parseBody(signal, bytes))
      .filter((json) => JSON.stringify(json).length < MAX_SEED_BYTES),
  ]),
) as Record<(typeof SIGNALS)[number], unknown[]>;

const VALUES: readonly unknown[] = [
  null,
  true,
  "",
  " ",
  0,
  -0,
  -1,
  1.5,
  1e21,
  2 ** 53,
  "18446744073709551616",
  "9223372036854775807",
  "-1",
  "1e3",
  "NaN",
  "Infinity",
  "not hex",
  "00000000000000000000000000000000",
  "AQEBAQEBAQEBAQEBAQEBAQ==",
  "SPAN_KIND_CLIENT",
  "\u0000",
  "\uD800",
  "modèle 模型",
  "x".repeat(257),
  [],
  {},
  [[]],
  { values: [] },
  { stringValue: "a", intValue: "1" },
  { arrayValue: { values: [{}, { arrayValue: {} }] } },
];

const NAMES: readonly string[] = [
  "traceId",
  "spanId",
  "attributes",
  "resource",
  "scopeSpans",
  "scope_spans",
  "startTimeUnixNano",
  "key",
  "value",
  "intValue",
  "string_value",
  "__proto__",
  "constructor",
  "toString",
  "unknown",
];

type Members = [name: string, value: unknown][];
/** An object whose members may come twice. */
class Written {
  readonly members: Members;
  constructor(members: Members) {
    this.members = members;
  }
}

function open(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(open);
  if (typeof value !== "object" || value === null) return value;
  return new Written(Object.entries(value).map(([name, item]) => [name, open(item)]));
}

function listContainers(value: unknown): (unknown[] | Written)[] {
  if (Array.isArray(value)) return [value, ...value.flatMap(listContainers)];
  if (value instanceof Written) {
    return [value, ...value.members.flatMap(([, item]) => listContainers(item))];
  }
  return [];
}

function change(root: unknown, random: Random): void {
  const containers = listContainers(root);
  if (containers.length === 0) return;
  const container = random.pick(containers);
  const list: unknown[] = container instanceof Written ? container.members : container;
  const place = random.whole(list.length + 1);
  const value = open(structuredClone(random.pick(VALUES)));
  const item = container instanceof Written ? [random.pick(NAMES), value] : value;
  const roll = random.next();
  if (roll < 0.15) list.splice(place, 1);
  else if (roll < 0.3) list.splice(place, 0, item);
  else if (roll < 0.4 && list.length > 0)
    list.splice(place, 0, structuredCloneOf(random.pick(list)));
  else if (roll < 0.5) list.reverse();
  else if (container instanceof Written && container.members.length > 0) {
    random.pick(container.members)[1] = value;
  } else if (list.length > 0) list[random.whole(list.length)] = value;
}

function structuredCloneOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(structuredCloneOf);
  return value instanceof Written
    ? new Written(value.members.map(([name, item]) => [name, structuredCloneOf(item)]))
    : value;
}

const SPACES = ["", "", "", "", " ", "\n\t", "\r\n"];
const BROKEN = [",", "\u00a0", "//", "'", "\u0000", "]", "}", "[", "{", '"', "\\", "-", "e", "nul"];

function writeString(text: string, random: Random): string {
  const written = JSON.stringify(text);
  if (random.chance(0.99)) return written;
  return `"${escapeUnits(text)}"`;
}

function escapeUnits(text: string): string {
  return Array.from(
    { length: text.length },
    (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, "0")}`,
  ).join("");
}

function writeNumber(value: number, random: Random): string {
  const plain = Object.is(value, -0) ? "-0" : String(value);
  return random.chance(0.995)
    ? plain
    : random.pick([`${plain}.0`, `${plain}e0`, `0${plain}`, `+${plain}`]);
}

function write(value: unknown, random: Random): string {
  const space = () => random.pick(SPACES);
  if (Array.isArray(value)) {
    return `[${space()}${value.map((item) => write(item, random)).join(`${space()},${space()}`)}]`;
  }
  if (value instanceof Written) {
    const members = value.members.map(
      ([name, item]) => `${writeString(name, random)}${space()}:${space()}${write(item, random)}`,
    );
    return `{${space()}${members.join(`,${space()}`)}${space()}}`;
  }
  if (typeof value === "string") return writeString(value, random);
  return typeof value === "number" ? writeNumber(value, random) : JSON.stringify(value);
}

function makeBody(signal: (typeof SIGNALS)[number], random: Random): Uint8Array {
  const root = open(random.pick(seeds[signal]));
  for (let more = random.pick([0, 1, 1, 3]); more > 0; more -= 1) change(root, random);
  let text = write(root, random);
  if (random.chance(0.15)) {
    const place = random.whole(text.length);
    text = text.slice(0, place) + random.pick(BROKEN) + text.slice(place + random.whole(2));
  }
  const bytes = Buffer.from(text);
  if (random.chance(0.1)) bytes[random.whole(bytes.length)] = random.whole(256);
  return surround(random.chance(0.05) ? bytes.subarray(0, random.whole(bytes.length)) : bytes);
}

/** Whether JSON.parse, which is the truth, takes the bytes as text. */
function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder().decode(body));
    return true;
  } catch {
    return false;
  }
}

const DECODERS = { traces: decodeTracesJson, logs: decodeLogsJson, metrics: decodeMetricsJson };

test.each(SIGNALS)(
  "P28 changed JSON of %s is taken or refused, and only JSON is taken",
  (signal) => {
    let taken = 0;
    const runs = repeatSeeds(1_000, (seed) => {
      const body = makeBody(signal, makeRandom(seed));
      const decoded = refusedOr(() => DECODERS[signal](body));
      if (typeof decoded === "string") return;
      taken += 1;
      expect(isJson(body), `seed ${seed}`).toBe(true);
    });
    expect(taken).toBeGreaterThan(runs / 4);
  },
);

/** What the quick way of JSON has to agree with. */
function expectTranscoded(body: Uint8Array, what: string): boolean {
  const wire = makeJsonTranscoder().transcode(body);
  if (wire === null) return false;
  expect(
    refusedOr(() => decodeTraces(wire)),
    what,
  ).toStrictEqual(refusedOr(() => decodeTracesJson(body)));
  return true;
}

test("P28 JSON that is turned into protobuf gives what the tolerant decoder gives", () => {
  let quick = 0;
  const runs = repeatSeeds(1_500, (seed) => {
    const body = makeBody("traces", makeRandom(seed));
    if (expectTranscoded(body, `seed ${seed}`)) quick += 1;
  });
  expect(quick).toBeGreaterThan(runs / 20);
});

test.each(SIGNALS)("P28 no JSON of %s takes more than 10 ms for each 64 KiB, as rows", (signal) => {
  const options = { project_id: "p", capture_content: false };
  const read = (body: Uint8Array) => refusedOr(() => READERS[signal](body, "json", book, options));
  for (const json of seeds[signal]) read(Buffer.from(JSON.stringify(json)));
  repeatSeeds(300, (seed) => {
    const body = makeBody(signal, makeRandom(seed));
    expectQuick(body.length, `seed ${seed}`, () => void read(body));
  });
});

test.each(JSON_REGRESSIONS)("$what", ({ text }) => {
  const body = surround(Buffer.from(text));
  refusedOr(() => decodeTracesJson(body));
  expectTranscoded(body, text);
});
