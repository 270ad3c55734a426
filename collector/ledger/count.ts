/**
 * The counting rules of the ledger: of all spans known of some traces, which are rows, and what each
 * row takes over from those that are not (DESIGN section 5 rules 2 to 4; the evidence is in
 * dialects.md 1.1, 1.2 and 12 to 17). Pure: the same candidates give the same decisions.
 *
 * Invariant: the answer does not depend on the order of the candidates, and takes a time close to
 * proportional to their number, whatever their parent links say.
 */
import type { Candidate, Decision } from "../../schemas/ledger.ts";
import type { Signal } from "../../schemas/span.ts";
import { promoteAggregates } from "./aggregates.ts";
import { at, type Board, isCall, makeBoard, reportAt } from "./board.ts";
import { borrowContext, type Context, inheritContexts, isEmptyContext } from "./context.ts";
import { NONE } from "./forest.ts";
import { resolveNesting } from "./nesting.ts";
import { REASONS, type Reason } from "./reasons.ts";
import { compareTwins } from "./richness.ts";
import { hideOtherSignals } from "./signals.ts";
import { uniteSiblings } from "./siblings.ts";
import { findSuspects } from "./suspects.ts";
import { uniteTwins } from "./twins.ts";

/** What the rules know beside the candidates. */
export interface CountOptions {
  /** Whether a trace has been quiet for long enough that nothing more is expected of it. */
  readonly is_settled: (trace_id: string) => boolean;
  /** The signal that counts, by dialect, for clients that send a call by several. */
  readonly prefer_signal: ReadonlyMap<string, Signal>;
  /** Dialects whose calls carry a session id that the aggregates of other dialects repeat. */
  readonly session_sources: ReadonlySet<string>;
}

/** A call that is a row: its reports, the counted one first. */
interface Row {
  readonly index: number;
  readonly duplicates: readonly number[];
}

/**
 * Decides over whole traces, with the whole traces of their twins (the same response id or session):
 * of a trace that is given in part, the decisions do not hold. Each identity is given once. Answers
 * by key, for those candidates only that are not treated as their class says: a call counts once
 * and alone, anything else does not.
 */
export function decideCalls(
  candidates: readonly Candidate[],
  options: CountOptions,
): Map<string, Decision> {
  const board = makeBoard(candidates);
  const contexts = inheritContexts(board);
  hideOtherSignals(board, options.prefer_signal);
  uniteTwins(board);
  uniteSiblings(board);
  resolveNesting(board);
  promoteAggregates(board, options.is_settled, options.session_sources);

  const rows = listRows(board);
  const suspects = findSuspects(
    board,
    rows.map((row) => row.index),
  );
  const decisions = new Map<string, Decision>();
  const row_of = new Map<number, number>();
  for (const row of rows) {
    row_of.set(board.calls.find(row.index), row.index);
    const decision = decideRow(board, row, suspects.has(row.index), contexts);
    if (decision !== undefined) decisions.set(decision.key, decision);
    for (const index of row.duplicates) {
      decisions.set(at(board, index).key, refuseDuplicate(board, index, row.index));
    }
  }
  addRefusals(board, row_of, decisions);
  return decisions;
}

/** Every call with a report that counts, and every aggregate that does. */
function listRows(board: Board): Row[] {
  const replaced = new Set<number>();
  for (const index of board.replaced_by.keys()) {
    const call = board.calls.find(index);
    if (!board.calls.hasUsage(call)) replaced.add(call);
  }
  const reports_of = new Map<number, number[]>();
  const rows: Row[] = [];
  for (let index = 0; index < board.candidates.length; index += 1) {
    if (board.promoted.get(index)?.waits === false) rows.push({ index, duplicates: [] });
    if (!isCall(board, index) || board.refusals[index] !== undefined) continue;
    const call = board.calls.find(index);
    if (replaced.has(call)) continue;
    const reports = reports_of.get(call);
    if (reports === undefined) reports_of.set(call, [index]);
    else reports.push(index);
  }
  for (const reports of reports_of.values()) rows.push(pickReport(board, reports));
  return rows;
}

/** The richest of the reports that none of their own nest has beaten, and the others by richness. */
function pickReport(board: Board, reports: number[]): Row {
  const [only] = reports;
  if (reports.length === 1 && only !== undefined) return { index: only, duplicates: [] };
  const ordered = reports.toSorted(
    (a, b) =>
      (board.is_beaten[a] as number) - (board.is_beaten[b] as number) ||
      compareTwins(reportAt(board, a), reportAt(board, b)),
  );
  const [index = NONE, ...duplicates] = ordered;
  return { index, duplicates };
}

const NO_DECISION = {
  counted: false,
  waits: false,
  duplicates: 0,
  suspected_duplicate: false,
  provider_calls: null,
  is_aggregate: false,
  user_id: "",
  session_id: "",
  agent_name: "",
  finish_reason: "",
  reason: "",
  counted_by: "",
} as const satisfies Omit<Decision, "key">;

/** The decision on a row; undefined where it counts as its span says. */
function decideRow(
  board: Board,
  { index, duplicates }: Row,
  suspected_duplicate: boolean,
  contexts: readonly Context[],
): Decision | undefined {
  const candidate = at(board, index);
  const promoted = board.promoted.get(index);
  const others = [index, ...duplicates].flatMap((report) => board.shown_for.get(report) ?? []);
  const context = borrowContext(candidate, [
    contexts[index],
    ...[...duplicates, ...others].map((other) => contexts[other]),
  ]);
  const finish_reason = borrowFinishReason(board, index, [...duplicates, ...others]);
  // What one report stands for the call stands for, whichever report of it is kept.
  const stands_for = [index, ...duplicates].map((report) => board.stands_for.get(report) ?? 0);
  const replaced_calls = stands_for.reduce((most, calls) => Math.max(most, calls), 0);
  const reasons: Reason[] = [];
  if (promoted !== undefined) reasons.push(REASONS.promoted);
  if (replaced_calls > 0) reasons.push(REASONS.stands_for_calls);
  if (duplicates.length > 0) reasons.push(REASONS.richest);
  if (suspected_duplicate) reasons.push(REASONS.suspected);
  if (reasons.length + others.length === 0 && isEmptyContext(context)) return undefined;
  const own_calls = promoted === undefined ? candidate.provider_calls : promoted.provider_calls;
  return {
    ...NO_DECISION,
    ...context,
    finish_reason,
    key: candidate.key,
    counted: true,
    duplicates: duplicates.length + others.length,
    suspected_duplicate,
    provider_calls: replaced_calls > 0 ? replaced_calls : own_calls,
    is_aggregate: promoted !== undefined || replaced_calls > 0,
    reason: reasons.join("; "),
  };
}

/** Why the model stopped, by the first other report that says it; "" where the row's own does. */
function borrowFinishReason(board: Board, index: number, others: readonly number[]): string {
  if (at(board, index).finish_reason !== "") return "";
  const lender = others.find((other) => at(board, other).finish_reason !== "");
  return lender === undefined ? "" : at(board, lender).finish_reason;
}

function refuseDuplicate(board: Board, index: number, kept: number): Decision {
  const [candidate, winner] = [at(board, index), at(board, kept)];
  let reason: Reason = REASONS.same_call;
  if (candidate.response_id !== "" && candidate.response_id === winner.response_id) {
    reason = REASONS.same_response;
  } else if (board.has_usage[index] === 0 && board.has_usage[kept] === 1) {
    reason = REASONS.no_usage_of_its_own;
  }
  return { ...NO_DECISION, key: candidate.key, reason, counted_by: callId(winner) };
}

/** Adds what is no row and no duplicate of one. */
function addRefusals(
  board: Board,
  row_of: ReadonlyMap<number, number>,
  decisions: Map<string, Decision>,
): void {
  const replaced_calls = new Map<number, number>();
  for (const [index, by] of board.replaced_by) replaced_calls.set(board.calls.find(index), by);

  /** The row where a candidate's call counts. */
  function nameRow(index: number): string {
    if (index === NONE) return "";
    const call = board.calls.find(index);
    const by = replaced_calls.get(call);
    const row =
      row_of.get(call) ?? (by === undefined ? undefined : row_of.get(board.calls.find(by)));
    return row === undefined ? "" : callId(at(board, row));
  }

  for (let index = 0; index < board.candidates.length; index += 1) {
    const { key } = at(board, index);
    const refusal = board.refusals[index];
    if (refusal !== undefined) {
      const counted_by = nameRow(refusal.counted_by);
      decisions.set(key, { ...NO_DECISION, key, reason: refusal.reason, counted_by });
    } else if (board.promoted.get(index)?.waits === true) {
      decisions.set(key, { ...NO_DECISION, key, waits: true, reason: REASONS.waits });
    } else if (isCall(board, index) && !row_of.has(board.calls.find(index))) {
      const reason = REASONS.no_usage_of_its_own;
      decisions.set(key, { ...NO_DECISION, key, reason, counted_by: nameRow(index) });
    }
  }
}

function callId({ trace_id, span_id }: Candidate): string {
  return `${trace_id}-${span_id}`;
}
