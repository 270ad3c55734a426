/**
 * Arithmetic of decimals with twelve places, held as integers: amounts of US dollars in picodollars,
 * and shares and counts by the same measure.
 *
 * Invariant: nothing is a float; only `multiply` and `divide` round, half to even, at the last place.
 */
import { formatUsd, parseUsd, PICODOLLARS_PER_USD } from "../schemas/units.ts";
import { divideHalfEven } from "./measures.ts";

/** One, as these decimals hold it. */
export const ONE = PICODOLLARS_PER_USD;

/** The product of two decimals. */
export function multiply(a: bigint, b: bigint): bigint {
  return divideHalfEven(a * b, ONE);
}

/** The quotient of two decimals; null when the divisor is zero. */
export function divide(a: bigint, b: bigint): bigint | null {
  if (b === 0n) return null;
  return b < 0n ? divideHalfEven(-a * ONE, -b) : divideHalfEven(a * ONE, b);
}

/** A whole number as a decimal. */
export function fromWhole(count: number): bigint {
  return BigInt(count) * ONE;
}

/** Reads a decimal that a schema has checked. Throws on one with more than twelve places. */
export function readDecimal(text: string): bigint {
  const value = parseUsd(text);
  if (value === null) throw new Error("a decimal with more than twelve places");
  return value;
}

/** Writes a decimal, without zeros at its end, with at most so many places. */
export function writeDecimal(value: bigint, places = 12): string {
  const step = 10n ** BigInt(12 - places);
  return formatUsd(divideHalfEven(value, step) * step);
}
