-- Spans that an erasure has found and removes: by their ids, so that no statement and no file of a
-- mutation names the person. Emptied when the erasure is done.
-- kind: metadata
CREATE TABLE IF NOT EXISTS erased_spans {on_cluster}
(
  job_id String,
  pass UInt32 COMMENT 'Of the job: each looks again',
  project_id LowCardinality(String),
  ts DateTime64(9, 'UTC'),
  trace_id FixedString(16),
  span_id FixedString(8),
  found_at DateTime('UTC') DEFAULT now()
)
ENGINE = {replacing_merge_tree}(found_at)
ORDER BY (job_id, pass, project_id, ts, trace_id, span_id)
TTL found_at + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
