-- What the prices of the calls in a range depend on, beside their time and size, each once.
SELECT DISTINCT
  toString(project_id) AS project_id,
  toString(provider) AS provider,
  toString(request_model) AS request_model,
  toString(response_model) AS response_model,
  toString(service_tier) AS service_tier,
  toString(region) AS region
FROM spans AS span FINAL
WHERE span.ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
  AND span.ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  AND span.span_class IN ('billable', 'aggregate')
  AND ({project_id:String} = '' OR span.project_id = {project_id:String})
  AND ({provider:String} = '' OR span.provider = {provider:String})
  AND ({model:String} = '' OR span.request_model = {model:String} OR span.response_model = {model:String})
