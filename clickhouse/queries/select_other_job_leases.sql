-- How many others claim the jobs now.
SELECT toFloat64(count()) AS others
FROM job_leases FINAL
WHERE token != {token:String} AND until > now64(3)
