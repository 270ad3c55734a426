-- Traces by the first of their spans in a range, newest first: candidates for a page, read from as few
-- columns as can be. The filters are those that a row of a trace, or one call of it, decides alone.
-- The cursor is the last trace looked at: time (ns) of its start and id; no id is no cursor.
SELECT
  lower(hex(spans.trace_id)) AS trace,
  toString(toUnixTimestamp64Nano(min(ts))) AS start_ns
FROM spans
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
  AND ts < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
  AND (
    {has_filters:UInt8} = 0
    OR spans.trace_id IN (
      SELECT calls.trace_id
      FROM calls
      WHERE {has_filters:UInt8} = 1
        AND project_id = {project_id:String}
        AND ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
        AND ts < toDateTime64({calls_to_s:Decimal(18, 3)}, 9, 'UTC')
        AND (empty({model:Array(String)}) OR calls.model IN {model:Array(String)})
        AND (empty({request_model:Array(String)}) OR calls.request_model IN {request_model:Array(String)})
        AND (empty({response_model:Array(String)}) OR calls.response_model IN {response_model:Array(String)})
        AND (empty({provider:Array(String)}) OR calls.provider IN {provider:Array(String)})
        AND (empty({operation:Array(String)}) OR calls.operation IN {operation:Array(String)})
        AND (empty({environment:Array(String)}) OR calls.environment IN {environment:Array(String)})
        AND (empty({price_id:Array(String)}) OR calls.price_id IN {price_id:Array(String)})
        AND (empty({service_name:Array(String)}) OR calls.service_name IN {service_name:Array(String)})
        AND (empty({agent_name:Array(String)}) OR calls.agent_name IN {agent_name:Array(String)})
        AND (empty({user_id:Array(String)}) OR calls.user_id IN {user_id:Array(String)})
        AND (empty({session_id:Array(String)}) OR calls.session_id IN {session_id:Array(String)})
        AND (empty({error_type:Array(String)}) OR calls.error_type IN {error_type:Array(String)})
        AND (empty({finish_reason:Array(String)}) OR calls.finish_reason IN {finish_reason:Array(String)})
        AND (empty({service_tier:Array(String)}) OR calls.service_tier IN {service_tier:Array(String)})
        AND (empty({streaming:Array(String)}) OR transform(toString(calls.streaming), ['yes', 'no'], ['true', 'false'], '') IN {streaming:Array(String)})
        AND (empty({key_id:Array(String)}) OR calls.key_id IN {key_id:Array(String)})
        AND arrayAll((key, allowed) -> has(allowed, calls.tags[key]) AND mapContains(calls.tags, key), {tag_keys:Array(String)}, {tag_values:Array(Array(String))})
    )
  )
  AND (
    {has_errors:String} != 'true'
    OR spans.trace_id IN (
      SELECT failed.trace_id
      FROM spans AS failed
      WHERE {has_errors:String} = 'true'
        AND project_id = {project_id:String}
        AND ts >= toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC')
        AND ts < toDateTime64({calls_to_s:Decimal(18, 3)}, 9, 'UTC')
        AND failed.status = 'error'
    )
  )
GROUP BY spans.trace_id
HAVING {cursor_trace_id:String} = ''
  OR (min(ts), spans.trace_id) < (
    fromUnixTimestamp64Nano({cursor_ns:Int64}, 'UTC'),
    toFixedString(unhex({cursor_trace_id:String}), 16)
  )
ORDER BY min(ts) DESC, spans.trace_id DESC
LIMIT {limit:UInt32}
