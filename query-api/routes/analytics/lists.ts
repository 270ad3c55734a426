/** `GET /v1/analytics/sessions` and `/users`: who used what, the most first, page by page. */
import { loadQuery } from "../../../clickhouse/queries.ts";
import {
  LIST_MEASURES,
  LIST_ORDERS,
  type ListOrder,
  ListQuery,
  SessionsAnswer,
  UsersAnswer,
} from "../../../schemas/api-lists.ts";
import { DEFAULT_ANALYTICS_ROWS } from "../../../schemas/api-analytics-parts.ts";
import { MAX_INSTANT_MS } from "../../../schemas/api-parts.ts";
import { formatTimestamp } from "../../../schemas/units.ts";
import { ApiError } from "../../errors.ts";
import { coverageOf, type SumRow, Sums } from "../../measures.ts";
import type { TimeRange } from "../../request.ts";
import { defineRoute, type Route } from "../../route.ts";
import { bindRange, describeRange, measure, readAsked, type Source } from "./question.ts";

/** Names of models, users and the like of one row at most. */
const MAX_NAMES = 20;

/** A row of `clickhouse/queries/select_analytics_list.sql`: these columns, and those of sums. */
interface ListedRow {
  readonly id: string;
  readonly tie: string;
  readonly rank: string;
  readonly first_ns: string;
  readonly last_ns: string;
  readonly end_ns: string;
  readonly models: readonly string[];
  readonly user_ids: readonly string[];
  readonly sessions: string;
}

/** Where the next page begins: the last row of this one, and what the pages share. */
interface Cursor extends TimeRange {
  readonly order_by: ListOrder;
  readonly rank: string;
  readonly tie: string;
}

interface Page {
  readonly head: Omit<SessionsAnswer, "sessions" | "without_session" | "coverage">;
  readonly rows: readonly ListedRow[];
  /** The calls that name none. */
  readonly unnamed: ListedRow | null;
}

async function readPage(
  { engine }: Source,
  project_id: string,
  list: "sessions" | "users",
  query: ListQuery,
  now_ms: number,
): Promise<Page> {
  const cursor = query.cursor === undefined ? null : readCursor(query.cursor);
  const wanted = readAsked(query, now_ms);
  if (cursor !== null) refuseOtherQuestion(query, wanted, cursor);
  // Pages keep the range of the first one, so that "now" does not move between them.
  const asked = cursor === null ? wanted : { ...wanted, ...rangeOf(cursor) };
  const order_by = cursor?.order_by ?? query.order_by ?? "cost";
  const limit = query.limit ?? DEFAULT_ANALYTICS_ROWS;
  const found = await engine.query<ListedRow>(loadQuery("select_analytics_list"), {
    ...bindRange(asked),
    project_id,
    list,
    order_by,
    names: MAX_NAMES,
    cursor_rank: cursor?.rank ?? "0", // without a cursor its tie is empty
    cursor_tie: cursor?.tie ?? "",
    // One for the calls that name none, one to see whether there are more.
    limit: limit + 2,
  });
  const unnamed = found.find(({ id }) => id === "") ?? null;
  const named = found.filter(({ id }) => id !== "");
  const rows = named.slice(0, limit);
  const last = rows.at(-1);
  return {
    head: {
      ...describeRange(asked),
      tz: query.tz ?? asked.tz,
      order_by,
      next_cursor:
        named.length > limit && last !== undefined
          ? writeCursor({ ...rangeOf(asked), order_by, rank: last.rank, tie: last.tie })
          : null,
    },
    rows,
    unnamed,
  };
}

function rangeOf({ from_ms, to_ms }: TimeRange): TimeRange {
  return { from_ms, to_ms };
}

function writeCursor({ from_ms, to_ms, order_by, rank, tie }: Cursor): string {
  return Buffer.from([from_ms, to_ms, order_by, rank, tie].join(":")).toString("base64url");
}

function refuseCursor(message: string): never {
  throw new ApiError(400, "invalid_cursor", message, [{ path: "cursor", message }]);
}

/** Reads a cursor; only the very text that `writeCursor` writes is one. */
function readCursor(text: string): Cursor {
  const match = /^(\d{1,15}):(\d{1,15}):([a-z_]+):(\d{1,26}(?:\.\d{1,12})?):([0-9a-f]{32})$/.exec(
    Buffer.from(text, "base64url").toString(),
  );
  const order_by = LIST_ORDERS.find((name) => name === match?.[3]);
  if (match === null || order_by === undefined) return refuseCursor(NOT_OURS);
  const [from_ms, to_ms] = [Number(match[1]), Number(match[2])];
  const cursor = { from_ms, to_ms, order_by, rank: match[4] ?? "", tie: match[5] ?? "" };
  const is_ours = from_ms < to_ms && to_ms <= MAX_INSTANT_MS && writeCursor(cursor) === text;
  return is_ours ? cursor : refuseCursor(NOT_OURS);
}

const NOT_OURS = "cursor is not one that this server gave";

/** What is asked beside a cursor must be what the cursor is of: it would otherwise be ignored. */
function refuseOtherQuestion(query: ListQuery, wanted: TimeRange, cursor: Cursor): void {
  const is_same =
    (query.from === undefined || wanted.from_ms === cursor.from_ms) &&
    (query.to === undefined || wanted.to_ms === cursor.to_ms) &&
    (query.order_by === undefined || query.order_by === cursor.order_by);
  if (!is_same) refuseCursor("cursor is of another range or order; leave them as they were");
}

/** What is no column of sums. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  "id",
  "tie",
  "rank",
  "first_ns",
  "last_ns",
  "end_ns",
  "models",
  "user_ids",
  "sessions",
]);

function sumsOf(rows: readonly ListedRow[]): Sums {
  const sums = new Sums();
  for (const row of rows) {
    const columns = Object.entries(row).filter(([name]) => !OWN_FIELDS.has(name));
    sums.add(Object.fromEntries(columns) as SumRow);
  }
  return sums;
}

function describeListed(row: ListedRow) {
  return {
    ...measure(sumsOf([row]), LIST_MEASURES),
    first_seen: formatTimestamp(BigInt(row.first_ns)),
    last_seen: formatTimestamp(BigInt(row.last_ns)),
    models: [...row.models],
  };
}

/** Answers a page of sessions. */
export async function answerSessions(
  source: Source,
  project_id: string,
  query: ListQuery,
  now_ms: number,
): Promise<SessionsAnswer> {
  const { head, rows, unnamed } = await readPage(source, project_id, "sessions", query, now_ms);
  return {
    ...head,
    sessions: rows.map((row) => ({
      session_id: row.id,
      ...describeListed(row),
      user_ids: [...row.user_ids],
      duration_ns: Number(BigInt(row.end_ns) - BigInt(row.first_ns)),
    })),
    without_session: unnamed === null ? null : describeListed(unnamed),
    coverage: coverageOf(sumsOf(rows)),
  };
}

/** Answers a page of users. */
export async function answerUsers(
  source: Source,
  project_id: string,
  query: ListQuery,
  now_ms: number,
): Promise<UsersAnswer> {
  const { head, rows, unnamed } = await readPage(source, project_id, "users", query, now_ms);
  return {
    ...head,
    users: rows.map((row) => ({
      user_id: row.id,
      ...describeListed(row),
      sessions: Number(row.sessions),
    })),
    without_user: unnamed === null ? null : describeListed(unnamed),
    coverage: coverageOf(sumsOf(rows)),
  };
}

const common = {
  method: "GET",
  tag: "Analytics",
  action: "usage:read",
  of: "project",
  query: ListQuery,
  cache: "ledger",
} as const;

/** Lists of sessions and users. */
export const LIST_ROUTES: readonly Route[] = [
  defineRoute({
    ...common,
    path: "/v1/analytics/sessions",
    summary: "Sessions: what each used and cost, the most first",
    description: "Sums are of the calls within the range, also of sessions that began before it.",
    answer: SessionsAnswer,
    examples: [
      { summary: "The ten dearest", path: "/v1/analytics/sessions?order_by=cost&limit=10" },
    ],
    handle: ({ services, project_id, query, now_ms }) =>
      answerSessions(services, project_id, query, now_ms),
  }),
  defineRoute({
    ...common,
    path: "/v1/analytics/users",
    summary: "Users: what each used and cost, the most first",
    answer: UsersAnswer,
    examples: [
      { summary: "Who was there last", path: "/v1/analytics/users?order_by=last_seen&limit=10" },
    ],
    handle: ({ services, project_id, query, now_ms }) =>
      answerUsers(services, project_id, query, now_ms),
  }),
];
