/**
 * The disjoint token classes of a model call (DESIGN section 5 rule 5).
 *
 * Disjoint: a token is in one class only, so totals are plain sums. The order is part of the
 * storage format: bit i of `usage_mask` and `priced_mask` stands for class i. Append only.
 */
export const TOKEN_CLASSES = [
  "input_uncached",
  "cache_read",
  "cache_write_5m",
  "cache_write_1h",
  "cache_write",
  "output_text",
  "output_reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
] as const;

export type TokenClass = (typeof TOKEN_CLASSES)[number];

/** Position of each class in token and cost arrays. */
export const CLASS_INDEX: Readonly<Record<TokenClass, number>> = Object.freeze(
  Object.fromEntries(TOKEN_CLASSES.map((name, index) => [name, index])),
) as Readonly<Record<TokenClass, number>>;

/** The classes that are prompt side; their sum is `input_total`. */
export const INPUT_CLASSES: readonly TokenClass[] = TOKEN_CLASSES.filter(
  (name) => name.startsWith("input_") || name.startsWith("cache_"),
);

/** The same as bits, of which bit i stands for class i. */
export const INPUT_MASK: number = INPUT_CLASSES.reduce(
  (mask, name) => mask | (1 << CLASS_INDEX[name]),
  0,
);

/** The classes that are completion side; their sum is `output_total`. */
export const OUTPUT_CLASSES: readonly TokenClass[] = TOKEN_CLASSES.filter((name) =>
  name.startsWith("output_"),
);

/**
 * The largest token count of one class that is believed, tokens. Above it the number is a broken
 * client (the largest context windows are millions) and one such row would swamp every sum.
 */
export const MAX_TOKENS_PER_CLASS = 1_000_000_000;

/** Sum of the given classes, or null when none of them is known: absent is not zero. */
export function sumClasses(
  tokens: readonly (number | null)[],
  classes: readonly TokenClass[],
): number | null {
  let total: number | null = null;
  for (const name of classes) {
    const value = tokens[CLASS_INDEX[name]];
    if (value !== null && value !== undefined) total = (total ?? 0) + value;
  }
  return total;
}
