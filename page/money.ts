/**
 * Exact arithmetic of decimals, for what the page adds up itself: running totals, cells of a heat map, the
 * lines of a bill.
 *
 * Invariant: an amount never passes through a float; a share is a number for people, and null without a
 * whole.
 */

/** Places behind the point that the API gives at most: picodollars. */
const PLACES = 12;
const SCALE = 10n ** BigInt(PLACES);

type Amount = string | null | undefined;

/** Decimal text as whole picodollars; null for null and for what is no decimal of at most 12 places. */
export function toPicos(text: Amount): bigint | null {
  const match = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(text ?? "");
  if (match === null) return null;
  const [, sign = "", whole = "0", fraction = ""] = match;
  const size = BigInt(whole) * SCALE + BigInt(fraction.padEnd(PLACES, "0"));
  return sign === "" ? size : -size;
}

/** Picodollars as decimal text without needless zeros. */
export function fromPicos(picos: bigint): string {
  const size = picos < 0n ? -picos : picos;
  const fraction = (size % SCALE).toString().padStart(PLACES, "0").replace(/0+$/, "");
  const text = fraction === "" ? String(size / SCALE) : `${size / SCALE}.${fraction}`;
  return picos < 0n ? `-${text}` : text;
}

/** The sum of what is known; null when nothing is. */
export function addUsd(...texts: readonly Amount[]): string | null {
  const known = texts.map(toPicos).filter((picos) => picos !== null);
  return known.length === 0 ? null : fromPicos(known.reduce((sum, picos) => sum + picos, 0n));
}

/** The first less the second; null when one of them is not known. */
export function subtractUsd(from: Amount, less: Amount): string | null {
  const [a, b] = [toPicos(from), toPicos(less)];
  return a === null || b === null ? null : fromPicos(a - b);
}

/** A part as a share of a whole; null when one is not known, or the whole is nothing. */
export function shareOfUsd(part: Amount, whole: Amount): number | null {
  const [a, b] = [toPicos(part), toPicos(whole)];
  return a === null || b === null || b === 0n ? null : Number(a) / Number(b);
}

/** What is more than before, as a share of before; null without something to compare with. */
export function changeOfUsd(now: Amount, before: Amount): number | null {
  return shareOfUsd(subtractUsd(now, before), before);
}

/** Whether an amount is zero or not known. */
export function isNothing(amount: Amount): boolean {
  return (toPicos(amount) ?? 0n) === 0n;
}
