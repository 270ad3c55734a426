-- A service whose calls come from several instrumentations, if there is one: only of such a service can
-- calls look like each other's reports (select_suspect_traces). Most have one, and this is less than
-- half of the work of asking for the calls at once.
SELECT toString(project_id) AS project_id, toString(service_name) AS service_name
FROM spans
WHERE spans.project_id IN (SELECT arrayJoin({projects:Array(String)}))
  AND ts >= toDateTime64({suspect_from_s:UInt32}, 9, 'UTC')
  AND ts < toDateTime64({suspect_to_s:UInt32}, 9, 'UTC')
  AND span_class IN ('billable', 'aggregate')
GROUP BY spans.project_id, spans.service_name
HAVING uniqUpTo(1)(scope_name) > 1
LIMIT 1
