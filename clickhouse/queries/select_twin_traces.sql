-- Traces with calls that report the same response of a provider as a call of the batch, or of the
-- given ids, and lie in another trace (DESIGN section 5.3). Both traces of such twins are answered.
SELECT DISTINCT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id
FROM spans
WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND span_class = 'billable'
  AND (project_id, response_id) IN (
    SELECT project_id, response_id
    FROM spans
    WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
      AND span_class = 'billable'
      AND response_id IN (
        SELECT response_id
        FROM spans
        WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
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
    HAVING uniqExact(trace_id) > 1
  )
