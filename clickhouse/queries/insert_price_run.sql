-- The state of a run that prices stored calls again.
INSERT INTO price_runs
(
  run_id, started_at, state, fingerprint, from_day, to_day, provider, model, project_id, open_day_s,
  spans_changed, calls, calls_changed, cost_before, cost_after, ver
)
SELECT
  {run_id:String},
  fromUnixTimestamp64Milli({started_ms:Int64}, 'UTC'),
  CAST({state:Int8}, 'Enum8(''running'' = 0, ''finished'' = 1, ''stopped'' = 2)'),
  {fingerprint:String},
  {from_day:String},
  {to_day:String},
  {provider:String},
  {model:String},
  {project_id:String},
  {open_day_s:UInt32},
  {spans_changed:UInt64},
  {calls:UInt64},
  {calls_changed:UInt64},
  toDecimal128({cost_before:String}, 12),
  toDecimal128({cost_after:String}, 12),
  {ver:UInt64}
