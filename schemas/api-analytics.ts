/**
 * Questions and answers of what sums up usage: dashboard, costs, providers, and the last minutes.
 *
 * Invariant: every answer says which range and time zone it is of and how far its sums can be trusted, and units stand in the names of fields.
 */
import { z } from "zod";
import { count, Coverage, oneOf } from "./api-parts.ts";
import {
  assumptions,
  filters,
  instantText,
  limit,
  measuresOf,
  name,
  Other,
  range,
  ranged,
  share,
  top,
  tz,
  usd,
} from "./api-analytics-parts.ts";
import type { MeasureName } from "./usage.ts";

/** What a dashboard tells of all calls. */
export const SUMMARY_MEASURES = [
  "calls",
  "errors",
  "error_rate",
  "input_total",
  "output_total",
  "cost_usd",
  "cost_per_call_usd",
  "cache_hit_share",
  "duration",
  "ttft",
] as const satisfies readonly MeasureName[];
/** What it tells of a step and of a group. */
export const PART_MEASURES = [
  "calls",
  "errors",
  "error_rate",
  "input_total",
  "output_total",
  "cost_usd",
] as const satisfies readonly MeasureName[];
/** What is told of costs. */
export const COST_MEASURES = [
  "calls",
  "tokens",
  "cost_usd",
  "cost",
  "fees_usd",
  "cost_per_call_usd",
] as const satisfies readonly MeasureName[];

const Summary = measuresOf(SUMMARY_MEASURES);
const Part = measuresOf(PART_MEASURES);
const Costs = measuresOf(COST_MEASURES);

const Change = z
  .object({
    cost_usd: z.string().nullable().describe("US dollars more than before; below zero less"),
    cost_share: z.number().nullable().describe("the same as a share of the cost before"),
    calls: z.number().int(),
    calls_share: z.number().nullable(),
  })
  .describe("What is more than in the period before; null where there is nothing to compare with");
export type Change = z.infer<typeof Change>;

const STEPS = ["15m", "hour", "day", "week", "month"] as const;
const interval = oneOf(STEPS).optional().describe("Step of the series; default day");

export const DashboardQuery = z.strictObject({ ...range, interval, top, ...filters });
export type DashboardQuery = z.infer<typeof DashboardQuery>;

export const DashboardAnswer = z.object({
  ...ranged,
  interval: z.enum(STEPS),
  totals: Summary,
  previous: z
    .object({ from: instantText, to: instantText, totals: Summary })
    .describe(
      "The range of the same length just before; of a range that goes on, as much as has passed of it, and of the period before when it is a day, week or month of `tz`",
    ),
  change: Change,
  series: z.array(Part.extend({ time: instantText })).describe("Steps without calls are left out"),
  providers: z.array(Part.extend({ provider: name })),
  models: z.array(Part.extend({ provider: name, model: name })),
  other_models: Other,
  services: z.array(Part.extend({ service_name: name })),
  other_services: Other,
  users: z.object({
    users: count.describe("Different users; calls that name none are left out"),
    top: z.array(z.object({ user_id: z.string(), calls: count, errors: count, cost_usd: usd })),
  }),
  coverage: Coverage,
});
export type DashboardAnswer = z.infer<typeof DashboardAnswer>;

/** Dimensions that costs can be split by. */
export const COST_GROUPS = [
  "provider",
  "model",
  "operation",
  "environment",
  "service_name",
  "agent_name",
  "user_id",
  "price_id",
] as const;

const costsOptions = {
  interval,
  group_by: oneOf(COST_GROUPS).optional().describe("Splits the costs by this; default model"),
  limit,
};

export const CostsQuery = z.strictObject({ ...range, ...costsOptions, ...filters });
export type CostsQuery = z.infer<typeof CostsQuery>;

export const CostsOfPeriodQuery = z.strictObject({ tz, ...costsOptions, ...filters });
export type CostsOfPeriodQuery = z.infer<typeof CostsOfPeriodQuery>;

const costParts = {
  interval: z.enum(STEPS),
  group_by: z.enum(COST_GROUPS),
  totals: Costs,
  previous: z
    .object({ from: instantText, to: instantText, totals: Costs })
    .describe(
      "As `previous` of the dashboard: the same length of time just before, or of the period before",
    ),
  change: Change,
  series: z.array(z.object({ time: instantText, calls: count, cost_usd: usd, coverage: Coverage })),
  groups: z
    .array(
      Costs.extend({
        value: name.describe("Of `group_by`; null when it is not known"),
        cost_share: share.describe("Share of the known cost"),
      }),
    )
    .describe("The dearest first"),
  other: Other,
  coverage: Coverage,
};

export const CostsAnswer = z.object({ ...ranged, ...costParts });
export type CostsAnswer = z.infer<typeof CostsAnswer>;

export const CostsOfPeriodAnswer = z.object({
  ...ranged,
  ...costParts,
  period: z.object({
    kind: z.enum(["day", "week", "month"]),
    from: instantText,
    to: instantText.describe("The end of the period, which may lie ahead"),
    is_over: z.boolean(),
    elapsed_share: z.number().min(0).max(1),
  }),
  previous_period: z
    .object({ from: instantText, to: instantText, totals: Costs })
    .describe("The whole period before"),
  forecast: z
    .object({
      cost_usd: usd.describe("Of the whole period; null when it cannot be told, or is over"),
      reason: z.string().nullable().describe("Why it is null"),
      known_days: count.describe("Whole days with data that it rests on"),
      assumptions,
    })
    .describe("What the period will have cost: as `GET /v1/budgets` forecasts it for these calls"),
});
export type CostsOfPeriodAnswer = z.infer<typeof CostsOfPeriodAnswer>;

/** What providers are compared by. */
export const PROVIDER_MEASURES = [
  "calls",
  "errors",
  "error_rate",
  "duration",
  "ttft",
  "output_tokens_per_second",
  "input_total",
  "output_total",
  "cost_usd",
  "cost_per_call_usd",
  "cost_per_1k_output_tokens_usd",
  "cache_hit_share",
] as const satisfies readonly MeasureName[];

const Performance = measuresOf(PROVIDER_MEASURES).extend({
  cost_per_million_tokens_usd: usd.describe(
    "Cost of the tokens that have a price, fees apart, for each million of them; rounded half to even at 12 decimals",
  ),
});

export const ProvidersQuery = z.strictObject({ ...range, limit, ...filters });
export type ProvidersQuery = z.infer<typeof ProvidersQuery>;

export const ProvidersAnswer = z.object({
  ...ranged,
  totals: Performance,
  providers: z.array(
    Performance.extend({
      provider: name,
      calls_share: share,
      models: z.array(Performance.extend({ model: name })),
    }),
  ),
  other_models: Other.describe("What the models have that are not in the lists"),
  coverage: Coverage,
});
export type ProvidersAnswer = z.infer<typeof ProvidersAnswer>;

export const CurrentQuery = z.strictObject({ top, ...filters });
export type CurrentQuery = z.infer<typeof CurrentQuery>;

export const CurrentAnswer = z.object({
  ...ranged,
  window_s: count,
  totals: Summary,
  per_minute: z.object({
    calls: z.number(),
    errors: z.number(),
    input_tokens: z.number().nullable(),
    output_tokens: z.number().nullable(),
    cost_usd: usd.describe("US dollars, rounded half to even at 12 decimals"),
  }),
  previous: z.object({ from: instantText, to: instantText, totals: Summary }),
  change: Change,
  models: z.array(Part.extend({ provider: name, model: name })),
  coverage: Coverage,
});
export type CurrentAnswer = z.infer<typeof CurrentAnswer>;
