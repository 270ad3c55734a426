/**
 * Cost and budgets: what was spent on what, how budgets stand, what caching saves and what has no price.
 *
 * Invariant: money is exact up to Grafana, which shows it as a floating-point number.
 */
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { budgetsSql } from "../budget-sql.ts";
import { comparedTile, monthSql, movedSql } from "../compared.ts";
import type { DashboardSpec } from "../dashboard.ts";
import { PROJECT_SQL } from "../filters.ts";
import { type BuiltPanel, series, stat, tablePanel } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { CLASS_STYLES } from "../style.ts";
import { coverageSql, GROUP_BY, measureSql, selectMeasures, usageSql } from "../usage-sql.ts";
import {
  DEAREST_CALLS,
  DEAREST_SESSIONS,
  HOURS_OF_WEEK,
  perOneSql,
  UNPRICED,
} from "./cost-tables.ts";

const TILES: readonly BuiltPanel[] = [
  comparedTile(
    {
      id: 1,
      title: "Spend",
      description: "US dollars of the calls that have a price, fees included.",
      width: 6,
      unit: "usd",
      colour: "cost",
    },
    measureSql("cost_usd"),
    "bad",
  ),
  stat(
    {
      id: 2,
      title: "Spend of the month",
      description:
        "The month, of UTC, that the picked range ends in: up to that end, and what the whole month costs when it goes on like this.",
      width: 6,
      unit: "usd",
      colour: "cost",
      no_value: "no calls",
      targets: [table(monthSql())],
      fields: { "At this pace": { colour: "forecast" } },
    },
    { textMode: "value_and_name" },
  ),
  stat(
    {
      id: 3,
      title: "Caching",
      description:
        "What cached prompt tokens saved against the uncached price of each call, what writing the cache cost more, and the share of the prompt tokens that were read from it.",
      width: 8,
      unit: "usd",
      colour: "cached",
      no_value: "no priced cache",
      targets: [
        table(
          usageSql({
            select: {
              Saved: measureSql("cache_savings_usd"),
              "Writing cost": measureSql("cache_write_surcharge_usd"),
              "Cache hits": measureSql("cache_hit_share"),
            },
          }),
        ),
      ],
      fields: { "Writing cost": { colour: "warning" }, "Cache hits": { unit: "share" } },
    },
    { textMode: "value_and_name" },
  ),
  stat(
    {
      id: 4,
      title: "Without price",
      description: "Calls that the spend does not or not wholly hold, and calls without usage.",
      width: 4,
      unit: "count",
      no_value: "no calls",
      targets: [
        table(
          usageSql({
            select: {
              "No price": coverageSql("calls_unpriced"),
              "No usage": coverageSql("calls_missing_usage"),
            },
          }),
        ),
      ],
      thresholds: [
        { from: null, colour: "good" },
        { from: 1, colour: "warning" },
      ],
    },
    { textMode: "value_and_name" },
  ),
  stat(
    {
      id: 5,
      title: "A call, a user, a session",
      description:
        "Spend for each call, user and session that could be priced; users and sessions of calls that name one.",
      width: 12,
      unit: "usd",
      colour: "cost",
      no_value: "none",
      targets: [
        table(usageSql({ select: { "A call": measureSql("cost_per_call_usd") } })),
        table(
          usageSql({
            select: {
              "A user": measureSql("cost_per_user_usd"),
              "A session": measureSql("cost_per_session_usd"),
            },
          }),
        ),
      ],
    },
    { textMode: "value_and_name" },
  ),
  stat(
    {
      id: 6,
      title: "Spread over users and sessions",
      description: "Spend of the user and of the session in the middle, and of the dearest 5 %.",
      width: 12,
      unit: "usd",
      colour: "cost",
      no_value: "none",
      targets: [table(perOneSql("user_id", "User")), table(perOneSql("session_id", "Session"))],
    },
    { textMode: "value_and_name" },
  ),
];

const SHARE_STEPS = [
  { from: null, colour: "good" },
  { from: 0.8, colour: "warning" },
  { from: 1, colour: "error" },
] as const;

const BUDGETS = tablePanel({
  id: 10,
  title: "Budgets",
  description:
    "Budgets that are on, in their windows at the end of the picked range; filters but the project do not apply. Windows of other zones than UTC, and forecasts by weekday, are in GET /v1/budgets.",
  width: 24,
  unit: "count",
  targets: [table(budgetsSql())],
  fields: {
    Used: { unit: "share", cell: "bar", min: 0, max: 1, thresholds: SHARE_STEPS },
    Elapsed: { unit: "share" },
    "Used at this pace": { unit: "share", cell: "colour", thresholds: SHARE_STEPS },
    "Used up on": { unit: "time" },
    "Window ends": { unit: "time" },
    Amount: { decimals: 2 },
    Spent: { decimals: 2 },
    "At this pace": { decimals: 2 },
  },
});

const BY_GROUP = series(
  {
    id: 11,
    title: "Spend by day",
    description:
      "US dollars a day, of UTC, by what is picked in Group by: the ten largest, and all others.",
    width: 12,
    unit: "usd",
    named_by: "group",
    interval: "1d",
    targets: [
      points(
        usageSql({
          select: { Spend: measureSql("cost_usd") },
          by: { group: GROUP_BY },
          step: "day",
          top: 10,
        }),
      ),
    ],
  },
  { draw: "bars", stack: true, calcs: ["sum"] },
);

const BY_CLASS = series(
  {
    id: 12,
    title: "Spend by token class",
    description:
      "US dollars by class of tokens, and fees for what is billed by the piece; together they are the spend.",
    width: 12,
    unit: "usd",
    targets: [
      points(
        usageSql({
          select: {
            ...Object.fromEntries(
              TOKEN_CLASSES.map((name) => [CLASS_STYLES[name].label, measureSql("cost", name)]),
            ),
            Fees: measureSql("fees_usd"),
          },
          step: "auto",
        }),
      ),
    ],
    fields: {
      ...Object.fromEntries(
        TOKEN_CLASSES.map((name) => {
          const { label, colour } = CLASS_STYLES[name];
          return [label, { colour: colour as `#${string}` }];
        }),
      ),
      Fees: { colour: "unknown" },
    },
  },
  { draw: "bars", stack: true, calcs: ["sum"] },
);

const MOVED = tablePanel({
  id: 13,
  title: "Spend against before",
  description:
    "Spend by what is picked in Group by, beside that of the range of the same length before.",
  width: 24,
  unit: "usd_exact",
  targets: [table(movedSql(GROUP_BY, 25))],
  fields: {
    Spend: { cell: "bar", colour: "cost" },
    Change: { unit: "share", decimals: 1 },
    Errors: { unit: "share", decimals: 1 },
    "Errors before": { unit: "share", decimals: 1 },
  },
});

const CACHE = series({
  id: 15,
  title: "Cache hits and savings",
  description:
    "Share of the prompt tokens that were read from the provider's cache, and, on the right axis, what that saved.",
  width: 12,
  unit: "share",
  min: 0,
  targets: [
    points(
      usageSql({
        select: {
          "Cache hits": measureSql("cache_hit_share"),
          Saved: measureSql("cache_savings_usd"),
        },
        step: "auto",
      }),
    ),
  ],
  fields: {
    "Cache hits": { colour: "cached" },
    Saved: { colour: "cost", unit: "usd", axis: "right", draw: "bars" },
  },
});

const PRICE_OF_TOKENS = series({
  id: 16,
  title: "A million tokens",
  description:
    "Spend over a million tokens of prompts and answers together, by model: what a price, a cache or longer answers change.",
  width: 12,
  unit: "usd",
  named_by: "model",
  targets: [
    points(
      usageSql({
        select: {
          "A million tokens": `if(sums.tokens_total = 0, NULL, toFloat64(${measureSql("cost_usd")}) * 1000000 / sums.tokens_total)`,
        },
        by: { model: "model" },
        step: "auto",
        top: 8,
      }),
    ),
  ],
});

const CLAIMED = tablePanel({
  id: 17,
  title: "What clients claim",
  description: "Spend by the ledger beside what clients say that their calls cost, by service.",
  width: 12,
  unit: "usd_exact",
  targets: [
    table(
      usageSql({
        select: { Calls: measureSql("calls"), ...renamed() },
        by: { Service: "service_name" },
        order: '"Claimed" DESC NULLS LAST, "Spend" DESC NULLS LAST, "Service"',
        limit: 25,
      }),
    ),
  ],
  fields: { Calls: { unit: "count" } },
});

function renamed(): Record<string, string> {
  const { cost_usd = "", client_cost_usd = "" } = selectMeasures("cost_usd", "client_cost_usd");
  return { Spend: cost_usd, Claimed: client_cost_usd };
}

/** When stored calls were priced again: sums of before may have moved. */
const PRICE_RUNS = `SELECT
  started_at AS time,
  'Priced again' AS title,
  concat(toString(calls_changed), ' of ', toString(calls), ' calls: $', toString(cost_before), ' to $', toString(cost_after)) AS text,
  'prices' AS tags
FROM price_runs FINAL
WHERE started_at >= $__fromTime_ms AND started_at <= $__toTime_ms AND state = 'finished'
ORDER BY time
LIMIT 500`;

const NOTICES = `SELECT
  created_at AS time,
  'Budget' AS title,
  concat(replaceAll(toString(kind), '_', ' '), ': ', subject_id) AS text,
  toString(project_id) AS tags
FROM alert_notices FINAL
WHERE kind = 'budget_threshold' AND ${PROJECT_SQL} AND created_at >= $__fromTime_ms AND created_at <= $__toTime_ms
ORDER BY time
LIMIT 500`;

export const COST: DashboardSpec = {
  name: "cost",
  title: "LLM cost and budgets",
  description:
    "What was spent on what, how budgets stand, what caching saves and what has no price.",
  tags: [],
  from: "now-30d",
  refresh: "5m",
  has_group_by: true,
  annotations: [
    { name: "Prices", sql: PRICE_RUNS, colour: "budget", is_on: true },
    { name: "Budgets", sql: NOTICES, colour: "warning", is_on: true },
  ],
  rows: [
    { height: 4, panels: TILES.slice(0, 4) },
    { height: 4, panels: TILES.slice(4) },
    { height: 8, panels: [BUDGETS] },
    { height: 10, panels: [BY_GROUP, BY_CLASS] },
    { height: 10, panels: [MOVED] },
    { height: 9, panels: [HOURS_OF_WEEK] },
    { height: 8, panels: [CACHE, PRICE_OF_TOKENS] },
    { height: 10, panels: [DEAREST_CALLS, DEAREST_SESSIONS] },
    { height: 8, panels: [UNPRICED, CLAIMED] },
  ],
};
