-- Which buckets of which projects have spans that the rollups do not have yet. Insert-only: a writer
-- marks a bucket with the sequence of what it inserted, the recompute marks it done up to the
-- sequence it saw. A mark can never be lost between two writers, because each has its own row.
-- kind: metadata
--
-- The TTL may drop a row whose work is done; the worst that follows is that a stray older mark of the
-- same bucket has it computed once more.
CREATE TABLE IF NOT EXISTS rollup_dirty {on_cluster}
(
  project_id LowCardinality(String),
  bucket DateTime('UTC') COMMENT 'Start of the 15 minutes',
  writer_id LowCardinality(String) COMMENT 'The WAL that inserted',
  marked SimpleAggregateFunction(max, UInt64) COMMENT 'Inserted up to this sequence',
  done_15m SimpleAggregateFunction(max, UInt64) COMMENT 'In usage_15m_rollup up to this sequence',
  done_day SimpleAggregateFunction(max, UInt64) COMMENT 'In the daily rollups up to this sequence',
  touched_at SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now()
)
ENGINE = {aggregating_merge_tree}
ORDER BY (project_id, bucket, writer_id)
TTL touched_at + INTERVAL 1 HOUR DELETE WHERE marked <= done_15m AND marked <= done_day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600
