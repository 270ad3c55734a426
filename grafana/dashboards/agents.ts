/**
 * Agents, tools and coding assistants: what runs cost and whether they succeed, which tools they call and
 * how often in vain, and what coding assistants do for whom.
 *
 * Invariant: nothing is left out for who reports it; coding assistants are told by the dialect they speak.
 */
import type { DashboardSpec } from "../dashboard.ts";
import { nodeGraph, series, stat, tablePanel } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { measureSql, usageSql } from "../usage-sql.ts";
import { ASSISTANTS, DECISIONS, SEAT_PRICES } from "./agents-assistants.ts";
import {
  AGENTS_SQL,
  EDGES_SQL,
  FAILED_TOOLS_SQL,
  LONGEST_RUNS_SQL,
  NODES_SQL,
  RUNS_OVER_TIME_SQL,
  RUNS_SQL,
  TOOL_ORIGINS_SQL,
  TOOLS_OVER_TIME_SQL,
  TOOLS_SQL,
  TOP,
} from "./agents-runs.ts";
import { SESSION_LINK, TRACE_LINK } from "./explorer-spans.ts";

const A_RUN = "A run is a trace with a span invoke_agent.";

/** Calls in one run from which on it may loop, as the reader picks. */
const LOOP_CALLS = ["20", "10", "50", "100"];

const BAD_SHARE = [
  { from: null, colour: "good" },
  { from: 0.02, colour: "warning" },
  { from: 0.1, colour: "error" },
] as const;

const TILES = [
  stat({
    id: 1,
    title: "Runs of agents",
    description: `Runs that began in the range: how many, the share whose agent did not end in an error, spend and calls of each, and how many may loop: those with at least as many model calls, or calls of one tool, as picked above. ${A_RUN}`,
    width: 20,
    unit: "none",
    targets: [table(RUNS_SQL)],
    fields: {
      Runs: { unit: "count", colour: "calls" },
      Succeeded: {
        unit: "share",
        thresholds: [
          { from: null, colour: "error" },
          { from: 0.9, colour: "warning" },
          { from: 0.98, colour: "good" },
        ],
      },
      "Spend a run": { unit: "usd", colour: "cost" },
      "Model calls a run": { decimals: 1, colour: "calls" },
      "Tool calls a run": { decimals: 1, colour: "calls" },
      "May loop": {
        unit: "count",
        thresholds: [
          { from: null, colour: "good" },
          { from: 1, colour: "warning" },
        ],
      },
    },
    no_value: "No agent ran",
  }),
  stat({
    id: 2,
    title: "Failed tool calls",
    description: "Share of the calls of tools that failed.",
    width: 4,
    unit: "share",
    thresholds: BAD_SHARE,
    targets: [table(FAILED_TOOLS_SQL)],
    no_value: "No tool was called",
  }),
];

const OVER_TIME = [
  series(
    {
      id: 10,
      title: "Runs by agent",
      description: `Runs by when they began; the ${TOP} agents with most. ${A_RUN}`,
      width: 12,
      unit: "count",
      named_by: "agent_name",
      targets: [points(RUNS_OVER_TIME_SQL)],
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
  series(
    {
      id: 11,
      title: "Spend by agent",
      description: `US dollars of calls that name an agent, by agent; the ${TOP} dearest.`,
      width: 12,
      unit: "usd",
      named_by: "agent",
      targets: [
        points(
          usageSql({
            select: { Spend: measureSql("cost_usd") },
            by: { agent: "agent_name" },
            where: { agent_name: "!= '(none)'" },
            step: "auto",
            top: TOP,
          }),
        ),
      ],
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
];

const RUNS = [
  tablePanel({
    id: 12,
    title: "Agents",
    description: `Agents by their runs, each run counted for its outermost agent. ${A_RUN}`,
    width: 11,
    unit: "count",
    targets: [table(AGENTS_SQL)],
    fields: {
      Agent: { width: 150 },
      Runs: { cell: "bar", colour: "calls" },
      Succeeded: { unit: "share", decimals: 1 },
      "Calls a run": { unit: "none", decimals: 1 },
      "Tools a run": { unit: "none", decimals: 1 },
      Spend: { unit: "usd_exact" },
      "Spend a run": { unit: "usd_exact" },
      "Run p50": { unit: "duration_ns" },
      "Run p95": { unit: "duration_ns" },
    },
  }),
  tablePanel({
    id: 13,
    title: "Longest runs",
    description:
      "Runs with most model calls, or calls of one tool; those that may loop are marked. A click leads to the trace or the session.",
    width: 13,
    unit: "count",
    targets: [table(LONGEST_RUNS_SQL)],
    fields: {
      Started: { unit: "time" },
      Calls: { cell: "bar", colour: "calls" },
      Spend: { unit: "usd_exact" },
      Took: { unit: "duration_ns" },
      Session: { link: SESSION_LINK },
      Trace: { link: TRACE_LINK },
    },
  }),
];

const TOOLS = [
  series(
    {
      id: 14,
      title: "Tool calls",
      description: `Calls of tools; the ${TOP} called most.`,
      width: 12,
      unit: "calls",
      named_by: "tool_name",
      targets: [points(TOOLS_OVER_TIME_SQL)],
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
  series(
    {
      id: 15,
      title: "MCP and built-in tools",
      description:
        "Calls of tools by whether an MCP server has them, as the span says; all others count as built in.",
      width: 12,
      unit: "calls",
      fields: {
        "Built in": { colour: "calls" },
        MCP: { colour: "tokens" },
        "Failed, of both": { colour: "error", draw: "line" },
      },
      targets: [points(TOOL_ORIGINS_SQL)],
    },
    { draw: "bars", calcs: ["sum"] },
  ),
];

const WHO_CALLS = [
  tablePanel({
    id: 16,
    title: "Tools",
    description:
      "Tools by how often they are called. The trace is that of the last call. A tool call that a client tells twice counts once.",
    width: 12,
    unit: "count",
    targets: [table(TOOLS_SQL)],
    fields: {
      Tool: { width: 170 },
      Calls: { cell: "bar", colour: "calls" },
      Failed: { unit: "share", decimals: 1, thresholds: BAD_SHARE, cell: "colour" },
      p50: { unit: "duration_ns" },
      p95: { unit: "duration_ns" },
      "Time in it": { unit: "duration_ns" },
      Trace: { link: TRACE_LINK },
    },
  }),
  nodeGraph(
    {
      id: 17,
      title: "Who calls whom",
      description:
        "Agents, the models and tools that they call, and agents below agents: how often, and how often in vain. An agent that nobody calls shows what it calls. The 100 busiest ways.",
      width: 12,
      unit: "calls",
      targets: [
        { ...table(NODES_SQL), ref_id: "nodes" },
        { ...table(EDGES_SQL), ref_id: "edges" },
      ],
    },
    {
      nodes: {
        mainStatUnit: "short",
        secondaryStatUnit: "suffix: failed",
        arcs: [
          { field: "arc__failed", color: "#E02F44" },
          { field: "arc__good", color: "#56A64B" },
        ],
      },
      edges: { mainStatUnit: "short", secondaryStatUnit: "suffix: failed" },
    },
  ),
];

export const AGENTS: DashboardSpec = {
  name: "agents",
  title: "Agents, tools and coding assistants",
  description:
    "What runs of agents cost and whether they succeed, which tools they call, and what coding assistants do.",
  tags: ["agents"],
  from: "now-7d",
  refresh: "1m",
  has_group_by: false,
  variables: [
    { kind: "custom", name: "loop_calls", label: "May loop from", values: LOOP_CALLS },
    { kind: "custom", name: "seat_usd", label: "Seat, $ a month", values: SEAT_PRICES },
  ],
  rows: [
    { height: 4, panels: TILES },
    { height: 8, panels: OVER_TIME },
    { height: 9, panels: RUNS },
    { height: 8, panels: TOOLS },
    { height: 10, panels: WHO_CALLS },
    { height: 8, panels: ASSISTANTS },
    { height: 8, panels: DECISIONS },
  ],
};
