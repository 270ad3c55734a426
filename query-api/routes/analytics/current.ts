/** `GET /v1/analytics/metrics/current`: the last five minutes, and the five before. */
import {
  CurrentAnswer,
  CurrentQuery,
  PART_MEASURES,
  SUMMARY_MEASURES,
} from "../../../schemas/api-analytics.ts";
import { DEFAULT_TOP_ROWS } from "../../../schemas/api-analytics-parts.ts";
import { formatUsd, parseUsd } from "../../../schemas/units.ts";
import { divideHalfEven } from "../../measures.ts";
import { defineRoute, type Route } from "../../route.ts";
import { askSets, totalOf } from "../../usage-sets.ts";
import {
  changeOf,
  describeRange,
  keyOf,
  makeReader,
  measure,
  readZoneAndFilters,
  type Source,
} from "./question.ts";

/** Length of the window, minutes. */
const WINDOW_MINUTES = 5;
const WINDOW_MS = WINDOW_MINUTES * 60_000;

function perMinute(count: number): number {
  return count / WINDOW_MINUTES;
}

function perMinuteOrNull(count: number | null): number | null {
  return count === null ? null : perMinute(count);
}

/** Answers what happens now. */
export async function answerCurrent(
  source: Source,
  project_id: string,
  query: CurrentQuery,
  now_ms: number,
): Promise<CurrentAnswer> {
  const { tz, filters } = readZoneAndFilters(query);
  const now = { from_ms: Math.max(0, now_ms - WINDOW_MS), to_ms: now_ms };
  const before = { from_ms: Math.max(0, now.from_ms - WINDOW_MS), to_ms: now.from_ms };
  const reader = await makeReader(source, project_id, before, now);
  const common = {
    project_id,
    tz,
    filters,
    interval: "none",
    measures: SUMMARY_MEASURES,
    limit: query.top ?? DEFAULT_TOP_ROWS,
  } as const;
  const [[total, models = []], [total_before]] = await Promise.all([
    askSets(reader, { ...common, ...now, sets: [[], ["provider", "model"]] }),
    askSets(reader, { ...common, ...before, sets: [[]] }),
  ]);
  const totals = measure(totalOf(total), SUMMARY_MEASURES);
  const previous = measure(totalOf(total_before), SUMMARY_MEASURES);
  const cost = totals.cost_usd === null ? null : parseUsd(totals.cost_usd);
  return {
    ...describeRange(now),
    tz,
    window_s: WINDOW_MS / 1000,
    totals,
    per_minute: {
      calls: perMinute(totals.calls),
      errors: perMinute(totals.errors),
      input_tokens: perMinuteOrNull(totals.input_total),
      output_tokens: perMinuteOrNull(totals.output_total),
      cost_usd: cost === null ? null : formatUsd(divideHalfEven(cost, BigInt(WINDOW_MINUTES))),
    },
    previous: { ...describeRange(before), totals: previous },
    change: changeOf(totals, previous),
    models: models.map((row) => ({
      provider: keyOf(row, "provider"),
      model: keyOf(row, "model"),
      ...measure(row.sums, PART_MEASURES),
    })),
    coverage: totals.coverage,
  };
}

/** What happens now. It depends on the clock, so it is not kept. */
export const CURRENT_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/metrics/current",
    summary: "The last five minutes: calls, errors, tokens and cost a minute",
    description:
      "Calls are counted by when they started; those that still run are not known yet, so the last seconds are always low.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: CurrentQuery,
    answer: CurrentAnswer,
    examples: [{ summary: "Now", path: "/v1/analytics/metrics/current" }],
    handle: ({ services, project_id, query, now_ms }) =>
      answerCurrent(services, project_id, query, now_ms),
  }),
];
