-- Medians and 95th percentiles of histograms of collectors, by step of time, as Prometheus estimates them:
-- evenly within the bucket, and the bound of the last one for what lies beyond it.
SELECT
  step_s,
  metric,
  arrayMap(
    share -> arrayMap(
      i -> multiIf(
        isInfinite(bounds[i].1), bounds[i - 1].1,
        i = 1, bounds[i].1 * share * observations / bounds[i].2,
        bounds[i - 1].1
          + (bounds[i].1 - bounds[i - 1].1) * (share * observations - bounds[i - 1].2) / (bounds[i].2 - bounds[i - 1].2)
      ),
      [arrayFirstIndex(bound -> bound.2 >= share * observations, bounds)]
    )[1],
    [0.5, 0.95]
  ) AS quantiles
FROM
(
  SELECT
    step_s,
    metric,
    arraySort(bound -> bound.1, groupArray((le, total))) AS bounds,
    max(total) AS observations
  FROM
  (
    SELECT
      toUInt32(intDivOrZero(toUnixTimestamp(sampled_at), {interval_s:UInt32}) * {interval_s:UInt32}) AS step_s,
      toString(name) AS metric,
      if(labels['le'] = '+Inf', inf, toFloat64OrZero(labels['le'])) AS le,
      sum(value) AS total
    FROM collector_samples FINAL
    WHERE name IN {names:Array(String)}
      AND kind = 'counter'
      AND sampled_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
      AND sampled_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
    GROUP BY step_s, metric, le
  )
  GROUP BY step_s, metric
  HAVING observations > 0
)
ORDER BY step_s, metric
