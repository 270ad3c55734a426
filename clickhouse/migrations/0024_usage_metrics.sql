-- What each data point adds: deltas as sent, running totals less the point before of the same series
-- and start.
-- kind: metadata
--
-- A running total with a start of its own began at nothing, and one that is smaller than the one
-- before began anew: all of it counts (OpenTelemetry metrics data model, resets and gaps). Two
-- programs whose attributes are the same are told apart by their starts, though their points mix.
CREATE VIEW IF NOT EXISTS usage_metrics {on_cluster} AS
SELECT
  * EXCEPT (value, last_value),
  if(temporality = 'cumulative' AND value >= last_value, value - last_value, value) AS amount
FROM
(
  SELECT
    *,
    lagInFrame(value) OVER (
      PARTITION BY project_id, metric, series, start_ts ORDER BY ts
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS last_value
  FROM usage_metric_points FINAL
)
