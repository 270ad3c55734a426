-- Traces whose calls gave way to, or were kept for, calls of other traces by responses that by now too
-- many traces report to be one call. Deciding them again leaves none, so a response is asked for in vain
-- from then on.
SELECT DISTINCT
  toString(project_id) AS project_id,
  arrayJoin([lower(hex(call_decisions.trace_id)), substring(counted_by, 1, 32)]) AS trace_id,
  toUInt32(0) AS span_rows
FROM call_decisions FINAL
WHERE call_decisions.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND counted_by != ''
  AND substring(counted_by, 1, 32) != lower(hex(call_decisions.trace_id))
  AND (project_id, ts, call_decisions.trace_id, span_id) IN (
    SELECT project_id, ts, spans.trace_id, span_id
    FROM spans
    WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
      AND span_class = 'billable'
      AND response_id IN (SELECT arrayJoin({response_ids:Array(String)}))
  )
