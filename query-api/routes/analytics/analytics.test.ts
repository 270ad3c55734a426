/**
 * What sums up usage against what was delivered: every figure is that of a plain fold over the spans of
 * one project, and every answer fits its schema to the field.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  COST_MEASURES,
  CostsAnswer,
  CostsOfPeriodAnswer,
  CurrentAnswer,
  DashboardAnswer,
  PART_MEASURES,
  PROVIDER_MEASURES,
  ProvidersAnswer,
  SUMMARY_MEASURES,
} from "../../../schemas/api-analytics.ts";
import { makeOperator } from "../../../schemas/access.ts";
import { BudgetAnswer } from "../../../schemas/alerting.ts";
import { UsageAnswer } from "../../../schemas/api-usage.ts";
import type { Span } from "../../../schemas/span.ts";
import type { MeasureName } from "../../../schemas/usage.ts";
import { readStrictly } from "../../../test/support/api.ts";
import { byClass, idBytes, makeSpan } from "../../../test/support/span.ts";
import {
  callCost,
  dimensionOf,
  measureTruth,
  stepStart,
  usdText,
} from "../../../test/support/usage-truth.ts";
import {
  type AnalyticsTest,
  computeRollups,
  END_MS,
  FROM_MS,
  NOW_MS,
  openAnalytics,
} from "./fixture.ts";

const DAY_MS = 86_400_000;
const BEFORE_MS = FROM_MS - (END_MS - FROM_MS);

let ledger: AnalyticsTest;

/** Keys `key-<project>` of those projects, which may make budgets. */
function identifyProject(headers: Readonly<Record<string, string>>) {
  const project_id = (headers["x-api-key"] ?? "").replace("key-", "");
  const actor = {
    ...makeOperator(`key-${project_id}`),
    kind: "key" as const,
    organization_id: project_id,
    project_id,
  };
  return { actor, expires_at_ms: null };
}

beforeAll(async () => {
  ledger = await openAnalytics(11, 400, { authenticate: identifyProject });
  await computeRollups(ledger);
});
afterAll(() => ledger.close());

/** What an answer says of these calls, quantiles apart, which have a test of their own. */
function truthOf(calls: readonly Span[], measures: readonly MeasureName[]): unknown {
  const values = Object.entries(measureTruth(calls, measures)).map(([name, value]) => [
    name,
    name === "duration" || name === "ttft" ? expect.objectContaining(value as object) : value,
  ]);
  return expect.objectContaining(Object.fromEntries(values));
}

/** The calls by a key. */
function groupBy(calls: readonly Span[], keyOf: (span: Span) => string): Map<string, Span[]> {
  return Map.groupBy(calls, keyOf);
}

function costOf(calls: readonly Span[]): bigint {
  return calls.reduce((sum, span) => sum + (callCost(span) ?? 0n), 0n);
}

function providerAndModel(span: Span): string {
  return JSON.stringify([span.provider, dimensionOf(span, "model")]);
}

describe("the dashboard", () => {
  test.each(["alpha", "beta"])("of %s is the sum of its own calls", async (project) => {
    const key = `key-${project}`;
    const answer = await ledger.read(DashboardAnswer, "/v1/analytics/dashboard?top=5", key);
    const calls = ledger.calls(project, FROM_MS, END_MS);
    const before = ledger.calls(project, BEFORE_MS, FROM_MS);
    expect(calls.length).toBeGreaterThan(30);
    expect([answer.from, answer.to]).toEqual(
      [FROM_MS, END_MS].map((ms) => new Date(ms).toISOString()),
    );
    expect(answer.totals).toEqual(truthOf(calls, SUMMARY_MEASURES));
    expect(answer.previous.totals).toEqual(truthOf(before, SUMMARY_MEASURES));
    expect(answer.change.calls).toBe(calls.length - before.length);
    const more = costOf(calls) - costOf(before);
    expect(answer.change.cost_usd).toBe(more < 0n ? `-${usdText(-more)}` : usdText(more));
    const days = groupBy(calls, (span) =>
      String(stepStart(Number(span.start_ns / 1_000_000n), "day", "UTC")),
    );
    expect(answer.series.map(({ time }) => Date.parse(time))).toEqual(
      [...days.keys()].map(Number).toSorted((a, b) => a - b),
    );
    for (const step of answer.series) {
      expect(step).toEqual(truthOf(days.get(String(Date.parse(step.time))) ?? [], PART_MEASURES));
    }
  });

  test("lists the dearest models and services, and adds up the rest", async () => {
    const answer = await ledger.read(DashboardAnswer, "/v1/analytics/dashboard?top=4");
    const calls = ledger.calls("alpha", FROM_MS, END_MS);
    const models = groupBy(calls, providerAndModel);
    const dearest = [...models.values()].map(costOf).toSorted((a, b) => (a > b ? -1 : 1));
    expect(answer.models).toHaveLength(4);
    for (const [index, row] of answer.models.entries()) {
      const own = models.get(JSON.stringify([row.provider ?? "", row.model ?? ""])) ?? [];
      expect(row).toEqual(truthOf(own, PART_MEASURES));
      expect(costOf(own)).toBe(dearest[index]);
    }
    const listed = answer.models.reduce((sum, { calls: count }) => sum + count, 0);
    expect(answer.other_models).toEqual({
      calls: calls.length - listed,
      cost_usd: usdText(dearest.slice(4).reduce((sum, cost) => sum + cost, 0n)),
    });
    const services = groupBy(calls, (span) => span.service_name);
    for (const row of answer.services) {
      expect(row).toEqual(truthOf(services.get(row.service_name ?? "") ?? [], PART_MEASURES));
    }
    const users = groupBy(calls, (span) => span.user_id);
    users.delete("");
    expect(answer.users.users).toBe(users.size);
    expect(answer.users.top).toHaveLength(4);
    for (const { user_id, ...row } of answer.users.top) {
      const own = users.get(user_id) ?? [];
      expect(measureTruth(own, ["calls", "errors", "cost_usd"])).toEqual({
        ...row,
        coverage: expect.anything() as unknown,
      });
    }
  });

  test("agrees with GET /v1/usage to the last digit, filters and zone included", async () => {
    const range = "from=2026-10-01&to=2026-10-20&tz=Asia/Kathmandu&operation=chat&operation=";
    const dashboard = await ledger.read(DashboardAnswer, `/v1/analytics/dashboard?${range}`);
    const measures = SUMMARY_MEASURES.join(",");
    const usage = await ledger.read(
      UsageAnswer,
      `/v1/usage?${range}&interval=day&measures=${measures}`,
    );
    expect(dashboard.totals).toEqual(usage.totals);
    expect(dashboard.series.map(({ time, cost_usd }) => [time, cost_usd])).toEqual(
      usage.rows.map(({ time, cost_usd }) => [time, cost_usd]),
    );
    expect(dashboard.totals.calls).toBeGreaterThan(0);
  });

  test("lists the groups of its own range alone where it is read together with the one before", async () => {
    const range = "from=2026-09-24&to=2026-10-24&top=3";
    const one = await ledger.read(DashboardAnswer, `/v1/analytics/dashboard?${range}`);
    // By hours each part is a statement of its own.
    const parts = await ledger.read(
      DashboardAnswer,
      `/v1/analytics/dashboard?${range}&interval=hour`,
    );
    expect(one.previous.totals.calls).toBeGreaterThan(0);
    expect(one.providers.length).toBeGreaterThan(0);
    expect(one.providers.length).toBeLessThan(one.series.length);
    expect({ ...one, interval: "hour", series: [] }).toEqual({ ...parts, series: [] });
  });

  test.each([
    [
      "month",
      "UTC",
      "day",
      "2026-10-01",
      "2026-11-01",
      "2026-09-01T00:00:00Z 2026-09-23T14:45:00Z",
    ],
    [
      "month",
      "UTC",
      "month",
      "2026-10-01",
      "2026-11-01",
      "2026-09-01T00:00:00Z 2026-09-23T14:45:00Z",
    ],
    [
      "month",
      "America/New_York",
      "day",
      "2026-10-01",
      "2026-11-01",
      "2026-09-01T04:00:00Z 2026-09-23T14:45:00Z",
    ],
    [
      "month",
      "UTC",
      "week",
      "2026-10-01",
      "2026-11-01",
      "2026-09-01T00:00:00Z 2026-09-23T14:45:00Z",
    ],
    [
      "30 days",
      "UTC",
      "hour",
      "2026-09-24",
      "2026-10-24",
      "2026-08-25T00:00:00Z 2026-09-23T14:45:00Z",
    ],
    [
      "30 days",
      "UTC",
      "day",
      "2026-09-24",
      "2026-10-24",
      "2026-08-25T00:00:00Z 2026-09-23T14:45:00Z",
    ],
    [
      "29 days",
      "UTC",
      "day",
      "2026-09-25",
      "2026-10-24",
      "2026-08-27T00:00:00Z 2026-09-24T14:45:00Z",
    ],
    [
      "29 days",
      "Asia/Kathmandu",
      "day",
      "2026-09-25",
      "2026-10-24",
      "2026-08-26T18:15:00Z 2026-09-24T14:45:00Z",
    ],
  ])(
    "of %s that go on in %s, by the %s, holds against them what has passed",
    async (_what, tz, interval, from, to, before) => {
      const path = `/v1/analytics/dashboard?from=${from}&to=${to}&tz=${tz}&interval=${interval}`;
      const answer = await ledger.read(DashboardAnswer, path);
      const { previous } = answer;
      expect(`${previous.from} ${previous.to}`.replaceAll(".000", "")).toBe(before);
      const [from_ms = 0, to_ms = 0] = before.split(" ").map((text) => Date.parse(text));
      const calls = ledger.calls("alpha", from_ms, to_ms);
      expect(calls.length).toBeGreaterThan(5);
      // What lies between is in neither.
      expect(ledger.calls("alpha", to_ms, Date.parse(answer.from)).length).toBeGreaterThan(0);
      expect(previous.totals).toEqual(truthOf(calls, SUMMARY_MEASURES));
      const own = ledger.calls("alpha", Date.parse(answer.from), Date.parse(answer.to));
      expect(answer.totals).toEqual(truthOf(own, SUMMARY_MEASURES));
      expect(answer.change.calls).toBe(own.length - calls.length);
    },
  );

  test("refuses a series of more steps than it gives", async () => {
    const path = "/v1/analytics/dashboard?from=2020-01-01&to=2026-01-01&interval=15m";
    const { status, json } = await ledger.api.ask(path);
    expect(status).toBe(400);
    expect(json).toMatchObject({ error: { code: "invalid_range" } });
  });
});

describe("costs", () => {
  test("are split by what is asked, with the share of each and the rest", async () => {
    const answer = await ledger.read(CostsAnswer, "/v1/analytics/costs?group_by=user_id&limit=3");
    const calls = ledger.calls("alpha", FROM_MS, END_MS);
    const users = groupBy(calls, (span) => span.user_id);
    expect(answer.totals).toEqual(truthOf(calls, COST_MEASURES));
    expect(answer.groups).toHaveLength(3);
    for (const row of answer.groups) {
      const own = users.get(row.value ?? "") ?? [];
      expect(row).toEqual(truthOf(own, COST_MEASURES));
      expect(row.cost_share).toBeCloseTo(Number(costOf(own)) / Number(costOf(calls)), 9);
    }
  });

  test("of the month so far stand against the same part of the month before", async () => {
    const tz = "America/New_York";
    const answer = await ledger.read(
      CostsOfPeriodAnswer,
      `/v1/analytics/costs/month?tz=${tz}&group_by=provider`,
    );
    const from_ms = Date.parse("2026-10-01T00:00:00-04:00");
    const before_ms = Date.parse("2026-09-01T00:00:00-04:00");
    const passed_ms = END_MS - from_ms;
    const calls = ledger.calls("alpha", from_ms, END_MS);
    expect(answer.from).toBe(new Date(from_ms).toISOString());
    expect(answer.totals).toEqual(truthOf(calls, COST_MEASURES));
    expect(answer.previous.totals).toEqual(
      truthOf(ledger.calls("alpha", before_ms, before_ms + passed_ms), COST_MEASURES),
    );
    expect(answer.previous_period.totals).toEqual(
      truthOf(ledger.calls("alpha", before_ms, from_ms), COST_MEASURES),
    );
    expect(answer.period).toEqual({
      kind: "month",
      from: new Date(from_ms).toISOString(),
      to: new Date(Date.parse("2026-11-01T00:00:00-04:00")).toISOString(),
      is_over: false,
      elapsed_share: passed_ms / (31 * DAY_MS),
    });
    const { forecast } = answer;
    expect(Number(forecast.cost_usd)).toBeGreaterThan(Number(answer.totals.cost_usd));
    expect(forecast).toMatchObject({ reason: null, known_days: 22 });
  });

  test("of a month that is over are its own, and of a day give hours", async () => {
    const month = await ledger.read(CostsOfPeriodAnswer, "/v1/analytics/costs/2026-09");
    const calls = ledger.calls("alpha", Date.UTC(2026, 8, 1), Date.UTC(2026, 9, 1));
    expect(month.totals).toEqual(truthOf(calls, COST_MEASURES));
    expect(month.forecast).toMatchObject({ cost_usd: null, reason: "the period is over" });
    expect(month.period.is_over).toBe(true);
    const day = await ledger.read(CostsOfPeriodAnswer, "/v1/analytics/costs/day");
    expect([day.interval, day.from]).toEqual(["hour", "2026-10-23T00:00:00.000Z"]);
    const few = await ledger.read(
      CostsOfPeriodAnswer,
      "/v1/analytics/costs/month?service_name=nobody",
    );
    expect(few.forecast).toEqual({
      cost_usd: null,
      reason: "fewer than 3 whole days of calls",
      known_days: 0,
      assumptions: [],
    });
  });

  test.each([
    ["day", "UTC", {}],
    ["week", "Asia/Kathmandu", {}],
    ["month", "America/New_York", {}],
    ["month", "UTC", { operation: ["chat", ""] }],
  ] as [string, string, { operation?: string[] }][])(
    "of this %s in %s have the forecast of a budget",
    async (period, tz, filters) => {
      const query = new URLSearchParams({ tz });
      for (const value of filters.operation ?? []) query.append("operation", value);
      const url = `/v1/analytics/costs/${period}?${query.toString()}`;
      const { forecast, totals } = await ledger.read(CostsOfPeriodAnswer, url);
      const { json } = await ledger.api.ask("/v1/budgets", undefined, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name: "all", unit: "usd", amount: "1", period, tz, filters }),
      });
      const budget = readStrictly(BudgetAnswer, json);
      expect(budget.forecast).not.toBeNull();
      expect(forecast.cost_usd).toBe(budget.forecast?.amount);
      expect(forecast.known_days).toBe(budget.forecast?.known_days);
      expect(forecast.assumptions).toContain(budget.forecast?.method);
      expect(totals.cost_usd).toBe(budget.spent);
    },
  );

  test.each([
    ["year", "invalid_path"],
    ["2026-13", "invalid_path"],
    ["2026-02-30", "invalid_path"],
    ["2026-12", "invalid_range"],
  ])("of the period %s are refused", async (period, code) => {
    const { status, json } = await ledger.api.ask(`/v1/analytics/costs/${period}`);
    expect(status).toBe(400);
    expect(json).toMatchObject({ error: { code, details: [{ path: "period" }] } });
  });
});

test("providers stand side by side, each with its models and what a million tokens cost", async () => {
  const answer = await ledger.read(ProvidersAnswer, "/v1/analytics/providers?limit=500");
  const calls = ledger.calls("alpha", FROM_MS, END_MS);
  const providers = groupBy(calls, (span) => span.provider);
  const models = groupBy(calls, providerAndModel);
  expect(answer.providers).toHaveLength(providers.size);
  expect(answer.other_models).toBeNull();
  let seen = 0;
  for (const { models: own, ...row } of answer.providers) {
    const its = providers.get(row.provider ?? "") ?? [];
    expect(row).toEqual(truthOf(its, PROVIDER_MEASURES));
    let [cost, tokens] = [0n, 0n];
    for (const span of its) {
      for (const [index, amount] of span.cost.entries()) {
        if (amount === null) continue;
        cost += amount;
        tokens += BigInt(span.tokens[index] ?? 0);
      }
    }
    const each = row.cost_per_million_tokens_usd;
    expect(Number(each)).toBeCloseTo((Number(cost) / Number(tokens)) * 1e-6, 6);
    for (const model of own) {
      const key = JSON.stringify([row.provider ?? "", model.model ?? ""]);
      expect(model).toEqual(truthOf(models.get(key) ?? [], PROVIDER_MEASURES));
      seen += 1;
    }
  }
  expect(seen).toBe(models.size);
});

test("the last five minutes are those before now, and the pace is that of a minute", async () => {
  const at = (before_ms: number, changes: Partial<Span> = {}) =>
    makeSpan({
      project_id: "alpha",
      start_ns: BigInt(NOW_MS - before_ms) * 1_000_000n,
      span_id: idBytes((before_ms + 10).toString(16).padStart(16, "0")),
      ...changes,
    });
  await ledger.deliver([
    at(1),
    at(60_000, { status: "error", cost: byClass({}), cost_status: "priced" }),
    at(299_999),
    at(300_000),
    at(300_001),
    at(600_001),
    at(2, { project_id: "beta" }),
    at(-1),
  ]);
  const answer = await ledger.read(CurrentAnswer, "/v1/analytics/metrics/current");
  const calls = ledger.calls("alpha", NOW_MS - 300_000, NOW_MS);
  expect(answer.totals).toEqual(truthOf(calls, SUMMARY_MEASURES));
  expect(answer.totals.calls).toBe(4);
  expect(answer.previous.totals.calls).toBe(1);
  expect(answer.per_minute).toEqual({
    calls: 0.8,
    errors: 0.2,
    input_tokens: 80,
    output_tokens: 16,
    cost_usd: "0.0000162",
  });
  expect(answer.change.calls_share).toBe(3);
});
