-- How long after its end a span, or an event, was received, by step of the time of receipt, seconds: median
-- and 95th percentile of all projects. Below 0 the clock of the sender was ahead.
SELECT
  toUInt32(intDivOrZero(toUnixTimestamp(ingested_at), {interval_s:UInt32}) * {interval_s:UInt32}) AS step_s,
  quantilesTDigest(0.5, 0.95)(
    (toUnixTimestamp64Milli(ingested_at) - intDiv(toUnixTimestamp64Nano(ts) + toInt64(duration_ns), 1000000)) / 1000
  ) AS quantiles
FROM spans
WHERE ingested_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
  AND ingested_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
GROUP BY step_s
ORDER BY step_s
