-- Runs that priced stored calls again (`spanledger prices rerate`): which prices, what was asked, what
-- came of it. A run that was killed stays `running`, with the day whose rollups may lack its marks.
-- kind: metadata
CREATE TABLE IF NOT EXISTS price_runs {on_cluster}
(
  run_id String,
  started_at DateTime64(3, 'UTC'),
  state Enum8('running' = 0, 'finished' = 1, 'stopped' = 2) COMMENT 'stopped: never finished, its marks were made up for',
  fingerprint String COMMENT 'Of the price book',
  from_day String COMMENT 'First UTC day asked for; empty for all',
  to_day String COMMENT 'Last UTC day asked for; empty for all',
  provider String COMMENT 'Empty for all, as the next two',
  model String,
  project_id String,
  open_day_s UInt32 COMMENT 'Start of the day being rewritten, Unix seconds; 0 before the first',
  spans_changed UInt64 COMMENT 'Rows rewritten, counted as calls or not',
  calls UInt64 COMMENT 'Calls looked at',
  calls_changed UInt64,
  cost_before Decimal(38, 12) COMMENT 'Cost of these calls, US dollars',
  cost_after Decimal(38, 12),
  ver UInt64 COMMENT 'Grows with each state of a run'
)
ENGINE = {replacing_merge_tree}(ver)
ORDER BY run_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
