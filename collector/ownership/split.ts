/**
 * How much is decided at once: a batch by ranges of time, traces by days and in chunks.
 *
 * Invariant: the parts together are the whole, and each thing is in one of them.
 */
import { BUCKET_S } from "../../schemas/record.ts";
import type { Batch, ContestedTrace, Window } from "./store.ts";

/** Ranges of time that one batch is decided by; one with more is taken as a whole. */
const MAX_RANGES = 32;
/**
 * Rows of traces that are decided together; the rest of a large batch follows. Ten times as many held
 * up the event loop for half a second (docs/decisions/0012-workers.md).
 */
const MAX_CHUNK_ROWS = 10_000;
/** Rows that a trace is taken to have when nobody counted them. */
const UNKNOWN_ROWS = 5;
const DAY_S = 86_400;

/** Items by the day they begin on. */
export function groupByDay<Item extends Window>(items: readonly Item[]): Item[][] {
  const days = new Map<number, Item[]>();
  for (const item of items) {
    const day = Math.floor(item.from_s / DAY_S);
    const list = days.get(day);
    if (list === undefined) days.set(day, [item]);
    else list.push(item);
  }
  return [...days.values()];
}

/** A batch by ranges of time that do not see each other: one old span must not open years. */
export function splitByTime(batch: Batch, window_s: number): Batch[] {
  const ordered = (batch.buckets ?? []).toSorted(([, a], [, b]) => a - b);
  const ranges: { from_s: number; to_s: number; projects: Set<string> }[] = [];
  for (const [project_id, start_s] of ordered) {
    const last = ranges.at(-1);
    const to_s = start_s + BUCKET_S;
    if (last === undefined || start_s > last.to_s + window_s) {
      ranges.push({ from_s: start_s, to_s, projects: new Set([project_id]) });
    } else {
      last.to_s = to_s;
      last.projects.add(project_id);
    }
  }
  if (ranges.length <= 1 || ranges.length > MAX_RANGES) return [batch];
  return ranges.map((range) => ({ ...batch, ...range, projects: [...range.projects] }));
}

/** Traces by what may be decided in one go. A trace is never split. */
export function splitIntoChunks(traces: readonly ContestedTrace[]): ContestedTrace[][] {
  const chunks: ContestedTrace[][] = [];
  let rows = Infinity;
  for (const trace of traces) {
    const own_rows = trace.span_rows === 0 ? UNKNOWN_ROWS : trace.span_rows;
    rows += own_rows;
    const last = chunks.at(-1);
    if (last === undefined || rows > MAX_CHUNK_ROWS) {
      chunks.push([trace]);
      rows = own_rows;
    } else last.push(trace);
  }
  return chunks;
}
