-- Calls that look like a call of the batch, or of the given traces, in another trace: same service and
-- counts, reported by another instrumentation within about a minute; with their traces, one more than
-- the limit where there are more. They are only marked, never removed.
SELECT
  toString(project_id) AS project_id,
  concat(toString(input), ' ', toString(output), ' ', service_name) AS link,
  arrayMap(id -> lower(hex(id)), groupUniqArray(1001)(trace_id)) AS traces
FROM
(
  SELECT
    project_id,
    ts,
    trace_id,
    scope_name,
    service_name,
    tokens_input_uncached + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h + tokens_cache_write + tokens_input_audio + tokens_input_image AS input,
    tokens_output_text + tokens_output_reasoning + tokens_output_audio + tokens_output_image AS output
  FROM spans
  WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
    AND ts >= toDateTime64({suspect_from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({suspect_to_s:UInt32}, 9, 'UTC')
    AND span_class IN ('billable', 'aggregate')
    -- Most services have one instrumentation, and then nothing more is read.
    AND (project_id, service_name) IN (
      SELECT project_id, service_name
      FROM spans
      WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
        AND ts >= toDateTime64({suspect_from_s:UInt32}, 9, 'UTC')
        AND ts < toDateTime64({suspect_to_s:UInt32}, 9, 'UTC')
        AND span_class IN ('billable', 'aggregate')
      GROUP BY project_id, service_name
      HAVING uniqUpTo(1)(scope_name) > 1
    )
)
WHERE input + output > 0
  AND (project_id, service_name, input, output, intDiv(toUnixTimestamp(ts), 60)) IN (
    SELECT
      project_id,
      service_name,
      tokens_input_uncached + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h + tokens_cache_write + tokens_input_audio + tokens_input_image,
      tokens_output_text + tokens_output_reasoning + tokens_output_audio + tokens_output_image,
      intDiv(toUnixTimestamp(ts), 60) + arrayJoin([-1, 0, 1])
    FROM spans
    WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({suspect_from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({suspect_to_s:UInt32}, 9, 'UTC')
      AND span_class IN ('billable', 'aggregate')
      AND (
        (ingest_seq >= {first_sequence:UInt64} AND ingest_seq <= {last_sequence:UInt64})
        OR spans.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
      )
  )
GROUP BY project_id, service_name, input, output
HAVING uniqUpTo(1)(scope_name) > 1 AND min(trace_id) != max(trace_id)
