-- What was refused for its time, by who sent it: how many, when, and the times that were sent.
SELECT
  project_id,
  toString(reason) AS reason,
  toString(signal) AS signal,
  service_name,
  scope_name,
  toUInt32(count()) AS items,
  toString(min(received_at)) AS first_received,
  toString(max(received_at)) AS last_received,
  min(sent_time_ns) AS least_sent_time_ns,
  max(sent_time_ns) AS greatest_sent_time_ns,
  any(name) AS example
FROM set_aside_items FINAL
GROUP BY project_id, reason, signal, service_name, scope_name
ORDER BY items DESC, project_id, reason, signal, service_name, scope_name
LIMIT {limit:UInt32}
