-- How each alert rule stands: written when that changes, and before the notice of the change.
-- kind: metadata
CREATE TABLE IF NOT EXISTS alert_states {on_cluster}
(
  project_id LowCardinality(String),
  rule_id String,
  body String COMMENT 'JSON by alerting/rule-state.ts' CODEC(ZSTD(1)),
  ver UInt64 COMMENT 'Later wins; grows by one with each change'
)
ENGINE = {replacing_merge_tree}(ver)
ORDER BY (project_id, rule_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
