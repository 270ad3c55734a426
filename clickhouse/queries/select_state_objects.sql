-- Objects that were written since a time, in their last version; deleted ones too, so that they are
-- forgotten.
SELECT
  toString(kind) AS kind,
  object_id,
  organization_id,
  project_id,
  body,
  toString(ver) AS version,
  is_deleted,
  toInt64(toUnixTimestamp64Milli(written_at)) AS written_ms
FROM state_objects FINAL
WHERE written_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
ORDER BY ver
