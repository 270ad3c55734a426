/** What is told of the log: the alarm of its disk budget, its counts, and whether it is ready. */
import { expect, test, vi } from "vitest";
import { makeCollectorMetrics } from "./metrics.ts";
import { checkWal, makeBudgetAlarm, REFUSED_MS, watchWal, type WatchedStats } from "./watch-wal.ts";

const IDLE: WatchedStats = {
  bytes: 0,
  records_pending: 0,
  oldest_pending_ms: 0,
  last_refused_ms: 0,
  torn_tails: 0,
  torn_bytes: 0,
  quarantined_records: 0,
  quarantined_bytes: 0,
  quarantine_failures: 0,
  missing_segments: 0,
  refused_records: 0,
  refused_bytes: 0,
};

function tellAll(ratios: readonly number[]): string[] {
  const tell = makeBudgetAlarm();
  return ratios.map((ratio) => {
    const news = tell(ratio);
    return news === null ? "" : `${news.is_rising ? "+" : "-"}${news.step}`;
  });
}

test("F10: 50, 80 and 95 % of the budget are told once each, up and down", () => {
  const up = tellAll([0, 0.49, 0.5, 0.79, 0.8, 0.94, 0.95, 1]);
  expect(up).toEqual(["", "", "+0.5", "", "+0.8", "", "+0.95", ""]);
  expect(tellAll([1, 0.89, 0.74, 0.44, 0])).toEqual(["+0.95", "-0.8", "-0.5", "-0", ""]);
});

test("F10: use that goes to and fro around a step is told once", () => {
  const told = tellAll([0.5, 0.49, 0.51, 0.46, 0.5, 0.44, 0.5]);
  expect(told).toEqual(["+0.5", "", "", "", "", "-0", "+0.5"]);
});

test("F10: a fast rise and a fast fall tell only where they end", () => {
  expect(tellAll([0.97, 0, 0.82])).toEqual(["+0.95", "-0", "+0.8"]);
});

test("F10: a budget that runs out is an error in the log, and the share is on the metrics", async () => {
  vi.useFakeTimers();
  const lines: string[] = [];
  const write = (level: string) => (_fields: unknown, message: string) => {
    lines.push(`${level} ${message}`);
  };
  const log = { info: write("info"), warn: write("warn"), error: write("error") };
  const metrics = makeCollectorMetrics();
  let stats = IDLE;
  const stop = watchWal({ counts_before: IDLE, stats: () => stats }, 1000, metrics, log);
  for (const bytes of [600, 960, 0]) {
    stats = { ...IDLE, bytes, refused_records: 7 };
    vi.advanceTimersByTime(1_000);
  }
  stats = { ...stats, bytes: 250 };
  stop();
  vi.useRealTimers();
  expect(lines.map((line) => line.split(":")[0])).toEqual([
    "warn the write-ahead log uses more than 50 % of its disk budget",
    "error the write-ahead log uses more than 95 % of its disk budget",
    "info the write-ahead log has room again",
  ]);
  for (let asked = 0; asked < 2; asked += 1) {
    const text = await metrics.registry.metrics();
    expect(text).toContain("spanledger_wal_budget_ratio 0.25");
    expect(text).toContain("spanledger_wal_refused_records_total 7");
  }
});

test("F04: damage is an error in the log when it is found, and not again at a later start", () => {
  const lines: string[] = [];
  const write = (level: string) => (fields: unknown, message: string) => {
    lines.push(`${level} ${JSON.stringify(fields)} ${message}`);
  };
  const log = { info: write("info"), warn: write("warn"), error: write("error") };
  const counts_before = { ...IDLE, quarantined_records: 2, torn_tails: 1 };
  const found = { ...counts_before, quarantined_records: 5, torn_tails: 2 };
  watchWal({ counts_before, stats: () => found }, 1000, makeCollectorMetrics(), log)();
  expect(lines).toEqual([
    expect.stringMatching(/^warn \{"found":1,"wal_torn_tails":2\} .* cut by a crash/),
    expect.stringMatching(/^error \{"found":3,"wal_quarantined_records":5\} .* wal\/quarantine/),
  ]);
  watchWal({ counts_before: found, stats: () => found }, 1000, makeCollectorMetrics(), log)();
  expect(lines).toHaveLength(2);
});

test("F08: a log that refused a record is not ready for a while, and then is again", () => {
  const refused = { ...IDLE, last_refused_ms: 10_000 };
  expect(() => checkWal(refused, 10_000 + REFUSED_MS - 1)).toThrow(/could not take/);
  expect(() => checkWal(refused, 10_000 + REFUSED_MS)).not.toThrow();
  expect(() => checkWal(IDLE, 1_800_000_000_000)).not.toThrow();
});
