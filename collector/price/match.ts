/**
 * Finds the model of a price layer that a span names.
 *
 * Invariant: an id matches as a whole. A prefix is never enough, because the next version of a model
 * starts with the name of this one (`claude-sonnet-5-5` is not `claude-sonnet-5`).
 */
import type { LookupCache, PriceLayer, PriceMatch } from "./book.ts";
import { MAX_ID_PARTS, shortenId } from "./ids.ts";

/** Answers kept in a layer, one for each pair of provider and model text seen. */
export const MAX_CACHED_LOOKUPS = 10_000;

/** A longer model or provider text is no id; it is neither looked up nor kept, characters. */
export const MAX_MODEL_CHARS = 256;

/** The release date or `-latest` that providers append to an id: -2025-04-14, -20250929, @20250929. */
const DATE_SUFFIX =
  /(?:-20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|[-@]20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|-latest)$/;

/**
 * The priced model for a provider and a model id, or null. Letter case does not count; what the
 * grammars of `collector/price/ids.ts` know in front of an id is dropped, and so is one date suffix
 * when the whole id is unknown. With the provider unknown ("") the id must belong to exactly one maker
 * of models.
 */
export function matchModel(layer: PriceLayer, provider: string, model: string): PriceMatch | null {
  const cached = layer.lookups.by_provider.get(provider)?.get(model);
  if (cached !== undefined) return cached;
  if (model === "" || model.length > MAX_MODEL_CHARS || provider.length > MAX_MODEL_CHARS)
    return null;
  const match = findMatch(layer, provider.toLowerCase(), model.toLowerCase());
  remember(layer.lookups, provider, model, match);
  return match;
}

function findMatch(layer: PriceLayer, provider: string, text: string): PriceMatch | null {
  let named = provider;
  let id = text;
  let region = "";
  for (let parts = 0; parts <= MAX_ID_PARTS; parts += 1) {
    const found = findId(named === "" ? layer.any_provider : layer.providers.get(named), id);
    if (found !== null) return region === "" ? found : { ...found, region };
    const shorter = shortenId(named, id, (word) => layer.providers.has(word));
    if (shorter === null) return null;
    named = shorter.provider;
    id = shorter.id;
    if (shorter.region !== "") region = shorter.region;
  }
  return null;
}

function findId(
  ids: ReadonlyMap<string, PriceMatch | null> | undefined,
  id: string,
): PriceMatch | null {
  const whole = ids?.get(id);
  if (whole !== undefined) return whole;
  const undated = id.replace(DATE_SUFFIX, "");
  const dated = undated === id ? undefined : ids?.get(undated);
  return dated ? { ...dated, confidence: "dated" } : null;
}

/** Starts over when full: a sender that invents names costs lookups, never memory. */
function remember(
  cache: LookupCache,
  provider: string,
  model: string,
  match: PriceMatch | null,
): void {
  if (cache.size >= MAX_CACHED_LOOKUPS) {
    cache.by_provider.clear();
    cache.size = 0;
  }
  const models = cache.by_provider.get(provider);
  if (models === undefined) cache.by_provider.set(provider, new Map([[model, match]]));
  else models.set(model, match);
  cache.size += 1;
}
