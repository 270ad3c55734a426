-- When the first of the rows of a batch arrived, Unix ms.
SELECT toFloat64(toUnixTimestamp64Milli(min(ingested_at))) AS arrived_ms
FROM spans
WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({batch_from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({batch_to_s:UInt32}, 9, 'UTC')
  AND ingest_seq >= {first_sequence:UInt64}
  AND ingest_seq <= {last_sequence:UInt64}
