-- When the last sample of any collector was taken, Unix ms; 0 without one. Every sample has this name.
SELECT toUnixTimestamp64Milli(max(sampled_at)) AS last_ms
FROM collector_samples
WHERE name = 'spanledger_build_info'
