/**
 * What the query API asks of the price book. It may not import the collector, so the book comes in as
 * this service, made where both are known (`cli/price-lister.ts`).
 *
 * Invariant: prices are for comparing; nothing here changes what a call in the ledger cost.
 */
import type { TokenClass } from "../schemas/tokens.ts";

/** The unit prices of a row of the book. */
export interface UnitPrices {
  /** See `priceIdOf` in schemas/prices/check.ts. */
  readonly price_id: string;
  /** Service tier that the row is for, such as `standard` or `batch`. */
  readonly tier: string;
  /** Region that the row is for; empty where it names none. */
  readonly region: string;
  /** The row is for prompts of more tokens than this. */
  readonly input_tokens_over: number;
  /** Picodollars per token in the order of TOKEN_CLASSES; null where there is no price. */
  readonly picodollars_per_token: readonly (bigint | null)[];
}

/** A model at a time, in a tier and a region. */
export interface PriceLookup {
  readonly project_id: string;
  readonly provider: string;
  readonly model: string;
  readonly service_tier: string;
  readonly region: string;
  /** Unix ms. */
  readonly at_ms: number;
}

/** A model that has a price. */
export interface ListedModel {
  readonly provider: string;
  readonly model: string;
}

/** Picodollars that a token of the class costs by a row of the book; null when it does not say. */
export type PriceOf = (price_id: string, name: TokenClass) => bigint | null;

/** The price book as questions of comparison need it. */
export interface PriceLister {
  readonly priceOf: PriceOf;
  /** The row of that name, of whichever project; null when the book has none such any more. */
  findRow(price_id: string): UnitPrices | null;
  /** The prices in force, by prompt size, the smallest first; empty when there are none. */
  listPrices(lookup: PriceLookup): readonly UnitPrices[];
  /** Whether the book has the model for the project, in whatever tier, region and time. */
  hasModel(lookup: Pick<PriceLookup, "project_id" | "provider" | "model">): boolean;
  /** The models that have a price for the project. */
  listModels(project_id: string): readonly ListedModel[];
}
