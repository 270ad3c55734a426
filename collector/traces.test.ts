/**
 * The pass in place, held against the stages one after the other: whatever a body holds, both have to
 * make the same block, byte for byte, and say the same of it. The stages themselves are proved by the
 * corpus; this proves that the quick way is not another one.
 */
import { expect, test } from "vitest";
import { PermanentError } from "../schemas/errors.ts";
import { encodeNeeded } from "../test/support/blocks.ts";
import { encodeProtobuf, type OtlpJson, parseBody } from "../test/support/corpus-bodies.ts";
import { readCorpus } from "../test/support/corpus.ts";
import { encodeTraceRequest } from "../test/support/otlp-proto.ts";
import { makeRandom, type Random } from "../test/support/random.ts";
import { makeSpanBlockWriter } from "./columns/span-block.ts";
import { SpanRows } from "./columns/span-rows.ts";
import { loadPriceBook, READERS } from "./pipeline.ts";
import { TraceBody, TracePass } from "./traces.ts";
import { senderOf } from "../test/support/sender.ts";

const book = loadPriceBook();
const BATCH = { ingest_seq: 7, ingested_ms: 1_795_225_706_001 };
const LIMITS = { oldest_ns: 0n, latest_ns: (1n << 64n) - 1n, max_resource_size: 1 << 29 };
/** What is said of text that nobody reads: the quick way does not look at it. */
const INVALID_TEXT = "invalid UTF-8 was replaced by U+FFFD";

const corpus = readCorpus().flatMap(({ id, bodies }) =>
  bodies
    .filter(({ signal }) => signal === "traces")
    .map(({ name, bytes }) => ({ name: `${id}/${name}`, json: parseBody("traces", bytes) })),
);

interface Outcome {
  /** "refused" where the body is. */
  readonly block: Buffer | "empty" | "refused";
  readonly rejected: number;
  readonly notes: readonly string[];
  readonly calls: number;
}

function readAsObjects(body: Uint8Array, capture_content: boolean): Outcome {
  try {
    const options = { project_id: "p", key_id: "k1", capture_content };
    const { spans, rejected_items, notes } = READERS.traces(body, "protobuf", book, options);
    return {
      block: spans.length === 0 ? "empty" : Buffer.from(encodeNeeded(spans, BATCH)),
      rejected: rejected_items,
      notes: notes.filter((note) => note !== INVALID_TEXT),
      calls: spans.filter((span) => span.span_class === "billable").length,
    };
  } catch (error) {
    if (!(error instanceof PermanentError)) throw error;
    return { block: "refused", rejected: 0, notes: [], calls: 0 };
  }
}

const write = makeSpanBlockWriter();

/** Reads bodies in place; "odd" where one has to go as objects. */
function makePass(capture_content: boolean): {
  read: (body: Uint8Array) => Outcome | "odd";
  /** Spans read as objects so far. */
  learned: () => number;
} {
  const pass = new TracePass({ book, capture_content, seed: 99 });
  let learned = 0;
  const makeSpan = pass.makeSpan.bind(pass);
  pass.makeSpan = (...given) => {
    learned += 1;
    return makeSpan(...given);
  };
  return {
    learned: () => learned,
    read(body) {
      const rows = new SpanRows();
      const sender = { ...senderOf("p"), key_id: "k1" };
      const way = new TraceBody(pass, body, sender, { rows, addTime: () => {} }, LIMITS);
      let end;
      do end = way.step(3, 1 << 30);
      while (end === "more");
      if (end === "odd") return "odd";
      const { rejected_count, rejections, warnings } = way.scanner.notes;
      return {
        block: Buffer.from(write(rows, BATCH).bytes),
        rejected: rejected_count,
        notes: [...rejections, ...warnings].filter((note) => note !== INVALID_TEXT),
        calls: way.counts.calls,
      };
    },
  };
}

function expectSame(read: Outcome | "odd", body: Uint8Array, capture: boolean, what: string): void {
  if (read === "odd") return;
  const expected = readAsObjects(body, capture);
  if (read.block instanceof Buffer && expected.block instanceof Buffer) {
    expect(read.block.equals(expected.block), what).toBe(true);
  } else {
    expect(String(read.block).slice(0, 9), what).toBe(String(expected.block).slice(0, 9));
  }
  expect({ ...read, block: null }, what).toEqual({ ...expected, block: null });
}

test.each([false, true])(
  "each capture gives the same block in place, new and known (content kept: %s)",
  (capture) => {
    const pass = makePass(capture);
    for (const { name, json } of corpus) {
      const body = encodeProtobuf("traces", json);
      for (const round of ["new", "known"]) {
        expectSame(pass.read(body), body, capture, `${name}, ${round}`);
      }
    }
  },
);

/** Replaces a value of an attribute by one of another kind or content. */
function makeValue(random: Random): unknown {
  const text = random.pick([
    "",
    " ",
    "stop",
    "gpt-4o-mini",
    "claude-sonnet-4-5",
    "chat",
    "agent",
    "https://user:secret@example.com/a?b=c#d",
    "see https://example.com/x?y now",
    "/srv/app?x#y",
    '{"a":1}',
    "[1,2]",
    "data:text/plain,x",
    "dataset",
    "<p>",
    "modèle",
    "\uFEFFbom",
    "x".repeat(255),
    "x".repeat(256),
    "é".repeat(200),
    "x".repeat(300),
    "[Scrubbed due to 'session']",
    "req_0123456789",
    "aitxt-0123456789abcdef01",
    "alice",
    "429 Too Many Requests",
    "true",
    "12",
  ]);
  return random.pick<unknown>([
    { stringValue: text },
    { stringValue: text },
    { intValue: String(random.pick([0, 1, 7, 429, 1_500, 2_000_000_000, 2 ** 53 - 1])) },
    { intValue: random.pick(["-1", "9223372036854775807", "9007199254740993"]) },
    { doubleValue: random.pick([0, -0, 0.5, 1e-7, 1e21, 123_456.789, 90_000, -1]) },
    { boolValue: random.chance(0.5) },
    { arrayValue: { values: [{ stringValue: text }, { stringValue: "length" }] } },
    { arrayValue: { values: [{ intValue: "3" }, { doubleValue: 0.25 }] } },
    { arrayValue: {} },
    { kvlistValue: { values: [{ key: "k", value: { stringValue: text } }] } },
    { bytesValue: "AAEC" },
    {},
  ]);
}

const OTHER_KEYS = [
  "spanledger.tag.team",
  "user.id",
  "session.id",
  "gen_ai.response.id",
  "gen_ai.usage.input_tokens",
  "gen_ai.usage.output_tokens",
  "gen_ai.usage.cache_read.input_tokens",
  "gen_ai.response.time_to_first_chunk",
  "gen_ai.response.finish_reasons",
  "gen_ai.operation.name",
  "gen_ai.request.model",
  "error.type",
  "http.response.status_code",
  "url.full",
  "gen_ai.usage.cost",
  "app.anything",
  "gen_ai.prompt.0.content",
  "__proto__",
];

type Attribute = { key: string; value: unknown };
type JsonSpan = Record<string, unknown> & { attributes?: Attribute[]; events?: JsonSpan[] };

function changeSpan(span: JsonSpan, random: Random): void {
  const attributes = (span.attributes ??= []);
  const roll = random.next();
  if (roll < 0.45 && attributes.length > 0) {
    random.pick(attributes).value = makeValue(random);
  } else if (roll < 0.65) {
    attributes.push({ key: random.pick(OTHER_KEYS), value: makeValue(random) });
  } else if (roll < 0.72 && attributes.length > 0) {
    attributes.splice(random.whole(attributes.length), 1);
  } else if (roll < 0.8) {
    const message = random.pick(["", "429 slow down", "Error code: 500 - x", "modèle"]);
    span["status"] = { code: random.whole(4), message };
  } else if (roll < 0.9) {
    const name = random.pick(["exception", "exception", "gen_ai.choice", "retry", "x".repeat(300)]);
    const key = random.pick(["exception.type", "exception.message", "finish_reason", "n"]);
    const event = { timeUnixNano: "7", name, attributes: [{ key, value: makeValue(random) }] };
    (span.events ??= []).push(event);
  } else if (roll < 0.94) {
    span["kind"] = random.whole(6);
  } else if (roll < 0.97) {
    span["name"] = random.pick(["", "chat", "modèle", "x".repeat(400)]);
  } else {
    const start = BigInt(1_700_000_000 + random.whole(10 ** 8)) * 1_000_000_000n;
    span["startTimeUnixNano"] = String(start);
    span["endTimeUnixNano"] = String(start + BigInt(random.pick([-5, 0, 5, 4e15])));
  }
}

function spansOf(json: OtlpJson): JsonSpan[] {
  const list = (value: unknown, name: string): Record<string, unknown>[] =>
    ((value as Record<string, unknown>)[name] ?? []) as Record<string, unknown>[];
  return list(json, "resourceSpans").flatMap((resource) =>
    list(resource, "scopeSpans").flatMap((scope) => list(scope, "spans") as JsonSpan[]),
  );
}

test.each([1, 2, 3, 4, 8])(
  "captures changed at random give the same block in place (seed %s)",
  (seed) => {
    const random = makeRandom(seed);
    const capture = seed % 4 === 0;
    const pass = makePass(capture);
    let in_place = 0;
    let all = 0;
    for (let run = 0; run < 400; run += 1) {
      const { name, json } = random.pick(corpus);
      const changed = structuredClone(json);
      const spans = spansOf(changed);
      if (spans.length === 0) continue;
      // What differs little from the last body is what a form could be wrong about.
      for (let variant = 0; variant < 3; variant += 1) {
        if (variant > 0) changeSpan(random.pick(spans), random);
        const body = encodeProtobuf("traces", changed);
        const before = pass.learned();
        expectSame(pass.read(body), body, capture, `seed ${seed}, run ${run}.${variant}, ${name}`);
        all += spans.length;
        in_place += spans.length - (pass.learned() - before);
      }
    }
    // The test is about the quick way, so most spans have to go it.
    expect(in_place / all).toBeGreaterThan(0.25);
  },
);

test.each([1, 2])("bodies with broken bytes are refused or read alike (seed %s)", (seed) => {
  const random = makeRandom(seed);
  const pass = makePass(false);
  const bodies = corpus.map(({ json }) => encodeProtobuf("traces", json));
  for (const body of bodies) pass.read(body);
  for (let run = 0; run < 1_500; run += 1) {
    const body = Buffer.from(random.pick(bodies));
    const changes = 1 + random.whole(3);
    for (let change = 0; change < changes; change += 1) {
      body[random.whole(body.length)] = random.whole(256);
    }
    const cut = random.chance(0.2) ? body.subarray(0, random.whole(body.length)) : body;
    expectSame(pass.read(cut), cut, false, `seed ${seed}, run ${run}`);
  }
});

test("a value outside its place in a stable stream of spans changes only its own row", () => {
  const pass = makePass(false);
  const span = (index: number, tokens: number) => ({
    traceId: Buffer.alloc(16, 1),
    spanId: Buffer.from(String(index).padStart(8, "0")),
    name: "chat gpt-4o-mini",
    kind: 3,
    startTimeUnixNano: 1_795_225_706_123_456_789n,
    endTimeUnixNano: 1_795_225_707_123_456_789n,
    attributes: [
      { key: "gen_ai.operation.name", value: { stringValue: "chat" } },
      { key: "gen_ai.provider.name", value: { stringValue: "openai" } },
      { key: "gen_ai.request.model", value: { stringValue: "gpt-4o-mini" } },
      { key: "gen_ai.usage.input_tokens", value: { intValue: tokens } },
      { key: "gen_ai.usage.output_tokens", value: { intValue: index } },
    ],
  });
  const spans = Array.from({ length: 300 }, (_, index) =>
    span(index, index === 150 ? 2_000_000_000 : index * 1_000),
  );
  const body = encodeTraceRequest({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
  expectSame(pass.read(body), body, false, "stream");
  // The first span, the one that is beyond belief, and no other.
  expect(pass.learned()).toBe(2);
});
