-- Traces with calls that look like a call of the batch in another trace: same service and counts,
-- reported by another instrumentation at about the same time. They are only marked, never removed,
-- so a bounded number of them is looked at.
SELECT DISTINCT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id
FROM spans
WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({suspect_from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({suspect_to_s:UInt32}, 9, 'UTC')
  AND span_class = 'billable'
  AND (project_id, service_name, intDiv(toUnixTimestamp(ts), 60), tokens_input_uncached + tokens_cache_read, tokens_output_text + tokens_output_reasoning) IN (
    SELECT project_id, service_name, intDiv(toUnixTimestamp(ts), 60), tokens_input_uncached + tokens_cache_read, tokens_output_text + tokens_output_reasoning
    FROM spans
    WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({suspect_from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({suspect_to_s:UInt32}, 9, 'UTC')
      AND span_class = 'billable'
      AND tokens_input_uncached + tokens_output_text > 0
    GROUP BY 1, 2, 3, 4, 5
    HAVING uniqExact(scope_name) > 1
      AND uniqExact(trace_id) > 1
      AND countIf(ingest_seq >= {first_sequence:UInt64} AND ingest_seq <= {last_sequence:UInt64}) > 0
  )
LIMIT {limit:UInt32}
