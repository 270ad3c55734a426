-- Marks buckets as computed up to the sequences that were seen before computing.
INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)
SELECT project, toDateTime(start, 'UTC'), writer, 0, done_15m, done_day, now()
FROM
(
  SELECT
    {projects:Array(String)} AS projects,
    {starts:Array(UInt32)} AS starts,
    {writers:Array(String)} AS writers,
    {done_15m:Array(UInt64)} AS dones_15m,
    {done_day:Array(UInt64)} AS dones_day
)
ARRAY JOIN
  projects AS project,
  starts AS start,
  writers AS writer,
  dones_15m AS done_15m,
  dones_day AS done_day
