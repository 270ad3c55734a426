-- Token and cost metrics that clients send (OTLP metrics), one row a data point, for reconciliation
-- alone: they describe the same calls as spans and logs do, and are never added to the ledger.
-- kind: metadata
--
-- A point is a delta of its time, whatever its sender's temporality: points that count up since a
-- start are stored as sent in total, and the view usage_metrics takes the differences, so that a
-- redelivery, a restart or a point that comes late changes nothing that was right.
CREATE TABLE IF NOT EXISTS usage_metric_points {on_cluster}
(
  project_id LowCardinality(String),
  metric LowCardinality(String) COMMENT 'Name of the metric, as sent',
  series UInt64 COMMENT 'Hash of metric, resource, scope and attributes',
  start_ts DateTime64(9, 'UTC') COMMENT 'Since when a running total counts' CODEC(Delta(8), ZSTD(1)),
  ts DateTime64(9, 'UTC') COMMENT 'Time of the point' CODEC(Delta(8), ZSTD(1)),
  temporality Enum8('unspecified' = 0, 'delta' = 1, 'cumulative' = 2),
  kind Enum8('tokens' = 0, 'cost_usd' = 1, 'calls' = 2),
  token_class LowCardinality(String) COMMENT 'input, output, cache_read, cache_write, reasoning, tool, total; as the client counts',
  value Float64 COMMENT 'Tokens, US dollars or calls, as sent',
  provider LowCardinality(String),
  model LowCardinality(String),
  operation LowCardinality(String),
  service_name LowCardinality(String),
  environment LowCardinality(String),
  user_id String CODEC(ZSTD(1)),
  session_id String CODEC(ZSTD(1)),
  dialect LowCardinality(String),
  scope_name LowCardinality(String),
  attributes Map(LowCardinality(String), String) COMMENT 'Of the point, without content' CODEC(ZSTD(1)),
  ingest_seq UInt64 COMMENT 'Version: of two rows of one point the later wins' CODEC(Delta(8), ZSTD(1)),
  ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {replacing_merge_tree}(ingest_seq)
PARTITION BY toYYYYMM(ts)
PRIMARY KEY (project_id, metric, series)
ORDER BY (project_id, metric, series, start_ts, ts)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
