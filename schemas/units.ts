/**
 * Units of money and time, and their text forms. Money is integer picodollars (1e-12 USD): every
 * published price per million tokens with up to six decimals is a whole number of them per token,
 * so no cost is ever rounded (DESIGN section 6).
 */

/** Picodollars in one US dollar. */
export const PICODOLLARS_PER_USD = 1_000_000_000_000n;

export const NANOSECONDS_PER_SECOND = 1_000_000_000n;

/** Formats picodollars as a decimal string of US dollars, exact, without trailing zeros. */
export function formatUsd(picodollars: bigint): string {
  const negative = picodollars < 0n;
  const digits = (negative ? -picodollars : picodollars).toString().padStart(13, "0");
  const fraction = digits.slice(-12).replace(/0+$/, "");
  const text = digits.slice(0, -12) + (fraction === "" ? "" : `.${fraction}`);
  return negative ? `-${text}` : text;
}

/**
 * Parses a decimal string of US dollars into picodollars. Null when it is not a plain decimal or
 * has more than 12 decimals: money is not rounded silently.
 */
export function parseUsd(text: string): bigint | null {
  const match = /^(-?)(\d{1,18})(?:\.(\d{1,30}))?$/.exec(text.trim());
  if (match === null) return null;
  const fraction = (match[3] ?? "").replace(/0+$/, "");
  if (fraction.length > 12) return null;
  const value = BigInt((match[2] ?? "0") + fraction.padEnd(12, "0"));
  return match[1] === "-" ? -value : value;
}

/** Formats a Unix time in nanoseconds as RFC 3339 UTC with nine decimals. */
export function formatTimestamp(unix_ns: bigint): string {
  const seconds = unix_ns / NANOSECONDS_PER_SECOND;
  const nanoseconds = unix_ns % NANOSECONDS_PER_SECOND;
  const date = new Date(Number(seconds) * 1000).toISOString();
  return `${date.slice(0, 19)}.${nanoseconds.toString().padStart(9, "0")}Z`;
}
