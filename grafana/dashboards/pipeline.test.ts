/**
 * The dashboard of the pipeline over a collector that told of itself: every panel has rows, and the numbers
 * are those of `GET /v1/collector` and `GET /v1/analytics/quality`.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeBlockWriter } from "../../collector/columns/block.ts";
import { addProcessMetrics, makeCollectorMetrics } from "../../collector/metrics.ts";
import { writeSamples } from "../../collector/samples.ts";
import { Sampler } from "../../collector/telemetry/samples.ts";
import { answerCollector } from "../../query-api/routes/collector.ts";
import { answerQuality } from "../../query-api/routes/analytics/quality.ts";
import type { CollectorAnswer } from "../../schemas/api-collector.ts";
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { markSpans } from "../../test/support/ledger.ts";
import { makeRandom } from "../../test/support/random.ts";
import { makeRandomSpan } from "../../test/support/random-span.ts";
import { ALL_VALUE, expandPanel, type MacroRange } from "../macros.ts";
import { PIPELINE } from "./pipeline.ts";

const STEP_MS = 300_000;
/** The end of a step, so that Grafana's range and that of the API are the same. */
const TO_MS = Math.floor(Date.now() / STEP_MS) * STEP_MS;
const FROM_MS = TO_MS - 12 * STEP_MS;
const RANGE: MacroRange = { from_ms: FROM_MS, to_ms: TO_MS, interval_ms: STEP_MS };

const PANELS = PIPELINE.rows.flatMap(({ panels }) => panels);
let test_engine: TestEngine;
let answer: CollectorAnswer;

type Row = Readonly<Record<string, unknown>>;

function ask(panel_id: number, changes: Readonly<Record<string, string>> = {}): Promise<Row[]> {
  const found = PANELS.find(({ spec }) => spec.id === panel_id);
  const values = new Map([
    ...["project", "service", "environment", "provider", "model", "user"].map(
      (name) => [name, ALL_VALUE] as const,
    ),
    ...Object.entries(changes),
  ]);
  const sql = expandPanel(found?.spec.targets[0]?.sql ?? "", values, RANGE);
  return test_engine.engine.query<Row>(sql);
}

/** The points of the answer by the time as the engine prints it. */
function pointsByTime(): Map<string, CollectorAnswer["points"][number]> {
  return new Map(
    answer.points.map((point) => [point.time.slice(0, 19).replace("T", " "), point] as const),
  );
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  const { engine } = test_engine;
  const random = makeRandom(8);
  for (const instance of ["one", "two"]) {
    const metrics = makeCollectorMetrics();
    addProcessMetrics(metrics);
    metrics.build_info.set({ version: "1.2.3", engine: "embedded" }, 1);
    const sampler = new Sampler(metrics.registry);
    for (let at_ms = FROM_MS; at_ms < TO_MS; at_ms += 100_000) {
      for (const signal of ["traces", "logs"]) {
        metrics.accepted_items.inc({ signal }, 1 + random.whole(50));
        metrics.rejected_items.inc({ signal, reason: "too_old" }, random.whole(3));
      }
      metrics.refused_requests.inc({ signal: "traces", transport: "http", reason: "no_room" });
      metrics.insert_failures.inc({ remedy: "retry" }, 2);
      metrics.insert_duration.observe(10 ** (random.next() * 4 - 3));
      metrics.ack_duration.observe(10 ** (random.next() * 4 - 4));
      metrics.insert_rows.observe(1 + random.whole(5_000));
      metrics.wal_bytes.set(random.whole(1_000_000));
      metrics.wal_budget_ratio.set(random.next());
      metrics.wal_pending_records.set(random.whole(9));
      metrics.recompute_lag.dirty_buckets.set(random.whole(9));
      metrics.recompute_lag.oldest_dirty_seconds.set(random.whole(9));
      await writeSamples(engine, instance, (await sampler.take(at_ms)).rows);
    }
  }
  for (const [index, project_id] of ["alpha", "beta", "alpha"].entries()) {
    const received_ms = TO_MS - (index + 1) * 700_000;
    const spans = Array.from({ length: 60 }, () =>
      makeRandomSpan(
        random,
        project_id,
        BigInt(received_ms - 20_000 + random.whole(10_000)) * 1_000_000n,
      ),
    );
    const block = makeBlockWriter().encode(spans, { ingest_seq: index, ingested_ms: received_ms });
    await engine.insertNative("spans", SPAN_COLUMNS, [block]);
    await markSpans(engine, spans, index);
  }
  const query = { from: FROM_MS, to: TO_MS, interval_s: STEP_MS / 1000 };
  answer = await answerCollector({ engine, version: "" }, query, TO_MS);
});
afterAll(() => test_engine.close());

test.each(PANELS.map(({ spec }) => [spec.id, spec.title] as const))(
  "panel %d (%s) has rows",
  async (id) => {
    const rows = await ask(id);
    expect(rows).not.toEqual([]);
    const values = rows.flatMap((row) => Object.values(row));
    expect(values.some((value) => value !== null)).toBe(true);
  },
);

describe("the numbers are those of GET /v1/collector", () => {
  test("accepted items a second, by signal", async () => {
    const rows = await ask(10);
    const points = pointsByTime();
    expect(rows).toHaveLength(24);
    for (const { time, series, value } of rows) {
      const counts = points.get(String(time))?.accepted;
      expect(Number(value) * 300).toBeCloseTo(counts?.[series as "traces" | "logs"] ?? -1, 6);
    }
    const total = answer.totals.accepted;
    const [tile] = await ask(1);
    const seconds = (TO_MS - FROM_MS) / 1000;
    expect(tile?.["Accepted"]).toBeCloseTo(
      ((total?.traces ?? 0) + (total?.logs ?? 0)) / seconds,
      9,
    );
    const rejected = (answer.totals.rejected?.traces ?? 0) + (answer.totals.rejected?.logs ?? 0);
    const [share] = await ask(2);
    const accepted = (total?.traces ?? 0) + (total?.logs ?? 0);
    expect(share?.["Rejected"]).toBeCloseTo(rejected / (accepted + rejected), 9);
  });

  test("what was refused, by reason", async () => {
    const rows = await ask(11);
    const sum = (name: string) =>
      rows.reduce((total, row) => total + (row["series"] === name ? Number(row["value"]) : 0), 0);
    expect(sum("traces no_room (request)")).toBe(answer.totals.refused_requests);
    expect(sum("traces too_old")).toBe(answer.totals.rejected?.traces);
  });

  test("p95 of commits and INSERTs", async () => {
    expect(answer.points).toHaveLength(12);
    const rows = await ask(12);
    const points = pointsByTime();
    expect(rows).toHaveLength(24);
    for (const { time, series, value } of rows) {
      const point = points.get(String(time));
      expect(value).toBe(series === "Commit" ? point?.commit_p95_s : point?.insert_p95_s);
    }
  });

  test("lag of ingest, rows of an INSERT, and gauges", async () => {
    const points = pointsByTime();
    for (const row of await ask(13)) {
      expect(row["p95"]).toBeCloseTo(points.get(String(row["time"]))?.ingest_lag_p95_s ?? 0, 3);
    }
    for (const row of await ask(14)) {
      const point = points.get(String(row["time"]));
      expect(row["Rows of an INSERT"]).toBe(point?.batch_rows);
    }
    for (const row of await ask(15)) {
      const point = points.get(String(row["time"]));
      expect(row["Bytes of the log"]).toBe(point?.wal_bytes);
      expect(row["Records waiting"]).toBe(point?.wal_pending_records);
    }
    for (const row of await ask(16)) {
      const point = points.get(String(row["time"]));
      expect(row["Buckets waiting"]).toBe(point?.dirty_buckets);
      expect(row["Oldest waits"]).toBe(point?.oldest_dirty_s);
    }
  });

  test("tables", async () => {
    const rows = await ask(23);
    const spans = rows.find((row) => row["Table"] === "spans");
    const told = answer.tables.find(({ name }) => name === "spans");
    expect([Number(spans?.["Rows"]), spans?.["Compression"]]).toEqual([
      told?.rows,
      told?.compression_ratio,
    ]);
  });
});

test("quality by instrumentation is that of GET /v1/analytics/quality, of the picked project", async () => {
  const query = { from: FROM_MS, to: TO_MS };
  const told = await answerQuality(test_engine, "beta", query, TO_MS);
  expect(told.totals.calls).toBeGreaterThan(10);
  const rows = await ask(21, { project: "beta" });
  expect(
    rows.map((row) => ({
      calls: Number(row["Calls"]),
      calls_missing_usage: Number(row["No usage"]),
      calls_estimated: Number(row["Estimated"]),
      calls_unpriced: Number(row["No price"]),
      calls_clock_skewed: Number(row["Clock ahead"]),
    })),
  ).toEqual(
    told.sources.map(
      ({ calls, calls_missing_usage, calls_estimated, calls_unpriced, calls_clock_skewed }) => ({
        calls,
        calls_missing_usage,
        calls_estimated,
        calls_unpriced,
        calls_clock_skewed,
      }),
    ),
  );
});

test("without a collector the tiles of collectors say nothing, and never 0", async () => {
  const empty: MacroRange = { ...RANGE, from_ms: FROM_MS - 7_200_000, to_ms: FROM_MS - 3_600_000 };
  for (const id of [1, 2, 4]) {
    const sql = PANELS.find(({ spec }) => spec.id === id)?.spec.targets[0]?.sql ?? "";
    const rows = await test_engine.engine.query<Row>(
      expandPanel(sql, new Map([["project", ALL_VALUE]]), empty),
    );
    expect(rows.flatMap((row) => Object.values(row)).filter((value) => value !== null)).toEqual([]);
  }
});
