/**
 * Numbers for people. Money is read as decimal text and never as a float.
 *
 * Invariant: unknown is a dash, zero is zero, and every number has its unit.
 */

export const UNKNOWN = "–";

/** Units that axes, columns and figures have. */
export type Unit =
  | "usd"
  | "calls"
  | "tokens"
  | "ns"
  | "share"
  | "per_second"
  | "per_minute"
  | "bytes"
  | "count";

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", {
  notation: "compact",
  maximumFractionDigits: 2,
  minimumFractionDigits: 0,
});
const decimals = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

/** The nearest whole number of units of ten to the minus `places`, halves to the even one. */
function roundDecimal(digits: bigint, places_of: number, places: number): bigint {
  if (places_of <= places) return digits * 10n ** BigInt(places - places_of);
  const divisor = 10n ** BigInt(places_of - places);
  const [whole, rest] = [digits / divisor, digits % divisor];
  return rest * 2n > divisor || (rest * 2n === divisor && whole % 2n === 1n) ? whole + 1n : whole;
}

/**
 * US dollars from decimal text: cents from ten cents on, below that as many places as show three digits.
 * Nothing is computed in floats.
 */
export function showUsd(text: string | null | undefined): string {
  if (text === null || text === undefined) return UNKNOWN;
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null) return text;
  const [, sign = "", whole = "0", fraction = ""] = match;
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return "$0.00";
  const leading = whole === "0" ? (/^0*/.exec(fraction)?.[0].length ?? 0) : 0;
  const is_small = whole === "0" && leading > 0;
  const places = is_small ? Math.max(2, Math.min(leading + 3, fraction.length)) : 2;
  const rounded = roundDecimal(digits, fraction.length, places)
    .toString()
    .padStart(places + 1, "0");
  const units = grouped.format(BigInt(rounded.slice(0, -places)));
  const cents = rounded.slice(-places).replace(/^(\d\d.*?)0+$/, "$1");
  return `${sign === "" ? "" : "−"}$${units}.${cents}`;
}

/** US dollars for axes and tight places: "$1.23K". */
export function showUsdShort(value: number): string {
  const size = Math.abs(value);
  const text =
    size >= 1000
      ? short.format(size)
      : size >= 0.1
        ? size.toFixed(2).replace(/\.00$/, "")
        : decimals.format(size);
  return `${value < 0 ? "−" : ""}$${text}`;
}

/** A whole number with its thousands apart. */
export function showCount(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : grouped.format(value);
}

/** A number for axes and tiles: "1.23M". */
export function showShort(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  return Math.abs(value) < 10_000 ? grouped.format(value) : short.format(value);
}

const DURATIONS = [
  [86_400e9, "d", 1],
  [3_600e9, "h", 1],
  [60e9, "min", 1],
  [1e9, "s", 2],
  [1e6, "ms", 0],
  [1e3, "µs", 0],
] as const;

/** A duration in the unit that people would say: "1.24 s". */
export function showDuration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined) return UNKNOWN;
  if (ns < 0) return `−${showDuration(-ns)}`;
  for (const [size, unit, places] of DURATIONS) {
    // 60 s reads better as seconds up to two minutes, and so on.
    if (ns >= size * (size >= 60e9 ? 2 : 1)) return `${(ns / size).toFixed(places)} ${unit}`;
  }
  return `${ns} ns`;
}

/** A share of one as per cent: "12.3 %". */
export function showShare(share: number | null | undefined): string {
  if (share === null || share === undefined) return UNKNOWN;
  if (share === 0 || share === 1) return `${share * 100} %`;
  const percent = share * 100;
  if (percent < 0.1) return "< 0.1 %";
  if (percent > 99.9 && percent < 100) return "> 99.9 %";
  return `${percent.toFixed(1)} %`;
}

/** A change as a share of what was before: "+12.3 %". */
export function showChange(share: number | null | undefined): string {
  if (share === null || share === undefined) return UNKNOWN;
  const sign = share > 0 ? "+" : share < 0 ? "−" : "±";
  const size = Math.abs(share) * 100;
  return `${sign}${size >= 1000 ? grouped.format(size) : size.toFixed(1)} %`;
}

/** A rate or a mean, with three digits or all whole ones: "0.0123", "63.5", "1,234". */
export function showRate(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  return Math.abs(value) >= 100 ? grouped.format(value) : decimals.format(value);
}

/** Bytes: "1.2 GiB". */
export function showBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const index = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${index === 0 ? bytes : (bytes / 1024 ** index).toFixed(1)} ${units[index]}`;
}

/** A number of the unit for an axis or a tooltip. */
export function showUnit(value: number | null, unit: Unit): string {
  if (value === null) return UNKNOWN;
  return SHOW_UNIT[unit](value);
}

const SHOW_UNIT: Readonly<Record<Unit, (value: number) => string>> = {
  usd: showUsdShort,
  calls: (value) => `${showShort(value)} ${value === 1 ? "call" : "calls"}`,
  tokens: (value) => `${showShort(value)} ${value === 1 ? "token" : "tokens"}`,
  ns: showDuration,
  share: showShare,
  per_second: (value) => `${showRate(value)}/s`,
  per_minute: (value) => `${showRate(value)}/min`,
  bytes: showBytes,
  count: showShort,
};

/** A number of the unit for the labels of an axis, where the title says the unit. */
export function showTickOf(value: number, unit: Unit): string {
  if (unit === "calls" || unit === "tokens") return showShort(value);
  // "15.00 s" says no more on an axis than "15 s".
  return showUnit(value, unit).replace(/\.0+ /, " ");
}
