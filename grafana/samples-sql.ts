/**
 * Statements over `collector_samples`, what collectors tell of themselves: rates, gauges and quantiles by
 * step.
 *
 * Invariant: the numbers are those of `GET /v1/collector` (grafana/dashboards/pipeline.test.ts); a step
 * without a sample has no row.
 */
import { startOfStep, STEP_S } from "./usage-sql.ts";

/** A metric and what it is called in a panel. */
export type NamedMetrics = Readonly<Record<string, string>>;

function list(texts: readonly string[]): string {
  return texts.map((text) => `'${text}'`).join(", ");
}

/** The condition of samples of these metrics in the picked range. */
export function samplesSql(metrics: readonly string[], kind: "counter" | "gauge"): string {
  return `name IN (${list(metrics)})
  AND kind = '${kind}'
  AND sampled_at >= $__fromTime_ms
  AND sampled_at < $__toTime_ms`;
}

/** What each metric is called, as SQL over the column `name`. */
function calledSql(metrics: NamedMetrics): string {
  const names = Object.entries(metrics);
  if (names.length === 1) return `'${names[0]?.[0] ?? ""}'`;
  return `transform(toString(name), [${list(names.map(([, metric]) => metric))}], [${list(names.map(([called]) => called))}], '')`;
}

/** The sum of a counter over the range, 0 where it did not grow; NULL when nothing was sampled. */
export function countSql(metric: string): string {
  return `(SELECT if(count() = 0, NULL, sumIf(value, name = '${metric}' AND kind = 'counter'))
FROM collector_samples FINAL
WHERE name IN (${list([metric, HEARTBEAT])}) AND sampled_at >= $__fromTime_ms AND sampled_at < $__toTime_ms)`;
}

/** In every sample, so that it tells whether there is one. */
const HEARTBEAT = "spanledger_build_info";

/**
 * Counters by step and name: `time`, `series` and `value`, a second or (`each`) a step. The name is that of
 * the metric, or SQL over the labels.
 */
export function ratesSql(
  metrics: NamedMetrics,
  { by, each = "second" }: { readonly by?: string; readonly each?: "second" | "step" } = {},
): string {
  return `SELECT
  ${startOfStep("sampled_at")} AS time,
  ${by ?? calledSql(metrics)} AS series,
  sum(value)${each === "second" ? ` / ${STEP_S}` : ""} AS value
FROM collector_samples FINAL
WHERE ${samplesSql(Object.values(metrics), "counter")}
GROUP BY time, series
ORDER BY time, series`;
}

/**
 * Gauges by step, a column each: of each collector the last value of the step, and of these the sum, or the
 * greatest where that is what matters.
 */
export function gaugesSql(
  metrics: Readonly<Record<string, readonly [metric: string, of: "sum" | "max"]>>,
): string {
  const names = Object.entries(metrics);
  const columns = names.map(
    ([called, [metric, of]]) => `  ${of}If(last, metric = '${metric}') AS "${called}"`,
  );
  return `SELECT
  time,
${columns.join(",\n")}
FROM (
  SELECT ${startOfStep("sampled_at")} AS time, toString(name) AS metric, instance_id, argMax(value, sampled_at) AS last
  FROM collector_samples FINAL
  WHERE ${samplesSql(
    names.map(([, [metric]]) => metric),
    "gauge",
  ).replaceAll("\n", "\n  ")}
  GROUP BY time, metric, instance_id
)
GROUP BY time
ORDER BY time`;
}

/** The last value of a gauge, of all collectors that were sampled in the last minutes of the range. */
export function lastGaugeSql(metric: string, of: "sum" | "max"): string {
  return `SELECT ${of}(last) AS value
FROM (
  SELECT argMax(value, sampled_at) AS last
  FROM collector_samples FINAL
  WHERE ${samplesSql([metric], "gauge").replaceAll("\n", "\n  ")}
    AND sampled_at >= $__toTime_ms - INTERVAL 3 MINUTE
  GROUP BY instance_id
)
HAVING count() > 0`;
}

/**
 * A quantile of histograms by step: `time`, `series` and `value`, as clickhouse/queries/
 * select_collector_quantiles.sql estimates it.
 */
export function quantileSql(histograms: NamedMetrics, share: number): string {
  const buckets = Object.fromEntries(
    Object.entries(histograms).map(([called, metric]) => [called, `${metric}_bucket`]),
  );
  const rank = `${share} * observations`;
  const width = "(bounds[i].1 - bounds[i - 1].1)";
  return `SELECT
  time,
  series,
  arrayMap(i -> multiIf(
    isInfinite(bounds[i].1), bounds[i - 1].1,
    i = 1, bounds[i].1 * ${rank} / bounds[i].2,
    bounds[i - 1].1 + ${width} * (${rank} - bounds[i - 1].2) / (bounds[i].2 - bounds[i - 1].2)
  ), [arrayFirstIndex(bound -> bound.2 >= ${rank}, bounds)])[1] AS value
FROM (
  SELECT time, series, arraySort(bound -> bound.1, groupArray((le, total))) AS bounds, max(total) AS observations
  FROM (
    SELECT
      ${startOfStep("sampled_at")} AS time,
      ${calledSql(buckets)} AS series,
      if(labels['le'] = '+Inf', inf, toFloat64OrZero(labels['le'])) AS le,
      sum(value) AS total
    FROM collector_samples FINAL
    WHERE ${samplesSql(Object.values(buckets), "counter").replaceAll("\n", "\n    ")}
    GROUP BY time, series, le
  )
  GROUP BY time, series
  HAVING observations > 0
)
ORDER BY time, series`;
}
