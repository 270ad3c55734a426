-- What collectors counted of themselves, looked at every few seconds: health over time, for the page and
-- for Grafana. Written beside the log of spans, never through it; a sample that is lost is a gap.
-- kind: metadata
--
-- A counter has how much it grew since the sample of this process before, so that sums over time are right
-- across restarts; what did not grow has no row. A histogram is its _sum, its _count and its _bucket rows,
-- the latter cumulative over the label le as Prometheus has them; below the least bucket that grew stands
-- one of 0, so that a quantile can be interpolated. A write that is repeated replaces itself: read with FINAL.
CREATE TABLE IF NOT EXISTS collector_samples {on_cluster}
(
  sampled_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  instance_id LowCardinality(String) COMMENT 'The log that the collector writes, one process at a time: the same after a restart',
  name LowCardinality(String) COMMENT 'As at /metrics',
  labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  kind Enum8('counter' = 1, 'gauge' = 2),
  value Float64 COMMENT 'Of a gauge its value, of a counter what was added' CODEC(ZSTD(1)),
  labels_hash UInt64 MATERIALIZED cityHash64(mapKeys(labels), mapValues(labels)) COMMENT 'Stands for the labels in the key' CODEC(ZSTD(1))
)
ENGINE = {replacing_merge_tree}
PARTITION BY toDate(sampled_at)
ORDER BY (name, sampled_at, instance_id, labels_hash)
TTL toDateTime(sampled_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
