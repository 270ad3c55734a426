/** `GET /v1/calls/{call_id}/explain`: why a span is a row of the ledger, or why it is none. */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { ExplainAnswer } from "../../schemas/api.ts";
import { formatTimestamp } from "../../schemas/units.ts";
import { callOfRow, type StoredCall } from "../call-row.ts";
import { ApiError } from "../errors.ts";
import { defineRoute, type Route } from "../route.ts";

interface StoredLedgerSpan extends StoredCall {
  readonly name: string;
  readonly span_class: ExplainAnswer["span"]["span_class"];
  readonly counted: number;
  readonly counted_by: string;
}

/** Spans that gave way to one call and are answered, at most. */
const MAX_REPLACED = 1_000;
/** How far from the call they may start, seconds: the longest trace window is shorter for most. */
const WINDOW_S = 86_400;

/** Explains one span of a project, counted or not. */
export async function answerExplain(
  engine: Engine,
  project_id: string,
  call_id: string,
): Promise<ExplainAnswer> {
  const match = /^([0-9a-f]{32})-([0-9a-f]{16})$/.exec(call_id.toLowerCase());
  if (match === null) {
    const message = "call_id is a trace id, a hyphen and a span id, in hexadecimal digits";
    throw new ApiError(400, "invalid_call_id", message, [{ path: "call_id", message }]);
  }
  const [span] = await engine.query<StoredLedgerSpan>(loadQuery("select_ledger_span"), {
    project_id,
    trace_id: match[1] as string,
    span_id: match[2] as string,
  });
  if (span === undefined) {
    throw new ApiError(404, "call_not_found", "There is no such call and no such span.");
  }
  const start_s = Number(BigInt(span.start_ns) / 1_000_000_000n);
  const replaced = await engine.query<StoredLedgerSpan>(loadQuery("select_replaced_spans"), {
    project_id,
    call_id: `${span.trace_id}-${span.span_id}`,
    from_s: Math.max(start_s - WINDOW_S, 0),
    to_s: start_s + WINDOW_S,
    limit: MAX_REPLACED + 1,
  });
  return {
    span: explainSpan(span),
    call: span.counted === 1 ? callOfRow(span) : null,
    replaced: replaced.slice(0, MAX_REPLACED).map((row) => explainSpan(row)),
    truncated: replaced.length > MAX_REPLACED,
  };
}

function explainSpan(row: StoredLedgerSpan): ExplainAnswer["span"] {
  return {
    call_id: `${row.trace_id}-${row.span_id}`,
    name: row.name,
    start_time: formatTimestamp(BigInt(row.start_ns)),
    signal: row.signal,
    dialect: row.dialect === "" ? null : row.dialect,
    scope_name: row.scope_name === "" ? null : row.scope_name,
    span_class: row.span_class,
    counted: row.counted === 1,
    counted_by: row.counted_by === "" ? null : row.counted_by,
    reason: row.reason,
  };
}

/** Why things count. */
export const EXPLAIN_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/calls/{call_id}/explain",
    summary: "Why a span is a row of the ledger or none, and what gave way to it",
    tag: "Calls and traces",
    action: "usage:read",
    of: "project",
    path_parameters: { call_id: "Trace id, hyphen, span id" },
    answer: ExplainAnswer,
    handle: ({ services, project_id, path }) =>
      answerExplain(services.engine, project_id, path["call_id"] ?? ""),
  }),
];
