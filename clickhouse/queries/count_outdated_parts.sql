-- Parts that were replaced until a time, by the clock of the engine, and whose files are still there.
SELECT toFloat64(count()) AS parts
FROM system.parts
WHERE database = currentDatabase()
  AND table IN ({tables:Array(String)})
  AND active = 0
  AND remove_time <= toDateTime({until_s:UInt32}, 'UTC')
