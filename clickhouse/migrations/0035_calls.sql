-- The view of 0015, made again for the column key_id.
-- kind: metadata
CREATE OR REPLACE VIEW calls {on_cluster} AS
SELECT
  *,
  if(response_model = '', request_model, response_model) AS model,
  -- A refused call: it failed with an HTTP status and without usage; providers charge nothing.
  (usage_mask = 0 AND cost_status = 'priced') AS refused
FROM ledger_spans
WHERE span_class IN ('billable', 'aggregate') AND counted = 1
