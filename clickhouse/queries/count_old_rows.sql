-- What a project has from before the times of its retention, by table. Spans and decisions are not here.
SELECT 'usage_metric_points' AS name, toFloat64(count()) AS rows
FROM usage_metric_points
WHERE project_id = {project_id:String} AND ts < toDateTime64({raw_s:UInt32}, 9, 'UTC')
UNION ALL
SELECT 'set_aside_items' AS name, toFloat64(count()) AS rows
FROM set_aside_items
WHERE project_id = {project_id:String} AND received_at < fromUnixTimestamp64Milli(toInt64({raw_s:UInt32}) * 1000, 'UTC')
UNION ALL
SELECT 'usage_15m' AS name, toFloat64(count()) AS rows
FROM usage_15m_rollup
WHERE project_id = {project_id:String} AND toDate(bucket) < toDate(toDateTime({rollup_s:UInt32}, 'UTC'))
UNION ALL
SELECT 'usage_day' AS name, toFloat64(count()) AS rows
FROM usage_day_rollup
WHERE project_id = {project_id:String} AND day < toDate(toDateTime({rollup_s:UInt32}, 'UTC'))
UNION ALL
SELECT 'usage_user_day' AS name, toFloat64(count()) AS rows
FROM usage_user_day_rollup
WHERE project_id = {project_id:String} AND day < toDate(toDateTime({rollup_s:UInt32}, 'UTC'))
