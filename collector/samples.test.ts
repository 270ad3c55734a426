/** Samples in the engine itself: what is stored twice is there once, and labels keep their words. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { makeCollectorMetrics, WAL_COUNTS, type WalCount } from "./metrics.ts";
import { startSamples, writeSamples } from "./samples.ts";
import type { Sample } from "./telemetry/samples.ts";

let test_engine: TestEngine;

beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());

function readSums(name: string): Promise<unknown[]> {
  return test_engine.engine.query(
    `SELECT labels['reason'] AS reason, instance_id, sum(value) AS value, uniqExact(sampled_at) AS samples
     FROM collector_samples FINAL WHERE name = {name:String} AND kind = 'counter'
     GROUP BY reason, instance_id ORDER BY reason, instance_id`,
    { name },
  );
}

test("a write that is repeated adds nothing, and samples differ by time, labels and collector", async () => {
  const { engine } = test_engine;
  const row = (at_ms: number, reason: string, value: number): Sample => ({
    at_ms,
    name: "spanledger_x_total",
    labels: [["reason", reason]],
    kind: "counter",
    value,
  });
  const odd = 'it\'s \\ a "quote", and\ta tab';
  const now_ms = Date.now();
  const rows = [row(now_ms, "plain", 1.5), row(now_ms, odd, 2), row(now_ms + 1, "plain", 3)];
  for (let time = 0; time < 3; time += 1) await writeSamples(engine, "one", rows);
  await writeSamples(engine, "two", rows.slice(0, 1));
  expect(await readSums("spanledger_x_total")).toEqual([
    { reason: odd, instance_id: "one", value: 2, samples: "1" },
    { reason: "plain", instance_id: "one", value: 4.5, samples: "2" },
    { reason: "plain", instance_id: "two", value: 1.5, samples: "1" },
  ]);
});

function makeWal() {
  const names = Object.keys(WAL_COUNTS) as WalCount[];
  const counts_before = Object.fromEntries(names.map((name) => [name, 7])) as Record<
    WalCount,
    number
  >;
  return { writer_id: "wal-1", counts_before };
}

test("a collector stores a last sample when it stops, without what its log counted before", async () => {
  const { engine } = test_engine;
  const metrics = makeCollectorMetrics();
  const settings = { SPANLEDGER_SAMPLES_INTERVAL_S: 60 };
  const samples = startSamples({ settings, engine, metrics, wal: makeWal() });
  metrics.rejected_items.inc({ signal: "traces", reason: "too_new" }, 4);
  metrics.wal_counts.torn_tails.inc(9);
  metrics.wal_counts.torn_bytes.inc(7);
  await samples.stop();
  expect(await readSums("spanledger_rejected_items_total")).toEqual([
    { reason: "too_new", instance_id: "wal-1", value: 4, samples: "1" },
  ]);
  expect(await readSums("spanledger_wal_torn_tails_total")).toMatchObject([{ value: 2 }]);
  expect(await readSums("spanledger_wal_torn_bytes_total")).toEqual([]);
});

test("an interval of 0 takes none", async () => {
  const metrics = makeCollectorMetrics();
  metrics.counted_calls.inc(4);
  const settings = { SPANLEDGER_SAMPLES_INTERVAL_S: 0 };
  const { engine } = test_engine;
  await startSamples({ settings, engine, metrics, wal: makeWal() }).stop();
  expect(await readSums("spanledger_counted_calls_total")).toEqual([]);
});
