-- A page of the audit log of a project in a range of seconds.
SELECT *
FROM audit_log FINAL
WHERE project_id = {project_id:String}
  AND at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
  AND at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
ORDER BY at, entry_id
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
