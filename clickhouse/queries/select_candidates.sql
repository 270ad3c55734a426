-- The rows of traces as the counting rules see them (schemas/ledger.ts), in one list: text of a third of
-- the size of a row for each. Of several versions of a span the one of the highest ingest_seq holds.
-- Totals are known where one of their classes is. The order of the fields is that of CandidateRow in
-- collector/ownership/candidates.ts.
--
-- One list of tuples and not a list for each column: of a column that is stored sparsely, the engine
-- (26.7) gathers the values that are not default first, so that lists would not belong together.
SELECT
  groupArray(tuple(
    project_id,
    start_ns,
    trace_id,
    span_id,
    parent_span_id,
    duration_ns,
    name,
    span_class,
    signal,
    dialect,
    scope_name,
    service_name,
    status,
    finish_reason,
    provider,
    model,
    response_id,
    usage_status,
    known_classes,
    input_known,
    output_known,
    input_total,
    output_total,
    provider_calls,
    is_priced,
    user_id,
    session_id,
    agent_name,
    sequence,
    ingested_ms
  )) AS candidates
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
    AND spans.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
  LIMIT {limit:UInt32}
)
SETTINGS enable_named_columns_in_function_tuple = 0
