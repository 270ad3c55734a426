-- Rows of the price book, each with the classes that it has a price for.
INSERT INTO unit_prices (price_id, tier, region, input_tokens_over, usd_per_token, ver)
SELECT
  price_id,
  tier,
  region,
  input_tokens_over,
  CAST(
    mapFromArrays(
      classes,
      arrayMap(
        price -> toDecimal128(price, 0) * toDecimal128('0.000000000001', 12),
        arrayResize(prices, length(classes))
      )
    ),
    'Map(LowCardinality(String), Decimal(38, 12))'
  ),
  {ver:UInt64}
FROM
(
  SELECT
    {price_ids:Array(String)} AS price_ids,
    {tiers:Array(String)} AS tiers,
    {regions:Array(String)} AS regions,
    {over:Array(UInt64)} AS over,
    {classes:Array(Array(String))} AS class_lists,
    {picodollars:Array(Array(UInt64))} AS price_lists
)
ARRAY JOIN
  price_ids AS price_id,
  tiers AS tier,
  regions AS region,
  over AS input_tokens_over,
  class_lists AS classes,
  price_lists AS prices
