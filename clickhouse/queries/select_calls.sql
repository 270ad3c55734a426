-- A page of the ledger, newest first. The filters are all there; an empty one allows everything.
-- The cursor is the last row of the page before: time (ns), trace and span; no trace is no cursor.
SELECT
  project_id,
  lower(hex(trace_id)) AS trace_id,
  lower(hex(span_id)) AS span_id,
  lower(hex(parent_span_id)) AS parent_span_id,
  toString(toUnixTimestamp64Nano(ts)) AS start_ns,
  duration_ns,
  operation,
  provider,
  request_model,
  response_model,
  response_id,
  streaming,
  status,
  error_type,
  http_status,
  finish_reason,
  service_tier,
  region,
  ttft_known,
  ttft_ns,
  usage_status,
  usage_mask,
  [tokens_input_uncached, tokens_cache_read, tokens_cache_write_5m, tokens_cache_write_1h, tokens_cache_write, tokens_output_text, tokens_output_reasoning, tokens_input_audio, tokens_output_audio, tokens_input_image, tokens_output_image] AS tokens,
  fee_units,
  provider_calls,
  cost_status,
  priced_mask,
  [cost_input_uncached, cost_cache_read, cost_cache_write_5m, cost_cache_write_1h, cost_cache_write, cost_output_text, cost_output_reasoning, cost_input_audio, cost_output_audio, cost_input_image, cost_output_image] AS cost,
  fees_priced,
  cost_fees,
  price_id,
  client_cost_known,
  client_cost_usd,
  service_name,
  environment,
  user_id,
  session_id,
  agent_name,
  tags,
  dialect,
  scope_name,
  scope_version,
  signal,
  duplicates,
  suspected_duplicate,
  reason
FROM calls
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
  AND ts < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
  AND (empty({model:Array(String)}) OR calls.model IN {model:Array(String)})
  AND (empty({request_model:Array(String)}) OR calls.request_model IN {request_model:Array(String)})
  AND (empty({response_model:Array(String)}) OR calls.response_model IN {response_model:Array(String)})
  AND (empty({provider:Array(String)}) OR calls.provider IN {provider:Array(String)})
  AND (empty({operation:Array(String)}) OR calls.operation IN {operation:Array(String)})
  AND (empty({environment:Array(String)}) OR calls.environment IN {environment:Array(String)})
  AND (empty({price_id:Array(String)}) OR calls.price_id IN {price_id:Array(String)})
  AND (empty({service_name:Array(String)}) OR calls.service_name IN {service_name:Array(String)})
  AND (empty({agent_name:Array(String)}) OR calls.agent_name IN {agent_name:Array(String)})
  AND (empty({user_id:Array(String)}) OR calls.user_id IN {user_id:Array(String)})
  AND (empty({session_id:Array(String)}) OR calls.session_id IN {session_id:Array(String)})
  AND (empty({error_type:Array(String)}) OR calls.error_type IN {error_type:Array(String)})
  AND (empty({finish_reason:Array(String)}) OR calls.finish_reason IN {finish_reason:Array(String)})
  AND (empty({service_tier:Array(String)}) OR calls.service_tier IN {service_tier:Array(String)})
  AND (empty({streaming:Array(String)}) OR transform(toString(calls.streaming), ['yes', 'no'], ['true', 'false'], '') IN {streaming:Array(String)})
  AND (empty({key_id:Array(String)}) OR calls.key_id IN {key_id:Array(String)})
  AND ({status:String} = '' OR ({status:String} = 'error') = (calls.status = 'error'))
  AND ({trace_id:String} = '' OR calls.trace_id = unhex({trace_id:String}))
  AND (
    {cursor_trace_id:String} = ''
    OR (ts, calls.trace_id, calls.span_id) < (
      fromUnixTimestamp64Nano({cursor_ns:Int64}, 'UTC'),
      unhex({cursor_trace_id:String}),
      unhex({cursor_span_id:String})
    )
  )
ORDER BY ts DESC, calls.trace_id DESC, calls.span_id DESC
LIMIT {limit:UInt32}
