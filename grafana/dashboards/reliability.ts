/**
 * Latency, errors and limits: how fast models answer, what fails and why, and where limits bite.
 *
 * Invariant: a failure has one kind (`FAILURE_KIND`), in every panel the same.
 */
import type { DashboardSpec } from "../dashboard.ts";
import { callFiltersSql } from "../filters.ts";
import { heatmap, series, stat } from "../panels.ts";
import { series as points, table } from "../query.ts";
import {
  GROUP_BY,
  inRangeSql,
  measureSql,
  PICKED_RANGE,
  startOfStep,
  STEP_S,
  usageSql,
} from "../usage-sql.ts";
import {
  DETAILS,
  FAILURE_KIND,
  FAILURES,
  RECENT,
  SAMPLE,
  VERSIONS_SQL,
} from "./reliability-tables.ts";

const RANGE_S = `greatest(${PICKED_RANGE.to} - ${PICKED_RANGE.from}, 1) / 1000`;

/** A share that should be small. */
const BAD_SHARE = [
  { from: null, colour: "good" },
  { from: 0.01, colour: "warning" },
  { from: 0.05, colour: "error" },
] as const;

const TILES = [
  stat({
    id: 1,
    title: "Calls a second",
    description: "Model calls of the range, a second of it.",
    width: 4,
    unit: "per_second",
    colour: "calls",
    targets: [
      table(usageSql({ select: { "Calls a second": `${measureSql("calls")} / (${RANGE_S})` } })),
    ],
  }),
  stat({
    id: 2,
    title: "Failed",
    description: "Share of the calls that failed, for whatever reason.",
    width: 4,
    unit: "share",
    thresholds: BAD_SHARE,
    targets: [table(usageSql({ select: { Failed: measureSql("error_rate") } }))],
  }),
  stat({
    id: 3,
    title: "Latency p95",
    description: "Time that 95 % of the calls took at most, failed ones included. Within 2.2 %.",
    width: 4,
    unit: "duration_ns",
    colour: "latency_p95",
    targets: [table(usageSql({ select: { "Latency p95": measureSql("duration", "p95_ns") } }))],
  }),
  stat({
    id: 4,
    title: "First token p95",
    description:
      "Time by which 95 % of the calls that report it had their first token. Within 2.2 %.",
    width: 4,
    unit: "duration_ns",
    colour: "ttft",
    targets: [table(usageSql({ select: { "First token p95": measureSql("ttft", "p95_ns") } }))],
    no_value: "Not reported",
  }),
  stat({
    id: 5,
    title: "Rate limited",
    description:
      "Share of the calls that a limit of the provider refused: status 429, or an error that says so.",
    width: 4,
    unit: "share",
    thresholds: BAD_SHARE,
    targets: [
      table(`SELECT countIf(status = 'error' AND ${FAILURE_KIND} = 'rate limited') / count() AS "Rate limited"
FROM calls
WHERE ${callFiltersSql()}
  AND ${inRangeSql()}
HAVING count() > 0`),
    ],
  }),
  stat({
    id: 6,
    title: "Cut off",
    description:
      "Share of the calls that say why they ended whose answer was cut at the token limit (finish reason length).",
    width: 4,
    unit: "share",
    thresholds: BAD_SHARE,
    targets: [
      table(`SELECT sumIf(calls, reason = 'length') / nullIf(sumIf(calls, reason != '(none)'), 0) AS "Cut off"
FROM (
${usageSql({ select: { calls: measureSql("calls") }, by: { reason: "finish_reason" } })}
)`),
    ],
    no_value: "Not reported",
  }),
];

const TRAFFIC = [
  series(
    {
      id: 10,
      title: "Calls",
      description: "Model calls by whether they failed.",
      width: 12,
      unit: "calls",
      fields: { Answered: { colour: "calls" }, Failed: { colour: "error" } },
      targets: [
        points(
          usageSql({
            select: {
              Answered: `${measureSql("calls")} - ${measureSql("errors")}`,
              Failed: measureSql("errors"),
            },
            step: "auto",
          }),
        ),
      ],
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
  series(
    {
      id: 11,
      title: "Share of failed calls by group",
      description:
        "Failed calls of all calls, by what is picked above; the ten groups with most calls.",
      width: 12,
      unit: "share",
      min: 0,
      named_by: "group",
      targets: [
        points(
          usageSql({
            select: { Failed: measureSql("error_rate") },
            by: { group: GROUP_BY },
            step: "auto",
            top: 10,
            rank: "calls",
          }),
        ),
      ],
    },
    { calcs: ["mean", "max"] },
  ),
];

/** Steps that one call is counted in, at most: a range has fewer. */
const MAX_STEPS = 20_000;

/** Mean number of calls that run, by step: each call is laid over the steps that it touches. */
function inFlightSql(): string {
  const step_ns = `(${STEP_S} * 1000000000)`;
  const from_ns = `(${PICKED_RANGE.from} * 1000000)`;
  const to_ns = `(${PICKED_RANGE.to} * 1000000)`;
  return `SELECT
  toDateTime(step * ${STEP_S}, 'UTC') AS time,
  sum(least(end_ns, (step + 1) * ${step_ns}) - greatest(start_ns, step * ${step_ns})) / ${step_ns} AS "In flight"
FROM (
  SELECT
    greatest(toUnixTimestamp64Nano(ts), ${from_ns}) AS start_ns,
    least(toUnixTimestamp64Nano(ts) + toInt64(duration_ns), ${to_ns}) AS end_ns,
    intDiv(start_ns, ${step_ns}) AS first,
    arrayJoin(range(first, least(intDiv(end_ns - 1, ${step_ns}), first + ${MAX_STEPS}) + 1)) AS step
  FROM calls
  WHERE ${callFiltersSql()}
    AND ${inRangeSql({ from: `(${PICKED_RANGE.from} - 3600000)`, to: PICKED_RANGE.to })}
    AND end_ns > start_ns
)
GROUP BY time
ORDER BY time`;
}

const SPEED = [
  series({
    id: 12,
    title: "Latency",
    description:
      "Duration of calls, failed ones included: 50, 95 and 99 % took no longer. Within 2.2 %.",
    width: 8,
    unit: "duration_ns",
    min: 0,
    fields: {
      p50: { colour: "latency_p50" },
      p95: { colour: "latency_p95" },
      p99: { colour: "latency_p99" },
    },
    targets: [
      points(
        usageSql({
          select: {
            p50: measureSql("duration", "p50_ns"),
            p95: measureSql("duration", "p95_ns"),
            p99: measureSql("duration", "p99_ns"),
          },
          step: "auto",
        }),
      ),
    ],
  }),
  series({
    id: 13,
    title: "First token and output speed",
    description:
      "Time to first token of the calls that report it, and output tokens for each second of all calls together (right).",
    width: 8,
    unit: "duration_ns",
    min: 0,
    fields: {
      "First token p50": { colour: "ttft" },
      "First token p95": { colour: "ttft", draw: "dashed" },
      "Output speed": { colour: "tokens", unit: "tokens_per_second", axis: "right" },
    },
    targets: [
      points(
        usageSql({
          select: {
            "First token p50": measureSql("ttft", "p50_ns"),
            "First token p95": measureSql("ttft", "p95_ns"),
            "Output speed": measureSql("output_tokens_per_second"),
          },
          step: "auto",
        }),
      ),
    ],
  }),
  series(
    {
      id: 14,
      title: "Calls in flight",
      description:
        "How many calls ran at once, the mean of each step: the time of the calls that lies in it. Calls that began more than an hour before the range are left out.",
      width: 8,
      unit: "calls",
      decimals: 2,
      min: 0,
      fields: { "In flight": { colour: "calls" } },
      targets: [points(inFlightSql())],
    },
    { draw: "bars" },
  ),
];

/** Upper edges of the bands of the heatmap, seconds. */
const EDGES_S = [0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120];

/** The bucket of the histogram of durations that a time is in, see usage_calls. */
function bucketOf(seconds: number): number {
  return Math.round(Math.log2(seconds * 1e9) * 16);
}

/** Calls whose duration lies between two edges, of the histogram. */
function bandSql(from_s: number | undefined, to_s: number | undefined): string {
  const conditions = [
    ...(from_s === undefined ? [] : [`bucket > ${bucketOf(from_s)}`]),
    ...(to_s === undefined ? [] : [`bucket <= ${bucketOf(to_s)}`]),
  ].join(" AND ");
  return `arraySum((bucket, calls) -> if(${conditions}, calls, 0), mapKeys(sums.duration_histogram), mapValues(sums.duration_histogram))`;
}

function bandsOf(): Record<string, string> {
  const bands = [undefined, ...EDGES_S].map((from_s, index): [string, string] => {
    const to_s = EDGES_S[index];
    const name =
      from_s === undefined
        ? `to ${to_s} s`
        : to_s === undefined
          ? `over ${from_s} s`
          : `${from_s} to ${to_s} s`;
    return [name, bandSql(from_s, to_s)];
  });
  return Object.fromEntries(bands);
}

const SHAPES = [
  heatmap({
    id: 15,
    title: "Latency of all calls",
    description: "How many calls took how long. The edges of the bands are within 2.2 %.",
    width: 12,
    unit: "calls",
    targets: [points(usageSql({ select: bandsOf(), step: "auto" }))],
  }),
  SAMPLE,
];

const REASONS = [
  series(
    {
      id: 17,
      title: "Failures by kind",
      description:
        "Failed calls: refused by a rate limit, timed out, failed at the provider (5xx, overload), refused for another reason (4xx), or otherwise.",
      width: 12,
      unit: "calls",
      named_by: "kind",
      fields: {
        "rate limited": { colour: "warning" },
        "server error": { colour: "error" },
      },
      targets: [
        points(`SELECT
  ${startOfStep("ts")} AS time,
  ${FAILURE_KIND} AS kind,
  count() AS "Failed calls"
FROM calls
WHERE ${callFiltersSql()}
  AND ${inRangeSql()}
  AND status = 'error'
GROUP BY time, kind
ORDER BY time, kind`),
      ],
      no_value: "No call failed",
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
  series(
    {
      id: 18,
      title: "Why models stopped",
      description:
        "Calls by finish reason: stop, tool_call, length (cut at the token limit), content_filter, ...; (none) where the call does not say, as failed ones.",
      width: 12,
      unit: "calls",
      named_by: "reason",
      fields: {
        stop: { colour: "good" },
        length: { colour: "warning" },
        content_filter: { colour: "error" },
        "(none)": { colour: "unknown" },
      },
      targets: [
        points(
          usageSql({
            select: { Calls: measureSql("calls") },
            by: { reason: "finish_reason" },
            step: "auto",
            top: 10,
            rank: "calls",
          }),
        ),
      ],
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
];

export const RELIABILITY: DashboardSpec = {
  name: "reliability",
  title: "Latency, errors and limits",
  description: "How fast models answer, what fails and why, and where limits bite.",
  tags: ["reliability"],
  from: "now-24h",
  refresh: "1m",
  has_group_by: true,
  annotations: [
    {
      name: "New versions",
      sql: VERSIONS_SQL,
      colour: "forecast",
      is_on: false,
      may_be_empty: "services of the test data have no version",
    },
  ],
  rows: [
    { height: 4, panels: TILES },
    { height: 8, panels: TRAFFIC },
    { height: 8, panels: SPEED },
    { height: 9, panels: SHAPES },
    { height: 8, panels: REASONS },
    { height: 9, panels: FAILURES },
    { height: 9, panels: DETAILS },
    { height: 10, panels: RECENT },
  ],
};
