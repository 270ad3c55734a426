-- Columns of the rollups as their views have them, in order, and whether the calls have one of the name.
SELECT
  toString(table) AS rollup,
  name,
  type,
  toUInt8(is_in_sorting_key) AS is_key,
  toUInt8(name IN (
    SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'usage_calls'
  )) AS is_of_calls
FROM system.columns
WHERE database = currentDatabase()
  AND table IN ('usage_15m_rollup', 'usage_day_rollup', 'usage_user_day_rollup')
  AND name NOT IN ('ver', 'is_deleted')
ORDER BY table, position
