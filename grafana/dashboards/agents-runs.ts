/**
 * Statements over runs of agents and over tool calls.
 *
 * Invariant: a run is a trace with a span `invoke_agent`, whoever reports it; its agent and its outcome are
 * those of the first such span. A tool call that a client tells by a span and by a log event counts once.
 */
import { FILTER_NAMES, filterSql, isAllSql } from "../filters.ts";
import { measureSql, startOfStep } from "../usage-sql.ts";
import { IN_PICKED_RANGE, sumsOfCalls, TOOL_SQL } from "./explorer-spans.ts";

/** All filters but the project. */
const FILTERED = FILTER_NAMES.map((name) => filterSql(name)).join("\n    AND ");
const IS_UNFILTERED = FILTER_NAMES.map((name) => isAllSql(name)).join(" AND ");

/** What is shown of several agents, tools, ...: the largest. */
export const TOP = 10;
const OTHERS = "all others";

const COST = measureSql("cost_usd");
const CALLS = measureSql("calls");

/** An agent's name, or that of its span where it has none. */
const AGENT = "if(span.agent_name = '', toString(span.name), toString(span.agent_name))";

/** From how many calls of a model or of one tool a run is suspected to loop; picked by the reader. */
const LOOP_CALLS = "toUInt64OrZero(${loop_calls:singlequote})";
const IS_SUSPECT = `(calls >= ${LOOP_CALLS} OR tool_times >= ${LOOP_CALLS})`;

/** The times that each tool was called, most first, as an array of pairs. */
const TOOL_COUNTS = `sumMapIf(map(if(span.span_class = 'tool', ${TOOL_SQL}, ''), toUInt64(1)), span.span_class = 'tool')`;

/** Runs that have a span that fits all filters, a row each: for a FROM. */
const RUNS = `(
  SELECT
    *,
    arrayReverseSort(pair -> pair.2, arrayZip(mapKeys(tool_counts), mapValues(tool_counts)))[1] AS top_tool,
    top_tool.2 AS tool_times,
    ${IS_SUSPECT} AS is_suspect
  FROM (
  SELECT
    span.project_id AS project,
    lower(hex(span.trace_id)) AS trace,
    min(span.ts) AS start,
    toUInt64(max(toUnixTimestamp64Nano(span.ts) + toInt64(span.duration_ns)) - min(toUnixTimestamp64Nano(span.ts))) AS length_ns,
    argMinIf(${AGENT}, span.ts, span.operation = 'invoke_agent') AS agent,
    argMinIf(span.status = 'error', span.ts, span.operation = 'invoke_agent') AS failed,
    anyIf(span.session_id, span.session_id != '') AS session,
    countIf(span.span_class = 'tool') AS tools,
    ${TOOL_COUNTS} AS tool_counts,
    ${sumsOfCalls([COST, CALLS])}
  FROM ledger_spans AS span
  WHERE ${IN_PICKED_RANGE}
    AND trace_id IN (SELECT trace_id FROM spans WHERE ${IN_PICKED_RANGE} AND operation = 'invoke_agent')
  GROUP BY span.project_id, span.trace_id
  HAVING countIf(${FILTERED}) > 0
  )
)`;

/** What there is to say of all runs, in one row; none without a run. */
export const RUNS_SQL = `SELECT
  sums.runs AS "Runs",
  1 - sums.failed_runs / sums.runs AS "Succeeded",
  ${COST} / sums.runs AS "Spend a run",
  ${CALLS} / sums.runs AS "Model calls a run",
  sums.tools / sums.runs AS "Tool calls a run",
  sums.suspects AS "May loop"
FROM (
SELECT count() AS runs, countIf(failed) AS failed_runs, sum(run.tools) AS tools, countIf(is_suspect) AS suspects,
  sum(run.calls) AS calls, sum(run.calls_priced) AS calls_priced, sum(run.cost_total) AS cost_total
FROM ${RUNS} AS run
HAVING runs > 0
) AS sums`;

/** Runs by step and agent, the agents with most of them. */
export const RUNS_OVER_TIME_SQL = `SELECT
  ${startOfStep("start")} AS time,
  if(place <= ${TOP}, agent, '${OTHERS}') AS agent_name,
  count() AS "Runs"
FROM (
  SELECT start, agent, dense_rank() OVER (ORDER BY runs DESC, agent) AS place
  FROM (SELECT start, agent, count() OVER (PARTITION BY agent) AS runs FROM ${RUNS} AS run)
)
GROUP BY time, agent_name
ORDER BY time, agent_name`;

/** Agents with their runs. */
export const AGENTS_SQL = `SELECT
  sums.agent AS "Agent",
  sums.runs AS "Runs",
  1 - sums.failed_runs / sums.runs AS "Succeeded",
  sums.calls / sums.runs AS "Calls a run",
  sums.tools / sums.runs AS "Tools a run",
  ${COST} AS "Spend",
  ${COST} / sums.runs AS "Spend a run",
  sums.p50 AS "Run p50",
  sums.p95 AS "Run p95"
FROM (
SELECT agent, count() AS runs, countIf(failed) AS failed_runs, sum(tools) AS tools,
  quantile(0.5)(length_ns) AS p50, quantile(0.95)(length_ns) AS p95,
  sum(run.calls) AS calls, sum(run.calls_priced) AS calls_priced, sum(run.cost_total) AS cost_total
FROM ${RUNS} AS run
GROUP BY agent
) AS sums
ORDER BY "Runs" DESC
LIMIT 50`;

/** Runs, those with most calls first. */
export const LONGEST_RUNS_SQL = `SELECT
  sums.start AS "Started",
  sums.agent AS "Agent",
  if(sums.is_suspect, 'may loop', '') AS "Suspect",
  sums.calls AS "Calls",
  sums.tools AS "Tools",
  sums.top_tool.1 AS "Most called tool",
  sums.tool_times AS "Its calls",
  ${COST} AS "Spend",
  sums.length_ns AS "Took",
  if(sums.failed, 'error', 'ok') AS "Status",
  sums.session AS "Session",
  sums.trace AS "Trace"
FROM ${RUNS} AS sums
ORDER BY greatest(sums.calls, sums.tool_times) DESC, "Started" DESC
LIMIT 100`;

const IS_MCP = `(startsWith(${TOOL_SQL}, 'mcp__') OR span.attributes['tool_type'] = 'mcp'
      OR arrayExists((key, value) -> startsWith(key, 'mcp') AND value != '', mapKeys(span.attributes), mapValues(span.attributes)))`;

/** Calls of tools, a row each, of traces that have a span that fits all filters: for a FROM. */
const TOOL_CALLS = `(
  SELECT
    span.ts AS start,
    span.project_id AS project,
    span.trace_id AS trace,
    ${TOOL_SQL} AS tool,
    if(${IS_MCP}, 'MCP', 'built in') AS origin,
    span.status = 'error' AS failed,
    span.duration_ns AS duration,
    span.agent_name AS agent
  FROM ledger_spans AS span
  WHERE ${IN_PICKED_RANGE}
    AND span_class = 'tool'
    AND (signal != 'log' OR session_id = '' OR session_id NOT IN (
      SELECT session_id FROM spans WHERE ${IN_PICKED_RANGE} AND span_class = 'tool' AND signal = 'span'
    ))
    AND ((${IS_UNFILTERED}) OR trace_id IN (SELECT trace_id FROM ledger_spans WHERE ${IN_PICKED_RANGE} AND ${FILTERED}))
)`;

/** The share of tool calls that failed. */
export const FAILED_TOOLS_SQL = `SELECT countIf(failed) / count() AS "Failed tool calls"
FROM ${TOOL_CALLS}
HAVING count() > 0`;

/** Calls of tools by step, the most called ones. */
export const TOOLS_OVER_TIME_SQL = `SELECT
  ${startOfStep("start")} AS time,
  if(place <= ${TOP}, tool, '${OTHERS}') AS tool_name,
  count() AS "Calls"
FROM (
  SELECT start, tool, dense_rank() OVER (ORDER BY times DESC, tool) AS place
  FROM (SELECT start, tool, count() OVER (PARTITION BY tool) AS times FROM ${TOOL_CALLS})
)
GROUP BY time, tool_name
ORDER BY time, tool_name`;

/** Calls of tools by step and by where the tool is. */
export const TOOL_ORIGINS_SQL = `SELECT
  ${startOfStep("start")} AS time,
  countIf(origin = 'built in') AS "Built in",
  countIf(origin = 'MCP') AS "MCP",
  countIf(failed) AS "Failed, of both"
FROM ${TOOL_CALLS}
GROUP BY time
ORDER BY time`;

/** Tools with how often and how well they run. */
export const TOOLS_SQL = `SELECT
  tool AS "Tool",
  origin AS "Where",
  count() AS "Calls",
  countIf(failed) / count() AS "Failed",
  quantile(0.5)(duration) AS "p50",
  quantile(0.95)(duration) AS "p95",
  sum(duration) AS "Time in it",
  uniqExact(project, trace) AS "Traces",
  lower(hex(argMax(trace, start))) AS "Trace"
FROM ${TOOL_CALLS}
GROUP BY tool, origin
ORDER BY "Calls" DESC
LIMIT 100`;

/** Edges of the graph of agents, at most. */
const MAX_EDGES = 100;

/** Who called whom: agents models, tools and other agents. A tool without an agent is the trace's. */
const EDGES = `(
  SELECT source, target, count() AS times, countIf(is_failed) AS failures
  FROM (
    SELECT concat('agent ', agent_name) AS source, concat('model ', model) AS target, status = 'error' AS is_failed
    FROM calls
    WHERE ${IN_PICKED_RANGE} AND agent_name != '' AND model != '' AND ${FILTERED}
    UNION ALL
    SELECT concat('agent ', if(tools.agent = '', agents.first_agent, toString(tools.agent))) AS source, concat('tool ', tools.tool) AS target, tools.failed AS is_failed
    FROM ${TOOL_CALLS} AS tools
    LEFT JOIN (
      SELECT project_id, trace_id, argMin(toString(agent_name), ts) AS first_agent
      FROM spans
      WHERE ${IN_PICKED_RANGE} AND operation = 'invoke_agent' AND agent_name != ''
      GROUP BY project_id, trace_id
    ) AS agents ON tools.project = agents.project_id AND tools.trace = agents.trace_id
    WHERE source != 'agent '
    UNION ALL
    SELECT concat('agent ', above.agent) AS source, concat('agent ', below.agent) AS target, below.is_failed
    FROM (
      SELECT project_id, trace_id, parent_span_id, toString(agent_name) AS agent, status = 'error' AS is_failed
      FROM spans FINAL
      WHERE ${IN_PICKED_RANGE} AND operation = 'invoke_agent' AND agent_name != '' AND ${FILTERED}
    ) AS below
    INNER JOIN (
      SELECT DISTINCT project_id, trace_id, span_id, toString(agent_name) AS agent
      FROM spans
      WHERE ${IN_PICKED_RANGE} AND agent_name != ''
    ) AS above ON below.project_id = above.project_id AND below.trace_id = above.trace_id AND below.parent_span_id = above.span_id
    WHERE above.agent != below.agent
  )
  GROUP BY source, target
  ORDER BY times DESC, source, target
  LIMIT ${MAX_EDGES}
)`;

/** Nodes of the graph: what calls and what is called. */
export const NODES_SQL = `SELECT
  node AS id,
  substring(node, position(node, ' ') + 1) AS title,
  substring(node, 1, position(node, ' ') - 1) AS subtitle,
  if(sum(taken) = 0, sum(made), sum(taken)) AS mainstat,
  sum(failed) AS secondarystat,
  if(sum(taken) = 0, 0, sum(failed) / sum(taken)) AS arc__failed,
  1 - arc__failed AS arc__good
FROM (
  SELECT ends.1 AS node, ends.2 AS taken, ends.3 AS made, ends.4 AS failed
  FROM ${EDGES}
  ARRAY JOIN [(target, times, 0, failures), (source, 0, times, 0)] AS ends
)
GROUP BY node
ORDER BY node`;

/** Edges of the graph. */
export const EDGES_SQL = `SELECT
  concat(source, ' > ', target) AS id,
  source,
  target,
  times AS mainstat,
  failures AS secondarystat
FROM ${EDGES}
ORDER BY id`;
