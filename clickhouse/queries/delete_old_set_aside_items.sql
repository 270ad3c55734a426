-- Hides what was set aside of a project before a time; merges remove its bytes.
DELETE FROM set_aside_items
WHERE project_id = {project_id:String} AND received_at < fromUnixTimestamp64Milli(toInt64({to_s:UInt32}) * 1000, 'UTC')
SETTINGS lightweight_deletes_sync = 2
