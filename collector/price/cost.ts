/**
 * The pricing stage: tokens and fee units of a span to its cost, in picodollars.
 *
 * Invariant: what is not known is never free. A class or fee without a price, a tier or region without
 * a row and a model outside the book leave null costs and say so in `cost_status`; nothing falls back
 * to another price.
 *
 * Spans that never become objects are priced by `priceCounts`, which allocates nothing: the same rules
 * over the same masks as in `priceSpan`, and products of doubles where those are exact.
 */
import type { CostStatus, FeeUnits, Span } from "../../schemas/span.ts";
import { INPUT_MASK, TOKEN_CLASSES } from "../../schemas/tokens.ts";
import type { PriceAnswer, PriceBook } from "./book.ts";
import {
  choosePrice,
  compileSteps,
  findStep,
  listSteps,
  nameTier,
  type StepQuestion,
  type StepTable,
} from "./choose.ts";
import { matchModel } from "./match.ts";

/** Which classes of a call have counts, as bits in the order of TOKEN_CLASSES. */
interface CountedTokens {
  /** Bit i: the count of class i is known. */
  known_mask: number;
  /** Bit i: the count of class i is above zero. */
  used_mask: number;
  /** Prompt tokens of all classes together; 0 when none is known. */
  input_total: number;
}

/** The cost of a call without fees. A record is made once and overwritten by each `priceCounts`. */
export interface PricedCounts extends CountedTokens {
  /** Picodollars in the order of TOKEN_CLASSES; 0 where `cost_mask` says there is none. */
  readonly cost: Float64Array;
  /** Bit i: class i has a cost. */
  cost_mask: number;
  cost_status: CostStatus;
  /** "" unless something has a price. */
  price_id: string;
  /** What pricing adds to the reason of the row; "" when nothing. */
  complaint: string;
  /** False when a cost is too large to be exact here: `cost` is of no use then, all else is. */
  is_exact: boolean;
}

/** The unit prices of a PriceAnswer as doubles. */
interface TokenPrices {
  readonly price_id: string;
  /** Bit i: class i has a price. */
  readonly priced_mask: number;
  /** Picodollars per token in the order of TOKEN_CLASSES; 0 where there is none. */
  readonly picodollars_per_token: Float64Array;
}

/** All that the book says of calls of one question, whatever their start and tokens. */
export interface CompiledPricing {
  readonly steps: StepTable;
  /** For each answer of the steps. */
  readonly prices: readonly (TokenPrices | null)[];
  /** What is said of a call without a price: see `complaintOf`. */
  readonly complaint: string;
}

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
  countTokens(span.tokens, COUNTED);
  const known = span.fee_units.length > 0 || COUNTED.known_mask !== 0;
  const answer = known ? choosePrice(book, questionOf(span, COUNTED.input_total)) : null;
  if (answer !== null && applyPrices(span, answer, COUNTED)) {
    span.price_id = answer.price_id;
    return;
  }
  span.cost = span.tokens.map(() => null);
  const { span_class, status, http_status } = span;
  const is_refused = !known && isRefused(span_class, status, http_status);
  span.cost_status = is_refused ? "priced" : "unpriced";
  span.price_id = "";
  if (known) span.reason += complaintOf(book, span);
}

/** The counts of the span at hand in `priceSpan`, which nobody else sees. */
const COUNTED = makePricedCounts();

function questionOf(span: Span, input_total: number) {
  return {
    project_id: span.project_id,
    provider: span.provider,
    request_model: span.request_model,
    response_model: span.response_model,
    service_tier: span.service_tier,
    region: span.region,
    start_ns: span.start_ns,
    input_total,
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

/** Whether the provider refused the call, so that it is not billed unless something is known of it. */
export function isRefused(
  span_class: Span["span_class"],
  status: Span["status"],
  http_status: number,
): boolean {
  return (
    span_class === "billable" && status === "error" && http_status >= 400 && http_status <= 599
  );
}

/** Sets costs and status by the unit prices; false, with both unchanged, when nothing has a price. */
function applyPrices(span: Span, prices: PriceAnswer, counted: CountedTokens): boolean {
  const { tokens } = span;
  const { picodollars_per_token } = prices;
  const { known_mask, used_mask } = counted;
  const priced_mask = maskPrices(prices);
  let some_priced = (used_mask & priced_mask) !== 0;
  let some_unpriced = (used_mask & ~priced_mask) !== 0;
  let cost_fees: bigint | null = null;
  if (span.fee_units.length > 0) {
    cost_fees = priceFees(span.fee_units, prices);
    if (cost_fees === null) some_unpriced = true;
    else some_priced = true;
    if (known_mask === 0 && priced_mask !== 0) some_unpriced = true;
  }
  const cost_status = judge(some_priced, some_unpriced);
  if (cost_status === "unpriced") return false;
  const cost_mask = maskCosts(known_mask, used_mask, priced_mask);
  span.cost = tokens.map((count, index) =>
    hasBit(cost_mask, index) ? BigInt(count ?? 0) * (picodollars_per_token[index] ?? 0n) : null,
  );
  span.cost_fees = cost_fees;
  span.cost_status = cost_status;
  return true;
}

/** Costs nobody can tell beside some that are told are part of the whole. */
function judge(some_priced: boolean, some_unpriced: boolean): "priced" | "partial" | "unpriced" {
  if (!some_unpriced) return "priced";
  return some_priced ? "partial" : "unpriced";
}

/** The classes that have a cost: no tokens of a class cost nothing, priced or not. */
function maskCosts(known_mask: number, used_mask: number, priced_mask: number): number {
  return (known_mask & ~used_mask) | (used_mask & priced_mask);
}

function maskPrices({ picodollars_per_token }: PriceAnswer): number {
  return picodollars_per_token.reduce<number>(
    (mask, price, index) => (price === null ? mask : mask | (1 << index)),
    0,
  );
}

function hasBit(mask: number, index: number): boolean {
  return (mask & (1 << index)) !== 0;
}

function countTokens(tokens: readonly (number | null)[], counted: CountedTokens): void {
  let known_mask = 0;
  let used_mask = 0;
  let input_total = 0;
  for (let index = 0; index < TOKEN_CLASSES.length; index += 1) {
    const count = tokens[index] ?? null;
    if (count === null) continue;
    known_mask |= 1 << index;
    if (count !== 0) used_mask |= 1 << index;
    if (hasBit(INPUT_MASK, index)) input_total += count;
  }
  counted.known_mask = known_mask;
  counted.used_mask = used_mask;
  counted.input_total = input_total;
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

/** A record for `priceCounts`, of a span that is no call. */
export function makePricedCounts(): PricedCounts {
  return {
    known_mask: 0,
    used_mask: 0,
    input_total: 0,
    cost: new Float64Array(TOKEN_CLASSES.length),
    cost_mask: 0,
    cost_status: "none",
    price_id: "",
    complaint: "",
    is_exact: true,
  };
}

/** What the book says of all calls of a question; it holds as long as the book does. */
export function compilePricing(book: PriceBook, question: StepQuestion): CompiledPricing {
  const steps = compileSteps(listSteps(book, question));
  return {
    steps,
    prices: steps.answers.map((answer) => (answer === null ? null : toDoubles(answer))),
    complaint: complaintOf(book, question),
  };
}

/** A price beyond the exact doubles makes a product beyond them, whatever the count. */
function toDoubles(answer: PriceAnswer): TokenPrices {
  const prices = answer.picodollars_per_token;
  return {
    price_id: answer.price_id,
    priced_mask: maskPrices(answer),
    picodollars_per_token: Float64Array.from(prices, (price) => Number(price ?? 0n)),
  };
}

/**
 * Prices the tokens of a billable or aggregate call without fee units into `priced`, as `priceSpan`
 * would. The start is given as the upper and lower 32 bits of its Unix ns, unsigned; `is_refused` is
 * the answer of `isRefused`. Counts must be whole and not negative.
 */
export function priceCounts(
  pricing: CompiledPricing,
  start_high: number,
  start_low: number,
  tokens: readonly (number | null)[],
  is_refused: boolean,
  priced: PricedCounts,
): void {
  countTokens(tokens, priced);
  const { known_mask, used_mask } = priced;
  const step = findStep(pricing.steps, start_high, start_low, priced.input_total);
  const prices = known_mask === 0 ? null : (pricing.prices[step] ?? null);
  const priced_mask = prices === null ? 0 : prices.priced_mask;
  const cost_status =
    prices === null
      ? "unpriced"
      : judge((used_mask & priced_mask) !== 0, (used_mask & ~priced_mask) !== 0);
  priced.is_exact = true;
  if (prices === null || cost_status === "unpriced") {
    const known = known_mask !== 0;
    priced.cost.fill(0);
    priced.cost_mask = 0;
    priced.cost_status = !known && is_refused ? "priced" : "unpriced";
    priced.price_id = "";
    priced.complaint = known ? pricing.complaint : "";
    return;
  }
  priced.cost_mask = maskCosts(known_mask, used_mask, priced_mask);
  priced.cost_status = cost_status;
  priced.price_id = prices.price_id;
  priced.complaint = "";
  multiply(tokens, prices, priced);
}

/** Sets the costs; doubles above 2^53 - 1 may be rounded, below they are exact. */
function multiply(
  tokens: readonly (number | null)[],
  { picodollars_per_token }: TokenPrices,
  priced: PricedCounts,
): void {
  const { cost } = priced;
  for (let index = 0; index < TOKEN_CLASSES.length; index += 1) {
    // Zero where no count is known, and where there is no price.
    const product = (tokens[index] ?? 0) * (picodollars_per_token[index] as number);
    cost[index] = product;
    if (!(product <= Number.MAX_SAFE_INTEGER)) priced.is_exact = false;
  }
}
