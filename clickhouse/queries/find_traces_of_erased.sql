-- Notes all spans within a day of the traces that an erasure has found spans of.
INSERT INTO erased_spans (job_id, pass, project_id, ts, trace_id, span_id)
SELECT DISTINCT {job_id:String}, {pass:UInt32}, project_id, ts, trace_id, span_id
FROM spans
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND trace_id IN (
    SELECT trace_id FROM erased_spans WHERE job_id = {job_id:String} AND pass = {pass:UInt32}
  )
