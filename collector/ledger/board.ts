/**
 * The working state of one decision: candidates by index, what is known of each, and which of them
 * report one call (disjoint sets with union by size).
 *
 * Invariant: candidates are sorted by key before anything is asked of them, so every later step that
 * goes by index goes by key.
 */
import type { Candidate } from "../../schemas/ledger.ts";
import { buildForest, type Forest, NONE } from "./forest.ts";
import type { Reason } from "./reasons.ts";
import { type Report, reportsUsage } from "./richness.ts";

/** Why a candidate is no row, and at which one its call counts (NONE for none or several). */
export interface Refusal {
  readonly reason: Reason;
  readonly counted_by: number;
}

/** Everything the rules read and write; every array is by the index of a candidate. */
export interface Board {
  readonly candidates: readonly Candidate[];
  readonly forest: Forest;
  /** 1 where the usage is known. */
  readonly has_usage: Uint8Array;
  /** 1 where another signal of the same source counts (rule 2). */
  readonly is_hidden: Uint8Array;
  /** 1 where a report below or above of the same call is kept instead (rule 4). */
  readonly is_beaten: Uint8Array;
  readonly refusals: (Refusal | undefined)[];
  readonly calls: Calls;
  /** Candidate with usage to the number of calls without usage that it stands for (rule 4d). */
  readonly stands_for: Map<number, number>;
  /** Candidate without usage to the one that stands for its call (rules 4d and 5). */
  readonly replaced_by: Map<number, number>;
  /** Candidate that counts to the report by another signal that it counts for (rule 2). */
  readonly shown_for: Map<number, number>;
  /** Aggregates that are rows, and whether they wait for their trace (rule 5). */
  readonly promoted: Map<number, { waits: boolean; provider_calls: number | null }>;
}

/** Lays out the candidates. */
export function makeBoard(unsorted: readonly Candidate[]): Board {
  const candidates = unsorted.toSorted((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
  const has_usage = Uint8Array.from(candidates, (candidate) => Number(reportsUsage(candidate)));
  return {
    candidates,
    forest: buildForest(candidates),
    has_usage,
    is_hidden: new Uint8Array(candidates.length),
    is_beaten: new Uint8Array(candidates.length),
    refusals: candidates.map(() => undefined),
    calls: new Calls(has_usage),
    stands_for: new Map(),
    replaced_by: new Map(),
    shown_for: new Map(),
    promoted: new Map(),
  };
}

/** The candidate at an index. */
export function at(board: Board, index: number): Candidate {
  return board.candidates[index] as Candidate;
}

/** The candidate at an index as a report to compare. */
export function reportAt(board: Board, index: number): Report {
  return { candidate: at(board, index), depth: board.forest.depth[index] as number };
}

/** Whether the candidate may be a call of the ledger: billable, by the signal that counts. */
export function isCall(board: Board, index: number): boolean {
  return at(board, index).span_class === "billable" && board.is_hidden[index] === 0;
}

/** Takes a candidate out of its call: it is no report of one. */
export function refuse(board: Board, index: number, reason: Reason, counted_by = NONE): void {
  board.calls.leave(index);
  board.refusals[index] = { reason, counted_by };
}

/** Candidates that report one call, as disjoint sets; a set is named by one of its members. */
export class Calls {
  readonly #above: Int32Array;
  readonly #size: Int32Array;
  /** Members with usage, at the name of the set. */
  readonly #with_usage: Int32Array;
  readonly #has_usage: Uint8Array;

  constructor(has_usage: Uint8Array) {
    this.#above = Int32Array.from(has_usage, (_, index) => index);
    this.#size = new Int32Array(has_usage.length).fill(1);
    this.#with_usage = Int32Array.from(has_usage);
    this.#has_usage = has_usage;
  }

  /** The name of the call that a candidate reports. */
  find(index: number): number {
    let name = index;
    while (this.#above[name] !== name) name = this.#above[name] as number;
    for (let walk = index; walk !== name;) {
      const next = this.#above[walk] as number;
      this.#above[walk] = name;
      walk = next;
    }
    return name;
  }

  /** Both report one call. */
  unite(a: number, b: number): void {
    let [large, small] = [this.find(a), this.find(b)];
    if (large === small) return;
    if ((this.#size[large] as number) < (this.#size[small] as number)) {
      [large, small] = [small, large];
    }
    this.#above[small] = large;
    this.#size[large] = (this.#size[large] as number) + (this.#size[small] as number);
    this.#with_usage[large] =
      (this.#with_usage[large] as number) + (this.#with_usage[small] as number);
  }

  /** Whether any report of the call has usage. */
  hasUsage(index: number): boolean {
    return (this.#with_usage[this.find(index)] as number) > 0;
  }

  /** The usage of this member is not the call's. Asked once of a member. */
  leave(index: number): void {
    const name = this.find(index);
    this.#with_usage[name] =
      (this.#with_usage[name] as number) - (this.#has_usage[index] as number);
  }
}
