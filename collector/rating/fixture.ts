/**
 * Random price books and calls that meet them: history, tiers, regions, sizes, fees, contracts, refused
 * calls, calls without usage.
 *
 * Invariant: spans are as normalizing leaves them, before pricing; the same random numbers give the
 * same.
 */
import { priceSpan } from "../price/cost.ts";
import type { ModelPrices, PriceFile, PriceRow } from "../../schemas/prices.ts";
import { FEE_KINDS, type Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { makeRandomSpan, ODD_TEXTS } from "../../test/support/random-span.ts";
import type { Random } from "../../test/support/random.ts";
import { compilePrices, makeRater, type PriceBook } from "../pipeline.ts";
import type { Rater } from "./rater.ts";

/** Three days around a change of prices, Unix seconds. */
export const FIRST_DAY_S = Date.UTC(2026, 9, 23) / 1000;
export const DAYS = 3;
const DAY_S = 86_400;
const PRICE_DAYS = [null, "2026-10-24", "2026-10-25"] as const;
const SIZES = [0, 1_000, 60_000] as const;
const PROVIDERS = ["openai", "anthropic", "bedrock"] as const;
const MODELS = ["m-1", "m-2", "m-3"] as const;

/** A book with its rater. */
export interface TestBook {
  readonly book: PriceBook;
  readonly rater: Rater;
}

function randomRow(random: Random): PriceRow {
  const price = () => `${random.whole(50)}.${random.whole(1_000_000)}`;
  const shares = random.pick([0.3, 0.8, 1]);
  const classes = TOKEN_CLASSES.filter(() => random.chance(shares));
  const kinds = FEE_KINDS.filter(() => random.chance(0.5));
  return {
    valid_from: random.pick(PRICE_DAYS),
    tier: random.pick(["standard", "standard", "batch"]),
    regions: random.pick([[], [], ["eu"], ["regional"]]),
    input_tokens_over: random.pick(SIZES),
    usd_per_million: Object.fromEntries(classes.map((name) => [name, price()])),
    usd_per_thousand: Object.fromEntries(kinds.map((kind) => [kind, price()])),
    source: "test",
    evidence_date: "2026-10-01",
  };
}

function randomModel(random: Random, model: string): ModelPrices {
  const rows = new Map<string, PriceRow>();
  for (let count = 0; count < 10; count += 1) {
    const row = randomRow(random);
    const { tier, regions, valid_from, input_tokens_over } = row;
    rows.set(JSON.stringify([tier, regions, valid_from, input_tokens_over]), row);
  }
  const other_regions = random.pick(["same", "unpriced"] as const);
  return { model, aliases: [], other_regions, prices: [...rows.values()] };
}

function randomFile(random: Random, provider: string, project_id?: string): PriceFile {
  const models = MODELS.filter(() => random.chance(0.8)).map((name) => randomModel(random, name));
  const file: PriceFile = { provider, currency: "USD", models };
  return project_id === undefined ? file : { ...file, project_id };
}

/** List prices of some models, and negotiated ones of one project and of all. */
export function makeRandomBook(random: Random): TestBook {
  const list = PROVIDERS.map((provider) => randomFile(random, provider));
  const negotiated = [
    ...(random.chance(0.5) ? [randomFile(random, "openai")] : []),
    randomFile(random, "openai", "alpha"),
  ];
  return compileBook(list, negotiated);
}

/** The book of price files. */
export function compileBook(
  list: readonly PriceFile[],
  negotiated: readonly PriceFile[] = [],
): TestBook {
  const prices = compilePrices(list, negotiated);
  return { book: prices.book, rater: makeRater(prices) };
}

function randomUsage(random: Random): Pick<Span, "tokens" | "fee_units" | "usage_status"> {
  const share = random.pick([0, 0.2, 0.7]);
  const tokens = TOKEN_CLASSES.map((): number | null => {
    if (!random.chance(share)) return null;
    if (random.chance(0.25)) return 0;
    return random.pick([1, 999, 1_000, 1_001, 60_001, random.whole(50_000), 1_000_000_000]);
  });
  const fee_units = FEE_KINDS.filter(() => random.chance(0.12)).map((kind) => ({
    kind,
    count: 1 + random.whole(9),
  }));
  return { tokens, fee_units, usage_status: share === 0 ? "missing" : "reported" };
}

/** A span of one of the days that was not priced yet. */
export function makeUnpricedSpan(random: Random): Span {
  const start_s = FIRST_DAY_S + random.whole(DAYS) * DAY_S + random.pick([0, 7, 43_200, DAY_S - 1]);
  const start_ns = BigInt(start_s) * 1_000_000_000n + BigInt(random.whole(1e9));
  const span = makeRandomSpan(random, random.pick(["alpha", "beta"]), start_ns);
  const odd = random.chance(0.1) ? random.pick(ODD_TEXTS) : "";
  const model = () => random.pick(["", odd, ...MODELS, "m-1-2026-10-01", "eu.m-2", "m-9"]);
  return {
    ...span,
    provider: random.pick(["", "OpenAI", ...PROVIDERS]),
    request_model: model(),
    response_model: model(),
    service_tier: random.pick(["", "default", "batch", "Flex", odd]),
    region: random.pick(["", "", "eu", "US", "global", "not_available"]),
    status: random.pick(["ok", "error", "error"]),
    http_status: random.pick([0, 200, 399, 400, 500, 599, 600]),
    reason: random.pick(["chat is one model call", "", "it's counted"]),
    ...randomUsage(random),
    cost: TOKEN_CLASSES.map(() => null),
    cost_fees: null,
    cost_status: "none",
    price_id: "",
  };
}

/** The span as priced by a book; the one given stays as it is. */
export function priceBy({ book }: TestBook, span: Span): Span {
  const priced = { ...span, cost: [...span.cost] };
  priceSpan(book, priced);
  return priced;
}
