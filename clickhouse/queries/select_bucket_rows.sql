-- About how many rows of spans the buckets of some days of projects have, from the index alone: a block
-- of 8,192 rows counts for the bucket that its first row is in. Nothing else is read, so that a look
-- at a billion rows costs as much as one at a hundred thousand.
SELECT
  toString(index.project_id) AS project_id,
  toUnixTimestamp(toStartOfFifteenMinutes(index.ts)) AS bucket_s,
  toFloat64(sum(index.rows_in_granule)) AS span_rows
FROM mergeTreeIndex(currentDatabase(), 'spans') AS index
WHERE (index.project_id, toDate(index.ts)) IN (
  SELECT project, toDate(toDateTime(day, 'UTC'))
  FROM (SELECT {projects:Array(String)} AS projects, {starts:Array(UInt32)} AS starts)
  ARRAY JOIN projects AS project, starts AS day
)
GROUP BY index.project_id, bucket_s
