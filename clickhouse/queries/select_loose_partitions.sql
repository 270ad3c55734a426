-- A partition of a rollup that has several parts, was not written to for a while and is small enough to
-- be merged in one go: the one with most parts.
SELECT table, partition_id, toFloat64(count()) AS parts, toFloat64(sum(rows)) AS part_rows
FROM system.parts
WHERE active
  AND database = currentDatabase()
  AND table IN ('usage_15m_rollup', 'usage_day_rollup', 'usage_user_day_rollup')
GROUP BY table, partition_id
HAVING count() > 1
  AND max(modification_time) <= now() - toIntervalSecond({quiet_s:UInt32})
  AND sum(rows) <= {max_rows:UInt64}
ORDER BY count() DESC, table, partition_id
LIMIT 1
