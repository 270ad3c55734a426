-- How many rows of each UTC day pricing looks at, redeliveries that are not merged yet included.
SELECT toUnixTimestamp(toStartOfDay(ts)) AS start_s, toFloat64(count()) AS rows
FROM spans
WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND span_class IN ('billable', 'aggregate')
  AND ({project_id:String} = '' OR project_id = {project_id:String})
  AND ({provider:String} = '' OR provider = {provider:String})
  AND ({model:String} = '' OR request_model = {model:String} OR response_model = {model:String})
GROUP BY start_s
ORDER BY start_s
