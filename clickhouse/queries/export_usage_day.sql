-- A page of the daily groups of a project in a range of seconds.
SELECT *
FROM usage_day
WHERE project_id = {project_id:String}
  AND day >= toDate(toDateTime({from_s:UInt32}, 'UTC'))
  AND day < toDate(toDateTime({to_s:UInt32} + 86399, 'UTC'))
ORDER BY
  day, provider, request_model, response_model, operation, environment, service_name, agent_name, price_id
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
