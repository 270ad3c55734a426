/** `GET /v1/calls`: the rows of the ledger, newest first, page by page. */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { CallsAnswer, CallsQuery, MAX_INSTANT_MS } from "../../schemas/api.ts";
import { CALL_FILTER_NAMES } from "../../schemas/usage.ts";
import { callOfRow, type StoredCall } from "../call-row.ts";
import { ApiError } from "../errors.ts";
import { readFilters, resolveRange, type TimeRange } from "../request.ts";
import { defineRoute, type Route } from "../route.ts";

const DEFAULT_LIMIT = 100;

/** Where the next page begins: the last row of this one, and the range the pages share. */
interface Cursor extends TimeRange {
  readonly start_ns: string;
  readonly trace_id: string;
  readonly span_id: string;
}

/** Answers a page of calls of one project. */
export async function answerCalls(
  engine: Engine,
  project_id: string,
  query: CallsQuery,
  now_ms: number,
): Promise<CallsAnswer> {
  const cursor = query.cursor === undefined ? null : readCursor(query.cursor);
  if (cursor !== null) refuseOtherRange(query, cursor);
  // Pages keep the range of the first one, so that "now" does not move between them.
  const range = cursor ?? resolveRange(query, now_ms);
  const limit = query.limit ?? DEFAULT_LIMIT;
  const filters = readFilters(query);
  const params: Record<string, Params[string]> = {
    project_id,
    status: query.status ?? "",
    trace_id: query.trace_id ?? "",
    cursor_ns: cursor?.start_ns ?? "0", // without a cursor its trace is empty
    cursor_trace_id: cursor?.trace_id ?? "",
    cursor_span_id: cursor?.span_id ?? "",
  };
  for (const name of CALL_FILTER_NAMES) params[name] = filters[name] ?? [];
  const last_ms = cursor === null ? range.to_ms : endOfCursor(cursor);
  const found: StoredCall[] = [];
  for (const { from_ms, to_ms } of splitBackwards({ from_ms: range.from_ms, to_ms: last_ms })) {
    const rows = await engine.query<StoredCall>(loadQuery("select_calls"), {
      ...params,
      from_s: (from_ms / 1000).toFixed(3),
      to_s: (to_ms / 1000).toFixed(3),
      limit: limit + 1 - found.length,
    });
    found.push(...rows);
    if (found.length > limit) break;
  }
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return {
    from: new Date(range.from_ms).toISOString(),
    to: new Date(range.to_ms).toISOString(),
    calls: page.map((row) => callOfRow(row)),
    next_cursor:
      found.length > limit && last !== undefined
        ? writeCursor({
            from_ms: range.from_ms,
            to_ms: range.to_ms,
            start_ns: last.start_ns,
            trace_id: last.trace_id,
            span_id: last.span_id,
          })
        : null,
  };
}

/** The first instant after the cursor's row, Unix ms: nothing older pages have is looked at again. */
function endOfCursor({ start_ns, to_ms }: Cursor): number {
  return Math.min(Number(BigInt(start_ns) / 1_000_000n) + 1, to_ms);
}

/** Length of the newest part of a range, ms; each part before it is that much longer. */
const FIRST_PART_MS = 86_400_000;
const PART_GROWTH = 4;

/**
 * A range in parts, newest first: the newest calls are nearly always in the first, and then the join
 * of spans and decisions is not made of the rest (docs/decisions/0010-ownership.md).
 */
export function* splitBackwards(
  { from_ms, to_ms }: TimeRange,
  first_part_ms = FIRST_PART_MS,
): Generator<TimeRange> {
  let end_ms = to_ms;
  for (let part_ms = first_part_ms; end_ms > from_ms; part_ms *= PART_GROWTH) {
    const start_ms = Math.max(end_ms - part_ms, from_ms);
    yield { from_ms: start_ms, to_ms: end_ms };
    end_ms = start_ms;
  }
}

function writeCursor(cursor: Cursor): string {
  const fields = [cursor.from_ms, cursor.to_ms, cursor.start_ns, cursor.trace_id, cursor.span_id];
  return Buffer.from(fields.join(":")).toString("base64url");
}

function refuseCursor(message: string): never {
  throw new ApiError(400, "invalid_cursor", message, [{ path: "cursor", message }]);
}

/** Reads a cursor; only the very text that `writeCursor` writes is one. */
function readCursor(text: string): Cursor {
  const match = /^(\d{1,15}):(\d{1,15}):(\d{1,19}):([0-9a-f]{32}):([0-9a-f]{16})$/.exec(
    Buffer.from(text, "base64url").toString(),
  );
  const cursor: Cursor = {
    from_ms: Number(match?.[1]),
    to_ms: Number(match?.[2]),
    start_ns: match?.[3] ?? "0",
    trace_id: match?.[4] ?? "",
    span_id: match?.[5] ?? "",
  };
  const start_ms = BigInt(cursor.start_ns) / 1_000_000n;
  const isOurs =
    match !== null &&
    cursor.to_ms <= MAX_INSTANT_MS &&
    start_ms >= cursor.from_ms &&
    start_ms < cursor.to_ms &&
    writeCursor(cursor) === text;
  if (!isOurs) refuseCursor("cursor is not one that this server gave");
  return cursor;
}

/** A range beside a cursor must be the cursor's: it would otherwise be ignored. */
function refuseOtherRange(query: CallsQuery, range: TimeRange): void {
  const same =
    (query.from ?? range.from_ms) === range.from_ms && (query.to ?? range.to_ms) === range.to_ms;
  if (!same) refuseCursor("cursor is of another range of time; leave from and to as they were");
}

/** The rows of the ledger. */
export const CALL_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/calls",
    summary: "The rows of the ledger, newest first",
    tag: "Calls and traces",
    action: "usage:read",
    of: "project",
    query: CallsQuery,
    answer: CallsAnswer,
    handle: ({ services, project_id, query, now_ms }) =>
      answerCalls(services.engine, project_id, query, now_ms),
  }),
];
