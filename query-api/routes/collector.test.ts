/** The health of the pipeline: sums, quantiles and gaps as a second way of counting finds them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeBlockWriter } from "../../collector/columns/block.ts";
import { makeCollectorMetrics } from "../../collector/metrics.ts";
import { writeSamples } from "../../collector/samples.ts";
import { type Sample, Sampler } from "../../collector/telemetry/samples.ts";
import { makeOperator } from "../../schemas/access.ts";
import { CollectorAnswer } from "../../schemas/api-collector.ts";
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { makeReader, makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { makeRandom } from "../../test/support/random.ts";
import { makeSpan } from "../../test/support/span.ts";
import { readSteps } from "./collector.ts";

/** A minute and a half into a step of five minutes; samples of long ago would be dropped by the TTL. */
const NOW_MS = Math.floor(Date.now() / 300_000) * 300_000 + 90_000;
const STEP_S = 300;

let test_engine: TestEngine;
let api: TestApi;

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine, {
    now_ms: () => NOW_MS,
    authenticate: ({ "x-api-key": key }) => ({
      actor: key === "key-alpha" ? makeOperator() : makeReader("beta"),
      expires_at_ms: null,
    }),
  });
});
afterAll(() => test_engine.close());

async function read(query = `?interval_s=${STEP_S}`): Promise<CollectorAnswer> {
  const { status, text, json } = await api.ask(`/v1/collector${query}`);
  if (status !== 200) throw new Error(`${status}: ${text}`);
  return readStrictly(CollectorAnswer, json);
}

function gauge(at_ms: number, name: string, value: number): Sample {
  return { at_ms, name: `spanledger_${name}`, labels: [], kind: "gauge", value };
}

/** Start of the step that is `steps` before the one that now is in, Unix ms. */
function stepMs(steps: number): number {
  return Math.floor(NOW_MS / (STEP_S * 1000)) * STEP_S * 1000 - steps * STEP_S * 1000;
}

function pointAt(answer: CollectorAnswer, steps: number): CollectorAnswer["points"][number] {
  const time = new Date(stepMs(steps)).toISOString();
  const point = answer.points.find((one) => one.time === time);
  if (point === undefined) throw new Error(`no point at ${time}`);
  return point;
}

test("an installation without samples has nulls, and tables", async () => {
  const answer = await read();
  expect(answer).toMatchObject({ last_sample_at: null, collectors: [], engine: "embedded" });
  expect(new Set(Object.values(answer.now))).toEqual(new Set([null]));
  expect(answer.points).toHaveLength(13);
  const { time: _time, ...first } = answer.points[0] ?? {};
  expect(new Set(Object.values(first))).toEqual(new Set([null]));
  expect(answer.totals).toMatchObject({ accepted: null, cpu_cores: null, items: [] });
  expect(answer.tables.map(({ name }) => name)).toContain("spans");
  expect(answer.prices.rows).toBeGreaterThan(1_000);
  expect(answer.prices.evidence_date).toMatch(/^2026-\d\d-\d\d$/);
});

test("who is not the operator is refused", async () => {
  expect((await api.ask("/v1/collector", "key-beta")).status).toBe(403);
});

describe("with samples of two collectors", () => {
  /** All durations of INSERTs that were observed, by step. */
  const observed = new Map<number, number[]>();

  beforeAll(async () => {
    const { engine } = test_engine;
    const random = makeRandom(5);
    for (const instance of ["one", "two"]) {
      const metrics = makeCollectorMetrics();
      metrics.build_info.set({ version: `1.0-${instance}`, engine: "embedded" }, 1);
      const sampler = new Sampler(metrics.registry);
      // Three samples a step; the step 2 before now has none.
      for (const steps of [4, 3, 1, 0]) {
        for (let sample = 0; sample < 3; sample += 1) {
          const at_ms = stepMs(steps) + sample * 30_000;
          metrics.accepted_items.inc({ signal: "traces" }, 10);
          metrics.accepted_items.inc({ signal: "logs" }, 1);
          metrics.rejected_items.inc({ signal: "logs", reason: "too_old" }, 2);
          metrics.refused_requests.inc({ signal: "traces", transport: "http", reason: "no_room" });
          metrics.refused_requests.inc({ signal: "traces", transport: "grpc", reason: "no_room" });
          for (let insert = 0; insert < 5; insert += 1) {
            const duration_s = 10 ** (random.next() * 4 - 3);
            observed.set(steps, [...(observed.get(steps) ?? []), duration_s]);
            metrics.insert_duration.observe(duration_s);
            metrics.insert_rows.observe(100 * (sample + 1));
          }
          metrics.wal_bytes.set(1000 * steps + sample);
          metrics.wal_budget_ratio.set(instance === "one" ? 0.25 : 0.75);
          const { rows } = await sampler.take(at_ms);
          const cpu = { at_ms, name: "process_cpu_seconds_total", labels: [], kind: "counter" };
          await writeSamples(engine, instance, [...rows, { ...cpu, value: 3 } as Sample]);
        }
      }
    }
  });

  test("counts are added up over collectors and samples, by signal and reason", async () => {
    const answer = await read();
    expect(pointAt(answer, 3)).toMatchObject({
      accepted: { traces: 60, logs: 6, metrics: 0 },
      rejected: { traces: 0, logs: 12, metrics: 0 },
      refused_requests: 12,
      inserts: 30,
      batch_rows: 200,
      insert_failures: 0,
      // 2 collectors, 3 samples of 3 s, in 300 s; of the step that is not over, in 90 s.
      cpu_cores: 18 / 300,
    });
    expect(pointAt(answer, 0).cpu_cores).toBeCloseTo(18 / 90, 9);
    expect(answer.totals.items).toEqual([
      { signal: "traces", outcome: "accepted", reason: null, items: 240 },
      { signal: "logs", outcome: "rejected", reason: "too_old", items: 48 },
      { signal: "logs", outcome: "accepted", reason: null, items: 24 },
    ]);
    expect(answer.totals.refusals).toEqual([{ signal: "traces", reason: "no_room", requests: 48 }]);
    expect(answer.totals.accepted).toEqual({ traces: 240, logs: 24, metrics: 0 });
  });

  test("gauges are the last of each collector, added up or the greatest", async () => {
    const answer = await read();
    expect(pointAt(answer, 3)).toMatchObject({ wal_bytes: 2 * 3_002, wal_budget_share: 0.75 });
    expect(answer.now).toMatchObject({ wal_bytes: 4, wal_budget_share: 0.75, memory_bytes: null });
    const last_sample_at = new Date(stepMs(0) + 60_000).toISOString();
    expect(answer.last_sample_at).toBe(last_sample_at);
    expect(answer.collectors).toEqual([
      { instance_id: "one", version: "1.0-one", last_sample_at },
      { instance_id: "two", version: "1.0-two", last_sample_at },
    ]);
  });

  test("a step without a sample is null, not 0", async () => {
    const { time: _time, ...gap } = pointAt(await read(), 2);
    expect(new Set(Object.values(gap))).toEqual(new Set([null]));
  });

  test("quantiles are those of Prometheus over the buckets, of a step and of all", async () => {
    const answer = await read();
    const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
    const quantile = (values: readonly number[], share: number): number => {
      const rank = share * values.length;
      const below = (bound: number) => values.filter((value) => value <= bound).length;
      const index = bounds.findIndex((bound) => below(bound) >= rank);
      const [low, high] = [bounds[index - 1] ?? 0, bounds[index] ?? Number.NaN];
      const under = index === 0 ? 0 : below(low);
      return low + ((high - low) * (rank - under)) / (below(high) - under);
    };
    for (const steps of [4, 3, 1, 0]) {
      const values = observed.get(steps) ?? [];
      expect(values).toHaveLength(30);
      expect(pointAt(answer, steps).insert_p50_s).toBeCloseTo(quantile(values, 0.5), 9);
      expect(pointAt(answer, steps).insert_p95_s).toBeCloseTo(quantile(values, 0.95), 9);
    }
    const all = [...observed.values()].flat();
    expect(answer.totals.insert_p95_s).toBeCloseTo(quantile(all, 0.95), 9);
    expect(answer.totals.commit_p95_s).toBeNull();
  });

  test("a collector that has been silent for three minutes is not among those that are there", async () => {
    await writeSamples(test_engine.engine, "gone", [
      gauge(NOW_MS - 181_000, "wal_bytes", 1_000_000),
    ]);
    const answer = await read();
    expect(answer.collectors.map(({ instance_id }) => instance_id)).toEqual(["one", "two"]);
    expect(answer.now.wal_bytes).toBe(4);
  });
});

test("the lag of ingest is from the end of a span to its receipt, below 0 for a clock that is ahead", async () => {
  const received_ms = stepMs(1) + 10_000;
  const lags_s = [-2, 1, 1.5, 40];
  const spans = lags_s.map((lag_s, index) =>
    makeSpan({
      span_id: Uint8Array.from({ length: 8 }, () => index + 1),
      start_ns: BigInt(received_ms - 500 - lag_s * 1000) * 1_000_000n,
      duration_ns: 500_000_000n,
    }),
  );
  const block = makeBlockWriter().encode(spans, { ingest_seq: 1, ingested_ms: received_ms });
  await test_engine.engine.insertNative("spans", SPAN_COLUMNS, [block]);
  const answer = await read();
  const point = pointAt(answer, 1);
  expect(point.ingest_lag_p50_s).toBeGreaterThanOrEqual(1);
  expect(point.ingest_lag_p50_s).toBeLessThanOrEqual(1.5);
  expect(point.ingest_lag_p95_s).toBeGreaterThan(20);
  expect(answer.totals.ingest_lag_p50_s).toBe(point.ingest_lag_p50_s);
  expect(answer.tables.find(({ name }) => name === "spans")).toMatchObject({ rows: 4, parts: 1 });
});

describe("steps", () => {
  test.each([
    [3_600, 30],
    [86_400, 600],
    [30 * 86_400, 14_400],
    [60, 15],
  ])("of a range of %d s are %d s long, and at most 200", (range_s, interval_s) => {
    const steps = readSteps({ from: NOW_MS - range_s * 1000, to: NOW_MS }, NOW_MS);
    expect(steps.interval_s).toBe(interval_s);
    expect((steps.to_s - steps.from_s) / interval_s).toBeLessThanOrEqual(200);
    expect(steps.from_s * 1000).toBeLessThanOrEqual(NOW_MS - range_s * 1000);
    expect(steps.to_s * 1000).toBeGreaterThanOrEqual(NOW_MS);
  });

  test.each([
    "?interval_s=15&from=2026-11-20&to=2026-11-21",
    "?interval_s=14",
    "?from=2026-11-21&to=2026-11-20",
    "?from=2026-01-01&to=2026-11-20",
    "?project=alpha",
  ])("%s is refused", async (query) => {
    expect((await api.ask(`/v1/collector${query}`)).status).toBe(400);
  });
});
