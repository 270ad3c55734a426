/**
 * The spans of a trace as a tree: who is below whom, in which order, where the bars stand, what is folded
 * away at first.
 *
 * Invariant: every span stands in the tree exactly once, whatever its parents say; costs of nodes are those
 * of the API, which has added up all spans, also those that are not in its answer.
 */
import type { TraceAnswer, TraceTreeAnswer } from "../../schemas/api-traces.ts";
import { addUsd } from "../money.ts";

/**
 * Spans that are asked for: 5,000 with random ids, times and numbers take 180 kB on the wire, so that
 * there is room for names that differ before an answer has 300 kB. Larger traces are cut and say so.
 */
export const MAX_TREE_SPANS = 5_000;

/** A span as the tree needs it. */
export type TraceSpan = TraceTreeAnswer["spans"][number];
/** A span with all that is known of it. */
export type FullSpan = TraceAnswer["spans"][number];

/** What a span is, as colours tell it: `uncounted` is a report of calls that others are counted for. */
export const SPAN_KINDS = ["model", "uncounted", "agent", "tool", "other"] as const;
export type SpanKind = (typeof SPAN_KINDS)[number];

export interface TraceNode {
  readonly span: TraceSpan;
  /** Tells it apart in its trace, also from others with the same span id. */
  readonly key: string;
  readonly kind: SpanKind;
  /** Place of the node above; null at the top. */
  readonly parent: number | null;
  /** Places of the nodes below it, in order of time. */
  readonly children: readonly number[];
  /** 0 at the top. */
  readonly depth: number;
  /** Nodes below it, of all levels, and those of them that failed. */
  readonly spans_below: number;
  readonly failed_below: number;
  /** It names a parent that is not in the answer, or that is below itself. */
  readonly is_orphan: boolean;
  /** Where its bar starts and how long it is, shares of the duration of the trace. */
  readonly start_share: number;
  readonly width_share: number;
}

export interface TraceTree {
  /** In the order of time. */
  readonly nodes: readonly TraceNode[];
  /** Places of the nodes at the top. */
  readonly roots: readonly number[];
  readonly orphans: number;
}

/** Nanoseconds since 1970 of an instant of the API. */
export function instantToNs(text: string): bigint {
  const fraction = /\.(\d{1,9})/.exec(text)?.[1] ?? "";
  const seconds_ms = Date.parse(`${text.slice(0, 19)}Z`);
  return BigInt(seconds_ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** What a span is. */
export function kindOf({ span_class, call, is_agent }: TraceSpan): SpanKind {
  if (call !== null) return "model";
  if (span_class === "tool") return "tool";
  if (is_agent) return "agent";
  return span_class === "billable" || span_class === "aggregate" ? "uncounted" : "other";
}

interface Places {
  readonly spans: readonly TraceSpan[];
  /** By place. */
  readonly parents: (number | null)[];
  readonly children: number[][];
  readonly roots: number[];
}

/** The tree of a trace. */
export function layoutTrace(trace: TraceTreeAnswer): TraceTree {
  const start_ns = instantToNs(trace.start_time);
  const sorted = trace.spans
    .map((span) => ({ span, after_ns: Number(instantToNs(span.start_time) - start_ns) }))
    // What lasts longer comes first, so that it stands above what starts with it.
    .sort((a, b) => a.after_ns - b.after_ns || b.span.duration_ns - a.span.duration_ns);
  const places = findParents(sorted.map(({ span }) => span));
  const order = walk(places);
  const depths = depthsOf(order, places);
  const below = sumBelow(order, places);
  const share = (ns: number) => (trace.duration_ns === 0 ? 0 : Math.min(ns / trace.duration_ns, 1));
  const seen = new Map<string, number>();
  const nodes = sorted.map(({ span, after_ns }, place): TraceNode => {
    const times = (seen.get(span.span_id) ?? 0) + 1;
    seen.set(span.span_id, times);
    const parent = places.parents[place] ?? null;
    return {
      span,
      key: times === 1 ? span.span_id : `${span.span_id}.${times}`,
      kind: kindOf(span),
      parent,
      children: places.children[place] ?? [],
      depth: depths[place] ?? 0,
      ...(below[place] as Below),
      is_orphan: parent === null && span.parent_span_id !== null,
      start_share: share(after_ns),
      width_share: share(span.duration_ns),
    };
  });
  const orphans = nodes.filter(({ is_orphan }) => is_orphan).length;
  return { nodes, roots: places.roots, orphans };
}

function findParents(spans: readonly TraceSpan[]): Places {
  const by_id = new Map<string, number>();
  for (const [place, { span_id }] of spans.entries()) {
    if (!by_id.has(span_id)) by_id.set(span_id, place);
  }
  const parents = spans.map(({ parent_span_id }, place) => {
    const parent = parent_span_id === null ? undefined : by_id.get(parent_span_id);
    return parent === undefined || parent === place ? null : parent;
  });
  const children: number[][] = spans.map(() => []);
  const roots: number[] = [];
  for (const [place, parent] of parents.entries()) {
    (parent === null ? roots : (children[parent] as number[])).push(place);
  }
  const places = { spans, parents, children, roots };
  breakRings(places);
  return places;
}

/** Parents that form a ring hang on nothing: the first span of each ring is put at the top. */
function breakRings({ parents, children, roots }: Places): void {
  const reached = new Set<number>();
  const reach = (first: number) => {
    const waiting = [first];
    for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
      reached.add(place);
      for (const child of children[place] as number[]) if (!reached.has(child)) waiting.push(child);
    }
  };
  for (const root of roots) reach(root);
  if (reached.size === parents.length) return;
  for (const place of parents.keys()) {
    if (reached.has(place)) continue;
    const first = firstOfRing(place, parents);
    const siblings = children[parents[first] as number] as number[];
    siblings.splice(siblings.indexOf(first), 1);
    parents[first] = null;
    roots.push(first);
    reach(first);
  }
  roots.sort((a, b) => a - b);
}

/** The earliest of the ring that the parents of a place lead to. */
function firstOfRing(from: number, parents: readonly (number | null)[]): number {
  const passed = new Set<number>();
  let place = from;
  while (!passed.has(place)) {
    passed.add(place);
    place = parents[place] as number;
  }
  let first = place;
  for (let next = parents[place] as number; next !== place; next = parents[next] as number) {
    first = Math.min(first, next);
  }
  return first;
}

/** All places, each before those below it; without recursion, as chains may be as long as a trace. */
function walk({ roots, children }: Places): number[] {
  const order: number[] = [];
  const waiting = roots.toReversed();
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    order.push(place);
    for (const child of (children[place] as number[]).toReversed()) waiting.push(child);
  }
  return order;
}

function depthsOf(order: readonly number[], { parents }: Places): number[] {
  const depths: number[] = parents.map(() => 0);
  for (const place of order) {
    const parent = parents[place] ?? null;
    depths[place] = parent === null ? 0 : (depths[parent] as number) + 1;
  }
  return depths;
}

type Below = Pick<TraceNode, "spans_below" | "failed_below">;

function sumBelow(order: readonly number[], { spans, parents }: Places): Below[] {
  const below: Below[] = spans.map(() => ({ spans_below: 0, failed_below: 0 }));
  for (const place of order.toReversed()) {
    const parent = parents[place] ?? null;
    if (parent === null) continue;
    const [own, above] = [below[place] as Below, below[parent] as Below];
    const { status } = spans[place] as TraceSpan;
    below[parent] = {
      spans_below: above.spans_below + own.spans_below + 1,
      failed_below: above.failed_below + own.failed_below + Number(status === "error"),
    };
  }
  return below;
}

/** Nodes that are open at first: level by level, as long as no more than so many rows are shown. */
export function openAtFirst({ nodes, roots }: TraceTree, most_rows: number): Set<string> {
  const open = new Set<string>();
  let rows = roots.length;
  let level: readonly number[] = roots;
  while (level.length > 0) {
    const next: number[] = [];
    for (const place of level) {
      const { key, children } = nodes[place] as TraceNode;
      if (children.length === 0 || rows + children.length > most_rows) continue;
      open.add(key);
      rows += children.length;
      for (const child of children) next.push(child);
    }
    level = next;
  }
  return open;
}

/** The nodes above one, from the top. */
export function listAbove({ nodes }: TraceTree, node: TraceNode): TraceNode[] {
  const above: TraceNode[] = [];
  for (let place = node.parent; place !== null;) {
    const next = nodes[place] as TraceNode;
    above.push(next);
    place = next.parent;
  }
  return above.reverse();
}

/** The rows that are shown: nodes whose nodes above are all open, from top to bottom. */
export function listRows(
  { nodes, roots }: TraceTree,
  isOpen: (node: TraceNode) => boolean,
): TraceNode[] {
  const rows: TraceNode[] = [];
  const waiting = roots.toReversed();
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const node = nodes[place] as TraceNode;
    rows.push(node);
    if (!isOpen(node)) continue;
    for (const child of node.children.toReversed()) waiting.push(child);
  }
  return rows;
}

/** Round instants for the head of the bars, ns from the start: at most so many, 0 among them. */
export function ticksOf(duration_ns: number, most = 5): number[] {
  if (duration_ns <= 0) return [0];
  const size = 10 ** Math.floor(Math.log10(duration_ns / most));
  const step = [1, 2, 5, 10, 20].map((times) => times * size).find((ns) => duration_ns / ns < most);
  const count = step === undefined ? 1 : Math.ceil(duration_ns / step);
  return Array.from({ length: count }, (_, index) => index * (step ?? 0));
}

/** What the calls of a model cost in a trace. */
export interface ModelCost {
  readonly provider: string | null;
  readonly model: string | null;
  readonly calls: number;
  readonly errors: number;
  readonly input_total: number | null;
  readonly output_total: number | null;
  /** Exact; null when none of the calls has a price. */
  readonly cost_usd: string | null;
  readonly calls_unpriced: number;
}

/** Calls by the model that answered, or was asked; the dearest first. */
export function costByModel(trace: Pick<TraceTreeAnswer, "spans">): ModelCost[] {
  const models = new Map<string, ModelCost>();
  for (const { call, status } of trace.spans) {
    if (call === null) continue;
    const model = call.response_model ?? call.request_model;
    const key = `${call.provider ?? ""}\n${model ?? ""}`;
    const before = models.get(key);
    models.set(key, {
      provider: call.provider,
      model,
      calls: (before?.calls ?? 0) + 1,
      errors: (before?.errors ?? 0) + Number(status === "error"),
      input_total: addKnown(before?.input_total, call.input_total),
      output_total: addKnown(before?.output_total, call.output_total),
      cost_usd: addUsd(before?.cost_usd, call.cost_usd),
      calls_unpriced: (before?.calls_unpriced ?? 0) + Number(call.cost_status !== "priced"),
    });
  }
  return [...models.values()].sort((a, b) => Number(b.cost_usd ?? -1) - Number(a.cost_usd ?? -1));
}

function addKnown(total: number | null | undefined, value: number | null): number | null {
  return value === null ? (total ?? null) : (total ?? 0) + value;
}
