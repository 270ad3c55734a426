-- Traces with an aggregate that waits for them to settle, and the range of time they were seen in.
SELECT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id,
  toUnixTimestamp(min(ts)) AS from_s,
  toUnixTimestamp(max(ts)) AS to_s
FROM call_decisions FINAL
WHERE waits = 1
GROUP BY project_id, call_decisions.trace_id
ORDER BY max(ver)
LIMIT {limit:UInt32}
