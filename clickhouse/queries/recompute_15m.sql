-- Computes buckets of one day anew from the spans.
-- A group that has no calls any more gets a row with is_deleted, because a row that merely stops
-- being written would stay (research/storage.md 2.3).
--
-- Bounds of ts are DateTime64(9): with a DateTime the engine (26.7) prunes `ts < x` as `ts <= x - 1`
-- and loses what starts in the last second.
INSERT INTO usage_15m_rollup
(
  project_id, bucket, provider, request_model, response_model, operation, environment, price_id,
  calls,
  errors,
  calls_missing_usage,
  calls_estimated,
  calls_unpriced,
  calls_priced,
  usage_mask,
  priced_mask,
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
  cost_fees,
  fees_priced_calls,
  client_cost_usd,
  client_cost_calls,
  duration_ns_sum,
  ttft_ns_sum,
  ttft_calls,
  duration_histogram,
  ttft_histogram,
  ver, is_deleted
)
SELECT
  project_id, bucket, provider, request_model, response_model, operation, environment, price_id,
  sum(source.calls),
  sum(source.errors),
  sum(source.calls_missing_usage),
  sum(source.calls_estimated),
  sum(source.calls_unpriced),
  sum(source.calls_priced),
  groupBitOr(source.usage_mask),
  groupBitOr(source.priced_mask),
  sum(source.tokens_input_uncached),
  sum(source.tokens_cache_read),
  sum(source.tokens_cache_write_5m),
  sum(source.tokens_cache_write_1h),
  sum(source.tokens_cache_write),
  sum(source.tokens_output_text),
  sum(source.tokens_output_reasoning),
  sum(source.tokens_input_audio),
  sum(source.tokens_output_audio),
  sum(source.tokens_input_image),
  sum(source.tokens_output_image),
  sum(source.tokens_unpriced),
  sum(source.cost_input_uncached),
  sum(source.cost_cache_read),
  sum(source.cost_cache_write_5m),
  sum(source.cost_cache_write_1h),
  sum(source.cost_cache_write),
  sum(source.cost_output_text),
  sum(source.cost_output_reasoning),
  sum(source.cost_input_audio),
  sum(source.cost_output_audio),
  sum(source.cost_input_image),
  sum(source.cost_output_image),
  sum(source.cost_fees),
  sum(source.fees_priced_calls),
  sum(source.client_cost_usd),
  sum(source.client_cost_calls),
  sum(source.duration_ns_sum),
  sum(source.ttft_ns_sum),
  sum(source.ttft_calls),
  sumMap(source.duration_histogram),
  sumMap(source.ttft_histogram),
  {ver:UInt64},
  sum(source.calls) = 0
FROM
(
  SELECT
    project_id, bucket, provider, request_model, response_model, operation, environment, price_id,
    usage_calls.calls AS calls,
    usage_calls.errors AS errors,
    usage_calls.calls_missing_usage AS calls_missing_usage,
    usage_calls.calls_estimated AS calls_estimated,
    usage_calls.calls_unpriced AS calls_unpriced,
    usage_calls.calls_priced AS calls_priced,
    usage_calls.usage_mask AS usage_mask,
    usage_calls.priced_mask AS priced_mask,
    usage_calls.tokens_input_uncached AS tokens_input_uncached,
    usage_calls.tokens_cache_read AS tokens_cache_read,
    usage_calls.tokens_cache_write_5m AS tokens_cache_write_5m,
    usage_calls.tokens_cache_write_1h AS tokens_cache_write_1h,
    usage_calls.tokens_cache_write AS tokens_cache_write,
    usage_calls.tokens_output_text AS tokens_output_text,
    usage_calls.tokens_output_reasoning AS tokens_output_reasoning,
    usage_calls.tokens_input_audio AS tokens_input_audio,
    usage_calls.tokens_output_audio AS tokens_output_audio,
    usage_calls.tokens_input_image AS tokens_input_image,
    usage_calls.tokens_output_image AS tokens_output_image,
    usage_calls.tokens_unpriced AS tokens_unpriced,
    usage_calls.cost_input_uncached AS cost_input_uncached,
    usage_calls.cost_cache_read AS cost_cache_read,
    usage_calls.cost_cache_write_5m AS cost_cache_write_5m,
    usage_calls.cost_cache_write_1h AS cost_cache_write_1h,
    usage_calls.cost_cache_write AS cost_cache_write,
    usage_calls.cost_output_text AS cost_output_text,
    usage_calls.cost_output_reasoning AS cost_output_reasoning,
    usage_calls.cost_input_audio AS cost_input_audio,
    usage_calls.cost_output_audio AS cost_output_audio,
    usage_calls.cost_input_image AS cost_input_image,
    usage_calls.cost_output_image AS cost_output_image,
    usage_calls.cost_fees AS cost_fees,
    usage_calls.fees_priced_calls AS fees_priced_calls,
    usage_calls.client_cost_usd AS client_cost_usd,
    usage_calls.client_cost_calls AS client_cost_calls,
    usage_calls.duration_ns_sum AS duration_ns_sum,
    usage_calls.ttft_ns_sum AS ttft_ns_sum,
    usage_calls.ttft_calls AS ttft_calls,
    usage_calls.duration_histogram AS duration_histogram,
    usage_calls.ttft_histogram AS ttft_histogram
  FROM usage_calls
  WHERE project_id IN ({projects:Array(String)})
    AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
    AND (project_id, bucket) IN (
      SELECT project, toDateTime(start, 'UTC')
      FROM (SELECT {projects:Array(String)} AS projects, {starts:Array(UInt32)} AS starts)
      ARRAY JOIN projects AS project, starts AS start
    )
  UNION ALL
  SELECT
    project_id, bucket, provider, request_model, response_model, operation, environment, price_id,
    toUInt64(0) AS calls,
    toUInt64(0) AS errors,
    toUInt64(0) AS calls_missing_usage,
    toUInt64(0) AS calls_estimated,
    toUInt64(0) AS calls_unpriced,
    toUInt64(0) AS calls_priced,
    toUInt16(0) AS usage_mask,
    toUInt16(0) AS priced_mask,
    toUInt64(0) AS tokens_input_uncached,
    toUInt64(0) AS tokens_cache_read,
    toUInt64(0) AS tokens_cache_write_5m,
    toUInt64(0) AS tokens_cache_write_1h,
    toUInt64(0) AS tokens_cache_write,
    toUInt64(0) AS tokens_output_text,
    toUInt64(0) AS tokens_output_reasoning,
    toUInt64(0) AS tokens_input_audio,
    toUInt64(0) AS tokens_output_audio,
    toUInt64(0) AS tokens_input_image,
    toUInt64(0) AS tokens_output_image,
    toUInt64(0) AS tokens_unpriced,
    toDecimal128(0, 12) AS cost_input_uncached,
    toDecimal128(0, 12) AS cost_cache_read,
    toDecimal128(0, 12) AS cost_cache_write_5m,
    toDecimal128(0, 12) AS cost_cache_write_1h,
    toDecimal128(0, 12) AS cost_cache_write,
    toDecimal128(0, 12) AS cost_output_text,
    toDecimal128(0, 12) AS cost_output_reasoning,
    toDecimal128(0, 12) AS cost_input_audio,
    toDecimal128(0, 12) AS cost_output_audio,
    toDecimal128(0, 12) AS cost_input_image,
    toDecimal128(0, 12) AS cost_output_image,
    toDecimal128(0, 12) AS cost_fees,
    toUInt64(0) AS fees_priced_calls,
    toDecimal128(0, 12) AS client_cost_usd,
    toUInt64(0) AS client_cost_calls,
    toUInt64(0) AS duration_ns_sum,
    toUInt64(0) AS ttft_ns_sum,
    toUInt64(0) AS ttft_calls,
    CAST(map(), 'Map(Int16, UInt64)') AS duration_histogram,
    CAST(map(), 'Map(Int16, UInt64)') AS ttft_histogram
  FROM usage_15m_rollup FINAL
  WHERE bucket >= toDateTime({from_s:UInt32}, 'UTC')
    AND bucket < toDateTime({to_s:UInt32}, 'UTC')
    AND (project_id, bucket) IN (
      SELECT project, toDateTime(start, 'UTC')
      FROM (SELECT {projects:Array(String)} AS projects, {starts:Array(UInt32)} AS starts)
      ARRAY JOIN projects AS project, starts AS start
    )
) AS source
-- Only while the lease is held for longer than the statement may take, by the clock of the engine: who
-- was held up must not write what is older than what its successor wrote.
WHERE ({lease:String} = '' OR (
  SELECT count()
  FROM recompute_lease FINAL
  WHERE token = {lease:String} AND until > now64(3) + toIntervalMillisecond({reserve_ms:UInt32})
) > 0)
  -- The rollups of days whose spans retention has removed stay as they are.
  AND project_id NOT IN (
    SELECT project_id
    FROM raw_floors
    GROUP BY project_id
    HAVING max(removed_day) > toDate(toDateTime({from_s:UInt32}, 'UTC'))
  )
GROUP BY project_id, bucket, provider, request_model, response_model, operation, environment, price_id
