/**
 * One suite for every engine: what one of them does, the others must do. The embedded engine and the
 * one behind the fake server are the same, because chdb binds one directory per process; what is
 * tested twice is the way to it.
 */
import * as fc from "fast-check";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeBlockWriter } from "../collector/columns/block.ts";
import { SPAN_COLUMNS } from "../schemas/columns.ts";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import {
  FAKE_PASSWORD,
  type FakeClickHouse,
  type FailMode,
  startFakeClickHouse,
} from "../test/support/fake-clickhouse.ts";
import { byClass, idBytes, makeSpan } from "../test/support/span.ts";
import { openEmbedded } from "./embedded.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine, type Param, type Params } from "./engine.ts";
import { migrate } from "./migrate.ts";
import { openServer } from "./server.ts";

const DATABASE = "spanledger";
const REAL_URL =
  process.env["SPANLEDGER_TEST_CLICKHOUSE_URL"] ?? process.env["SPANLEDGER_CLICKHOUSE_URL"];

let test_engine: TestEngine;
let fake: FakeClickHouse;

beforeAll(async () => {
  test_engine = await openTestEngine();
  const directory = join(test_engine.directory, "clickhouse");
  fake = await startFakeClickHouse({ directory, database: DATABASE });
});
afterAll(async () => {
  await fake.close();
  await test_engine.close();
});

/** How to open one of the engines on a database of the tests, and how to leave it. */
interface Case {
  readonly name: string;
  readonly available: boolean;
  readonly open: () => Promise<Engine>;
  readonly leave: () => Promise<void>;
}

const real_database = `spanledger_test_${randomUUID().replaceAll("-", "")}`;

async function openReal(database: string): Promise<Engine> {
  const url = new URL(REAL_URL ?? "http://unset");
  url.pathname = `/${database}`;
  return openServer({ url: url.href, limits: DEFAULT_ENGINE_LIMITS });
}

async function onReal(sql: string): Promise<void> {
  const engine = await openReal("default");
  await engine.command(sql);
  await engine.close();
}

const CASES: readonly Case[] = [
  {
    name: "embedded",
    available: true,
    open: () =>
      openEmbedded({
        directory: join(test_engine.directory, "clickhouse"),
        database: DATABASE,
        limits: DEFAULT_ENGINE_LIMITS,
        memory_bytes: 2 * 1024 ** 3,
        read_sessions: 4,
      }),
    leave: async () => {},
  },
  {
    name: "a server, through the fake",
    available: true,
    open: async () => openServer({ url: fake.url, limits: DEFAULT_ENGINE_LIMITS }),
    leave: async () => {},
  },
  {
    name:
      REAL_URL === undefined
        ? "a real server (skipped: SPANLEDGER_TEST_CLICKHOUSE_URL is not set)"
        : "a real server",
    available: REAL_URL !== undefined,
    async open() {
      await onReal(`CREATE DATABASE IF NOT EXISTS ${real_database}`);
      return openReal(real_database);
    },
    leave: () => onReal(`DROP DATABASE ${real_database}`),
  },
];

const writer = makeBlockWriter();

function blockOf(count: number, ingest_seq: number, first = 1): Uint8Array {
  const spans = Array.from({ length: count }, (_, index) =>
    makeSpan({ span_id: idBytes((first + index).toString(16).padStart(16, "0")) }),
  );
  return writer.encode(spans, { ingest_seq, ingested_ms: 1_795_225_706_001 });
}

function hexOf(text: string): string {
  return Buffer.from(text).toString("hex").toUpperCase();
}

/** The error of a promise that must fail. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => "no error",
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(Error);
  return outcome;
}

const HARD_TEXTS = [
  "",
  "plain",
  "it's",
  'say "hi"',
  "back\\slash",
  "\\t is not a tab, \\' no quote, \\\\ no backslash",
  "\\N",
  "tab\tnewline\nreturn\r\nvertical\v",
  "nul\0inside\0",
  "bell\x07 backspace\b form feed\f escape\x1b delete\x7f",
  "ünïcode ✓ 𝄞 \u{feff}\u{2028}",
  "{x:String} {{ }}",
  "'); DROP TABLE spans; --",
  "percent %41 plus + and & equals = question ?",
  "[1,2]",
];

describe.each(CASES)("the engine: $name", ({ available, open, leave }) => {
  describe.skipIf(!available)("as every engine", () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await open();
      await migrate(engine);
    });
    afterAll(async () => {
      await engine.close();
      await leave();
    });
    const truncate = () => engine.command("TRUNCATE TABLE spans");

    describe("parameters", () => {
      test.each(HARD_TEXTS)("the text %j arrives as it is", async (text) => {
        const rows = await engine.query(
          `SELECT {text:String} AS text, hex({text:String}) AS hex,
             arrayMap(x -> hex(x), {texts:Array(String)}) AS hexes`,
          { text, texts: [text, "other", text] },
        );
        const hex = hexOf(text);
        expect(rows).toEqual([{ text, hex, hexes: [hex, hexOf("other"), hex] }]);
      });

      test("any text and any list of texts arrives as it is", async () => {
        const anyText = fc.string({ unit: "binary", maxLength: 60 });
        await fc.assert(
          fc.asyncProperty(anyText, fc.array(anyText, { maxLength: 8 }), async (text, texts) => {
            const [row] = await engine.query<{ hex: string; hexes: string[] }>(
              "SELECT hex({text:String}) AS hex, arrayMap(x -> hex(x), {texts:Array(String)}) AS hexes",
              { text, texts },
            );
            expect(row?.hex).toBe(hexOf(text.toWellFormed()));
            expect(row?.hexes).toEqual(texts.map((item) => hexOf(item.toWellFormed())));
          }),
          { numRuns: 60 },
        );
      });

      const typed: [type: string, value: Param, read: unknown][] = [
        ["UInt8", 0, 0],
        ["Int32", -2_147_483_648, -2_147_483_648],
        ["UInt64", 18_446_744_073_709_551_615n, "18446744073709551615"],
        ["Int64", -9_223_372_036_854_775_808n, "-9223372036854775808"],
        ["UInt64", Number.MAX_SAFE_INTEGER, "9007199254740991"],
        ["Float64", 0.1, 0.1],
        ["Float64", -1.5e300, -1.5e300],
        ["Bool", true, true],
        ["Bool", false, false],
        ["UInt8", true, 1],
        ["Decimal(18, 3)", "1795225705.123", "1795225705.123"],
        ["DateTime('UTC')", 1_795_225_705, "2026-11-21 01:48:25"],
        ["Array(String)", [], []],
        ["Array(UInt64)", [1n, 18_446_744_073_709_551_615n], ["1", "18446744073709551615"]],
        ["Array(Int32)", [-1, 0, 1], [-1, 0, 1]],
        ["Array(Bool)", [true, false], [true, false]],
        ["Array(Array(String))", [["a'b", "c\\d"], []], [["a'b", "c\\d"], []]],
      ];
      test.each(typed)("%s takes %o and reads %o", async (type, value, read) => {
        const rows = await engine.query(`SELECT {value:${type}} AS value`, { value });
        expect(rows).toEqual([{ value: read }]);
      });

      test("an array far longer than a URL may be arrives whole, in a query and in a command", async () => {
        const items = Array.from({ length: 40_000 }, (_, index) => `project '${index}'`);
        const [row] = await engine.query(
          `SELECT length({items:Array(String)}) AS items, arrayUniq({items:Array(String)}) AS distinct,
             {items:Array(String)}[40000] AS last, {plain:String} AS plain`,
          { items, plain: "$& {items:Array(String)}" },
        );
        expect(row).toEqual({
          items: "40000",
          distinct: 40_000,
          last: "project '39999'",
          plain: "$& {items:Array(String)}",
        });
        await engine.command("DROP TABLE IF EXISTS long_list");
        await engine.command(
          "CREATE TABLE long_list (item String) ENGINE = MergeTree ORDER BY item",
        );
        await engine.command(
          "INSERT INTO long_list SELECT arrayJoin({items:Array(String)})",
          { items },
          "insert",
        );
        const counted = await engine.query("SELECT uniqExact(item) AS items FROM long_list");
        expect(counted).toEqual([{ items: "40000" }]);
        await engine.command("DROP TABLE long_list");
      });
    });

    describe("answers", () => {
      test("64-bit integers and decimals are strings, exact to the last digit", async () => {
        const rows = await engine.query(
          `SELECT toUInt64(18446744073709551615) AS u64, toInt64(-9223372036854775808) AS i64,
             toDecimal128('12345678901234567890.123456789012', 12) AS money, toUInt32(7) AS u32,
             sum(toDecimal64('0.000000000001', 12)) AS sum, [toUInt64(1)] AS list,
             map('a', toUInt64(9007199254740993)) AS map, 0 / 0 AS nothing, 0.25 AS share`,
        );
        expect(rows).toEqual([
          {
            u64: "18446744073709551615",
            i64: "-9223372036854775808",
            money: "12345678901234567890.123456789012",
            u32: 7,
            sum: "0.000000000001",
            list: ["1"],
            map: { a: "9007199254740993" },
            nothing: null,
            share: 0.25,
          },
        ]);
      });

      test("rows come in order, none for an empty result", async () => {
        const rows = await engine.query<{ n: string; text: string }>(
          "SELECT number AS n, 'line\nbreak' AS text FROM numbers(20000) ORDER BY n",
        );
        expect(rows).toHaveLength(20_000);
        expect(
          rows.every(({ n, text }, index) => n === String(index) && text === "line\nbreak"),
        ).toBe(true);
        expect(await engine.query("SELECT 1 WHERE 0")).toEqual([]);
      });

      test("rows as a file are the same rows, and an error is no file", async () => {
        const texts = Array.from({ length: 2_000 }, (_, index) => `it's "${index}"\n`);
        const sql = "SELECT arrayJoin({texts:Array(String)}) AS text, length(text) AS bytes";
        const bytes = await engine.queryBytes(sql, { texts }, "Parquet");
        const file = join(test_engine.directory, `${randomUUID()}.parquet`);
        writeFileSync(file, bytes);
        const rows = await test_engine.engine.query(`SELECT * FROM file('${file}', 'Parquet')`);
        expect(rows).toEqual(texts.map((text) => ({ text, bytes: String(text.length) })));
        const failing = "SELECT throwIf(number = 9) FROM numbers(10)";
        await expect(engine.queryBytes(failing, {}, "Parquet")).rejects.toThrow("throwIf");
      });

      // chdb 3.4 keeps them, and gives them to the next query of the session.
      test("rows that a query wrote before it failed are in nobody's answer", async () => {
        const failing = `SELECT 'canary' AS canary, throwIf(number = 60000) FROM numbers(100000) SETTINGS max_block_size = 1000`;
        for (let round = 0; round < 3; round += 1) {
          const failed = Array.from({ length: 8 }, () => engine.query(failing));
          const outcomes = await Promise.allSettled(failed);
          expect(outcomes.map(({ status }) => status)).toEqual(failed.map(() => "rejected"));
          const asked = Array.from({ length: 8 }, (_, index) =>
            engine.query(`SELECT ${index} AS a`),
          );
          expect(await Promise.all(asked)).toEqual(asked.map((_, index) => [{ a: index }]));
        }
      });

      test("a trailing comment or semicolon-free file text does not change the answer", async () => {
        expect(await engine.query("-- what\nSELECT 1 AS a -- why")).toEqual([{ a: 1 }]);
      });
    });

    describe("statements without a result", () => {
      test.each(["insert", "background"] as const)("the lane %s runs them", async (lane) => {
        await engine.command(`DROP TABLE IF EXISTS lane_test`, {}, lane);
        await engine.command(
          "CREATE TABLE lane_test (a UInt32, b String) ENGINE = MergeTree ORDER BY a",
          {},
          lane,
        );
        await engine.command(
          "INSERT INTO lane_test (a, b) VALUES ({a:UInt32}, {b:String})",
          { a: 1, b: "it's" },
          lane,
        );
        expect(await engine.query("SELECT * FROM lane_test")).toEqual([{ a: 1, b: "it's" }]);
        await engine.command("DROP TABLE lane_test", {}, lane);
      });

      test("a long statement in the background holds up neither inserts nor readers", async () => {
        const order: string[] = [];
        const slow = engine
          .command("SELECT sleep(0.6)", {}, "background")
          .then(() => order.push("background"));
        await Promise.all([
          engine.command("SELECT 1", {}, "insert").then(() => order.push("insert")),
          engine.query("SELECT 1").then(() => order.push("query")),
          engine
            .insertNative("spans", SPAN_COLUMNS, [blockOf(1, 1)])
            .then(() => order.push("block")),
        ]);
        await slow;
        expect(order).toHaveLength(4);
        expect(order.at(-1)).toBe("background");
      });

      test("neither batches nor deduplicates inserts, and refuses no partition", async () => {
        const names = [
          "async_insert",
          "insert_deduplicate",
          "deduplicate_insert",
          "max_partitions_per_insert_block",
        ];
        const columns = names.map((name) => `toString(getSetting('${name}'))`).join(", ");
        await engine.command("DROP TABLE IF EXISTS settings_test");
        await engine.command(
          "CREATE TABLE settings_test (lane String, list Array(String)) ENGINE = MergeTree ORDER BY lane",
        );
        for (const lane of ["insert", "background"] as const) {
          await engine.command(
            `INSERT INTO settings_test SELECT '${lane}', [${columns}]`,
            {},
            lane,
          );
        }
        const rows = await engine.query<{ lane: string; list: string[] }>(
          "SELECT * FROM settings_test ORDER BY lane",
        );
        for (const { list } of rows) {
          const [async_insert = "", insert_deduplicate = "", ...rest] = list;
          expect(["0", "false"]).toContain(async_insert);
          expect(["0", "false"]).toContain(insert_deduplicate);
          expect(rest).toEqual(["disable", "0"]);
        }
        expect(rows).toHaveLength(2);
        await engine.command("DROP TABLE settings_test");
      });
    });

    describe("blocks", () => {
      beforeEach(truncate);

      test("several blocks of one insert are all there", async () => {
        await engine.insertNative("spans", SPAN_COLUMNS, [
          blockOf(1_000, 1),
          blockOf(1, 2, 5_000),
          blockOf(3, 3, 6_000),
        ]);
        const rows = await engine.query(
          "SELECT ingest_seq, count() AS spans FROM spans GROUP BY ingest_seq ORDER BY ingest_seq",
        );
        expect(rows).toEqual([
          { ingest_seq: "1", spans: "1000" },
          { ingest_seq: "2", spans: "1" },
          { ingest_seq: "3", spans: "3" },
        ]);
      });

      test("an insert of more days than the engine's own limit of partitions goes through", async () => {
        const columns = SPAN_COLUMNS.filter(({ name }) => name === "ts" || name === "span_id");
        const day_ns = 86_400n * 1_000_000_000n;
        const spans = Array.from({ length: 150 }, (_, index) =>
          makeSpan({ start_ns: 1_700_000_000_000_000_000n + BigInt(index) * day_ns }),
        );
        const block = makeBlockWriter(columns).encode(spans, { ingest_seq: 1, ingested_ms: 1 });
        await engine.command("DROP TABLE IF EXISTS many_days");
        await engine.command(
          `CREATE TABLE many_days (ts DateTime64(9, 'UTC'), span_id FixedString(8))
           ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY ts`,
        );
        await engine.insertNative("many_days", columns, [block]);
        const rows = await engine.query("SELECT uniqExact(toDate(ts)) AS days FROM many_days");
        expect(rows).toEqual([{ days: "150" }]);
        await engine.command("DROP TABLE many_days");
      });

      test("an insert of a range takes the rows of that time alone, to the nanosecond, and fills what a block lacks", async () => {
        const from_s = 1_700_006_400;
        const times_ns = [-1n, 0n, 1n, 86_400_000_000_000n - 1n, 86_400_000_000_000n].map(
          (offset_ns) => BigInt(from_s) * 1_000_000_000n + offset_ns,
        );
        const spans = times_ns.map((start_ns) => makeSpan({ start_ns, name: "ranged" }));
        const old = SPAN_COLUMNS.filter(({ name }) => name !== "region");
        const block = makeBlockWriter(old).encode(spans, { ingest_seq: 1, ingested_ms: 1 });
        const insert = async (from: number | null, to: number | null) => {
          await engine.insertNative("spans", SPAN_COLUMNS, [block], { from_s: from, to_s: to });
          const rows = await engine.query<{ ns: string; region: string }>(
            "SELECT toUnixTimestamp64Nano(ts) AS ns, region FROM spans FINAL WHERE name = 'ranged' ORDER BY ts",
          );
          return rows.map(({ ns, region }) => [BigInt(ns), region]);
        };
        const withRegion = (times: readonly bigint[]) => times.map((time_ns) => [time_ns, ""]);
        expect(await insert(from_s, from_s + 86_400)).toEqual(withRegion(times_ns.slice(1, 4)));
        expect(await insert(from_s + 86_400, null)).toEqual(withRegion(times_ns.slice(1)));
        expect(await insert(null, from_s)).toEqual(withRegion(times_ns));
        expect(await insert(null, null)).toEqual(withRegion(times_ns));
        await engine.command("TRUNCATE TABLE spans");
      });

      test("an insert of no blocks does nothing", async () => {
        await engine.insertNative("spans", SPAN_COLUMNS, []);
        expect(await engine.query("SELECT count() AS spans FROM spans")).toEqual([{ spans: "0" }]);
      });

      test("a redelivered span replaces itself: of all versions the latest sequence is read", async () => {
        const versions = [7, 9, 8].map((ingest_seq) =>
          writer.encode([makeSpan({ tokens: byClass({ input_uncached: ingest_seq }) })], {
            ingest_seq,
            ingested_ms: 1,
          }),
        );
        for (const block of versions) {
          await engine.insertNative("spans", SPAN_COLUMNS, [block]);
        }
        await engine.insertNative("spans", SPAN_COLUMNS, versions);
        const rows = await engine.query(
          "SELECT ingest_seq, tokens_input_uncached AS tokens FROM spans FINAL",
        );
        expect(rows).toEqual([{ ingest_seq: "9", tokens: 9 }]);
      });

      test("every table with data fsyncs what was inserted", async () => {
        const tables = await engine.query<{ name: string }>(
          "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name",
        );
        expect(tables.map(({ name }) => name)).toContain("spans");
        for (const { name } of tables) {
          const rows = await engine.query<{ statement: string }>(`SHOW CREATE TABLE ${name}`);
          expect(rows).toEqual([{ statement: expect.stringContaining("fsync_after_insert = 1") }]);
          expect(rows).toEqual([
            { statement: expect.stringContaining("fsync_part_directory = 1") },
          ]);
        }
      });
    });

    describe("errors", () => {
      const permanent: [what: string, code: number, sql: string, params: Params][] = [
        ["a syntax error", 62, "SELECT (1", {}],
        ["an unknown column", 47, "SELECT no_such_column FROM spans", {}],
        ["an unknown function", 46, "SELECT noSuchFunction(1)", {}],
        ["a parameter that is not given", 456, "SELECT {missing:String} AS a", { other: "x" }],
        ["a parameter of another type", 457, "SELECT {n:UInt32} AS a", { n: "seven" }],
      ];
      test.each(permanent)("%s is permanent (code %i)", async (_what, code, sql, params) => {
        const errors = await Promise.all([
          failureOf(engine.query(sql, params)),
          failureOf(engine.command(sql, params)),
        ]);
        for (const error of errors) {
          expect(error).toBeInstanceOf(PermanentError);
          expect(error).toMatchObject({ code: `clickhouse_${code}` });
          expect((error as Error).message.length).toBeLessThanOrEqual(2_000);
        }
      });

      test.each([
        ["a table that is not there yet", 60, "SELECT * FROM no_such_table"],
        [
          "the memory limit",
          241,
          "SELECT length(groupArray(number)) FROM numbers(50000000) SETTINGS max_memory_usage = 20000000",
        ],
        [
          "a query that takes too long",
          159,
          "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1 SETTINGS max_execution_time = 0.3",
        ],
      ])("%s may be tried again (code %i)", async (_what, code, sql) => {
        const error = await failureOf(engine.query(sql));
        expect(error).toBeInstanceOf(RetryableError);
        expect(error).toMatchObject({ code: `clickhouse_${code}` });
      });

      test("a block that is cut or no block at all is permanent, and nothing of it is kept", async () => {
        await truncate();
        const block = blockOf(500, 1);
        const bad = [
          block.subarray(0, block.length / 2),
          Buffer.from("this is no block of ClickHouse"),
        ];
        for (const bytes of bad) {
          const error = await failureOf(engine.insertNative("spans", SPAN_COLUMNS, [bytes]));
          expect(error).toBeInstanceOf(PermanentError);
        }
        expect(await engine.query("SELECT count() AS spans FROM spans")).toEqual([{ spans: "0" }]);
        await engine.insertNative("spans", SPAN_COLUMNS, [block]);
        expect(await engine.query("SELECT count() AS spans FROM spans")).toEqual([
          { spans: "500" },
        ]);
      });
    });

    describe("at the same time", () => {
      test("200 queries with and without parameters see their own values and settings only", async () => {
        const size = "SELECT toUInt32(getSetting('max_block_size')) AS size";
        const kinds: ((index: number) => Promise<readonly [got: unknown, wanted: unknown]>)[] = [
          async () => {
            const error = await failureOf(engine.query("SELECT {tenant:String} AS tenant"));
            return [error, expect.any(PermanentError)];
          },
          async () => [await engine.query(size), [{ size: 65_409 }]],
          async (index) => [
            await engine.query(`${size} SETTINGS max_block_size = ${index}`),
            [{ size: index }],
          ],
          async (index) => {
            const params = { tenant: `tenant ${index}`, list: [`${index}`, `${index + 1}`] };
            const sql = "SELECT {tenant:String} AS tenant, {list:Array(String)} AS list";
            return [await engine.query(sql, params), [params]];
          },
        ];
        const outcomes = await Promise.all(
          Array.from({ length: 200 }, async (_, index) => kinds[index % kinds.length]?.(index)),
        );
        for (const outcome of outcomes) expect(outcome?.[0]).toEqual(outcome?.[1]);
      });

      test("64 queries at once all get their answer", async () => {
        const answers = await Promise.all(
          Array.from({ length: 64 }, (_, index) =>
            engine.query("SELECT sleep(0.02) AS zero, {n:UInt32} AS n", { n: index }),
          ),
        );
        expect(answers).toEqual(Array.from({ length: 64 }, (_, n) => [{ zero: 0, n }]));
      });

      test("inserts, reads and pings at once do not disturb each other", async () => {
        await truncate();
        const inserts = Array.from({ length: 5 }, (_, index) =>
          engine.insertNative("spans", SPAN_COLUMNS, [blockOf(100, index + 1, index * 100 + 1)]),
        );
        const reads = Array.from({ length: 20 }, () => engine.query("SELECT count() FROM spans"));
        await Promise.all([...inserts, ...reads, engine.ping(), engine.ping()]);
        expect(await engine.query("SELECT count() AS spans FROM spans")).toEqual([
          { spans: "500" },
        ]);
      });
    });

    test("close waits for what runs, and what comes later may be tried again", async () => {
      const short = await open();
      await short.ping();
      const running = short.query("SELECT sleep(0.4) AS zero, 'done' AS state");
      const closing = short.close();
      const late = await Promise.all([
        failureOf(short.query("SELECT 1")),
        failureOf(short.command("SELECT 1")),
        failureOf(short.insertNative("spans", SPAN_COLUMNS, [blockOf(1, 1)])),
        failureOf(short.ping()),
      ]);
      for (const error of late) {
        expect(error).toBeInstanceOf(RetryableError);
        expect(error).toMatchObject({ code: "engine_closed" });
      }
      expect(await running).toEqual([{ zero: 0, state: "done" }]);
      await closing;
      expect(await failureOf(short.query("SELECT 1"))).toBeInstanceOf(RetryableError);
      await engine.ping();
    });
  });
});

describe("the embedded engine", () => {
  test("a second directory in one process is refused, and may be tried again", async () => {
    const directory = mkdtempSync(join(tmpdir(), "spanledger-second-"));
    const second = await openEmbedded({
      directory: join(directory, "clickhouse"),
      database: DATABASE,
      limits: DEFAULT_ENGINE_LIMITS,
      memory_bytes: 1024 ** 3,
      read_sessions: 1,
    });
    try {
      const error = await failureOf(second.ping());
      expect(error).toBeInstanceOf(RetryableError);
      expect(error).toMatchObject({ code: "engine_unavailable" });
    } finally {
      await second.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("a server that fails", () => {
  let engine: Engine;
  const LIMIT_MS = 8_000;

  beforeAll(() => {
    const limits = { ...DEFAULT_ENGINE_LIMITS, query_timeout_s: 0.5 };
    engine = openServer({ url: fake.url, limits, write_timeout_ms: 1_500 });
  });
  afterAll(() => engine.close());
  beforeEach(async () => {
    await fake.heal();
    await test_engine.engine.command("TRUNCATE TABLE spans");
  });

  function insertOne(): Promise<void> {
    return engine.insertNative("spans", SPAN_COLUMNS, [blockOf(1, 1)]);
  }

  function countSpans(): Promise<unknown[]> {
    return test_engine.engine.query("SELECT count() AS spans FROM spans FINAL");
  }

  const retryable: [mode: FailMode, code: string, is_executed: boolean][] = [
    ["refuse", "clickhouse_unavailable", false],
    ["error_500", "clickhouse_unavailable", false],
    ["unavailable_503", "clickhouse_unavailable", false],
    ["hang", "clickhouse_unavailable", false],
    ["reset", "clickhouse_unavailable", false],
    ["execute_then_drop", "clickhouse_unavailable", true],
    ["late_exception", "clickhouse_241", false],
    ["memory_limit", "clickhouse_241", false],
    ["readonly", "clickhouse_164", false],
  ];
  test.each(retryable)(
    "%s may be tried again, is told in time and is not tried again in secret",
    async (mode, code, is_executed) => {
      await engine.ping();
      await fake.fail(mode);
      const before = fake.statements.length;
      const started_ms = performance.now();
      const errors = await Promise.all([
        failureOf(engine.query("SELECT 1 AS n")),
        failureOf(engine.command("SYSTEM FLUSH LOGS")),
        failureOf(insertOne()),
        failureOf(engine.ping()),
      ]);
      expect(performance.now() - started_ms).toBeLessThan(LIMIT_MS);
      for (const error of errors) {
        expect(error).toBeInstanceOf(RetryableError);
        expect(error).toMatchObject({ code });
        expect((error as Error).message).not.toContain(FAKE_PASSWORD);
      }
      const arrived = mode === "refuse" || mode === "hang" ? 0 : 4;
      expect(fake.statements.length - before).toBe(arrived);

      await fake.heal();
      await engine.ping();
      expect(await countSpans()).toEqual([{ spans: is_executed ? "1" : "0" }]);
      await insertOne();
      expect(await countSpans()).toEqual([{ spans: "1" }]);
    },
  );

  test("data that the server calls incorrect is permanent, while queries go on", async () => {
    await fake.fail("incorrect_data");
    const error = await failureOf(insertOne());
    expect(error).toBeInstanceOf(PermanentError);
    expect(error).toMatchObject({ code: "clickhouse_117" });
    expect(await engine.query("SELECT 1 AS n")).toEqual([{ n: 1 }]);
  });

  test("an insert of a range that the server says it wrote nothing of is sent whole: no row is lost", async () => {
    await fake.fail("ignore_input");
    const range = { from_s: 0, to_s: null };
    await engine.insertNative("spans", SPAN_COLUMNS, [blockOf(3, 1)], range);
    expect(await countSpans()).toEqual([{ spans: "3" }]);
  });

  test("a slow answer within the limit is an answer", async () => {
    await fake.fail("slow", 400);
    expect(await engine.query("SELECT 1 AS n")).toEqual([{ n: 1 }]);
    await insertOne();
    expect(await countSpans()).toEqual([{ spans: "1" }]);
  });

  test("a wrong password may be tried again and fails the ping", async () => {
    const url = new URL(fake.url);
    url.password = "wrong";
    const stranger = openServer({ url: url.href, limits: DEFAULT_ENGINE_LIMITS });
    const errors = await Promise.all([
      failureOf(stranger.ping()),
      failureOf(stranger.query("SELECT 1")),
    ]);
    for (const error of errors) {
      expect(error).toBeInstanceOf(RetryableError);
      expect(error).toMatchObject({ code: "clickhouse_516" });
    }
    await stranger.close();
  });

  test("a host with several addresses that all refuse has a reason in the message", async () => {
    await fake.fail("refuse");
    const url = new URL(fake.url);
    url.hostname = "localhost";
    const nobody = openServer({ url: url.href, limits: DEFAULT_ENGINE_LIMITS });
    const error = await failureOf(nobody.query("SELECT 1"));
    expect((error as Error).message).toContain("ECONNREFUSED");
    await nobody.close();
  });

  test("a URL with a setting that nobody knows is permanent, and the message has no password", () => {
    const open = () =>
      openServer({ url: `${fake.url}?no_such_option=1`, limits: DEFAULT_ENGINE_LIMITS });
    expect(open).toThrow(PermanentError);
    expect(open).not.toThrow(FAKE_PASSWORD);
  });

  test("connections are used again: 40 inserts and queries open a few", async () => {
    const before = fake.connections;
    for (let count = 0; count < 20; count += 1) {
      await engine.query("SELECT 1 AS n");
      await insertOne();
    }
    expect(fake.connections - before).toBeLessThanOrEqual(4);
  });
});
