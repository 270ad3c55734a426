-- Marks buckets as changed by what one writer has inserted up to a sequence. Buckets whose spans retention
-- has removed are left out: recomputed from what is left they would lose what the rollups still know.
INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)
SELECT mark.project, mark.bucket, {writer_id:String}, {sequence:UInt64}, 0, 0, now()
FROM
(
  SELECT project, toDateTime(start, 'UTC') AS bucket
  FROM (SELECT {projects:Array(String)} AS projects, {starts:Array(UInt32)} AS starts)
  ARRAY JOIN projects AS project, starts AS start
) AS mark
LEFT ANY JOIN
(
  SELECT project_id, max(floor_day) AS floor_day FROM raw_floors GROUP BY project_id
) AS kept ON kept.project_id = mark.project
WHERE toDate(mark.bucket) >= kept.floor_day
