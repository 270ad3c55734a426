-- One administrative act.
INSERT INTO audit_log
(
  organization_id, project_id, at, entry_id, actor_kind, actor_id, actor_name, action, object_kind,
  object_id, outcome, detail, remote_address, request_id, writer_id, sequence, previous_sha256, sha256
)
SELECT
  {organization_id:String},
  {project_id:String},
  fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'),
  {entry_id:String},
  {actor_kind:String},
  {actor_id:String},
  {actor_name:String},
  {action:String},
  {object_kind:String},
  {object_id:String},
  {outcome:String},
  {detail:String},
  {remote_address:String},
  {request_id:String},
  {writer_id:String},
  {sequence:UInt64},
  {previous_sha256:String},
  {sha256:String}
