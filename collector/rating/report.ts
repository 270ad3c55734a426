/**
 * What pricing calls again changed: the sums before and after, whole and by model.
 *
 * Invariant: sums are of calls that count and exact; the models add up to the whole.
 */
import { formatUsd } from "../../schemas/units.ts";

/** Sums of calls before and after, money in picodollars. */
export interface RatingSums {
  /** Calls that count. */
  calls: number;
  /** Of these, calls that anything of the price changed of: cost, status, row of the book, reason. */
  calls_changed: number;
  /** Were unpriced and have a price, at least of a part, now. */
  newly_priced: number;
  no_longer_priced: number;
  cost_before: bigint;
  cost_after: bigint;
}

/** The sums with money as exact decimals of US dollars, as they are printed. */
export interface PrintedSums {
  readonly calls: number;
  readonly calls_changed: number;
  readonly newly_priced: number;
  readonly no_longer_priced: number;
  readonly cost_usd_before: string;
  readonly cost_usd_after: string;
}

export interface PrintedModel extends PrintedSums {
  readonly provider: string;
  /** As everywhere: the response model, or the request model when that is unknown. */
  readonly model: string;
}

/** The result of a run. */
export interface RatingReport extends PrintedSums {
  readonly dry_run: boolean;
  readonly fingerprint: string;
  /** First and last UTC day asked for; null for all, as the next three. */
  readonly from: string | null;
  readonly to: string | null;
  readonly provider: string | null;
  readonly model: string | null;
  readonly project_id: string | null;
  /** Stored rows that change, those that do not count as calls included. */
  readonly spans_changed: number;
  /** The models whose calls change, largest difference of cost first. */
  readonly models: readonly PrintedModel[];
}

/** Models told apart; the calls of further ones are summed under OTHER_MODELS. */
export const MAX_REPORTED_MODELS = 10_000;
export const OTHER_MODELS = "(other models)";

function emptySums(): RatingSums {
  return {
    calls: 0,
    calls_changed: 0,
    newly_priced: 0,
    no_longer_priced: 0,
    cost_before: 0n,
    cost_after: 0n,
  };
}

function addSums(total: RatingSums, part: RatingSums): void {
  total.calls += part.calls;
  total.calls_changed += part.calls_changed;
  total.newly_priced += part.newly_priced;
  total.no_longer_priced += part.no_longer_priced;
  total.cost_before += part.cost_before;
  total.cost_after += part.cost_after;
}

function printSums(sums: RatingSums): PrintedSums {
  const { cost_before, cost_after, ...counts } = sums;
  return {
    ...counts,
    cost_usd_before: formatUsd(cost_before),
    cost_usd_after: formatUsd(cost_after),
  };
}

interface ModelSums {
  readonly provider: string;
  readonly model: string;
  readonly sums: RatingSums;
}

/** Adds up a run. */
export class RatingTotals {
  readonly #models = new Map<string, ModelSums>();
  readonly whole: RatingSums = emptySums();
  spans_changed = 0;

  add(provider: string, model: string, part: RatingSums): void {
    addSums(this.whole, part);
    addSums(this.#sumsOf(provider, model), part);
  }

  #sumsOf(provider: string, model: string): RatingSums {
    const key = JSON.stringify([provider, model]);
    const known = this.#models.get(key);
    if (known !== undefined) return known.sums;
    if (this.#models.size >= MAX_REPORTED_MODELS && model !== OTHER_MODELS) {
      return this.#sumsOf("", OTHER_MODELS);
    }
    const made = { provider, model, sums: emptySums() };
    this.#models.set(key, made);
    return made.sums;
  }

  /** The whole, printed. */
  print(): PrintedSums {
    return printSums(this.whole);
  }

  /** The models with changes, printed. */
  printModels(): PrintedModel[] {
    return [...this.#models.values()]
      .filter(({ sums }) => sums.calls_changed > 0)
      .sort((a, b) => compareBigints(differenceOf(b.sums), differenceOf(a.sums)))
      .map(({ provider, model, sums }) => ({ provider, model, ...printSums(sums) }));
  }
}

/** How far the cost moves, whichever way. */
function differenceOf({ cost_before, cost_after }: RatingSums): bigint {
  return cost_after > cost_before ? cost_after - cost_before : cost_before - cost_after;
}

function compareBigints(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
