-- Every administrative act: who did what to which object, when, from where, and whether it was allowed.
-- Append-only; each writer chains its rows by hash, so that a row that is changed or missing shows.
-- kind: metadata
CREATE TABLE IF NOT EXISTS audit_log {on_cluster}
(
  organization_id String COMMENT 'Empty: the installation',
  project_id String COMMENT 'Empty: the organization',
  at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  entry_id String COMMENT 'Random UUID',
  actor_kind LowCardinality(String),
  actor_id String,
  actor_name String,
  action LowCardinality(String) COMMENT 'As in schemas/access.ts, or a more exact word',
  object_kind LowCardinality(String),
  object_id String,
  outcome LowCardinality(String) COMMENT 'done, refused or failed',
  detail String COMMENT 'What changed, as JSON; never a secret' CODEC(ZSTD(1)),
  remote_address String COMMENT 'Of the caller, its last part cut',
  request_id String,
  writer_id LowCardinality(String) COMMENT 'The process that wrote it',
  sequence UInt64 COMMENT 'Of this writer, without gaps',
  previous_sha256 String COMMENT 'Of the entry before it of this writer',
  sha256 String
)
ENGINE = {replacing_merge_tree}
PARTITION BY toYYYYMM(at)
ORDER BY (organization_id, at, entry_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
