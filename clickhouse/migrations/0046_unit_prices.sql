-- The price book for those who read SQL: what a token costs by each of its rows, as the query API knows it.
-- Written at its start; a row that the book has no more stays, because calls name it.
-- kind: metadata
CREATE TABLE IF NOT EXISTS unit_prices {on_cluster}
(
  price_id String COMMENT 'As in calls.price_id',
  project_id String MATERIALIZED extract(price_id, '/negotiated/(.+)$') COMMENT 'Whose negotiated price it is; empty: of everyone',
  tier LowCardinality(String) COMMENT 'Service tier',
  region LowCardinality(String) COMMENT 'Empty: any',
  input_tokens_over UInt64 COMMENT 'For prompts of more tokens than this',
  usd_per_token Map(LowCardinality(String), Decimal(38, 12)) COMMENT 'By token class; a class that is left out has no price',
  ver UInt64 COMMENT 'Later wins; microseconds of the writer'
)
ENGINE = {replacing_merge_tree}(ver)
ORDER BY price_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
