-- Takes the content out of the spans of a project in one day, by the rule of select_content_days.
ALTER TABLE spans
UPDATE
  status_message = '',
  event_attributes = arrayMap(each -> mapFilter((name, value) -> 0, each), event_attributes),
  attributes = mapFilter(
    (name, value) -> NOT (
      length(value) > {max_length:UInt32}
      OR (match(lower(name), '(prompt|completion|message|content|input|output|instruction|argument|result|document|query|question|answer|reasoning|body|exception|stacktrace|text)') AND NOT match(value, '^(-?[0-9.eE+-]*|true|false)$'))
    ),
    attributes
  )
IN PARTITION {partition:String}
WHERE project_id = {project_id:String}
SETTINGS mutations_sync = 2
