-- How many others claim the alerts now.
SELECT toFloat64(count()) AS others
FROM alert_lease FINAL
WHERE token != {token:String} AND until > now64(3)
