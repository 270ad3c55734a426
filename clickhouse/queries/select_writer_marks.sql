-- What each log has told of a project: up to which sequence it has inserted, and when that was.
SELECT
  toString(writer_id) AS writer_id,
  toString(max(rollup_dirty.marked)) AS marked,
  toUnixTimestamp(max(rollup_dirty.touched_at)) AS touched_s
FROM rollup_dirty
WHERE project_id = {project_id:String}
GROUP BY writer_id
ORDER BY touched_s DESC
LIMIT {limit:UInt32}
