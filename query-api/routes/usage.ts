/** `GET /v1/usage`: any measures by any dimensions by any step of time, as JSON, CSV, NDJSON or Parquet. */
import { MAX_USAGE_CURSOR_LENGTH, UsageAnswer, UsageQuery } from "../../schemas/api-usage.ts";
import { canonicalTimeZone } from "../../schemas/api-parts.ts";
import { DEFAULT_MEASURE_NAMES } from "../../schemas/usage.ts";
import { ApiError } from "../errors.ts";
import { chooseFormat, formatRows, MEDIA_TYPES } from "../formats.ts";
import { readTagFilters, readUsageFilters, resolveRangeIn, type TimeRange } from "../request.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";
import { askUsage, type UsageReader, type UsageResult } from "../usage.ts";
import {
  fingerprintOf,
  fingerprintOfTop,
  readUsageCursor,
  refuseCursor,
  type UsageCursor,
  writeUsageCursor,
} from "../usage-cursor.ts";
import type { UsageQuestion } from "../usage-question.ts";
import { openReader } from "../usage-reader.ts";

const DEFAULT_LIMIT = 1_000;
const DEFAULT_TIME_ZONE = "UTC";

/** The question that a request asks. Throws ApiError(400) for one that makes no sense. */
export function readUsageQuestion(
  project_id: string,
  query: UsageQuery,
  now_ms: number,
): UsageQuestion {
  const tz = canonicalTimeZone(query.tz ?? DEFAULT_TIME_ZONE) ?? DEFAULT_TIME_ZONE;
  const group_by = query.group_by ?? [];
  if (query.top !== undefined && group_by.length === 0) {
    const message = "needs group_by: it keeps the largest groups";
    throw new ApiError(400, "invalid_query", `top ${message}`, [{ path: "top", message }]);
  }
  const asked = {
    project_id,
    measures: query.measures ?? DEFAULT_MEASURE_NAMES,
    group_by,
    interval: query.interval ?? "none",
    tz,
    ...readUsageFilters(query),
    tags: readTagFilters(query.tag),
    excluded_tags: readTagFilters(query.not_tag),
    limit: query.limit ?? DEFAULT_LIMIT,
    ...(query.order_by === undefined ? {} : { order_by: query.order_by }),
    ...(query.top === undefined ? {} : { top: query.top }),
    ...(query.compare === undefined ? {} : { compare: { to: query.compare, now_ms } }),
  };
  if (query.cursor === undefined) return { ...asked, ...resolveRangeIn(query, tz, now_ms) };
  const cursor = readUsageCursor(query.cursor);
  if (cursor.question !== fingerprintOf(asked)) {
    refuseCursor("cursor is of another question; leave all but limit as it was");
  }
  if (cursor.after.keys.length !== group_by.length) {
    refuseCursor("cursor is not one that this server gave");
  }
  refuseOtherRange(query, cursor, tz, now_ms);
  return { ...asked, from_ms: cursor.from_ms, to_ms: cursor.to_ms, after: cursor.after };
}

/** A range beside a cursor must be the cursor's: it would otherwise be ignored. */
function refuseOtherRange(
  { from, to }: UsageQuery,
  cursor: UsageCursor,
  tz: string,
  now_ms: number,
): void {
  const range: TimeRange = resolveRangeIn(
    { from: from ?? cursor.from_ms, to: to ?? cursor.to_ms },
    tz,
    now_ms,
  );
  if (range.from_ms !== cursor.from_ms || range.to_ms !== cursor.to_ms) {
    refuseCursor("cursor is of another range of time; leave from and to as they were");
  }
}

/** Answers a usage question of one project. */
export async function answerUsage(
  reader: UsageReader,
  question: UsageQuestion,
  given_cursor?: string,
): Promise<UsageAnswer> {
  const result = await askUsage(reader, question);
  const { from_ms, to_ms } = question;
  refuseOtherTop(result, given_cursor);
  return {
    from: new Date(from_ms).toISOString(),
    to: new Date(to_ms).toISOString(),
    tz: question.tz,
    interval: question.interval,
    group_by: [...question.group_by],
    rows: [...result.rows],
    totals: result.totals,
    coverage: result.coverage,
    truncated: result.truncated,
    next_cursor: nextCursor(question, result),
    ...(result.previous === undefined
      ? {}
      : {
          previous: {
            from: new Date(result.previous.from_ms).toISOString(),
            to: new Date(result.previous.to_ms).toISOString(),
          },
        }),
  };
}

/** The pages of one answer keep the same groups apart, or they would not add up. */
function refuseOtherTop({ top_groups }: UsageResult, given_cursor: string | undefined): void {
  if (given_cursor === undefined) return;
  if (readUsageCursor(given_cursor).top === fingerprintOfTop(top_groups)) return;
  refuseCursor("the largest groups have changed since the first page; ask for that again");
}

function nextCursor(question: UsageQuestion, { next, top_groups }: UsageResult): string | null {
  if (next === null) return null;
  const { from_ms, to_ms } = question;
  const text = writeUsageCursor({
    question: fingerprintOf(question),
    top: fingerprintOfTop(top_groups),
    from_ms,
    to_ms,
    after: next,
  });
  if (text.length <= MAX_USAGE_CURSOR_LENGTH) return text;
  const message = "gives rows with names too long for a cursor; raise limit or group by less";
  throw new ApiError(400, "invalid_query", `group_by ${message}`, [{ path: "group_by", message }]);
}

async function handleUsage(request: ApiRequest<UsageQuery>): Promise<unknown> {
  const { services, project_id, query, now_ms, raw } = request;
  const question = readUsageQuestion(project_id, query, now_ms);
  const reader = await openReader(services, question);
  const answer = await answerUsage(reader, question, query.cursor);
  const format = chooseFormat(raw.headers.get("accept"));
  if (format === "json") return { ...answer, tz: query.tz ?? DEFAULT_TIME_ZONE };
  const next = new URL(raw.url);
  if (answer.next_cursor !== null) next.searchParams.set("cursor", answer.next_cursor);
  return new Response(await formatRows(format, services.engine, question, answer.rows), {
    headers: {
      "content-type": MEDIA_TYPES[format],
      vary: "accept",
      ...(answer.next_cursor === null
        ? {}
        : { link: `<${next.pathname}${next.search}>; rel="next"` }),
    },
  });
}

/** Usage. */
export const USAGE_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/usage",
    summary: "Calls, tokens, cost and latency by any dimensions and steps of time",
    description:
      "Sums are exact. JSON by default; by `Accept` the rows as `text/csv`, `application/x-ndjson` or " +
      '`application/vnd.apache.parquet`, with the next page in the header `Link: <...>; rel="next"`. ' +
      "`GET /v1/schema` lists measures and dimensions.",
    tag: "Usage",
    action: "usage:read",
    of: "project",
    query: UsageQuery,
    answer: UsageAnswer,
    media_types: [MEDIA_TYPES.csv, MEDIA_TYPES.ndjson, MEDIA_TYPES.parquet],
    cache: "ledger",
    examples: [
      {
        summary: "What each model cost, day by day",
        path: "/v1/usage?group_by=model&interval=day&measures=calls,cost_usd",
      },
      {
        summary: "The five dearest teams by the tag `team`, against the period before",
        path: "/v1/usage?group_by=tag.team&top=5&measures=cost_usd&compare=previous",
      },
    ],
    handle: handleUsage,
  }),
];
