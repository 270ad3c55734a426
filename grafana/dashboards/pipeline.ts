/**
 * Collector and data quality: whether everything that is sent arrives, is stored in time, and can be
 * counted on.
 *
 * Invariant: the figures of collectors are of the whole installation, those of calls of the picked project;
 * each panel says which.
 */
import type { DashboardSpec } from "../dashboard.ts";
import { PROJECT_SQL } from "../filters.ts";
import { series, stat } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { countSql, gaugesSql, lastGaugeSql, quantileSql, ratesSql } from "../samples-sql.ts";
import { coverageSql, measureSql, startOfStep, STEP_S, usageSql } from "../usage-sql.ts";
import { COLLECTORS, NO_SAMPLES, OF_ALL, QUALITY, STORED } from "./pipeline-tables.ts";

const ACCEPTED = "spanledger_accepted_items_total";
const REJECTED = "spanledger_rejected_items_total";
const REFUSED = "spanledger_otlp_refused_requests_total";

/** End of a span to its receipt, seconds; below 0 the clock of the sender was ahead. */
const LAG =
  "(toUnixTimestamp64Milli(ingested_at) - intDiv(toUnixTimestamp64Nano(ts) + toInt64(duration_ns), 1000000)) / 1000";

/** What was received in the picked range, and in its last day when it is longer. */
const RECEIVED = `ingested_at >= greatest($__fromTime_ms, $__toTime_ms - INTERVAL 1 DAY)
  AND ingested_at < $__toTime_ms
  AND ${PROJECT_SQL}`;

/** A share that should be 0. */
const BAD = [
  { from: null, colour: "good" },
  { from: 0.001, colour: "warning" },
  { from: 0.05, colour: "error" },
] as const;

const TILES = [
  stat({
    id: 1,
    title: "Accepted",
    description: `Spans, log records and data points a second that were acknowledged. ${OF_ALL}`,
    width: 4,
    unit: "per_second",
    colour: "calls",
    targets: [
      table(
        `SELECT ${countSql(ACCEPTED)} / greatest(toUnixTimestamp64Milli($__toTime_ms) - toUnixTimestamp64Milli($__fromTime_ms), 1) * 1000 AS "Accepted"`,
      ),
    ],
    may_be_empty: NO_SAMPLES,
  }),
  stat({
    id: 2,
    title: "Rejected",
    description: `Share of what came that was refused item by item, for its time or its form. ${OF_ALL}`,
    width: 4,
    unit: "share",
    thresholds: BAD,
    targets: [
      table(
        `SELECT rejected / nullIf(accepted + rejected, 0) AS "Rejected"
FROM (SELECT ${countSql(REJECTED)} AS rejected, ${countSql(ACCEPTED)} AS accepted)`,
      ),
    ],
    may_be_empty: NO_SAMPLES,
  }),
  stat({
    id: 3,
    title: "Ingest lag p95",
    description:
      "End of a span to its receipt, 95th percentile; of a range longer than a day its last day. Below 0 the clock of the sender is ahead.",
    width: 4,
    unit: "duration_s",
    colour: "latency_p95",
    targets: [
      table(`SELECT quantileTDigest(0.95)(${LAG}) AS "Ingest lag p95"
FROM spans
WHERE ${RECEIVED}
HAVING count() > 0`),
    ],
    may_be_empty: "the test data was received at one moment",
  }),
  stat({
    id: 4,
    title: "Log budget used",
    description: `Share of its disk budget that the fullest write-ahead log uses; at 100 % senders get 503. ${OF_ALL}`,
    width: 4,
    unit: "share",
    min: 0,
    max: 1,
    thresholds: [
      { from: null, colour: "good" },
      { from: 0.5, colour: "warning" },
      { from: 0.8, colour: "error" },
    ],
    targets: [table(lastGaugeSql("spanledger_wal_budget_ratio", "max"))],
    may_be_empty: NO_SAMPLES,
  }),
  stat({
    id: 5,
    title: "Tokens with a price",
    description: "Share of the known tokens of the picked calls whose cost is known.",
    width: 4,
    unit: "share",
    thresholds: [
      { from: null, colour: "error" },
      { from: 0.9, colour: "warning" },
      { from: 0.99, colour: "good" },
    ],
    targets: [
      table(usageSql({ select: { "Tokens with a price": coverageSql("tokens_priced_share") } })),
    ],
  }),
  stat({
    id: 6,
    title: "Calls without usage",
    description:
      "Share of the picked calls whose use nobody reported: they are counted and cost nothing.",
    width: 4,
    unit: "share",
    thresholds: BAD,
    targets: [
      table(
        usageSql({
          select: {
            "Calls without usage": `${coverageSql("calls_missing_usage")} / ${measureSql("calls")}`,
          },
        }),
      ),
    ],
  }),
];

const INCOMING = [
  series(
    {
      id: 10,
      title: "Accepted by signal",
      description: `Spans (traces), log records and data points a second. ${OF_ALL}`,
      width: 12,
      unit: "per_second",
      named_by: "series",
      targets: [points(ratesSql({ accepted: ACCEPTED }, { by: "labels['signal']" }))],
      may_be_empty: NO_SAMPLES,
    },
    { stack: true, calcs: ["mean", "max"] },
  ),
  series(
    {
      id: 11,
      title: "Rejected items and refused requests by reason",
      description: `How often a step: items refused in partial_success, and export requests refused as a whole. ${OF_ALL}`,
      width: 12,
      unit: "count",
      named_by: "series",
      targets: [
        points(
          ratesSql(
            { items: REJECTED, requests: REFUSED },
            {
              each: "step",
              by: `concat(labels['signal'], ' ', labels['reason'], if(name = '${REFUSED}', ' (request)', ''))`,
            },
          ),
        ),
      ],
      no_value: "Nothing was refused",
      may_be_empty: NO_SAMPLES,
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
];

const STORING = [
  series({
    id: 12,
    title: "Commit and INSERT, p95",
    description: `Commit: inflated body to fsynced log, which is what a sender waits for. INSERT: rows with their marks. Estimated from buckets. ${OF_ALL}`,
    width: 8,
    unit: "duration_s",
    named_by: "series",
    targets: [
      points(
        quantileSql(
          {
            Commit: "spanledger_ack_duration_seconds",
            INSERT: "spanledger_insert_duration_seconds",
          },
          0.95,
        ),
      ),
    ],
    may_be_empty: NO_SAMPLES,
  }),
  series({
    id: 13,
    title: "Ingest lag",
    description:
      "End of a span to its receipt, by the time of receipt; of a range longer than a day its last day. Below 0 the clock of the sender is ahead.",
    width: 8,
    unit: "duration_s",
    fields: { p50: { colour: "latency_p50" }, p95: { colour: "latency_p95" } },
    targets: [
      points(`SELECT
  ${startOfStep("ingested_at")} AS time,
  quantilesTDigest(0.5, 0.95)(${LAG})[1] AS p50,
  quantilesTDigest(0.5, 0.95)(${LAG})[2] AS p95
FROM spans
WHERE ${RECEIVED}
GROUP BY time
ORDER BY time`),
    ],
    may_be_empty: "the test data was received at one moment",
  }),
  series({
    id: 14,
    title: "Rows of an INSERT",
    description: `Mean rows of one INSERT, and rows that ClickHouse took a second (right). ${OF_ALL}`,
    width: 8,
    unit: "count",
    fields: {
      "Rows of an INSERT": { colour: "calls" },
      "Rows a second": { colour: "tokens", axis: "right", unit: "per_second" },
    },
    targets: [
      points(`SELECT
  time,
  sumIf(value, series = 'rows') / nullIf(sumIf(value, series = 'inserts'), 0) AS "Rows of an INSERT",
  sumIf(value, series = 'rows') / ${STEP_S} AS "Rows a second"
FROM (
${ratesSql(
  { rows: "spanledger_insert_batch_rows_sum", inserts: "spanledger_insert_batch_rows_count" },
  { each: "step" },
)}
)
GROUP BY time
ORDER BY time`),
    ],
    may_be_empty: NO_SAMPLES,
  }),
];

const WAITING = [
  series({
    id: 15,
    title: "Write-ahead log",
    description: `Bytes on disk, and records that ClickHouse does not have yet (right). ${OF_ALL}`,
    width: 8,
    unit: "bytes",
    min: 0,
    fields: {
      "Bytes of the log": { colour: "calls" },
      "Records waiting": { colour: "warning", axis: "right", unit: "count" },
    },
    targets: [
      points(
        gaugesSql({
          "Bytes of the log": ["spanledger_wal_bytes", "sum"],
          "Records waiting": ["spanledger_wal_pending_records", "sum"],
        }),
      ),
    ],
    may_be_empty: NO_SAMPLES,
  }),
  series({
    id: 16,
    title: "Backlog of the rollups",
    description: `Pairs of project and 15 minutes that the rollups lack, which readers take live, and how long the oldest has waited (right). ${OF_ALL}`,
    width: 8,
    unit: "count",
    min: 0,
    fields: {
      "Buckets waiting": { colour: "calls" },
      "Oldest waits": { colour: "warning", axis: "right", unit: "duration_s" },
    },
    targets: [
      points(
        gaugesSql({
          "Buckets waiting": ["spanledger_recompute_dirty_buckets", "sum"],
          "Oldest waits": ["spanledger_recompute_oldest_dirty_seconds", "max"],
        }),
      ),
    ],
    may_be_empty: NO_SAMPLES,
  }),
  series({
    id: 17,
    title: "Memory and bodies in flight",
    description: `Resident memory of the processes, and bytes of request bodies being worked on. ${OF_ALL}`,
    width: 8,
    unit: "bytes",
    min: 0,
    fields: { Memory: { colour: "calls" }, "Bodies in flight": { colour: "tokens" } },
    targets: [
      points(
        gaugesSql({
          Memory: ["process_resident_memory_bytes", "sum"],
          "Bodies in flight": ["spanledger_otlp_in_flight_bytes", "sum"],
        }),
      ),
    ],
    may_be_empty: NO_SAMPLES,
  }),
];

export const PIPELINE: DashboardSpec = {
  name: "pipeline",
  title: "Collector and data quality",
  description: "Whether everything that is sent arrives, is stored in time and can be counted on.",
  tags: ["operations"],
  from: "now-6h",
  refresh: "1m",
  has_group_by: false,
  rows: [
    { height: 4, panels: TILES },
    { height: 8, panels: INCOMING },
    { height: 8, panels: STORING },
    { height: 8, panels: WAITING },
    { height: 9, panels: QUALITY },
    { height: 9, panels: STORED },
    { height: 7, panels: COLLECTORS },
  ],
};
