-- Hides the groups of a project before a day; merges remove their bytes.
DELETE FROM usage_15m_rollup
WHERE project_id = {project_id:String} AND toDate(bucket) < toDate(toDateTime({to_s:UInt32}, 'UTC'))
SETTINGS lightweight_deletes_sync = 2
