-- A page of the points of metrics of a project in a range of seconds.
SELECT *
FROM usage_metric_points FINAL
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
ORDER BY ts, metric, series, start_ts
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
