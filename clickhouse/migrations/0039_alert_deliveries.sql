-- Attempts to deliver notices, each written after it was made: an attempt whose process died is made again.
-- kind: metadata
CREATE TABLE IF NOT EXISTS alert_deliveries {on_cluster}
(
  project_id LowCardinality(String),
  attempted_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  notice_id String,
  channel_id String,
  attempt UInt16 COMMENT 'From 1',
  delivery_id String COMMENT 'Of the notice and the channel: receivers drop what they have',
  kind LowCardinality(String) COMMENT 'Of the notice',
  subject_id String,
  channel_kind LowCardinality(String) COMMENT 'webhook, slack or email',
  duration_ms UInt32,
  outcome LowCardinality(String) COMMENT 'delivered, retrying or gave_up',
  status_code UInt16 COMMENT '0: no answer',
  error LowCardinality(String) COMMENT 'One word; never what the receiver said',
  next_attempt_at DateTime64(3, 'UTC') COMMENT '1970: none'
)
ENGINE = {replacing_merge_tree}
PARTITION BY toYYYYMM(attempted_at)
ORDER BY (project_id, attempted_at, notice_id, channel_id, attempt)
TTL toDateTime(attempted_at) + INTERVAL 400 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
