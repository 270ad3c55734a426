-- Buckets the rollups lack, oldest mark first, so that no project waits behind a busy one for ever.
SELECT
  toString(project_id) AS project_id,
  toUnixTimestamp(bucket) AS bucket_s,
  groupArray(toString(writer_id)) AS writers,
  groupArray(marked) AS marks,
  max(dirty_15m) AS is_dirty_15m,
  max(dirty_day) AS is_dirty_day
FROM rollup_dirty_pairs
WHERE dirty_15m OR dirty_day
GROUP BY project_id, bucket
ORDER BY min(marked), project_id, bucket
LIMIT {limit:UInt32}
