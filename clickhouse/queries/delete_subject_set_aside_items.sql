-- Removes a person's rows of a project, by a hash: the files of a mutation name nobody.
ALTER TABLE set_aside_items
DELETE WHERE project_id = {project_id:String}
  AND arrayExists(
    (name, value) -> (
      ({is_anywhere:UInt8} = 1 OR match(lower(name), '(^|[._-])(end_?)?users?[._-]?(id|name|email|alias)?$'))
      AND sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), value) = unhex({subject_hash:String})
    ),
    mapKeys(attributes),
    mapValues(attributes)
  )
SETTINGS mutations_sync = 2
