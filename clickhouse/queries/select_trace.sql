-- The spans of one trace, in order of time, as they are stored. What was decided of them is read beside
-- them (select_trace_decisions.sql) and put to them as the view ledger_spans does: planning that view,
-- with all its columns, takes longer than reading the spans.
--
-- `first_ns` and `last_ns` are what select_trace_bounds.sql found. PREWHERE, because with FINAL the engine
-- reads all columns of a granule before it looks at a WHERE; these are columns of the key, so that no
-- version of a row is filtered without its others.
--
-- `details_of` says of which spans attributes and events are given, which are most of the bytes: `all`, the
-- id of a span, or nothing for none.
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
  toString(reason) AS reason,
  name,
  kind,
  status_message,
  span_class,
  (
    endsWith(spans.attributes['gen_ai.operation.name'], '_agent')
    OR lower(spans.attributes['openinference.span.kind']) = 'agent'
    OR lower(spans.attributes['traceloop.span.kind']) = 'agent'
  ) AS is_agent,
  ({details_of:String} = 'all' OR lower(hex(spans.span_id)) = {details_of:String}) AS has_details,
  if(has_details, spans.attributes, mapFilter((name, value) -> 0, spans.attributes)) AS attributes,
  if(has_details, spans.resource_attributes, mapFilter((name, value) -> 0, spans.resource_attributes)) AS resource_attributes,
  if(has_details, arrayMap(time -> toString(toUnixTimestamp64Nano(time)), event_times), []) AS event_times_ns,
  if(has_details, spans.event_names, []) AS event_names,
  if(has_details, spans.event_attributes, []) AS event_attributes
FROM spans FINAL
PREWHERE project_id = {project_id:String}
  AND spans.trace_id = unhex({trace_id:String})
  AND ts >= fromUnixTimestamp64Nano({first_ns:Int64}, 'UTC')
  AND ts <= fromUnixTimestamp64Nano({last_ns:Int64}, 'UTC')
ORDER BY ts, spans.span_id
LIMIT {limit:UInt32}
SETTINGS use_skip_indexes_on_data_read = 0
