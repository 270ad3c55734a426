-- Removes from one day what a pass of an erasure found. Rewrites the parts that have some of it, so that
-- the bytes are gone when the engine removes the old parts.
ALTER TABLE spans
DELETE IN PARTITION {partition:String}
WHERE project_id = {project_id:String}
  AND (ts, trace_id, span_id) IN (
    SELECT ts, trace_id, span_id
    FROM erased_spans
    WHERE job_id = {job_id:String} AND pass = {pass:UInt32}
  )
SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1
