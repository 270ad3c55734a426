/**
 * The pricing stage: tokens of a span to its cost, in picodollars.
 *
 * Invariant: what is not known is never free. A class without a price, a tier without a row and a
 * model outside the book leave null costs and say so in `cost_status`; nothing falls back to another
 * price.
 */
import type { Span } from "../../schemas/span.ts";
import { INPUT_CLASSES, sumClasses } from "../../schemas/tokens.ts";
import type { PriceBook, PricedModel, PriceStep } from "./book.ts";
import { matchModel } from "./match.ts";

/** Texts of `service_tier` that mean the list price. All others need rows of their own tier. */
const STANDARD_TIERS: ReadonlySet<string> = new Set(["", "auto", "default", "standard"]);

/**
 * Prices a billable or aggregate span: sets `cost`, `cost_status` and `price_id` and changes nothing
 * else. Spans of other classes get `cost_status` "none".
 *
 * The model is the response model, or the request model when the book lacks that one. The row is the
 * latest that is valid on the UTC day of the start, in the tier of the span, and in it the step of
 * the prompt size, which prices the whole call. A tier without rows (flex, priority, scale and such)
 * is unpriced and never the standard price.
 *
 * `cost_status`: "priced" when every known token has a price (no tokens of a class cost nothing,
 * priced or not); "partial" when some tokens have a price and some have none; else "unpriced", with
 * all costs null. A call that the provider refused (error, HTTP 400 to 599, no tokens known) is not
 * billed: it is "priced" with all costs null, and `totalCost` makes it zero. An aggregate stands for
 * several calls, so its error says nothing about what they cost.
 *
 * Token counts must be whole and not negative, as normalizing leaves them.
 */
export function priceSpan(book: PriceBook, span: Span): void {
  if (span.span_class !== "billable" && span.span_class !== "aggregate") {
    span.cost_status = "none";
    return;
  }
  const known = span.tokens.some((count) => count !== null);
  const step = known ? findStep(book, span) : null;
  if (step !== null && priceTokens(span, step.picodollars_per_token)) {
    span.price_id = step.price_id;
    return;
  }
  span.cost = span.tokens.map(() => null);
  span.cost_status = !known && isRefused(span) ? "priced" : "unpriced";
  span.price_id = "";
  if (known) span.reason += `; ${whyUnpriced(book, span)}`;
}

/** What the price book lacks, for the reader of the row. */
function whyUnpriced(book: PriceBook, span: Span): string {
  const model = span.response_model || span.request_model;
  const known =
    matchModel(book, span.provider, span.response_model) ??
    matchModel(book, span.provider, span.request_model);
  if (known === null) return `the price book has no ${span.provider || "model"} ${model}`;
  const tier = span.service_tier === "" ? "standard" : span.service_tier;
  return `the price book has no price of ${model} in the tier ${tier} for these tokens`;
}

function isRefused(span: Span): boolean {
  const { http_status } = span;
  return (
    span.span_class === "billable" &&
    span.status === "error" &&
    http_status >= 400 &&
    http_status <= 599
  );
}

function findStep(book: PriceBook, span: Span): PriceStep | null {
  const match =
    matchModel(book, span.provider, span.response_model) ??
    matchModel(book, span.provider, span.request_model);
  return match === null ? null : chooseStep(match.model, span);
}

function chooseStep(model: PricedModel, span: Span): PriceStep | null {
  const sent = span.service_tier.toLowerCase();
  const periods = model.tiers.get(STANDARD_TIERS.has(sent) ? "standard" : sent);
  const period = periods?.find(({ valid_from_ns }) => valid_from_ns <= span.start_ns);
  if (period === undefined) return null;
  const [first] = period.steps;
  if (period.steps.length === 1 && first?.input_tokens_over === 0) return first;
  const input_total = sumClasses(span.tokens, INPUT_CLASSES) ?? 0;
  return (
    period.steps.find(({ input_tokens_over: over }) => over === 0 || over < input_total) ?? null
  );
}

/** Sets cost and status by the unit prices; false, with both unchanged, when no token has a price. */
function priceTokens(span: Span, picodollars_per_token: readonly (bigint | null)[]): boolean {
  const { tokens } = span;
  const cost: (bigint | null)[] = [];
  let some_priced = false;
  let some_unpriced = false;
  for (let index = 0; index < tokens.length; index += 1) {
    const count = tokens[index] ?? null;
    const price = picodollars_per_token[index] ?? null;
    if (count === null) {
      cost.push(null);
    } else if (count === 0) {
      cost.push(0n);
    } else if (price === null) {
      cost.push(null);
      some_unpriced = true;
    } else {
      cost.push(BigInt(count) * price);
      some_priced = true;
    }
  }
  if (some_unpriced && !some_priced) return false;
  span.cost = cost;
  span.cost_status = some_unpriced ? "partial" : "priced";
  return true;
}
