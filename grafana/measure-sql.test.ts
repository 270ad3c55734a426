/**
 * The arithmetic of the statements at its edges, on sums made up here: rounding half to even, quantiles
 * over every bucket, what is NULL. The truth is `query-api/measures.ts` and plain integers.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { divideHalfEven, quantileOf } from "../query-api/measures.ts";
import { formatUsd, parseUsd } from "../schemas/units.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { columnsIn, coverageSql, measureSql } from "./measure-sql.ts";

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
}, 180_000);
afterAll(() => test_engine.close());

async function valuesOf(expression: string, sums: string): Promise<(string | null)[]> {
  const sql = `SELECT toString(${expression}) AS value FROM (${sums}) AS sums ORDER BY sums.place`;
  return (await test_engine.engine.query<{ value: string | null }>(sql)).map(({ value }) => value);
}

test("the middle of every bucket of a histogram is the number that the API answers", async () => {
  const last = 1_020;
  const sums = `SELECT number AS place, CAST(map(toInt16(number) - 3, toUInt64(1)), 'Map(Int16, UInt64)') AS duration_histogram FROM numbers(${last})`;
  const found = await valuesOf(measureSql("duration", "p50_ns"), sums);
  const wanted = Array.from({ length: last }, (_, place) =>
    quantileOf(new Map([[place - 3, 1n]]), 0.5),
  );
  // As numbers: the API answers those, and beyond 2^53 several integers are one.
  expect(found.map(Number)).toEqual(wanted);
});

test("a quantile takes the bucket that the API takes, where shares meet the edge of one too", async () => {
  const histograms = [
    [
      [5, 1],
      [9, 1],
    ],
    [
      [5, 19],
      [9, 1],
    ],
    [
      [5, 95],
      [9, 5],
    ],
    [
      [1, 10],
      [2, 10],
      [3, 80],
    ],
    [
      [-2, 3],
      [700, 2],
    ],
  ] as const;
  const rows = histograms.map((buckets, place) => {
    const pairs = buckets.map(([bucket, calls]) => `toInt16(${bucket}), toUInt64(${calls})`);
    return `SELECT ${place} AS place, map(${pairs.join(", ")}) AS ttft_histogram`;
  });
  for (const [field, share] of [
    ["p50_ns", 0.5],
    ["p90_ns", 0.9],
    ["p95_ns", 0.95],
    ["p99_ns", 0.99],
  ] as const) {
    const found = await valuesOf(measureSql("ttft", field), rows.join(" UNION ALL "));
    const wanted = histograms.map((buckets) =>
      quantileOf(new Map(buckets.map(([bucket, calls]) => [bucket, BigInt(calls)])), share),
    );
    expect(found.map(Number), field).toEqual(wanted);
  }
});

test("money over things is rounded half to even, also below nothing, and NULL over none", async () => {
  const cases = [
    ["0.000000000001", 2],
    ["0.000000000003", 2],
    ["0.000000000005", 2],
    ["-0.000000000003", 2],
    ["-1", 3],
    ["99999999999999.123456789012", 7],
    ["0", 5],
    ["1", 0],
  ] as const;
  const rows = cases.map(
    ([usd, calls], place) =>
      `SELECT ${place} AS place, toDecimal128('${usd}', 12) AS cost_total, toUInt64(${calls}) AS calls_priced`,
  );
  const found = await valuesOf(measureSql("cost_per_call_usd"), rows.join(" UNION ALL "));
  const wanted = cases.map(([usd, calls]) =>
    calls === 0 ? null : formatUsd(divideHalfEven(parseUsd(usd) ?? 0n, BigInt(calls))),
  );
  expect(found).toEqual(wanted);
});

test("what nobody reported is NULL and never zero", async () => {
  const sums =
    "SELECT 0 AS place, toUInt64(0) AS calls, toUInt64(0) AS errors, toUInt64(0) AS calls_priced, toUInt16(0) AS usage_mask, toUInt64(0) AS tokens_cache_read, toDecimal128(0, 12) AS cost_total, toUInt64(0) AS tokens_total, toUInt64(0) AS tokens_unpriced, toUInt64(0) AS ttft_calls, toUInt64(0) AS ttft_ns_sum";
  const expressions = [
    measureSql("cost_usd"),
    measureSql("error_rate"),
    measureSql("tokens", "cache_read"),
    measureSql("ttft", "mean_ns"),
    coverageSql("tokens_priced_share"),
  ];
  for (const expression of expressions) {
    expect(await valuesOf(expression, sums), expression).toEqual([null]);
  }
});

test("a measure with fields wants one that it has, one without wants none", () => {
  expect(() => measureSql("duration")).toThrow("p95_ns");
  expect(() => measureSql("duration", "p42_ns")).toThrow("p95_ns");
  expect(() => measureSql("calls", "p95_ns")).toThrow("(none)");
});

test("columns are found by whole names", () => {
  expect(columnsIn(["sums.calls_unpriced + 1"])).toEqual(["calls_unpriced"]);
  expect(columnsIn(["sums.cost_total / sums.calls"]).sort()).toEqual(["calls", "cost_total"]);
});
