/**
 * Trace and session explorer: finds traces and sessions by their words, cost, duration and outcome, and
 * shows all about one.
 *
 * Invariant: every other dashboard leads here with `trace_id` or `session_id` set; with neither set, what is
 * about one trace says how to pick one.
 */
import type { DashboardSpec } from "../dashboard.ts";
import { logs, stat, stateTimeline, tablePanel, traces } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { exploreUrl } from "./explorer-spans.ts";
import {
  CONTENT_SQL,
  EVENTS_SQL,
  FOUND_SQL,
  MAX_ROWS,
  SESSIONS_SQL,
  SPANS_SQL,
  TEXT_BOXES,
  TIMELINE_SQL,
  TRACES_SQL,
  WATERFALL_SQL,
} from "./explorer-sql.ts";

const PICK_TRACE = "Pick a trace above, or write its id in the box";
const PICK_EITHER = "Pick a trace or a session above";

/** Links within the explorer keep what is searched for. */
const OPEN_TRACE = {
  title: "Open the trace",
  url: exploreUrl({ trace_id: "${__value.raw}" }, [
    "session_id",
    "search",
    "min_cost",
    "min_duration",
    "status",
  ]),
};
const OPEN_SESSION = {
  title: "Open the session",
  url: exploreUrl({ session_id: "${__value.raw:percentencode}" }, [
    "search",
    "min_cost",
    "min_duration",
    "status",
  ]),
};

const FOUND = [
  stat({
    id: 1,
    title: "Found",
    description:
      "Traces that begin in the range, with a span that fits all filters, and that fit the boxes: search looks into names of spans, services, users, sessions, models, agents and errors; a trace has the status error when one of its spans failed.",
    width: 24,
    unit: "count",
    targets: [table(FOUND_SQL)],
    fields: {
      Traces: { colour: "calls" },
      "With a failure": { colour: "error" },
      "Model calls": { unit: "calls", colour: "calls" },
      Spend: { unit: "usd", colour: "cost" },
      Tokens: { unit: "tokens", colour: "tokens" },
      "Trace p95": { unit: "duration_ns", colour: "latency_p95" },
    },
    no_value: "No trace fits",
  }),
];

const TRACES = [
  tablePanel({
    id: 10,
    title: "Traces",
    description:
      "The newest 200 traces that fit. A click on the id opens the trace below, one on the session its session. Spend is empty where no call has a price.",
    width: 24,
    unit: "count",
    targets: [table(TRACES_SQL)],
    fields: {
      Started: { unit: "time", width: 180 },
      Trace: { link: OPEN_TRACE, width: 130 },
      Root: { width: 190 },
      Session: { link: OPEN_SESSION },
      "Input tokens": { unit: "tokens" },
      "Output tokens": { unit: "tokens" },
      Spend: { unit: "usd_exact", cell: "bar", colour: "cost" },
      Took: { unit: "duration_ns" },
    },
    no_value: "No trace fits",
  }),
];

const SESSIONS = [
  tablePanel({
    id: 11,
    title: "Sessions",
    description:
      "Sessions with calls in the range that fit the filters and the boxes, the last used 100. A click opens the session below.",
    width: 14,
    unit: "count",
    targets: [table(SESSIONS_SQL)],
    fields: {
      Session: { link: OPEN_SESSION, width: 170 },
      "First call": { unit: "time" },
      "Last call": { unit: "time" },
      "Input tokens": { unit: "tokens" },
      "Output tokens": { unit: "tokens" },
      Spend: { unit: "usd_exact", cell: "bar", colour: "cost" },
    },
    no_value: "No session fits",
  }),
  stateTimeline({
    id: 12,
    title: "Who works when",
    description: `Models, tools and agents of the picked trace or session, at most ${MAX_ROWS}: running, failing or idle.`,
    width: 10,
    unit: "none",
    named_by: "row",
    mappings: {
      "0": { text: "" },
      "1": { text: "running", colour: "calls" },
      "2": { text: "failing", colour: "error" },
    },
    targets: [points(TIMELINE_SQL)],
    no_value: PICK_EITHER,
  }),
];

const WATERFALL = [
  traces({
    id: 20,
    title: "Trace",
    description:
      "All spans of the picked trace, whatever range is picked. The tags spanledger.* say what the ledger makes of a span.",
    width: 24,
    unit: "duration_ns",
    targets: [{ sql: WATERFALL_SQL, format: "traces" }],
    no_value: PICK_TRACE,
    ignores_range: "a trace is found by its id",
  }),
];

const SPANS = [
  tablePanel({
    id: 21,
    title: "Spend by span",
    description:
      "Spans of the picked trace with what each call cost, and the spend so far; what does not count says why. A trace is shown whatever range is picked.",
    width: 24,
    unit: "text",
    targets: [table(SPANS_SQL)],
    fields: {
      Start: { unit: "time", width: 180 },
      Span: { width: 230 },
      Took: { unit: "duration_ns" },
      "Input tokens": { unit: "tokens" },
      "Output tokens": { unit: "tokens" },
      Spend: { unit: "usd_exact", cell: "bar", colour: "cost" },
      "Spend so far": { unit: "usd_exact" },
    },
    no_value: PICK_TRACE,
    ignores_range: "a trace is found by its id",
  }),
];

const SAID = [
  logs({
    id: 22,
    title: "Events",
    description:
      "Events of the spans of the picked trace or session, such as exceptions, and the log records that clients tell calls, prompts and tools by. Other logs are not stored.",
    width: 12,
    unit: "text",
    targets: [{ sql: EVENTS_SQL, format: "logs" }],
    no_value: PICK_EITHER,
  }),
  tablePanel({
    id: 23,
    title: "Prompts and answers",
    description:
      "What was said in the picked trace or session. It is dropped before anything is stored unless SPANLEDGER_CAPTURE_CONTENT is on; then as many as 10,000 letters of each.",
    width: 12,
    unit: "text",
    targets: [table(CONTENT_SQL)],
    fields: {
      Time: { unit: "time", width: 180 },
      Span: { width: 160 },
      What: { width: 180 },
    },
    no_value: "Nothing is picked, or content is not captured",
  }),
];

export const EXPLORER: DashboardSpec = {
  name: "explorer",
  title: "Trace and session explorer",
  description: "Finds traces and sessions, and shows what happened in one and what it cost.",
  tags: ["traces"],
  from: "now-6h",
  refresh: "",
  has_group_by: false,
  variables: Object.entries(TEXT_BOXES).map(([name, label]) => ({ kind: "text", name, label })),
  rows: [
    { height: 4, panels: FOUND },
    { height: 9, panels: TRACES },
    { height: 9, panels: SESSIONS },
    { height: 14, panels: WATERFALL },
    { height: 10, panels: SPANS },
    { height: 10, panels: SAID },
  ],
};
