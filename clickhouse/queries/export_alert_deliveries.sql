-- A page of the attempts to deliver notices of a project in a range of seconds.
SELECT *
FROM alert_deliveries FINAL
WHERE project_id = {project_id:String}
  AND attempted_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
  AND attempted_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
ORDER BY attempted_at, notice_id, channel_id, attempt
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
