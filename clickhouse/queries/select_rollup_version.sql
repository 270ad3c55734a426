-- The highest version any rollup row has: a new recompute goes on above it.
SELECT max(version) AS version
FROM
(
  SELECT max(ver) AS version FROM usage_15m_rollup
  UNION ALL
  SELECT max(ver) AS version FROM usage_day_rollup
  UNION ALL
  SELECT max(ver) AS version FROM usage_user_day_rollup
)
