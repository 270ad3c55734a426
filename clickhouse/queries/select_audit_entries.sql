-- A page of the audit log, newest first. The filters are all there; an empty one allows everything. The
-- cursor is the last row of the page before: time (ms) and entry; no entry is no cursor.
SELECT
  entry_id,
  toInt64(toUnixTimestamp64Milli(at)) AS at_ms,
  organization_id,
  project_id,
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
WHERE ({is_everywhere:UInt8} = 1 OR audit_log.organization_id IN {organizations:Array(String)})
  AND at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
  AND ({actor:String} = '' OR actor_id = {actor:String})
  AND ({action:String} = '' OR audit_log.action = {action:String})
  AND ({object:String} = '' OR audit_log.object_id = {object:String})
  AND ({outcome:String} = '' OR audit_log.outcome = {outcome:String})
  AND (
    {cursor_entry_id:String} = ''
    OR (at, audit_log.entry_id) < (
      fromUnixTimestamp64Milli({cursor_ms:Int64}, 'UTC'),
      {cursor_entry_id:String}
    )
  )
ORDER BY at DESC, entry_id DESC
LIMIT {limit:UInt32}
