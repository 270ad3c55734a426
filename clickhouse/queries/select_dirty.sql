-- Buckets the rollups lack, with the marks that were seen. Of each project the newest, at most as many
-- as asked; then the newest of every project, the second newest of every project, and so on, so that no
-- project waits behind the backlog of another.
--
-- FINAL merges the marks of a bucket by their key: a sixth of the time of GROUP BY.
SELECT project_id, bucket_s, marks, is_dirty_15m, is_dirty_day, quiet_s
FROM
(
  SELECT
    toString(rollup_dirty.project_id) AS project_id,
    toUnixTimestamp(bucket) AS bucket_s,
    groupArray(tuple(toString(writer_id), toString(marked))) AS marks,
    max(marked > done_15m) AS is_dirty_15m,
    max(marked > done_day) AS is_dirty_day,
    toUInt32(greatest(now() - max(touched_at), 0)) AS quiet_s
  FROM rollup_dirty FINAL
  WHERE marked > least(done_15m, done_day)
  GROUP BY rollup_dirty.project_id, bucket
  ORDER BY project_id, bucket DESC
  LIMIT {project_limit:UInt32} BY project_id
)
ORDER BY row_number() OVER (PARTITION BY project_id ORDER BY bucket_s DESC), quiet_s DESC, project_id
LIMIT {limit:UInt32}
SETTINGS enable_named_columns_in_function_tuple = 0
