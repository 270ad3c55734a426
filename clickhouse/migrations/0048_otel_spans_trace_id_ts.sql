-- When each trace of otel_spans was, a row a span: readers ask it for min(Start) and max(End) of a trace and
-- then read that range alone.
-- kind: metadata
CREATE OR REPLACE VIEW otel_spans_trace_id_ts {on_cluster} AS
SELECT
  project_id,
  lower(hex(trace_id)) AS TraceId,
  ts AS Start,
  ts AS End
FROM spans
