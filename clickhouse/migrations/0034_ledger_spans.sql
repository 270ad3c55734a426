-- The view of 0014, made again: a view keeps the columns that its table had when it was made, and key_id
-- is new.
-- kind: metadata
CREATE OR REPLACE VIEW ledger_spans {on_cluster} AS
SELECT
  span.* EXCEPT (usage_status, provider_calls, user_id, session_id, agent_name, finish_reason, reason),
  if(decision.is_aggregate = 1, CAST('aggregate', 'Enum8(''none'' = 0, ''reported'' = 1, ''derived'' = 2, ''estimated'' = 3, ''aggregate'' = 4, ''missing'' = 5)'), span.usage_status) AS usage_status,
  if(decision.counted = 'default', span.provider_calls, decision.provider_calls) AS provider_calls,
  if(decision.user_id = '', span.user_id, decision.user_id) AS user_id,
  if(decision.session_id = '', span.session_id, decision.session_id) AS session_id,
  if(decision.agent_name = '', span.agent_name, decision.agent_name) AS agent_name,
  if(decision.finish_reason = '', span.finish_reason, decision.finish_reason) AS finish_reason,
  if(decision.reason = '', toString(span.reason), concat(span.reason, '; ', decision.reason)) AS reason,
  decision.duplicates AS duplicates,
  decision.suspected_duplicate AS suspected_duplicate,
  decision.counted_by AS counted_by,
  toUInt8(if(decision.counted = 'default', span.span_class = 'billable', decision.counted = 'yes')) AS counted
FROM (SELECT * FROM spans FINAL) AS span
LEFT JOIN (SELECT * FROM call_decisions FINAL) AS decision USING (project_id, ts, trace_id, span_id)
