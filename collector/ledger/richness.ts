/**
 * Which of several reports of one call says most (DESIGN section 5 rule 3, dialects.md 1.2.3).
 *
 * Invariant: both orders are total, so which report is kept never depends on the order of arrival.
 */
import type { Candidate } from "../../schemas/ledger.ts";
import type { Signal, UsageStatus } from "../../schemas/span.ts";

/** A candidate with its depth in its trace, links to the root. */
export interface Report {
  readonly candidate: Candidate;
  readonly depth: number;
}

/** The lower, the more the usage is worth. */
const USAGE_RANK: Readonly<Record<UsageStatus, number>> = {
  reported: 0,
  derived: 1,
  estimated: 2,
  aggregate: 3,
  missing: 4,
  none: 5,
};

/** A span has a duration and a place of its own; a log has the moment it was written. */
const SIGNAL_RANK: Readonly<Record<Signal, number>> = { span: 0, log: 1, metric: 2 };

type Order = (a: Report, b: Report) => number;

const byUsage: Order = (a, b) =>
  USAGE_RANK[a.candidate.usage_status] - USAGE_RANK[b.candidate.usage_status] ||
  b.candidate.known_classes - a.candidate.known_classes;

const byDepth: Order = (a, b) => placeOf(b) - placeOf(a);

const byTotals: Order = (a, b) =>
  countKnownTotals(b.candidate) - countKnownTotals(a.candidate) ||
  Number(b.candidate.is_priced) - Number(a.candidate.is_priced);

const byIdentity: Order = (a, b) =>
  SIGNAL_RANK[a.candidate.signal] - SIGNAL_RANK[b.candidate.signal] ||
  compare(a.candidate.start_ns, b.candidate.start_ns) ||
  compare(a.candidate.key, b.candidate.key);

/** Orders reports of one call wherever they lie, the richest first. */
export const compareTwins: Order = (a, b) =>
  byUsage(a, b) || byTotals(a, b) || byDepth(a, b) || byIdentity(a, b);

/** Orders reports of one call of which one lies in the other: of equal usage the deeper is first. */
export const compareNested: Order = (a, b) =>
  byUsage(a, b) || byDepth(a, b) || byTotals(a, b) || byIdentity(a, b);

/** Whether the usage is known. A failed call that says zero says that it has none. */
export function reportsUsage(candidate: Candidate): boolean {
  const { usage_status } = candidate;
  if (usage_status === "missing" || usage_status === "none") return false;
  return candidate.status !== "error" || countTokens(candidate) > 0;
}

/** Tokens of input and output, unknown as zero. */
export function countTokens({ input_total, output_total }: Candidate): number {
  return (input_total ?? 0) + (output_total ?? 0);
}

/** A log lies no deeper than the span that wrote it: it is a remark on it, not a part. */
function placeOf({ candidate, depth }: Report): number {
  return candidate.signal === "log" ? Math.max(0, depth - 1) : depth;
}

function countKnownTotals({ input_total, output_total }: Candidate): number {
  return Number(input_total !== null) + Number(output_total !== null);
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : Number(a > b);
}
