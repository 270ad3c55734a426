-- Parts of a day that have visible rows of one project alone: a part never changes, so that removing it
-- whole removes nothing else, whatever is inserted meanwhile.
SELECT 'spans' AS name, _part AS part, toFloat64(count()) AS rows
FROM spans
WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
GROUP BY _part
HAVING countIf(project_id != {project_id:String}) = 0
UNION ALL
SELECT 'call_decisions' AS name, _part AS part, toFloat64(count()) AS rows
FROM call_decisions
WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
GROUP BY _part
HAVING countIf(project_id != {project_id:String}) = 0
