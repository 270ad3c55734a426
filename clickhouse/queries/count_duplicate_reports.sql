-- Reports of calls that another report stands for, of calls that start in a range, of all projects.
SELECT sum(duplicates) AS duplicates
FROM call_decisions FINAL
WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
