-- Sessions or users of a range, the largest first, page by page; the calls that name none come first on
-- every page, with an empty id. `rank` is what is ordered by, `tie` parts equal ones; no tie is no cursor.
SELECT
  *,
  lower(hex(sipHash128(id))) AS tie,
  multiIf(
    {order_by:String} = 'calls', toDecimal128(calls, 12),
    {order_by:String} = 'last_seen', toDecimal128(last_ns, 12),
    cost_input_uncached + cost_cache_read + cost_cache_write_5m + cost_cache_write_1h + cost_cache_write + cost_output_text + cost_output_reasoning + cost_input_audio + cost_output_audio + cost_input_image + cost_output_image + cost_fees
  ) AS rank
FROM
(
  SELECT
    if({list:String} = 'users', call.user_id, call.session_id) AS id,
    sum(call.calls) AS calls,
    sum(call.errors) AS errors,
    sum(call.calls_missing_usage) AS calls_missing_usage,
    sum(call.calls_estimated) AS calls_estimated,
    sum(call.calls_unpriced) AS calls_unpriced,
    sum(call.calls_priced) AS calls_priced,
    sum(call.tokens_unpriced) AS tokens_unpriced,
    sum(call.tokens_input_uncached) AS tokens_input_uncached,
    sum(call.tokens_cache_read) AS tokens_cache_read,
    sum(call.tokens_cache_write_5m) AS tokens_cache_write_5m,
    sum(call.tokens_cache_write_1h) AS tokens_cache_write_1h,
    sum(call.tokens_cache_write) AS tokens_cache_write,
    sum(call.tokens_output_text) AS tokens_output_text,
    sum(call.tokens_output_reasoning) AS tokens_output_reasoning,
    sum(call.tokens_input_audio) AS tokens_input_audio,
    sum(call.tokens_output_audio) AS tokens_output_audio,
    sum(call.tokens_input_image) AS tokens_input_image,
    sum(call.tokens_output_image) AS tokens_output_image,
    sum(call.cost_input_uncached) AS cost_input_uncached,
    sum(call.cost_cache_read) AS cost_cache_read,
    sum(call.cost_cache_write_5m) AS cost_cache_write_5m,
    sum(call.cost_cache_write_1h) AS cost_cache_write_1h,
    sum(call.cost_cache_write) AS cost_cache_write,
    sum(call.cost_output_text) AS cost_output_text,
    sum(call.cost_output_reasoning) AS cost_output_reasoning,
    sum(call.cost_input_audio) AS cost_input_audio,
    sum(call.cost_output_audio) AS cost_output_audio,
    sum(call.cost_input_image) AS cost_input_image,
    sum(call.cost_output_image) AS cost_output_image,
    sum(call.cost_fees) AS cost_fees,
    groupBitOr(call.usage_mask) AS usage_mask,
    min(toUnixTimestamp64Nano(call.ts)) AS first_ns,
    max(toUnixTimestamp64Nano(call.ts)) AS last_ns,
    max(toUnixTimestamp64Nano(call.ts) + toInt64(call.duration_ns_sum)) AS end_ns,
    arraySlice(arraySort(groupUniqArrayIf(toString(if(call.response_model = '', call.request_model, call.response_model)), if(call.response_model = '', call.request_model, call.response_model) != '')), 1, {names:UInt32}) AS models,
    -- Names of the other kind: users of a session; of a user they are only counted.
    arraySlice(arraySort(groupUniqArrayIf(call.user_id, {list:String} != 'users' AND call.user_id != '')), 1, {names:UInt32}) AS user_ids,
    uniqExactIf(call.session_id, {list:String} = 'users' AND call.session_id != '') AS sessions
  FROM usage_calls AS call
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
  GROUP BY id
)
WHERE id = '' OR {cursor_tie:String} = '' OR (rank, tie) < ({cursor_rank:Decimal(38, 12)}, {cursor_tie:String})
ORDER BY id = '' DESC, rank DESC, tie DESC
LIMIT {limit:UInt32}
