-- Claims the alerts for some time from now, by the clock of the engine; 0 ms gives them back.
INSERT INTO alert_lease (token, until, ver)
SELECT {token:String}, now64(3) + toIntervalMillisecond({duration_ms:UInt32}), {ver:UInt64}
