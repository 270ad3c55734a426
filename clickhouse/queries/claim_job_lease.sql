-- Claims the jobs for some time from now, by the clock of the engine; 0 ms gives them back.
INSERT INTO job_leases (token, until, ver)
SELECT {token:String}, now64(3) + toIntervalMillisecond({duration_ms:UInt32}), {ver:UInt64}
