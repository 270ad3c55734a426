/**
 * The bytes of a block, held against what ClickHouse reads from them: the engine is the oracle,
 * never our own reader.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { Attributes, type Span } from "../../schemas/span.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { byClass, idBytes, makeSpan } from "../../test/support/span.ts";
import { makeBlockWriter } from "./block.ts";

let test_engine: TestEngine;
const writer = makeBlockWriter();

beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
beforeEach(() => test_engine.engine.command("TRUNCATE TABLE spans"));

async function insert(spans: readonly Span[], ingest_seq = 7): Promise<void> {
  const block = writer.encode(spans, { ingest_seq, ingested_ms: 1_795_225_706_001 });
  await test_engine.engine.insertNative("spans", SPAN_COLUMNS, [block]);
}

test("the columns of a block are the columns of the table, in name and type", async () => {
  const rows = await test_engine.engine.query<{ name: string; type: string }>(
    "DESCRIBE TABLE spans",
  );
  expect(rows.map(({ name, type }) => ({ name, type }))).toEqual(
    SPAN_COLUMNS.map(({ name, type }) => ({ name, type })),
  );
});

test("every column of a full span reads back as ClickHouse's own text of it", async () => {
  await insert([
    makeSpan({
      parent_span_id: idBytes("b1b2b3b4b5b6b7b8"),
      status: "error",
      status_message: "bad – ünïcode ✓",
      streaming: true,
      error_type: "rate_limit_error",
      http_status: 429,
      ttft_ns: 123_456_789n,
      tokens: byClass({ input_uncached: 0, cache_read: 4_294_967, output_text: 20 }),
      cost: byClass({ input_uncached: 0n, cache_read: 123_456_789_012_345n, output_text: 1n }),
      client_cost: 2_925_000_000n,
      tags: new Attributes(["team", "team"], ["old", "search"]),
      attributes: new Attributes(
        ["__proto__", "n", "big", "f", "yes", "list", "nested", "none", "bytes"],
        [
          "data",
          42,
          9_007_199_254_740_993n,
          0.5,
          true,
          ["a", 1],
          new Attributes(["k"], ["v"]),
          null,
          new Uint8Array([1, 2, 255]),
        ],
      ),
      events: [
        { time_ns: 1n, name: "first", attributes: new Attributes(["a"], ["1"]) },
        { time_ns: 2n, name: "second", attributes: new Attributes() },
      ],
      links: [
        {
          trace_id: idBytes("ffffffffffffffffffffffffffffffff"),
          span_id: idBytes("eeeeeeeeeeeeeeee"),
          attributes: new Attributes(["why"], ["batch"]),
        },
      ],
    }),
  ]);
  const [row] = await test_engine.engine.query<Record<string, unknown>>(
    `SELECT * REPLACE (hex(trace_id) AS trace_id, hex(span_id) AS span_id,
       hex(parent_span_id) AS parent_span_id, arrayMap(x -> hex(x), link_trace_ids) AS link_trace_ids,
       arrayMap(x -> hex(x), link_span_ids) AS link_span_ids) FROM spans`,
  );
  expect(row).toMatchObject({
    project_id: "default",
    ts: "2026-11-21 01:48:25.123456789",
    trace_id: "0102030405060708090A0B0C0D0E0F10",
    span_id: "A1A2A3A4A5A6A7A8",
    parent_span_id: "B1B2B3B4B5B6B7B8",
    status: "error",
    status_message: "bad – ünïcode ✓",
    streaming: "yes",
    http_status: 429,
    ttft_known: 1,
    ttft_ns: "123456789",
    duration_ns: "1500000000",
    usage_mask: 0b100011,
    priced_mask: 0b100011,
    tokens_cache_read: 4_294_967,
    cost_cache_read: "123.456789012345",
    cost_output_text: "0.000000000001",
    client_cost_known: 1,
    client_cost_usd: "0.002925",
    tags: { team: "search" },
    attributes: {
      n: "42",
      big: "9007199254740993",
      f: "0.5",
      yes: "true",
      list: '["a",1]',
      nested: '{"k":"v"}',
      none: "",
      bytes: "AQL/",
    },
    event_times: ["1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00.000000002"],
    event_names: ["first", "second"],
    event_attributes: [{ a: "1" }, {}],
    link_trace_ids: ["FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"],
    link_span_ids: ["EEEEEEEEEEEEEEEE"],
    link_attributes: [{ why: "batch" }],
    ingest_seq: "7",
    ingested_at: "2026-11-21 01:48:26.001",
  });
  const [proto] = await test_engine.engine.query(
    "SELECT attributes['__proto__'] AS value FROM spans",
  );
  expect(proto).toEqual({ value: "data" });
});

test("dictionaries of more than 256 and more than 65,536 values keep every value", async () => {
  const total = 70_000;
  const spans = Array.from({ length: total }, (_, index) =>
    makeSpan({
      name: `operation ${index}`,
      service_name: `service ${index % 300}`,
      span_id: idBytes((index + 1).toString(16).padStart(16, "0")),
    }),
  );
  await insert(spans);
  const [row] = await test_engine.engine.query(
    `SELECT count() AS rows, uniqExact(name) AS names, uniqExact(service_name) AS services,
       sum(toUInt64(splitByChar(' ', toString(name))[2])) AS name_sum FROM spans`,
  );
  expect(row).toEqual({
    rows: String(total),
    names: String(total),
    services: "300",
    name_sum: String((total * (total - 1)) / 2),
  });
});

test("any text comes back as it was, in every text column", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: "binary", maxLength: 300 }), { minLength: 1, maxLength: 20 }),
      async (texts) => {
        await test_engine.engine.command("TRUNCATE TABLE spans");
        await insert(
          texts.map((text, index) =>
            makeSpan({
              name: text,
              user_id: text,
              attributes: new Attributes(["key"], [text]),
              span_id: idBytes((index + 1).toString(16).padStart(16, "0")),
            }),
          ),
        );
        const rows = await test_engine.engine.query<Record<string, string>>(
          "SELECT hex(toString(name)) AS name, hex(user_id) AS user_id, hex(attributes['key']) AS attribute FROM spans ORDER BY span_id",
        );
        expect(rows).toEqual(
          texts.map((text) => {
            const hex = Buffer.from(text.toWellFormed()).toString("hex").toUpperCase();
            return { name: hex, user_id: hex, attribute: hex };
          }),
        );
      },
    ),
    { numRuns: 25 },
  );
});

test("a block of an older version, which lacks a column, gets the default of it", async () => {
  const older = SPAN_COLUMNS.filter((column) => column.name !== "agent_name");
  const old = makeBlockWriter(older).encode([makeSpan({ span_id: idBytes("0000000000000001") })], {
    ingest_seq: 1,
    ingested_ms: 1,
  });
  const now = writer.encode(
    [makeSpan({ span_id: idBytes("0000000000000002"), agent_name: "helper" })],
    { ingest_seq: 2, ingested_ms: 1 },
  );
  await test_engine.engine.insertNative("spans", SPAN_COLUMNS, [old, now]);
  const rows = await test_engine.engine.query(
    "SELECT agent_name, service_name FROM spans ORDER BY ingest_seq",
  );
  expect(rows).toEqual([
    { agent_name: "", service_name: "checkout" },
    { agent_name: "helper", service_name: "checkout" },
  ]);
});

test("several blocks in one insert are all read", async () => {
  const blocks = [1, 2, 3].map((number) =>
    writer.encode([makeSpan({ span_id: idBytes(`000000000000000${number}`) })], {
      ingest_seq: number,
      ingested_ms: 1,
    }),
  );
  await test_engine.engine.insertNative("spans", SPAN_COLUMNS, blocks);
  const rows = await test_engine.engine.query("SELECT ingest_seq FROM spans ORDER BY ingest_seq");
  expect(rows).toEqual([{ ingest_seq: "1" }, { ingest_seq: "2" }, { ingest_seq: "3" }]);
});
