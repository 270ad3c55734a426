-- How many others claim the recompute now.
SELECT toFloat64(count()) AS others
FROM recompute_lease FINAL
WHERE token != {token:String} AND until > now64(3)
