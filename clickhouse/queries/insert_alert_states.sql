-- How rules stand from now on, one for each place in the lists.
INSERT INTO alert_states (project_id, rule_id, body, ver)
SELECT row.1, row.2, row.3, row.4
FROM
(
  SELECT arrayJoin(arrayZip(
    {project_ids:Array(String)},
    {rule_ids:Array(String)},
    {bodies:Array(String)},
    {versions:Array(UInt64)}
  )) AS row
)
