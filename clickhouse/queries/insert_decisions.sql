-- Stores decisions, each given as a JSON array; of two for one span the one of the higher version
-- holds, of equal ones the later.
INSERT INTO call_decisions
(
  project_id, ts, trace_id, span_id, counted, waits, duplicates, suspected_duplicate, is_aggregate,
  provider_calls, user_id, session_id, agent_name, finish_reason, reason, counted_by, ver
)
SELECT
  row.project,
  fromUnixTimestamp64Nano(row.start, 'UTC'),
  unhex(row.trace),
  unhex(row.span),
  CAST(row.counted, 'Enum8(''default'' = 0, ''no'' = 1, ''yes'' = 2)'),
  row.waits,
  row.duplicates,
  row.suspected,
  row.aggregate,
  row.calls,
  row.user,
  row.session,
  row.agent,
  row.finish,
  row.why,
  row.instead,
  {version:UInt64}
FROM
(
  SELECT JSONExtract(
    arrayJoin({rows:Array(String)}),
    'Tuple(project String, start Int64, trace String, span String, counted Int8, waits UInt8, duplicates UInt16, suspected UInt8, aggregate UInt8, calls UInt32, user String, session String, agent String, finish String, why String, instead String)'
  ) AS row
)
