-- Spans of projects that were received since a time: what quotas of a month are held against. Without
-- FINAL, so that it reads two columns and no merge is waited for: a span that was sent twice is counted
-- twice until ClickHouse has merged it.
SELECT
  toString(project_id) AS project,
  toUInt64(count()) AS spans
FROM spans
WHERE project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ingested_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
GROUP BY project_id
