-- Stores samples of one collector, each given as a JSON array. Labels are two lists, of names and values.
INSERT INTO collector_samples (sampled_at, instance_id, name, labels, kind, value)
SELECT
  fromUnixTimestamp64Milli(row.at_ms, 'UTC'),
  {instance_id:String},
  row.name,
  mapFromArrays(row.label_names, row.label_values),
  if(row.is_gauge = 1, 'gauge', 'counter'),
  row.value
FROM
(
  SELECT JSONExtract(
    arrayJoin({rows:Array(String)}),
    'Tuple(at_ms Int64, name String, label_names Array(String), label_values Array(String), is_gauge UInt8, value Float64)'
  ) AS row
)
