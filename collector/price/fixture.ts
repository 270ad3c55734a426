/**
 * Spans for the tests of this folder. Invariant: every field is given, so that a test states only what
 * it is about.
 */
import type { Span } from "../../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES } from "../../schemas/tokens.ts";
import type { TokenClass } from "../../schemas/tokens.ts";
import { makeSpan as makeAnySpan } from "../../test/support/span.ts";

/** Unix ns of an RFC 3339 instant of whole milliseconds. */
export function toUnixNanoseconds(instant: string): bigint {
  return BigInt(Date.parse(instant)) * 1_000_000n;
}

/** Token counts in the order of TOKEN_CLASSES; classes left out are unknown. */
export function listTokens(counts: Partial<Record<TokenClass, number>>): (number | null)[] {
  return TOKEN_CLASSES.map((name) => counts[name] ?? null);
}

/** The cost of one class of a span, picodollars. */
export function costOf(span: Span, name: TokenClass): bigint | null | undefined {
  return span.cost[CLASS_INDEX[name]];
}

/** An unpriced billable span of 2026-11-21 without models or tokens, with what the test sets. */
export function makeSpan(fields: Partial<Span>): Span {
  return makeAnySpan({
    start_ns: toUnixNanoseconds("2026-11-21T10:00:00Z"),
    request_model: "",
    response_model: "",
    tokens: listTokens({}),
    usage_status: "missing",
    cost: listTokens({}).map(() => null),
    cost_status: "none",
    price_id: "",
    ...fields,
  });
}
