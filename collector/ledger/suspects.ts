/**
 * Rows that look like one call reported twice, without an id that proves it (rule 6; dialects.md
 * 1.2.4b). They are marked and still count.
 *
 * Invariant: a row is the twin of at most one row of each other scope, so that of ten equal calls
 * seen by two instrumentations ten are marked and never eleven.
 */
import { at, type Board, reportAt } from "./board.ts";
import { compareTwins } from "./richness.ts";

/** Clocks of two instrumentations of one process, ns. */
const SLACK_NS = 50_000_000n;

/** Rows of the same size compared with one row, to each side in the order of their start. */
const MAX_NEIGHBOURS_COMPARED = 64;

/** `-2025-08-07`, `-20250929`, `@20250929`, `-001`, `-latest`, `-v1:0`: a version within a family. */
const VERSION = /[-@:](?:\d{4}-\d{2}-\d{2}|\d{3,8}|latest|v\d+(?::\d+)?)$/;

/** Of the rows counted, those that may be another report of one of the others. */
export function findSuspects(board: Board, rows: readonly number[]): Set<number> {
  const by_size = new Map<string, number[]>();
  for (const index of rows) {
    const { service_name, input_total, output_total } = at(board, index);
    if (input_total === null || output_total === null || input_total + output_total === 0) continue;
    const key = `${input_total} ${output_total} ${service_name}`;
    const group = by_size.get(key);
    if (group === undefined) by_size.set(key, [index]);
    else group.push(index);
  }
  const suspects = new Set<number>();
  for (const group of by_size.values()) {
    const scopes = new Set(group.map((index) => at(board, index).scope_name));
    if (scopes.size > 1) markGroup(board, group, suspects);
  }
  return suspects;
}

/** Marks the twins in rows of one service and size; the richest rows choose first. */
function markGroup(board: Board, group: readonly number[], suspects: Set<number>): void {
  const by_start = group.toSorted((a, b) => {
    const difference = at(board, a).start_ns - at(board, b).start_ns;
    return difference === 0n ? a - b : Number(difference);
  });
  const place_of = new Map(by_start.map((index, place) => [index, place]));
  const by_richness = group.toSorted((a, b) =>
    compareTwins(reportAt(board, a), reportAt(board, b)),
  );
  for (const index of by_richness) {
    if (suspects.has(index)) continue;
    const place = place_of.get(index) as number;
    const taken = new Set([at(board, index).scope_name]);
    for (let distance = 1; distance <= MAX_NEIGHBOURS_COMPARED; distance += 1) {
      for (const other of [by_start[place - distance], by_start[place + distance]]) {
        if (other === undefined || suspects.has(other)) continue;
        const { scope_name } = at(board, other);
        if (taken.has(scope_name) || !mayBeTwins(board, index, other)) continue;
        taken.add(scope_name);
        suspects.add(other);
      }
    }
  }
}

function mayBeTwins(board: Board, a: number, b: number): boolean {
  const [first, second] = [at(board, a), at(board, b)];
  const families = [modelFamily(first.model), modelFamily(second.model)];
  if (!families.includes("") && families[0] !== families[1]) return false;
  const [start_a, end_a] = [first.start_ns, first.start_ns + first.duration_ns];
  const [start_b, end_b] = [second.start_ns, second.start_ns + second.duration_ns];
  return (
    (start_a - SLACK_NS <= start_b && end_b <= end_a + SLACK_NS) ||
    (start_b - SLACK_NS <= start_a && end_a <= end_b + SLACK_NS)
  );
}

/** The model without its version: `gpt-5-mini-2025-08-07` is `gpt-5-mini`. */
export function modelFamily(model: string): string {
  return model.toLowerCase().replace(VERSION, "");
}
