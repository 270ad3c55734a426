-- A page of what was set aside of a project in a range of seconds; ids in hexadecimal.
SELECT
  * REPLACE (lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id)
FROM
(
  SELECT *
  FROM set_aside_items FINAL
  WHERE project_id = {project_id:String}
    AND received_at >= fromUnixTimestamp64Milli(toInt64({from_s:UInt32}) * 1000, 'UTC')
    AND received_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
  ORDER BY received_at, trace_id, span_id, series, sent_time_ns
  LIMIT {limit:UInt32} OFFSET {offset:UInt64}
) AS item
ORDER BY item.received_at, item.trace_id, item.span_id, item.series, item.sent_time_ns
