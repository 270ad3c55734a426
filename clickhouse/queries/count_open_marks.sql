-- Buckets of a project before a time that the rollups lack, by all writers or one.
SELECT toFloat64(uniqExact(bucket)) AS buckets
FROM rollup_dirty FINAL
WHERE project_id = {project_id:String}
  AND bucket < toDateTime({to_s:UInt32}, 'UTC')
  AND ({writer_id:String} = '' OR writer_id = {writer_id:String})
  AND marked > least(done_15m, done_day)
