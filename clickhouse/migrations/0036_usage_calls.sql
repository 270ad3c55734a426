-- The view of 0016 with the column key_id and what else only calls have: what the API groups and
-- filters by beside the dimensions of the rollups.
-- kind: metadata
--
-- duration_histogram, ttft_histogram: key ceil(log2(ns) * 16), the OpenTelemetry exponential
-- histogram at scale 4; exact to merge, error of a quantile at most 2.2 %.
CREATE OR REPLACE VIEW usage_calls {on_cluster} AS
SELECT
  project_id,
  ts,
  toStartOfFifteenMinutes(ts) AS bucket,
  toDate(ts) AS day,
  provider,
  request_model,
  response_model,
  operation,
  environment,
  service_name,
  agent_name,
  user_id,
  session_id,
  price_id,
  key_id,
  status,
  error_type,
  finish_reason,
  service_tier,
  streaming,
  tags,
  toUInt64(1) AS calls,
  toUInt64(status = 'error') AS errors,
  toUInt64(usage_status = 'missing' AND NOT refused) AS calls_missing_usage,
  toUInt64(usage_status = 'estimated') AS calls_estimated,
  toUInt64(cost_status != 'priced') AS calls_unpriced,
  toUInt64(cost_status IN ('priced', 'partial')) AS calls_priced,
  usage_mask AS usage_mask,
  priced_mask AS priced_mask,
  toUInt64(tokens_input_uncached) AS tokens_input_uncached,
  toUInt64(tokens_cache_read) AS tokens_cache_read,
  toUInt64(tokens_cache_write_5m) AS tokens_cache_write_5m,
  toUInt64(tokens_cache_write_1h) AS tokens_cache_write_1h,
  toUInt64(tokens_cache_write) AS tokens_cache_write,
  toUInt64(tokens_output_text) AS tokens_output_text,
  toUInt64(tokens_output_reasoning) AS tokens_output_reasoning,
  toUInt64(tokens_input_audio) AS tokens_input_audio,
  toUInt64(tokens_output_audio) AS tokens_output_audio,
  toUInt64(tokens_input_image) AS tokens_input_image,
  toUInt64(tokens_output_image) AS tokens_output_image,
  toUInt64(
    tokens_input_uncached * (NOT bitTest(priced_mask, 0)) +
    tokens_cache_read * (NOT bitTest(priced_mask, 1)) +
    tokens_cache_write_5m * (NOT bitTest(priced_mask, 2)) +
    tokens_cache_write_1h * (NOT bitTest(priced_mask, 3)) +
    tokens_cache_write * (NOT bitTest(priced_mask, 4)) +
    tokens_output_text * (NOT bitTest(priced_mask, 5)) +
    tokens_output_reasoning * (NOT bitTest(priced_mask, 6)) +
    tokens_input_audio * (NOT bitTest(priced_mask, 7)) +
    tokens_output_audio * (NOT bitTest(priced_mask, 8)) +
    tokens_input_image * (NOT bitTest(priced_mask, 9)) +
    tokens_output_image * (NOT bitTest(priced_mask, 10))
  ) AS tokens_unpriced,
  toDecimal128(cost_input_uncached, 12) AS cost_input_uncached,
  toDecimal128(cost_cache_read, 12) AS cost_cache_read,
  toDecimal128(cost_cache_write_5m, 12) AS cost_cache_write_5m,
  toDecimal128(cost_cache_write_1h, 12) AS cost_cache_write_1h,
  toDecimal128(cost_cache_write, 12) AS cost_cache_write,
  toDecimal128(cost_output_text, 12) AS cost_output_text,
  toDecimal128(cost_output_reasoning, 12) AS cost_output_reasoning,
  toDecimal128(cost_input_audio, 12) AS cost_input_audio,
  toDecimal128(cost_output_audio, 12) AS cost_output_audio,
  toDecimal128(cost_input_image, 12) AS cost_input_image,
  toDecimal128(cost_output_image, 12) AS cost_output_image,
  toDecimal128(cost_fees, 12) AS cost_fees,
  toUInt64(fees_priced) AS fees_priced_calls,
  toDecimal128(client_cost_usd, 12) AS client_cost_usd,
  toUInt64(client_cost_known) AS client_cost_calls,
  duration_ns AS duration_ns_sum,
  ttft_ns AS ttft_ns_sum,
  toUInt64(ttft_known) AS ttft_calls,
  map(toInt16(ceil(log2(greatest(duration_ns, 1)) * 16)), toUInt64(1)) AS duration_histogram,
  if(ttft_known, map(toInt16(ceil(log2(greatest(ttft_ns, 1)) * 16)), toUInt64(1)), CAST(map(), 'Map(Int16, UInt64)')) AS ttft_histogram
FROM calls
