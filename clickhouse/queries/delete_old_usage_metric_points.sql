-- Hides the points of a project before a time; merges remove their bytes.
DELETE FROM usage_metric_points
WHERE project_id = {project_id:String} AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
SETTINGS lightweight_deletes_sync = 2
