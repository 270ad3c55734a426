-- The days that one pass of an erasure found spans in, and how many.
SELECT
  toUnixTimestamp(toDateTime(toDate(ts), 'UTC')) AS day_s,
  toFloat64(uniqExact(ts, trace_id, span_id)) AS rows
FROM erased_spans
WHERE job_id = {job_id:String} AND pass = {pass:UInt32}
GROUP BY toDate(ts)
ORDER BY day_s
