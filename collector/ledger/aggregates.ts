/**
 * Aggregates that become rows (rule 5; dialects.md 1.2.2): clients that report the usage of an agent
 * and not of its calls. The deepest stands for the calls below it.
 *
 * Invariant: an aggregate counts only where no call with usage lies, or could lie, below it.
 */
import { at, type Board, isCall } from "./board.ts";
import { NONE } from "./forest.ts";
import { REASONS, type Reason } from "./reasons.ts";
import { countTokens } from "./richness.ts";

/** What lies below a span. */
interface Below {
  /** Usage that is counted there or elsewhere. */
  has_usage: boolean;
  /** An aggregate that counts, or will. */
  has_aggregate: boolean;
  /** Reports of calls without usage that did not fail and are rows so far. */
  silent: number[];
}

/** Where in its trace an aggregate may not count. */
interface Surroundings {
  /** 1 below a call with usage, with no tool between. */
  readonly is_covered: Uint8Array;
  /** Trees that hang loose and hold calls with usage, by trace. */
  readonly loose_trees: ReadonlyMap<string, ReadonlySet<number>>;
  /** Dialects of calls, by session. */
  readonly sessions: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Decides which aggregates count. `session_sources` are dialects whose calls carry the session id
 * that aggregates of other dialects repeat.
 */
export function promoteAggregates(
  board: Board,
  is_settled: (trace_id: string) => boolean,
  session_sources: ReadonlySet<string>,
): void {
  const surroundings = lookAround(board, session_sources);
  const { parent, parents_first } = board.forest;
  const below: (Below | undefined)[] = board.candidates.map(() => undefined);
  for (let place = parents_first.length - 1; place >= 0; place -= 1) {
    const index = parents_first[place] as number;
    const own = below[index] ?? { has_usage: false, has_aggregate: false, silent: [] };
    below[index] = undefined;
    if (at(board, index).span_class === "billable") addCall(board, index, own);
    else if (isOpenAggregate(board, index, own)) {
      decideAggregate(board, index, own, surroundings, is_settled);
    } else if (board.is_hidden[index] === 1 && board.has_usage[index] === 1) own.has_usage = true;
    const above = parent[index] as number;
    if (above === NONE) continue;
    const known = below[above];
    below[above] = known === undefined ? own : merge(known, own);
  }
}

function addCall(board: Board, index: number, own: Below): void {
  if (board.has_usage[index] === 1 || board.calls.hasUsage(index)) own.has_usage = true;
  else if (isCall(board, index) && at(board, index).status !== "error") {
    const is_row = board.refusals[index] === undefined && !board.replaced_by.has(index);
    if (is_row) own.silent.push(index);
  }
}

/** The longer list takes in the shorter, so that all joins together stay cheap. */
function merge(a: Below, b: Below): Below {
  const [long, short] = a.silent.length >= b.silent.length ? [a, b] : [b, a];
  for (const index of short.silent) long.silent.push(index);
  long.has_usage ||= short.has_usage;
  long.has_aggregate ||= short.has_aggregate;
  return long;
}

/** Whether it has tokens to count that nothing below it is known to count. */
function isOpenAggregate(board: Board, index: number, own: Below): boolean {
  const candidate = at(board, index);
  return (
    candidate.span_class === "aggregate" &&
    board.has_usage[index] === 1 &&
    board.is_hidden[index] === 0 &&
    countTokens(candidate) > 0 &&
    !own.has_usage &&
    !own.has_aggregate
  );
}

function decideAggregate(
  board: Board,
  index: number,
  own: Below,
  surroundings: Surroundings,
  is_settled: (trace_id: string) => boolean,
): void {
  const obstacle = findObstacle(board, index, surroundings);
  if (obstacle !== undefined) {
    board.refusals[index] = { reason: obstacle, counted_by: NONE };
    own.has_usage = true;
    return;
  }
  own.has_aggregate = true;
  if (!is_settled(at(board, index).trace_id)) {
    board.promoted.set(index, { waits: true, provider_calls: null });
    return;
  }
  const calls = new Set(own.silent.map((report) => board.calls.find(report)));
  const provider_calls = calls.size === 0 ? null : calls.size;
  board.promoted.set(index, { waits: false, provider_calls });
  for (const report of own.silent) board.replaced_by.set(report, index);
  own.silent = [];
}

function findObstacle(board: Board, index: number, around: Surroundings): Reason | undefined {
  const { trace_id, session_id, dialect } = at(board, index);
  if (around.is_covered[index] === 1) return REASONS.call_above;
  const sources = around.sessions.get(session_id);
  if (sources !== undefined && (sources.size > 1 || !sources.has(dialect))) return REASONS.session;
  const loose = around.loose_trees.get(trace_id);
  const own_tree = board.forest.root[index] as number;
  if (loose !== undefined && (loose.size > 1 || !loose.has(own_tree))) return REASONS.loose_call;
  return undefined;
}

function lookAround(board: Board, session_sources: ReadonlySet<string>): Surroundings {
  const { parent, parents_first, root, is_broken } = board.forest;
  const is_covered = new Uint8Array(board.candidates.length);
  const loose_trees = new Map<string, Set<number>>();
  const sessions = new Map<string, Set<string>>();
  for (const index of parents_first) {
    const { span_class, trace_id, session_id, dialect } = at(board, index);
    const above = parent[index] as number;
    if (above !== NONE && at(board, above).span_class !== "tool") {
      const is_usage = at(board, above).span_class === "billable" && board.has_usage[above] === 1;
      is_covered[index] = is_usage ? 1 : (is_covered[above] as number);
    }
    if (span_class !== "billable") continue;
    const tree = root[index] as number;
    if (trace_id !== "" && is_broken[tree] === 1 && board.has_usage[index] === 1) {
      addTo(loose_trees, trace_id, tree);
    }
    if (session_id !== "" && session_sources.has(dialect)) addTo(sessions, session_id, dialect);
  }
  return { is_covered, loose_trees, sessions };
}

function addTo<Value>(sets: Map<string, Set<Value>>, key: string, value: Value): void {
  const known = sets.get(key);
  if (known === undefined) sets.set(key, new Set([value]));
  else known.add(value);
}
