-- Which of these notices there are, and when they were made.
SELECT notice_id, toInt64(toUnixTimestamp64Milli(min(created_at))) AS created_ms
FROM alert_notices
WHERE project_id IN (SELECT arrayJoin({project_ids:Array(String)}))
  AND notice_id IN (SELECT arrayJoin({notice_ids:Array(String)}))
GROUP BY notice_id
