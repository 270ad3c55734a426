-- What was told of budgets, alert rules and quotas: one row for each, whoever finds it and how often. The id
-- is made from what was found (alerting/notices.ts), so that a restart, a duplicate or a clock that goes
-- back finds it here. Written before anything is sent.
-- kind: metadata
--
-- Kept for longer than the longest window and all that may still arrive for it.
CREATE TABLE IF NOT EXISTS alert_notices {on_cluster}
(
  project_id LowCardinality(String),
  notice_id String COMMENT 'SHA-256 of what was found, 32 hex digits',
  kind LowCardinality(String) COMMENT 'budget_threshold, alert_firing, alert_resolved, quota_reached',
  subject_id String COMMENT 'The budget, the rule, or the month of a quota',
  created_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  channel_ids Array(String) COMMENT 'Where it goes',
  body String COMMENT 'JSON by schemas/notices.ts, without secrets' CODEC(ZSTD(1))
)
ENGINE = {replacing_merge_tree}
ORDER BY (project_id, notice_id)
TTL toDateTime(created_at) + INTERVAL 800 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
