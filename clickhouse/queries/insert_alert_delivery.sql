-- One attempt to deliver a notice.
INSERT INTO alert_deliveries
(
  project_id, attempted_at, notice_id, channel_id, attempt, delivery_id, kind, subject_id, channel_kind,
  duration_ms, outcome, status_code, error, next_attempt_at
)
SELECT
  {project_id:String},
  fromUnixTimestamp64Milli({attempted_ms:Int64}, 'UTC'),
  {notice_id:String},
  {channel_id:String},
  {attempt:UInt16},
  {delivery_id:String},
  {kind:String},
  {subject_id:String},
  {channel_kind:String},
  {duration_ms:UInt32},
  {outcome:String},
  {status_code:UInt16},
  {error:String},
  fromUnixTimestamp64Milli({next_attempt_ms:Int64}, 'UTC')
