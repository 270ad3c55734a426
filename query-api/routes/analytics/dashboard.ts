/** `GET /v1/analytics/dashboard`: what a project used and spent, at one glance. */
import {
  DashboardAnswer,
  DashboardQuery,
  PART_MEASURES,
  SUMMARY_MEASURES,
} from "../../../schemas/api-analytics.ts";
import { DEFAULT_TOP_ROWS, MAX_SERIES_STEPS } from "../../../schemas/api-analytics-parts.ts";
import { rangeBefore } from "../../period.ts";
import { defineRoute, type Route } from "../../route.ts";
import type { UsageReader } from "../../usage-question.ts";
import { askSeriesAndSets, askSets } from "../../usage-sets.ts";
import {
  type Asked,
  changeOf,
  describeRange,
  keyOf,
  makeReader,
  measure,
  otherOf,
  readAsked,
  type Source,
} from "./question.ts";
import { refuseManySteps } from "./steps.ts";

/** Answers the dashboard of one project. */
export async function answerDashboard(
  source: Source,
  project_id: string,
  query: DashboardQuery,
  now_ms: number,
): Promise<DashboardAnswer> {
  const asked = readAsked(query, now_ms);
  const interval = query.interval ?? "day";
  const limit = query.top ?? DEFAULT_TOP_ROWS;
  refuseManySteps(asked, interval);
  const before = rangeBefore(asked, asked.tz, now_ms);
  const reader = await makeReader(source, project_id, before, asked);
  const common = { ...asked, project_id };
  const [{ series, groups }, users] = await Promise.all([
    askSeriesAndSets(
      reader,
      { ...common, interval, measures: SUMMARY_MEASURES, limit: MAX_SERIES_STEPS },
      before,
      {
        measures: PART_MEASURES,
        sets: [["provider"], ["provider", "model"], ["service_name"]],
        limit,
      },
    ),
    askUsers(reader, project_id, asked, limit),
  ]);
  const { total, before: earlier, steps } = series;
  const [providers, models, by_service = []] = groups;
  const totals = measure(total, SUMMARY_MEASURES);
  const previous = measure(earlier, SUMMARY_MEASURES);
  const services = by_service.map((row) => ({
    service_name: keyOf(row, "service_name"),
    ...measure(row.sums, PART_MEASURES),
  }));
  const top_models = (models ?? []).map((row) => ({
    provider: keyOf(row, "provider"),
    model: keyOf(row, "model"),
    ...measure(row.sums, PART_MEASURES),
  }));
  return {
    ...describeRange(asked),
    tz: query.tz ?? asked.tz,
    interval,
    totals,
    previous: { ...describeRange(before), totals: previous },
    change: changeOf(totals, previous),
    series: steps.map(({ time, sums }) => ({ time, ...measure(sums, PART_MEASURES) })),
    providers: (providers ?? []).map((row) => ({
      provider: keyOf(row, "provider"),
      ...measure(row.sums, PART_MEASURES),
    })),
    models: top_models,
    other_models: otherOf(totals, top_models),
    services,
    other_services: otherOf(totals, services),
    users,
    coverage: totals.coverage,
  };
}

const USER_MEASURES = ["calls", "errors", "cost_usd"] as const;

/** The dearest users, and how many there are; calls that name none are left out. */
async function askUsers(
  reader: UsageReader,
  project_id: string,
  asked: Asked,
  limit: number,
): Promise<DashboardAnswer["users"]> {
  const [rows = []] = await askSets(reader, {
    ...asked,
    project_id,
    interval: "none",
    excluded: { user_id: [""] },
    measures: USER_MEASURES,
    sets: [["user_id"]],
    counts_groups: true,
    limit,
  });
  return {
    users: rows[0]?.groups ?? 0,
    top: rows.map((row) => {
      const { calls, errors, cost_usd } = measure(row.sums, USER_MEASURES);
      return { user_id: keyOf(row, "user_id") ?? "", calls, errors, cost_usd };
    }),
  };
}

/** The dashboard. */
export const DASHBOARD_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/dashboard",
    summary: "What a project used and spent, at one glance",
    description:
      "Totals with the range before, a series, the dearest providers, models, services and users. Every figure is that of `GET /v1/usage` for the same range.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: DashboardQuery,
    answer: DashboardAnswer,
    cache: "ledger",
    examples: [
      { summary: "The last 30 days", path: "/v1/analytics/dashboard" },
      {
        summary: "A week in Berlin, by hours",
        path: "/v1/analytics/dashboard?from=2026-11-14&to=2026-11-21&tz=Europe/Berlin&interval=hour",
      },
    ],
    handle: ({ services, project_id, query, now_ms }) =>
      answerDashboard(services, project_id, query, now_ms),
  }),
];
