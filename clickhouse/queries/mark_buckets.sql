-- Marks buckets as changed by what one writer has inserted up to a sequence.
INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)
SELECT project, toDateTime(start, 'UTC'), {writer_id:String}, {sequence:UInt64}, 0, 0, now()
FROM (SELECT {projects:Array(String)} AS projects, {starts:Array(UInt32)} AS starts)
ARRAY JOIN projects AS project, starts AS start
