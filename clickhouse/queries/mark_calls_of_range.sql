-- Marks every bucket of a range within one day that has calls as changed, but not of projects whose spans
-- of the day retention removes.
INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)
SELECT DISTINCT
  project_id, toStartOfFifteenMinutes(ts), {writer_id:String}, {sequence:UInt64}, 0, 0, now()
FROM spans
WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND span_class IN ('billable', 'aggregate')
  AND project_id NOT IN (
    SELECT project_id
    FROM raw_floors
    GROUP BY project_id
    HAVING max(floor_day) > toDate(toDateTime({from_s:UInt32}, 'UTC'))
  )
