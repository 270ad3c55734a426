-- A page of the groups of 15 minutes of a project in a range of seconds.
SELECT *
FROM usage_15m
WHERE project_id = {project_id:String}
  AND bucket >= toDateTime({from_s:UInt32}, 'UTC')
  AND bucket < toDateTime({to_s:UInt32}, 'UTC')
ORDER BY bucket, provider, request_model, response_model, operation, environment, price_id
LIMIT {limit:UInt32} OFFSET {offset:UInt64}
