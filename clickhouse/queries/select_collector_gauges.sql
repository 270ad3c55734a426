-- Gauges of collectors by step of time: of each collector the last value of the step, and of these the sum
-- and the greatest.
SELECT
  step_s,
  metric,
  sum(last) AS total,
  max(last) AS greatest
FROM
(
  SELECT
    toUInt32(intDivOrZero(toUnixTimestamp(sampled_at), {interval_s:UInt32}) * {interval_s:UInt32}) AS step_s,
    toString(name) AS metric,
    instance_id,
    argMax(value, sampled_at) AS last
  FROM collector_samples FINAL
  WHERE name IN {names:Array(String)}
    AND kind = 'gauge'
    AND sampled_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
    AND sampled_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
  GROUP BY step_s, metric, instance_id
)
GROUP BY step_s, metric
ORDER BY step_s, metric
