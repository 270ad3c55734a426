/** `GET /v1/analytics/costs` and `/costs/{period}`: what was spent, on what, against the time before. */
import { measureBudget } from "../../../alerting/budgets.ts";
import { MIN_FORECAST_DAYS } from "../../../alerting/forecast.ts";
import {
  COST_MEASURES,
  CostsAnswer,
  CostsOfPeriodAnswer,
  CostsOfPeriodQuery,
  CostsQuery,
} from "../../../schemas/api-analytics.ts";
import { DEFAULT_ANALYTICS_ROWS, MAX_SERIES_STEPS } from "../../../schemas/api-analytics-parts.ts";
import { formatUsd } from "../../../schemas/units.ts";
import type { DimensionName } from "../../../schemas/usage.ts";
import { ApiError } from "../../errors.ts";
import {
  endOfQuarter,
  findPeriod,
  type Period,
  rangeBefore,
  samePartBefore,
} from "../../period.ts";
import type { TimeRange } from "../../request.ts";
import { defineRoute, type Route } from "../../route.ts";
import type { Filters, UsageReader } from "../../usage-question.ts";
import { askSeries, askSets, totalOf } from "../../usage-sets.ts";
import {
  type Asked,
  changeOf,
  costShare,
  describeRange,
  keyOf,
  makeReader,
  measure,
  otherOf,
  readAsked,
  readZoneAndFilters,
  type Source,
} from "./question.ts";
import { makeAsk } from "../budgets.ts";
import { refuseManySteps } from "./steps.ts";

type CostOptions = Pick<CostsQuery, "interval" | "group_by" | "limit">;
type CostParts = Omit<CostsAnswer, "from" | "to" | "tz">;

/** Answers what was spent in a range. */
export async function answerCosts(
  source: Source,
  project_id: string,
  query: CostsQuery,
  now_ms: number,
): Promise<CostsAnswer> {
  const asked = readAsked(query, now_ms);
  const before = rangeBefore(asked, asked.tz, now_ms);
  const reader = await makeReader(source, project_id, before, asked);
  const parts = await askCosts(reader, project_id, asked, before, query);
  return { ...describeRange(asked), tz: query.tz ?? asked.tz, ...parts };
}

/** What of a period has passed, and the same part of the one before. */
function splitPeriod(
  name: string,
  tz: string,
  now_ms: number,
): { readonly period: Period; readonly passed: TimeRange } {
  const period = findPeriod(name, now_ms, tz);
  if (period === null) {
    const message = "must be day, week, month, a month such as 2026-11 or a day such as 2026-11-21";
    throw new ApiError(400, "invalid_path", `period ${message}`, [{ path: "period", message }]);
  }
  if (period.from_ms >= now_ms) {
    const message = "has not begun yet";
    throw new ApiError(400, "invalid_range", `period ${message}`, [{ path: "period", message }]);
  }
  const to_ms = Math.min(period.to_ms, endOfQuarter(now_ms));
  return { period, passed: { from_ms: period.from_ms, to_ms } };
}

/** Answers what was spent in a period of the calendar, so far or in all. */
export async function answerCostsOfPeriod(
  source: Source,
  project_id: string,
  name: string,
  query: CostsOfPeriodQuery,
  now_ms: number,
): Promise<CostsOfPeriodAnswer> {
  const common = readZoneAndFilters(query);
  const { period, passed } = splitPeriod(name, common.tz, now_ms);
  const asked: Asked = { ...common, ...passed };
  const before = samePartBefore(period, passed.to_ms, common.tz);
  const reader = await makeReader(source, project_id, period.previous, asked);
  const interval = query.interval ?? (period.kind === "day" ? "hour" : "day");
  const is_over = passed.to_ms >= period.to_ms;
  const [parts, [whole_before], outlook] = await Promise.all([
    askCosts(reader, project_id, asked, before, { ...query, interval }),
    askSets(reader, {
      ...asked,
      ...period.previous,
      project_id,
      interval: "none",
      measures: COST_MEASURES,
      sets: [[]],
      limit: 1,
    }),
    is_over ? OVER : forecastCosts(source, project_id, asked, period, now_ms),
  ]);
  return {
    ...describeRange(asked),
    tz: query.tz ?? common.tz,
    ...parts,
    period: {
      kind: period.kind,
      ...describeRange(period),
      is_over,
      elapsed_share: (passed.to_ms - period.from_ms) / (period.to_ms - period.from_ms),
    },
    previous_period: {
      ...describeRange(period.previous),
      totals: measure(totalOf(whole_before), COST_MEASURES),
    },
    forecast: { ...outlook, assumptions: [...outlook.assumptions, ...lowerBound(outlook, parts)] },
  };
}

type Outlook = CostsOfPeriodAnswer["forecast"];

function withoutForecast(reason: string): Outlook {
  return { cost_usd: null, reason, known_days: 0, assumptions: [] };
}

const OVER = withoutForecast("the period is over");

/** What a budget of these calls would be told that the period ends at. */
async function forecastCosts(
  source: Source,
  project_id: string,
  { tz, filters }: Asked,
  { from_ms, to_ms }: Period,
  now_ms: number,
): Promise<Outlook> {
  const { spent, forecast } = await measureBudget(
    makeAsk(source),
    { project_id, tz, filters: copyFilters(filters), tags: [], unit: "usd", amount: "0" },
    { start_ms: from_ms, end_ms: to_ms },
    now_ms,
    true,
  );
  if (spent === null) return withoutForecast("no call has a price");
  if (forecast === null) {
    return withoutForecast(`fewer than ${MIN_FORECAST_DAYS} whole days of calls`);
  }
  const { amount, known_days, method } = forecast;
  return { cost_usd: formatUsd(amount), reason: null, known_days, assumptions: [method] };
}

function copyFilters(filters: Filters): Partial<Record<DimensionName, string[]>> {
  return Object.fromEntries(Object.entries(filters).map(([name, values]) => [name, [...values]]));
}

/** Why a forecast may be too low. */
function lowerBound({ cost_usd }: Outlook, { coverage }: CostParts): string[] {
  const { calls, calls_unpriced } = coverage;
  if (cost_usd === null || calls_unpriced === 0) return [];
  return [
    `${calls_unpriced} of ${calls} calls have no price, or not for everything: the cost is a lower bound.`,
  ];
}

/** The costs of a range, split, as a series, and against another range. */
async function askCosts(
  reader: UsageReader,
  project_id: string,
  asked: Asked,
  before: TimeRange,
  options: CostOptions,
): Promise<CostParts> {
  const interval = options.interval ?? "day";
  const group_by = options.group_by ?? "model";
  const limit = options.limit ?? DEFAULT_ANALYTICS_ROWS;
  refuseManySteps(asked, interval);
  const common = { ...asked, project_id, measures: COST_MEASURES };
  const [{ total, before: earlier, steps }, [groups]] = await Promise.all([
    askSeries(reader, { ...common, interval, limit: MAX_SERIES_STEPS }, before),
    // Without steps, so that the daily rollups answer in every time zone.
    askSets(reader, { ...common, interval: "none", sets: [[group_by]], limit }),
  ]);
  const totals = measure(total, COST_MEASURES);
  const previous = measure(earlier, COST_MEASURES);
  const listed = (groups ?? []).map((row) => ({
    value: keyOf(row, group_by),
    ...measure(row.sums, COST_MEASURES),
  }));
  return {
    interval,
    group_by,
    totals,
    previous: { ...describeRange(before), totals: previous },
    change: changeOf(totals, previous),
    series: steps.map(({ time, sums }) => {
      const { calls, cost_usd, coverage } = measure(sums, ["calls", "cost_usd"]);
      return { time, calls, cost_usd, coverage };
    }),
    groups: listed.map((group) => ({
      ...group,
      cost_share: costShare(group.cost_usd, totals.cost_usd),
    })),
    other: otherOf(totals, listed),
    coverage: totals.coverage,
  };
}

/** Costs. */
export const COST_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/costs",
    summary: "What was spent, on what, against the range before",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: CostsQuery,
    answer: CostsAnswer,
    cache: "ledger",
    examples: [
      { summary: "The last 30 days by service", path: "/v1/analytics/costs?group_by=service_name" },
    ],
    handle: ({ services, project_id, query, now_ms }) =>
      answerCosts(services, project_id, query, now_ms),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/analytics/costs/{period}",
    summary: "What was spent in a day, week or month of the calendar",
    description:
      "Of a period that has not ended, what has passed is held against the same part of the period before, by the clocks of `tz`.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    path_parameters: {
      period:
        "`day`, `week` (from Monday) or `month` for the current one, a month such as `2026-11`, or a day such as `2026-11-21`, in the time zone `tz`",
    },
    query: CostsOfPeriodQuery,
    answer: CostsOfPeriodAnswer,
    cache: "ledger",
    examples: [
      { summary: "This month in New York", path: "/v1/analytics/costs/month?tz=America/New_York" },
    ],
    handle: ({ services, project_id, path, query, now_ms }) =>
      answerCostsOfPeriod(services, project_id, path["period"] ?? "", query, now_ms),
  }),
];
