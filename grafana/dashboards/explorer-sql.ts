/**
 * Statements of the explorer: traces and sessions that fit what is written in the text boxes, and all about
 * the picked one.
 *
 * Invariant: a text box that is empty asks for nothing, and whatever is written in one is a text for SQL.
 */
import {
  callFiltersSql,
  FILTER_NAMES,
  filterSql,
  isAllSql,
  PROJECT_SQL,
  textBoxSql,
} from "../filters.ts";
import { measureSql, PICKED_RANGE } from "../usage-sql.ts";
import {
  columnsOfCall,
  IN_PICKED_RANGE,
  IN_PICKED_TRACE,
  IS_CALL,
  IS_PICKED_TRACE,
  sumsOfCalls,
  TOOL_SQL,
} from "./explorer-spans.ts";

const trimmed = (name: string) => `trimBoth(${textBoxSql(name)})`;
const TRACE_BOX = trimmed("trace_id");
const SESSION_BOX = textBoxSql("session_id");
const SEARCH_BOX = trimmed("search");
const MIN_COST_BOX = trimmed("min_cost");
const MIN_DURATION_BOX = trimmed("min_duration");
const STATUS_BOX = `lower(${trimmed("status")})`;

/** Text boxes that choose among traces, beside the filters. */
export const TEXT_BOXES = {
  trace_id: "Trace id",
  session_id: "Session id",
  search: "Search",
  min_cost: "Min cost, $",
  min_duration: "Min duration, s",
  status: "Status (ok, error)",
} as const;

/** Words of a span that are searched. */
const WORDS = `concatWithSeparator(' ', span.name, span.service_name, span.user_id, span.session_id, span.request_model, span.response_model, span.agent_name, span.error_type)`;
const IS_FOUND = `(${SEARCH_BOX} = '' OR positionCaseInsensitiveUTF8(${WORDS}, ${SEARCH_BOX}) > 0)`;
const FILTERED = FILTER_NAMES.map((name) => filterSql(name)).join("\n    AND ");

const COST = measureSql("cost_usd");
const CALLS = measureSql("calls");
const ERRORS = measureSql("errors");
const INPUT = measureSql("input_total");
const OUTPUT = measureSql("output_total");

/** The conditions on what a trace or a session has cost, how long it took and how it ended. */
const FITS = `(${MIN_COST_BOX} = '' OR coalesce(${COST}, toDecimal128(-1, 12)) >= toDecimal128OrZero(${MIN_COST_BOX}, 12))
  AND (${MIN_DURATION_BOX} = '' OR sums.length_ns >= toFloat64OrZero(${MIN_DURATION_BOX}) * 1000000000)
  AND (${STATUS_BOX} = '' OR if(sums.failed_spans > 0, 'error', 'ok') = ${STATUS_BOX})`;

/** The newest traces that are listed, at most. */
const MAX_TRACES = 200;

/** True when every filter and text box is empty, so that the newest traces of all are those of the list. */
const IS_UNFILTERED = [
  ...FILTER_NAMES.map((name) => isAllSql(name)),
  ...Object.keys(TEXT_BOXES).map((name) => `${textBoxSql(name)} = ''`),
].join(" AND ");

const NEWEST = `SELECT trace_id, min(ts) AS start
      FROM spans
      WHERE ${IN_PICKED_RANGE}
      GROUP BY project_id, trace_id
      ORDER BY start DESC
      LIMIT ${MAX_TRACES}`;

/** Without filters only the newest traces are read. */
const IS_CANDIDATE = `(NOT (${IS_UNFILTERED}) OR (
      ts >= (SELECT min(start) FROM (${NEWEST}))
      AND trace_id IN (SELECT trace_id FROM (${NEWEST}))
    ))`;

const names = (sql: string) =>
  `arrayStringConcat(arraySlice(arraySort(groupUniqArrayIf(${sql}, ${sql} != '')), 1, 5), ', ')`;

const LENGTH =
  "toUInt64(max(toUnixTimestamp64Nano(span.ts) + toInt64(span.duration_ns)) - min(toUnixTimestamp64Nano(span.ts)))";

/** Traces with a span that fits all filters and the boxes of names, and more conditions on spans. */
function tracesSql(condition: string, measures: readonly string[]): string {
  return `(
  SELECT
    span.project_id AS project,
    lower(hex(span.trace_id)) AS trace,
    min(span.ts) AS start,
    ${LENGTH} AS length_ns,
    argMin((toString(span.name), toString(span.service_name)), (span.parent_span_id != toFixedString('', 8), span.ts, span.span_id)) AS root,
    count() AS spans,
    countIf(span.status = 'error') AS failed_spans,
    countIf(span.span_class = 'tool') AS tools,
    ${names("toString(if(span.response_model = '', span.request_model, span.response_model))")} AS models,
    ${names("span.user_id")} AS users,
    anyIf(span.session_id, span.session_id != '') AS session,
    ${sumsOfCalls(measures)}
  FROM ledger_spans AS span
  WHERE ${IN_PICKED_RANGE}
    AND (${TRACE_BOX} = '' OR ${IS_PICKED_TRACE})
    AND ${condition}
  GROUP BY span.project_id, span.trace_id
  HAVING countIf(${FILTERED}) > 0
    AND countIf(${SESSION_BOX} = '' OR span.session_id = ${SESSION_BOX}) > 0
    AND countIf(${IS_FOUND}) > 0
)`;
}

/** What is found, in one row. */
export const FOUND_SQL = `SELECT
  count() AS "Traces",
  sum(sums.failed_spans > 0) AS "With a failure",
  sum(${CALLS}) AS "Model calls",
  sum(${COST}) AS "Spend",
  sum(sums.tokens_total) AS "Tokens",
  quantileTDigest(0.95)(sums.length_ns) AS "Trace p95"
FROM ${tracesSql("1 = 1", [COST, CALLS, "sums.tokens_total"])} AS sums
WHERE ${FITS}
HAVING count() > 0`;

/** The traces that are found, newest first. */
export const TRACES_SQL = `SELECT
  sums.start AS "Started",
  sums.trace AS "Trace",
  sums.root.1 AS "Root",
  sums.root.2 AS "Service",
  sums.users AS "Users",
  sums.session AS "Session",
  sums.models AS "Models",
  ${CALLS} AS "Calls",
  sums.tools AS "Tools",
  sums.spans AS "Spans",
  ${INPUT} AS "Input tokens",
  ${OUTPUT} AS "Output tokens",
  ${COST} AS "Spend",
  sums.length_ns AS "Took",
  if(sums.failed_spans > 0, 'error', 'ok') AS "Status"
FROM ${tracesSql(IS_CANDIDATE, [COST, CALLS, INPUT, OUTPUT])} AS sums
WHERE ${FITS}
ORDER BY "Started" DESC, "Trace"
LIMIT ${MAX_TRACES}`;

/** The sessions of calls that are found, the last used first. */
export const SESSIONS_SQL = `SELECT
  sums.session AS "Session",
  sums.first AS "First call",
  sums.last AS "Last call",
  sums.users AS "Users",
  sums.services AS "Services",
  sums.traces AS "Traces",
  ${CALLS} AS "Calls",
  ${ERRORS} AS "Failed",
  ${INPUT} AS "Input tokens",
  ${OUTPUT} AS "Output tokens",
  ${COST} AS "Spend"
FROM (
  SELECT
    span.session_id AS session,
    min(span.ts) AS first,
    max(span.ts) AS last,
    ${LENGTH} AS length_ns,
    ${names("span.user_id")} AS users,
    ${names("toString(span.service_name)")} AS services,
    uniqExact(span.trace_id) AS traces,
    countIf(span.status = 'error') AS failed_spans,
    ${sumsOfCalls([COST, CALLS, ERRORS, INPUT, OUTPUT])}
  FROM calls AS span
  WHERE ${callFiltersSql()}
    AND ${IN_PICKED_RANGE}
    AND span.session_id != ''
    AND (${SESSION_BOX} = '' OR span.session_id = ${SESSION_BOX})
    AND (${TRACE_BOX} = '' OR ${IS_PICKED_TRACE})
  GROUP BY span.session_id
  HAVING countIf(${IS_FOUND}) > 0
) AS sums
WHERE ${FITS}
ORDER BY "Last call" DESC, "Session"
LIMIT 100`;

/** Attributes as Grafana's trace view wants them. */
const pairs = (column: string) =>
  `arrayMap(key -> map('key', key, 'value', ${column}[key]), mapKeys(${column}))`;

/** Spans of one trace that are drawn, at most. */
const MAX_SPANS = 5_000;

/** The spans of the picked trace for the trace view; what the ledger says of a span stands among its tags. */
export const WATERFALL_SQL = `SELECT
  lower(hex(span.trace_id)) AS traceID,
  lower(hex(span.span_id)) AS spanID,
  if(span.parent_span_id = toFixedString('', 8), '', lower(hex(span.parent_span_id))) AS parentSpanID,
  toString(span.service_name) AS serviceName,
  toString(span.name) AS operationName,
  toUnixTimestamp64Micro(span.ts) / 1000 AS startTime,
  span.duration_ns / 1000000 AS duration,
  arrayConcat(
    [map('key', 'spanledger.class', 'value', toString(span.span_class)), map('key', 'spanledger.counted', 'value', if(span.counted = 1, 'yes', 'no')), map('key', 'spanledger.reason', 'value', span.reason)],
    ${pairs("span.attributes")}
  ) AS tags,
  ${pairs("span.resource_attributes")} AS serviceTags,
  if(span.status = 'error', 2, 0) AS statusCode,
  if(span.status_message = '', toString(span.error_type), span.status_message) AS statusMessage,
  transform(span.kind, [1, 2, 3, 4, 5], ['internal', 'server', 'client', 'producer', 'consumer'], '') AS kind,
  arrayMap((name, time, fields) -> CAST((toString(name), toString(toUnixTimestamp64Milli(time)), ${pairs("fields")}), 'Tuple(name String, timestamp String, fields Array(Map(String, String)))'), span.event_names, span.event_times, span.event_attributes) AS logs
FROM ledger_spans AS span
WHERE ${IN_PICKED_TRACE}
ORDER BY span.ts, span.span_id
LIMIT ${MAX_SPANS}`;

/** The spans of the picked trace with what each cost, and the cost so far. */
export const SPANS_SQL = `SELECT
  sums.start AS "Start",
  sums.name AS "Span",
  sums.class AS "Class",
  sums.model AS "Model",
  sums.duration AS "Took",
  ${INPUT} AS "Input tokens",
  ${OUTPUT} AS "Output tokens",
  ${COST} AS "Spend",
  sum(coalesce(${COST}, toDecimal128(0, 12))) OVER (ORDER BY sums.start, sums.id) AS "Spend so far",
  sums.state AS "Status",
  sums.why AS "Why it counts or not"
FROM (
  SELECT
    span.ts AS start,
    lower(hex(span.span_id)) AS id,
    toString(span.name) AS name,
    toString(span.span_class) AS class,
    toString(if(span.response_model = '', span.request_model, span.response_model)) AS model,
    span.duration_ns AS duration,
    multiIf(span.status != 'error', 'ok', span.error_type = '', 'error', toString(span.error_type)) AS state,
    span.reason AS why,
    ${columnsOfCall([COST, INPUT, OUTPUT])}
  FROM ledger_spans AS span
  WHERE ${IN_PICKED_TRACE}
  ORDER BY start, id
  LIMIT ${MAX_SPANS}
) AS sums
ORDER BY "Start", sums.id`;

/** Traces of the picked session in the range; none while a trace is picked. */
const SESSION_TRACES = `SELECT trace_id FROM ledger_spans
      WHERE ${IN_PICKED_RANGE} AND ${SESSION_BOX} != '' AND ${TRACE_BOX} = '' AND session_id = ${SESSION_BOX}`;

/** The spans of the picked trace or, without one, of the traces of the picked session. */
const PICKED = `(${TRACE_BOX} != '' OR ${SESSION_BOX} != '')
    AND ${PROJECT_SQL}
    AND (${IS_PICKED_TRACE} OR trace_id IN (
      ${SESSION_TRACES}
    ))
    AND ts >= if(${TRACE_BOX} = '', fromUnixTimestamp64Nano(${PICKED_RANGE.from} * 1000000, 'UTC'), (SELECT min(ts) FROM spans WHERE ${PROJECT_SQL} AND ${IS_PICKED_TRACE}))
    AND ts <= if(${TRACE_BOX} = '', fromUnixTimestamp64Nano(${PICKED_RANGE.to} * 1000000, 'UTC'), (SELECT max(ts) FROM spans WHERE ${PROJECT_SQL} AND ${IS_PICKED_TRACE}))`;

/** Rows of the timeline, at most. */
export const MAX_ROWS = 20;

/** Who works when: 1 while something runs in a row, 2 while something that failed does, 0 in between. */
export const TIMELINE_SQL = `SELECT
  fromUnixTimestamp64Milli(at_ms, 'UTC') AS time,
  row,
  if(running = 0, 0, if(failing > 0, 2, 1)) AS state
FROM (
  SELECT
    at_ms,
    row,
    sum(starts) OVER (PARTITION BY row ORDER BY at_ms) AS running,
    sum(failures) OVER (PARTITION BY row ORDER BY at_ms) AS failing
  FROM (
    SELECT row, change.1 AS at_ms, sum(change.2) AS starts, sum(change.3) AS failures
    FROM (
      SELECT *, dense_rank() OVER (ORDER BY first_ms, row) AS place
      FROM (
        SELECT
          multiIf(
            ${IS_CALL}, concat('model ', if(span.response_model = '', span.request_model, span.response_model)),
            span.span_class = 'tool', concat('tool ', ${TOOL_SQL}),
            concat('agent ', if(span.agent_name = '', span.name, span.agent_name))
          ) AS row,
          toUnixTimestamp64Milli(span.ts) AS start_ms,
          start_ms + greatest(toInt64(span.duration_ns / 1000000), 1) AS end_ms,
          toInt64(span.status = 'error') AS failed,
          min(start_ms) OVER (PARTITION BY row) AS first_ms
        FROM ledger_spans AS span
        WHERE ${PICKED}
          AND (${IS_CALL} OR span.span_class = 'tool' OR span.operation = 'invoke_agent')
      )
    )
    ARRAY JOIN [(start_ms, toInt64(1), failed), (end_ms, toInt64(-1), -failed)] AS change
    WHERE place <= ${MAX_ROWS}
    GROUP BY row, at_ms
  )
)
ORDER BY time, row
LIMIT 20000`;

const texts = (attributes: string) =>
  `arrayStringConcat(arrayMap((key, value) -> concat(key, '=', substringUTF8(value, 1, 200)), mapKeys(${attributes}), mapValues(${attributes})), ' ')`;

/** Events of the picked trace or session: those of spans, and log records that clients tell calls by. */
export const EVENTS_SQL = `SELECT
  event.1 AS timestamp,
  concat(event.2, ' ', event.3) AS body,
  if(failed, 'error', 'info') AS level,
  service AS service,
  span_name AS span
FROM (
  SELECT
    span.status = 'error' AS failed,
    toString(span.service_name) AS service,
    toString(span.name) AS span_name,
    arrayConcat(
      if(span.signal = 'log', [(span.ts, toString(span.name), ${texts("span.attributes")})], []),
      arrayMap((name, time, fields) -> (time, toString(name), ${texts("fields")}), span.event_names, span.event_times, span.event_attributes)
    ) AS events
  FROM ledger_spans AS span
  WHERE ${PICKED}
)
ARRAY JOIN events AS event
ORDER BY timestamp DESC
LIMIT 1000`;

/** Keys that hold what was said, as the dialects name them; stored only while content is captured. */
const CONTENT_KEYS = [
  "gen_ai[.](input[.]messages|output[.]messages|system_instructions|prompt|completion|event[.]content)",
  "gen_ai[.]tool[.]call[.](arguments|result)",
  "(input|output)[.]value",
  "llm[.](input_messages|output_messages|prompts|completions)",
  "ai[.](prompt|response[.]text|response[.]toolCalls|toolCall[.]args|toolCall[.]result)",
  "(langfuse[.]observation|traceloop[.]entity|genkit|mastra[.][a-z_]+)[.:](input|output)",
  "request_data|response_data|prompt|response|message|content|arguments|output",
].join("|");
/** Ends of such keys that hold a number or a name. */
const NO_CONTENT = "(_tokens|_length|[.](type|id|name|role|version|mime_type|finish_reason))";

/** Prompts, answers and arguments of tools of the picked trace or session. */
export const CONTENT_SQL = `SELECT
  at AS "Time",
  span_name AS "Span",
  entry.1 AS "What",
  substringUTF8(entry.2, 1, 10000) AS "Text"
FROM (
  SELECT
    span.ts AS at,
    toString(span.name) AS span_name,
    arrayConcat(
      arrayZip(mapKeys(span.attributes), mapValues(span.attributes)),
      arrayFlatten(arrayMap(fields -> arrayZip(mapKeys(fields), mapValues(fields)), span.event_attributes))
    ) AS entries
  FROM ledger_spans AS span
  WHERE ${PICKED}
)
ARRAY JOIN arrayFilter(one -> one.2 != '' AND match(one.1, '^(${CONTENT_KEYS})([.].*)?$') AND (NOT match(one.1, '${NO_CONTENT}$')), entries) AS entry
ORDER BY "Time", "What"
LIMIT 500`;
