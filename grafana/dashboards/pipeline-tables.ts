/**
 * The tables of "collector and data quality": who tells of calls and how well, what is stored, which
 * collectors there are and what went wrong.
 *
 * Invariant: a call in doubt is one by the rules of schemas/measures.ts, whatever table shows it.
 */
import { callFiltersSql, textSql } from "../filters.ts";
import { series, tablePanel } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { samplesSql } from "../samples-sql.ts";
import { coverageSql, inRangeSql, measureSql, usageSql } from "../usage-sql.ts";

/** Why panels of collectors have nothing over the data of tests. */
export const NO_SAMPLES = "samples are those of a running collector";
/** Stands at the end of descriptions. */
export const OF_ALL = "Of the whole installation, whatever project is picked.";

/** Metrics that say that something is wrong, by what it is. */
const TROUBLES = {
  "INSERT attempts that failed": "spanledger_insert_failures_total",
  "Records that ClickHouse refused for good": "spanledger_set_aside_records_total",
  "Syncs of the log that failed": "spanledger_wal_sync_failures_total",
  "Records refused as the disk budget was full": "spanledger_wal_refused_records_total",
  "Ends of the log cut by a crash": "spanledger_wal_torn_tails_total",
  "Damaged ranges of the log": "spanledger_wal_quarantined_records_total",
  "Missing files of the log": "spanledger_wal_missing_segments_total",
  "Times the counting rules failed": "spanledger_resolve_failures_total",
  "Traces left as their spans say": "spanledger_resolve_left_out_total",
  "Rounds of the rollups that failed": "spanledger_recompute_failures_total",
  "Values that no sample had room or time for": "spanledger_dropped_samples_total",
} as const;

function troublesSql(): string {
  const [names, metrics] = [Object.keys(TROUBLES), Object.values(TROUBLES)];
  const quote = (texts: readonly string[]) => texts.map((text) => `'${text}'`).join(", ");
  return `SELECT
  transform(toString(name), [${quote(metrics)}], [${quote(names)}], toString(name)) AS "What",
  arrayStringConcat(arrayFilter(word -> word != '', groupUniqArray(concat(labels['remedy'], labels['reason']))), ', ') AS "Kind",
  sum(value) AS "Times",
  max(sampled_at) AS "Last"
FROM collector_samples FINAL
WHERE ${samplesSql(metrics, "counter")}
GROUP BY name
HAVING "Times" > 0
ORDER BY "Times" DESC`;
}

const QUALITY_SQL = `SELECT
  ${textSql("scope_name")} AS "Instrumentation",
  ${textSql("dialect")} AS "Dialect",
  arrayStringConcat(arraySlice(arraySort(groupUniqArrayIf(toString(scope_version), scope_version != '')), 1, 5), ', ') AS "Versions",
  count() AS "Calls",
  countIf(usage_status = 'missing' AND (NOT refused)) AS "No usage",
  countIf(usage_status = 'estimated') AS "Estimated",
  countIf(cost_status != 'priced') AS "No price",
  countIf(suspected_duplicate = 1) AS "Suspected twins",
  countIf(toUnixTimestamp64Milli(ts) - toUnixTimestamp64Milli(ingested_at) > 60000) AS "Clock ahead"
FROM calls
WHERE ${callFiltersSql()}
  AND ${inRangeSql()}
GROUP BY scope_name, dialect
ORDER BY "Calls" DESC
LIMIT 100`;

const UNPRICED_SQL = `SELECT * FROM (
${usageSql({
  select: {
    "No price": coverageSql("calls_unpriced"),
    Calls: measureSql("calls"),
    Tokens: `sums.tokens_unpriced`,
  },
  by: { Provider: "provider", Model: "model" },
})}
)
WHERE "No price" > 0
ORDER BY "No price" DESC
LIMIT 50`;

const TABLES_SQL = `SELECT
  table AS "Table",
  sum(rows) AS "Rows",
  count() AS "Parts",
  sum(bytes_on_disk) AS "On disk",
  if(sum(rows) = 0, NULL, sum(bytes_on_disk) / sum(rows)) AS "A row",
  if(sum(data_compressed_bytes) = 0, NULL, sum(data_uncompressed_bytes) / sum(data_compressed_bytes)) AS "Compression"
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY "On disk" DESC
LIMIT 50`;

const COLLECTORS_SQL = `SELECT
  toString(instance_id) AS "Collector",
  argMax(labels['version'], sampled_at) AS "Version",
  argMax(labels['engine'], sampled_at) AS "Engine",
  max(sampled_at) AS "Last sample",
  count() AS "Samples"
FROM collector_samples FINAL
WHERE ${samplesSql(["spanledger_build_info"], "gauge")}
GROUP BY instance_id
ORDER BY "Last sample" DESC
LIMIT 100`;

/** A count that should be 0. */
const BAD_COUNT = [
  { from: null, colour: "good" },
  { from: 1, colour: "warning" },
] as const;

/** How well calls are told. */
export const QUALITY = [
  series(
    {
      id: 20,
      title: "Calls in doubt",
      description:
        "Picked calls that nobody reported the usage of, whose token split rests on an assumption, or whose cost is not wholly known. A call may be in several.",
      width: 10,
      unit: "calls",
      fields: {
        "No usage": { colour: "unknown" },
        Estimated: { colour: "forecast" },
        "No price": { colour: "warning" },
      },
      targets: [
        points(
          usageSql({
            select: {
              "No usage": coverageSql("calls_missing_usage"),
              Estimated: coverageSql("calls_estimated"),
              "No price": coverageSql("calls_unpriced"),
            },
            step: "auto",
          }),
        ),
      ],
    },
    { draw: "bars", calcs: ["sum"] },
  ),
  tablePanel({
    id: 21,
    title: "Quality by instrumentation",
    description:
      "Who tells of the picked calls, and what is missing: no usage, an assumed token split, no price, what may be another report of a counted call, and starts more than a minute after receipt.",
    width: 14,
    unit: "count",
    targets: [table(QUALITY_SQL)],
    fields: {
      Instrumentation: { width: 240, unit: "text" },
      Dialect: { unit: "text" },
      Versions: { unit: "text" },
      "No usage": { thresholds: BAD_COUNT, cell: "colour" },
      "No price": { thresholds: BAD_COUNT, cell: "colour" },
      "Clock ahead": { thresholds: BAD_COUNT, cell: "colour" },
    },
  }),
];

/** What has no price, and what is stored. */
export const STORED = [
  tablePanel({
    id: 22,
    title: "Models without a price",
    description:
      "Picked calls whose cost is not wholly known, by model, and their tokens without a price. GET /v1/analytics/models/unpriced says why and what to do.",
    width: 10,
    unit: "count",
    targets: [table(UNPRICED_SQL)],
    fields: {
      Provider: { unit: "text" },
      Model: { unit: "text", width: 220 },
      Tokens: { unit: "tokens", label: "Tokens without a price" },
    },
    no_value: "Every call has a price",
  }),
  tablePanel({
    id: 23,
    title: "Tables",
    description: `What ClickHouse holds now, by table. ${OF_ALL}`,
    width: 14,
    unit: "count",
    targets: [table(TABLES_SQL)],
    ignores_range: "it says what is stored now",
    fields: {
      Table: { unit: "text", width: 220 },
      "On disk": { unit: "bytes", cell: "bar", colour: "calls" },
      "A row": { unit: "bytes", decimals: 1 },
      Compression: { unit: "none", decimals: 1 },
    },
  }),
];

/** Collectors, and their troubles. */
export const COLLECTORS = [
  tablePanel({
    id: 24,
    title: "Collectors",
    description: `Those that told of themselves in the range. ${OF_ALL}`,
    width: 12,
    unit: "count",
    targets: [table(COLLECTORS_SQL)],
    fields: {
      Collector: { unit: "text", width: 300 },
      Version: { unit: "text" },
      Engine: { unit: "text" },
      "Last sample": { unit: "time" },
    },
    may_be_empty: NO_SAMPLES,
  }),
  tablePanel({
    id: 25,
    title: "What went wrong",
    description: `Failures and damage that collectors counted in the range; most were recovered from. docs/guides/observability.md says what to do. ${OF_ALL}`,
    width: 12,
    unit: "count",
    targets: [table(troublesSql())],
    fields: {
      What: { unit: "text", width: 300 },
      Kind: { unit: "text" },
      Last: { unit: "time" },
    },
    no_value: "Nothing went wrong",
    may_be_empty: NO_SAMPLES,
  }),
];
