/** Samples add up to what was counted, whatever happens to single ones; nobody waits for them. */
import { describe, expect, test, vi } from "vitest";
import { addProcessMetrics, type CollectorMetrics, makeCollectorMetrics } from "../metrics.ts";
import { MAX_INSERT_ROWS, type Sample, SampleLoop, Sampler } from "./samples.ts";

/** `name{label="value"}` to what its rows add up to, counters alone. */
function addUp(rows: readonly Sample[], sums = new Map<string, number>()): Map<string, number> {
  for (const { name, labels, kind, value } of rows) {
    if (kind === "gauge") continue;
    const text = labels.map(([label, word]) => `${label}="${word}"`).join(",");
    const key = text === "" ? name : `${name}{${text}}`;
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

/** The lines of /metrics that are not gauges and not 0, as Prometheus reads them. */
async function readPrometheus({ registry }: CollectorMetrics): Promise<Map<string, number>> {
  const text = await registry.metrics();
  const gauges = new Set([...text.matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name]) => name));
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const values = lines.map((line): [string, number] => {
    const at = line.lastIndexOf(" ");
    const [name = "", labels = ""] = line.slice(0, at).split(/(?=\{)/);
    const sorted = labels.slice(1, -1).split(",").toSorted().join(",");
    return [sorted === "" ? name : `${name}{${sorted}}`, Number(line.slice(at + 1))];
  });
  return new Map(
    values.filter(([key, value]) => value !== 0 && !gauges.has(/^[^{]+/.exec(key)?.[0])),
  );
}

function withoutZeros(sums: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...sums].filter(([, value]) => value !== 0));
}

function count(metrics: CollectorMetrics, times: number): void {
  metrics.accepted_items.inc({ signal: "traces" }, 3 * times);
  metrics.rejected_items.inc({ signal: "logs", reason: "too_old" }, times);
  metrics.insert_duration.observe(0.02 * times);
  metrics.insert_step_duration.observe({ step: "mark" }, 0.3);
}

describe("samples", () => {
  test("of a counter and a histogram add up to what Prometheus reads, over a restart too", async () => {
    const rows: Sample[] = [];
    const wanted = new Map<string, number>();
    for (const process of [1, 2]) {
      const metrics = makeCollectorMetrics();
      const sampler = new Sampler(metrics.registry);
      for (let round = 1; round <= 3; round += 1) {
        count(metrics, round * process);
        rows.push(...(await sampler.take(round)).rows);
      }
      for (const [key, value] of await readPrometheus(metrics)) {
        wanted.set(key, (wanted.get(key) ?? 0) + value);
      }
    }
    const sums = withoutZeros(addUp(rows));
    expect([...sums.keys()].toSorted()).toEqual([...wanted.keys()].toSorted());
    for (const [key, value] of wanted) expect(sums.get(key), key).toBeCloseTo(value, 9);
    expect(wanted.get('spanledger_accepted_items_total{signal="traces"}')).toBe(3 * (6 + 12));
  });

  test("have nothing of what did not change, but the bound below the first bucket that did", async () => {
    const metrics = makeCollectorMetrics();
    const sampler = new Sampler(metrics.registry);
    count(metrics, 1);
    await sampler.take(1);
    metrics.insert_duration.observe(0.3);
    const { rows } = await sampler.take(2);
    expect(rows.filter(({ kind }) => kind === "counter")).toEqual(
      [
        ["bucket", "0.25", 0],
        ...["0.5", "1", "2.5", "5", "10", "30", "+Inf"].map((le) => ["bucket", le, 1] as const),
        ["sum", null, expect.closeTo(0.3, 9)],
        ["count", null, 1],
      ].map(([part, le, value]) => ({
        at_ms: 2,
        name: `spanledger_insert_duration_seconds_${String(part)}`,
        labels: le === null ? [] : [["le", le]],
        kind: "counter",
        value,
      })),
    );
  });

  test("have every gauge that is known, and of Node memory and CPU only", async () => {
    const metrics = makeCollectorMetrics();
    addProcessMetrics(metrics);
    metrics.wal_bytes.set(7);
    metrics.dead_letter_records.set(Number.NaN);
    const { rows } = await new Sampler(metrics.registry).take(1);
    const gauges = new Map(rows.map(({ name, value }) => [name, value]));
    expect(gauges.get("spanledger_wal_bytes")).toBe(7);
    expect(gauges.get("spanledger_wal_queued_bytes")).toBe(0);
    expect(gauges.has("spanledger_dead_letter_records")).toBe(false);
    expect(gauges.get("process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    expect(gauges.get("process_cpu_seconds_total")).toBeGreaterThan(0);
    const of_node = rows.map(({ name }) => name).filter((name) => !name.startsWith("spanledger_"));
    expect(of_node.toSorted()).toEqual([
      "nodejs_external_memory_bytes",
      "nodejs_heap_size_used_bytes",
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
    ]);
  });

  test("leave alone what begins a new period when it is read", async () => {
    const metrics = makeCollectorMetrics();
    addProcessMetrics(metrics);
    const lag = metrics.registry.getSingleMetric("nodejs_eventloop_lag_seconds");
    const collect = vi.fn<() => void>();
    Object.assign(lag ?? {}, { collect });
    await new Sampler(metrics.registry).take(1);
    expect(collect).not.toHaveBeenCalled();
    await metrics.registry.metrics();
    expect(collect).toHaveBeenCalledOnce();
  });

  test("tell of a counter that goes on over restarts what this process added", async () => {
    const metrics = makeCollectorMetrics();
    metrics.wal_counts.torn_tails.inc(5);
    metrics.wal_counts.torn_bytes.inc(40);
    const before = new Map([
      ["spanledger_wal_torn_tails_total", 4],
      ["spanledger_wal_torn_bytes_total", 40],
    ]);
    const { rows } = await new Sampler(metrics.registry, before).take(1);
    expect(addUp(rows)).toEqual(new Map([["spanledger_wal_torn_tails_total", 1]]));
  });

  test("that have no room for all say so, and tell the rest with the next one", async () => {
    const metrics = makeCollectorMetrics();
    const gauges = (await new Sampler(metrics.registry).take(0)).rows.length;
    const sampler = new Sampler(metrics.registry, new Map(), gauges + 2);
    const reasons = ["a", "b", "c", "d", "e"];
    for (const reason of reasons) metrics.rejected_items.inc({ signal: "logs", reason }, 1);
    const first = await sampler.take(1);
    expect(first.rows).toHaveLength(gauges + 2);
    expect(first.left_out).toBeGreaterThan(0);
    const sums = addUp(first.rows);
    for (let round = 2; round < 6; round += 1) addUp((await sampler.take(round)).rows, sums);
    expect([...sums.values()]).toEqual([1, 1, 1, 1, 1]);
  });
});

/** A loop over a counter, with a store that tests open and close. */
function makeLoop(changes: { max_waiting_rows?: number; stop_wait_ms?: number } = {}) {
  const stored: Sample[] = [];
  const dropped: [number, string][] = [];
  const state = { taken: 0, is_away: false, is_stuck: false, rows_each: 1 };
  const loop = new SampleLoop({
    async take(at_ms) {
      state.taken += 1;
      const row = { at_ms, name: "n", labels: [], kind: "counter", value: state.taken } as const;
      return { rows: Array.from({ length: state.rows_each }, () => row), left_out: 0 };
    },
    async write(rows) {
      if (state.is_stuck) await new Promise(() => {});
      if (state.is_away) throw new Error("away");
      expect(rows.length).toBeLessThanOrEqual(MAX_INSERT_ROWS);
      stored.push(...rows);
    },
    interval_ms: 15_000,
    now_ms: () => 1,
    noteDropped: (rows, reason) => dropped.push([rows, reason]),
    ...changes,
  });
  return { loop, stored, dropped, state };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("a loop of samples", () => {
  test("keeps them while ClickHouse is away, drops and counts the oldest, and goes on in order", async () => {
    const { loop, stored, dropped, state } = makeLoop({ max_waiting_rows: 3 });
    state.is_away = true;
    for (let round = 0; round < 5; round += 1) {
      await loop.sample();
      await settle();
    }
    expect(stored).toEqual([]);
    expect(dropped).toEqual([
      [1, "waited"],
      [1, "waited"],
    ]);
    state.is_away = false;
    await loop.stop();
    // The last sample of the stop takes the place of one more.
    expect(dropped).toHaveLength(3);
    expect(stored.map(({ value }) => value)).toEqual([4, 5, 6]);
  });

  test("stores many rows in several parts", async () => {
    const { loop, stored, state } = makeLoop();
    state.rows_each = MAX_INSERT_ROWS + 1;
    await loop.stop();
    expect(stored).toHaveLength(MAX_INSERT_ROWS + 1);
  });

  test("ends in time when ClickHouse does not answer", async () => {
    const { loop, stored, state } = makeLoop({ stop_wait_ms: 20 });
    state.is_stuck = true;
    const started_ms = performance.now();
    await loop.stop();
    expect(performance.now() - started_ms).toBeLessThan(1_000);
    expect(stored).toEqual([]);
  });

  test("takes one at each interval, and none after its stop", async () => {
    vi.useFakeTimers();
    const { loop, state } = makeLoop();
    loop.start();
    await vi.advanceTimersByTimeAsync(45_000);
    expect(state.taken).toBe(3);
    await loop.stop();
    await vi.advanceTimersByTimeAsync(45_000);
    expect(state.taken).toBe(4);
    vi.useRealTimers();
  });
});
