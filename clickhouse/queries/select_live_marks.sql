-- The buckets of a project that were marked as changed since a time, the newest, with the sequence up to
-- which each writer has them, and the time of the engine, Unix ms. Marks come after the spans and what
-- is decided of them, so whoever sees a mark sees all that it is for.
SELECT
  toFloat64(toUnixTimestamp64Milli(now64(3))) AS time_ms,
  groupArray(tuple(bucket_s, writer, marked_text)) AS marks
FROM
(
  SELECT
    toUnixTimestamp(bucket) AS bucket_s,
    toString(writer_id) AS writer,
    toString(marked) AS marked_text
  FROM rollup_dirty FINAL
  WHERE rollup_dirty.project_id = {project_id:String}
    AND touched_at >= toDateTime({since_s:UInt32}, 'UTC')
    AND marked > 0
  ORDER BY bucket DESC, writer_id
  LIMIT {limit:UInt32}
)
SETTINGS enable_named_columns_in_function_tuple = 0
