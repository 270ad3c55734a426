/**
 * Finds the model of the price book that a span names.
 *
 * Invariant: an id matches as a whole. A prefix is never enough, because the next version of a model
 * starts with the name of this one (`claude-sonnet-5-5` is not `claude-sonnet-5`).
 */
import type { LookupCache, PriceBook, PriceMatch } from "./book.ts";

/** Answers kept in a book, one for each pair of provider and model text seen. */
export const MAX_CACHED_LOOKUPS = 10_000;

/** A longer model or provider text is no id; it is neither looked up nor kept, characters. */
export const MAX_MODEL_CHARS = 256;

/** The release date or `-latest` that providers append to an id: -2025-04-14, -20250929, @20250929. */
const DATE_SUFFIX =
  /(?:-20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|[-@]20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|-latest)$/;

/**
 * The priced model for a provider and a model id, or null. Letter case does not count; a leading
 * `models/` or `<provider>/` is dropped, and so is one date suffix when the whole id is unknown. With
 * the provider unknown ("") the id must belong to exactly one provider of the book.
 */
export function matchModel(book: PriceBook, provider: string, model: string): PriceMatch | null {
  const cached = book.lookups.by_provider.get(provider)?.get(model);
  if (cached !== undefined) return cached;
  if (model === "" || model.length > MAX_MODEL_CHARS || provider.length > MAX_MODEL_CHARS)
    return null;
  const match = findMatch(book, provider.toLowerCase(), model.toLowerCase());
  remember(book.lookups, provider, model, match);
  return match;
}

function findMatch(book: PriceBook, provider: string, text: string): PriceMatch | null {
  const slash = text.indexOf("/");
  const prefix = slash === -1 ? "" : text.slice(0, slash);
  // With the provider unknown, a provider in front of the model is the only statement there is.
  const named = provider === "" && book.providers.has(prefix) ? prefix : provider;
  const unprefixed = prefix !== "" && prefix === named ? text.slice(slash + 1) : text;
  const id = unprefixed.startsWith("models/") ? unprefixed.slice("models/".length) : unprefixed;

  const ids = named === "" ? book.any_provider : book.providers.get(named);
  const whole = ids?.get(id);
  if (whole !== undefined) return whole;
  const undated = id.replace(DATE_SUFFIX, "");
  const dated = undated === id ? undefined : ids?.get(undated);
  return dated ? { model: dated.model, confidence: "dated" } : null;
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
