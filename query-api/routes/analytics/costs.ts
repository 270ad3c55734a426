/** `GET /v1/analytics/costs` and `/costs/{period}`: what was spent, on what, against the time before. */
import {
  COST_MEASURES,
  CostsAnswer,
  CostsOfPeriodAnswer,
  CostsOfPeriodQuery,
  CostsQuery,
} from "../../../schemas/api-analytics.ts";
import { DEFAULT_ANALYTICS_ROWS, MAX_SERIES_STEPS } from "../../../schemas/api-analytics-parts.ts";
import { formatUsd, parseUsd } from "../../../schemas/units.ts";
import { ApiError } from "../../errors.ts";
import { divideHalfEven } from "../../measures.ts";
import { findPeriod, type Period, rangeBefore, samePartBefore } from "../../period.ts";
import type { TimeRange } from "../../request.ts";
import { defineRoute, type Route } from "../../route.ts";
import type { UsageReader } from "../../usage-question.ts";
import { askSeries, askSets, totalOf } from "../../usage-sets.ts";
import {
  type Asked,
  changeOf,
  costShare,
  describeRange,
  endOfQuarter,
  keyOf,
  makeReader,
  measure,
  otherOf,
  readAsked,
  readZoneAndFilters,
  type Source,
} from "./question.ts";
import { refuseManySteps } from "./steps.ts";

const DAY_MS = 86_400_000;
/** Whole days that must have passed before a period is projected. */
const MIN_PROJECTED_DAYS = 3;

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
  const before = rangeBefore(asked, asked.tz);
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
  const [parts, [whole_before]] = await Promise.all([
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
  ]);
  return {
    ...describeRange(asked),
    tz: query.tz ?? common.tz,
    ...parts,
    period: {
      kind: period.kind,
      ...describeRange(period),
      is_over: passed.to_ms >= period.to_ms,
      elapsed_share: (passed.to_ms - period.from_ms) / (period.to_ms - period.from_ms),
    },
    previous_period: {
      ...describeRange(period.previous),
      totals: measure(totalOf(whole_before), COST_MEASURES),
    },
    projection: project(parts.totals, period, passed),
  };
}

/** What the whole period costs if it goes on as it began. */
function project(
  totals: CostParts["totals"],
  period: Period,
  passed: TimeRange,
): CostsOfPeriodAnswer["projection"] {
  const { cost_usd, coverage } = totals;
  const lower_bound =
    coverage.calls_unpriced === 0
      ? []
      : [
          `${coverage.calls_unpriced} of ${coverage.calls} calls have no price, or not for everything: the cost is a lower bound.`,
        ];
  if (passed.to_ms >= period.to_ms) {
    return {
      cost_usd,
      reason: cost_usd === null ? "no call has a price" : null,
      assumptions: lower_bound,
    };
  }
  const days = Math.floor((passed.to_ms - passed.from_ms) / DAY_MS);
  const none = (reason: string) => ({ cost_usd: null, reason, assumptions: [] });
  if (days < MIN_PROJECTED_DAYS) {
    return none(`fewer than ${MIN_PROJECTED_DAYS} days of the period have passed`);
  }
  const cost = cost_usd === null ? null : parseUsd(cost_usd);
  if (cost === null) return none("no call has a price");
  const whole = BigInt(period.to_ms - period.from_ms);
  const part = BigInt(passed.to_ms - passed.from_ms);
  return {
    cost_usd: formatUsd(divideHalfEven(cost * whole, part)),
    reason: null,
    assumptions: [
      "The rest of the period costs as much an hour as the part that has passed; weekdays and growth are not looked at.",
      ...lower_bound,
    ],
  };
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
