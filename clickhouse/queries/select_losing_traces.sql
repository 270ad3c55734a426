-- Traces with spans that gave way to the calls given: what has to be decided again when these are no
-- longer what they were.
SELECT DISTINCT
  toString(project_id) AS project_id,
  lower(hex(call_decisions.trace_id)) AS trace_id,
  toUInt32(0) AS span_rows
FROM call_decisions FINAL
WHERE call_decisions.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND counted_by IN (SELECT arrayJoin({calls:Array(String)}))
