-- Removes a person's rows of a project, by a hash: the files of a mutation name nobody.
ALTER TABLE usage_user_day_rollup
DELETE WHERE project_id = {project_id:String}
  AND sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), user_id) = unhex({subject_hash:String})
SETTINGS mutations_sync = 2
