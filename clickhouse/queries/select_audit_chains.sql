-- Entries of the audit log in the order of their chains, all organizations, after a place in it.
SELECT
  toString(writer_id) AS writer_id,
  sequence,
  previous_sha256,
  sha256,
  entry_id,
  organization_id,
  project_id,
  toInt64(toUnixTimestamp64Milli(at)) AS at_ms,
  toString(actor_kind) AS actor_kind,
  actor_id,
  actor_name,
  toString(action) AS action,
  toString(object_kind) AS object_kind,
  object_id,
  toString(outcome) AS outcome,
  detail,
  remote_address,
  request_id
FROM audit_log FINAL
WHERE (toString(audit_log.writer_id), audit_log.sequence, audit_log.entry_id)
  > ({after_writer_id:String}, {after_sequence:UInt64}, {after_entry_id:String})
ORDER BY writer_id, sequence, entry_id
LIMIT {limit:UInt32}
