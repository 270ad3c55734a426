/**
 * Spans for the tests of this folder. Invariant: every field is given, so that a test states only what
 * it is about.
 */
import type { ModelPrices, PriceFile, PriceRow } from "../../schemas/prices.ts";
import type { Span } from "../../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES } from "../../schemas/tokens.ts";
import type { TokenClass } from "../../schemas/tokens.ts";
import { makeSpan as makeAnySpan } from "../../test/support/span.ts";
import type { PriceBook, PriceLayer } from "./book.ts";

/** The list prices of a book. */
export function listLayer(book: PriceBook): PriceLayer {
  const layer = book.layers.at(-1);
  if (layer === undefined) throw new Error("a book without list prices");
  return layer;
}

/** A row of one dollar per million input tokens, with what the test sets. */
export function makeRow(fields: Partial<PriceRow>): PriceRow {
  return {
    valid_from: null,
    tier: "standard",
    regions: [],
    input_tokens_over: 0,
    usd_per_million: { input_uncached: "1" },
    usd_per_thousand: {},
    source: "test",
    evidence_date: "2026-11-01",
    ...fields,
  };
}

export function makeModel(
  model: string,
  prices: PriceRow[],
  aliases: string[] = [],
  other_regions: ModelPrices["other_regions"] = "same",
): ModelPrices {
  return { model, aliases, other_regions, prices };
}

export function makeFile(provider: string, models: PriceFile["models"]): PriceFile {
  return { provider, currency: "USD", models };
}

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
    cost_fees: null,
    cost_status: "none",
    price_id: "",
    ...fields,
  });
}
