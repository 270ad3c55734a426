-- The rows of a project that are a person's, in the tables beside spans and decisions.
SELECT 'usage_user_day_rollup' AS name, toFloat64(count()) AS rows
FROM usage_user_day_rollup
WHERE project_id = {project_id:String}
  AND sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), user_id) = unhex({subject_hash:String})
UNION ALL
SELECT 'usage_metric_points' AS name, toFloat64(count()) AS rows
FROM usage_metric_points
WHERE project_id = {project_id:String}
  AND (
    sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), user_id) = unhex({subject_hash:String})
    OR arrayExists(
      (name, value) -> (
        ({is_anywhere:UInt8} = 1 OR match(lower(name), '(^|[._-])(end_?)?users?[._-]?(id|name|email|alias)?$'))
        AND sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), value) = unhex({subject_hash:String})
      ),
      mapKeys(attributes),
      mapValues(attributes)
    )
  )
UNION ALL
SELECT 'set_aside_items' AS name, toFloat64(count()) AS rows
FROM set_aside_items
WHERE project_id = {project_id:String}
  AND arrayExists(
    (name, value) -> (
      ({is_anywhere:UInt8} = 1 OR match(lower(name), '(^|[._-])(end_?)?users?[._-]?(id|name|email|alias)?$'))
      AND sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), value) = unhex({subject_hash:String})
    ),
    mapKeys(attributes),
    mapValues(attributes)
  )
