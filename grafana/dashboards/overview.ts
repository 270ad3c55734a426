/**
 * Overview: what was spent on which models, how fast and how reliably, at a glance, and what moved.
 *
 * Invariant: the spend stands beside the share of tokens that have a price.
 */
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { comparedTile, monthSql, movedSql } from "../compared.ts";
import { type DashboardSpec, linkTo } from "../dashboard.ts";
import { PROJECT_SQL } from "../filters.ts";
import { alertList, barGauge, type BuiltPanel, series, stat, tablePanel } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { CLASS_STYLES } from "../style.ts";
import { coverageSql, GROUP_BY, measureSql, usageSql } from "../usage-sql.ts";

const TILE = { width: 6 } as const;

const TILES: readonly BuiltPanel[] = [
  comparedTile(
    {
      ...TILE,
      id: 1,
      title: "Spend",
      description: "US dollars of the calls that have a price, fees included.",
      unit: "usd",
      colour: "cost",
    },
    measureSql("cost_usd"),
    "bad",
  ),
  stat(
    {
      ...TILE,
      id: 2,
      title: "Spend of the month",
      description:
        "The month, of UTC, that the picked range ends in: up to that end, and what the whole month costs when it goes on like this.",
      unit: "usd",
      colour: "cost",
      no_value: "no calls",
      targets: [table(monthSql())],
      fields: { "At this pace": { colour: "forecast" } },
    },
    { textMode: "value_and_name" },
  ),
  comparedTile(
    {
      ...TILE,
      id: 3,
      title: "Calls",
      description: "Model calls, each counted once.",
      unit: "calls",
      colour: "calls",
    },
    measureSql("calls"),
    "neutral",
  ),
  comparedTile(
    {
      ...TILE,
      id: 4,
      title: "Tokens",
      description: "Tokens of prompts and answers, of all classes that calls reported.",
      unit: "tokens",
      colour: "tokens",
    },
    "sums.tokens_total",
    "neutral",
  ),
  comparedTile(
    {
      ...TILE,
      id: 5,
      title: "Errors",
      description: "Share of the calls that failed.",
      unit: "share",
      thresholds: [
        { from: null, colour: "good" },
        { from: 0.02, colour: "warning" },
        { from: 0.05, colour: "error" },
      ],
    },
    measureSql("error_rate"),
    "bad",
  ),
  comparedTile(
    {
      ...TILE,
      id: 6,
      title: "Latency p95",
      description: "Duration below which 95 % of the calls lie, within 2.2 %.",
      unit: "duration_ns",
      colour: "latency_p95",
    },
    measureSql("duration", "p95_ns"),
    "bad",
  ),
  comparedTile(
    {
      ...TILE,
      id: 7,
      title: "First token p95",
      description: "Time to the first token below which 95 % of the calls lie that report it.",
      unit: "duration_ns",
      colour: "ttft",
      no_value: "not reported",
    },
    measureSql("ttft", "p95_ns"),
    "bad",
  ),
  stat(
    {
      ...TILE,
      id: 8,
      title: "Coverage",
      description:
        "Share of the tokens that have a price, and the calls that the spend does not or not wholly hold: without a price, and without usage.",
      unit: "calls",
      no_value: "no calls",
      targets: [
        table(
          usageSql({
            select: {
              Priced: coverageSql("tokens_priced_share"),
              "Without price": coverageSql("calls_unpriced"),
              "Without usage": coverageSql("calls_missing_usage"),
            },
          }),
        ),
      ],
      fields: {
        Priced: {
          unit: "share",
          thresholds: [
            { from: null, colour: "error" },
            { from: 0.95, colour: "warning" },
            { from: 0.995, colour: "good" },
          ],
        },
      },
    },
    { textMode: "value_and_name" },
  ),
];

const SPEND_BY_GROUP = series(
  {
    id: 10,
    title: "Spend over time",
    description: "US dollars by what is picked in Group by: the ten largest, and all others.",
    width: 12,
    unit: "usd",
    named_by: "group",
    targets: [
      points(
        usageSql({
          select: { Spend: measureSql("cost_usd") },
          by: { group: GROUP_BY },
          step: "auto",
          top: 10,
        }),
      ),
    ],
  },
  { draw: "bars", stack: true },
);

const TOKENS_BY_CLASS = series(
  {
    id: 11,
    title: "Tokens over time",
    description: "Tokens by class; the classes are disjoint, so the stack is the sum.",
    width: 12,
    unit: "tokens",
    targets: [
      points(
        usageSql({
          select: Object.fromEntries(
            TOKEN_CLASSES.map((name) => [CLASS_STYLES[name].label, measureSql("tokens", name)]),
          ),
          step: "auto",
        }),
      ),
    ],
    fields: Object.fromEntries(
      TOKEN_CLASSES.map((name) => {
        const { label, colour } = CLASS_STYLES[name];
        return [label, { colour: colour as `#${string}` }];
      }),
    ),
  },
  { draw: "bars", stack: true },
);

const CALLS_AND_ERRORS = series(
  {
    id: 12,
    title: "Calls and errors",
    description: "Calls, those of them that failed, and their share on the right axis.",
    width: 12,
    unit: "calls",
    targets: [
      points(
        usageSql({
          select: {
            Calls: measureSql("calls"),
            Failed: measureSql("errors"),
            "Error share": measureSql("error_rate"),
          },
          step: "auto",
        }),
      ),
    ],
    fields: {
      Calls: { colour: "calls" },
      Failed: { colour: "error" },
      "Error share": { colour: "warning", unit: "share", axis: "right", draw: "line", min: 0 },
    },
  },
  { draw: "bars" },
);

const LATENCY = series({
  id: 13,
  title: "Latency",
  description: "Duration of the calls, and the time to the first token of those that report it.",
  width: 12,
  unit: "duration_ns",
  targets: [
    points(
      usageSql({
        select: {
          p50: measureSql("duration", "p50_ns"),
          p95: measureSql("duration", "p95_ns"),
          "First token p50": measureSql("ttft", "p50_ns"),
        },
        step: "auto",
      }),
    ),
  ],
  fields: {
    p50: { colour: "latency_p50" },
    p95: { colour: "latency_p95" },
    "First token p50": { colour: "ttft", draw: "dashed" },
  },
});

const MODELS = tablePanel({
  id: 20,
  title: "Models",
  description:
    "The dearest models of the range. A model without a price has no spend. A click leads to its latency and errors.",
  width: 24,
  unit: "count",
  targets: [
    table(
      usageSql({
        select: {
          Spend: measureSql("cost_usd"),
          Calls: measureSql("calls"),
          Tokens: "sums.tokens_total",
          "1,000 calls": `${measureSql("cost_per_call_usd")} * 1000`,
          "Cache hits": measureSql("cache_hit_share"),
          p95: measureSql("duration", "p95_ns"),
          "First token p95": measureSql("ttft", "p95_ns"),
          Errors: measureSql("error_rate"),
          Priced: coverageSql("tokens_priced_share"),
        },
        by: { Model: "model", Provider: "provider" },
        order: '"Spend" DESC NULLS LAST, "Calls" DESC, "Model", "Provider"',
        limit: 20,
      }),
    ),
  ],
  fields: {
    Model: {
      link: {
        title: "Latency and errors of the model",
        url: linkTo("reliability", { model: "${__data.fields.Model:percentencode}" }),
      },
    },
    Spend: { unit: "usd_exact", cell: "bar", colour: "cost" },
    Tokens: { unit: "tokens" },
    "1,000 calls": { unit: "usd" },
    "Cache hits": { unit: "share" },
    p95: { unit: "duration_ns" },
    "First token p95": { unit: "duration_ns" },
    Errors: { unit: "share" },
    Priced: { unit: "share" },
  },
});

function spenders(id: number, title: string, by: "service_name" | "user_id"): BuiltPanel {
  return barGauge({
    id,
    title,
    description:
      "The ten with the largest spend of the range; calls without a price are not in it.",
    width: 12,
    unit: "usd",
    colour: "cost",
    targets: [
      table(
        usageSql({
          select: { Spend: measureSql("cost_usd") },
          by: { Name: by },
          order: '"Spend" DESC NULLS LAST, "Name"',
          limit: 10,
        }),
      ),
    ],
  });
}

const MOVED = tablePanel({
  id: 23,
  title: "What moved",
  description:
    "Groups, by what is picked in Group by, whose spend changed most against the range of the same length before.",
  width: 16,
  unit: "usd_exact",
  targets: [table(movedSql(GROUP_BY, 15))],
  fields: {
    More: {
      thresholds: [
        { from: null, colour: "good" },
        { from: 0, colour: "warning" },
      ],
      cell: "colour",
    },
    Change: { unit: "share" },
    Errors: { unit: "share" },
    "Errors before": { unit: "share" },
  },
});

const ALERTS = alertList({
  id: 24,
  title: "Alerts",
  description: "Alert rules of Grafana that fire, wait or have no data.",
  width: 8,
});

/** Annotations of what changed the numbers from outside. */
const NOTICES = `SELECT
  created_at AS time,
  'Notice' AS title,
  concat(replaceAll(toString(kind), '_', ' '), ': ', subject_id) AS text,
  toString(project_id) AS tags
FROM alert_notices FINAL
WHERE ${PROJECT_SQL} AND created_at >= $__fromTime_ms AND created_at <= $__toTime_ms
ORDER BY time
LIMIT 500`;

export const OVERVIEW: DashboardSpec = {
  name: "overview",
  title: "LLM overview",
  description:
    "Spend, use, speed and errors of model calls, and what moved since the range before.",
  tags: [],
  from: "now-7d",
  refresh: "1m",
  has_group_by: true,
  annotations: [{ name: "Budgets and alerts", sql: NOTICES, colour: "warning", is_on: true }],
  rows: [
    { height: 4, panels: TILES.slice(0, 4) },
    { height: 4, panels: TILES.slice(4) },
    { height: 9, panels: [SPEND_BY_GROUP, TOKENS_BY_CLASS] },
    { height: 8, panels: [CALLS_AND_ERRORS, LATENCY] },
    { height: 10, panels: [MODELS] },
    {
      height: 9,
      panels: [
        spenders(21, "Services by spend", "service_name"),
        spenders(22, "Users by spend", "user_id"),
      ],
    },
    { height: 9, panels: [MOVED, ALERTS] },
  ],
};
