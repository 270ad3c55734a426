-- What collectors counted, by step of time: sums of counters, by signal and reason where they have them.
SELECT
  toUInt32(intDivOrZero(toUnixTimestamp(sampled_at), {interval_s:UInt32}) * {interval_s:UInt32}) AS step_s,
  toString(name) AS metric,
  labels['signal'] AS signal,
  labels['reason'] AS reason,
  sum(value) AS total
FROM collector_samples FINAL
WHERE name IN {names:Array(String)}
  AND kind = 'counter'
  AND sampled_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
  AND sampled_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
GROUP BY step_s, metric, signal, reason
ORDER BY step_s, metric, signal, reason
