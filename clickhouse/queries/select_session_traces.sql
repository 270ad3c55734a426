-- Traces of sessions: clients that report by several signals, and aggregates that repeat what such a
-- client reports, share no trace but the id of their session (DESIGN section 5 rule 4).
SELECT DISTINCT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id
FROM spans
WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND session_id IN (SELECT arrayJoin({sessions:Array(String)}))
  AND (
    span_class = 'aggregate'
    OR dialect IN (SELECT arrayJoin({session_dialects:Array(String)}))
  )
