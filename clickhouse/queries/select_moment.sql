-- The time of the engine, microseconds, and how much was inserted by then into the days of a range:
-- who reads spans after it sees all of that, and when it is the same later, nobody inserted any since.
-- The numbers of blocks and not of rows or parts: merging parts leaves them as they are.
SELECT
  toFloat64(toUnixTimestamp64Micro(now64(6))) AS time_us,
  concat(
    toString(max(max_block_number)),
    ' ',
    toString(sum(max_block_number - min_block_number + 1))
  ) AS inserted
FROM system.parts
WHERE active
  AND database = currentDatabase()
  AND table = 'spans'
  AND partition_id >= formatDateTime(toDateTime({from_s:UInt32}, 'UTC'), '%Y%m%d')
  AND partition_id <= formatDateTime(toDateTime({to_s:UInt32}, 'UTC'), '%Y%m%d')
