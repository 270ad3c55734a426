-- One version of an object.
INSERT INTO state_objects (kind, object_id, organization_id, project_id, body, ver, is_deleted)
SELECT
  {kind:String},
  {object_id:String},
  {organization_id:String},
  {project_id:String},
  {body:String},
  {version:UInt64},
  {is_deleted:UInt8}
