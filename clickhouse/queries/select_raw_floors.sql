-- Since when the spans of projects are kept, Unix seconds; projects that keep all are not here.
SELECT project_id, toUnixTimestamp(toDateTime(max(floor_day), 'UTC')) AS floor_s
FROM raw_floors
GROUP BY project_id
