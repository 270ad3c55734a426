/**
 * `GET /v1/traces/{trace_id}`: all spans of a trace, or what a picture of it needs, or one of them, with
 * the cost of every node.
 *
 * Invariant: sums are those of the whole trace, however little of it is asked for.
 */
import { z } from "zod";
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import {
  MAX_TRACE_SPANS,
  TraceAnswer,
  TraceQuery,
  TraceTreeAnswer,
} from "../../schemas/api-traces.ts";
import type { CallRow } from "../../schemas/call.ts";
import { SPAN_KINDS } from "../../schemas/span.ts";
import { formatTimestamp, formatUsd, parseUsd } from "../../schemas/units.ts";
import { callOfRow, parentOrNull, type StoredCall } from "../call-row.ts";
import { ApiError } from "../errors.ts";
import { EXAMPLE_IDS } from "../examples.ts";
import { defineRoute, type Route } from "../route.ts";

/** A span with what was decided of it. */
interface StoredSpan extends StoredCall {
  readonly name: string;
  readonly kind: number;
  readonly status_message: string;
  readonly span_class: TraceAnswer["spans"][number]["span_class"];
  readonly is_agent: number;
  readonly counted: number;
  readonly counted_by: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resource_attributes: Readonly<Record<string, string>>;
  readonly event_times_ns: readonly string[];
  readonly event_names: readonly string[];
  readonly event_attributes: readonly Readonly<Record<string, string>>[];
}

/** What only decisions say of a span. */
type Decided = "counted" | "counted_by" | "duplicates" | "suspected_duplicate";

/** A row of `call_decisions`; empty texts and `default` leave what the span says. */
interface Decision {
  readonly start_ns: string;
  readonly span_id: string;
  readonly counted: "default" | "no" | "yes";
  readonly duplicates: number;
  readonly suspected_duplicate: number;
  readonly is_aggregate: number;
  readonly provider_calls: number;
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  readonly finish_reason: string;
  readonly reason: string;
  readonly counted_by: string;
}

/**
 * The spans of a trace in order of time, at most `limit`; attributes and events of those that
 * `details_of` names: `all`, an id, or nothing. First when it was, by the index of trace ids
 * over the whole time of the project, then all of it from the few granules where it lies.
 */
async function readTrace(
  engine: Engine,
  project_id: string,
  trace_id: string,
  limit: number,
  details_of: string,
): Promise<StoredSpan[]> {
  const [bounds] = await engine.query<{ first_ns: string; last_ns: string; spans: string }>(
    loadQuery("select_trace_bounds"),
    { project_id, trace_id },
  );
  if (bounds === undefined || bounds.spans === "0") return [];
  const { first_ns, last_ns } = bounds;
  const params = { project_id, trace_id, first_ns, last_ns };
  const [decisions, spans] = await Promise.all([
    engine.query<Decision>(loadQuery("select_trace_decisions"), params),
    engine.query<Omit<StoredSpan, Decided>>(loadQuery("select_trace"), {
      ...params,
      limit,
      details_of,
    }),
  ]);
  const by_span = new Map(decisions.map((row) => [`${row.start_ns} ${row.span_id}`, row]));
  return spans.map((span) => applyDecision(span, by_span.get(`${span.start_ns} ${span.span_id}`)));
}

/** What the view `ledger_spans` makes of a span and its decision; a test holds the two together. */
function applyDecision(
  span: Omit<StoredSpan, Decided>,
  decision: Decision | undefined,
): StoredSpan {
  const is_default = decision === undefined || decision.counted === "default";
  return {
    ...span,
    usage_status: decision?.is_aggregate === 1 ? "aggregate" : span.usage_status,
    provider_calls: is_default ? span.provider_calls : decision.provider_calls,
    user_id: decision?.user_id || span.user_id,
    session_id: decision?.session_id || span.session_id,
    agent_name: decision?.agent_name || span.agent_name,
    finish_reason: decision?.finish_reason || span.finish_reason,
    reason: decision?.reason ? `${span.reason}; ${decision.reason}` : span.reason,
    duplicates: decision?.duplicates ?? 0,
    suspected_duplicate: decision?.suspected_duplicate ?? 0,
    counted_by: decision?.counted_by ?? "",
    counted: Number(is_default ? span.span_class === "billable" : decision.counted === "yes"),
  };
}

/** Answers one trace of one project; 404 when the project has no such trace, or the trace no such span. */
async function answerTrace(
  engine: Engine,
  project_id: string,
  trace_id: string,
  { detail = "full", span_id, limit = MAX_TRACE_SPANS }: TraceQuery,
): Promise<TraceAnswer | TraceTreeAnswer> {
  if (!/^[0-9a-fA-F]{32}$/.test(trace_id)) {
    const message = "trace_id must be 32 hexadecimal digits";
    throw new ApiError(400, "invalid_trace_id", message, [{ path: "trace_id", message }]);
  }
  const id = trace_id.toLowerCase();
  const chosen = span_id?.toLowerCase();
  const details_of = detail === "tree" ? "" : (chosen ?? "all");
  const found = await readTrace(engine, project_id, id, MAX_TRACE_SPANS + 1, details_of);
  if (found.length === 0) throw new ApiError(404, "trace_not_found", "There is no such trace.");
  const rows = found.slice(0, MAX_TRACE_SPANS);
  const calls = rows.map((row) => (row.counted === 1 ? callOfRow(row) : null));
  const costs = costOfSubtrees(rows, calls);
  const given = [...rows.entries()]
    .filter(([, { span_id: id }]) => chosen === undefined || id === chosen)
    .slice(0, limit);
  if (given.length === 0) throw noSuchSpan(found.length > MAX_TRACE_SPANS);
  const answer = {
    trace_id: id,
    ...timesOf(rows),
    truncated: found.length > MAX_TRACE_SPANS,
    span_count: rows.length,
    ...sumCalls(calls.filter((call) => call !== null)),
    spans: given.map(([index, row]) =>
      describeSpan(row, calls[index] ?? null, costs.get(row.span_id)),
    ),
  };
  // A schema drops the fields that it does not have.
  return detail === "tree" ? TraceTreeAnswer.parse(answer) : answer;
}

function noSuchSpan(is_truncated: boolean): ApiError {
  const place = is_truncated ? ` among the first ${MAX_TRACE_SPANS} of this trace` : "";
  return new ApiError(404, "span_not_found", `There is no such span${place}.`);
}

function timesOf(rows: readonly StoredSpan[]): Pick<TraceAnswer, "start_time" | "duration_ns"> {
  const starts = rows.map((row) => BigInt(row.start_ns));
  const start_ns = starts.reduce((first, start) => (start < first ? start : first));
  const end_ns = rows.reduce((last, row) => {
    const end = BigInt(row.start_ns) + BigInt(row.duration_ns);
    return end > last ? end : last;
  }, start_ns);
  return { start_time: formatTimestamp(start_ns), duration_ns: Number(end_ns - start_ns) };
}

function describeSpan(
  row: StoredSpan,
  call: CallRow | null,
  cost: bigint | undefined,
): TraceAnswer["spans"][number] {
  return {
    span_id: row.span_id,
    parent_span_id: parentOrNull(row.parent_span_id),
    name: row.name,
    kind: SPAN_KINDS[row.kind] ?? String(row.kind),
    start_time: formatTimestamp(BigInt(row.start_ns)),
    duration_ns: Number(row.duration_ns),
    status: row.status,
    status_message: row.status_message === "" ? null : row.status_message,
    service_name: row.service_name === "" ? null : row.service_name,
    span_class: row.span_class,
    is_agent: row.is_agent === 1,
    counted: row.counted === 1,
    counted_by: row.counted_by === "" ? null : row.counted_by,
    reason: row.reason,
    cost_usd: cost === undefined ? null : formatUsd(cost),
    attributes: { ...row.attributes },
    resource_attributes: { ...row.resource_attributes },
    events: row.event_names.map((name, event) => ({
      time: formatTimestamp(BigInt(row.event_times_ns[event] ?? 0)),
      name,
      attributes: { ...row.event_attributes[event] },
    })),
    call,
  };
}

/**
 * Picodollars of each span and all below it; spans above no priced call are left out. Leaves first,
 * each span hands its sum to its parent once, so that long chains cost no more than flat traces.
 * Parents that form a ring are never leaves: each of them gets the sum of the ring.
 */
function costOfSubtrees(
  rows: readonly StoredSpan[],
  calls: readonly (CallRow | null)[],
): Map<string, bigint> {
  const parents = new Map(rows.map((row) => [row.span_id, row.parent_span_id]));
  const costs = new Map<string, bigint>();
  const add = (span_id: string, cost: bigint | undefined) => {
    if (cost !== undefined) costs.set(span_id, (costs.get(span_id) ?? 0n) + cost);
  };
  for (const call of calls) {
    if (call?.cost_usd != null) add(call.span_id, parseUsd(call.cost_usd) ?? 0n);
  }
  const open_children = new Map([...parents.keys()].map((span_id) => [span_id, 0]));
  for (const parent of parents.values()) {
    const count = open_children.get(parent);
    if (count !== undefined) open_children.set(parent, count + 1);
  }
  const leaves = [...parents.keys()].filter((span_id) => open_children.get(span_id) === 0);
  for (let leaf = leaves.pop(); leaf !== undefined; leaf = leaves.pop()) {
    open_children.delete(leaf);
    const parent = parents.get(leaf) ?? "";
    const count = open_children.get(parent);
    if (count === undefined) continue;
    add(parent, costs.get(leaf));
    open_children.set(parent, count - 1);
    if (count === 1) leaves.push(parent);
  }
  for (const ring of ringsOf(open_children.keys(), parents)) {
    const known = ring.flatMap((span_id) => costs.get(span_id) ?? []);
    if (known.length === 0) continue;
    const sum = known.reduce((total, cost) => total + cost, 0n);
    for (const span_id of ring) costs.set(span_id, sum);
  }
  return costs;
}

/** The rings that the spans form, each of which has its parent among them. */
function ringsOf(span_ids: Iterable<string>, parents: ReadonlyMap<string, string>): string[][] {
  const rings: string[][] = [];
  const seen = new Set<string>();
  for (const first of span_ids) {
    const ring: string[] = [];
    for (let span_id = first; !seen.has(span_id); span_id = parents.get(span_id) ?? first) {
      seen.add(span_id);
      ring.push(span_id);
    }
    if (ring.length > 0) rings.push(ring);
  }
  return rings;
}

function addKnown(total: number | null, value: number | null): number | null {
  return value === null ? total : (total ?? 0) + value;
}

function sumCalls(calls: readonly CallRow[]): Pick<TraceAnswer, "totals" | "coverage"> {
  let input: number | null = null;
  let output: number | null = null;
  let cost: bigint | null = null;
  let known = 0;
  let priced = 0;
  for (const call of calls) {
    input = addKnown(input, call.input_total);
    output = addKnown(output, call.output_total);
    if (call.cost_usd !== null) cost = (cost ?? 0n) + (parseUsd(call.cost_usd) ?? 0n);
    for (const [name, tokens] of Object.entries(call.tokens)) {
      known += tokens ?? 0;
      if (call.cost[name as keyof CallRow["cost"]] !== null) priced += tokens ?? 0;
    }
  }
  const count = (test: (call: CallRow) => boolean) => calls.filter((call) => test(call)).length;
  return {
    totals: {
      calls: calls.length,
      errors: count((call) => call.status === "error"),
      input_total: input,
      output_total: output,
      cost_usd: cost === null ? null : formatUsd(cost),
    },
    coverage: {
      calls: calls.length,
      calls_missing_usage: count(
        (call) => call.usage_status === "missing" && call.cost_status !== "priced",
      ),
      calls_estimated: count((call) => call.usage_status === "estimated"),
      calls_unpriced: count((call) => call.cost_status !== "priced"),
      tokens_priced_share: known === 0 ? null : priced / known,
    },
  };
}

/** One trace. */
export const TRACE_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/traces/{trace_id}",
    summary: "The spans of a trace, with the cost of every node",
    description:
      "A trace of thousands of spans has megabytes of attributes: `detail=tree` leaves them out, and " +
      "`span_id` asks for those of one span.",
    tag: "Calls and traces",
    action: "usage:read",
    of: "project",
    path_parameters: { trace_id: "32 hexadecimal digits" },
    query: TraceQuery,
    answer: z.union([TraceAnswer, TraceTreeAnswer]),
    examples: [
      {
        summary: "A trace with the cost of every node",
        path: `/v1/traces/${EXAMPLE_IDS.trace_id}`,
      },
      {
        summary: "As short as a picture of it needs",
        path: `/v1/traces/${EXAMPLE_IDS.trace_id}?detail=tree`,
      },
      {
        summary: "One of its spans",
        path: `/v1/traces/${EXAMPLE_IDS.trace_id}?span_id=${EXAMPLE_IDS.span_id}`,
      },
    ],
    handle: ({ services, project_id, path, query }) =>
      answerTrace(services.engine, project_id, path["trace_id"] ?? "", query),
  }),
];
