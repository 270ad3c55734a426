-- A notice that is to be delivered.
INSERT INTO alert_notices (project_id, notice_id, kind, subject_id, created_at, channel_ids, body)
SELECT
  {project_id:String},
  {notice_id:String},
  {kind:String},
  {subject_id:String},
  fromUnixTimestamp64Milli({created_ms:Int64}, 'UTC'),
  {channel_ids:Array(String)},
  {body:String}
