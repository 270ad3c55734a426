-- The time of the engine, microseconds: who reads after it sees all that was inserted before it.
SELECT toFloat64(toUnixTimestamp64Micro(now64(6))) AS time_us
