SELECT
  name,
  is_aggregate,
  alias_to,
  case_insensitive,
  toString(categories) AS category
FROM system.functions
ORDER BY name
