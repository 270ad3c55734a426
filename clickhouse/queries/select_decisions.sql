-- What is decided of the spans of traces so far.
SELECT
  toString(project_id) AS project_id,
  toString(toUnixTimestamp64Nano(ts)) AS start_ns,
  lower(hex(trace_id)) AS trace_id,
  lower(hex(span_id)) AS span_id,
  counted,
  waits,
  duplicates,
  suspected_duplicate,
  is_aggregate,
  provider_calls,
  user_id,
  session_id,
  toString(agent_name) AS agent_name,
  toString(finish_reason) AS finish_reason,
  toString(reason) AS reason,
  counted_by
FROM call_decisions FINAL
WHERE call_decisions.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND call_decisions.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
