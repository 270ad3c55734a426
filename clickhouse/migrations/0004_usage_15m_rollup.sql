-- Stored sums of calls in buckets of 15 minutes: exact days in every time zone. Written by the
-- recompute alone; read the view usage_15m, which adds what is not yet computed.
-- kind: metadata
CREATE TABLE IF NOT EXISTS usage_15m_rollup {on_cluster}
(
  project_id LowCardinality(String),
  bucket DateTime('UTC') COMMENT 'Start of the 15 minutes' CODEC(Delta(4), ZSTD(1)),
  provider LowCardinality(String),
  request_model LowCardinality(String),
  response_model LowCardinality(String),
  operation LowCardinality(String),
  environment LowCardinality(String),
  price_id LowCardinality(String),
  calls UInt64 CODEC(T64, ZSTD(1)),
  errors UInt64 CODEC(T64, ZSTD(1)),
  calls_missing_usage UInt64 CODEC(T64, ZSTD(1)),
  calls_estimated UInt64 CODEC(T64, ZSTD(1)),
  calls_unpriced UInt64 CODEC(T64, ZSTD(1)),
  calls_priced UInt64 CODEC(T64, ZSTD(1)),
  usage_mask UInt16 CODEC(T64, ZSTD(1)),
  priced_mask UInt16 CODEC(T64, ZSTD(1)),
  tokens_input_uncached UInt64 CODEC(T64, ZSTD(1)),
  tokens_cache_read UInt64 CODEC(T64, ZSTD(1)),
  tokens_cache_write_5m UInt64 CODEC(T64, ZSTD(1)),
  tokens_cache_write_1h UInt64 CODEC(T64, ZSTD(1)),
  tokens_cache_write UInt64 CODEC(T64, ZSTD(1)),
  tokens_output_text UInt64 CODEC(T64, ZSTD(1)),
  tokens_output_reasoning UInt64 CODEC(T64, ZSTD(1)),
  tokens_input_audio UInt64 CODEC(T64, ZSTD(1)),
  tokens_output_audio UInt64 CODEC(T64, ZSTD(1)),
  tokens_input_image UInt64 CODEC(T64, ZSTD(1)),
  tokens_output_image UInt64 CODEC(T64, ZSTD(1)),
  tokens_unpriced UInt64 CODEC(T64, ZSTD(1)),
  cost_input_uncached Decimal(38, 12) CODEC(ZSTD(1)),
  cost_cache_read Decimal(38, 12) CODEC(ZSTD(1)),
  cost_cache_write_5m Decimal(38, 12) CODEC(ZSTD(1)),
  cost_cache_write_1h Decimal(38, 12) CODEC(ZSTD(1)),
  cost_cache_write Decimal(38, 12) CODEC(ZSTD(1)),
  cost_output_text Decimal(38, 12) CODEC(ZSTD(1)),
  cost_output_reasoning Decimal(38, 12) CODEC(ZSTD(1)),
  cost_input_audio Decimal(38, 12) CODEC(ZSTD(1)),
  cost_output_audio Decimal(38, 12) CODEC(ZSTD(1)),
  cost_input_image Decimal(38, 12) CODEC(ZSTD(1)),
  cost_output_image Decimal(38, 12) CODEC(ZSTD(1)),
  client_cost_usd Decimal(38, 12) CODEC(ZSTD(1)),
  client_cost_calls UInt64 CODEC(T64, ZSTD(1)),
  duration_ns_sum UInt64 CODEC(T64, ZSTD(1)),
  ttft_ns_sum UInt64 CODEC(T64, ZSTD(1)),
  ttft_calls UInt64 CODEC(T64, ZSTD(1)),
  duration_histogram Map(Int16, UInt64) CODEC(ZSTD(1)),
  ttft_histogram Map(Int16, UInt64) CODEC(ZSTD(1)),
  ver UInt64 COMMENT 'Later wins' CODEC(Delta(8), ZSTD(1)),
  is_deleted UInt8 COMMENT '1: the group has no calls any more'
)
ENGINE = {replacing_merge_tree}(ver, is_deleted)
PARTITION BY toYYYYMM(bucket)
ORDER BY (project_id, bucket, provider, request_model, response_model, operation, environment, price_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
