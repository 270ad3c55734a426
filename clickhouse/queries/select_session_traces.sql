-- Traces of sessions of clients that report by several signals: such traces, and aggregates that repeat
-- what such a client reports, share nothing but the id of the session (DESIGN section 5 rule 4). At
-- most 20001 of a session.
SELECT
  toString(project_id) AS project_id,
  session_id AS link,
  arrayMap(id -> lower(hex(id)), groupUniqArray(20001)(trace_id)) AS traces
FROM spans
-- First by what few rows are, so that most services cost the reading of two small columns.
PREWHERE dialect IN (SELECT arrayJoin({session_dialects:Array(String)}))
  OR (span_class = 'aggregate' AND notEmpty({client_sessions:Array(String)}))
WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND session_id IN (SELECT arrayJoin({sessions:Array(String)}))
  AND (
    dialect IN (SELECT arrayJoin({session_dialects:Array(String)}))
    OR session_id IN (SELECT arrayJoin({client_sessions:Array(String)}))
  )
GROUP BY project_id, session_id
