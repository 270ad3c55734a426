/**
 * The compiled price book: from dated rows of decimal strings to maps of integer picodollars.
 *
 * Invariant: every unit price is a whole number of picodollars and every id of a provider leads to one
 * model, so that pricing a span is map lookups and exact integer arithmetic.
 */
import { PermanentError } from "../../schemas/errors.ts";
import type { ModelPrices, PriceFile, PriceRow } from "../../schemas/prices.ts";
import { findPriceProblems, priceIdOf, type PriceOwner } from "../../schemas/prices/check.ts";
import { FEE_KINDS, type FeeKind } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";

/** The unit prices that apply to a call. */
export interface PriceAnswer {
  /** The row: see `priceIdOf` in schemas/prices/check.ts. */
  readonly price_id: string;
  /** Picodollars per token in the order of TOKEN_CLASSES; null is unpriced. */
  readonly picodollars_per_token: readonly (bigint | null)[];
  /** Picodollars per piece by fee kind; a kind that is absent is unpriced. */
  readonly picodollars_per_unit: ReadonlyMap<FeeKind, bigint>;
}

/** Unit prices that apply to prompts above a size. */
export interface PriceStep extends PriceAnswer {
  /** The step applies when the prompt has more tokens than this; 0 applies to every prompt. */
  readonly input_tokens_over: number;
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
  /** Whether rows without regions hold in regions that no row names. */
  readonly other_regions: ModelPrices["other_regions"];
  /** Periods by service tier, then by region, latest first; "" is the rows without regions. */
  readonly tiers: ReadonlyMap<string, ReadonlyMap<string, readonly PricePeriod[]>>;
}

/** How sure a match is: the id of the model, another exact id of it, or either with a date after it. */
export type MatchConfidence = "exact" | "alias" | "dated";

export interface PriceMatch {
  readonly model: PricedModel;
  readonly confidence: MatchConfidence;
  /** The region that the id itself names, as `eu.` in front of a Bedrock id; "" for none. */
  readonly region: string;
}

/** The models of one set of price files, by id. */
export interface PriceLayer {
  /** Exact ids, lower case, by provider. */
  readonly providers: ReadonlyMap<string, ReadonlyMap<string, PriceMatch>>;
  /** Exact ids of the makers of models; null where several have the id. */
  readonly any_provider: ReadonlyMap<string, PriceMatch | null>;
  /** Answers of `matchModel`, which alone writes here. */
  readonly lookups: LookupCache;
}

export interface PriceBook {
  /** Layers in the order in which they are asked, by project: the first row that fits applies. */
  readonly projects: ReadonlyMap<string, readonly PriceLayer[]>;
  /** The layers of every project that has none of its own. */
  readonly layers: readonly PriceLayer[];
}

export interface LookupCache {
  /** By provider and model as sent. */
  readonly by_provider: Map<string, Map<string, PriceMatch | null>>;
  /** Answers held. */
  size: number;
}

/**
 * Providers that sell models of others under the makers' ids and at prices of their own. An id alone,
 * without its provider, never leads to one of them.
 */
const RESELLERS: ReadonlySet<string> = new Set([
  "azure",
  "bedrock",
  "fireworks",
  "groq",
  "openrouter",
  "together",
  "vertex",
]);

/**
 * Compiles price files into a book. `negotiated` files come first: those of the call's project, then
 * those of every project, then the list prices. Throws PermanentError when two models of a provider
 * share an id within one layer, or two rows of a model apply to the same calls.
 */
export function compilePriceBook(
  list: readonly PriceFile[],
  negotiated: readonly PriceFile[] = [],
): PriceBook {
  const [problem] = [...findPriceProblems(list), ...findPriceProblems(negotiated)];
  if (problem !== undefined) throw new PermanentError(problem.code, problem.message);
  const general = negotiated.filter((file) => file.project_id === undefined);
  const shared = { negotiated: true };
  const layers = [
    ...(general.length > 0 ? [compileLayer(general, shared)] : []),
    compileLayer(list, { negotiated: false }),
  ];
  const projects = new Map<string, readonly PriceLayer[]>();
  for (const { project_id } of negotiated) {
    if (project_id === undefined || projects.has(project_id)) continue;
    const own = negotiated.filter((file) => file.project_id === project_id);
    projects.set(project_id, [compileLayer(own, { negotiated: true, project_id }), ...layers]);
  }
  return { projects, layers };
}

function compileLayer(files: readonly PriceFile[], owner: PriceOwner): PriceLayer {
  const providers = new Map<string, Map<string, PriceMatch>>();
  const any_provider = new Map<string, PriceMatch | null>();
  for (const file of files) {
    const provider = file.provider.toLowerCase();
    const ids = providers.get(provider) ?? new Map<string, PriceMatch>();
    providers.set(provider, ids);
    for (const prices of file.models) {
      const model = compileModel(provider, prices, owner);
      for (const [index, text] of [prices.model, ...prices.aliases].entries()) {
        const id = text.toLowerCase();
        const confidence = index === 0 ? "exact" : "alias";
        const match: PriceMatch = { model, confidence, region: "" };
        ids.set(id, match);
        if (!RESELLERS.has(provider)) any_provider.set(id, any_provider.has(id) ? null : match);
      }
    }
  }
  return { providers, any_provider, lookups: { by_provider: new Map(), size: 0 } };
}

function compileModel(provider: string, prices: ModelPrices, owner: PriceOwner): PricedModel {
  const model = prices.model.toLowerCase();
  const tiers = new Map<string, Map<string, Map<string, PriceStep[]>>>();
  for (const row of prices.prices) {
    const regions = obtain(
      tiers,
      row.tier.toLowerCase(),
      () => new Map<string, Map<string, PriceStep[]>>(),
    );
    for (const region of row.regions.length === 0 ? [""] : row.regions) {
      const days = obtain(regions, region.toLowerCase(), () => new Map<string, PriceStep[]>());
      const steps = obtain(days, row.valid_from ?? "", (): PriceStep[] => []);
      steps.push(compileStep(priceIdOf(provider, model, row, region, owner), row));
    }
  }
  return {
    provider,
    model,
    other_regions: prices.other_regions,
    tiers: mapValues(tiers, (regions) => mapValues(regions, sortPeriods)),
  };
}

function compileStep(price_id: string, row: PriceRow): PriceStep {
  return {
    price_id,
    input_tokens_over: row.input_tokens_over,
    picodollars_per_token: TOKEN_CLASSES.map((name) => {
      const text = row.usd_per_million[name];
      return text === undefined ? null : toPicodollarsPerToken(text);
    }),
    picodollars_per_unit: new Map(
      FEE_KINDS.flatMap((kind) => {
        const text = row.usd_per_thousand[kind];
        return text === undefined ? [] : [[kind, toPicodollarsPerUnit(text)] as const];
      }),
    ),
  };
}

function obtain<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const held = map.get(key);
  if (held !== undefined) return held;
  const made = make();
  map.set(key, made);
  return made;
}

function mapValues<From, To>(map: ReadonlyMap<string, From>, change: (value: From) => To) {
  return new Map([...map].map(([key, value]) => [key, change(value)] as const));
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
  return shiftDecimal(usd_per_million, 6);
}

/** A price in US dollars per 1,000 pieces as picodollars per piece: up to nine decimals stay whole. */
export function toPicodollarsPerUnit(usd_per_thousand: string): bigint {
  return shiftDecimal(usd_per_thousand, 9);
}

function shiftDecimal(text: string, decimals: number): bigint {
  const match = /^(\d+)(?:\.(\d+))?$/.exec(text);
  const fraction = match?.[2] ?? "";
  if (match === null || fraction.length > decimals) {
    throw new PermanentError(
      "bad_unit_price",
      `a unit price is a decimal with at most ${String(decimals)} decimals`,
    );
  }
  return BigInt((match[1] ?? "") + fraction.padEnd(decimals, "0"));
}
