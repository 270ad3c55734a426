-- The state of each marked bucket: what is dirty for the 15-minute rollup and for the daily ones.
-- kind: metadata
CREATE VIEW IF NOT EXISTS rollup_dirty_pairs {on_cluster} AS
SELECT
  project_id,
  bucket,
  writer_id,
  max(marked) AS marked,
  marked > max(done_15m) AS dirty_15m,
  marked > max(done_day) AS dirty_day
FROM (SELECT project_id, bucket, writer_id, rollup_dirty.marked AS marked, done_15m, done_day FROM rollup_dirty)
GROUP BY project_id, bucket, writer_id
