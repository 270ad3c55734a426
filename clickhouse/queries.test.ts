/**
 * Every file of `queries/` against the engine: in a session of its own, so that a parameter that
 * `parametersOf` overlooks is missing, and not remembered from the query before.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeBlockWriter } from "../collector/columns/block.ts";
import { SPAN_COLUMNS } from "../schemas/columns.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../test/support/fake-clickhouse.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine, type Param } from "./engine.ts";
import { loadQuery, parametersOf, queryNames } from "./queries.ts";
import { openServer } from "./server.ts";

/** 2026-11-21 01:45:00 UTC, the bucket of the span that `makeSpan` makes. */
const BUCKET_S = 1_795_225_500;

/** What a parameter may be, by its type: an ordinary list of values and a hostile or empty one. */
const SAMPLES: Readonly<Record<string, readonly [ordinary: Param, odd: Param]>> = {
  String: ["default", "it's \\ a \t test\0"],
  UInt8: [1, 0],
  UInt16: [1, 0],
  UInt32: [10, 0],
  UInt64: [7, 18_446_744_073_709_551_615n],
  Int64: [1_795_225_705_123_456_789n, 0],
  "Decimal(18, 3)": ["1795225705.123", "0"],
  "Array(String)": [["default", "it's \\ other"], []],
  "Array(UInt32)": [[BUCKET_S, BUCKET_S + 900], []],
  "Array(Int8)": [[1, 2], []],
  "Array(UInt8)": [[0, 1], []],
  "Array(UInt16)": [[0, 65_535], []],
  "Array(Int64)": [[1_795_225_705_123_456_789n, 0n], []],
  "Array(UInt64)": [[7, 18_446_744_073_709_551_615n], []],
  Int8: [1, 0],
  "Array(Array(String))": [[["web_search", "it's \\"], []], []],
  "Array(Array(UInt32))": [[[0, 1], [1]], []],
  "Array(Array(UInt64))": [[[0, 18_446_744_073_709_551_615n], [0]], []],
  "Array(Array(Int64))": [[[0n, 9_223_372_036_854_775_807n], []], []],
};

/** Parameters whose name says more than their type. */
const NAMED: Readonly<Record<string, readonly [ordinary: Param, odd: Param]>> = {
  from_s: [BUCKET_S - (BUCKET_S % 86_400), 0],
  to_s: [BUCKET_S - (BUCKET_S % 86_400) + 86_400, 86_400],
  trace_id: ["0102030405060708090a0b0c0d0e0f10", ""],
  cursor_trace_id: ["0102030405060708090a0b0c0d0e0f10", ""],
  cursor_span_id: ["a1a2a3a4a5a6a7a8", ""],
  span_id: ["a1a2a3a4a5a6a7a8", ""],
  traces: [["0102030405060708090a0b0c0d0e0f10", "1102030405060708090a0b0c0d0e0f10"], []],
  spans: [["a1a2a3a4a5a6a7a8", "b1a2a3a4a5a6a7a8"], []],
  cost_before: ["0.000000000001", "0"],
  cost_after: ["99999999999999.999999999999", "0"],
  cursor_rank: ["0.000000000001", "0"],
  // The parts of a day: what the other parameters say does not matter to a partition that is not there.
  partition: ["2026-11-21", "2000-01-01"],
  subject_hash: ["0102030405060708090a0b0c0d0e0f10", ""],
  since_ms: [1_795_225_705_123, 0],
  until_s: [1_795_225_705, 0],
  call_id: ["0102030405060708090a0b0c0d0e0f10-a1a2a3a4a5a6a7a8", "it's"],
};

let test_engine: TestEngine;
let fake: FakeClickHouse;
let server: Engine;

beforeAll(async () => {
  test_engine = await openTestEngine();
  const { engine, directory } = test_engine;
  fake = await startFakeClickHouse({
    directory: join(directory, "clickhouse"),
    database: "spanledger",
  });
  server = openServer({ url: fake.url, limits: DEFAULT_ENGINE_LIMITS });
  const spans = [1, 2, 3].map((number) =>
    makeSpan({ span_id: idBytes(`000000000000000${number}`) }),
  );
  await engine.insertNative("spans", SPAN_COLUMNS, [
    makeBlockWriter().encode(spans, { ingest_seq: 7, ingested_ms: 1 }),
  ]);
});
afterAll(async () => {
  await server.close();
  await fake.close();
  await test_engine.close();
});

function withoutComments(sql: string): string {
  return sql.replaceAll(/--.*$/gm, "");
}

function sampleOf(name: string, type: string, which: 0 | 1): Param {
  const samples = NAMED[name] ?? SAMPLES[type];
  if (samples === undefined) throw new Error(`Add a sample of the type ${type} to this test.`);
  return samples[which];
}

describe("the names of the queries", () => {
  test("are the files of the directory, in order", () => {
    const files = readdirSync(new URL("./queries/", import.meta.url)).toSorted((left, right) =>
      left < right ? -1 : 1,
    );
    expect(queryNames().map((name) => `${name}.sql`)).toEqual(files);
    expect(files.length).toBeGreaterThan(0);
  });

  test("that are no file throw", () => {
    expect(() => loadQuery("no_such_query")).toThrow(/no_such_query/);
  });
});

test("parameters are found with their types, however they are written", () => {
  const sql =
    "SELECT {a:String}, {b: Array(String)} , {c:Decimal(18, 3)} + {a:String} FROM {not_one}";
  expect([...parametersOf(sql)]).toEqual([
    ["a", "String"],
    ["b", "Array(String)"],
    ["c", "Decimal(18, 3)"],
  ]);
});

describe.each(queryNames())("the query %s", (name) => {
  const sql = loadQuery(name);
  const parameters = parametersOf(sql);

  test("has parameters that are all found, of types that ClickHouse knows", async () => {
    const declared = withoutComments(sql).match(/\{/g) ?? [];
    const found = withoutComments(sql).match(/\{\w+:[^{}]+\}/g) ?? [];
    expect(declared).toHaveLength(found.length);
    const pairs = found.map((text) => text.slice(1, -1).replace(/:\s*/, ":"));
    expect(new Set(pairs)).toEqual(new Set([...parameters].map(([key, type]) => `${key}:${type}`)));
    for (const type of parameters.values()) {
      const rows = await server.query(
        `SELECT toTypeName(defaultValueOfTypeName({type:String})) AS type`,
        { type },
      );
      expect(rows).toEqual([{ type }]);
    }
  });

  test.each([
    ["ordinary", 0],
    ["odd", 1],
  ] as const)("runs with %s values of its parameters, on every engine", async (_kind, which) => {
    const params = Object.fromEntries(
      [...parameters].map(([key, type]) => [key, sampleOf(key, type, which)]),
    );
    const is_insert = /^\s*(INSERT|ALTER|DELETE)\b/i.test(withoutComments(sql));
    for (const engine of [server, test_engine.engine]) {
      const outcome = is_insert
        ? await engine.command(sql, params)
        : await engine.query(sql, params);
      expect(Array.isArray(outcome)).toBe(!is_insert);
    }
  });
});
