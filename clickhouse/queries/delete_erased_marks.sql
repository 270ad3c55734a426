-- Forgets which spans an erasure removed.
ALTER TABLE erased_spans DELETE WHERE job_id = {job_id:String} SETTINGS mutations_sync = 2
