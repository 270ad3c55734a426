-- Traces with the sums of their calls: those given, or without any all of a range. A trace is where the
-- first of its spans starts; its spans are looked for from `read_from_s` to `read_to_s`.
-- The rank is what the page is ordered by; the cursor is the last row of the page before: rank, start
-- (ns) and id; no id is no cursor. The filters of calls hold when one call fits all of them.
SELECT
  lower(hex(trace)) AS trace_id,
  toString(rank) AS rank_text,
  toString(toUnixTimestamp64Nano(start)) AS start_ns,
  toString(length_ns) AS duration_ns,
  root.1 AS name,
  root.2 AS service_name,
  spans,
  failed_spans,
  models,
  users,
  sessions,
  agents,
  calls,
  errors,
  calls_missing_usage,
  calls_estimated,
  calls_unpriced,
  calls_priced,
  usage_mask,
  tokens_input_uncached,
  tokens_cache_read,
  tokens_cache_write_5m,
  tokens_cache_write_1h,
  tokens_cache_write,
  tokens_output_text,
  tokens_output_reasoning,
  tokens_input_audio,
  tokens_output_audio,
  tokens_input_image,
  tokens_output_image,
  tokens_unpriced,
  cost_input_uncached,
  cost_cache_read,
  cost_cache_write_5m,
  cost_cache_write_1h,
  cost_cache_write,
  cost_output_text,
  cost_output_reasoning,
  cost_input_audio,
  cost_output_audio,
  cost_input_image,
  cost_output_image,
  cost_fees
FROM
(
  WITH
    (span.span_class IN ('billable', 'aggregate') AND span.counted = 1) AS is_call,
    if(span.response_model = '', toString(span.request_model), toString(span.response_model)) AS model_name,
    (
      is_call
      AND (empty({model:Array(String)}) OR model_name IN {model:Array(String)})
      AND (empty({request_model:Array(String)}) OR span.request_model IN {request_model:Array(String)})
      AND (empty({response_model:Array(String)}) OR span.response_model IN {response_model:Array(String)})
      AND (empty({provider:Array(String)}) OR span.provider IN {provider:Array(String)})
      AND (empty({operation:Array(String)}) OR span.operation IN {operation:Array(String)})
      AND (empty({environment:Array(String)}) OR span.environment IN {environment:Array(String)})
      AND (empty({price_id:Array(String)}) OR span.price_id IN {price_id:Array(String)})
      AND (empty({service_name:Array(String)}) OR span.service_name IN {service_name:Array(String)})
      AND (empty({agent_name:Array(String)}) OR span.agent_name IN {agent_name:Array(String)})
      AND (empty({user_id:Array(String)}) OR span.user_id IN {user_id:Array(String)})
      AND (empty({session_id:Array(String)}) OR span.session_id IN {session_id:Array(String)})
      AND (empty({error_type:Array(String)}) OR span.error_type IN {error_type:Array(String)})
      AND (empty({finish_reason:Array(String)}) OR span.finish_reason IN {finish_reason:Array(String)})
      AND (empty({service_tier:Array(String)}) OR span.service_tier IN {service_tier:Array(String)})
      AND (empty({streaming:Array(String)}) OR transform(toString(span.streaming), ['yes', 'no'], ['true', 'false'], '') IN {streaming:Array(String)})
      AND (empty({key_id:Array(String)}) OR span.key_id IN {key_id:Array(String)})
      AND arrayAll((key, allowed) -> has(allowed, span.tags[key]) AND mapContains(span.tags, key), {tag_keys:Array(String)}, {tag_values:Array(Array(String))})
    ) AS is_asked
  SELECT
    span.trace_id AS trace,
    min(ts) AS start,
    max(toInt128(toUnixTimestamp64Nano(ts)) + span.duration_ns) - toUnixTimestamp64Nano(min(ts)) AS length_ns,
    argMin((toString(span.name), toString(span.service_name)), (span.parent_span_id != toFixedString('', 8), ts, span.span_id)) AS root,
    count() AS spans,
    countIf(span.status = 'error') AS failed_spans,
    arraySort(groupUniqArrayIf(10)(model_name, is_call AND model_name != '')) AS models,
    arraySort(groupUniqArrayIf(10)(span.user_id, is_call AND span.user_id != '')) AS users,
    arraySort(groupUniqArrayIf(10)(span.session_id, is_call AND span.session_id != '')) AS sessions,
    arraySort(groupUniqArrayIf(10)(toString(span.agent_name), is_call AND span.agent_name != '')) AS agents,
    countIf(is_call) AS calls,
    countIf(is_asked) AS asked_calls,
    countIf(is_call AND span.status = 'error') AS errors,
    countIf(is_call AND span.usage_status = 'missing' AND NOT (span.usage_mask = 0 AND span.cost_status = 'priced')) AS calls_missing_usage,
    countIf(is_call AND span.usage_status = 'estimated') AS calls_estimated,
    countIf(is_call AND span.cost_status != 'priced') AS calls_unpriced,
    countIf(is_call AND span.cost_status IN ('priced', 'partial')) AS calls_priced,
    groupBitOrIf(span.usage_mask, is_call) AS usage_mask,
    sumIf(toUInt64(span.tokens_input_uncached), is_call) AS tokens_input_uncached,
    sumIf(toUInt64(span.tokens_cache_read), is_call) AS tokens_cache_read,
    sumIf(toUInt64(span.tokens_cache_write_5m), is_call) AS tokens_cache_write_5m,
    sumIf(toUInt64(span.tokens_cache_write_1h), is_call) AS tokens_cache_write_1h,
    sumIf(toUInt64(span.tokens_cache_write), is_call) AS tokens_cache_write,
    sumIf(toUInt64(span.tokens_output_text), is_call) AS tokens_output_text,
    sumIf(toUInt64(span.tokens_output_reasoning), is_call) AS tokens_output_reasoning,
    sumIf(toUInt64(span.tokens_input_audio), is_call) AS tokens_input_audio,
    sumIf(toUInt64(span.tokens_output_audio), is_call) AS tokens_output_audio,
    sumIf(toUInt64(span.tokens_input_image), is_call) AS tokens_input_image,
    sumIf(toUInt64(span.tokens_output_image), is_call) AS tokens_output_image,
    sumIf(toUInt64(
      span.tokens_input_uncached * (NOT bitTest(span.priced_mask, 0)) +
      span.tokens_cache_read * (NOT bitTest(span.priced_mask, 1)) +
      span.tokens_cache_write_5m * (NOT bitTest(span.priced_mask, 2)) +
      span.tokens_cache_write_1h * (NOT bitTest(span.priced_mask, 3)) +
      span.tokens_cache_write * (NOT bitTest(span.priced_mask, 4)) +
      span.tokens_output_text * (NOT bitTest(span.priced_mask, 5)) +
      span.tokens_output_reasoning * (NOT bitTest(span.priced_mask, 6)) +
      span.tokens_input_audio * (NOT bitTest(span.priced_mask, 7)) +
      span.tokens_output_audio * (NOT bitTest(span.priced_mask, 8)) +
      span.tokens_input_image * (NOT bitTest(span.priced_mask, 9)) +
      span.tokens_output_image * (NOT bitTest(span.priced_mask, 10))
    ), is_call) AS tokens_unpriced,
    sumIf(span.cost_input_uncached, is_call) AS cost_input_uncached,
    sumIf(span.cost_cache_read, is_call) AS cost_cache_read,
    sumIf(span.cost_cache_write_5m, is_call) AS cost_cache_write_5m,
    sumIf(span.cost_cache_write_1h, is_call) AS cost_cache_write_1h,
    sumIf(span.cost_cache_write, is_call) AS cost_cache_write,
    sumIf(span.cost_output_text, is_call) AS cost_output_text,
    sumIf(span.cost_output_reasoning, is_call) AS cost_output_reasoning,
    sumIf(span.cost_input_audio, is_call) AS cost_input_audio,
    sumIf(span.cost_output_audio, is_call) AS cost_output_audio,
    sumIf(span.cost_input_image, is_call) AS cost_input_image,
    sumIf(span.cost_output_image, is_call) AS cost_output_image,
    sumIf(span.cost_fees, is_call) AS cost_fees,
    toDecimal128(cost_input_uncached + cost_cache_read + cost_cache_write_5m + cost_cache_write_1h + cost_cache_write + cost_output_text + cost_output_reasoning + cost_input_audio + cost_output_audio + cost_input_image + cost_output_image + cost_fees, 12) AS cost_usd,
    multiIf(
      {order_by:String} = 'cost', if(calls_priced = 0, toInt128(-1), toInt128(cost_usd * 1000000000000)),
      {order_by:String} = 'duration', toInt128(length_ns),
      {order_by:String} = 'calls', toInt128(calls),
      toInt128(toUnixTimestamp64Nano(start))
    ) AS rank
  FROM ledger_spans AS span
  WHERE project_id = {project_id:String}
    AND ts >= toDateTime64({read_from_s:Decimal(18, 3)}, 9, 'UTC')
    AND ts < toDateTime64({read_to_s:Decimal(18, 3)}, 9, 'UTC')
    AND (
      empty({traces:Array(String)})
      OR span.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
    )
  GROUP BY span.trace_id
)
WHERE start >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
  AND start < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
  AND ({has_filters:UInt8} = 0 OR asked_calls > 0)
  AND ({has_errors:String} = '' OR ({has_errors:String} = 'true') = (failed_spans > 0))
  AND ({name:String} = '' OR positionCaseInsensitiveUTF8(root.1, {name:String}) > 0)
  AND ({min_cost_usd:String} = '' OR (calls_priced > 0 AND cost_usd >= toDecimal128OrZero({min_cost_usd:String}, 12)))
  AND length_ns >= toInt128({min_duration_ms:UInt32}) * 1000000
  AND (
    {cursor_trace_id:String} = ''
    OR (rank, start, trace) < (
      toInt128OrZero({cursor_rank:String}),
      fromUnixTimestamp64Nano({cursor_ns:Int64}, 'UTC'),
      toFixedString(unhex({cursor_trace_id:String}), 16)
    )
  )
ORDER BY rank DESC, start DESC, trace DESC
LIMIT {limit:UInt32}
SETTINGS optimize_move_to_prewhere_if_final = 1
