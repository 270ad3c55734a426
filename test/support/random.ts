/**
 * Random numbers for tests that are the same in every run.
 *
 * Invariant: a seed alone decides every number that follows.
 */

export interface Random {
  /** A number in [0, 1). */
  readonly next: () => number;
  /** A whole number in [0, below). */
  whole(below: number): number;
  /** An item of a list that is not empty. */
  pick<Item>(items: readonly Item[]): Item;
  /** True with the probability given. */
  chance(share: number): boolean;
  /** Random bytes, not all zero. */
  bytes(count: number): Uint8Array;
}

/** A generator from a seed (a 32-bit linear congruential step, mixed by xorshift-multiply). */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  const whole = (below: number) => Math.floor(next() * below);
  return {
    next,
    whole,
    pick: <Item>(items: readonly Item[]) => items[whole(items.length)] as Item,
    chance: (share) => next() < share,
    bytes(count) {
      const bytes = Uint8Array.from({ length: count }, () => whole(256));
      bytes[0] = (bytes[0] ?? 0) | 1;
      return bytes;
    },
  };
}
