-- What the counting rules decide of a span beside what the span says of itself (DESIGN section 5.2 and
-- 5.3): suppressed twins and wrappers, promoted aggregates, context from ancestors. A call that no
-- other span contests has no row. Written by the resolver alone, decided anew when a span of the
-- trace, or a twin of another trace, arrives.
-- kind: metadata
CREATE TABLE IF NOT EXISTS call_decisions {on_cluster}
(
  project_id LowCardinality(String),
  ts DateTime64(9, 'UTC') COMMENT 'Start of the span; with the ids the key of spans' CODEC(Delta(8), ZSTD(1)),
  trace_id FixedString(16),
  span_id FixedString(8),
  counted Enum8('default' = 0, 'no' = 1, 'yes' = 2) COMMENT 'default: as its class says',
  waits UInt8 COMMENT '1: an aggregate whose trace has not settled',
  duplicates UInt16 COMMENT 'Other reports of this call that do not count',
  suspected_duplicate UInt8,
  is_aggregate UInt8 COMMENT '1: the usage stands for several calls',
  provider_calls UInt32 COMMENT 'Provider calls the row stands for; 0 when unknown',
  user_id String COMMENT 'Taken over from an ancestor or a twin; empty keeps the own' CODEC(ZSTD(1)),
  session_id String CODEC(ZSTD(1)),
  agent_name LowCardinality(String),
  finish_reason LowCardinality(String),
  reason LowCardinality(String),
  counted_by String COMMENT 'call_id of the call that is counted in its place' CODEC(ZSTD(1)),
  ver UInt64 COMMENT 'Time of the engine before the spans were read, microseconds: who saw more wins' CODEC(Delta(8), ZSTD(1)),
  INDEX ix_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {replacing_merge_tree}(ver)
PARTITION BY toDate(ts)
PRIMARY KEY (project_id, ts)
ORDER BY (project_id, ts, trace_id, span_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
