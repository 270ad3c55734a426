-- Kinds of errors of a range, how many of each the range before had (it may end earlier than this one
-- begins), and whether any came since that one began. A kind is what its fingerprint is
-- made of; messages are taken with what differs from call to call taken out. Times as Unix ns.
WITH toDateTime64({from_s:Decimal(18, 3)}, 9, 'UTC') AS bound
SELECT
  toString(call.provider) AS provider,
  toString(if(call.response_model = '', call.request_model, call.response_model)) AS model,
  toString(call.operation) AS operation,
  toString(call.error_type) AS error_type,
  call.http_status AS http_status,
  -- Quoted parts, addresses, then every word with a digit: numbers, ids, dates.
  substringUTF8(
    trimBoth(replaceRegexpAll(
      replaceRegexpAll(
        replaceRegexpAll(
          replaceRegexpAll(substringUTF8(call.status_message, 1, 2000), '"[^"]*"|`[^`]*`|\'[^\']*\'', '#'),
          '\\S*@\\S*', '#'
        ),
        '[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*(?:[.,:][0-9][A-Za-z0-9_-]*)*', '#'
      ),
      '\\s+', ' '
    )),
    1, 300
  ) AS message,
  countIf(call.ts >= bound) AS calls,
  countIf(call.ts < bound AND call.ts < toDateTime64({before_to_s:Decimal(18, 3)}, 9, 'UTC')) AS calls_before,
  max(call.ts < bound) AS is_known,
  minIf(toUnixTimestamp64Nano(call.ts), call.ts >= bound) AS first_ns,
  maxIf(toUnixTimestamp64Nano(call.ts), call.ts >= bound) AS last_ns,
  uniqExactIf(call.user_id, call.ts >= bound AND call.user_id != '') AS users,
  arraySlice(arraySort(groupUniqArrayIf(toString(call.service_name), call.ts >= bound AND call.service_name != '')), 1, {names:UInt32}) AS services,
  arrayMap(
    sample -> sample.2,
    groupArraySortedIf(12)((-toUnixTimestamp64Nano(call.ts), lower(hex(call.trace_id))), call.ts >= bound)
  ) AS trace_ids
FROM calls AS call
WHERE call.project_id = {project_id:String}
  AND call.status = 'error'
  AND call.ts >= toDateTime64({before_s:Decimal(18, 3)}, 9, 'UTC')
  AND call.ts < toDateTime64({to_s:Decimal(18, 3)}, 9, 'UTC')
  AND (empty({model:Array(String)}) OR if(call.response_model = '', call.request_model, call.response_model) IN {model:Array(String)})
  AND (empty({request_model:Array(String)}) OR call.request_model IN {request_model:Array(String)})
  AND (empty({response_model:Array(String)}) OR call.response_model IN {response_model:Array(String)})
  AND (empty({provider:Array(String)}) OR call.provider IN {provider:Array(String)})
  AND (empty({operation:Array(String)}) OR call.operation IN {operation:Array(String)})
  AND (empty({environment:Array(String)}) OR call.environment IN {environment:Array(String)})
  AND (empty({price_id:Array(String)}) OR call.price_id IN {price_id:Array(String)})
  AND (empty({service_name:Array(String)}) OR call.service_name IN {service_name:Array(String)})
  AND (empty({agent_name:Array(String)}) OR call.agent_name IN {agent_name:Array(String)})
  AND (empty({user_id:Array(String)}) OR call.user_id IN {user_id:Array(String)})
  AND (empty({session_id:Array(String)}) OR call.session_id IN {session_id:Array(String)})
  AND (empty({status:Array(String)}) OR if(call.status = 'error', 'error', 'ok') IN {status:Array(String)})
  AND (empty({error_type:Array(String)}) OR call.error_type IN {error_type:Array(String)})
  AND (empty({finish_reason:Array(String)}) OR call.finish_reason IN {finish_reason:Array(String)})
  AND (empty({service_tier:Array(String)}) OR call.service_tier IN {service_tier:Array(String)})
  AND (empty({streaming:Array(String)}) OR transform(toString(call.streaming), ['yes', 'no'], ['true', 'false'], '') IN {streaming:Array(String)})
  AND (empty({key_id:Array(String)}) OR call.key_id IN {key_id:Array(String)})
GROUP BY provider, model, operation, error_type, http_status, message
HAVING calls > 0
ORDER BY
  multiIf({order_by:String} = 'last_seen', last_ns, {order_by:String} = 'users', toInt64(users), toInt64(calls)) DESC,
  calls DESC,
  last_ns DESC,
  provider, model, operation, error_type, http_status, message
LIMIT {limit:UInt32}
