-- Usage of calls by UTC day and user.
-- kind: metadata
--
-- Clean groups come from the rollup, dirty ones live from the calls: always exact, never waiting for
-- the recompute. Both halves must agree on what is dirty or a call is counted twice or not at all,
-- so that is one scalar, which a query evaluates once: the hashes of the dirty groups, and the range
-- and the days they lie in, which keep the live half from reading more: one late span of last month
-- costs a day, not a month. Two groups of one hash are both taken live, which is right too. FINAL merges
-- the marks of a bucket by their key, in a sixth of the time of GROUP BY.
--
-- Bounds of ts are DateTime64(9): with a DateTime the engine (26.7) prunes `ts < x` as `ts <= x - 1`
-- and loses what starts in the last second.
CREATE OR REPLACE VIEW usage_user_day {on_cluster} AS
WITH (
  SELECT (groupBitmapState(cityHash64(project_id, toDate(bucket))), min(bucket), max(bucket) + INTERVAL 15 MINUTE, groupUniqArray(toDate(bucket)))
  FROM rollup_dirty FINAL
  WHERE marked > done_day
) AS dirty
SELECT
  project_id,
  day,
  user_id,
  calls,
  errors,
  calls_missing_usage,
  calls_estimated,
  calls_unpriced,
  calls_priced,
  usage_mask,
  priced_mask,
  tokens_input_uncached,
  tokens_cache_read,
  tokens_cache_write_5m,
  tokens_cache_write_1h,
  tokens_cache_write,
  tokens_output_text,
  tokens_output_reasoning,
  tokens_input_audio,
  tokens_output_audio,
  tokens_input_image,
  tokens_output_image,
  tokens_unpriced,
  cost_input_uncached,
  cost_cache_read,
  cost_cache_write_5m,
  cost_cache_write_1h,
  cost_cache_write,
  cost_output_text,
  cost_output_reasoning,
  cost_input_audio,
  cost_output_audio,
  cost_input_image,
  cost_output_image,
  cost_fees,
  fees_priced_calls,
  client_cost_usd,
  client_cost_calls,
  cost_by_price,
  sessions
FROM usage_user_day_rollup FINAL
WHERE NOT bitmapContains(dirty.1, cityHash64(project_id, day))
UNION ALL
SELECT
  project_id,
  day,
  user_id,
  sum(usage_calls.calls) AS calls,
  sum(usage_calls.errors) AS errors,
  sum(usage_calls.calls_missing_usage) AS calls_missing_usage,
  sum(usage_calls.calls_estimated) AS calls_estimated,
  sum(usage_calls.calls_unpriced) AS calls_unpriced,
  sum(usage_calls.calls_priced) AS calls_priced,
  groupBitOr(usage_calls.usage_mask) AS usage_mask,
  groupBitOr(usage_calls.priced_mask) AS priced_mask,
  sum(usage_calls.tokens_input_uncached) AS tokens_input_uncached,
  sum(usage_calls.tokens_cache_read) AS tokens_cache_read,
  sum(usage_calls.tokens_cache_write_5m) AS tokens_cache_write_5m,
  sum(usage_calls.tokens_cache_write_1h) AS tokens_cache_write_1h,
  sum(usage_calls.tokens_cache_write) AS tokens_cache_write,
  sum(usage_calls.tokens_output_text) AS tokens_output_text,
  sum(usage_calls.tokens_output_reasoning) AS tokens_output_reasoning,
  sum(usage_calls.tokens_input_audio) AS tokens_input_audio,
  sum(usage_calls.tokens_output_audio) AS tokens_output_audio,
  sum(usage_calls.tokens_input_image) AS tokens_input_image,
  sum(usage_calls.tokens_output_image) AS tokens_output_image,
  sum(usage_calls.tokens_unpriced) AS tokens_unpriced,
  sum(usage_calls.cost_input_uncached) AS cost_input_uncached,
  sum(usage_calls.cost_cache_read) AS cost_cache_read,
  sum(usage_calls.cost_cache_write_5m) AS cost_cache_write_5m,
  sum(usage_calls.cost_cache_write_1h) AS cost_cache_write_1h,
  sum(usage_calls.cost_cache_write) AS cost_cache_write,
  sum(usage_calls.cost_output_text) AS cost_output_text,
  sum(usage_calls.cost_output_reasoning) AS cost_output_reasoning,
  sum(usage_calls.cost_input_audio) AS cost_input_audio,
  sum(usage_calls.cost_output_audio) AS cost_output_audio,
  sum(usage_calls.cost_input_image) AS cost_input_image,
  sum(usage_calls.cost_output_image) AS cost_output_image,
  sum(usage_calls.cost_fees) AS cost_fees,
  sum(usage_calls.fees_priced_calls) AS fees_priced_calls,
  sum(usage_calls.client_cost_usd) AS client_cost_usd,
  sum(usage_calls.client_cost_calls) AS client_cost_calls,
  sumMap(map(price_id, usage_calls.cost_input_uncached + usage_calls.cost_cache_read + usage_calls.cost_cache_write_5m + usage_calls.cost_cache_write_1h + usage_calls.cost_cache_write + usage_calls.cost_output_text + usage_calls.cost_output_reasoning + usage_calls.cost_input_audio + usage_calls.cost_output_audio + usage_calls.cost_input_image + usage_calls.cost_output_image + usage_calls.cost_fees)) AS cost_by_price,
  uniqExactIf(session_id, session_id != '') AS sessions
FROM usage_calls
WHERE ts >= toDateTime64(toStartOfDay(dirty.2), 9, 'UTC')
  AND ts < toDateTime64(toStartOfDay(dirty.3) + INTERVAL 1 DAY, 9, 'UTC')
  AND has(dirty.4, toDate(ts))
  AND bitmapContains(dirty.1, cityHash64(project_id, day))
GROUP BY
  project_id,
  day,
  user_id
