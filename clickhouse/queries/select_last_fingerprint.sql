-- The price book by which the whole ledger was last priced again.
SELECT fingerprint
FROM price_runs FINAL
WHERE state = 'finished'
  AND from_day = '' AND to_day = '' AND provider = '' AND model = '' AND project_id = ''
ORDER BY started_at DESC, run_id
LIMIT 1
