/**
 * The tables of "latency, errors and limits", and its cloud of single calls: from a number to the calls
 * behind it.
 *
 * Invariant: every row of one call, or with an example, leads to its trace.
 */
import { callFiltersSql, dimensionSql, PROJECT_SQL, textSql } from "../filters.ts";
import { tablePanel, xyChart } from "../panels.ts";
import { table } from "../query.ts";
import { inRangeSql, measureSql, usageSql } from "../usage-sql.ts";
import { columnsOfCall, exploreUrl, SESSION_LINK, TRACE_LINK } from "./explorer-spans.ts";

/** What kind of failure a failed call is, by its HTTP status and, where there is none, by its error. */
export const FAILURE_KIND = `multiIf(
    http_status = 429 OR match(error_type, '(?i)rate.?limit|throttl|resource.?exhausted|too.?many.?requests|quota|^429$'), 'rate limited',
    http_status IN (408, 504) OR match(error_type, '(?i)time.?out|deadline'), 'timed out',
    http_status >= 500 OR match(error_type, '(?i)overloaded|internal.?server|unavailable|^5[0-9][0-9]$'), 'server error',
    http_status >= 400 OR match(error_type, '(?i)bad.?request|invalid.?request|authentication|permission|not.?found|^4[0-9][0-9]$'), 'refused',
    'other')`;

/** What differs from message to message taken out, so that the same error is one row. */
const MESSAGE = `substringUTF8(replaceRegexpAll(substringUTF8(status_message, 1, 1000), '[A-Za-z0-9_-]*[0-9][A-Za-z0-9_.:-]*', '#'), 1, 200)`;

const TRACE = "lower(hex(trace_id))";

const ERRORS_SQL = `SELECT
  ${FAILURE_KIND} AS "Kind",
  ${textSql("error_type")} AS "Error",
  if(http_status = 0, NULL, http_status) AS "HTTP",
  ${dimensionSql("provider")} AS "Provider",
  ${dimensionSql("model")} AS "Model",
  ${MESSAGE} AS "Message",
  count() AS "Calls",
  uniqExactIf(user_id, user_id != '') AS "Users",
  max(ts) AS "Last",
  argMax(${TRACE}, ts) AS "Trace"
FROM calls
WHERE ${callFiltersSql()}
  AND ${inRangeSql()}
  AND status = 'error'
GROUP BY ALL
ORDER BY "Calls" DESC, "Last" DESC
LIMIT 100`;

const FAILED_SQL = `SELECT
  ts AS "Time",
  ${dimensionSql("service_name")} AS "Service",
  ${dimensionSql("model")} AS "Model",
  ${FAILURE_KIND} AS "Kind",
  ${textSql("error_type")} AS "Error",
  if(http_status = 0, NULL, http_status) AS "HTTP",
  substringUTF8(status_message, 1, 200) AS "Message",
  duration_ns AS "Took",
  ${dimensionSql("user_id")} AS "User",
  session_id AS "Session",
  ${TRACE} AS "Trace"
FROM calls
WHERE ${callFiltersSql()}
  AND ${inRangeSql()}
  AND status = 'error'
ORDER BY ts DESC
LIMIT 200`;

/** A call of the same model below the same span that begins so soon after a failed one tries again, s. */
const RETRY_S = 120;

/** Failed calls, and whether the same span called the same model again after them. */
const RETRIES_SQL = `SELECT
  provider_name AS "Provider",
  model_name AS "Model",
  countIf(failed) AS "Failed",
  countIf(failed AND again) AS "Tried again",
  countIf(failed AND again AND (NOT next_failed)) AS "Then answered",
  countIf(failed AND (NOT again)) AS "Given up",
  countIf(failed AND again) / countIf(failed) AS "Share tried again"
FROM (
  SELECT
    provider_name,
    model_name,
    failed,
    next_failed,
    next_ns > 0 AND next_ns >= end_ns AND next_ns < end_ns + ${RETRY_S} * 1000000000 AS again
  FROM (
    SELECT
      ${dimensionSql("provider")} AS provider_name,
      ${textSql("request_model")} AS model_name,
      status = 'error' AS failed,
      toUnixTimestamp64Nano(ts) + toInt64(duration_ns) AS end_ns,
      leadInFrame(toUnixTimestamp64Nano(ts)) OVER below AS next_ns,
      leadInFrame(status = 'error') OVER below AS next_failed
    FROM calls
    WHERE ${callFiltersSql()}
      AND ${inRangeSql()}
      AND trace_id IN (
        SELECT trace_id FROM spans
        WHERE ${PROJECT_SQL} AND ${inRangeSql()} AND status = 'error' AND span_class = 'billable'
      )
    WINDOW below AS (
      PARTITION BY project_id, trace_id, parent_span_id, request_model
      ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
)
GROUP BY provider_name, model_name
HAVING "Failed" > 0
ORDER BY "Failed" DESC
LIMIT 50`;

/** First calls of versions of a service that had another before, in the range. */
export const VERSIONS_SQL = `SELECT
  first AS time,
  concat(service, ' ', version) AS title,
  'First call of this version' AS text,
  'version' AS tags
FROM (
  SELECT service, version, first, min(first) OVER (PARTITION BY service) AS earliest
  FROM (
    SELECT
      toString(service_name) AS service,
      resource_attributes['service.version'] AS version,
      min(ts) AS first
    FROM calls
    WHERE ${callFiltersSql()}
      AND ${inRangeSql()}
      AND version != ''
    GROUP BY service, version
  )
)
WHERE first > earliest
ORDER BY time
LIMIT 100`;

const OUTPUT = measureSql("output_total");

/** Calls that stand for all: as many as a reader can tell apart. */
const SAMPLE_SQL = `SELECT
  ${OUTPUT} AS "Output tokens",
  sums.duration AS "Took",
  sums.model_name AS "Model",
  sums.trace AS "Trace"
FROM (
  SELECT
    duration_ns AS duration,
    ${dimensionSql("model")} AS model_name,
    ${TRACE} AS trace,
    ${columnsOfCall([OUTPUT])}
  FROM calls AS span
  WHERE ${callFiltersSql()}
    AND ${inRangeSql()}
    AND status != 'error'
    AND bitAnd(usage_mask, 32 + 64) != 0
  ORDER BY sipHash64(trace_id, span_id)
  LIMIT 1000
) AS sums
ORDER BY "Output tokens"`;

/** Duration against output tokens. */
export const SAMPLE = xyChart(
  {
    id: 16,
    title: "Latency by output tokens",
    description:
      "A sample of at most 1,000 calls that were answered. Points far above the others took long for what they said; a point leads to its trace.",
    width: 12,
    unit: "duration_ns",
    colour: "latency_p50",
    targets: [table(SAMPLE_SQL)],
    fields: {
      "Output tokens": { unit: "tokens" },
      Model: { unit: "text" },
      Trace: { unit: "text" },
    },
    links: [{ title: "Open the trace", url: exploreUrl({ trace_id: "${__data.fields.Trace}" }) }],
  },
  {
    mapping: "manual",
    series: [
      {
        name: { fixed: "Calls" },
        x: { matcher: { id: "byName", options: "Output tokens" } },
        y: { matcher: { id: "byName", options: "Took" } },
      },
    ],
    legend: { showLegend: false, displayMode: "list", placement: "bottom", calcs: [] },
    tooltip: { mode: "single", sort: "none" },
  },
  { show: "points", pointSize: { fixed: 4 }, fillOpacity: 40 },
);

const LATENCY_FIELDS = {
  p50: { unit: "duration_ns" },
  p95: { unit: "duration_ns" },
  p99: { unit: "duration_ns" },
  "First token p50": { unit: "duration_ns" },
  "First token p95": { unit: "duration_ns" },
  "Output speed": { unit: "tokens_per_second", decimals: 1 },
  Failed: { unit: "share", decimals: 2 },
} as const;

/** What fails, and which calls do. */
export const FAILURES = [
  tablePanel({
    id: 20,
    title: "Errors",
    description:
      "Failed calls by what failed, the most frequent first; numbers and ids in messages are left out. Messages are there when content is captured. The trace is that of the last one.",
    width: 14,
    unit: "count",
    targets: [table(ERRORS_SQL)],
    fields: {
      Calls: { cell: "bar", colour: "error" },
      HTTP: { unit: "none" },
      Message: { width: 220 },
      Last: { unit: "time" },
      Trace: { link: TRACE_LINK, width: 110 },
    },
    no_value: "No call failed",
  }),
  tablePanel({
    id: 21,
    title: "Retries",
    description: `Failed calls, and whether the same span called the same model again within ${RETRY_S} s. What a client tries again inside one span is not seen.`,
    width: 10,
    unit: "count",
    targets: [table(RETRIES_SQL)],
    fields: { "Share tried again": { unit: "share", decimals: 0 } },
    no_value: "No call failed",
  }),
];

/** Where time goes. */
export const DETAILS = [
  tablePanel({
    id: 22,
    title: "Slowest operations",
    description: "Services, operations and models whose calls take longest (95 % within).",
    width: 14,
    unit: "count",
    targets: [
      table(
        usageSql({
          select: {
            p95: measureSql("duration", "p95_ns"),
            p50: measureSql("duration", "p50_ns"),
            p99: measureSql("duration", "p99_ns"),
            Calls: measureSql("calls"),
            Failed: measureSql("error_rate"),
          },
          by: { Service: "service_name", Operation: "operation", Model: "model" },
          limit: 50,
        }),
      ),
    ],
    fields: {
      p50: LATENCY_FIELDS.p50,
      p95: { ...LATENCY_FIELDS.p95, cell: "bar", colour: "latency_p95" },
      p99: LATENCY_FIELDS.p99,
      Failed: LATENCY_FIELDS.Failed,
    },
  }),
  tablePanel({
    id: 23,
    title: "Streamed or not",
    description:
      "Calls by whether the answer was streamed; (none) where the call does not say. The output speed is that of all its calls together.",
    width: 10,
    unit: "count",
    targets: [
      table(
        usageSql({
          select: {
            Calls: measureSql("calls"),
            p50: measureSql("duration", "p50_ns"),
            p95: measureSql("duration", "p95_ns"),
            "First token p50": measureSql("ttft", "p50_ns"),
            "Output speed": measureSql("output_tokens_per_second"),
            Failed: measureSql("error_rate"),
          },
          by: { Streamed: "streaming" },
        }),
      ),
    ],
    fields: {
      p50: LATENCY_FIELDS.p50,
      p95: LATENCY_FIELDS.p95,
      "First token p50": LATENCY_FIELDS["First token p50"],
      "Output speed": LATENCY_FIELDS["Output speed"],
      Failed: LATENCY_FIELDS.Failed,
    },
  }),
];

/** The latest failures. */
export const RECENT = [
  tablePanel({
    id: 24,
    title: "Recent failed calls",
    description: "The newest 200. Messages are there when content is captured.",
    width: 24,
    unit: "text",
    targets: [table(FAILED_SQL)],
    fields: {
      Time: { unit: "time" },
      HTTP: { unit: "none" },
      Took: { unit: "duration_ns" },
      Session: { link: SESSION_LINK },
      Trace: { link: TRACE_LINK },
    },
    no_value: "No call failed",
  }),
];
