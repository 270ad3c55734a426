-- The rows of a project in one day by second, redeliveries counted each; of the table that is asked for.
SELECT toUnixTimestamp(ts) AS start_s, toFloat64(count()) AS rows
FROM spans
WHERE {name:String} = 'spans'
  AND project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
GROUP BY start_s
UNION ALL
SELECT toUnixTimestamp(ts) AS start_s, toFloat64(count()) AS rows
FROM usage_metric_points
WHERE {name:String} = 'usage_metric_points'
  AND project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
GROUP BY start_s
UNION ALL
SELECT toUnixTimestamp(bucket) AS start_s, toFloat64(count()) AS rows
FROM usage_15m
WHERE {name:String} = 'usage_15m'
  AND project_id = {project_id:String}
  AND bucket >= toDateTime({from_s:UInt32}, 'UTC')
  AND bucket < toDateTime({to_s:UInt32}, 'UTC')
GROUP BY start_s
ORDER BY start_s
