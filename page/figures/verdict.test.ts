import { expect, test } from "vitest";
import type { CollectorAnswer } from "../../schemas/api-collector.ts";
import { judgeCollector } from "./verdict.ts";

const NOW_MS = Date.parse("2026-11-21T12:00:00Z");

interface Changes {
  readonly last_sample_at?: string | null;
  readonly now?: object;
  readonly totals?: object;
  readonly backlog?: object;
  readonly insert_failures?: readonly (number | null)[];
}

/** A collector that is well, with what the test changes. */
function makeAnswer(changes: Changes = {}): CollectorAnswer {
  const { last_sample_at = "2026-11-21T11:59:50Z" } = changes;
  const answer = {
    last_sample_at,
    now: {
      wal_oldest_pending_s: 0.4,
      wal_pending_records: 12,
      wal_budget_share: 0.02,
      dead_letter_records: 0,
      dead_letter_bytes: 0,
      ...changes.now,
    },
    totals: {
      refused_requests: 0,
      refusals: [],
      rejected: { traces: 0, logs: 0, metrics: 0 },
      ...changes.totals,
    },
    backlog: { dirty_buckets: 3, oldest_dirty_s: 4, rows_waiting: 10, ...changes.backlog },
    points: (changes.insert_failures ?? [0, 0, null]).map((insert_failures) => ({
      insert_failures,
    })),
  };
  return answer as unknown as CollectorAnswer;
}

test("a collector that takes and passes on what it gets is well", () => {
  expect(judgeCollector(makeAnswer(), NOW_MS)).toEqual([]);
});

test.each<[string, Changes, RegExp]>([
  [
    "no sample for a minute",
    { last_sample_at: "2026-11-21T11:58:00Z" },
    /told of itself for 2\.0 min/,
  ],
  ["no sample ever", { last_sample_at: null }, /told of itself yet/],
  [
    "refused requests",
    {
      totals: {
        refused_requests: 2,
        refusals: [{ signal: "traces", reason: "too_large", requests: 2 }],
      },
    },
    /2 requests were refused in the last hour, most of them as “too large”/,
  ],
  [
    "rejected items",
    { totals: { rejected: { traces: 1, logs: 0, metrics: 0 } } },
    /1 item was rejected/,
  ],
  [
    "dead letters",
    { now: { dead_letter_records: 1, dead_letter_bytes: 2048 } },
    /refused 1 record \(2\.0 KiB\)/,
  ],
  ["rows that wait", { now: { wal_oldest_pending_s: 61 } }, /12 received records wait/],
  ["a log that fills up", { now: { wal_budget_share: 0.51 } }, /51\.0 % of its disk/],
  ["sums that are late", { backlog: { oldest_dirty_s: 901 } }, /3 15-minute sums/],
  ["inserts that fail", { insert_failures: [0, 2, 1] }, /3 inserts into ClickHouse failed/],
])("%s is said, alone and with what to do", (_what, changes, words) => {
  const findings = judgeCollector(makeAnswer(changes), NOW_MS);
  expect(findings).toHaveLength(1);
  expect(findings[0]?.what).toMatch(words);
  expect(findings[0]?.advice).not.toBe("");
});

test("what is at its limit, or over for some minutes, is not said", () => {
  const changes = {
    last_sample_at: "2026-11-21T11:59:00Z",
    now: { wal_oldest_pending_s: 60, wal_budget_share: 0.5 },
    backlog: { oldest_dirty_s: 900 },
    insert_failures: [9, 0, 0, 0, 0, 0],
  };
  expect(judgeCollector(makeAnswer(changes), NOW_MS)).toEqual([]);
});
