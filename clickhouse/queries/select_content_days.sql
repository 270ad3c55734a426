-- The days of a project before a time that still have content: messages of statuses, attributes of
-- events, long values, and values of keys that speak of content and are no numbers.
SELECT toUnixTimestamp(toDateTime(toDate(ts), 'UTC')) AS day_s, toFloat64(count()) AS rows
FROM spans
WHERE project_id = {project_id:String}
  AND ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND (
    status_message != ''
    OR arrayExists(each -> notEmpty(each), event_attributes)
    OR arrayExists(
      (name, value) -> (
        length(value) > {max_length:UInt32}
        OR (match(lower(name), '(prompt|completion|message|content|input|output|instruction|argument|result|document|query|question|answer|reasoning|body|exception|stacktrace|text)') AND NOT match(value, '^(-?[0-9.eE+-]*|true|false)$'))
      ),
      mapKeys(attributes),
      mapValues(attributes)
    )
  )
GROUP BY toDate(ts)
ORDER BY day_s
