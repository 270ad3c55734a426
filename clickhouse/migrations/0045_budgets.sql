-- Budgets for those who read SQL (Grafana): what each asks, nothing of whom it tells. What a budget has
-- spent is a question of the ledger (GET /v1/budgets, grafana/budget-sql.ts). state_objects has secrets of
-- channels and is closed to readers, so the view reads it as who made it.
-- kind: metadata
CREATE VIEW IF NOT EXISTS budgets {on_cluster}
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
  project_id,
  object_id AS budget_id,
  JSONExtractString(body, 'name') AS name,
  toDecimal128OrZero(JSONExtractString(body, 'amount'), 12) AS amount,
  JSONExtractString(body, 'unit') AS unit,
  JSONExtractString(body, 'period') AS period,
  JSONExtractString(body, 'tz') AS tz,
  JSONExtract(body, 'filters', 'Map(String, Array(String))') AS filters,
  CAST(
    arrayMap(tag -> (tag.1, tag.2), JSONExtract(body, 'tags', 'Array(Tuple(key String, values Array(String)))')),
    'Map(String, Array(String))'
  ) AS tags,
  JSONExtractBool(body, 'is_enabled') AS is_enabled
FROM (SELECT * FROM state_objects FINAL)
WHERE kind = 'budget' AND is_deleted = 0
