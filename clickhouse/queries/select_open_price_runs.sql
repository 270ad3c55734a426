-- Runs that neither finished nor were made up for: killed ones, and any that goes on elsewhere.
SELECT
  run_id,
  toUnixTimestamp64Milli(started_at) AS started_ms,
  fingerprint, from_day, to_day, provider, model, project_id,
  open_day_s,
  spans_changed, calls, calls_changed,
  toString(cost_before) AS cost_before,
  toString(cost_after) AS cost_after,
  ver
FROM price_runs FINAL
WHERE state = 'running'
ORDER BY started_at
LIMIT {limit:UInt32}
