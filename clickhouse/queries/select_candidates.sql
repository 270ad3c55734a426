-- The rows of traces as the counting rules see them (schemas/ledger.ts), in columns: a row of columns
-- is half the text and a third of the time of a row for each. Of several versions of a span the one
-- of the highest ingest_seq holds. Totals are known where one of their classes is.
SELECT
  groupArray(project_id) AS project_id,
  groupArray(start_ns) AS start_ns,
  groupArray(trace_id) AS trace_id,
  groupArray(span_id) AS span_id,
  groupArray(parent_span_id) AS parent_span_id,
  groupArray(duration_ns) AS duration_ns,
  groupArray(name) AS name,
  groupArray(span_class) AS span_class,
  groupArray(signal) AS signal,
  groupArray(dialect) AS dialect,
  groupArray(scope_name) AS scope_name,
  groupArray(service_name) AS service_name,
  groupArray(status) AS status,
  groupArray(finish_reason) AS finish_reason,
  groupArray(provider) AS provider,
  groupArray(model) AS model,
  groupArray(response_id) AS response_id,
  groupArray(usage_status) AS usage_status,
  groupArray(known_classes) AS known_classes,
  groupArray(input_known) AS input_known,
  groupArray(output_known) AS output_known,
  groupArray(input_total) AS input_total,
  groupArray(output_total) AS output_total,
  groupArray(provider_calls) AS provider_calls,
  groupArray(is_priced) AS is_priced,
  groupArray(user_id) AS user_id,
  groupArray(session_id) AS session_id,
  groupArray(agent_name) AS agent_name,
  groupArray(sequence) AS sequence,
  groupArray(ingested_ms) AS ingested_ms
FROM
(
  SELECT
    project_id,
    toUnixTimestamp64Nano(ts) AS start_ns,
    lower(hex(spans.trace_id)) AS trace_id,
    lower(hex(spans.span_id)) AS span_id,
    if(spans.parent_span_id = toFixedString('', 8), '', lower(hex(spans.parent_span_id))) AS parent_span_id,
    duration_ns,
    name,
    toString(spans.span_class) AS span_class,
    toString(spans.signal) AS signal,
    dialect,
    scope_name,
    service_name,
    toString(spans.status) AS status,
    finish_reason,
    provider,
    if(response_model = '', request_model, response_model) AS model,
    response_id,
    toString(spans.usage_status) AS usage_status,
    bitCount(usage_mask) AS known_classes,
    bitAnd(usage_mask, 671) != 0 AS input_known,
    bitAnd(usage_mask, 1376) != 0 AS output_known,
    toFloat64(tokens_input_uncached + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h + tokens_cache_write + tokens_input_audio + tokens_input_image) AS input_total,
    toFloat64(tokens_output_text + tokens_output_reasoning + tokens_output_audio + tokens_output_image) AS output_total,
    provider_calls,
    cost_status IN ('priced', 'partial') AS is_priced,
    user_id,
    session_id,
    agent_name,
    ingest_seq AS sequence,
    toFloat64(toUnixTimestamp64Milli(ingested_at)) AS ingested_ms
  FROM spans
  WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
    AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
    AND spans.trace_id IN (SELECT unhex(arrayJoin({traces:Array(String)})))
  LIMIT {limit:UInt32}
)
