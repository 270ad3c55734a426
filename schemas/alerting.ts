/**
 * Budgets and alert rules: as stored, as asked for and as answered.
 *
 * Invariant: nothing here is a counter. A budget and a rule are questions; what they find is asked of the
 * ledger each time, and only what was told to people is remembered.
 */
import { z } from "zod";
import { Coverage, filterValue, MAX_FILTER_VALUES, oneOf, timeZone } from "./api-parts.ts";
import { MAX_TAG_FILTERS, MeasureValues } from "./api-usage.ts";
import { DIMENSION_NAMES, MAX_TAG_KEY_LENGTH } from "./dimensions.ts";
import { displayName } from "./display-name.ts";
import { MEASURE_NAMES, type MeasureName } from "./measures.ts";
import { next_cursor } from "./notices.ts";

/** Budgets and rules of one project. */
export const MAX_BUDGETS = 500;
export const MAX_ALERT_RULES = 500;
/** Thresholds of one budget, channels of one notice. */
const MAX_THRESHOLDS = 20;
const MAX_NOTICE_CHANNELS = 20;
/** Longest window of a rule, minutes: 31 days; of one that looks at the same hours: a day. */
const MAX_WINDOW_MINUTES = 31 * 1_440;
const MAX_BASELINE_WINDOW_MINUTES = 1_440;
/** Days or weeks of a baseline. */
export const MAX_BASELINE_COUNT = 14;

const id = z.string().min(1).max(64);
const name = displayName;
const instant = z.iso.datetime({ offset: true });
const whole = z.number().int();

const scope = {
  filters: z
    .partialRecord(z.enum(DIMENSION_NAMES), z.array(filterValue).min(1).max(MAX_FILTER_VALUES))
    .describe("By dimension: the values, one of which a call must have"),
  tags: z
    .array(
      z.strictObject({
        key: z.string().min(1).max(MAX_TAG_KEY_LENGTH),
        values: z.array(filterValue).min(1).max(MAX_FILTER_VALUES),
      }),
    )
    .max(MAX_TAG_FILTERS)
    .describe("By tag: the values, one of which a call must have"),
};
/** Which calls are meant. */
export interface Scope {
  readonly filters: z.infer<(typeof scope)["filters"]>;
  readonly tags: z.infer<(typeof scope)["tags"]>;
}

const channel_ids = z
  .array(id)
  .max(MAX_NOTICE_CHANNELS)
  .describe("Where notices go; empty: all channels of the project that are on");

export const PERIODS = ["day", "week", "month", "quarter", "year"] as const;
export type Period = (typeof PERIODS)[number];
export const BUDGET_UNITS = ["usd", "tokens", "calls"] as const;
export type BudgetUnit = (typeof BUDGET_UNITS)[number];

const threshold = z.strictObject({
  kind: oneOf(["actual", "forecast"]).describe("what was spent, or what the window will end at"),
  percent: whole.min(1).max(1_000).describe("of the amount"),
});
export type Threshold = z.infer<typeof threshold>;

/** 50, 80 and 100 % of what was spent, and 100 % of the forecast. */
export const DEFAULT_THRESHOLDS: readonly Threshold[] = [
  { kind: "actual", percent: 50 },
  { kind: "actual", percent: 80 },
  { kind: "actual", percent: 100 },
  { kind: "forecast", percent: 100 },
];

const AMOUNT = /^(?!0+(?:\.0+)?$)\d{1,15}(?:\.\d{1,12})?$/;

const budgetShape = {
  name,
  amount: z
    .string()
    .regex(AMOUNT, 'must be a decimal above 0 as text, such as "250.00"')
    .describe("Exact decimal, in `unit`; whole for tokens and calls"),
  unit: oneOf(BUDGET_UNITS).describe("US dollars, tokens (input and output), or calls"),
  period: oneOf(PERIODS).describe("The calendar window; weeks begin on Monday"),
  tz: timeZone.describe("IANA time zone in which the window begins"),
  ...scope,
  thresholds: z
    .array(threshold)
    .min(1)
    .max(MAX_THRESHOLDS)
    .refine(
      (list) => new Set(list.map(({ kind, percent }) => `${kind} ${percent}`)).size === list.length,
      "must not name a threshold twice",
    ),
  channel_ids,
  is_enabled: z.boolean().describe("false: it is answered, and tells nobody"),
};

interface WholeAmount {
  readonly unit: BudgetUnit;
  readonly amount: string;
}
const hasWholeAmount = ({ unit, amount }: WholeAmount) => unit === "usd" || !amount.includes(".");
const WHOLE_AMOUNT = { path: ["amount"], error: "must be a whole number of tokens or calls" };

export const BudgetInput = z
  .strictObject({
    ...budgetShape,
    unit: budgetShape.unit.default("usd"),
    period: budgetShape.period.default("month"),
    tz: budgetShape.tz.default("UTC"),
    filters: budgetShape.filters.default({}),
    tags: budgetShape.tags.default([]),
    thresholds: budgetShape.thresholds.default([...DEFAULT_THRESHOLDS]),
    channel_ids: channel_ids.default([]),
    is_enabled: budgetShape.is_enabled.default(true),
  })
  .refine(hasWholeAmount, WHOLE_AMOUNT);
export type BudgetInput = z.infer<typeof BudgetInput>;

export const BudgetChange = z.strictObject(budgetShape).partial();
export type BudgetChange = z.infer<typeof BudgetChange>;

const stamps = { created_at: instant, updated_at: instant };
const storedBudget = z.strictObject({ budget_id: id, project_id: id, ...budgetShape, ...stamps });
/** A budget as stored. */
export const Budget = storedBudget.refine(hasWholeAmount, WHOLE_AMOUNT);
export type Budget = z.infer<typeof Budget>;

const share = z.number().nullable();
const amountText = z.string().describe("Exact decimal, in the unit of the budget");

/** A budget and how it stands now. */
export const BudgetAnswer = storedBudget.extend({
  window: z.object({ start: z.string(), end: z.string() }).describe("The window of now"),
  spent: amountText.nullable().describe("So far in the window; null: calls, but none with a price"),
  share: share.describe("Spent over amount, 1 is all of it"),
  remaining: z.string().nullable().describe("Negative when more was spent"),
  forecast: z
    .object({
      amount: z.string().describe("What the window will end at, an estimate"),
      share: z.number(),
      known_days: z.number().int().describe("Whole days with data that it rests on"),
      method: z.string(),
    })
    .nullable()
    .describe("null with less than three whole days of data"),
  thresholds: z.array(
    threshold.extend({
      is_crossed: z.boolean().describe("as the ledger stands now"),
      notified_at: z.string().nullable().describe("When it was told for this window"),
    }),
  ),
  is_complete: z.boolean().describe("false: calls without a price or usage are not in `spent`"),
  coverage: Coverage,
});
export type BudgetAnswer = z.infer<typeof BudgetAnswer>;

/** Names inside of a measure that is an object: `duration` has `p95_ns`. Empty when it is one value. */
function fieldsOf(measure: MeasureName): string[] {
  let schema: unknown = MeasureValues.shape[measure];
  while (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable)
    schema = schema.unwrap();
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** What a rule can watch: every measure, those of several values by their parts: `duration.p95_ns`. */
export const MEASURE_PATHS: readonly string[] = MEASURE_NAMES.flatMap((measure) => {
  const fields = fieldsOf(measure);
  return fields.length === 0 ? [measure] : fields.map((field) => `${measure}.${field}`);
});

const measure_path = z
  .string()
  .refine((path) => MEASURE_PATHS.includes(path), `must be one of: ${MEASURE_PATHS.join(", ")}`)
  .describe("A measure of `GET /v1/schema`, or a part of one, such as duration.p95_ns");

const baseline = {
  baseline: oneOf(["days", "weeks"])
    .default("days")
    .describe("The same hours, in whole quarters, of the days or weeks before"),
  baseline_count: whole.min(1).max(MAX_BASELINE_COUNT).default(7).describe("How many of them"),
};
const condition = z.discriminatedUnion("kind", [
  z
    .strictObject({
      kind: z.literal("threshold"),
      direction: oneOf(["above", "below"]),
      value: z.number(),
      window_minutes: whole.min(1).max(MAX_WINDOW_MINUTES),
    })
    .describe("The measure over the last minutes lies above or below a value"),
  z
    .strictObject({
      kind: z.literal("change"),
      direction: oneOf(["up", "down", "either"]),
      percent: z.number().positive().max(1_000_000),
      window_minutes: whole.min(15).max(MAX_BASELINE_WINDOW_MINUTES).multipleOf(15),
      ...baseline,
    })
    .describe("It differs from the median of the same hours by more than so many percent"),
  z
    .strictObject({
      kind: z.literal("silence"),
      window_minutes: whole.min(5).max(MAX_BASELINE_WINDOW_MINUTES),
      ...baseline,
    })
    .describe("There are no calls, though the median of the same hours has some"),
]);
export type Condition = z.infer<typeof condition>;

const ruleShape = {
  name,
  measure: measure_path,
  condition,
  ...scope,
  tz: timeZone.describe("IANA time zone of the same hours"),
  min_calls: whole
    .min(0)
    .max(1_000_000_000)
    .describe("With fewer calls in the window there is no data to judge"),
  for_minutes: whole.min(0).max(1_440).describe("How long it must hold before it is told"),
  cooldown_minutes: whole.min(0).max(10_080).describe("Least time between two tellings"),
  notify_resolved: z.boolean().describe("whether the end is told too"),
  channel_ids,
  is_enabled: z.boolean(),
};

export const AlertRuleInput = z.strictObject({
  ...ruleShape,
  measure: measure_path.default("calls"),
  filters: scope.filters.default({}),
  tags: scope.tags.default([]),
  tz: ruleShape.tz.default("UTC"),
  min_calls: ruleShape.min_calls.default(0),
  for_minutes: ruleShape.for_minutes.default(0),
  cooldown_minutes: ruleShape.cooldown_minutes.default(60),
  notify_resolved: ruleShape.notify_resolved.default(true),
  channel_ids: channel_ids.default([]),
  is_enabled: ruleShape.is_enabled.default(true),
});
export type AlertRuleInput = z.infer<typeof AlertRuleInput>;

export const AlertRuleChange = z.strictObject(ruleShape).partial();
export type AlertRuleChange = z.infer<typeof AlertRuleChange>;

/** An alert rule as stored. */
export const AlertRule = z.strictObject({ rule_id: id, project_id: id, ...ruleShape, ...stamps });
export type AlertRule = z.infer<typeof AlertRule>;

export const ALERT_STATUSES = ["ok", "pending", "firing", "no_data"] as const;
export type AlertStatus = (typeof ALERT_STATUSES)[number];

/** What a rule found last, and how long that holds. */
export const AlertRuleAnswer = AlertRule.extend({
  state: z
    .object({
      status: z.enum(ALERT_STATUSES).describe("pending: it holds, but not yet for `for_minutes`"),
      since: z.string(),
      notice_id: z.string().nullable().describe("Of the notice of a firing rule"),
    })
    .nullable()
    .describe("null: not looked at yet"),
});
export type AlertRuleAnswer = z.infer<typeof AlertRuleAnswer>;

/** The same, with what it finds at the moment. */
export const AlertRuleDetail = AlertRuleAnswer.extend({
  current: z.object({
    from: z.string(),
    to: z.string(),
    value: z.number().nullable(),
    baseline: z.number().nullable().describe("Median of the same hours; null without one"),
    is_breached: z.boolean().nullable().describe("null: there is no data to judge"),
  }),
});
export type AlertRuleDetail = z.infer<typeof AlertRuleDetail>;

export const BudgetsAnswer = z.object({ budgets: z.array(BudgetAnswer), next_cursor });
export type BudgetsAnswer = z.infer<typeof BudgetsAnswer>;
export const AlertRulesAnswer = z.object({ alerts: z.array(AlertRuleAnswer), next_cursor });
export type AlertRulesAnswer = z.infer<typeof AlertRulesAnswer>;
