/** Blocks of gathered rows, held against those of the encoders, which ClickHouse itself proves. */
import { expect, test } from "vitest";
import { Attributes, type Span } from "../../schemas/span.ts";
import { ODD_TEXTS, makeRandomSpan } from "../../test/support/random-span.ts";
import { makeRandom, type Random } from "../../test/support/random.ts";
import { idBytes, makeSpan } from "../../test/support/span.ts";
import { type Batch, SPAN_COLUMNS } from "../../schemas/columns.ts";
import { encodeNeeded } from "../../test/support/blocks.ts";
import { makeSpanBlockWriter } from "./span-block.ts";
import { SpanRows } from "./span-rows.ts";

const BATCH = { ingest_seq: 7, ingested_ms: 1_795_225_706_001 };
const rows = new SpanRows();
const write = makeSpanBlockWriter();
const encoders = { encode: (spans: readonly Span[], batch: Batch) => encodeNeeded(spans, batch) };

function gather(spans: readonly Span[]): Uint8Array {
  rows.clear();
  for (const span of spans) rows.appendSpan(span);
  const block = write(rows, BATCH);
  const bytes = block.bytes.slice();
  block.release();
  return bytes;
}

/** A span with attributes, events and links too. */
function makeRichSpan(random: Random, index: number): Span {
  const text = (): string => random.pick(ODD_TEXTS);
  const attributes = (): Attributes =>
    new Attributes(
      Array.from({ length: random.whole(6) }, (_, key) =>
        random.chance(0.1) ? "again" : `k${key}`,
      ),
      Array.from({ length: 6 }, () =>
        random.pick([text(), 7, -7, 0.1, true, null, 2n ** 60n, [1]]),
      ),
    );
  return {
    ...makeRandomSpan(random, `p${random.whole(2)}`, 1_790_000_000_000_000_000n + BigInt(index)),
    attributes: attributes(),
    resource_attributes: attributes(),
    tags: attributes(),
    ttft_ns: random.chance(0.5) ? null : BigInt(random.whole(2 ** 31)) * 5n,
    status_message: random.chance(0.8) ? "" : text(),
    fee_units: random.chance(0.8) ? [] : [{ kind: "web_search", count: 2 }],
    events: random.chance(0.7)
      ? []
      : [{ time_ns: BigInt(index), name: text(), attributes: attributes() }],
    links: random.chance(0.8)
      ? []
      : [
          {
            trace_id: random.bytes(16),
            span_id: random.bytes(8),
            attributes: attributes(),
          },
        ],
  };
}

test("a block of objects is byte for byte that of the encoders", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = makeRandom(seed);
    const spans = Array.from({ length: 1 + random.whole(60) }, (_, index) =>
      makeRichSpan(random, index),
    );
    const block = Buffer.from(gather(spans));
    expect(block.equals(encoders.encode(spans, BATCH)), `seed ${seed}`).toBe(true);
  }
});

test("dictionaries of more than 256 and of more than 65,536 values are those of the encoders", () => {
  for (const total of [257, 66_000]) {
    const spans = Array.from({ length: total }, (_, index) =>
      makeSpan({ name: `operation ${index}`, service_name: `service ${index % 300}` }),
    );
    expect(Buffer.from(gather(spans)).equals(encoders.encode(spans, BATCH))).toBe(true);
  }
});

test("rows that were taken back leave nothing but their words in dictionaries", () => {
  // Every column has values: what was taken back may keep a column that nobody needs any more.
  const full = {
    tokens: [9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1],
    cost: [9n, 8n, 7n, 6n, 5n, 4n, 3n, 2n, 1n, 1n, 1n],
    events: [{ time_ns: 1n, name: "first", attributes: new Attributes(["key"], ["v"]) }],
  };
  const kept = [makeSpan(full), makeSpan({ ...full, user_id: "u-2" })];
  const taken = makeSpan({
    tokens: full.cost.map(() => 77),
    cost: full.cost.map(() => 77n),
    attributes: new Attributes(["a"], ["b"]),
    events: [{ time_ns: 1n, name: "e", attributes: new Attributes(["k"], ["v"]) }],
    links: [
      { trace_id: new Uint8Array(16), span_id: new Uint8Array(8), attributes: new Attributes() },
    ],
  });
  rows.clear();
  rows.appendSpan(kept[0] as Span);
  const mark = rows.mark();
  rows.appendSpan(taken);
  rows.takeBack(mark);
  rows.appendSpan(kept[1] as Span);
  const size = write(rows, BATCH).bytes.length;
  const plain = encoders.encode(kept, BATCH).length;
  expect(rows.count).toBe(2);
  // The words "a", "e" and "k" of the row taken back stand in dictionaries, nothing else of it.
  expect(size - plain).toBeLessThan(16);
});

test("ids keep all their bytes", () => {
  const span = makeSpan({
    span_id: idBytes("ff00000000000080"),
    parent_span_id: idBytes("80000000000000ff"),
  });
  expect(Buffer.from(gather([span])).equals(encoders.encode([span], BATCH))).toBe(true);
});

test("a column that no row needs is left out", () => {
  const names = (block: Uint8Array): string[] => {
    const text = Buffer.from(block).toString("latin1");
    return SPAN_COLUMNS.map(({ name, type }) => `${name}${String.fromCharCode(type.length)}${type}`)
      .filter((header) => text.includes(header))
      .map((header) => header.split(/[^a-z0-9_]/)[0] as string);
  };
  const bare = names(gather([makeSpan({ user_id: "", tokens: [], cost: [], ttft_ns: null })]));
  expect(bare).not.toContain("user_id");
  expect(bare).not.toContain("tokens_cache_read");
  expect(bare).not.toContain("event_times");
  const full = names(gather([makeSpan({ user_id: "u", tokens: [null, 5] })]));
  expect(full).toContain("user_id");
  expect(full).toContain("tokens_cache_read");
});
