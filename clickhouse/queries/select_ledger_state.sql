-- What the rollups of a project lack, and the version of its ledger: a fingerprint of its marks, one of
-- which comes with every change, and the half hour. A mark goes an hour after it is done at the earliest,
-- so within a half hour no fingerprint comes back.
SELECT
  concat(
    toString(intDiv(toUnixTimestamp(now()), 1800)),
    '-',
    toString(count()),
    '-',
    toString(groupBitXor(cityHash64(bucket, writer_id, marked)))
  ) AS version,
  arraySlice(
    groupArrayIf(
      (toUnixTimestamp(bucket), marked > done_15m, marked > done_day),
      marked > least(done_15m, done_day)
    ),
    1,
    {limit:UInt32}
  ) AS dirty
FROM rollup_dirty FINAL
PREWHERE project_id = {project_id:String}
SETTINGS max_threads = 1, enable_named_columns_in_function_tuple = 0
