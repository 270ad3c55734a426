/** How well calls are told, counted again from the delivered spans. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { QualityAnswer } from "../../../schemas/api-quality.ts";
import type { Span } from "../../../schemas/span.ts";
import { type AnalyticsTest, END_MS, FROM_MS, NOW_MS, openAnalytics } from "./fixture.ts";
import { makeSpan } from "../../../test/support/span.ts";

/** When the spans of tests are received (test/support/ledger.ts). */
const RECEIVED_MS = 1_795_225_706_001;

let ledger: AnalyticsTest;

beforeAll(async () => {
  ledger = await openAnalytics(11, 400);
});
afterAll(() => ledger.close());

/** The truth about some calls; nothing of these tests is a suspected duplicate or counted twice. */
function countFaults(calls: readonly Span[]) {
  const count = (is: (span: Span) => boolean) => calls.filter(is).length;
  const is_refused = (span: Span) =>
    span.cost_status === "priced" && span.tokens.every((tokens) => tokens === null);
  return {
    calls: calls.length,
    calls_missing_usage: count((span) => span.usage_status === "missing" && !is_refused(span)),
    calls_estimated: count((span) => span.usage_status === "estimated"),
    calls_unpriced: count((span) => span.cost_status !== "priced"),
    calls_suspected_duplicate: 0,
    calls_clock_skewed: count((span) => Number(span.start_ns / 1_000_000n) - RECEIVED_MS > 60_000),
    duplicate_reports: 0,
  };
}

test("each source has its faults, and the totals are of all", async () => {
  const answer = await ledger.read(QualityAnswer, "/v1/analytics/quality");
  const calls = ledger.calls("alpha", FROM_MS, END_MS);
  expect(calls.length).toBeGreaterThan(100);
  expect(answer.totals).toEqual(countFaults(calls));
  expect(answer.totals.calls_unpriced).toBeGreaterThan(0);
  expect(answer.totals.calls_missing_usage).toBeGreaterThan(0);
  expect(answer.totals.calls_estimated).toBeGreaterThan(0);
  const sources = Map.groupBy(calls, (span) => JSON.stringify([span.dialect, span.scope_name]));
  expect(answer.sources).toHaveLength(sources.size);
  for (const {
    dialect,
    scope_name,
    scope_versions,
    services,
    last_seen,
    ...counts
  } of answer.sources) {
    const own = sources.get(JSON.stringify([dialect ?? "", scope_name ?? ""])) ?? [];
    expect(counts).toEqual(countFaults(own));
    expect(services.length).toBeLessThanOrEqual(10);
    for (const version of scope_versions) {
      expect(own.some((span) => span.scope_version === version)).toBe(true);
    }
    const last_ns = own.reduce((last, { start_ns }) => (start_ns > last ? start_ns : last), 0n);
    expect(Date.parse(last_seen)).toBe(Number(last_ns / 1_000_000n));
  }
});

test("its counts are those of the coverage, and filters hold for both", async () => {
  for (const query of ["", "?provider=openai", "?status=error&limit=1"]) {
    const { totals, coverage } = await ledger.read(QualityAnswer, `/v1/analytics/quality${query}`);
    expect({
      calls: coverage.calls,
      calls_missing_usage: coverage.calls_missing_usage,
      calls_estimated: coverage.calls_estimated,
      calls_unpriced: coverage.calls_unpriced,
    }).toEqual({
      calls: totals.calls,
      calls_missing_usage: totals.calls_missing_usage,
      calls_estimated: totals.calls_estimated,
      calls_unpriced: totals.calls_unpriced,
    });
  }
});

test("calls that start more than a minute after they were received are skewed; a list is cut and says so", async () => {
  const at = (ms: number, scope_name: string, id: number): Span =>
    makeSpan({
      project_id: "beta",
      scope_name,
      span_id: Uint8Array.from({ length: 8 }, () => id),
      start_ns: BigInt(ms) * 1_000_000n,
    });
  await ledger.deliver([
    at(RECEIVED_MS + 60_000, "just", 1),
    at(RECEIVED_MS + 60_001, "late", 2),
    at(RECEIVED_MS + 90_000, "late", 3),
  ]);
  const path = "/v1/analytics/quality?from=2026-11-21&to=2026-11-22&limit=1";
  const answer = await ledger.read(QualityAnswer, path, "key-beta");
  expect(answer.truncated).toBe(true);
  expect(answer.totals).toMatchObject({ calls: 3, calls_clock_skewed: 2 });
  expect(answer.sources).toMatchObject([{ scope_name: "late", calls: 2, calls_clock_skewed: 2 }]);
});

test("an empty range has zeros", async () => {
  const path = `/v1/analytics/quality?from=2020-01-01&to=${new Date(NOW_MS - 366 * 86_400_000).toISOString()}`;
  const answer = await ledger.read(QualityAnswer, path);
  expect(answer.sources).toEqual([]);
  expect(answer.totals.calls).toBe(0);
});
