/**
 * Reports of one call side by side: callbacks of a framework and the SDK that it calls, both read by
 * one emitter, which gives the two spans one parent (OpenLLMetry for JavaScript with LangChain.js,
 * dialects.md section 5). The callbacks know no response id, so no id proves that the call is one.
 *
 * Invariant: a report is paired at most once, so of ten calls seen by both ten are left. Two spans of
 * different parents are never paired: for them there is only suspicion.
 */
import type { Candidate } from "../../schemas/ledger.ts";
import { at, type Board, isCall } from "./board.ts";
import { modelFamily } from "./suspects.ts";

/** The scopes of callbacks, by the dialect of an emitter that also reads the SDKs below them. */
const CALLBACK_SCOPES: ReadonlyMap<string, string> = new Map([
  ["traceloop-js", "@traceloop/instrumentation-langchain"],
]);

/** Clocks of two instrumentations of one process, ns. */
const SLACK_NS = 50_000_000n;

/** Reports of SDKs that one report of a callback is compared with. */
const MAX_SIBLINGS_COMPARED = 64;

interface Family {
  readonly callbacks: number[];
  readonly sdks: number[];
}

/** Unites each call of a callback with the call of the SDK that ran within it. */
export function uniteSiblings(board: Board): void {
  const families = new Map<string, Family>();
  for (const index of byStart(board)) {
    const { dialect, scope_name, trace_id, parent_span_id, response_id } = at(board, index);
    const scope = CALLBACK_SCOPES.get(dialect);
    if (scope === undefined || parent_span_id === "" || !isCall(board, index)) continue;
    const is_callback = scope_name === scope;
    if (is_callback !== (response_id === "")) continue;
    const key = `${dialect} ${trace_id} ${parent_span_id}`;
    const family = families.get(key) ?? { callbacks: [], sdks: [] };
    families.set(key, family);
    (is_callback ? family.callbacks : family.sdks).push(index);
  }
  for (const family of families.values()) pairFamily(board, family);
}

/** Of all candidates those of the emitters above, by start; of one start by key. */
function byStart(board: Board): number[] {
  return board.candidates
    .flatMap(({ dialect }, index) => (CALLBACK_SCOPES.has(dialect) ? [index] : []))
    .sort((a, b) => Number(at(board, a).start_ns - at(board, b).start_ns) || a - b);
}

/** Those of equal counts first: of calls side by side they belong together. */
function pairFamily(board: Board, { callbacks, sdks }: Family): void {
  const taken = new Set<number>();
  const paired = new Set<number>();
  for (const wanted of [hasEqualCounts, hasGuessedCounts]) {
    const free = sdks.filter((sdk) => !taken.has(sdk));
    // Both lists go by start: what began before this callback began before those to come.
    let first = 0;
    for (const callback of callbacks) {
      if (paired.has(callback)) continue;
      const outer = at(board, callback);
      while (first < free.length && began(board, free[first]) < outer.start_ns - SLACK_NS) {
        first += 1;
      }
      const sdk = free.slice(first, first + MAX_SIBLINGS_COMPARED).find((index) => {
        const inner = at(board, index);
        return !taken.has(index) && ranWithin(outer, inner) && wanted(outer, inner);
      });
      if (sdk === undefined) continue;
      taken.add(sdk);
      paired.add(callback);
      board.calls.unite(callback, sdk);
      // With equal counts the SDK says more: the id and the model that answered.
      board.is_beaten[wanted === hasEqualCounts ? callback : sdk] = 1;
    }
  }
}

function began(board: Board, index: number | undefined): bigint {
  return index === undefined ? 0n : at(board, index).start_ns;
}

function ranWithin(outer: Candidate, inner: Candidate): boolean {
  const outer_end = outer.start_ns + outer.duration_ns;
  return (
    outer.provider === inner.provider &&
    outer.service_name === inner.service_name &&
    modelFamily(outer.model) === modelFamily(inner.model) &&
    outer.start_ns - SLACK_NS <= inner.start_ns &&
    inner.start_ns + inner.duration_ns <= outer_end + SLACK_NS
  );
}

function hasEqualCounts(outer: Candidate, inner: Candidate): boolean {
  return outer.input_total === inner.input_total && outer.output_total === inner.output_total;
}

/** The SDK's stream was counted locally, and the callback knows what the provider said. */
function hasGuessedCounts(outer: Candidate, inner: Candidate): boolean {
  return inner.usage_status === "estimated" && outer.input_total !== null;
}
