-- Collectors that gave a sample since then: when the last one was, the version that it runs, and its gauges.
SELECT
  instance_id,
  toUnixTimestamp64Milli(max(last_at)) AS last_ms,
  anyIf(last_labels['version'], metric = 'spanledger_build_info') AS version,
  groupArray((metric, last)) AS gauges
FROM
(
  SELECT
    toString(instance_id) AS instance_id,
    toString(name) AS metric,
    argMax(labels, sampled_at) AS last_labels,
    argMax(value, sampled_at) AS last,
    max(sampled_at) AS last_at
  FROM collector_samples FINAL
  WHERE kind = 'gauge'
    AND sampled_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  GROUP BY instance_id, metric
)
GROUP BY instance_id
ORDER BY instance_id
