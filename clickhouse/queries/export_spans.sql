-- A page of the spans of a project in a range of seconds, with what was decided of them; ids in hexadecimal.
SELECT
  * REPLACE (
    lower(hex(trace_id)) AS trace_id,
    lower(hex(span_id)) AS span_id,
    lower(hex(parent_span_id)) AS parent_span_id,
    arrayMap(each -> lower(hex(each)), link_trace_ids) AS link_trace_ids,
    arrayMap(each -> lower(hex(each)), link_span_ids) AS link_span_ids
  )
FROM
(
  SELECT *
  FROM ledger_spans
  WHERE project_id = {project_id:String}
    AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  ORDER BY ts, trace_id, span_id
  LIMIT {limit:UInt32} OFFSET {offset:UInt64}
) AS span
ORDER BY span.ts, span.trace_id, span.span_id
