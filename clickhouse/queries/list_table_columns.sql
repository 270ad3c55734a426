SELECT
  database,
  table,
  groupArray(name) AS columns,
  groupArray(type) AS types
FROM system.columns
WHERE database IN (currentDatabase(), 'system')
GROUP BY database, table
ORDER BY database, table
