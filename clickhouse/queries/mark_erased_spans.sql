-- Marks the buckets of what a pass of an erasure removed, but none whose spans retention has removed.
INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)
SELECT DISTINCT
  project_id, toStartOfFifteenMinutes(toDateTime(ts, 'UTC')), {writer_id:String}, {sequence:UInt64}, 0, 0, now()
FROM erased_spans
WHERE job_id = {job_id:String}
  AND pass = {pass:UInt32}
  AND toDate(ts) >= (SELECT max(floor_day) FROM raw_floors WHERE project_id = {project_id:String})
