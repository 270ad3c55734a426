-- The stored rows of what one pass of an erasure found in a day, by table; redeliveries that are not merged
-- yet are counted each.
WITH found AS (
  SELECT ts, trace_id, span_id FROM erased_spans
  WHERE job_id = {job_id:String} AND pass = {pass:UInt32}
    AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
)
SELECT 'spans' AS name, toFloat64(count()) AS rows
FROM spans
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND (ts, trace_id, span_id) IN (SELECT ts, trace_id, span_id FROM found)
UNION ALL
SELECT 'call_decisions' AS name, toFloat64(count()) AS rows
FROM call_decisions
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND (ts, trace_id, span_id) IN (SELECT ts, trace_id, span_id FROM found)
