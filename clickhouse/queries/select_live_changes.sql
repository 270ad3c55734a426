-- Which calls of some buckets changed, the newest first, and how many in all: spans that a writer
-- inserted within a range of its sequences or, of writers that were not known before, that arrived since
-- a time; and what was decided since a version. Spans are read without FINAL: only who changed is asked.
SELECT
  toString(toUnixTimestamp64Nano(ts)) AS start_ns,
  lower(hex(trace)) AS trace_id,
  lower(hex(span)) AS span_id,
  concat(toString(max(sequence)), '.', toString(max(version))) AS change,
  toFloat64(max(version)) AS version_us,
  toUInt32(count() OVER ()) AS changes
FROM
(
  SELECT ts, spans.trace_id AS trace, spans.span_id AS span, ingest_seq AS sequence, toUInt64(0) AS version
  FROM spans
  WHERE project_id = {project_id:String}
    AND toStartOfFifteenMinutes(ts) IN (SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}), 'UTC'))
    AND ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
    AND ts < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
    AND span_class IN ('billable', 'aggregate')
    AND (
      arrayExists(
        (first, last) -> ingest_seq > first AND ingest_seq <= last,
        {after_sequences:Array(UInt64)},
        {last_sequences:Array(UInt64)}
      )
      OR ({by_arrival:UInt8} = 1 AND ingested_at >= toDateTime64({arrived_s:Decimal(18, 3)}, 3, 'UTC'))
    )
  UNION ALL
  SELECT ts, call_decisions.trace_id AS trace, call_decisions.span_id AS span, toUInt64(0) AS sequence, ver AS version
  FROM call_decisions
  WHERE project_id = {project_id:String}
    AND toStartOfFifteenMinutes(ts) IN (SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}), 'UTC'))
    AND ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
    AND ts < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
    AND ver > {decided_us:UInt64}
)
GROUP BY ts, trace, span
ORDER BY ts DESC, trace DESC, span DESC
LIMIT {limit:UInt32}
