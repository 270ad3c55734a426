-- The small things an installation remembers: organizations, projects, members, keys, budgets, alert
-- rules, jobs (schemas/state.ts). Append-only; the row of the highest ver holds. Read with FINAL and kept
-- in memory (state/store.ts, DESIGN section 4).
-- kind: metadata
CREATE TABLE IF NOT EXISTS state_objects {on_cluster}
(
  kind LowCardinality(String) COMMENT 'organization, project, member, key, budget, ...',
  object_id String COMMENT 'Unique within its kind',
  organization_id String COMMENT 'Empty: the installation',
  project_id String COMMENT 'Empty: the organization',
  body String COMMENT 'JSON by the schema of the kind' CODEC(ZSTD(1)),
  ver UInt64 COMMENT 'Later wins; microseconds of the writer, more than the version before',
  is_deleted UInt8,
  written_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'By the clock of the engine: who polls asks for what is newer'
)
ENGINE = {replacing_merge_tree}(ver)
ORDER BY (kind, object_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
