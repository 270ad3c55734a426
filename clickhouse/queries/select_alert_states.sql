-- How rules stand: of one project, or of all when it is the empty string.
SELECT rule_id, body, toString(ver) AS version
FROM alert_states FINAL
WHERE {project_id:String} = '' OR project_id = {project_id:String}
