-- The highest sequence that a writer has marked or seen done: its next mark must be above.
SELECT max(greatest(rollup_dirty.marked, rollup_dirty.done_15m, rollup_dirty.done_day)) AS sequence
FROM rollup_dirty
WHERE writer_id = {writer_id:String}
