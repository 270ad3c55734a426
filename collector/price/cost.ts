/**
 * The pricing stage: tokens and fee units of a span to its cost, in picodollars.
 *
 * Invariant: what is not known is never free. A class or fee without a price, a tier or region without
 * a row and a model outside the book leave null costs and say so in `cost_status`; nothing falls back
 * to another price.
 */
import type { FeeUnits, Span } from "../../schemas/span.ts";
import { INPUT_CLASSES, sumClasses } from "../../schemas/tokens.ts";
import type { PriceAnswer, PriceBook } from "./book.ts";
import { choosePrice, nameTier, type StepQuestion } from "./choose.ts";
import { matchModel } from "./match.ts";

/**
 * Prices a billable or aggregate span: sets `cost`, `cost_fees`, `cost_status` and `price_id` and adds
 * to `reason` when it is unpriced. Spans of other classes get `cost_status` "none". The unit prices
 * are those of `choosePrice`.
 *
 * `cost_status`: "priced" when every known token and fee unit has a price (no tokens of a class cost
 * nothing, priced or not); "partial" when some have a price and some have none, and when fees are
 * priced but nobody knows the tokens of a model that is billed by them; else "unpriced", with all
 * costs null. A call that the provider refused (error, HTTP 400 to 599, nothing known that is billed)
 * is not billed: it is "priced" with all costs null, and `totalCost` makes it zero. An aggregate
 * stands for several calls, so its error says nothing about what they cost.
 *
 * Counts must be whole and not negative, as normalizing leaves them.
 */
export function priceSpan(book: PriceBook, span: Span): void {
  span.cost_fees = null;
  if (span.span_class !== "billable" && span.span_class !== "aggregate") {
    span.cost_status = "none";
    return;
  }
  const known = span.fee_units.length > 0 || span.tokens.some((count) => count !== null);
  const answer = known ? choosePrice(book, questionOf(span)) : null;
  if (answer !== null && applyPrices(span, answer)) {
    span.price_id = answer.price_id;
    return;
  }
  span.cost = span.tokens.map(() => null);
  span.cost_status = !known && isRefused(span) ? "priced" : "unpriced";
  span.price_id = "";
  if (known) span.reason += complaintOf(book, span);
}

function questionOf(span: Span) {
  return {
    project_id: span.project_id,
    provider: span.provider,
    request_model: span.request_model,
    response_model: span.response_model,
    service_tier: span.service_tier,
    region: span.region,
    start_ns: span.start_ns,
    input_total: sumClasses(span.tokens, INPUT_CLASSES),
  };
}

/**
 * The last clause of the reason of an unpriced span. It begins with "; the price book has no ", by which
 * pricing again finds it and takes it off.
 */
export function complaintOf(book: PriceBook, span: StepQuestion): string {
  return `; ${whyUnpriced(book, span)}`;
}

/** What the price book lacks, for the reader of the row. */
function whyUnpriced(book: PriceBook, span: StepQuestion): string {
  const model = span.response_model || span.request_model;
  const known = (book.projects.get(span.project_id) ?? book.layers).some(
    (layer) =>
      matchModel(layer, span.provider, span.response_model) !== null ||
      matchModel(layer, span.provider, span.request_model) !== null,
  );
  if (model === "") return "the price book has no price of a call without a model";
  if (!known) return `the price book has no ${span.provider || "model"} ${model}`;
  const place = span.region === "" ? "" : ` in the region ${span.region}`;
  const tier = nameTier(span.service_tier);
  return `the price book has no price of ${model} in the tier ${tier}${place} for what it used`;
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

/** Sets costs and status by the unit prices; false, with both unchanged, when nothing has a price. */
function applyPrices(span: Span, prices: PriceAnswer): boolean {
  const { tokens } = span;
  const { picodollars_per_token } = prices;
  const cost: (bigint | null)[] = [];
  let some_known = false;
  let some_priced = false;
  let some_unpriced = false;
  for (let index = 0; index < tokens.length; index += 1) {
    const count = tokens[index] ?? null;
    const price = picodollars_per_token[index] ?? null;
    if (count !== null) some_known = true;
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
  let cost_fees: bigint | null = null;
  if (span.fee_units.length > 0) {
    cost_fees = priceFees(span.fee_units, prices);
    if (cost_fees === null) some_unpriced = true;
    else some_priced = true;
    if (!some_known && picodollars_per_token.some((price) => price !== null)) some_unpriced = true;
  }
  if (some_unpriced && !some_priced) return false;
  span.cost = cost;
  span.cost_fees = cost_fees;
  span.cost_status = some_unpriced ? "partial" : "priced";
  return true;
}

/** The cost of all fee units, picodollars; null when one of them has no price. */
function priceFees(units: readonly FeeUnits[], prices: PriceAnswer): bigint | null {
  let total = 0n;
  for (const { kind, count } of units) {
    const price = prices.picodollars_per_unit.get(kind);
    if (price === undefined) return null;
    total += BigInt(count) * price;
  }
  return total;
}
