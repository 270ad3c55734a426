-- Buckets of the sums that were counted within a day of the last decision: after a crash nobody knows
-- whether they were marked.
SELECT DISTINCT
  toString(project_id) AS project_id,
  toUnixTimestamp(toStartOfFifteenMinutes(ts)) AS start_s
FROM call_decisions
WHERE is_aggregate = 1
  AND ver >= (SELECT max(ver) FROM call_decisions) - 86400000000
