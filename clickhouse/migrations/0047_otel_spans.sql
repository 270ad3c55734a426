-- All spans under the names of OpenTelemetry's own schema for ClickHouse: what trace views of other tools
-- (Grafana's among them) read, so that a trace can be looked at wherever it is pasted.
-- kind: metadata
--
-- Ids are texts here, so a trace is found by reading the ids of all spans in the range of
-- otel_spans_trace_id_ts; our own readers compare the bytes and use the index.
CREATE OR REPLACE VIEW otel_spans {on_cluster} AS
SELECT
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
FROM (SELECT * FROM spans FINAL) AS span
