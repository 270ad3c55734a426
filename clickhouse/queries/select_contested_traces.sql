-- Traces that spans of a batch belong to and that the counting rules have to look at, and how many
-- rows they have. All other traces are what their spans say, which is most of them: each condition
-- below is what a rule needs at least to decide anything, and what was decided once is looked at again.
SELECT
  toString(project_id) AS project_id,
  lower(hex(trace_id)) AS trace_id,
  toUInt32(count()) AS span_rows
FROM spans
WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  -- By the id alone, because that is what the index knows; another project's trace of this id is
  -- then looked at for nothing.
  AND spans.trace_id IN (
    SELECT spans.trace_id
    FROM spans
    WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({batch_from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({batch_to_s:UInt32}, 9, 'UTC')
      AND ingest_seq >= {first_sequence:UInt64}
      AND ingest_seq <= {last_sequence:UInt64}
  )
GROUP BY project_id, spans.trace_id
HAVING
  spans.trace_id IN (
    SELECT call_decisions.trace_id
    FROM call_decisions
    WHERE call_decisions.project_id IN (SELECT arrayJoin({projects:Array(String)}))
      AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
      AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  )
  OR countIf(dialect IN (SELECT arrayJoin({session_dialects:Array(String)}))) > 0
  -- A span that came again may say something else: what it said before is still among these rows.
  OR count() > uniqExact(ts, span_id)
  -- The lists below are looked through pair by pair; a longer trace is looked at in any case.
  OR count() > 1000
  -- The sum of an agent may count unless a call with usage is right below it, or it is the only root
  -- above such a call.
  OR arrayExists(
    sum ->
      NOT has(groupUniqArrayIf(1000)(parent_span_id, span_class = 'billable' AND usage_mask != 0 AND status != 'error'), sum.1)
      AND NOT (
        sum.2 = unhex('0000000000000000')
        AND uniqUpToIf(1)(ts, span_id, parent_span_id = unhex('0000000000000000')) = 1
        AND countIf(span_class = 'billable' AND usage_mask != 0 AND status != 'error') > 0
      ),
    groupArrayIf(1000)((span_id, parent_span_id), span_class = 'aggregate' AND usage_mask != 0)
  )
  -- A call may be in another only if a call has a child that is one or has children of its own.
  OR arrayExists(
    span ->
      has(groupArrayIf(1000)(span_id, span_class = 'billable'), span.2)
      AND (span.3 OR has(groupUniqArray(1000)(parent_span_id), span.1)),
    groupArray(1000)((span_id, parent_span_id, span_class = 'billable'))
  )
  -- Two instrumentations in one trace may report one call.
  OR uniqUpToIf(1)(scope_name, span_class = 'billable') > 1
  OR uniqExactIf((ts, span_id), span_class = 'billable' AND response_id != '')
    > uniqExactIf(response_id, span_class = 'billable' AND response_id != '')
  -- A call takes over what it does not say from a span above it.
  OR (countIf(span_class = 'billable' AND user_id = '') > 0 AND countIf(span_class != 'billable' AND user_id != '') > 0)
  OR (countIf(span_class = 'billable' AND session_id = '') > 0 AND countIf(span_class != 'billable' AND session_id != '') > 0)
  OR (countIf(span_class = 'billable' AND agent_name = '') > 0 AND countIf(span_class != 'billable' AND agent_name != '') > 0)
