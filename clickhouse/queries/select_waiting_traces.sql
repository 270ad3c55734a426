-- Traces with an aggregate that waits for them to settle, decided long enough ago, and the range of time
-- it was seen in. The rows that wait are found first, and then whether they do in their last version:
-- reading all of the table with FINAL would cost more each day.
SELECT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id,
  toUnixTimestamp(min(ts)) AS from_s,
  toUnixTimestamp(max(ts)) + 1 AS to_s
FROM
(
  SELECT project_id, ts, trace_id, span_id, argMax(waits, call_decisions.ver) AS still_waits, max(call_decisions.ver) AS ver
  FROM call_decisions
  WHERE (project_id, ts, trace_id, span_id) IN (
    SELECT project_id, ts, trace_id, span_id FROM call_decisions WHERE waits = 1
  )
  GROUP BY project_id, ts, trace_id, span_id
)
WHERE still_waits = 1
  AND ver <= toUnixTimestamp64Micro(now64(6)) - {settle_us:UInt64}
GROUP BY project_id, trace_id
ORDER BY max(ver)
LIMIT {limit:UInt32}
