-- Notes the spans of a project within a day that are a person's: by the user of the span or of its
-- decision, by an attribute that names a user, or, when the id is long enough not to be an ordinary word,
-- by any value that is the id.
INSERT INTO erased_spans (job_id, pass, project_id, ts, trace_id, span_id)
WITH
  ({key_a:UInt64}, {key_b:UInt64}) AS hash_key,
  unhex({subject_hash:String}) AS wanted,
  (name, value) -> (
    ({is_anywhere:UInt8} = 1 OR match(lower(name), '(^|[._-])(end_?)?users?[._-]?(id|name|email|alias)?$'))
    AND sipHash128Keyed(hash_key, value) = wanted
  ) AS is_subject
SELECT DISTINCT {job_id:String}, {pass:UInt32}, project_id, ts, trace_id, span_id
FROM spans
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND ingested_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  AND (
    sipHash128Keyed(hash_key, user_id) = wanted
    OR arrayExists(is_subject, mapKeys(attributes), mapValues(attributes))
    OR arrayExists(is_subject, mapKeys(resource_attributes), mapValues(resource_attributes))
    OR arrayExists(is_subject, mapKeys(tags), mapValues(tags))
    OR arrayExists(each -> arrayExists(is_subject, mapKeys(each), mapValues(each)), event_attributes)
    OR arrayExists(each -> arrayExists(is_subject, mapKeys(each), mapValues(each)), link_attributes)
  )
UNION ALL
SELECT DISTINCT {job_id:String}, {pass:UInt32}, project_id, ts, trace_id, span_id
FROM call_decisions
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND ver >= {since_ms:Int64} * 1000
  AND sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), user_id) = unhex({subject_hash:String})
