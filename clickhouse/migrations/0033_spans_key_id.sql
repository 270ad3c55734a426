-- The key that a span was sent with, so that spend can be told by key; and an index on the time of
-- receipt, by which monthly quotas count what was accepted (clickhouse/queries/count_accepted_spans.sql).
-- kind: metadata
ALTER TABLE spans {on_cluster}
  ADD COLUMN IF NOT EXISTS key_id LowCardinality(String) COMMENT 'Id of the key of the sender; empty without one' AFTER project_id,
  ADD INDEX IF NOT EXISTS ix_ingested_at ingested_at TYPE minmax GRANULARITY 1
