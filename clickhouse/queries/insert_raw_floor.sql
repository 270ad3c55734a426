-- Says that buckets of a project before a day change no more, and before another that their spans go.
INSERT INTO raw_floors (project_id, floor_day, removed_day)
SELECT
  {project_id:String},
  toDate(toDateTime({floor_s:UInt32}, 'UTC')),
  toDate(toDateTime({removed_s:UInt32}, 'UTC'))
