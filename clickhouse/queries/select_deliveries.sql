-- Attempts of one project, newest first; those after the cursor. Empty strings filter nothing.
SELECT
  delivery_id,
  notice_id,
  toString(kind) AS kind,
  subject_id,
  channel_id,
  toString(channel_kind) AS channel_kind,
  attempt,
  toInt64(toUnixTimestamp64Milli(attempted_at)) AS attempted_ms,
  duration_ms,
  toString(outcome) AS outcome,
  status_code,
  toString(error) AS error,
  toInt64(toUnixTimestamp64Milli(next_attempt_at)) AS next_attempt_ms
FROM alert_deliveries FINAL
WHERE project_id = {project_id:String}
  AND ({channel:String} = '' OR channel_id = {channel:String})
  AND ({notice_id:String} = '' OR notice_id = {notice_id:String})
  AND ({subject_id:String} = '' OR subject_id = {subject_id:String})
  AND ({outcome:String} = '' OR alert_deliveries.outcome = {outcome:String})
  AND (
    {cursor_delivery_id:String} = ''
    OR (alert_deliveries.attempted_at, delivery_id)
      < (fromUnixTimestamp64Milli({cursor_ms:Int64}, 'UTC'), {cursor_delivery_id:String})
  )
ORDER BY attempted_at DESC, delivery_id DESC
LIMIT {limit:UInt32}
