-- A page of the notices of a project in a range of seconds.
SELECT *
FROM alert_notices FINAL
WHERE project_id = {project_id:String}
  AND created_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
  AND created_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
ORDER BY created_at, notice_id
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
