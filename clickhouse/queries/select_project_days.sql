-- The UTC days of which a project has spans or decisions that came since a time, with their rows;
-- redeliveries that are not merged yet are counted each.
SELECT toUnixTimestamp(toDateTime(day, 'UTC')) AS day_s, toFloat64(sum(day_rows)) AS rows
FROM
(
  SELECT toDate(ts) AS day, count() AS day_rows
  FROM spans
  WHERE project_id = {project_id:String}
    AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
    AND ingested_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  GROUP BY day
  UNION ALL
  SELECT toDate(ts) AS day, 0 AS day_rows
  FROM call_decisions
  WHERE project_id = {project_id:String}
    AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
    AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
    AND ver >= {since_ms:Int64} * 1000
  GROUP BY day
)
GROUP BY day
ORDER BY day
