-- Spans, events and data points that were refused for their time, so that a sender with a broken clock
-- can be found. In no total; gone after two weeks.
-- kind: metadata
--
-- The day of receipt is the partition: the time that was sent may be anything. A record that is inserted
-- again replaces itself, because the time of receipt is in it.
CREATE TABLE IF NOT EXISTS set_aside_items {on_cluster}
(
  project_id LowCardinality(String),
  received_at DateTime64(3, 'UTC') COMMENT 'When it was received' CODEC(Delta(8), ZSTD(1)),
  signal Enum8('span' = 0, 'log' = 1, 'metric' = 2),
  reason Enum8('before_2000' = 0, 'too_old' = 1, 'in_future' = 2) COMMENT 'Why it was refused',
  trace_id FixedString(16) COMMENT 'All zero bytes for a data point',
  span_id FixedString(8),
  series UInt64 COMMENT 'Of a data point, as in usage_metric_points',
  service_name LowCardinality(String),
  name LowCardinality(String) COMMENT 'Of the span or the metric',
  sent_time_ns UInt64 COMMENT 'The time that was refused, Unix ns, as sent',
  scope_name LowCardinality(String),
  attributes Map(LowCardinality(String), String) COMMENT 'As sent, without content' CODEC(ZSTD(1)),
  ingest_seq UInt64 COMMENT 'Version: of two rows of one item the later wins' CODEC(Delta(8), ZSTD(1))
)
ENGINE = {replacing_merge_tree}(ingest_seq)
PARTITION BY toDate(received_at)
ORDER BY (project_id, received_at, trace_id, span_id, series, sent_time_ns)
TTL toDateTime(received_at) + INTERVAL 14 DAY DELETE
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
