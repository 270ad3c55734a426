/**
 * What could be saved on calls of the past: by caching, by batches, by another model.
 *
 * Invariant: pure, in whole picodollars. Tokens without a price on either side of a comparison are left
 * out of both sides and counted; a missing price is never zero.
 */
import { CLASS_INDEX, TOKEN_CLASSES, type TokenClass } from "../schemas/tokens.ts";
import { divideHalfEven } from "./measures.ts";
import type { PriceLister, UnitPrices } from "./prices.ts";

/** Calls of one model that one row of the price book was applied to. */
export interface PricedGroup {
  readonly provider: string;
  readonly model: string;
  /** Empty when no row applied. */
  readonly price_id: string;
  readonly calls: bigint;
  /** In the order of TOKEN_CLASSES. */
  readonly tokens: readonly bigint[];
  /** Picodollars, in the same order. */
  readonly cost: readonly bigint[];
  /** The row; null when the price book has none of that name any more. */
  readonly row: UnitPrices | null;
}

const CACHE_WRITES: readonly TokenClass[] = ["cache_write_5m", "cache_write_1h", "cache_write"];

function tokensOf(group: PricedGroup, name: TokenClass): bigint {
  return group.tokens[CLASS_INDEX[name]] ?? 0n;
}

/** What the tokens of a class cost, picodollars; null when they have no price. */
function costOf({ cost, row, price_id }: PricedGroup, name: TokenClass): bigint | null {
  const amount = cost[CLASS_INDEX[name]] ?? 0n;
  if (price_id === "") return null;
  // Of a row that is gone only costs above zero tell that there was a price.
  const has_price = row === null ? amount > 0n : priceOf(row, name) !== null;
  return has_price ? amount : null;
}

function priceOf(row: UnitPrices | null, name: TokenClass): bigint | null {
  return row?.picodollars_per_token[CLASS_INDEX[name]] ?? null;
}

/** What caching saved, and at most could. Amounts in picodollars. */
export interface CacheSavings {
  /** Null when there are no cached tokens whose saving is known. */
  readonly read_saved: bigint | null;
  readonly write_surcharge: bigint | null;
  readonly tokens_not_judged: bigint;
  /** Null when no uncached tokens have a price for cached ones. */
  readonly could_save_at_most: bigint | null;
  readonly uncached_tokens: bigint;
  readonly uncached_tokens_not_judged: bigint;
}

const NO_CACHE_SAVINGS: CacheSavings = {
  read_saved: null,
  write_surcharge: null,
  tokens_not_judged: 0n,
  could_save_at_most: null,
  uncached_tokens: 0n,
  uncached_tokens_not_judged: 0n,
};

/** The sum of two amounts of which either may be unknown. */
export function addKnown(a: bigint | null, b: bigint | null): bigint | null {
  return a === null ? b : b === null ? a : a + b;
}

function cacheOf(group: PricedGroup): CacheSavings {
  const uncached_price = priceOf(group.row, "input_uncached");
  let read_saved: bigint | null = null;
  let write_surcharge: bigint | null = null;
  let tokens_not_judged = 0n;
  for (const name of ["cache_read", ...CACHE_WRITES] as const) {
    const tokens = tokensOf(group, name);
    if (tokens === 0n) continue;
    const cost = costOf(group, name);
    if (cost === null || uncached_price === null) tokens_not_judged += tokens;
    else if (name === "cache_read") read_saved = tokens * uncached_price - cost;
    else write_surcharge = (write_surcharge ?? 0n) + cost - tokens * uncached_price;
  }
  const uncached = tokensOf(group, "input_uncached");
  const read_price = priceOf(group.row, "cache_read");
  const is_judged = uncached_price !== null && read_price !== null;
  return {
    read_saved,
    write_surcharge,
    tokens_not_judged,
    could_save_at_most:
      is_judged && uncached > 0n ? uncached * (uncached_price - read_price) : null,
    uncached_tokens: is_judged ? uncached : 0n,
    uncached_tokens_not_judged: is_judged ? 0n : uncached,
  };
}

/** What caching saved and could save over all groups. */
export function saveByCache(groups: readonly PricedGroup[]): CacheSavings {
  return groups.map(cacheOf).reduce(
    (sum, part) => ({
      read_saved: addKnown(sum.read_saved, part.read_saved),
      write_surcharge: addKnown(sum.write_surcharge, part.write_surcharge),
      tokens_not_judged: sum.tokens_not_judged + part.tokens_not_judged,
      could_save_at_most: addKnown(sum.could_save_at_most, part.could_save_at_most),
      uncached_tokens: sum.uncached_tokens + part.uncached_tokens,
      uncached_tokens_not_judged: sum.uncached_tokens_not_judged + part.uncached_tokens_not_judged,
    }),
    NO_CACHE_SAVINGS,
  );
}

/**
 * Providers that sell batches at half the price by their own pages, while the price book has no batch
 * prices of them. Where it has some, a model without one is not sold in batches.
 */
export const HALF_PRICE_BATCHES: ReadonlySet<string> = new Set(["azure", "bedrock"]);

/** What batches could save. Amounts in picodollars. */
export interface BatchSavings {
  /** Null when no call could have been a batch by a price that is known. */
  readonly could_save: bigint | null;
  readonly from_price_book: bigint;
  readonly from_assumption: bigint;
  readonly cost_of_candidates: bigint;
  readonly calls_already_batch: bigint;
  readonly calls_of_other_tiers: bigint;
  readonly calls_without_batch_price: bigint;
  readonly calls_without_price: bigint;
}

const NO_BATCH_SAVINGS: BatchSavings = {
  could_save: null,
  from_price_book: 0n,
  from_assumption: 0n,
  cost_of_candidates: 0n,
  calls_already_batch: 0n,
  calls_of_other_tiers: 0n,
  calls_without_batch_price: 0n,
  calls_without_price: 0n,
};

/** The batch prices for prompts of the size that a row is for. */
function findBatchRow(
  group: PricedGroup,
  row: UnitPrices,
  project_id: string,
  at_ms: number,
  prices: PriceLister,
): UnitPrices | null {
  const { provider, model } = group;
  const { region, input_tokens_over } = row;
  const rows = prices.listPrices({
    project_id,
    provider,
    model,
    service_tier: "batch",
    region,
    at_ms,
  });
  return rows.findLast((batch) => batch.input_tokens_over <= input_tokens_over) ?? null;
}

function batchOf(
  group: PricedGroup,
  project_id: string,
  at_ms: number,
  prices: PriceLister,
): BatchSavings {
  const { row, calls } = group;
  if (group.price_id === "" || row === null) {
    return { ...NO_BATCH_SAVINGS, calls_without_price: calls };
  }
  if (row.tier === "batch") return { ...NO_BATCH_SAVINGS, calls_already_batch: calls };
  if (row.tier !== "standard") return { ...NO_BATCH_SAVINGS, calls_of_other_tiers: calls };
  const batch = findBatchRow(group, row, project_id, at_ms, prices);
  let cost = 0n;
  let saved = 0n;
  for (const name of TOKEN_CLASSES) {
    const amount = costOf(group, name) ?? 0n;
    const price = priceOf(batch, name);
    cost += amount;
    if (price !== null && amount > 0n) saved += amount - tokensOf(group, name) * price;
  }
  if (batch !== null) {
    return {
      ...NO_BATCH_SAVINGS,
      could_save: saved,
      from_price_book: saved,
      cost_of_candidates: cost,
    };
  }
  if (!HALF_PRICE_BATCHES.has(group.provider)) {
    return { ...NO_BATCH_SAVINGS, calls_without_batch_price: calls };
  }
  const half = divideHalfEven(cost, 2n);
  return {
    ...NO_BATCH_SAVINGS,
    could_save: half,
    from_assumption: half,
    cost_of_candidates: cost,
  };
}

/** What batches could save over all groups, at the batch prices of an instant. */
export function saveByBatch(
  groups: readonly PricedGroup[],
  project_id: string,
  at_ms: number,
  prices: PriceLister,
): BatchSavings {
  return groups
    .map((group) => batchOf(group, project_id, at_ms, prices))
    .reduce(
      (sum, part) => ({
        could_save: addKnown(sum.could_save, part.could_save),
        from_price_book: sum.from_price_book + part.from_price_book,
        from_assumption: sum.from_assumption + part.from_assumption,
        cost_of_candidates: sum.cost_of_candidates + part.cost_of_candidates,
        calls_already_batch: sum.calls_already_batch + part.calls_already_batch,
        calls_of_other_tiers: sum.calls_of_other_tiers + part.calls_of_other_tiers,
        calls_without_batch_price: sum.calls_without_batch_price + part.calls_without_batch_price,
        calls_without_price: sum.calls_without_price + part.calls_without_price,
      }),
      NO_BATCH_SAVINGS,
    );
}

/** Classes that are billed as another where the price book has no price of their own. */
const SUBSTITUTES: Readonly<Partial<Record<TokenClass, TokenClass>>> = {
  cache_read: "input_uncached",
  cache_write_5m: "input_uncached",
  cache_write_1h: "input_uncached",
  cache_write: "input_uncached",
  output_reasoning: "output_text",
};

/** The same tokens on another model. Amounts in picodollars. */
export interface TargetSavings {
  /** Of all tokens that have a price on the target; null when there are none. */
  readonly target_cost: bigint | null;
  /** By the step for the longest prompts; null when there is one step. */
  readonly target_cost_at_most: bigint | null;
  readonly compared: {
    readonly cost: bigint;
    readonly target_cost: bigint;
    readonly tokens: bigint;
  };
  readonly tokens: bigint;
  readonly substituted: ReadonlyMap<
    TokenClass,
    { readonly priced_as: TokenClass; readonly tokens: bigint }
  >;
  readonly tokens_without_target_price: ReadonlyMap<TokenClass, bigint>;
}

/** The class whose price applies to a class on a row; null when none does. */
function pricedAs(row: UnitPrices, name: TokenClass): TokenClass | null {
  if (priceOf(row, name) !== null) return name;
  const substitute = SUBSTITUTES[name];
  return substitute !== undefined && priceOf(row, substitute) !== null ? substitute : null;
}

/** What the tokens of the groups would cost on a model with these rows, the smallest prompts first. */
export function saveByTarget(
  groups: readonly PricedGroup[],
  rows: readonly [UnitPrices, ...UnitPrices[]],
): TargetSavings {
  const [row] = rows;
  const dearest = rows.length > 1 ? rows.at(-1) : undefined;
  let target_cost: bigint | null = null;
  let at_most = 0n;
  let all_tokens = 0n;
  const compared = { cost: 0n, target_cost: 0n, tokens: 0n };
  const substituted = new Map<TokenClass, { priced_as: TokenClass; tokens: bigint }>();
  const without = new Map<TokenClass, bigint>();
  for (const group of groups) {
    for (const name of TOKEN_CLASSES) {
      const tokens = tokensOf(group, name);
      if (tokens === 0n) continue;
      all_tokens += tokens;
      const priced_as = pricedAs(row, name);
      const price = priced_as === null ? null : priceOf(row, priced_as);
      if (priced_as === null || price === null) {
        without.set(name, (without.get(name) ?? 0n) + tokens);
        continue;
      }
      if (priced_as !== name) {
        const earlier = substituted.get(name)?.tokens ?? 0n;
        substituted.set(name, { priced_as, tokens: earlier + tokens });
      }
      target_cost = (target_cost ?? 0n) + tokens * price;
      at_most += tokens * (priceOf(dearest ?? row, priced_as) ?? price);
      const cost = costOf(group, name);
      if (cost === null) continue;
      compared.cost += cost;
      compared.target_cost += tokens * price;
      compared.tokens += tokens;
    }
  }
  return {
    target_cost,
    target_cost_at_most: dearest === undefined || target_cost === null ? null : at_most,
    compared,
    tokens: all_tokens,
    substituted,
    tokens_without_target_price: without,
  };
}
