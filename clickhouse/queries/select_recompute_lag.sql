-- How far the rollups are behind: dirty buckets, seconds since the mark that has waited longest was
-- touched, and about how many rows of spans are in these buckets (by the index, see select_bucket_rows).
WITH dirty AS (
  SELECT project_id, bucket, touched_at
  FROM rollup_dirty FINAL
  WHERE marked > least(done_15m, done_day)
)
SELECT
  toFloat64(uniqExact(project_id, bucket)) AS dirty_buckets,
  if(count() = 0, 0, toFloat64(greatest(now() - min(touched_at), 0))) AS oldest_dirty_s,
  toFloat64((
    SELECT sum(index.rows_in_granule)
    FROM mergeTreeIndex(currentDatabase(), 'spans') AS index
    WHERE (index.project_id, toStartOfFifteenMinutes(index.ts)) IN (SELECT project_id, bucket FROM dirty)
  )) AS rows_waiting
FROM dirty
