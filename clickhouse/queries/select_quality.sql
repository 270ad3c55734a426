-- How well the calls of a range are told, by who tells of them: what is missing, and whose clock is wrong.
-- The first three faults as the view usage_calls has them. all_: of every group, those beyond the limit too.
SELECT
  *,
  sum(calls) OVER () AS all_calls,
  sum(calls_missing_usage) OVER () AS all_calls_missing_usage,
  sum(calls_estimated) OVER () AS all_calls_estimated,
  sum(calls_unpriced) OVER () AS all_calls_unpriced,
  sum(calls_suspected_duplicate) OVER () AS all_calls_suspected_duplicate,
  sum(calls_clock_skewed) OVER () AS all_calls_clock_skewed,
  sum(duplicate_reports) OVER () AS all_duplicate_reports
FROM
(
  SELECT
    toString(call.dialect) AS dialect,
    toString(call.scope_name) AS scope_name,
    arraySlice(arraySort(groupUniqArrayIf(toString(call.scope_version), call.scope_version != '')), 1, {names:UInt32}) AS scope_versions,
    arraySlice(arraySort(groupUniqArrayIf(toString(call.service_name), call.service_name != '')), 1, {names:UInt32}) AS services,
    max(toUnixTimestamp64Nano(call.ts)) AS last_ns,
    count() AS calls,
    countIf(call.usage_status = 'missing' AND (NOT call.refused)) AS calls_missing_usage,
    countIf(call.usage_status = 'estimated') AS calls_estimated,
    countIf(call.cost_status != 'priced') AS calls_unpriced,
    countIf(call.suspected_duplicate = 1) AS calls_suspected_duplicate,
    countIf(toUnixTimestamp64Milli(call.ts) - toUnixTimestamp64Milli(call.ingested_at) > {skew_ms:UInt32}) AS calls_clock_skewed,
    toUInt64(sum(call.duplicates)) AS duplicate_reports
  FROM calls AS call
  WHERE call.project_id = {project_id:String}
  AND call.ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
  AND call.ts < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
  AND (empty({model:Array(String)}) OR if(call.response_model = '', call.request_model, call.response_model) IN {model:Array(String)})
  AND (empty({request_model:Array(String)}) OR call.request_model IN {request_model:Array(String)})
  AND (empty({response_model:Array(String)}) OR call.response_model IN {response_model:Array(String)})
  AND (empty({provider:Array(String)}) OR call.provider IN {provider:Array(String)})
  AND (empty({operation:Array(String)}) OR call.operation IN {operation:Array(String)})
  AND (empty({environment:Array(String)}) OR call.environment IN {environment:Array(String)})
  AND (empty({price_id:Array(String)}) OR call.price_id IN {price_id:Array(String)})
  AND (empty({service_name:Array(String)}) OR call.service_name IN {service_name:Array(String)})
  AND (empty({agent_name:Array(String)}) OR call.agent_name IN {agent_name:Array(String)})
  AND (empty({user_id:Array(String)}) OR call.user_id IN {user_id:Array(String)})
  AND (empty({session_id:Array(String)}) OR call.session_id IN {session_id:Array(String)})
  AND (empty({status:Array(String)}) OR if(call.status = 'error', 'error', 'ok') IN {status:Array(String)})
  AND (empty({error_type:Array(String)}) OR call.error_type IN {error_type:Array(String)})
  AND (empty({finish_reason:Array(String)}) OR call.finish_reason IN {finish_reason:Array(String)})
  AND (empty({service_tier:Array(String)}) OR call.service_tier IN {service_tier:Array(String)})
  AND (empty({streaming:Array(String)}) OR transform(toString(call.streaming), ['yes', 'no'], ['true', 'false'], '') IN {streaming:Array(String)})
  AND (empty({key_id:Array(String)}) OR call.key_id IN {key_id:Array(String)})
  GROUP BY dialect, scope_name
)
ORDER BY calls DESC, dialect, scope_name
LIMIT {limit:UInt32}
