/**
 * From summed columns to the measures of an answer: nulls where nothing was known, exact money,
 * quantiles from histograms, and the coverage that every sum carries.
 *
 * Invariant: unknown is null and never zero.
 */
import type { Coverage, Latency, MeasureValues } from "../schemas/api-usage.ts";
import {
  CLASS_INDEX,
  INPUT_CLASSES,
  OUTPUT_CLASSES,
  sumClasses,
  TOKEN_CLASSES,
  type TokenClass,
} from "../schemas/tokens.ts";
import { formatUsd, parseUsd } from "../schemas/units.ts";
import { COVERAGE_COLUMNS, MEASURES, type MeasureName } from "../schemas/usage.ts";
import { usageColumn } from "../schemas/usage-columns.ts";

/** A map as ClickHouse writes it: bucket of a histogram, or id of a price, to a number. */
type MapRow = Readonly<Record<string, string>>;

/** Summed columns of one group, as the engine answers them: 64-bit numbers as strings. */
export type SumRow = Readonly<Record<string, string | number | MapRow>>;

/**
 * Picodollars that a token of the class costs by a row of the price book; null when it does not say.
 */
export type UnitPrices = (price_id: string, name: TokenClass) => bigint | null;

/** Summed columns of one group, exact. */
export class Sums {
  readonly #counts = new Map<string, bigint>();
  readonly #maps = new Map<string, Map<string, bigint>>();

  /** Adds a row of the engine; money columns are decimals of US dollars. */
  add(row: SumRow): void {
    for (const [name, value] of Object.entries(row)) {
      const { combine, is_money } = usageColumn(name);
      if (typeof value === "object") this.#addMap(name, value, is_money === true);
      else if (combine === "or") this.#counts.set(name, this.count(name) | BigInt(value));
      else {
        const amount = toInteger(name, `${value}`, is_money === true);
        this.#counts.set(name, this.count(name) + amount);
      }
    }
  }

  /** A count, or picodollars of a money column; zero when the column was not asked for. */
  count(name: string): bigint {
    return this.#counts.get(name) ?? 0n;
  }

  histogram(name: string): ReadonlyMap<number, bigint> {
    return new Map([...this.byPrice(name)].map(([key, calls]) => [Number(key), calls]));
  }

  /** A map column: counts, or picodollars, by its keys. */
  byPrice(name: string): ReadonlyMap<string, bigint> {
    return this.#maps.get(name) ?? new Map();
  }

  #addMap(name: string, row: MapRow, is_money: boolean): void {
    const sums = this.#maps.get(name) ?? new Map<string, bigint>();
    for (const [key, value] of Object.entries(row)) {
      sums.set(key, (sums.get(key) ?? 0n) + toInteger(name, value, is_money));
    }
    this.#maps.set(name, sums);
  }
}

function toInteger(name: string, text: string, is_money: boolean): bigint {
  if (!is_money) return BigInt(text);
  const amount = parseUsd(text);
  if (amount === null) throw new Error(`the engine answered a broken amount for ${name}`);
  return amount;
}

function hasBit(mask: bigint, index: number): boolean {
  return (mask & (1n << BigInt(index))) !== 0n;
}

function perClass<Value>(value: (name: TokenClass, index: number) => Value) {
  return Object.fromEntries(
    TOKEN_CLASSES.map((name, index) => [name, value(name, index)]),
  ) as Record<TokenClass, Value>;
}

function tokensOf(sums: Sums): (number | null)[] {
  const mask = sums.count("usage_mask");
  return TOKEN_CLASSES.map((name, index) =>
    hasBit(mask, index) ? Number(sums.count(`tokens_${name}`)) : null,
  );
}

/** How far the sums can be trusted. */
export function coverageOf(sums: Sums): Coverage {
  let known = 0n;
  for (const name of TOKEN_CLASSES) known += sums.count(`tokens_${name}`);
  const priced = known - sums.count("tokens_unpriced");
  return {
    calls: Number(sums.count("calls")),
    calls_missing_usage: Number(sums.count("calls_missing_usage")),
    calls_estimated: Number(sums.count("calls_estimated")),
    calls_unpriced: Number(sums.count("calls_unpriced")),
    tokens_priced_share: known === 0n ? null : Number(priced) / Number(known),
  };
}

function picodollarsOf(sums: Sums): bigint {
  const fees = sums.count("cost_fees");
  return TOKEN_CLASSES.reduce((total, name) => total + sums.count(`cost_${name}`), fees);
}

/** The quotient to the nearest whole number, halves to the even one; the divisor is positive. */
export function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  const isNegative = dividend < 0n;
  const size = isNegative ? -dividend : dividend;
  const whole = size / divisor;
  const twice = (size % divisor) * 2n;
  const up = twice > divisor || (twice === divisor && whole % 2n === 1n);
  const rounded = up ? whole + 1n : whole;
  return isNegative ? -rounded : rounded;
}

/** Money for each of a number of things, rounded half to even at 12 decimals; null for none. */
function costEach(picodollars: bigint, things: bigint): string | null {
  return things === 0n ? null : formatUsd(divideHalfEven(picodollars, things));
}

function shareOf(part: bigint, whole: bigint): number | null {
  return whole === 0n ? null : Number(part) / Number(whole);
}

/**
 * The value below which the share of calls lies, ns: the geometric middle of the histogram bucket it
 * falls in. Bucket k holds values above 2^((k-1)/16) up to 2^(k/16), so it is at most 2.2 % off.
 */
export function quantileOf(histogram: ReadonlyMap<number, bigint>, share: number): number | null {
  const buckets = [...histogram].sort(([a], [b]) => a - b);
  const total = buckets.reduce((sum, [, calls]) => sum + Number(calls), 0);
  const rank = share * total;
  let seen = 0;
  for (const [bucket, calls] of buckets) {
    seen += Number(calls);
    if (seen >= rank) return bucket <= 0 ? 0 : Math.round(2 ** ((bucket - 0.5) / 16));
  }
  return null;
}

function latencyOf(sums: Sums, name: "duration" | "ttft", calls: bigint): Latency {
  const histogram = sums.histogram(`${name}_histogram`);
  const mean = calls === 0n ? null : Number(sums.count(`${name}_ns_sum`) / calls);
  return {
    calls: Number(calls),
    mean_ns: mean,
    p50_ns: quantileOf(histogram, 0.5),
    p90_ns: quantileOf(histogram, 0.9),
    p95_ns: quantileOf(histogram, 0.95),
    p99_ns: quantileOf(histogram, 0.99),
  };
}

const CACHE_WRITE_CLASSES = ["cache_write_5m", "cache_write_1h", "cache_write"] as const;

/**
 * What priced cache tokens would have cost uncached less what they cost, picodollars; null when none
 * has a price, or none whose row of the price book says what uncached tokens cost.
 */
function cacheDifference(
  sums: Sums,
  side: "cache_read" | "cache_write",
  classes: readonly TokenClass[],
  prices: UnitPrices,
): bigint | null {
  const mask = sums.count("priced_mask");
  if (!classes.some((name) => hasBit(mask, CLASS_INDEX[name]))) return null;
  const costs = sums.byPrice(`${side}_cost_by_price`);
  let difference = 0n;
  let is_known = true;
  let has_known = false;
  for (const [price_id, tokens] of sums.byPrice(`${side}_tokens_by_price`)) {
    if (tokens === 0n) continue;
    const uncached = prices(price_id, "input_uncached");
    if (uncached === null) is_known = false;
    else {
      difference += tokens * uncached - (costs.get(price_id) ?? 0n);
      has_known = true;
    }
  }
  return is_known || has_known ? difference : null;
}

function secondsPace(tokens: number | null, duration_ns: bigint): number | null {
  return tokens === null || duration_ns === 0n ? null : (tokens / Number(duration_ns)) * 1e9;
}

type Reader<Name extends MeasureName> = (
  sums: Sums,
  prices: UnitPrices,
) => Exclude<MeasureValues[Name], undefined>;

/** One entry a measure: how its value comes from the sums. */
const READERS: { readonly [Name in MeasureName]: Reader<Name> } = {
  calls: (sums) => Number(sums.count("calls")),
  errors: (sums) => Number(sums.count("errors")),
  tokens: (sums) => {
    const tokens = tokensOf(sums);
    return perClass((_name, index) => tokens[index] ?? null);
  },
  input_total: (sums) => sumClasses(tokensOf(sums), INPUT_CLASSES),
  output_total: (sums) => sumClasses(tokensOf(sums), OUTPUT_CLASSES),
  cost_usd: (sums) => (sums.count("calls_priced") === 0n ? null : formatUsd(picodollarsOf(sums))),
  cost: (sums) => {
    const mask = sums.count("priced_mask");
    return perClass((name, index) =>
      hasBit(mask, index) ? formatUsd(sums.count(`cost_${name}`)) : null,
    );
  },
  fees_usd: (sums) =>
    sums.count("fees_priced_calls") === 0n ? null : formatUsd(sums.count("cost_fees")),
  client_cost_usd: (sums) =>
    sums.count("client_cost_calls") === 0n ? null : formatUsd(sums.count("client_cost_usd")),
  duration: (sums) => latencyOf(sums, "duration", sums.count("calls")),
  ttft: (sums) => latencyOf(sums, "ttft", sums.count("ttft_calls")),
  error_rate: (sums) => shareOf(sums.count("errors"), sums.count("calls")),
  cost_per_call_usd: (sums) => costEach(picodollarsOf(sums), sums.count("calls_priced")),
  cost_per_user_usd: (sums) => costEach(sums.count("cost_of_users"), sums.count("priced_users")),
  cost_per_session_usd: (sums) =>
    costEach(sums.count("cost_of_sessions"), sums.count("priced_sessions")),
  cost_per_1k_output_tokens_usd: (sums) =>
    costEach(picodollarsOf(sums) * 1000n, sums.count("tokens_output_priced")),
  output_tokens_per_second: (sums) =>
    secondsPace(sumClasses(tokensOf(sums), OUTPUT_CLASSES), sums.count("duration_ns_sum")),
  cache_hit_share: (sums) => {
    const tokens = tokensOf(sums);
    const read = tokens[CLASS_INDEX.cache_read] ?? null;
    const input = sumClasses(tokens, INPUT_CLASSES);
    return read === null || input === null ? null : shareOf(BigInt(read), BigInt(input));
  },
  cache_savings_usd: (sums, prices) => {
    const difference = cacheDifference(sums, "cache_read", ["cache_read"], prices);
    return difference === null ? null : formatUsd(difference);
  },
  cache_write_surcharge_usd: (sums, prices) => {
    const difference = cacheDifference(sums, "cache_write", CACHE_WRITE_CLASSES, prices);
    return difference === null ? null : formatUsd(-difference);
  },
  unique_users: (sums) => Number(sums.count("unique_users")),
  sessions: (sums) => Number(sums.count("unique_sessions")),
};

/** The measures asked for, with their coverage. Without prices what the cache saved is not known. */
export function readMeasures(
  sums: Sums,
  measures: readonly MeasureName[],
  prices: UnitPrices = () => null,
): MeasureValues {
  const values: Record<string, unknown> = {};
  for (const name of measures) values[name] = READERS[name](sums, prices);
  return { ...values, coverage: coverageOf(sums) };
}

/** Columns that the measures and the coverage need. */
export function columnsOf(measures: readonly MeasureName[]): string[] {
  const columns = new Set(COVERAGE_COLUMNS);
  for (const name of measures) for (const column of MEASURES[name].columns) columns.add(column);
  return [...columns];
}

/** Whether the value over all groups is more than the sum of theirs: who is in two counts once. */
export function isDistinct(measures: readonly MeasureName[]): boolean {
  return columnsOf(measures).some((name) => usageColumn(name).combine === "distinct");
}
