-- Responses of a provider that calls of the batch, or the given ids, report and that calls of several
-- traces report (DESIGN section 5.3), with those traces: at most 1001.
SELECT
  toString(project_id) AS project_id,
  response_id AS link,
  arrayMap(id -> lower(hex(id)), groupUniqArray(1001)(trace_id)) AS traces
FROM spans
WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND span_class = 'billable'
  AND response_id IN (
    SELECT response_id
    FROM spans
    WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({batch_from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({batch_to_s:UInt32}, 9, 'UTC')
      AND ingest_seq >= {first_sequence:UInt64}
      AND ingest_seq <= {last_sequence:UInt64}
      AND span_class = 'billable'
      AND response_id != ''
    UNION DISTINCT
    SELECT arrayJoin({response_ids:Array(String)})
  )
GROUP BY project_id, response_id
HAVING min(trace_id) != max(trace_id)
