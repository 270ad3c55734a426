-- Hides the rows of a project in one day, which it shares with others; merges remove their bytes.
DELETE FROM call_decisions
IN PARTITION {partition:String}
WHERE project_id = {project_id:String}
SETTINGS lightweight_deletes_sync = 2
