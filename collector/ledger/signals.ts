/**
 * One signal of a source counts (rule 2; dialects.md 1.2.8 and 12 to 14): clients that send the same
 * call as a log event and as a span are counted by the event where there is one.
 *
 * Invariant: what a source sends by another signal is hidden only where the preferred one was seen,
 * in the same trace or session; a source that sends spans alone is counted by its spans.
 */
import type { Candidate } from "../../schemas/ledger.ts";
import type { Signal } from "../../schemas/span.ts";
import { at, type Board } from "./board.ts";
import { NONE } from "./forest.ts";
import { REASONS, type Reason } from "./reasons.ts";

const REASON_OF_SIGNAL: Readonly<Record<Signal, Reason>> = {
  span: REASONS.preferred_span,
  log: REASONS.preferred_log,
  metric: REASONS.preferred_metric,
};

/**
 * Hides calls and aggregates of the dialects listed that came by another signal than the listed.
 */
export function hideOtherSignals(board: Board, prefer_signal: ReadonlyMap<string, Signal>): void {
  const sessions = findSessions(board, prefer_signal);
  const seen = new Set<string>();
  for (let index = 0; index < board.candidates.length; index += 1) {
    const candidate = at(board, index);
    if (candidate.span_class !== "billable") continue;
    if (prefer_signal.get(candidate.dialect) !== candidate.signal) continue;
    for (const place of placesOf(candidate, sessions[index])) seen.add(place);
  }
  if (seen.size === 0) return;
  for (let index = 0; index < board.candidates.length; index += 1) {
    const candidate = at(board, index);
    if (candidate.span_class !== "billable" && candidate.span_class !== "aggregate") continue;
    const preferred = prefer_signal.get(candidate.dialect);
    if (preferred === undefined || preferred === candidate.signal) continue;
    if (!placesOf(candidate, sessions[index]).some((place) => seen.has(place))) continue;
    board.is_hidden[index] = 1;
    board.refusals[index] = { reason: REASON_OF_SIGNAL[preferred], counted_by: NONE };
  }
  pairHidden(board, prefer_signal, sessions);
}

/**
 * Finds for each hidden call the one that counts in its place: of the same trace or session, with the
 * same counts and outcome, one to one in order of time (dialects.md 12). What finds none stays without.
 */
function pairHidden(
  board: Board,
  prefer_signal: ReadonlyMap<string, Signal>,
  sessions: readonly string[],
): void {
  const waiting = new Map<string, number[]>();
  const by_time = board.candidates
    .map((_candidate, index) => index)
    .filter((index) => prefer_signal.has(at(board, index).dialect))
    .sort((a, b) => compareTime(at(board, a), at(board, b)));
  for (const index of by_time) {
    const candidate = at(board, index);
    if (candidate.span_class !== "billable" || board.is_hidden[index] === 1) continue;
    for (const key of pairKeys(candidate, sessions[index])) {
      const list = waiting.get(key);
      if (list === undefined) waiting.set(key, [index]);
      else list.push(index);
    }
  }
  const taken = new Set<number>();
  const next = new Map<string, number>();
  for (const hidden of by_time) {
    if (board.is_hidden[hidden] === 0 || at(board, hidden).span_class !== "billable") continue;
    for (const key of pairKeys(at(board, hidden), sessions[hidden])) {
      const list = waiting.get(key) ?? [];
      let place = next.get(key) ?? 0;
      while (place < list.length && taken.has(list[place] as number)) place += 1;
      next.set(key, place);
      const counted = list[place];
      if (counted === undefined) continue;
      taken.add(counted);
      board.shown_for.set(counted, hidden);
      board.refusals[hidden] = {
        reason: REASON_OF_SIGNAL[prefer_signal.get(at(board, hidden).dialect) ?? "span"],
        counted_by: counted,
      };
      break;
    }
  }
}

function compareTime(a: Candidate, b: Candidate): number {
  if (a.start_ns !== b.start_ns) return a.start_ns < b.start_ns ? -1 : 1;
  return a.key < b.key ? -1 : 1;
}

function pairKeys(candidate: Candidate, session_id: string | undefined): string[] {
  const { input_total, output_total, status } = candidate;
  const looks = `${input_total}/${output_total}/${status === "error" ? "failed" : "answered"}`;
  return placesOf(candidate, session_id).map((place) => `${place}\n${looks}`);
}

/** Where a candidate of a dialect lies: its trace and its session, as far as it has them. */
function placesOf({ dialect, trace_id }: Candidate, session_id = ""): string[] {
  const places: string[] = [];
  if (trace_id !== "") places.push(`${dialect}\ntrace\n${trace_id}`);
  if (session_id !== "") places.push(`${dialect}\nsession\n${session_id}`);
  return places;
}

/** A session and the dialect of the span that names it. */
interface NamedSession {
  readonly dialect: string;
  readonly session_id: string;
}

/**
 * The session of each candidate, by index: its own, else that of the nearest span above it that names
 * one and is of the same client, as Codex does. A span of another client lends none: traces that bear on
 * each other are found by what clients say of themselves (collector/ownership/group.ts).
 */
function findSessions(board: Board, prefer_signal: ReadonlyMap<string, Signal>): string[] {
  const named: (NamedSession | undefined)[] = [];
  const sessions: string[] = [];
  for (const index of board.forest.parents_first) {
    const { dialect, session_id } = at(board, index);
    const above = board.forest.parent[index] as number;
    const lent = above === NONE ? undefined : named[above];
    named[index] = session_id !== "" && prefer_signal.has(dialect) ? { dialect, session_id } : lent;
    sessions[index] = session_id || (lent?.dialect === dialect ? lent.session_id : "");
  }
  return sessions;
}
