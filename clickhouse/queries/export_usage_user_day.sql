-- A page of the daily groups by user of a project in a range of seconds.
SELECT *
FROM usage_user_day
WHERE project_id = {project_id:String}
  AND day >= toDate(toDateTime({from_s:UInt32}, 'UTC'))
  AND day < toDate(toDateTime({to_s:UInt32} + 86399, 'UTC'))
ORDER BY day, user_id
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
