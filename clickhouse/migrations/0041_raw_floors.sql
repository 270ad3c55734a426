-- Since which day the spans of a project are kept: what is older is removed by its retention, and the
-- rollups of those days are all that is left. From `floor_day` on marks of earlier buckets are dropped
-- (mark_buckets.sql); when what was marked before is computed, `removed_day` follows, earlier days are
-- never recomputed again, and only then are their spans removed: computed from what is left their rollups
-- would come out empty.
-- kind: metadata
CREATE TABLE IF NOT EXISTS raw_floors {on_cluster}
(
  project_id String,
  floor_day SimpleAggregateFunction(max, Date) COMMENT 'First UTC day whose buckets may still change; only grows',
  removed_day SimpleAggregateFunction(max, Date) COMMENT 'First UTC day whose spans are still there; only grows'
)
ENGINE = {aggregating_merge_tree}
ORDER BY project_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
