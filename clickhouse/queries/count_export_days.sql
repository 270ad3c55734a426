-- The days of which a project has rows to export, by table. Redeliveries of spans, points and items that are
-- not merged yet are counted each.
SELECT name, toUnixTimestamp(toDateTime(day, 'UTC')) AS day_s, toFloat64(sum(day_rows)) AS rows
FROM
(
  SELECT 'spans' AS name, toDate(ts) AS day, count() AS day_rows
  FROM spans
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'usage_15m' AS name, toDate(bucket) AS day, count() AS day_rows
  FROM usage_15m
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'usage_day' AS name, toDate(toDateTime(day, 'UTC')) AS day, count() AS day_rows
  FROM usage_day
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'usage_user_day' AS name, toDate(toDateTime(day, 'UTC')) AS day, count() AS day_rows
  FROM usage_user_day
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'usage_metric_points' AS name, toDate(ts) AS day, count() AS day_rows
  FROM usage_metric_points
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'set_aside_items' AS name, toDate(received_at) AS day, count() AS day_rows
  FROM set_aside_items
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'audit_log' AS name, toDate(at) AS day, count() AS day_rows
  FROM audit_log
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'alert_notices' AS name, toDate(created_at) AS day, count() AS day_rows
  FROM alert_notices
  WHERE project_id = {project_id:String}
  GROUP BY day
  UNION ALL
  SELECT 'alert_deliveries' AS name, toDate(attempted_at) AS day, count() AS day_rows
  FROM alert_deliveries
  WHERE project_id = {project_id:String}
  GROUP BY day
)
GROUP BY name, day
ORDER BY name, day
