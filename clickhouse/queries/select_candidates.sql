-- The spans of traces as the counting rules see them (schemas/ledger.ts), each once, its last version.
-- Totals are known where one of their classes is.
SELECT
  toString(project_id) AS project_id,
  toString(toUnixTimestamp64Nano(ts)) AS start_ns,
  lower(hex(trace_id)) AS trace_id,
  lower(hex(span_id)) AS span_id,
  lower(hex(parent_span_id)) AS parent_span_id,
  toString(duration_ns) AS duration_ns,
  toString(name) AS name,
  span_class,
  signal,
  dialect,
  scope_name,
  service_name,
  status,
  provider,
  toString(if(response_model = '', request_model, response_model)) AS model,
  response_id,
  usage_status,
  bitCount(usage_mask) AS known_classes,
  bitAnd(usage_mask, 671) != 0 AS input_known,
  bitAnd(usage_mask, 1376) != 0 AS output_known,
  toUInt32(tokens_input_uncached + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h + tokens_cache_write + tokens_input_audio + tokens_input_image) AS input_total,
  toUInt32(tokens_output_text + tokens_output_reasoning + tokens_output_audio + tokens_output_image) AS output_total,
  provider_calls,
  cost_status,
  user_id,
  session_id,
  agent_name,
  toUnixTimestamp64Milli(ingested_at) AS ingested_ms
FROM spans
WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND spans.trace_id IN (SELECT unhex(arrayJoin({traces:Array(String)})))
ORDER BY ingest_seq DESC
LIMIT 1 BY project_id, ts, spans.trace_id, spans.span_id
