-- When the spans of a trace begin, first and last; no spans, no trace. Without FINAL: a span that was
-- replaced has the start of its successor, and FINAL would read again what the index of trace ids has
-- left out. That index is looked at before reading: part by part while reading takes twice as long.
SELECT
  toString(toUnixTimestamp64Nano(min(ts))) AS first_ns,
  toString(toUnixTimestamp64Nano(max(ts))) AS last_ns,
  toString(count()) AS spans
FROM spans
WHERE project_id = {project_id:String}
  AND trace_id = unhex({trace_id:String})
SETTINGS use_skip_indexes_on_data_read = 0
