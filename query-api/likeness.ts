/**
 * How alike two names are: by pairs of letters, without their order of words. For hints to people.
 *
 * Invariant: pure, and bounded by the lengths of the names.
 */

/** Characters of a name that are looked at. */
const MAX_CHARS = 256;

/** The pairs of letters of a name, each as often as it stands there. */
export function pairsOf(name: string): ReadonlyMap<string, number> {
  const text = ` ${name.slice(0, MAX_CHARS).toLowerCase()} `;
  const pairs = new Map<string, number>();
  for (let index = 0; index + 1 < text.length; index += 1) {
    const pair = text.slice(index, index + 2);
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  return pairs;
}

function sizeOf(pairs: ReadonlyMap<string, number>): number {
  return [...pairs.values()].reduce((sum, count) => sum + count, 0);
}

/** How alike two names are by their pairs, 0 to 1 (Dice's coefficient). */
export function likeness(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  let shared = 0;
  for (const [pair, count] of a) shared += Math.min(count, b.get(pair) ?? 0);
  const size = sizeOf(a) + sizeOf(b);
  return size === 0 ? 0 : (2 * shared) / size;
}
