-- Stores decisions; of two for one span the one of the higher version holds, of equal ones the later.
INSERT INTO call_decisions
(
  project_id, ts, trace_id, span_id, counted, waits, duplicates, suspected_duplicate, is_aggregate,
  provider_calls, user_id, session_id, agent_name, reason, counted_by, ver
)
SELECT
  project, fromUnixTimestamp64Nano(start, 'UTC'), unhex(trace), unhex(span),
  CAST(counted_one, 'Enum8(''default'' = 0, ''no'' = 1, ''yes'' = 2)'),
  waits_one, duplicates_one, suspected_one, aggregate_one, calls_one, user, session, agent, why, instead, version
FROM
(
  SELECT
    {projects:Array(String)} AS projects,
    {starts:Array(Int64)} AS starts,
    {traces:Array(String)} AS traces,
    {spans:Array(String)} AS span_ids,
    {counted:Array(Int8)} AS counted_all,
    {waits:Array(UInt8)} AS waits_all,
    {duplicates:Array(UInt16)} AS duplicates_all,
    {suspected:Array(UInt8)} AS suspected_all,
    {aggregates:Array(UInt8)} AS aggregates_all,
    {provider_calls:Array(UInt32)} AS calls_all,
    {users:Array(String)} AS users,
    {sessions:Array(String)} AS sessions,
    {agents:Array(String)} AS agents,
    {reasons:Array(String)} AS reasons,
    {counted_by:Array(String)} AS counted_by_all,
    {versions:Array(UInt64)} AS versions
)
ARRAY JOIN
  projects AS project, starts AS start, traces AS trace, span_ids AS span, counted_all AS counted_one,
  waits_all AS waits_one, duplicates_all AS duplicates_one, suspected_all AS suspected_one,
  aggregates_all AS aggregate_one, calls_all AS calls_one, users AS user, sessions AS session,
  agents AS agent, reasons AS why, counted_by_all AS instead, versions AS version
