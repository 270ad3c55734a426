-- Traces that spans of a batch belong to and whose calls other spans may contest: two reports that
-- could be one call, an aggregate, context to take over from another span, or a client that reports
-- by several signals. All other traces are what their spans say.
SELECT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id
FROM spans
WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND (project_id, spans.trace_id) IN (
    SELECT DISTINCT project_id, spans.trace_id
    FROM spans
    WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({batch_from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({batch_to_s:UInt32}, 9, 'UTC')
      AND ingest_seq >= {first_sequence:UInt64}
      AND ingest_seq <= {last_sequence:UInt64}
  )
GROUP BY project_id, spans.trace_id
HAVING
  countIf(span_class = 'aggregate') > 0
  OR countIf(dialect IN (SELECT arrayJoin({session_dialects:Array(String)}))) > 0
  OR uniqExactIf((ts, span_id), span_class = 'billable') > 1
  OR (
    countIf(span_class = 'billable') > 0
    AND countIf(span_class != 'billable' AND (user_id != '' OR session_id != '' OR agent_name != '')) > 0
  )
