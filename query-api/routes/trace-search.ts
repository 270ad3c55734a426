/**
 * `GET /v1/traces`: the traces of a range, by what their calls are and cost, page by page.
 *
 * Invariant: a page costs what its traces cost: the newest part of the range is looked at first, and
 * sums are made only of traces that may be answered. Only questions about sums read a whole range.
 */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { MAX_INSTANT_MS } from "../../schemas/api.ts";
import {
  TRACE_ORDERS,
  type TraceOrder,
  type TraceRow,
  TracesAnswer,
  TracesQuery,
} from "../../schemas/api-traces.ts";
import { formatTimestamp } from "../../schemas/units.ts";
import { CALL_FILTER_NAMES } from "../../schemas/usage.ts";
import { ApiError } from "../errors.ts";
import { coverageOf, readMeasures, type SumRow, Sums } from "../measures.ts";
import { resolveRange, type TimeRange } from "../request.ts";
import { defineRoute, type Route } from "../route.ts";
import { splitBackwards } from "./calls.ts";

const DEFAULT_LIMIT = 50;
/** Spans of a trace further from its first one are not looked for, ms. */
export const TRACE_REACH_MS = 86_400_000;
/** Length of the newest part of a range, ms: most pages are full with it. */
const FIRST_PART_MS = 3_600_000;
/** Statements that one page may take; then it ends where it is, with a cursor. */
const MAX_STATEMENTS = 40;
/** Traces that are looked at at once at least. */
const MIN_CANDIDATES = 20;

const MEASURES = ["calls", "errors", "input_total", "output_total", "cost_usd"] as const;

/** Where a page ended: the last trace that was looked at, and what all pages share. */
interface Cursor extends TimeRange {
  readonly order_by: TraceOrder;
  readonly rank: string;
  readonly start_ns: string;
  readonly trace_id: string;
}

interface Candidate {
  readonly trace: string;
  readonly start_ns: string;
}

/** A row of `select_trace_list.sql`; beside these the columns that sums are made of. */
interface StoredTrace {
  readonly trace_id: string;
  readonly rank_text: string;
  readonly start_ns: string;
  readonly duration_ns: string;
  readonly name: string;
  readonly service_name: string;
  readonly spans: string;
  readonly failed_spans: string;
  readonly models: readonly string[];
  readonly users: readonly string[];
  readonly sessions: readonly string[];
  readonly agents: readonly string[];
  readonly [column: string]: unknown;
}

interface Found {
  readonly rows: readonly StoredTrace[];
  /** Where to go on; null when the range is at its end. */
  readonly next: Pick<Cursor, "rank" | "start_ns" | "trace_id"> | null;
}

interface Search {
  readonly engine: Engine;
  readonly range: TimeRange;
  readonly order_by: TraceOrder;
  readonly cursor: Cursor | null;
  readonly limit: number;
  /** Parameters that every statement of the search has. */
  readonly params: Readonly<Record<string, Params[string]>>;
}

/** Answers a page of traces of one project. */
export async function answerTraces(
  engine: Engine,
  project_id: string,
  query: TracesQuery,
  now_ms: number,
): Promise<TracesAnswer> {
  const cursor = query.cursor === undefined ? null : readCursor(query.cursor);
  if (cursor !== null) refuseOtherQuestion(query, cursor);
  // Pages keep the range of the first one, so that "now" does not move between them.
  const range = cursor ?? resolveRange(query, now_ms);
  const order_by = cursor?.order_by ?? query.order_by ?? "start";
  const search: Search = {
    engine,
    range,
    order_by,
    cursor,
    limit: query.limit ?? DEFAULT_LIMIT,
    params: makeParams(project_id, query, order_by),
  };
  const { rows, next } =
    order_by !== "start"
      ? await findRanked(search, [range])
      : asksSums(query)
        ? await findRanked(search, splitBackwards(untilCursor(range, cursor)))
        : await findNewest(search);
  const totals = new Sums();
  const traces = rows.map((row) => describeTrace(row, totals));
  return {
    from: new Date(range.from_ms).toISOString(),
    to: new Date(range.to_ms).toISOString(),
    order_by,
    traces,
    coverage: coverageOf(totals),
    next_cursor: next === null ? null : writeCursor({ ...range, order_by, ...next }),
  };
}

/** Whether a filter is about what only all spans of a trace tell. */
function asksSums(query: TracesQuery): boolean {
  return (
    query.min_cost_usd !== undefined ||
    query.min_duration_ms !== undefined ||
    query.name !== undefined
  );
}

function makeParams(project_id: string, query: TracesQuery, order_by: TraceOrder) {
  const tags = new Map<string, string[]>();
  for (const [key, value] of query.tag ?? []) tags.set(key, [...(tags.get(key) ?? []), value]);
  const params: Record<string, Params[string]> = {
    project_id,
    order_by,
    has_errors: query.has_errors ?? "",
    name: query.name ?? "",
    min_cost_usd: query.min_cost_usd ?? "",
    min_duration_ms: query.min_duration_ms ?? 0,
    tag_keys: [...tags.keys()],
    tag_values: [...tags.values()],
  };
  let has_filters = tags.size > 0;
  for (const name of CALL_FILTER_NAMES) {
    params[name] = query[name] ?? [];
    has_filters ||= query[name] !== undefined;
  }
  return { ...params, has_filters: has_filters ? 1 : 0 };
}

/** The first instant after the cursor's trace: nothing that older pages had is looked at again. */
function untilCursor({ from_ms, to_ms }: TimeRange, cursor: Cursor | null): TimeRange {
  if (cursor === null) return { from_ms, to_ms };
  return {
    from_ms,
    to_ms: Math.min(Number(BigInt(cursor.start_ns) / 1_000_000n) + 1, to_ms),
  };
}

/** Newest first: which traces there are from the fewest columns, then the sums of these alone. */
async function findNewest(search: Search): Promise<Found> {
  const { range, cursor, limit } = search;
  const rows: StoredTrace[] = [];
  let after: Candidate | null =
    cursor === null ? null : { trace: cursor.trace_id, start_ns: cursor.start_ns };
  let statements = 0;
  for (const part of splitBackwards(untilCursor(range, cursor), FIRST_PART_MS)) {
    for (;;) {
      if (statements >= MAX_STATEMENTS && after !== null) return { rows, next: placeOf(after) };
      const wanted = Math.max(limit + 1 - rows.length, MIN_CANDIDATES);
      const candidates: Candidate[] = await readStarts(search, part, after, wanted);
      const last = candidates.at(-1);
      statements += 1;
      if (last === undefined) break;
      rows.push(...(await readCandidates(search, part, candidates)));
      statements += 1;
      after = last;
      if (rows.length > limit) return cutPage(rows, limit);
      if (candidates.length < wanted) break;
    }
  }
  return { rows, next: null };
}

/** Ordered or filtered by sums: each part as a whole. */
async function findRanked(search: Search, parts: Iterable<TimeRange>): Promise<Found> {
  const { limit, cursor } = search;
  const rows: StoredTrace[] = [];
  for (const { from_ms, to_ms } of parts) {
    rows.push(
      ...(await readTraces(search, {
        traces: [],
        from_s: seconds(from_ms),
        to_s: seconds(to_ms),
        read_from_s: seconds(Math.max(0, from_ms - TRACE_REACH_MS)),
        read_to_s: seconds(to_ms + TRACE_REACH_MS),
        limit: limit + 1 - rows.length,
        cursor_rank: cursor?.rank ?? "",
        cursor_ns: cursor?.start_ns ?? "0",
        cursor_trace_id: cursor?.trace_id ?? "",
      })),
    );
    if (rows.length > limit) return cutPage(rows, limit);
  }
  return { rows, next: null };
}

function cutPage(found: readonly StoredTrace[], limit: number): Found {
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  if (last === undefined) return { rows, next: null };
  return {
    rows,
    next: { rank: last.rank_text, start_ns: last.start_ns, trace_id: last.trace_id },
  };
}

function placeOf({ trace, start_ns }: Candidate): Found["next"] {
  return { rank: start_ns, start_ns, trace_id: trace };
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function readStarts(
  { engine, params }: Search,
  { from_ms, to_ms }: TimeRange,
  after: Candidate | null,
  limit: number,
): Promise<Candidate[]> {
  return engine.query<Candidate>(loadQuery("select_trace_starts"), {
    ...params,
    from_s: seconds(from_ms),
    to_s: seconds(to_ms),
    calls_to_s: seconds(to_ms + TRACE_REACH_MS),
    cursor_ns: after?.start_ns ?? "0",
    cursor_trace_id: after?.trace ?? "",
    limit,
  });
}

/** The rows of candidates of a part; those that began before it are left to an older part. */
function readCandidates(
  search: Search,
  part: TimeRange,
  candidates: readonly Candidate[],
): Promise<StoredTrace[]> {
  const newest_ms = Number(BigInt(candidates[0]?.start_ns ?? 0) / 1_000_000n);
  const oldest_ms = Number(BigInt(candidates.at(-1)?.start_ns ?? 0) / 1_000_000n);
  return readTraces(search, {
    traces: candidates.map(({ trace }) => trace),
    from_s: seconds(part.from_ms),
    to_s: seconds(part.to_ms),
    read_from_s: seconds(Math.max(0, oldest_ms - TRACE_REACH_MS)),
    read_to_s: seconds(newest_ms + TRACE_REACH_MS),
    limit: candidates.length,
    cursor_rank: "",
    cursor_ns: "0",
    cursor_trace_id: "",
  });
}

function readTraces(search: Search, params: Params): Promise<StoredTrace[]> {
  const sql = loadQuery("select_trace_list");
  return search.engine.query<StoredTrace>(sql, { ...search.params, ...params });
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

/** The columns of a row that `Sums` adds up. */
const SUM_COLUMN = /^(calls|errors|calls_\w+|usage_mask|tokens_\w+|cost_\w+)$/;

function describeTrace(row: StoredTrace, totals: Sums): TraceRow {
  const columns = Object.entries(row).filter(([name]) => SUM_COLUMN.test(name));
  const sums = new Sums();
  const sum_row = Object.fromEntries(columns) as SumRow;
  sums.add(sum_row);
  totals.add(sum_row);
  const measures = readMeasures(sums, MEASURES);
  return {
    trace_id: row.trace_id,
    name: orNull(row.name),
    service_name: orNull(row.service_name),
    start_time: formatTimestamp(BigInt(row.start_ns)),
    duration_ns: Number(row.duration_ns),
    spans: Number(row.spans),
    failed_spans: Number(row.failed_spans),
    calls: measures.calls ?? 0,
    errors: measures.errors ?? 0,
    input_total: measures.input_total ?? null,
    output_total: measures.output_total ?? null,
    cost_usd: measures.cost_usd ?? null,
    models: [...row.models],
    users: [...row.users],
    sessions: [...row.sessions],
    agents: [...row.agents],
    coverage: measures.coverage,
  };
}

function writeCursor(cursor: Cursor): string {
  const { order_by, from_ms, to_ms, rank, start_ns, trace_id } = cursor;
  const fields = [order_by, from_ms, to_ms, rank, start_ns, trace_id];
  return Buffer.from(fields.join(":")).toString("base64url");
}

function refuseCursor(message: string): never {
  throw new ApiError(400, "invalid_cursor", message, [{ path: "cursor", message }]);
}

/** Reads a cursor; only the very text that `writeCursor` writes is one. */
function readCursor(text: string): Cursor {
  const match = /^([a-z]+):(\d{1,15}):(\d{1,15}):(-?\d{1,38}):(\d{1,19}):([0-9a-f]{32})$/.exec(
    Buffer.from(text, "base64url").toString(),
  );
  const cursor: Cursor = {
    order_by: (match?.[1] ?? "") as TraceOrder,
    from_ms: Number(match?.[2]),
    to_ms: Number(match?.[3]),
    rank: match?.[4] ?? "",
    start_ns: match?.[5] ?? "0",
    trace_id: match?.[6] ?? "",
  };
  const start_ms = BigInt(cursor.start_ns) / 1_000_000n;
  const isOurs =
    match !== null &&
    TRACE_ORDERS.includes(cursor.order_by) &&
    cursor.to_ms <= MAX_INSTANT_MS &&
    start_ms >= cursor.from_ms &&
    start_ms < cursor.to_ms &&
    writeCursor(cursor) === text;
  if (!isOurs) refuseCursor("cursor is not one that this server gave");
  return cursor;
}

/** Range and order beside a cursor must be the cursor's: they would otherwise be ignored. */
function refuseOtherQuestion(query: TracesQuery, cursor: Cursor): void {
  const same =
    (query.from ?? cursor.from_ms) === cursor.from_ms &&
    (query.to ?? cursor.to_ms) === cursor.to_ms &&
    (query.order_by ?? cursor.order_by) === cursor.order_by;
  if (!same) {
    refuseCursor("cursor is of another range or order; leave from, to and order_by as they were");
  }
}

/** The search of traces. */
export const TRACE_SEARCH_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/traces",
    summary: "The traces of a range, by what their calls are and cost",
    description:
      "Filters of calls hold when one call that counts fits all of them. Spans that start more than " +
      "a day from the first one of their trace are not in its row; `/v1/traces/{trace_id}` has all.",
    tag: "Calls and traces",
    action: "usage:read",
    of: "project",
    query: TracesQuery,
    answer: TracesAnswer,
    handle: ({ services, project_id, query, now_ms }) =>
      answerTraces(services.engine, project_id, query, now_ms),
  }),
];
