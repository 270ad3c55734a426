/** `GET /v1/analytics/errors`: failed calls by what failed, with samples. */
import { createHash } from "node:crypto";
import { loadQuery } from "../../../clickhouse/queries.ts";
import { ErrorsAnswer, ErrorsQuery } from "../../../schemas/api-lists.ts";
import { DEFAULT_ANALYTICS_ROWS } from "../../../schemas/api-analytics-parts.ts";
import { formatTimestamp } from "../../../schemas/units.ts";
import { rangeBefore } from "../../period.ts";
import { defineRoute, type Route } from "../../route.ts";
import { askSets, totalOf } from "../../usage-sets.ts";
import {
  bindRange,
  describeRange,
  makeReader,
  measure,
  readAsked,
  type Source,
  toSeconds,
} from "./question.ts";

/** Services of one group at most. */
const MAX_SERVICES = 10;
/** Traces of one group at most. */
const MAX_SAMPLES = 3;
/** Characters of a fingerprint. */
const FINGERPRINT_CHARS = 16;

/** A row of `clickhouse/queries/select_analytics_errors.sql`. */
interface ErrorRow {
  readonly provider: string;
  readonly model: string;
  readonly operation: string;
  readonly error_type: string;
  readonly http_status: number;
  readonly message: string;
  readonly calls: string;
  readonly calls_before: string;
  /** 1 when there was one between the begin of the range before and this range. */
  readonly is_known: number;
  readonly first_ns: string;
  readonly last_ns: string;
  readonly users: string;
  readonly services: readonly string[];
  /** The newest first; a trace may be there several times. */
  readonly trace_ids: readonly string[];
}

const MEASURES = ["calls", "errors", "error_rate"] as const;

/** Answers the groups of errors. */
export async function answerErrors(
  source: Source,
  project_id: string,
  query: ErrorsQuery,
  now_ms: number,
): Promise<ErrorsAnswer> {
  const asked = readAsked(query, now_ms);
  const before = rangeBefore(asked, asked.tz, now_ms);
  const order_by = query.order_by ?? "calls";
  const limit = query.limit ?? DEFAULT_ANALYTICS_ROWS;
  const reader = await makeReader(source, project_id, before, asked);
  const common = { ...asked, project_id, interval: "none", measures: MEASURES, limit: 1 } as const;
  const [rows, [total], [total_before]] = await Promise.all([
    source.engine.query<ErrorRow>(loadQuery("select_analytics_errors"), {
      ...bindRange(asked),
      before_s: toSeconds(before.from_ms),
      before_to_s: toSeconds(before.to_ms),
      project_id,
      order_by,
      names: MAX_SERVICES,
      limit: limit + 1,
    }),
    askSets(reader, { ...common, sets: [[]] }),
    askSets(reader, { ...common, ...before, sets: [[]] }),
  ]);
  const { calls, errors, error_rate, coverage } = measure(totalOf(total), MEASURES);
  const previous = measure(totalOf(total_before), MEASURES);
  return {
    ...describeRange(asked),
    tz: query.tz ?? asked.tz,
    order_by,
    calls,
    errors,
    error_rate,
    previous: { ...describeRange(before), calls: previous.calls, errors: previous.errors },
    groups: rows.slice(0, limit).map((row) => describeGroup(row)),
    truncated: rows.length > limit,
    coverage,
  };
}

/** Names a kind of error by what it is, not by when or where: the hash of its parts, hexadecimal. */
export function fingerprintError(
  row: Pick<
    ErrorRow,
    "provider" | "model" | "operation" | "error_type" | "http_status" | "message"
  >,
): string {
  const { provider, model, operation, error_type, http_status, message } = row;
  const parts = [provider, model, operation, error_type, http_status, message];
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return hash.slice(0, FINGERPRINT_CHARS);
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

function describeGroup(row: ErrorRow): ErrorsAnswer["groups"][number] {
  return {
    fingerprint: fingerprintError(row),
    provider: orNull(row.provider),
    model: orNull(row.model),
    operation: orNull(row.operation),
    error_type: orNull(row.error_type),
    http_status: row.http_status === 0 ? null : row.http_status,
    message: orNull(row.message),
    calls: Number(row.calls),
    calls_before: Number(row.calls_before),
    is_new: row.is_known === 0,
    first_seen: formatTimestamp(BigInt(row.first_ns)),
    last_seen: formatTimestamp(BigInt(row.last_ns)),
    users: Number(row.users),
    services: [...row.services],
    sample_trace_ids: [...new Set(row.trace_ids)].slice(0, MAX_SAMPLES),
  };
}

/** Groups of errors. */
export const ERROR_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/errors",
    summary: "Failed calls by what failed: since when, how often, for whom, with samples",
    description:
      "A group is one provider, model, operation, error type, HTTP status and, where content is captured, message without what differs from call to call. `GET /v1/traces/{trace_id}` shows a sample.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: ErrorsQuery,
    answer: ErrorsAnswer,
    cache: "ledger",
    examples: [
      { summary: "The last day", path: "/v1/analytics/errors?from=2026-11-20&to=2026-11-21" },
    ],
    handle: ({ services, project_id, query, now_ms }) =>
      answerErrors(services, project_id, query, now_ms),
  }),
];
