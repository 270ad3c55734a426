-- The schema after all migrations, as ClickHouse prints it. Generated; change it by a migration.
-- Written by: SPANLEDGER_TEST_UPDATE=1 npx vitest run clickhouse/migrate.test.ts

CREATE TABLE alert_deliveries
(
    `project_id` LowCardinality(String),
    `attempted_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `notice_id` String,
    `channel_id` String,
    `attempt` UInt16 COMMENT 'From 1',
    `delivery_id` String COMMENT 'Of the notice and the channel: receivers drop what they have',
    `kind` LowCardinality(String) COMMENT 'Of the notice',
    `subject_id` String,
    `channel_kind` LowCardinality(String) COMMENT 'webhook, slack or email',
    `duration_ms` UInt32,
    `outcome` LowCardinality(String) COMMENT 'delivered, retrying or gave_up',
    `status_code` UInt16 COMMENT '0: no answer',
    `error` LowCardinality(String) COMMENT 'One word; never what the receiver said',
    `next_attempt_at` DateTime64(3, 'UTC') COMMENT '1970: none'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(attempted_at)
ORDER BY (project_id, attempted_at, notice_id, channel_id, attempt)
TTL toDateTime(attempted_at) + toIntervalDay(400)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE alert_lease
(
    `token` String COMMENT 'One of each process',
    `until` DateTime64(3, 'UTC') COMMENT 'The claim holds until then, by the clock of the engine',
    `ver` UInt64 COMMENT 'Later wins'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY token
TTL toDateTime(until) + toIntervalDay(1)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE alert_notices
(
    `project_id` LowCardinality(String),
    `notice_id` String COMMENT 'SHA-256 of what was found, 32 hex digits',
    `kind` LowCardinality(String) COMMENT 'budget_threshold, alert_firing, alert_resolved, quota_reached',
    `subject_id` String COMMENT 'The budget, the rule, or the month of a quota',
    `created_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `channel_ids` Array(String) COMMENT 'Where it goes',
    `body` String COMMENT 'JSON by schemas/notices.ts, without secrets' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (project_id, notice_id)
TTL toDateTime(created_at) + toIntervalDay(800)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE alert_states
(
    `project_id` LowCardinality(String),
    `rule_id` String,
    `body` String COMMENT 'JSON by alerting/rule-state.ts' CODEC(ZSTD(1)),
    `ver` UInt64 COMMENT 'Later wins; grows by one with each change'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY (project_id, rule_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE audit_log
(
    `organization_id` String COMMENT 'Empty: the installation',
    `project_id` String COMMENT 'Empty: the organization',
    `at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `entry_id` String COMMENT 'Random UUID',
    `actor_kind` LowCardinality(String),
    `actor_id` String,
    `actor_name` String,
    `action` LowCardinality(String) COMMENT 'As in schemas/access.ts, or a more exact word',
    `object_kind` LowCardinality(String),
    `object_id` String,
    `outcome` LowCardinality(String) COMMENT 'done, refused or failed',
    `detail` String COMMENT 'What changed, as JSON; never a secret' CODEC(ZSTD(1)),
    `remote_address` String COMMENT 'Of the caller, its last part cut',
    `request_id` String,
    `writer_id` LowCardinality(String) COMMENT 'The process that wrote it',
    `sequence` UInt64 COMMENT 'Of this writer, without gaps',
    `previous_sha256` String COMMENT 'Of the entry before it of this writer',
    `sha256` String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (organization_id, at, entry_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW budgets
(
    `project_id` String,
    `budget_id` String,
    `name` String,
    `amount` Decimal(38, 12),
    `unit` String,
    `period` String,
    `tz` String,
    `filters` Map(String, Array(String)),
    `tags` Map(String, Array(String)),
    `is_enabled` UInt8
)
DEFINER = default SQL SECURITY DEFINER
AS SELECT
    project_id,
    object_id AS budget_id,
    JSONExtractString(body, 'name') AS name,
    toDecimal128OrZero(JSONExtractString(body, 'amount'), 12) AS amount,
    JSONExtractString(body, 'unit') AS unit,
    JSONExtractString(body, 'period') AS period,
    JSONExtractString(body, 'tz') AS tz,
    JSONExtract(body, 'filters', 'Map(String, Array(String))') AS filters,
    CAST(arrayMap(tag -> (tag.1, tag.2), JSONExtract(body, 'tags', 'Array(Tuple(key String, values Array(String)))')), 'Map(String, Array(String))') AS tags,
    JSONExtractBool(body, 'is_enabled') AS is_enabled
FROM
(
    SELECT *
    FROM state_objects
    FINAL
)
WHERE (kind = 'budget') AND (is_deleted = 0);

CREATE TABLE call_decisions
(
    `project_id` LowCardinality(String),
    `ts` DateTime64(9, 'UTC') COMMENT 'Start of the span; with the ids the key of spans' CODEC(Delta(8), ZSTD(1)),
    `trace_id` FixedString(16),
    `span_id` FixedString(8),
    `counted` Enum8('default' = 0, 'no' = 1, 'yes' = 2) COMMENT 'default: as its class says',
    `waits` UInt8 COMMENT '1: an aggregate whose trace has not settled',
    `duplicates` UInt16 COMMENT 'Other reports of this call that do not count',
    `suspected_duplicate` UInt8,
    `is_aggregate` UInt8 COMMENT '1: the usage stands for several calls',
    `provider_calls` UInt32 COMMENT 'Provider calls the row stands for; 0 when unknown',
    `user_id` String COMMENT 'Taken over from an ancestor or a twin; empty keeps the own' CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `agent_name` LowCardinality(String),
    `finish_reason` LowCardinality(String),
    `reason` LowCardinality(String),
    `counted_by` String COMMENT 'call_id of the call that is counted in its place' CODEC(ZSTD(1)),
    `ver` UInt64 COMMENT 'Time of the engine before the spans were read, microseconds: who saw more wins' CODEC(Delta(8), ZSTD(1)),
    INDEX ix_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toDate(ts)
PRIMARY KEY (project_id, ts)
ORDER BY (project_id, ts, trace_id, span_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW calls
(
    `project_id` LowCardinality(String),
    `key_id` LowCardinality(String),
    `ts` DateTime64(9, 'UTC'),
    `trace_id` FixedString(16),
    `span_id` FixedString(8),
    `parent_span_id` FixedString(8),
    `name` LowCardinality(String),
    `kind` UInt8,
    `status` Enum8('unset' = 0, 'ok' = 1, 'error' = 2),
    `status_message` String,
    `duration_ns` UInt64,
    `span_class` Enum8('other' = 0, 'billable' = 1, 'aggregate' = 2, 'tool' = 3, 'structure' = 4),
    `operation` LowCardinality(String),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `response_id` String,
    `streaming` Enum8('unknown' = 0, 'no' = 1, 'yes' = 2),
    `error_type` LowCardinality(String),
    `http_status` UInt16,
    `service_tier` LowCardinality(String),
    `region` LowCardinality(String),
    `ttft_known` UInt8,
    `ttft_ns` UInt64,
    `usage_mask` UInt16,
    `tokens_input_uncached` UInt32,
    `tokens_cache_read` UInt32,
    `tokens_cache_write_5m` UInt32,
    `tokens_cache_write_1h` UInt32,
    `tokens_cache_write` UInt32,
    `tokens_output_text` UInt32,
    `tokens_output_reasoning` UInt32,
    `tokens_input_audio` UInt32,
    `tokens_output_audio` UInt32,
    `tokens_input_image` UInt32,
    `tokens_output_image` UInt32,
    `fee_units` Map(LowCardinality(String), UInt32),
    `cost_status` Enum8('none' = 0, 'priced' = 1, 'partial' = 2, 'unpriced' = 3),
    `priced_mask` UInt16,
    `cost_input_uncached` Decimal(18, 12),
    `cost_cache_read` Decimal(18, 12),
    `cost_cache_write_5m` Decimal(18, 12),
    `cost_cache_write_1h` Decimal(18, 12),
    `cost_cache_write` Decimal(18, 12),
    `cost_output_text` Decimal(18, 12),
    `cost_output_reasoning` Decimal(18, 12),
    `cost_input_audio` Decimal(18, 12),
    `cost_output_audio` Decimal(18, 12),
    `cost_input_image` Decimal(18, 12),
    `cost_output_image` Decimal(18, 12),
    `fees_priced` UInt8,
    `cost_fees` Decimal(18, 12),
    `price_id` LowCardinality(String),
    `client_cost_known` UInt8,
    `client_cost_usd` Decimal(18, 12),
    `service_name` LowCardinality(String),
    `environment` LowCardinality(String),
    `tags` Map(LowCardinality(String), String),
    `dialect` LowCardinality(String),
    `scope_name` LowCardinality(String),
    `scope_version` LowCardinality(String),
    `signal` Enum8('span' = 0, 'log' = 1, 'metric' = 2),
    `attributes` Map(LowCardinality(String), String),
    `resource_attributes` Map(LowCardinality(String), String),
    `event_times` Array(DateTime64(9, 'UTC')),
    `event_names` Array(LowCardinality(String)),
    `event_attributes` Array(Map(LowCardinality(String), String)),
    `link_trace_ids` Array(FixedString(16)),
    `link_span_ids` Array(FixedString(8)),
    `link_attributes` Array(Map(LowCardinality(String), String)),
    `ingest_seq` UInt64,
    `ingested_at` DateTime64(3, 'UTC'),
    `usage_status` Enum8('none' = 0, 'reported' = 1, 'derived' = 2, 'estimated' = 3, 'aggregate' = 4, 'missing' = 5),
    `provider_calls` UInt32,
    `user_id` String,
    `session_id` String,
    `agent_name` String,
    `finish_reason` String,
    `reason` String,
    `duplicates` UInt16,
    `suspected_duplicate` UInt8,
    `counted_by` String,
    `counted` UInt8,
    `model` String,
    `refused` UInt8
)
AS SELECT
    *,
    if(response_model = '', request_model, response_model) AS model,
    ((usage_mask = 0) AND (cost_status = 'priced')) AS refused
FROM ledger_spans
WHERE (span_class IN ('billable', 'aggregate')) AND (counted = 1);

CREATE TABLE collector_samples
(
    `sampled_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `instance_id` LowCardinality(String) COMMENT 'The log that the collector writes, one process at a time: the same after a restart',
    `name` LowCardinality(String) COMMENT 'As at /metrics',
    `labels` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `kind` Enum8('counter' = 1, 'gauge' = 2),
    `value` Float64 COMMENT 'Of a gauge its value, of a counter what was added' CODEC(ZSTD(1)),
    `labels_hash` UInt64 MATERIALIZED cityHash64(mapKeys(labels), mapValues(labels)) COMMENT 'Stands for the labels in the key' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(sampled_at)
ORDER BY (name, sampled_at, instance_id, labels_hash)
TTL toDateTime(sampled_at) + toIntervalDay(30)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, index_granularity = 8192;

CREATE TABLE erased_spans
(
    `job_id` String,
    `pass` UInt32 COMMENT 'Of the job: each looks again',
    `project_id` LowCardinality(String),
    `ts` DateTime64(9, 'UTC'),
    `trace_id` FixedString(16),
    `span_id` FixedString(8),
    `found_at` DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(found_at)
ORDER BY (job_id, pass, project_id, ts, trace_id, span_id)
TTL found_at + toIntervalDay(30)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE job_leases
(
    `token` String COMMENT 'One of each running process',
    `until` DateTime64(3, 'UTC') COMMENT 'The claim holds until then, by the clock of the engine',
    `ver` UInt64 COMMENT 'Later wins'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY token
TTL toDateTime(until) + toIntervalDay(1)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW ledger_spans
(
    `project_id` LowCardinality(String),
    `key_id` LowCardinality(String),
    `ts` DateTime64(9, 'UTC'),
    `trace_id` FixedString(16),
    `span_id` FixedString(8),
    `parent_span_id` FixedString(8),
    `name` LowCardinality(String),
    `kind` UInt8,
    `status` Enum8('unset' = 0, 'ok' = 1, 'error' = 2),
    `status_message` String,
    `duration_ns` UInt64,
    `span_class` Enum8('other' = 0, 'billable' = 1, 'aggregate' = 2, 'tool' = 3, 'structure' = 4),
    `operation` LowCardinality(String),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `response_id` String,
    `streaming` Enum8('unknown' = 0, 'no' = 1, 'yes' = 2),
    `error_type` LowCardinality(String),
    `http_status` UInt16,
    `service_tier` LowCardinality(String),
    `region` LowCardinality(String),
    `ttft_known` UInt8,
    `ttft_ns` UInt64,
    `usage_mask` UInt16,
    `tokens_input_uncached` UInt32,
    `tokens_cache_read` UInt32,
    `tokens_cache_write_5m` UInt32,
    `tokens_cache_write_1h` UInt32,
    `tokens_cache_write` UInt32,
    `tokens_output_text` UInt32,
    `tokens_output_reasoning` UInt32,
    `tokens_input_audio` UInt32,
    `tokens_output_audio` UInt32,
    `tokens_input_image` UInt32,
    `tokens_output_image` UInt32,
    `fee_units` Map(LowCardinality(String), UInt32),
    `cost_status` Enum8('none' = 0, 'priced' = 1, 'partial' = 2, 'unpriced' = 3),
    `priced_mask` UInt16,
    `cost_input_uncached` Decimal(18, 12),
    `cost_cache_read` Decimal(18, 12),
    `cost_cache_write_5m` Decimal(18, 12),
    `cost_cache_write_1h` Decimal(18, 12),
    `cost_cache_write` Decimal(18, 12),
    `cost_output_text` Decimal(18, 12),
    `cost_output_reasoning` Decimal(18, 12),
    `cost_input_audio` Decimal(18, 12),
    `cost_output_audio` Decimal(18, 12),
    `cost_input_image` Decimal(18, 12),
    `cost_output_image` Decimal(18, 12),
    `fees_priced` UInt8,
    `cost_fees` Decimal(18, 12),
    `price_id` LowCardinality(String),
    `client_cost_known` UInt8,
    `client_cost_usd` Decimal(18, 12),
    `service_name` LowCardinality(String),
    `environment` LowCardinality(String),
    `tags` Map(LowCardinality(String), String),
    `dialect` LowCardinality(String),
    `scope_name` LowCardinality(String),
    `scope_version` LowCardinality(String),
    `signal` Enum8('span' = 0, 'log' = 1, 'metric' = 2),
    `attributes` Map(LowCardinality(String), String),
    `resource_attributes` Map(LowCardinality(String), String),
    `event_times` Array(DateTime64(9, 'UTC')),
    `event_names` Array(LowCardinality(String)),
    `event_attributes` Array(Map(LowCardinality(String), String)),
    `link_trace_ids` Array(FixedString(16)),
    `link_span_ids` Array(FixedString(8)),
    `link_attributes` Array(Map(LowCardinality(String), String)),
    `ingest_seq` UInt64,
    `ingested_at` DateTime64(3, 'UTC'),
    `usage_status` Enum8('none' = 0, 'reported' = 1, 'derived' = 2, 'estimated' = 3, 'aggregate' = 4, 'missing' = 5),
    `provider_calls` UInt32,
    `user_id` String,
    `session_id` String,
    `agent_name` String,
    `finish_reason` String,
    `reason` String,
    `duplicates` UInt16,
    `suspected_duplicate` UInt8,
    `counted_by` String,
    `counted` UInt8
)
AS SELECT
    span.* EXCEPT (usage_status, provider_calls, user_id, session_id, agent_name, finish_reason, reason),
    if(decision.is_aggregate = 1, CAST('aggregate', 'Enum8(\'none\' = 0, \'reported\' = 1, \'derived\' = 2, \'estimated\' = 3, \'aggregate\' = 4, \'missing\' = 5)'), span.usage_status) AS usage_status,
    if(decision.counted = 'default', span.provider_calls, decision.provider_calls) AS provider_calls,
    if(decision.user_id = '', span.user_id, decision.user_id) AS user_id,
    if(decision.session_id = '', span.session_id, decision.session_id) AS session_id,
    if(decision.agent_name = '', span.agent_name, decision.agent_name) AS agent_name,
    if(decision.finish_reason = '', span.finish_reason, decision.finish_reason) AS finish_reason,
    if(decision.reason = '', toString(span.reason), concat(span.reason, '; ', decision.reason)) AS reason,
    decision.duplicates AS duplicates,
    decision.suspected_duplicate AS suspected_duplicate,
    decision.counted_by AS counted_by,
    toUInt8(if(decision.counted = 'default', span.span_class = 'billable', decision.counted = 'yes')) AS counted
FROM
(
    SELECT *
    FROM spans
    FINAL
) AS span
LEFT JOIN
(
    SELECT *
    FROM call_decisions
    FINAL
) AS decision USING (project_id, ts, trace_id, span_id);

CREATE TABLE migrations
(
    `name` String,
    `checksum` String,
    `applied_at` DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW otel_spans
(
    `project_id` LowCardinality(String),
    `Timestamp` DateTime64(9, 'UTC'),
    `TraceId` String,
    `SpanId` String,
    `ParentSpanId` String,
    `SpanName` LowCardinality(String),
    `SpanKind` String,
    `ServiceName` LowCardinality(String),
    `ResourceAttributes` Map(LowCardinality(String), String),
    `ScopeName` LowCardinality(String),
    `ScopeVersion` LowCardinality(String),
    `SpanAttributes` Map(LowCardinality(String), String),
    `Duration` UInt64,
    `StatusCode` String,
    `StatusMessage` String,
    `Events.Timestamp` Array(DateTime64(9, 'UTC')),
    `Events.Name` Array(LowCardinality(String)),
    `Events.Attributes` Array(Map(LowCardinality(String), String)),
    `Links.TraceId` Array(String),
    `Links.SpanId` Array(String),
    `Links.Attributes` Array(Map(LowCardinality(String), String))
)
AS SELECT
    project_id,
    ts AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    name AS SpanName,
    transform(kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified') AS SpanKind,
    service_name AS ServiceName,
    resource_attributes AS ResourceAttributes,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    attributes AS SpanAttributes,
    duration_ns AS Duration,
    transform(toString(status), ['ok', 'error'], ['Ok', 'Error'], 'Unset') AS StatusCode,
    status_message AS StatusMessage,
    event_times AS `Events.Timestamp`,
    event_names AS `Events.Name`,
    event_attributes AS `Events.Attributes`,
    arrayMap(id -> lower(hex(id)), link_trace_ids) AS `Links.TraceId`,
    arrayMap(id -> lower(hex(id)), link_span_ids) AS `Links.SpanId`,
    link_attributes AS `Links.Attributes`
FROM
(
    SELECT *
    FROM spans
    FINAL
) AS span;

CREATE VIEW otel_spans_trace_id_ts
(
    `project_id` LowCardinality(String),
    `TraceId` String,
    `Start` DateTime64(9, 'UTC'),
    `End` DateTime64(9, 'UTC')
)
AS SELECT
    project_id,
    lower(hex(trace_id)) AS TraceId,
    ts AS Start,
    ts AS End
FROM spans;

CREATE TABLE price_runs
(
    `run_id` String,
    `started_at` DateTime64(3, 'UTC'),
    `state` Enum8('running' = 0, 'finished' = 1, 'stopped' = 2) COMMENT 'stopped: never finished, its marks were made up for',
    `fingerprint` String COMMENT 'Of the price book',
    `from_day` String COMMENT 'First UTC day asked for; empty for all',
    `to_day` String COMMENT 'Last UTC day asked for; empty for all',
    `provider` String COMMENT 'Empty for all, as the next two',
    `model` String,
    `project_id` String,
    `open_day_s` UInt32 COMMENT 'Start of the day being rewritten, Unix seconds; 0 before the first',
    `spans_changed` UInt64 COMMENT 'Rows rewritten, counted as calls or not',
    `calls` UInt64 COMMENT 'Calls looked at',
    `calls_changed` UInt64,
    `cost_before` Decimal(38, 12) COMMENT 'Cost of these calls, US dollars',
    `cost_after` Decimal(38, 12),
    `ver` UInt64 COMMENT 'Grows with each state of a run'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY run_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE raw_floors
(
    `project_id` String,
    `floor_day` SimpleAggregateFunction(max, Date) COMMENT 'First UTC day whose buckets may still change; only grows',
    `removed_day` SimpleAggregateFunction(max, Date) COMMENT 'First UTC day whose spans are still there; only grows'
)
ENGINE = AggregatingMergeTree
ORDER BY project_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE recompute_lease
(
    `token` String COMMENT 'One of each running recompute',
    `until` DateTime64(3, 'UTC') COMMENT 'The claim holds until then, by the clock of the engine',
    `ver` UInt64 COMMENT 'Later wins'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY token
TTL toDateTime(until) + toIntervalDay(1)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE rollup_dirty
(
    `project_id` LowCardinality(String),
    `bucket` DateTime('UTC') COMMENT 'Start of the 15 minutes',
    `writer_id` LowCardinality(String) COMMENT 'The WAL that inserted',
    `marked` SimpleAggregateFunction(max, UInt64) COMMENT 'Inserted up to this sequence',
    `done_15m` SimpleAggregateFunction(max, UInt64) COMMENT 'In usage_15m_rollup up to this sequence',
    `done_day` SimpleAggregateFunction(max, UInt64) COMMENT 'In the daily rollups up to this sequence',
    `touched_at` SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now()
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, bucket, writer_id)
TTL touched_at + toIntervalHour(1) WHERE (marked <= done_15m) AND (marked <= done_day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192;

CREATE VIEW rollup_dirty_pairs
(
    `project_id` LowCardinality(String),
    `bucket` DateTime('UTC'),
    `writer_id` LowCardinality(String),
    `marked` SimpleAggregateFunction(max, UInt64),
    `dirty_15m` UInt8,
    `dirty_day` UInt8
)
AS SELECT
    project_id,
    bucket,
    writer_id,
    max(marked) AS marked,
    marked > max(done_15m) AS dirty_15m,
    marked > max(done_day) AS dirty_day
FROM
(
    SELECT
        project_id,
        bucket,
        writer_id,
        rollup_dirty.marked AS marked,
        done_15m,
        done_day
    FROM rollup_dirty
)
GROUP BY
    project_id,
    bucket,
    writer_id;

CREATE TABLE set_aside_items
(
    `project_id` LowCardinality(String),
    `received_at` DateTime64(3, 'UTC') COMMENT 'When it was received' CODEC(Delta(8), ZSTD(1)),
    `signal` Enum8('span' = 0, 'log' = 1, 'metric' = 2),
    `reason` Enum8('before_2000' = 0, 'too_old' = 1, 'in_future' = 2) COMMENT 'Why it was refused',
    `trace_id` FixedString(16) COMMENT 'All zero bytes for a data point',
    `span_id` FixedString(8),
    `series` UInt64 COMMENT 'Of a data point, as in usage_metric_points',
    `service_name` LowCardinality(String),
    `name` LowCardinality(String) COMMENT 'Of the span or the metric',
    `sent_time_ns` UInt64 COMMENT 'The time that was refused, Unix ns, as sent',
    `scope_name` LowCardinality(String),
    `attributes` Map(LowCardinality(String), String) COMMENT 'As sent, without content' CODEC(ZSTD(1)),
    `ingest_seq` UInt64 COMMENT 'Version: of two rows of one item the later wins' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_seq)
PARTITION BY toDate(received_at)
ORDER BY (project_id, received_at, trace_id, span_id, series, sent_time_ns)
TTL toDateTime(received_at) + toIntervalDay(14)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, index_granularity = 8192;

CREATE TABLE spans
(
    `project_id` LowCardinality(String) COMMENT 'Project that the key of the sender belongs to',
    `key_id` LowCardinality(String) COMMENT 'Id of the key of the sender; empty without one',
    `ts` DateTime64(9, 'UTC') COMMENT 'Start of the span' CODEC(Delta(8), ZSTD(1)),
    `trace_id` FixedString(16),
    `span_id` FixedString(8),
    `parent_span_id` FixedString(8) COMMENT 'All zero bytes for a root span',
    `name` LowCardinality(String),
    `kind` UInt8 COMMENT 'OTLP SpanKind',
    `status` Enum8('unset' = 0, 'ok' = 1, 'error' = 2),
    `status_message` String COMMENT 'Empty unless content capture is on' CODEC(ZSTD(1)),
    `duration_ns` UInt64 CODEC(T64, ZSTD(1)),
    `span_class` Enum8('other' = 0, 'billable' = 1, 'aggregate' = 2, 'tool' = 3, 'structure' = 4) COMMENT 'What the span is to the ledger; billable spans are calls',
    `operation` LowCardinality(String) COMMENT 'gen_ai.operation.name',
    `provider` LowCardinality(String) COMMENT 'Normalized: openai, anthropic, google, azure, bedrock, vertex, ...',
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `response_id` String COMMENT 'Id the provider gave the response' CODEC(ZSTD(1)),
    `streaming` Enum8('unknown' = 0, 'no' = 1, 'yes' = 2),
    `error_type` LowCardinality(String),
    `http_status` UInt16 COMMENT '0 when unknown',
    `finish_reason` LowCardinality(String) COMMENT 'stop, length, tool_call, content_filter, error, ...',
    `service_tier` LowCardinality(String),
    `region` LowCardinality(String) COMMENT 'As the provider prices it; empty when unknown',
    `ttft_known` UInt8,
    `ttft_ns` UInt64 COMMENT 'Time to first token; 0 unless ttft_known' CODEC(T64, ZSTD(1)),
    `usage_status` Enum8('none' = 0, 'reported' = 1, 'derived' = 2, 'estimated' = 3, 'aggregate' = 4, 'missing' = 5),
    `usage_mask` UInt16 COMMENT 'Bit i: tokens of class i are known',
    `tokens_input_uncached` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_cache_read` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_5m` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_1h` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_cache_write` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_output_text` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_output_reasoning` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_input_audio` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_output_audio` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_input_image` UInt32 CODEC(T64, ZSTD(1)),
    `tokens_output_image` UInt32 CODEC(T64, ZSTD(1)),
    `fee_units` Map(LowCardinality(String), UInt32) COMMENT 'Pieces billed beside tokens, by kind' CODEC(ZSTD(1)),
    `provider_calls` UInt32 COMMENT 'Provider calls the row stands for; 0 when unknown',
    `cost_status` Enum8('none' = 0, 'priced' = 1, 'partial' = 2, 'unpriced' = 3),
    `priced_mask` UInt16 COMMENT 'Bit i: class i has a cost',
    `cost_input_uncached` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_cache_read` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_cache_write_5m` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_cache_write_1h` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_cache_write` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_output_text` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_output_reasoning` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_input_audio` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_output_audio` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_input_image` Decimal(18, 12) CODEC(ZSTD(1)),
    `cost_output_image` Decimal(18, 12) CODEC(ZSTD(1)),
    `fees_priced` UInt8 COMMENT '1: there are fee units and all have a price',
    `cost_fees` Decimal(18, 12) COMMENT 'Cost of the fee units' CODEC(ZSTD(1)),
    `price_id` LowCardinality(String) COMMENT 'Row of the price book that applied; empty when none did',
    `client_cost_known` UInt8,
    `client_cost_usd` Decimal(18, 12) COMMENT 'What the client claims; never used as ours' CODEC(ZSTD(1)),
    `service_name` LowCardinality(String),
    `environment` LowCardinality(String) COMMENT 'deployment.environment.name',
    `user_id` String CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `agent_name` LowCardinality(String),
    `tags` Map(LowCardinality(String), String) COMMENT 'Attributes spanledger.tag.*' CODEC(ZSTD(1)),
    `dialect` LowCardinality(String) COMMENT 'Normalizer that read the span; empty for other spans',
    `scope_name` LowCardinality(String),
    `scope_version` LowCardinality(String),
    `signal` Enum8('span' = 0, 'log' = 1, 'metric' = 2),
    `reason` LowCardinality(String) COMMENT 'Why the span counts or does not',
    `attributes` Map(LowCardinality(String), String) COMMENT 'As sent, without content' CODEC(ZSTD(1)),
    `resource_attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `event_times` Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    `event_names` Array(LowCardinality(String)),
    `event_attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `link_trace_ids` Array(FixedString(16)),
    `link_span_ids` Array(FixedString(8)),
    `link_attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `ingest_seq` UInt64 COMMENT 'Version: of two rows of one span the later wins' CODEC(Delta(8), ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    INDEX ix_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_user_id user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_response_id response_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_ingest_seq ingest_seq TYPE minmax GRANULARITY 1,
    INDEX ix_ingested_at ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(ingest_seq)
PARTITION BY toDate(ts)
PRIMARY KEY (project_id, ts)
ORDER BY (project_id, ts, trace_id, span_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, vertical_merge_algorithm_min_rows_to_activate = 1, vertical_merge_algorithm_min_columns_to_activate = 1, index_granularity = 8192;

CREATE TABLE state_objects
(
    `kind` LowCardinality(String) COMMENT 'organization, project, member, key, budget, ...',
    `object_id` String COMMENT 'Unique within its kind',
    `organization_id` String COMMENT 'Empty: the installation',
    `project_id` String COMMENT 'Empty: the organization',
    `body` String COMMENT 'JSON by the schema of the kind' CODEC(ZSTD(1)),
    `ver` UInt64 COMMENT 'Later wins; microseconds of the writer, more than the version before',
    `is_deleted` UInt8,
    `written_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'By the clock of the engine: who polls asks for what is newer'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY (kind, object_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE unit_prices
(
    `price_id` String COMMENT 'As in calls.price_id',
    `project_id` String MATERIALIZED extract(price_id, '/negotiated/(.+)$') COMMENT 'Whose negotiated price it is; empty: of everyone',
    `tier` LowCardinality(String) COMMENT 'Service tier',
    `region` LowCardinality(String) COMMENT 'Empty: any',
    `input_tokens_over` UInt64 COMMENT 'For prompts of more tokens than this',
    `usd_per_token` Map(LowCardinality(String), Decimal(38, 12)) COMMENT 'By token class; a class that is left out has no price',
    `ver` UInt64 COMMENT 'Later wins; microseconds of the writer'
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY price_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW usage_15m
(
    `project_id` LowCardinality(String),
    `bucket` DateTime('UTC'),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `operation` LowCardinality(String),
    `environment` LowCardinality(String),
    `price_id` LowCardinality(String),
    `calls` UInt64,
    `errors` UInt64,
    `calls_missing_usage` UInt64,
    `calls_estimated` UInt64,
    `calls_unpriced` UInt64,
    `calls_priced` UInt64,
    `usage_mask` UInt16,
    `priced_mask` UInt16,
    `tokens_input_uncached` UInt64,
    `tokens_cache_read` UInt64,
    `tokens_cache_write_5m` UInt64,
    `tokens_cache_write_1h` UInt64,
    `tokens_cache_write` UInt64,
    `tokens_output_text` UInt64,
    `tokens_output_reasoning` UInt64,
    `tokens_input_audio` UInt64,
    `tokens_output_audio` UInt64,
    `tokens_input_image` UInt64,
    `tokens_output_image` UInt64,
    `tokens_unpriced` UInt64,
    `cost_input_uncached` Decimal(38, 12),
    `cost_cache_read` Decimal(38, 12),
    `cost_cache_write_5m` Decimal(38, 12),
    `cost_cache_write_1h` Decimal(38, 12),
    `cost_cache_write` Decimal(38, 12),
    `cost_output_text` Decimal(38, 12),
    `cost_output_reasoning` Decimal(38, 12),
    `cost_input_audio` Decimal(38, 12),
    `cost_output_audio` Decimal(38, 12),
    `cost_input_image` Decimal(38, 12),
    `cost_output_image` Decimal(38, 12),
    `cost_fees` Decimal(38, 12),
    `fees_priced_calls` UInt64,
    `client_cost_usd` Decimal(38, 12),
    `client_cost_calls` UInt64,
    `duration_ns_sum` UInt64,
    `ttft_ns_sum` UInt64,
    `ttft_calls` UInt64,
    `duration_histogram` Map(Int16, UInt64),
    `ttft_histogram` Map(Int16, UInt64)
)
AS WITH
    (
        SELECT (groupBitmapState(cityHash64(project_id, bucket)), min(bucket), max(bucket) + toIntervalMinute(15), groupUniqArray(toDate(bucket)))
        FROM rollup_dirty
        FINAL
        WHERE marked > done_15m
    ) AS dirty
SELECT
    project_id,
    bucket,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    price_id,
    calls,
    errors,
    calls_missing_usage,
    calls_estimated,
    calls_unpriced,
    calls_priced,
    usage_mask,
    priced_mask,
    tokens_input_uncached,
    tokens_cache_read,
    tokens_cache_write_5m,
    tokens_cache_write_1h,
    tokens_cache_write,
    tokens_output_text,
    tokens_output_reasoning,
    tokens_input_audio,
    tokens_output_audio,
    tokens_input_image,
    tokens_output_image,
    tokens_unpriced,
    cost_input_uncached,
    cost_cache_read,
    cost_cache_write_5m,
    cost_cache_write_1h,
    cost_cache_write,
    cost_output_text,
    cost_output_reasoning,
    cost_input_audio,
    cost_output_audio,
    cost_input_image,
    cost_output_image,
    cost_fees,
    fees_priced_calls,
    client_cost_usd,
    client_cost_calls,
    duration_ns_sum,
    ttft_ns_sum,
    ttft_calls,
    duration_histogram,
    ttft_histogram
FROM usage_15m_rollup
FINAL
WHERE NOT bitmapContains(dirty.1, cityHash64(project_id, bucket))
UNION ALL
WITH
    (
        SELECT (groupBitmapState(cityHash64(project_id, bucket)), min(bucket), max(bucket) + toIntervalMinute(15), groupUniqArray(toDate(bucket)))
        FROM rollup_dirty
        FINAL
        WHERE marked > done_15m
    ) AS dirty
SELECT
    project_id,
    bucket,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    price_id,
    sum(usage_calls.calls) AS calls,
    sum(usage_calls.errors) AS errors,
    sum(usage_calls.calls_missing_usage) AS calls_missing_usage,
    sum(usage_calls.calls_estimated) AS calls_estimated,
    sum(usage_calls.calls_unpriced) AS calls_unpriced,
    sum(usage_calls.calls_priced) AS calls_priced,
    groupBitOr(usage_calls.usage_mask) AS usage_mask,
    groupBitOr(usage_calls.priced_mask) AS priced_mask,
    sum(usage_calls.tokens_input_uncached) AS tokens_input_uncached,
    sum(usage_calls.tokens_cache_read) AS tokens_cache_read,
    sum(usage_calls.tokens_cache_write_5m) AS tokens_cache_write_5m,
    sum(usage_calls.tokens_cache_write_1h) AS tokens_cache_write_1h,
    sum(usage_calls.tokens_cache_write) AS tokens_cache_write,
    sum(usage_calls.tokens_output_text) AS tokens_output_text,
    sum(usage_calls.tokens_output_reasoning) AS tokens_output_reasoning,
    sum(usage_calls.tokens_input_audio) AS tokens_input_audio,
    sum(usage_calls.tokens_output_audio) AS tokens_output_audio,
    sum(usage_calls.tokens_input_image) AS tokens_input_image,
    sum(usage_calls.tokens_output_image) AS tokens_output_image,
    sum(usage_calls.tokens_unpriced) AS tokens_unpriced,
    sum(usage_calls.cost_input_uncached) AS cost_input_uncached,
    sum(usage_calls.cost_cache_read) AS cost_cache_read,
    sum(usage_calls.cost_cache_write_5m) AS cost_cache_write_5m,
    sum(usage_calls.cost_cache_write_1h) AS cost_cache_write_1h,
    sum(usage_calls.cost_cache_write) AS cost_cache_write,
    sum(usage_calls.cost_output_text) AS cost_output_text,
    sum(usage_calls.cost_output_reasoning) AS cost_output_reasoning,
    sum(usage_calls.cost_input_audio) AS cost_input_audio,
    sum(usage_calls.cost_output_audio) AS cost_output_audio,
    sum(usage_calls.cost_input_image) AS cost_input_image,
    sum(usage_calls.cost_output_image) AS cost_output_image,
    sum(usage_calls.cost_fees) AS cost_fees,
    sum(usage_calls.fees_priced_calls) AS fees_priced_calls,
    sum(usage_calls.client_cost_usd) AS client_cost_usd,
    sum(usage_calls.client_cost_calls) AS client_cost_calls,
    sum(usage_calls.duration_ns_sum) AS duration_ns_sum,
    sum(usage_calls.ttft_ns_sum) AS ttft_ns_sum,
    sum(usage_calls.ttft_calls) AS ttft_calls,
    sumMap(usage_calls.duration_histogram) AS duration_histogram,
    sumMap(usage_calls.ttft_histogram) AS ttft_histogram
FROM usage_calls
WHERE (ts >= toDateTime64(dirty.2, 9, 'UTC')) AND (ts < toDateTime64(dirty.3, 9, 'UTC')) AND has(dirty.4, toDate(ts)) AND bitmapContains(dirty.1, cityHash64(project_id, bucket))
GROUP BY
    project_id,
    bucket,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    price_id;

CREATE TABLE usage_15m_rollup
(
    `project_id` LowCardinality(String),
    `bucket` DateTime('UTC') COMMENT 'Start of the 15 minutes' CODEC(Delta(4), ZSTD(1)),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `operation` LowCardinality(String),
    `environment` LowCardinality(String),
    `price_id` LowCardinality(String),
    `calls` UInt64 CODEC(T64, ZSTD(1)),
    `errors` UInt64 CODEC(T64, ZSTD(1)),
    `calls_missing_usage` UInt64 CODEC(T64, ZSTD(1)),
    `calls_estimated` UInt64 CODEC(T64, ZSTD(1)),
    `calls_unpriced` UInt64 CODEC(T64, ZSTD(1)),
    `calls_priced` UInt64 CODEC(T64, ZSTD(1)),
    `usage_mask` UInt16 CODEC(T64, ZSTD(1)),
    `priced_mask` UInt16 CODEC(T64, ZSTD(1)),
    `tokens_input_uncached` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_read` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_5m` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_1h` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_text` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_reasoning` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_input_audio` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_audio` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_input_image` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_image` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_unpriced` UInt64 CODEC(T64, ZSTD(1)),
    `cost_input_uncached` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_read` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write_5m` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write_1h` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_text` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_reasoning` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_input_audio` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_audio` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_input_image` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_image` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_fees` Decimal(38, 12) COMMENT 'What is billed by the piece' CODEC(ZSTD(1)),
    `fees_priced_calls` UInt64 COMMENT 'Calls with fees that have a price' CODEC(T64, ZSTD(1)),
    `client_cost_usd` Decimal(38, 12) CODEC(ZSTD(1)),
    `client_cost_calls` UInt64 CODEC(T64, ZSTD(1)),
    `duration_ns_sum` UInt64 CODEC(T64, ZSTD(1)),
    `ttft_ns_sum` UInt64 CODEC(T64, ZSTD(1)),
    `ttft_calls` UInt64 CODEC(T64, ZSTD(1)),
    `duration_histogram` Map(Int16, UInt64) CODEC(ZSTD(1)),
    `ttft_histogram` Map(Int16, UInt64) CODEC(ZSTD(1)),
    `ver` UInt64 COMMENT 'Later wins' CODEC(Delta(8), ZSTD(1)),
    `is_deleted` UInt8 COMMENT '1: the group has no calls any more'
)
ENGINE = ReplacingMergeTree(ver, is_deleted)
PARTITION BY toYYYYMM(bucket)
ORDER BY (project_id, bucket, provider, request_model, response_model, operation, environment, price_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW usage_calls
(
    `project_id` LowCardinality(String),
    `ts` DateTime64(9, 'UTC'),
    `bucket` DateTime('UTC'),
    `day` Date,
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `operation` LowCardinality(String),
    `environment` LowCardinality(String),
    `service_name` LowCardinality(String),
    `agent_name` String,
    `user_id` String,
    `session_id` String,
    `price_id` LowCardinality(String),
    `key_id` LowCardinality(String),
    `status` Enum8('unset' = 0, 'ok' = 1, 'error' = 2),
    `error_type` LowCardinality(String),
    `finish_reason` String,
    `service_tier` LowCardinality(String),
    `streaming` Enum8('unknown' = 0, 'no' = 1, 'yes' = 2),
    `tags` Map(LowCardinality(String), String),
    `calls` UInt64,
    `errors` UInt64,
    `calls_missing_usage` UInt64,
    `calls_estimated` UInt64,
    `calls_unpriced` UInt64,
    `calls_priced` UInt64,
    `usage_mask` UInt16,
    `priced_mask` UInt16,
    `tokens_input_uncached` UInt64,
    `tokens_cache_read` UInt64,
    `tokens_cache_write_5m` UInt64,
    `tokens_cache_write_1h` UInt64,
    `tokens_cache_write` UInt64,
    `tokens_output_text` UInt64,
    `tokens_output_reasoning` UInt64,
    `tokens_input_audio` UInt64,
    `tokens_output_audio` UInt64,
    `tokens_input_image` UInt64,
    `tokens_output_image` UInt64,
    `tokens_unpriced` UInt64,
    `cost_input_uncached` Decimal(38, 12),
    `cost_cache_read` Decimal(38, 12),
    `cost_cache_write_5m` Decimal(38, 12),
    `cost_cache_write_1h` Decimal(38, 12),
    `cost_cache_write` Decimal(38, 12),
    `cost_output_text` Decimal(38, 12),
    `cost_output_reasoning` Decimal(38, 12),
    `cost_input_audio` Decimal(38, 12),
    `cost_output_audio` Decimal(38, 12),
    `cost_input_image` Decimal(38, 12),
    `cost_output_image` Decimal(38, 12),
    `cost_fees` Decimal(38, 12),
    `fees_priced_calls` UInt64,
    `client_cost_usd` Decimal(38, 12),
    `client_cost_calls` UInt64,
    `duration_ns_sum` UInt64,
    `ttft_ns_sum` UInt64,
    `ttft_calls` UInt64,
    `duration_histogram` Map(Int16, UInt64),
    `ttft_histogram` Map(Int16, UInt64)
)
AS SELECT
    project_id,
    ts,
    toStartOfFifteenMinutes(ts) AS bucket,
    toDate(ts) AS day,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    service_name,
    agent_name,
    user_id,
    session_id,
    price_id,
    key_id,
    status,
    error_type,
    finish_reason,
    service_tier,
    streaming,
    tags,
    toUInt64(1) AS calls,
    toUInt64(status = 'error') AS errors,
    toUInt64((usage_status = 'missing') AND (NOT refused)) AS calls_missing_usage,
    toUInt64(usage_status = 'estimated') AS calls_estimated,
    toUInt64(cost_status != 'priced') AS calls_unpriced,
    toUInt64(cost_status IN ('priced', 'partial')) AS calls_priced,
    usage_mask AS usage_mask,
    priced_mask AS priced_mask,
    toUInt64(tokens_input_uncached) AS tokens_input_uncached,
    toUInt64(tokens_cache_read) AS tokens_cache_read,
    toUInt64(tokens_cache_write_5m) AS tokens_cache_write_5m,
    toUInt64(tokens_cache_write_1h) AS tokens_cache_write_1h,
    toUInt64(tokens_cache_write) AS tokens_cache_write,
    toUInt64(tokens_output_text) AS tokens_output_text,
    toUInt64(tokens_output_reasoning) AS tokens_output_reasoning,
    toUInt64(tokens_input_audio) AS tokens_input_audio,
    toUInt64(tokens_output_audio) AS tokens_output_audio,
    toUInt64(tokens_input_image) AS tokens_input_image,
    toUInt64(tokens_output_image) AS tokens_output_image,
    toUInt64(((((((((((tokens_input_uncached * (NOT bitTest(priced_mask, 0))) + (tokens_cache_read * (NOT bitTest(priced_mask, 1)))) + (tokens_cache_write_5m * (NOT bitTest(priced_mask, 2)))) + (tokens_cache_write_1h * (NOT bitTest(priced_mask, 3)))) + (tokens_cache_write * (NOT bitTest(priced_mask, 4)))) + (tokens_output_text * (NOT bitTest(priced_mask, 5)))) + (tokens_output_reasoning * (NOT bitTest(priced_mask, 6)))) + (tokens_input_audio * (NOT bitTest(priced_mask, 7)))) + (tokens_output_audio * (NOT bitTest(priced_mask, 8)))) + (tokens_input_image * (NOT bitTest(priced_mask, 9)))) + (tokens_output_image * (NOT bitTest(priced_mask, 10)))) AS tokens_unpriced,
    toDecimal128(cost_input_uncached, 12) AS cost_input_uncached,
    toDecimal128(cost_cache_read, 12) AS cost_cache_read,
    toDecimal128(cost_cache_write_5m, 12) AS cost_cache_write_5m,
    toDecimal128(cost_cache_write_1h, 12) AS cost_cache_write_1h,
    toDecimal128(cost_cache_write, 12) AS cost_cache_write,
    toDecimal128(cost_output_text, 12) AS cost_output_text,
    toDecimal128(cost_output_reasoning, 12) AS cost_output_reasoning,
    toDecimal128(cost_input_audio, 12) AS cost_input_audio,
    toDecimal128(cost_output_audio, 12) AS cost_output_audio,
    toDecimal128(cost_input_image, 12) AS cost_input_image,
    toDecimal128(cost_output_image, 12) AS cost_output_image,
    toDecimal128(cost_fees, 12) AS cost_fees,
    toUInt64(fees_priced) AS fees_priced_calls,
    toDecimal128(client_cost_usd, 12) AS client_cost_usd,
    toUInt64(client_cost_known) AS client_cost_calls,
    duration_ns AS duration_ns_sum,
    ttft_ns AS ttft_ns_sum,
    toUInt64(ttft_known) AS ttft_calls,
    map(toInt16(ceil(log2(greatest(duration_ns, 1)) * 16)), toUInt64(1)) AS duration_histogram,
    if(ttft_known, map(toInt16(ceil(log2(greatest(ttft_ns, 1)) * 16)), toUInt64(1)), CAST(map(), 'Map(Int16, UInt64)')) AS ttft_histogram
FROM calls;

CREATE VIEW usage_day
(
    `project_id` LowCardinality(String),
    `day` Date,
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `operation` LowCardinality(String),
    `environment` LowCardinality(String),
    `service_name` LowCardinality(String),
    `agent_name` String,
    `price_id` LowCardinality(String),
    `calls` UInt64,
    `errors` UInt64,
    `calls_missing_usage` UInt64,
    `calls_estimated` UInt64,
    `calls_unpriced` UInt64,
    `calls_priced` UInt64,
    `usage_mask` UInt16,
    `priced_mask` UInt16,
    `tokens_input_uncached` UInt64,
    `tokens_cache_read` UInt64,
    `tokens_cache_write_5m` UInt64,
    `tokens_cache_write_1h` UInt64,
    `tokens_cache_write` UInt64,
    `tokens_output_text` UInt64,
    `tokens_output_reasoning` UInt64,
    `tokens_input_audio` UInt64,
    `tokens_output_audio` UInt64,
    `tokens_input_image` UInt64,
    `tokens_output_image` UInt64,
    `tokens_unpriced` UInt64,
    `cost_input_uncached` Decimal(38, 12),
    `cost_cache_read` Decimal(38, 12),
    `cost_cache_write_5m` Decimal(38, 12),
    `cost_cache_write_1h` Decimal(38, 12),
    `cost_cache_write` Decimal(38, 12),
    `cost_output_text` Decimal(38, 12),
    `cost_output_reasoning` Decimal(38, 12),
    `cost_input_audio` Decimal(38, 12),
    `cost_output_audio` Decimal(38, 12),
    `cost_input_image` Decimal(38, 12),
    `cost_output_image` Decimal(38, 12),
    `cost_fees` Decimal(38, 12),
    `fees_priced_calls` UInt64,
    `client_cost_usd` Decimal(38, 12),
    `client_cost_calls` UInt64,
    `duration_ns_sum` UInt64,
    `ttft_ns_sum` UInt64,
    `ttft_calls` UInt64,
    `duration_histogram` Map(Int16, UInt64),
    `ttft_histogram` Map(Int16, UInt64)
)
AS WITH
    (
        SELECT (groupBitmapState(cityHash64(project_id, toDate(bucket))), min(bucket), max(bucket) + toIntervalMinute(15), groupUniqArray(toDate(bucket)))
        FROM rollup_dirty
        FINAL
        WHERE marked > done_day
    ) AS dirty
SELECT
    project_id,
    day,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    service_name,
    agent_name,
    price_id,
    calls,
    errors,
    calls_missing_usage,
    calls_estimated,
    calls_unpriced,
    calls_priced,
    usage_mask,
    priced_mask,
    tokens_input_uncached,
    tokens_cache_read,
    tokens_cache_write_5m,
    tokens_cache_write_1h,
    tokens_cache_write,
    tokens_output_text,
    tokens_output_reasoning,
    tokens_input_audio,
    tokens_output_audio,
    tokens_input_image,
    tokens_output_image,
    tokens_unpriced,
    cost_input_uncached,
    cost_cache_read,
    cost_cache_write_5m,
    cost_cache_write_1h,
    cost_cache_write,
    cost_output_text,
    cost_output_reasoning,
    cost_input_audio,
    cost_output_audio,
    cost_input_image,
    cost_output_image,
    cost_fees,
    fees_priced_calls,
    client_cost_usd,
    client_cost_calls,
    duration_ns_sum,
    ttft_ns_sum,
    ttft_calls,
    duration_histogram,
    ttft_histogram
FROM usage_day_rollup
FINAL
WHERE NOT bitmapContains(dirty.1, cityHash64(project_id, day))
UNION ALL
WITH
    (
        SELECT (groupBitmapState(cityHash64(project_id, toDate(bucket))), min(bucket), max(bucket) + toIntervalMinute(15), groupUniqArray(toDate(bucket)))
        FROM rollup_dirty
        FINAL
        WHERE marked > done_day
    ) AS dirty
SELECT
    project_id,
    day,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    service_name,
    agent_name,
    price_id,
    sum(usage_calls.calls) AS calls,
    sum(usage_calls.errors) AS errors,
    sum(usage_calls.calls_missing_usage) AS calls_missing_usage,
    sum(usage_calls.calls_estimated) AS calls_estimated,
    sum(usage_calls.calls_unpriced) AS calls_unpriced,
    sum(usage_calls.calls_priced) AS calls_priced,
    groupBitOr(usage_calls.usage_mask) AS usage_mask,
    groupBitOr(usage_calls.priced_mask) AS priced_mask,
    sum(usage_calls.tokens_input_uncached) AS tokens_input_uncached,
    sum(usage_calls.tokens_cache_read) AS tokens_cache_read,
    sum(usage_calls.tokens_cache_write_5m) AS tokens_cache_write_5m,
    sum(usage_calls.tokens_cache_write_1h) AS tokens_cache_write_1h,
    sum(usage_calls.tokens_cache_write) AS tokens_cache_write,
    sum(usage_calls.tokens_output_text) AS tokens_output_text,
    sum(usage_calls.tokens_output_reasoning) AS tokens_output_reasoning,
    sum(usage_calls.tokens_input_audio) AS tokens_input_audio,
    sum(usage_calls.tokens_output_audio) AS tokens_output_audio,
    sum(usage_calls.tokens_input_image) AS tokens_input_image,
    sum(usage_calls.tokens_output_image) AS tokens_output_image,
    sum(usage_calls.tokens_unpriced) AS tokens_unpriced,
    sum(usage_calls.cost_input_uncached) AS cost_input_uncached,
    sum(usage_calls.cost_cache_read) AS cost_cache_read,
    sum(usage_calls.cost_cache_write_5m) AS cost_cache_write_5m,
    sum(usage_calls.cost_cache_write_1h) AS cost_cache_write_1h,
    sum(usage_calls.cost_cache_write) AS cost_cache_write,
    sum(usage_calls.cost_output_text) AS cost_output_text,
    sum(usage_calls.cost_output_reasoning) AS cost_output_reasoning,
    sum(usage_calls.cost_input_audio) AS cost_input_audio,
    sum(usage_calls.cost_output_audio) AS cost_output_audio,
    sum(usage_calls.cost_input_image) AS cost_input_image,
    sum(usage_calls.cost_output_image) AS cost_output_image,
    sum(usage_calls.cost_fees) AS cost_fees,
    sum(usage_calls.fees_priced_calls) AS fees_priced_calls,
    sum(usage_calls.client_cost_usd) AS client_cost_usd,
    sum(usage_calls.client_cost_calls) AS client_cost_calls,
    sum(usage_calls.duration_ns_sum) AS duration_ns_sum,
    sum(usage_calls.ttft_ns_sum) AS ttft_ns_sum,
    sum(usage_calls.ttft_calls) AS ttft_calls,
    sumMap(usage_calls.duration_histogram) AS duration_histogram,
    sumMap(usage_calls.ttft_histogram) AS ttft_histogram
FROM usage_calls
WHERE (ts >= toDateTime64(toStartOfDay(dirty.2), 9, 'UTC')) AND (ts < toDateTime64(toStartOfDay(dirty.3) + toIntervalDay(1), 9, 'UTC')) AND has(dirty.4, toDate(ts)) AND bitmapContains(dirty.1, cityHash64(project_id, day))
GROUP BY
    project_id,
    day,
    provider,
    request_model,
    response_model,
    operation,
    environment,
    service_name,
    agent_name,
    price_id;

CREATE TABLE usage_day_rollup
(
    `project_id` LowCardinality(String),
    `day` Date COMMENT 'UTC' CODEC(Delta(2), ZSTD(1)),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `response_model` LowCardinality(String),
    `operation` LowCardinality(String),
    `environment` LowCardinality(String),
    `service_name` LowCardinality(String),
    `agent_name` LowCardinality(String),
    `price_id` LowCardinality(String),
    `calls` UInt64 CODEC(T64, ZSTD(1)),
    `errors` UInt64 CODEC(T64, ZSTD(1)),
    `calls_missing_usage` UInt64 CODEC(T64, ZSTD(1)),
    `calls_estimated` UInt64 CODEC(T64, ZSTD(1)),
    `calls_unpriced` UInt64 CODEC(T64, ZSTD(1)),
    `calls_priced` UInt64 CODEC(T64, ZSTD(1)),
    `usage_mask` UInt16 CODEC(T64, ZSTD(1)),
    `priced_mask` UInt16 CODEC(T64, ZSTD(1)),
    `tokens_input_uncached` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_read` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_5m` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_1h` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_text` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_reasoning` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_input_audio` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_audio` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_input_image` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_image` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_unpriced` UInt64 CODEC(T64, ZSTD(1)),
    `cost_input_uncached` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_read` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write_5m` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write_1h` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_text` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_reasoning` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_input_audio` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_audio` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_input_image` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_image` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_fees` Decimal(38, 12) COMMENT 'What is billed by the piece' CODEC(ZSTD(1)),
    `fees_priced_calls` UInt64 COMMENT 'Calls with fees that have a price' CODEC(T64, ZSTD(1)),
    `client_cost_usd` Decimal(38, 12) CODEC(ZSTD(1)),
    `client_cost_calls` UInt64 CODEC(T64, ZSTD(1)),
    `duration_ns_sum` UInt64 CODEC(T64, ZSTD(1)),
    `ttft_ns_sum` UInt64 CODEC(T64, ZSTD(1)),
    `ttft_calls` UInt64 CODEC(T64, ZSTD(1)),
    `duration_histogram` Map(Int16, UInt64) CODEC(ZSTD(1)),
    `ttft_histogram` Map(Int16, UInt64) CODEC(ZSTD(1)),
    `ver` UInt64 COMMENT 'Later wins' CODEC(Delta(8), ZSTD(1)),
    `is_deleted` UInt8 COMMENT '1: the group has no calls any more'
)
ENGINE = ReplacingMergeTree(ver, is_deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (project_id, day, provider, request_model, response_model, operation, environment, service_name, agent_name, price_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE usage_metric_points
(
    `project_id` LowCardinality(String),
    `metric` LowCardinality(String) COMMENT 'Name of the metric, as sent',
    `series` UInt64 COMMENT 'Hash of metric, resource, scope and attributes',
    `start_ts` DateTime64(9, 'UTC') COMMENT 'Since when a running total counts' CODEC(Delta(8), ZSTD(1)),
    `ts` DateTime64(9, 'UTC') COMMENT 'Time of the point' CODEC(Delta(8), ZSTD(1)),
    `temporality` Enum8('unspecified' = 0, 'delta' = 1, 'cumulative' = 2),
    `kind` Enum8('tokens' = 0, 'cost_usd' = 1, 'calls' = 2),
    `token_class` LowCardinality(String) COMMENT 'input, output, cache_read, cache_write, reasoning, tool, total; as the client counts',
    `value` Float64 COMMENT 'Tokens, US dollars or calls, as sent',
    `provider` LowCardinality(String),
    `model` LowCardinality(String),
    `operation` LowCardinality(String),
    `service_name` LowCardinality(String),
    `environment` LowCardinality(String),
    `user_id` String CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `dialect` LowCardinality(String),
    `scope_name` LowCardinality(String),
    `attributes` Map(LowCardinality(String), String) COMMENT 'Of the point, without content' CODEC(ZSTD(1)),
    `ingest_seq` UInt64 COMMENT 'Version: of two rows of one point the later wins' CODEC(Delta(8), ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_seq)
PARTITION BY toYYYYMM(ts)
PRIMARY KEY (project_id, metric, series)
ORDER BY (project_id, metric, series, start_ts, ts)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW usage_metrics
(
    `project_id` LowCardinality(String),
    `metric` LowCardinality(String),
    `series` UInt64,
    `start_ts` DateTime64(9, 'UTC'),
    `ts` DateTime64(9, 'UTC'),
    `temporality` Enum8('unspecified' = 0, 'delta' = 1, 'cumulative' = 2),
    `kind` Enum8('tokens' = 0, 'cost_usd' = 1, 'calls' = 2),
    `token_class` LowCardinality(String),
    `provider` LowCardinality(String),
    `model` LowCardinality(String),
    `operation` LowCardinality(String),
    `service_name` LowCardinality(String),
    `environment` LowCardinality(String),
    `user_id` String,
    `session_id` String,
    `dialect` LowCardinality(String),
    `scope_name` LowCardinality(String),
    `attributes` Map(LowCardinality(String), String),
    `ingest_seq` UInt64,
    `ingested_at` DateTime64(3, 'UTC'),
    `amount` Float64
)
AS SELECT
    * EXCEPT (value, last_value),
    if((temporality = 'cumulative') AND (value >= last_value), value - last_value, value) AS amount
FROM
(
    SELECT
        *,
        lagInFrame(value) OVER (PARTITION BY project_id, metric, series, start_ts ORDER BY ts ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS last_value
    FROM usage_metric_points
    FINAL
);

CREATE VIEW usage_user_day
(
    `project_id` LowCardinality(String),
    `day` Date,
    `user_id` String,
    `calls` UInt64,
    `errors` UInt64,
    `calls_missing_usage` UInt64,
    `calls_estimated` UInt64,
    `calls_unpriced` UInt64,
    `calls_priced` UInt64,
    `usage_mask` UInt16,
    `priced_mask` UInt16,
    `tokens_input_uncached` UInt64,
    `tokens_cache_read` UInt64,
    `tokens_cache_write_5m` UInt64,
    `tokens_cache_write_1h` UInt64,
    `tokens_cache_write` UInt64,
    `tokens_output_text` UInt64,
    `tokens_output_reasoning` UInt64,
    `tokens_input_audio` UInt64,
    `tokens_output_audio` UInt64,
    `tokens_input_image` UInt64,
    `tokens_output_image` UInt64,
    `tokens_unpriced` UInt64,
    `cost_input_uncached` Decimal(38, 12),
    `cost_cache_read` Decimal(38, 12),
    `cost_cache_write_5m` Decimal(38, 12),
    `cost_cache_write_1h` Decimal(38, 12),
    `cost_cache_write` Decimal(38, 12),
    `cost_output_text` Decimal(38, 12),
    `cost_output_reasoning` Decimal(38, 12),
    `cost_input_audio` Decimal(38, 12),
    `cost_output_audio` Decimal(38, 12),
    `cost_input_image` Decimal(38, 12),
    `cost_output_image` Decimal(38, 12),
    `cost_fees` Decimal(38, 12),
    `fees_priced_calls` UInt64,
    `client_cost_usd` Decimal(38, 12),
    `client_cost_calls` UInt64,
    `cost_by_price` Map(String, Decimal(38, 12)),
    `sessions` UInt64
)
AS WITH
    (
        SELECT (groupBitmapState(cityHash64(project_id, toDate(bucket))), min(bucket), max(bucket) + toIntervalMinute(15), groupUniqArray(toDate(bucket)))
        FROM rollup_dirty
        FINAL
        WHERE marked > done_day
    ) AS dirty
SELECT
    project_id,
    day,
    user_id,
    calls,
    errors,
    calls_missing_usage,
    calls_estimated,
    calls_unpriced,
    calls_priced,
    usage_mask,
    priced_mask,
    tokens_input_uncached,
    tokens_cache_read,
    tokens_cache_write_5m,
    tokens_cache_write_1h,
    tokens_cache_write,
    tokens_output_text,
    tokens_output_reasoning,
    tokens_input_audio,
    tokens_output_audio,
    tokens_input_image,
    tokens_output_image,
    tokens_unpriced,
    cost_input_uncached,
    cost_cache_read,
    cost_cache_write_5m,
    cost_cache_write_1h,
    cost_cache_write,
    cost_output_text,
    cost_output_reasoning,
    cost_input_audio,
    cost_output_audio,
    cost_input_image,
    cost_output_image,
    cost_fees,
    fees_priced_calls,
    client_cost_usd,
    client_cost_calls,
    cost_by_price,
    sessions
FROM usage_user_day_rollup
FINAL
WHERE NOT bitmapContains(dirty.1, cityHash64(project_id, day))
UNION ALL
WITH
    (
        SELECT (groupBitmapState(cityHash64(project_id, toDate(bucket))), min(bucket), max(bucket) + toIntervalMinute(15), groupUniqArray(toDate(bucket)))
        FROM rollup_dirty
        FINAL
        WHERE marked > done_day
    ) AS dirty
SELECT
    project_id,
    day,
    user_id,
    sum(usage_calls.calls) AS calls,
    sum(usage_calls.errors) AS errors,
    sum(usage_calls.calls_missing_usage) AS calls_missing_usage,
    sum(usage_calls.calls_estimated) AS calls_estimated,
    sum(usage_calls.calls_unpriced) AS calls_unpriced,
    sum(usage_calls.calls_priced) AS calls_priced,
    groupBitOr(usage_calls.usage_mask) AS usage_mask,
    groupBitOr(usage_calls.priced_mask) AS priced_mask,
    sum(usage_calls.tokens_input_uncached) AS tokens_input_uncached,
    sum(usage_calls.tokens_cache_read) AS tokens_cache_read,
    sum(usage_calls.tokens_cache_write_5m) AS tokens_cache_write_5m,
    sum(usage_calls.tokens_cache_write_1h) AS tokens_cache_write_1h,
    sum(usage_calls.tokens_cache_write) AS tokens_cache_write,
    sum(usage_calls.tokens_output_text) AS tokens_output_text,
    sum(usage_calls.tokens_output_reasoning) AS tokens_output_reasoning,
    sum(usage_calls.tokens_input_audio) AS tokens_input_audio,
    sum(usage_calls.tokens_output_audio) AS tokens_output_audio,
    sum(usage_calls.tokens_input_image) AS tokens_input_image,
    sum(usage_calls.tokens_output_image) AS tokens_output_image,
    sum(usage_calls.tokens_unpriced) AS tokens_unpriced,
    sum(usage_calls.cost_input_uncached) AS cost_input_uncached,
    sum(usage_calls.cost_cache_read) AS cost_cache_read,
    sum(usage_calls.cost_cache_write_5m) AS cost_cache_write_5m,
    sum(usage_calls.cost_cache_write_1h) AS cost_cache_write_1h,
    sum(usage_calls.cost_cache_write) AS cost_cache_write,
    sum(usage_calls.cost_output_text) AS cost_output_text,
    sum(usage_calls.cost_output_reasoning) AS cost_output_reasoning,
    sum(usage_calls.cost_input_audio) AS cost_input_audio,
    sum(usage_calls.cost_output_audio) AS cost_output_audio,
    sum(usage_calls.cost_input_image) AS cost_input_image,
    sum(usage_calls.cost_output_image) AS cost_output_image,
    sum(usage_calls.cost_fees) AS cost_fees,
    sum(usage_calls.fees_priced_calls) AS fees_priced_calls,
    sum(usage_calls.client_cost_usd) AS client_cost_usd,
    sum(usage_calls.client_cost_calls) AS client_cost_calls,
    sumMap(map(price_id, ((((((((((usage_calls.cost_input_uncached + usage_calls.cost_cache_read) + usage_calls.cost_cache_write_5m) + usage_calls.cost_cache_write_1h) + usage_calls.cost_cache_write) + usage_calls.cost_output_text) + usage_calls.cost_output_reasoning) + usage_calls.cost_input_audio) + usage_calls.cost_output_audio) + usage_calls.cost_input_image) + usage_calls.cost_output_image) + usage_calls.cost_fees)) AS cost_by_price,
    uniqExactIf(session_id, session_id != '') AS sessions
FROM usage_calls
WHERE (ts >= toDateTime64(toStartOfDay(dirty.2), 9, 'UTC')) AND (ts < toDateTime64(toStartOfDay(dirty.3) + toIntervalDay(1), 9, 'UTC')) AND has(dirty.4, toDate(ts)) AND bitmapContains(dirty.1, cityHash64(project_id, day))
GROUP BY
    project_id,
    day,
    user_id;

CREATE TABLE usage_user_day_rollup
(
    `project_id` LowCardinality(String),
    `day` Date COMMENT 'UTC' CODEC(Delta(2), ZSTD(1)),
    `user_id` String COMMENT 'Empty for calls without a user' CODEC(ZSTD(1)),
    `calls` UInt64 CODEC(T64, ZSTD(1)),
    `errors` UInt64 CODEC(T64, ZSTD(1)),
    `calls_missing_usage` UInt64 CODEC(T64, ZSTD(1)),
    `calls_estimated` UInt64 CODEC(T64, ZSTD(1)),
    `calls_unpriced` UInt64 CODEC(T64, ZSTD(1)),
    `calls_priced` UInt64 CODEC(T64, ZSTD(1)),
    `usage_mask` UInt16 CODEC(T64, ZSTD(1)),
    `priced_mask` UInt16 CODEC(T64, ZSTD(1)),
    `tokens_input_uncached` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_read` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_5m` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write_1h` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_cache_write` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_text` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_reasoning` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_input_audio` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_audio` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_input_image` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_output_image` UInt64 CODEC(T64, ZSTD(1)),
    `tokens_unpriced` UInt64 CODEC(T64, ZSTD(1)),
    `cost_input_uncached` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_read` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write_5m` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write_1h` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_cache_write` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_text` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_reasoning` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_input_audio` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_audio` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_input_image` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_output_image` Decimal(38, 12) CODEC(ZSTD(1)),
    `cost_fees` Decimal(38, 12) COMMENT 'What is billed by the piece' CODEC(ZSTD(1)),
    `fees_priced_calls` UInt64 COMMENT 'Calls with fees that have a price' CODEC(T64, ZSTD(1)),
    `client_cost_usd` Decimal(38, 12) CODEC(ZSTD(1)),
    `client_cost_calls` UInt64 CODEC(T64, ZSTD(1)),
    `cost_by_price` Map(LowCardinality(String), Decimal(38, 12)) COMMENT 'Cost by price_id' CODEC(ZSTD(1)),
    `sessions` UInt64 COMMENT 'Distinct session ids of the day, exact' CODEC(T64, ZSTD(1)),
    `ver` UInt64 COMMENT 'Later wins' CODEC(Delta(8), ZSTD(1)),
    `is_deleted` UInt8 COMMENT '1: the user has no calls any more'
)
ENGINE = ReplacingMergeTree(ver, is_deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (project_id, day, user_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;
