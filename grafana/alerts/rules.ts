/**
 * The alert rules: what each asks ClickHouse, when it fires, and what it tells the people it wakes.
 *
 * Invariant: a statement answers rows of texts and one number, so that each row is an alert of its own; it
 * has no macro of the browser, which nobody expands for an alert.
 */
import type { DashboardName } from "../dashboard.ts";
import { textSql } from "../filters.ts";
import {
  coverageSql,
  inRangeSql,
  measureSql,
  PICKED_RANGE,
  PROJECT,
  type Range,
  type UsageQuestion,
  usageSql,
} from "../usage-sql.ts";
import { THRESHOLDS } from "./thresholds.ts";

/** What becomes of a rule whose statement has no rows, or fails. */
type NoData = "OK" | "NoData" | "Alerting";

export interface AlertRule {
  /** Never changed: Grafana knows the rule by it. */
  readonly uid: string;
  readonly group: "cost" | "reliability" | "pipeline";
  readonly title: string;
  /** One line for the person who is woken; `{{ $labels.x }}` and `{{ $values.A.Value }}` are of Grafana. */
  readonly summary: string;
  readonly description: string;
  readonly severity: "warning" | "critical";
  readonly sql: string;
  /** The range that is looked at, seconds before now. */
  readonly range_s: number;
  readonly fires: "above" | "below";
  readonly threshold: number;
  /** How long it must hold before it fires, and how long it goes on to be told after that, such as `5m`. */
  readonly lasts: string;
  readonly keeps: string;
  readonly no_data: NoData;
  readonly dashboard: DashboardName;
  /** The panel that shows what the rule is about. */
  readonly panel_id: number;
}

const HOUR_S = 3_600;
const QUARTER_S = 900;

/** The groups whose number is known, as texts and that number. */
function rowsSql(sql: string, keys: readonly string[], number: string, condition = "1"): string {
  return `SELECT ${[...keys, `toFloat64(${number}) AS value`].join(", ")}
FROM (
${sql}
)
WHERE isNotNull(${number}) AND ${condition}
ORDER BY value DESC
LIMIT 100`;
}

/** Usage of every project, with no filter. */
function askAll(question: Omit<UsageQuestion, "filters">): string {
  return usageSql({ ...question, filters: "none" });
}

const HOUR_MS = 3_600_000;
/** The last full hour of the clock, and the 168 before it. */
const WEEK_OF_HOURS: Range = {
  from: `((intDiv(${PICKED_RANGE.to}, ${HOUR_MS}) - 169) * ${HOUR_MS})`,
  to: `(intDiv(${PICKED_RANGE.to}, ${HOUR_MS}) * ${HOUR_MS})`,
};

/** Hours of a week ago that had no call have no row: they count as 0 in the median. */
const SPIKE_SQL = `SELECT
  project,
  last / greatest(arraySort(arrayResize(before, 7, toFloat64(0)))[4], 0.01) AS value
FROM (
  SELECT
    project,
    sumIf(spend, hours_ago = 0) AS last,
    groupArrayIf(spend, hours_ago > 0 AND hours_ago % 24 = 0) AS before
  FROM (
    SELECT project, coalesce(toFloat64(spend), 0) AS spend, intDiv(${WEEK_OF_HOURS.to}, 1000) - 3600 - toUnixTimestamp(time) AS seconds_ago, intDiv(seconds_ago, 3600) AS hours_ago
    FROM (
${askAll({ select: { spend: measureSql("cost_usd") }, by: { project: PROJECT }, step: "hour", range: WEEK_OF_HOURS })}
    )
  )
  GROUP BY project
)
WHERE last >= ${THRESHOLDS.spend_spike_least.value}
ORDER BY value DESC
LIMIT 100`;

const NOW = `toDateTime(intDiv(${PICKED_RANGE.to}, 1000), 'UTC')`;
const MONTH_START = `toDateTime(toStartOfMonth(${NOW}, 'UTC'), 'UTC')`;
const MONTH_END = `toDateTime(addMonths(toStartOfMonth(${NOW}, 'UTC'), 1), 'UTC')`;
const MONTH_SHARE = `((toUnixTimestamp(${NOW}) - toUnixTimestamp(${MONTH_START})) / (toUnixTimestamp(${MONTH_END}) - toUnixTimestamp(${MONTH_START})))`;
const THIS_MONTH: Range = {
  from: `(toInt64(toUnixTimestamp(${MONTH_START})) * 1000)`,
  to: PICKED_RANGE.to,
};

/** Budgets of whole projects: those with filters are watched by Spanledger itself. */
const PROJECTION_SQL = `SELECT
  spent.project AS project,
  budget.name AS budget,
  toFloat64(spent.spend) / ${MONTH_SHARE} / toFloat64(budget.amount) AS value
FROM (
${askAll({ select: { spend: measureSql("cost_usd") }, by: { project: PROJECT }, range: THIS_MONTH })}
) AS spent
INNER JOIN budgets AS budget ON toString(budget.project_id) = spent.project
WHERE isNotNull(spent.spend)
  AND budget.is_enabled AND budget.unit = 'usd' AND budget.period = 'month' AND budget.amount > 0
  AND empty(budget.filters) AND empty(budget.tags)
  AND ${MONTH_SHARE} > 0.1
ORDER BY value DESC
LIMIT 100`;

const LEAST_CALLS = `calls >= ${THRESHOLDS.least_calls.value}`;

const RATE_LIMITED_SQL = `SELECT
  toString(project_id) AS project,
  ${textSql("provider")} AS provider,
  countIf(http_status = 429) / count() AS value
FROM calls
WHERE ${inRangeSql()}
GROUP BY project, provider
HAVING count() >= ${THRESHOLDS.least_calls.value}
ORDER BY value DESC
LIMIT 100`;

/** The sum of counters of all collectors; no row when none told of itself. */
function countedSql(metrics: readonly string[]): string {
  const names = metrics.map((name) => `'${name}'`).join(", ");
  return `SELECT sumIf(value, name IN (${names}) AND kind = 'counter') AS value
FROM collector_samples FINAL
WHERE name IN (${names}, 'spanledger_build_info')
  AND sampled_at >= $__fromTime_ms AND sampled_at < $__toTime_ms
HAVING count() > 0`;
}

const COST_RULES: readonly AlertRule[] = [
  {
    uid: "spanledger-hourly-spend",
    group: "cost",
    title: "A project spends too much in an hour",
    summary:
      '{{ $labels.project }} spent {{ printf "%.2f" $values.A.Value }} US dollars in the last hour',
    description: "Look which model, service and user it is; a loop shows as one session.",
    severity: "critical",
    sql: rowsSql(
      askAll({ select: { spend: measureSql("cost_usd") }, by: { project: PROJECT } }),
      ["project"],
      "spend",
    ),
    range_s: HOUR_S,
    fires: "above",
    threshold: THRESHOLDS.hourly_spend.value,
    lasts: "0s",
    keeps: "15m",
    no_data: "OK",
    dashboard: "overview",
    panel_id: 10,
  },
  {
    uid: "spanledger-projected-month",
    group: "cost",
    title: "A month will cost more than its budget",
    summary:
      "{{ $labels.project }} will have spent {{ humanizePercentage $values.A.Value }} of {{ $labels.budget }} by the end of the month",
    description:
      "At the pace of the month so far (UTC), from its fourth day on. Budgets with filters or other periods are watched by Spanledger itself.",
    severity: "warning",
    sql: PROJECTION_SQL,
    range_s: HOUR_S,
    fires: "above",
    threshold: THRESHOLDS.projected_month.value,
    lasts: "1h",
    keeps: "1h",
    no_data: "OK",
    dashboard: "cost",
    panel_id: 10,
  },
  {
    uid: "spanledger-spend-spike",
    group: "cost",
    title: "Spend of an hour jumps",
    summary:
      '{{ $labels.project }} spent {{ printf "%.1f" $values.A.Value }} times the median of this hour of the last seven days',
    description: "The last full hour of the clock against the same hour of the seven days before.",
    severity: "warning",
    sql: SPIKE_SQL,
    range_s: HOUR_S,
    fires: "above",
    threshold: THRESHOLDS.spend_spike.value,
    lasts: "0s",
    keeps: "30m",
    no_data: "OK",
    dashboard: "overview",
    panel_id: 10,
  },
  {
    uid: "spanledger-runaway-session",
    group: "cost",
    title: "A session runs away",
    summary:
      'Session {{ $labels.session }} of {{ $labels.project }} spent {{ printf "%.2f" $values.A.Value }} US dollars',
    description:
      "An agent that does not stop? Look at the calls of the session, then at its trace.",
    severity: "critical",
    sql: rowsSql(
      askAll({
        select: { spend: measureSql("cost_usd") },
        by: { project: PROJECT, session: "session_id" },
        where: { session_id: "!= '(none)'" },
      }),
      ["project", "session"],
      "spend",
    ),
    range_s: 6 * HOUR_S,
    fires: "above",
    threshold: THRESHOLDS.session_spend.value,
    lasts: "0s",
    keeps: "15m",
    no_data: "OK",
    dashboard: "cost",
    panel_id: 19,
  },
  {
    uid: "spanledger-unpriced",
    group: "cost",
    title: "A model has no price",
    summary:
      '{{ printf "%.0f" $values.A.Value }} calls of {{ $labels.model }} have no price ({{ $labels.project }})',
    description:
      "Their cost is missing from every total. GET /v1/analytics/models/unpriced says why and what to do.",
    severity: "warning",
    sql: rowsSql(
      askAll({
        select: { unpriced: coverageSql("calls_unpriced") },
        by: { project: PROJECT, provider: "provider", model: "model" },
      }),
      ["project", "provider", "model"],
      "unpriced",
    ),
    range_s: HOUR_S,
    fires: "above",
    threshold: THRESHOLDS.unpriced.value,
    lasts: "10m",
    keeps: "30m",
    no_data: "OK",
    dashboard: "pipeline",
    panel_id: 22,
  },
];

const RELIABILITY_RULES: readonly AlertRule[] = [
  {
    uid: "spanledger-error-ratio",
    group: "reliability",
    title: "Many calls fail",
    summary:
      "{{ humanizePercentage $values.A.Value }} of the calls of {{ $labels.project }} to {{ $labels.provider }} fail",
    description: "GET /v1/analytics/errors, or the dashboard, say what fails and since when.",
    severity: "critical",
    sql: rowsSql(
      askAll({
        select: { ratio: measureSql("error_rate"), calls: measureSql("calls") },
        by: { project: PROJECT, provider: "provider" },
      }),
      ["project", "provider"],
      "ratio",
      LEAST_CALLS,
    ),
    range_s: QUARTER_S,
    fires: "above",
    threshold: THRESHOLDS.error_ratio.value,
    lasts: "5m",
    keeps: "10m",
    no_data: "OK",
    dashboard: "reliability",
    panel_id: 11,
  },
  {
    uid: "spanledger-latency",
    group: "reliability",
    title: "Calls are slow",
    summary:
      'p95 of {{ $labels.model }} is {{ printf "%.1f" $values.A.Value }} s for {{ $labels.project }}',
    description: "Of calls that started in the last 15 minutes and are over.",
    severity: "warning",
    sql: rowsSql(
      askAll({
        select: {
          p95_s: `${measureSql("duration", "p95_ns")} / 1e9`,
          calls: measureSql("calls"),
        },
        by: { project: PROJECT, model: "model" },
      }),
      ["project", "model"],
      "p95_s",
      LEAST_CALLS,
    ),
    range_s: QUARTER_S,
    fires: "above",
    threshold: THRESHOLDS.latency_p95.value,
    lasts: "10m",
    keeps: "10m",
    no_data: "OK",
    dashboard: "reliability",
    panel_id: 12,
  },
  {
    uid: "spanledger-rate-limited",
    group: "reliability",
    title: "A provider limits the rate",
    summary:
      "{{ humanizePercentage $values.A.Value }} of the calls of {{ $labels.project }} to {{ $labels.provider }} get 429",
    description: "Slow down, spread the load, or ask the provider for more.",
    severity: "warning",
    sql: RATE_LIMITED_SQL,
    range_s: QUARTER_S,
    fires: "above",
    threshold: THRESHOLDS.rate_limited.value,
    lasts: "5m",
    keeps: "10m",
    no_data: "OK",
    dashboard: "reliability",
    panel_id: 5,
  },
];

const PIPELINE_RULES: readonly AlertRule[] = [
  {
    uid: "spanledger-silence",
    group: "pipeline",
    title: "Nothing arrives",
    summary: "Collectors accepted nothing for half an hour, or do not run",
    description:
      "Fires too when no collector tells of itself. Where nights are quiet, raise the range or pause the rule then.",
    severity: "critical",
    sql: countedSql(["spanledger_accepted_items_total"]),
    range_s: 1_800,
    fires: "below",
    threshold: THRESHOLDS.silence.value,
    lasts: "5m",
    keeps: "0s",
    no_data: "Alerting",
    dashboard: "pipeline",
    panel_id: 10,
  },
  {
    uid: "spanledger-drops",
    group: "pipeline",
    title: "Collectors refuse or set aside",
    summary:
      '{{ printf "%.0f" $values.A.Value }} items or requests were refused or set aside in 15 minutes',
    description:
      "Refused requests are sent again by most exporters; rejected items and records set aside are not. The panel tells the reasons.",
    severity: "critical",
    sql: countedSql([
      "spanledger_rejected_items_total",
      "spanledger_otlp_refused_requests_total",
      "spanledger_set_aside_records_total",
      "spanledger_wal_refused_records_total",
    ]),
    range_s: QUARTER_S,
    fires: "above",
    threshold: THRESHOLDS.drops.value,
    lasts: "0s",
    keeps: "15m",
    no_data: "OK",
    dashboard: "pipeline",
    panel_id: 11,
  },
];

/** Every alert rule. */
export const ALERT_RULES: readonly AlertRule[] = [
  ...COST_RULES,
  ...RELIABILITY_RULES,
  ...PIPELINE_RULES,
];
