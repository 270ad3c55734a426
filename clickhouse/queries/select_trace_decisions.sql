-- What was decided of the spans of one trace. `first_ns` and `last_ns` are what select_trace_bounds.sql
-- found: a decision has the start of its span.
SELECT
  toString(toUnixTimestamp64Nano(ts)) AS start_ns,
  lower(hex(span_id)) AS span_id,
  counted,
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
PREWHERE project_id = {project_id:String}
  AND trace_id = unhex({trace_id:String})
  AND ts >= fromUnixTimestamp64Nano({first_ns:Int64}, 'UTC')
  AND ts <= fromUnixTimestamp64Nano({last_ns:Int64}, 'UTC')
SETTINGS max_threads = 1, use_skip_indexes_on_data_read = 0
