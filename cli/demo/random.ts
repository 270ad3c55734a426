/**
 * Repeatable chance: everything random in the demo is drawn from one seeded source, so the same
 * seed gives the same traffic on every machine.
 *
 * Invariant: each function draws a fixed number of times, so that a change of one value does not
 * shift those that follow.
 */

/** Draws from [0, 1). */
export type Random = () => number;

/** Mulberry32, a 32-bit generator: ample for a demo, useless for secrets. */
export function seedRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** True for the given share of draws, 0 to 1. */
export function happens(random: Random, share: number): boolean {
  return random() < share;
}

/** A whole number from low to high, both included. */
export function drawInteger(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}

/** One item of a list that is not empty. */
export function drawOne<Item>(random: Random, items: readonly [Item, ...Item[]]): Item {
  return items[Math.floor(random() * items.length)] ?? items[0];
}

/** One item, as often as its weight says. */
export function drawWeighted<Item extends { readonly weight: number }>(
  random: Random,
  items: readonly [Item, ...Item[]],
): Item {
  let rest = random() * items.reduce((sum, item) => sum + item.weight, 0);
  for (const item of items) {
    rest -= item.weight;
    if (rest < 0) return item;
  }
  return items[0];
}

/** A standard normal variable (Box-Muller; one of the pair). */
export function drawNormal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return radius * Math.cos(2 * Math.PI * random());
}

/** A distribution with a long tail to the right, as sizes and latencies have. */
export interface LogNormal {
  readonly median: number;
  /** Spread: about two thirds of the draws lie within a factor e^sigma of the median. */
  readonly sigma: number;
  /** Nothing above it is drawn; in the unit of the median. */
  readonly maximum: number;
}

/** A draw from a log-normal distribution, cut at its maximum. */
export function drawLogNormal(random: Random, { median, sigma, maximum }: LogNormal): number {
  return Math.min(median * Math.exp(sigma * drawNormal(random)), maximum);
}

/** The same, as a whole number of at least 1: tokens. */
export function drawTokens(random: Random, distribution: LogNormal): number {
  return Math.max(1, Math.round(drawLogNormal(random, distribution)));
}
