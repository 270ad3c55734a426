/** The insert loop on a real engine: rows of every table, days in slices, marks, failing views. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { encodeRecord, type RecordTable } from "../../schemas/record.ts";
import { SET_ASIDE_COLUMNS, type SetAsideItem, setAsideRow } from "../../schemas/set-aside.ts";
import type { Span } from "../../schemas/span.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { clearLedger, replaceMethods } from "../../test/support/ledger.ts";
import { idBytes, makeSpan } from "../../test/support/span.ts";
import { makeBlockWriter, makeRowWriter } from "../columns/block.ts";
import { type InsertEvent, startInsertLoop, type SourceRecord } from "./loop.ts";
import { makeBatchTarget, TABLE_COLUMNS } from "./target.ts";

const DAY_NS = 86_400_000_000_000n;
/** 2026-11-21 12:00:00 UTC. */
const NOON_NS = 1_795_262_400_000_000_000n;
const RECEIVED_MS = Date.now();

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
afterEach(() => clearLedger(test_engine.engine));

const spanWriter = makeBlockWriter();
const asideWriter = makeRowWriter(SET_ASIDE_COLUMNS);

function recordOf(
  sequence: number,
  table: RecordTable,
  rows: number,
  buckets: [string, number][],
  block: Uint8Array,
): SourceRecord {
  const payload = Buffer.concat(encodeRecord({ header: { table, rows, buckets }, block }));
  return { sequence, written_ms: RECEIVED_MS, payload };
}

function spanRecord(sequence: number, spans: readonly Span[]): SourceRecord {
  const block = spanWriter.encode(spans, { ingest_seq: sequence, ingested_ms: RECEIVED_MS });
  const buckets = spans.map(({ project_id, start_ns }): [string, number] => {
    const start_s = Number(start_ns / 1_000_000_000n);
    return [project_id, start_s - (start_s % 900)];
  });
  return recordOf(sequence, "spans", spans.length, buckets, block);
}

function spansOf(first: number, count: number, days: number): Span[] {
  return Array.from({ length: count }, (_unused, index) =>
    makeSpan({
      start_ns: NOON_NS - BigInt(index % days) * DAY_NS,
      trace_id: idBytes((first + index).toString(16).padStart(32, "0")),
      span_id: idBytes((first + index).toString(16).padStart(16, "0")),
      response_id: `r${first + index}`,
    }),
  );
}

/** Runs the loop over the records until all are released; returns what it told. */
async function run(
  engine: Engine,
  records: readonly SourceRecord[],
  setAside: (record: SourceRecord) => void = () => {},
): Promise<InsertEvent[]> {
  const events: InsertEvent[] = [];
  const target = makeBatchTarget(engine, { resolveBatch: async () => [] }, "test-wal");
  let released = 0;
  const source = {
    read: async (after: number) => records.filter(({ sequence }) => sequence > after),
    release: async (through: number) => {
      released = through;
    },
  };
  const loop = startInsertLoop(source, target, 0, {
    max_rows: 1_000,
    max_age_ms: 0,
    max_bytes: 1024 ** 2,
    now_ms: Date.now,
    setAside: async (record) => setAside(record),
    observe: (event) => events.push(event),
  });
  const last = records.at(-1)?.sequence;
  await vi.waitFor(() => expect(released).toBe(last), { timeout: 30_000 });
  await loop.stop();
  return events;
}

const ask = <Row>(sql: string) => test_engine.engine.query<Row>(sql);

test("the columns of each table are those that the migrations made, in order", async () => {
  for (const [table, columns] of Object.entries(TABLE_COLUMNS)) {
    const rows = await ask<{ name: string; type: string }>(`DESCRIBE TABLE ${table}`);
    expect(
      columns.map(({ name, type }) => ({ name, type })),
      table,
    ).toEqual(rows.map(({ name, type }) => ({ name, type })));
  }
});

describe("C08: spans of many days", () => {
  test("come in as slices, beside those of today, each once and each bucket marked", async () => {
    const slices: number[] = [];
    const engine = replaceMethods(test_engine.engine, {
      async insertNative(table, columns, blocks, range) {
        const before = await countDays();
        await test_engine.engine.insertNative(table, columns, blocks, range);
        slices.push((await countDays()) - before);
      },
    });
    await run(engine, [spanRecord(1, spansOf(1, 120, 60)), spanRecord(2, spansOf(500, 10, 1))]);
    expect(slices).toEqual([25, 25, 10]);
    expect(await ask("SELECT count() AS rows, uniqExact(span_id) AS spans FROM spans")).toEqual([
      { rows: "130", spans: "130" },
    ]);
    const marked = await ask("SELECT count() AS buckets FROM rollup_dirty_pairs WHERE dirty_15m");
    expect(marked).toEqual([{ buckets: "60" }]);
  });

  test("that come again after all was computed are marked above what was done", async () => {
    const { engine } = test_engine;
    const wide = spanRecord(1, spansOf(1, 60, 60));
    await run(engine, [wide]);
    await engine.command(
      `INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day)
       SELECT project_id, bucket, writer_id, 0, marked, marked FROM rollup_dirty_pairs`,
    );
    const [clean] = await ask("SELECT countIf(dirty_15m) AS dirty FROM rollup_dirty_pairs");
    expect(clean).toEqual({ dirty: "0" });
    await run(engine, [wide]);
    // The newest 25 days have the mark of their sequence, which was done; their rows are the same.
    const [again] = await ask("SELECT countIf(dirty_15m) AS dirty FROM rollup_dirty_pairs");
    expect(again).toEqual({ dirty: "35" });
  });
});

async function countDays(): Promise<number> {
  const [row] = await ask<{ days: number }>(
    "SELECT toUInt32(uniqExact(toDate(ts))) AS days FROM spans",
  );
  return row?.days ?? 0;
}

describe("items refused for their time", () => {
  const items: SetAsideItem[] = [
    setAsideRow(makeSpan({ start_ns: 5n }), "before_2000", RECEIVED_MS),
    setAsideRow(makeSpan({ start_ns: 2n ** 64n - 1n }), "in_future", RECEIVED_MS),
  ];
  const block = (sequence: number) =>
    asideWriter.encode(items, { ingest_seq: sequence, ingested_ms: RECEIVED_MS });

  test("go through the log into a partition of the day of receipt, once however often they come", async () => {
    const { engine } = test_engine;
    const record = recordOf(7, "set_aside_items", 2, [], block(7));
    await run(engine, [record]);
    await run(engine, [record]);
    expect(
      await ask(
        `SELECT toString(reason) AS reason, sent_time_ns, name, hex(span_id) AS span, attributes
         FROM set_aside_items FINAL ORDER BY sent_time_ns`,
      ),
    ).toEqual([
      {
        reason: "before_2000",
        sent_time_ns: "5",
        name: "chat gpt-4o-mini",
        span: "A1A2A3A4A5A6A7A8",
        attributes: {},
      },
      {
        reason: "in_future",
        sent_time_ns: "18446744073709551615",
        name: "chat gpt-4o-mini",
        span: "A1A2A3A4A5A6A7A8",
        attributes: {},
      },
    ]);
    const parts = await ask(
      "SELECT DISTINCT partition FROM system.parts WHERE table = 'set_aside_items' AND active AND database = currentDatabase()",
    );
    expect(parts).toEqual([{ partition: new Date(RECEIVED_MS).toISOString().slice(0, 10) }]);
    expect(await ask("SELECT count() AS rows FROM calls")).toEqual([{ rows: "0" }]);
    await engine.command("TRUNCATE TABLE set_aside_items");
  });
});

describe("what the engine refuses", () => {
  test("C07: is set aside alone, and the records beside it are in", async () => {
    const good = [1, 2, 4].map((sequence) => spanRecord(sequence, spansOf(sequence * 100, 5, 1)));
    const [first, second, fourth] = good as [SourceRecord, SourceRecord, SourceRecord];
    const broken = spanRecord(3, spansOf(300, 5, 1));
    const poison = { ...broken, payload: broken.payload.slice(0, -41) };
    const aside: number[] = [];
    const { engine } = test_engine;
    const events = await run(engine, [first, second, poison, fourth], ({ sequence }) =>
      aside.push(sequence),
    );
    expect(aside).toEqual([3]);
    expect(events.filter(({ kind }) => kind === "failed")).toEqual([]);
    expect(await ask("SELECT uniqExact(span_id) AS spans FROM spans")).toEqual([{ spans: "15" }]);
  });

  test("C12: a view that fails behind the table has the insert told failed, and the retry leaves each span once", async () => {
    const { engine } = test_engine;
    await engine.command(
      `CREATE MATERIALIZED VIEW broken_view ENGINE = MergeTree ORDER BY n AS
       SELECT throwIf(1, 'the view is broken') AS n FROM spans`,
    );
    setTimeout(() => void engine.command("DROP TABLE broken_view"), 400);
    const events = await run(engine, [spanRecord(1, spansOf(1, 20, 1))]);
    expect(events.filter(({ kind }) => kind === "failed").length).toBeGreaterThan(0);
    expect(events.filter(({ kind }) => kind === "set_aside")).toEqual([]);
    expect(await ask("SELECT count() AS rows FROM spans FINAL")).toEqual([{ rows: "20" }]);
  });

  test("C09: a column that somebody dropped is named, and what waited is in when it is back", async () => {
    const { engine } = test_engine;
    await engine.command("ALTER TABLE spans DROP COLUMN http_status");
    setTimeout(
      () => void engine.command("ALTER TABLE spans ADD COLUMN http_status UInt16 AFTER error_type"),
      400,
    );
    const events = await run(engine, [spanRecord(1, spansOf(1, 20, 1))]);
    expect(events[0]).toMatchObject({
      kind: "failed",
      remedy: "alarm",
      message: expect.stringContaining("http_status"),
      advice: expect.stringContaining("spanledger migrate"),
    });
    expect(await ask("SELECT count() AS rows FROM spans FINAL")).toEqual([{ rows: "20" }]);
  });
});
