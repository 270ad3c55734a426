-- Notes the other reports of the calls that an erasure has found, within a day: who is counted in their
-- place, and who gave way to them.
INSERT INTO erased_spans (job_id, pass, project_id, ts, trace_id, span_id)
WITH
  (SELECT (min(ts), max(ts)) FROM erased_spans WHERE job_id = {job_id:String} AND pass = {pass:UInt32}) AS bounds,
  found AS (
    SELECT ts, trace_id, span_id FROM erased_spans
    WHERE job_id = {job_id:String} AND pass = {pass:UInt32}
  )
SELECT DISTINCT {job_id:String}, {pass:UInt32}, project_id, ts, trace_id, span_id
FROM call_decisions
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND (ts, trace_id, span_id) NOT IN (SELECT ts, trace_id, span_id FROM found)
  AND (
    counted_by IN (
      SELECT concat(lower(hex(trace_id)), '-', lower(hex(span_id))) FROM found
    )
    OR concat(lower(hex(trace_id)), '-', lower(hex(span_id))) IN (
      SELECT counted_by
      FROM call_decisions
      WHERE project_id = {project_id:String}
        AND ts >= bounds.1
        AND ts <= bounds.2
        AND counted_by != ''
        AND (ts, trace_id, span_id) IN (SELECT ts, trace_id, span_id FROM found)
    )
  )
