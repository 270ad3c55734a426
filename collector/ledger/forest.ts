/**
 * The parent links of all candidates as one forest, in arrays by index: who stands under whom.
 *
 * Invariant: following `parent` always ends. A link to a span that is not there, or one that closes a
 * ring, is cut, and the tree that it leaves is marked as broken: it may hang anywhere in its trace.
 */
import type { Candidate } from "../../schemas/ledger.ts";

/** Index of no candidate. */
export const NONE = -1;

/** A forest over candidates; every array is by the index of a candidate. */
export interface Forest {
  /** Index of the parent, or NONE. */
  readonly parent: Int32Array;
  /** Links to the root. */
  readonly depth: Int32Array;
  /** Index of the root of the tree. */
  readonly root: Int32Array;
  /** 1 for the root of a tree whose own parent is unknown. */
  readonly is_broken: Uint8Array;
  /** All indices, each after its parent. */
  readonly parents_first: Int32Array;
}

/**
 * Builds the forest. Candidates are sorted by key, so that of a ring the first key becomes the root,
 * and of spans that share an id the first is the parent, whatever the order of arrival.
 */
export function buildForest(candidates: readonly Candidate[]): Forest {
  const parent = new Int32Array(candidates.length).fill(NONE);
  const is_broken = new Uint8Array(candidates.length);
  const spans = indexSpans(candidates);
  candidates.forEach((candidate, index) => {
    if (candidate.parent_span_id === "") return;
    const found = spans.get(spanKey(candidate.trace_id, candidate.parent_span_id));
    if (found === undefined) is_broken[index] = 1;
    else parent[index] = found;
  });
  cutRings(parent, is_broken);
  return { parent, is_broken, ...orderByDepth(parent) };
}

function spanKey(trace_id: string, span_id: string): string {
  return `${trace_id}-${span_id}`;
}

/** Spans by trace and id. What has no trace is nobody's parent. */
function indexSpans(candidates: readonly Candidate[]): Map<string, number> {
  const spans = new Map<string, number>();
  candidates.forEach(({ trace_id, span_id, signal }, index) => {
    if (trace_id === "" || span_id === "") return;
    const key = spanKey(trace_id, span_id);
    const known = spans.get(key);
    const wins = known === undefined || (signal === "span" && candidates[known]?.signal !== "span");
    if (wins) spans.set(key, index);
  });
  return spans;
}

/** Cuts each ring above its first index. */
function cutRings(parent: Int32Array, is_broken: Uint8Array): void {
  /** The walk that came by, as the index it began at plus one; 0 for none. */
  const walk_of = new Int32Array(parent.length);
  for (let start = 0; start < parent.length; start += 1) {
    let at = start;
    while (at !== NONE && walk_of[at] === 0) {
      walk_of[at] = start + 1;
      at = parent[at] as number;
    }
    if (at === NONE || walk_of[at] !== start + 1) continue;
    let first = at;
    for (let next = parent[at] as number; next !== at; next = parent[next] as number) {
      if (next < first) first = next;
    }
    parent[first] = NONE;
    is_broken[first] = 1;
  }
}

type Levels = Pick<Forest, "depth" | "root" | "parents_first">;

/** Depth and root of each, and the order by depth (a counting sort, so ties stay in key order). */
function orderByDepth(parent: Int32Array): Levels {
  const depth = new Int32Array(parent.length).fill(NONE);
  const root = new Int32Array(parent.length);
  const path: number[] = [];
  let deepest = 0;
  for (let start = 0; start < parent.length; start += 1) {
    for (let at = start; at !== NONE && depth[at] === NONE; at = parent[at] as number)
      path.push(at);
    for (let at = path.pop(); at !== undefined; at = path.pop()) {
      const above = parent[at] as number;
      depth[at] = above === NONE ? 0 : (depth[above] as number) + 1;
      root[at] = above === NONE ? at : (root[above] as number);
      deepest = Math.max(deepest, depth[at] as number);
    }
  }
  const next_place = new Int32Array(deepest + 2);
  for (const level of depth) next_place[level + 1] = (next_place[level + 1] as number) + 1;
  for (let level = 1; level < next_place.length; level += 1) {
    next_place[level] = (next_place[level] as number) + (next_place[level - 1] as number);
  }
  const parents_first = new Int32Array(parent.length);
  depth.forEach((level, index) => {
    const place = next_place[level] as number;
    next_place[level] = place + 1;
    parents_first[place] = index;
  });
  return { depth, root, parents_first };
}
