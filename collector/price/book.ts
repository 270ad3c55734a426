/**
 * The compiled price book: from dated rows of decimal strings to maps of integer picodollars.
 *
 * Invariant: every unit price is a whole number of picodollars per token and every id leads to one
 * model, so that pricing a span is map lookups and exact integer arithmetic.
 */
import { PermanentError } from "../../schemas/errors.ts";
import type { ModelPrices, PriceFile } from "../../schemas/prices.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";

/** Unit prices that apply to prompts above a size. */
export interface PriceStep {
  /** `<provider>/<model>/<tier>/<valid_from or "initial">`, and `/over-<tokens>` above a size. */
  readonly price_id: string;
  /** The step applies when the prompt has more tokens than this; 0 applies to every prompt. */
  readonly input_tokens_over: number;
  /** Picodollars per token in the order of TOKEN_CLASSES; null is unpriced. */
  readonly picodollars_per_token: readonly (bigint | null)[];
}

/** The steps in force from a day on. */
export interface PricePeriod {
  /** First instant, Unix ns; 0 for prices that apply since ever. */
  readonly valid_from_ns: bigint;
  /** Largest `input_tokens_over` first. */
  readonly steps: readonly PriceStep[];
}

export interface PricedModel {
  readonly provider: string;
  readonly model: string;
  /** Periods by service tier, latest first. */
  readonly tiers: ReadonlyMap<string, readonly PricePeriod[]>;
}

/** How sure a match is: the id of the model, another exact id of it, or either with a date after it. */
export type MatchConfidence = "exact" | "alias" | "dated";

export interface PriceMatch {
  readonly model: PricedModel;
  readonly confidence: MatchConfidence;
}

export interface PriceBook {
  /** Exact ids, lower case, by provider. */
  readonly providers: ReadonlyMap<string, ReadonlyMap<string, PriceMatch>>;
  /** Exact ids of all providers; null where several have the id. */
  readonly any_provider: ReadonlyMap<string, PriceMatch | null>;
  /** Answers of `matchModel`, which alone writes here. */
  readonly lookups: LookupCache;
}

export interface LookupCache {
  /** By provider and model as sent. */
  readonly by_provider: Map<string, Map<string, PriceMatch | null>>;
  /** Answers held. */
  size: number;
}

/**
 * Compiles price files into a book. Throws PermanentError when two models of a provider share an id,
 * when two rows of a model have the same tier, prompt size and day, and when a price is no decimal.
 */
export function compilePriceBook(files: readonly PriceFile[]): PriceBook {
  const providers = new Map<string, Map<string, PriceMatch>>();
  const any_provider = new Map<string, PriceMatch | null>();
  for (const file of files) {
    const provider = file.provider.toLowerCase();
    const ids = providers.get(provider) ?? new Map<string, PriceMatch>();
    providers.set(provider, ids);
    for (const prices of file.models) {
      const model = compileModel(provider, prices);
      for (const [index, text] of [prices.model, ...prices.aliases].entries()) {
        const id = text.toLowerCase();
        if (ids.has(id)) {
          throw new PermanentError("duplicate_price_id", `${provider} has ${id} twice: remove one`);
        }
        const match: PriceMatch = { model, confidence: index === 0 ? "exact" : "alias" };
        ids.set(id, match);
        any_provider.set(id, any_provider.has(id) ? null : match);
      }
    }
  }
  return { providers, any_provider, lookups: { by_provider: new Map(), size: 0 } };
}

function compileModel(provider: string, prices: ModelPrices): PricedModel {
  const model = prices.model.toLowerCase();
  const tiers = new Map<string, Map<string, PriceStep[]>>();
  for (const row of prices.prices) {
    const tier = row.tier.toLowerCase();
    const valid_from = row.valid_from ?? "";
    const periods = tiers.get(tier) ?? new Map<string, PriceStep[]>();
    tiers.set(tier, periods);
    const steps = periods.get(valid_from) ?? [];
    periods.set(valid_from, steps);
    const base_id = `${provider}/${model}/${tier}/${row.valid_from ?? "initial"}`;
    const over = row.input_tokens_over;
    const price_id = over === 0 ? base_id : `${base_id}/over-${String(over)}`;
    if (steps.some((step) => step.input_tokens_over === over)) {
      throw new PermanentError("duplicate_price_row", `${price_id} stands twice: remove one`);
    }
    steps.push({
      price_id,
      input_tokens_over: over,
      picodollars_per_token: TOKEN_CLASSES.map((name) => {
        const text = row.usd_per_million[name];
        return text === undefined ? null : toPicodollarsPerToken(text);
      }),
    });
  }
  return {
    provider,
    model,
    tiers: new Map([...tiers].map(([tier, periods]) => [tier, sortPeriods(periods)])),
  };
}

function sortPeriods(by_day: ReadonlyMap<string, PriceStep[]>): PricePeriod[] {
  const days = [...by_day].sort(([a], [b]) => (a > b ? -1 : 1));
  return days.map(([valid_from, steps]) => ({
    valid_from_ns: toUnixNanoseconds(valid_from),
    steps: steps.sort((a, b) => b.input_tokens_over - a.input_tokens_over),
  }));
}

const NANOSECONDS_PER_MILLISECOND = 1_000_000n;

/** Start of a UTC day, Unix ns; 0 for the empty text. */
function toUnixNanoseconds(day: string): bigint {
  if (day === "") return 0n;
  return BigInt(Date.parse(`${day}T00:00:00Z`)) * NANOSECONDS_PER_MILLISECOND;
}

/**
 * A price in US dollars per million tokens as picodollars per token. One dollar per million is 10^6
 * picodollars per token, so up to six decimals stay whole. Throws PermanentError on anything else.
 */
export function toPicodollarsPerToken(usd_per_million: string): bigint {
  const match = /^(\d+)(?:\.(\d{1,6}))?$/.exec(usd_per_million);
  if (match === null) {
    throw new PermanentError(
      "bad_unit_price",
      "a unit price is a decimal with at most six decimals",
    );
  }
  return BigInt((match[1] ?? "") + (match[2] ?? "").padEnd(6, "0"));
}
