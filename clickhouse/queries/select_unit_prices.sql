-- The stored rows of the price book, each as a text to be compared.
SELECT
  price_id,
  toString(
    (
      tier,
      region,
      input_tokens_over,
      arraySort(arrayMap(name -> (toString(name), toString(usd_per_token[name])), mapKeys(usd_per_token)))
    )
  ) AS content
FROM unit_prices FINAL
