/**
 * From summed columns to the measures of an answer: nulls where nothing was known, exact money,
 * quantiles from histograms, and the coverage that every sum carries.
 */
import type { Coverage, Latency, MeasureValues } from "../schemas/api.ts";
import {
  INPUT_CLASSES,
  OUTPUT_CLASSES,
  sumClasses,
  TOKEN_CLASSES,
  type TokenClass,
} from "../schemas/tokens.ts";
import { formatUsd, parseUsd } from "../schemas/units.ts";
import {
  COVERAGE_COLUMNS,
  HISTOGRAM_COLUMNS,
  MASK_COLUMNS,
  MEASURES,
  type MeasureName,
} from "../schemas/usage.ts";

/** A histogram as ClickHouse writes a map: bucket key to count. */
type HistogramRow = Readonly<Record<string, string>>;

/** Summed columns of one group, as the engine answers them: 64-bit numbers as strings. */
export type SumRow = Readonly<Record<string, string | number | HistogramRow>>;

/** Summed columns of one group, exact. */
export class Sums {
  readonly #counts = new Map<string, bigint>();
  readonly #histograms = new Map<string, Map<number, bigint>>();

  /** Adds a row of the engine; money columns are decimals of US dollars. */
  add(row: SumRow): void {
    for (const [name, value] of Object.entries(row)) {
      if (HISTOGRAM_COLUMNS.includes(name)) this.#addHistogram(name, value as HistogramRow);
      else if (MASK_COLUMNS.includes(name)) {
        this.#counts.set(name, this.count(name) | BigInt(value as string | number));
      } else {
        this.#counts.set(name, this.count(name) + toInteger(name, `${value as string | number}`));
      }
    }
  }

  /** A count, or picodollars of a money column; zero when the column was not asked for. */
  count(name: string): bigint {
    return this.#counts.get(name) ?? 0n;
  }

  histogram(name: string): ReadonlyMap<number, bigint> {
    return this.#histograms.get(name) ?? new Map();
  }

  #addHistogram(name: string, row: HistogramRow): void {
    const histogram = this.#histograms.get(name) ?? new Map<number, bigint>();
    for (const [key, calls] of Object.entries(row)) {
      const bucket = Number(key);
      histogram.set(bucket, (histogram.get(bucket) ?? 0n) + BigInt(calls));
    }
    this.#histograms.set(name, histogram);
  }
}

function isMoney(name: string): boolean {
  return name.startsWith("cost_") || name === "client_cost_usd";
}

function toInteger(name: string, text: string): bigint {
  if (!isMoney(name)) return BigInt(text);
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

function costOf(sums: Sums): string | null {
  if (sums.count("calls_priced") === 0n) return null;
  const fees = sums.count("cost_fees");
  return formatUsd(TOKEN_CLASSES.reduce((total, name) => total + sums.count(`cost_${name}`), fees));
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

/** One entry a measure: how its value comes from the sums. */
const READERS: { readonly [Name in MeasureName]: (sums: Sums) => MeasureValues[Name] } = {
  calls: (sums) => Number(sums.count("calls")),
  errors: (sums) => Number(sums.count("errors")),
  tokens: (sums) => {
    const tokens = tokensOf(sums);
    return perClass((_name, index) => tokens[index] ?? null);
  },
  input_total: (sums) => sumClasses(tokensOf(sums), INPUT_CLASSES),
  output_total: (sums) => sumClasses(tokensOf(sums), OUTPUT_CLASSES),
  cost_usd: costOf,
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
};

/** The measures asked for, with their coverage. */
export function readMeasures(sums: Sums, measures: readonly MeasureName[]): MeasureValues {
  const values: Record<string, unknown> = {};
  for (const name of measures) values[name] = READERS[name](sums);
  return { ...values, coverage: coverageOf(sums) };
}

/** Columns that the measures and the coverage need. */
export function columnsOf(measures: readonly MeasureName[]): string[] {
  const columns = new Set(COVERAGE_COLUMNS);
  for (const name of measures) for (const column of MEASURES[name].columns) columns.add(column);
  return [...columns];
}
