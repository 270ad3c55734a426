/**
 * Why a candidate counts or does not, in words for people.
 *
 * Invariant: no reason holds an id or a number: the column is LowCardinality, and which call counts
 * instead is `counted_by`.
 */

/** Clauses by what happened. */
export const REASONS = {
  richest: "the richest of several reports of this call",
  same_response: "another report with the same response id counts",
  same_call: "another report of the same call counts",
  no_usage_of_its_own: "carries no usage: the call above it does",
  wrapper: "wrapper of a call below it",
  sum: "repeats the sum of calls below it",
  stands_for_calls: "stands for the calls below, which carry no usage",
  promoted: "no call below it carries usage",
  waits: "waits for its trace to settle",
  call_above: "the call above it carries the usage",
  loose_call: "a call of its trace whose parent is not known may lie below it",
  session: "the calls of its session are reported by their client",
  suspected: "another instrumentation may have reported this call too",
  preferred_span: "the span of this client counts",
  preferred_log: "the log event of this client counts",
  preferred_metric: "the metric of this client counts",
} as const;

/** A clause of the table. */
export type Reason = (typeof REASONS)[keyof typeof REASONS];
