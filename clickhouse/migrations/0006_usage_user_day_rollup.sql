-- Stored sums of calls by UTC day and user. The split by price is a map, because rows of user and
-- price are three times as many (research/storage.md 3). Written by the recompute alone; read the
-- view usage_user_day.
-- kind: metadata
CREATE TABLE IF NOT EXISTS usage_user_day_rollup {on_cluster}
(
  project_id LowCardinality(String),
  day Date COMMENT 'UTC' CODEC(Delta(2), ZSTD(1)),
  user_id String COMMENT 'Empty for calls without a user' CODEC(ZSTD(1)),
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
  cost_by_price Map(LowCardinality(String), Decimal(38, 12)) COMMENT 'Cost by price_id' CODEC(ZSTD(1)),
  sessions UInt64 COMMENT 'Distinct session ids of the day, exact' CODEC(T64, ZSTD(1)),
  ver UInt64 COMMENT 'Later wins' CODEC(Delta(8), ZSTD(1)),
  is_deleted UInt8 COMMENT '1: the user has no calls any more'
)
ENGINE = {replacing_merge_tree}(ver, is_deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (project_id, day, user_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
