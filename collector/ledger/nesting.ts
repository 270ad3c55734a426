/**
 * Calls within calls (rule 4; dialects.md 1.2): an SDK's span in a framework's span in a gateway's
 * reports one call three times; a span over several calls repeats their sum.
 *
 * Invariant: each candidate is looked at once, after all that lies below it, and without recursion.
 */
import type { SpanClass } from "../../schemas/span.ts";
import { at, type Board, isCall, refuse, reportAt } from "./board.ts";
import { NONE } from "./forest.ts";
import { REASONS } from "./reasons.ts";
import { compareNested } from "./richness.ts";

/**
 * A call below one of these is made by it and is no report of the call above: agents run as tools
 * within the span of the call that asked for them (dialects.md 17).
 */
const NESTING_ENDS_AT: ReadonlySet<SpanClass> = new Set(["tool"]);

/** Calls told apart below a span; whether there is none, one or several is all that is asked. */
const MAX_CALLS_TOLD_APART = 2;

/** What lies below a span, as one candidate for each call: the report of it that says most. */
interface Below {
  /** Calls with usage, at most MAX_CALLS_TOLD_APART. */
  readonly with_usage: number[];
  /** Calls that failed without usage, at most MAX_CALLS_TOLD_APART. */
  readonly failed: number[];
  /** All reports without usage that did not fail. */
  silent: number[];
  /** Calls that are counted by another signal. */
  has_hidden: boolean;
  has_hidden_usage: boolean;
}

/** Decides for each call of the board what it is to those below it. */
export function resolveNesting(board: Board): void {
  const { parent, parents_first } = board.forest;
  const below: (Below | undefined)[] = board.candidates.map(() => undefined);
  for (let place = parents_first.length - 1; place >= 0; place -= 1) {
    const index = parents_first[place] as number;
    const up = passUp(board, index, below[index]);
    below[index] = undefined;
    const above = parent[index] as number;
    if (above === NONE || up === undefined) continue;
    const known = below[above];
    below[above] = known === undefined ? up : merge(board, known, up);
  }
}

function makeBelow(fields: Partial<Below> = {}): Below {
  return {
    with_usage: [],
    failed: [],
    silent: [],
    has_hidden: false,
    has_hidden_usage: false,
    ...fields,
  };
}

/** What a span and all below it are to the span above; undefined for nothing. */
function passUp(board: Board, index: number, below: Below | undefined): Below | undefined {
  if (NESTING_ENDS_AT.has(at(board, index).span_class)) return undefined;
  if (isCall(board, index)) {
    return below === undefined ? startWith(board, index) : resolveCall(board, index, below);
  }
  if (board.is_hidden[index] === 0) return below;
  const own = below ?? makeBelow();
  own.has_hidden ||= at(board, index).span_class === "billable";
  own.has_hidden_usage ||= board.has_usage[index] === 1;
  return own;
}

function startWith(board: Board, index: number): Below {
  if (board.calls.hasUsage(index)) return makeBelow({ with_usage: [index] });
  return makeBelow(at(board, index).status === "error" ? { failed: [index] } : { silent: [index] });
}

/** Joins two; the longer list takes in the shorter, so that all joins together stay cheap. */
function merge(board: Board, a: Below, b: Below): Below {
  const [long, short] = a.silent.length >= b.silent.length ? [a, b] : [b, a];
  for (const index of short.silent) long.silent.push(index);
  for (const index of short.with_usage) tellApart(board, long.with_usage, index);
  for (const index of short.failed) tellApart(board, long.failed, index);
  long.has_hidden ||= short.has_hidden;
  long.has_hidden_usage ||= short.has_hidden_usage;
  return long;
}

/** Adds a call to a short list, or keeps the richer report of one that is in it. */
function tellApart(board: Board, list: number[], index: number): void {
  const call = board.calls.find(index);
  const place = list.findIndex((known) => board.calls.find(known) === call);
  if (place !== -1) list[place] = richer(board, list[place] as number, index);
  else if (list.length < MAX_CALLS_TOLD_APART) list.push(index);
}

function richer(board: Board, a: number, b: number): number {
  return compareNested(reportAt(board, a), reportAt(board, b)) <= 0 ? a : b;
}

/** Rules 4a to 4d for a call with something below it. */
function resolveCall(board: Board, index: number, below: Below): Below {
  if (board.has_usage[index] === 0) return resolveWrapper(board, index, below);
  const [only, second] = below.with_usage;
  if (second !== undefined) {
    refuse(board, index, REASONS.sum);
    return below;
  }
  if (only !== undefined) {
    below.with_usage[0] = uniteNested(board, index, only);
    return below;
  }
  if (below.has_hidden_usage) {
    refuse(board, index, REASONS.sum);
    return below;
  }
  standFor(board, index, below.silent);
  return { ...below, with_usage: [index], silent: [] };
}

/** Rule 4a. With a response id of its own it is a report of the one call below, not only its frame. */
function resolveWrapper(board: Board, index: number, below: Below): Below {
  const silent: number[] = [];
  for (const report of below.silent) {
    tellApart(board, silent, report);
    if (silent.length === MAX_CALLS_TOLD_APART) break;
  }
  // One report is enough of one call: wrappers around wrappers must not walk a long list again.
  if (silent.length < MAX_CALLS_TOLD_APART) below.silent = silent;
  const calls: number[] = [];
  for (const report of [...below.with_usage, ...below.failed, ...silent]) {
    tellApart(board, calls, report);
  }
  if (calls.length === 0 && !below.has_hidden) return merge(board, below, startWith(board, index));
  const [only = NONE] = calls.length === 1 && !below.has_hidden ? calls : [];
  if (only !== NONE && at(board, index).response_id !== "") {
    board.calls.unite(index, only);
    board.is_beaten[index] = 1;
  } else {
    refuse(board, index, REASONS.wrapper, only);
  }
  return below;
}

/** One lies in the other and both report one call: returns the one that is kept. */
function uniteNested(board: Board, outer: number, inner: number): number {
  board.calls.unite(outer, inner);
  const kept = richer(board, outer, inner);
  board.is_beaten[kept === outer ? inner : outer] = 1;
  return kept;
}

/** Rule 4d: the usage of the calls below is on this one. */
function standFor(board: Board, index: number, silent: readonly number[]): void {
  const calls = new Set(silent.map((report) => board.calls.find(report)));
  if (calls.size > 1) {
    board.stands_for.set(index, calls.size);
    for (const report of silent) board.replaced_by.set(report, index);
    return;
  }
  for (const report of silent) board.calls.unite(index, report);
}
