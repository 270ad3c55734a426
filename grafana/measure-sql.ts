/**
 * The measures of `schemas/measures.ts` as SQL over summed columns: what `query-api/measures.ts` computes
 * in TypeScript, for the panels that ask ClickHouse themselves.
 *
 * Invariant: to the last digit the value that the API answers (grafana/same-number.test.ts holds every
 * measure against it); unknown is NULL and never zero.
 */
import { fieldsOfMeasure, MEASURE_NAMES, type MeasureName, MEASURES } from "../schemas/measures.ts";
import {
  CLASS_INDEX,
  INPUT_CLASSES,
  OUTPUT_CLASSES,
  TOKEN_CLASSES,
  type TokenClass,
} from "../schemas/tokens.ts";
import { COST_COLUMNS, COVERAGE_COLUMNS } from "../schemas/usage-columns.ts";

/** Name of the sub-select of sums that every expression of this file is over. */
const SUMS = "sums";

function column(name: string): string {
  return `${SUMS}.${name}`;
}

/** Sums of several columns that many measures need, made for each row: statements stay short. */
export const DERIVED_COLUMNS: Readonly<Record<string, string>> = {
  cost_total: COST_COLUMNS.join(" + "),
  tokens_total: TOKEN_CLASSES.map((name) => `tokens_${name}`).join(" + "),
};

function maskOf(classes: readonly TokenClass[]): number {
  return classes.reduce((mask, name) => mask | (1 << CLASS_INDEX[name]), 0);
}

/** The value where the condition holds, else NULL. */
function nullUnless(condition: string, value: string): string {
  return `if(${condition}, ${value}, NULL)`;
}

function tokensOf(name: TokenClass): string {
  return nullUnless(
    `bitTest(${column("usage_mask")}, ${CLASS_INDEX[name]})`,
    column(`tokens_${name}`),
  );
}

/** Tokens of several classes; NULL when no call reported any of them. */
function totalOf(classes: readonly TokenClass[]): string {
  const known = classes.map(
    (name) =>
      `${column(`tokens_${name}`)} * bitTest(${column("usage_mask")}, ${CLASS_INDEX[name]})`,
  );
  return nullUnless(
    `bitAnd(${column("usage_mask")}, ${maskOf(classes)}) != 0`,
    `(${known.join(" + ")})`,
  );
}

/** US dollars as whole picodollars: the engine's decimals have 12 digits. */
function picodollars(usd: string): string {
  return `toInt256(toDecimal256(${usd}, 12) * toDecimal256('1000000000000', 0))`;
}

/**
 * Money for each of a number of things, rounded half to even at 12 decimals; NULL for none. The engine
 * divides decimals by cutting off, so it is done in whole picodollars.
 */
function costEach(usd: string, things: string, thousands = 1): string {
  const dividend = `(${picodollars(usd)} * ${thousands})`;
  // The branch that is not taken must not divide by zero either.
  const divisor = `greatest(${things}, 1)`;
  const size = `abs(${dividend})`;
  const whole = `intDiv(${size}, ${divisor})`;
  const twice = `(${size} % ${divisor} * 2)`;
  const up = `(${twice} > ${divisor} OR (${twice} = ${divisor} AND ${whole} % 2 = 1))`;
  const rounded = `toInt256(sign(${dividend}) * (${whole} + ${up}))`;
  const exact = `CAST(toDecimal256(${rounded}, 0) * toDecimal256('0.000000000001', 12), 'Decimal(38, 12)')`;
  return nullUnless(`${things} > 0`, exact);
}

/**
 * The value below which the share of calls lies, ns: the geometric middle of the bucket of the histogram
 * (a Map from bucket to calls, in the order of the buckets) that it falls in.
 */
function quantileOf(histogram: string, share: number): string {
  const calls = `mapValues(${histogram})`;
  const place = `arrayFirstIndex(seen -> seen >= ${share} * arraySum(${calls}), arrayCumSum(${calls}))`;
  const bucket = `mapKeys(${histogram})[${place}]`;
  // Rounded as Math.round does: from 2^52 on one half cannot be added.
  const middle = `arrayMap(ns -> toUInt64(ns) + (ns - floor(ns) >= 0.5), [pow(2, (${bucket} - 0.5) / 16)])[1]`;
  return nullUnless(`notEmpty(${histogram})`, `if(${bucket} <= 0, 0, ${middle})`);
}

const SHARES: Readonly<Record<string, number>> = {
  p50_ns: 0.5,
  p90_ns: 0.9,
  p95_ns: 0.95,
  p99_ns: 0.99,
};

function latencyOf(name: "duration" | "ttft", field: string): string {
  const calls = column(name === "duration" ? "calls" : "ttft_calls");
  if (field === "calls") return calls;
  if (field === "mean_ns") {
    return nullUnless(`${calls} > 0`, `intDiv(${column(`${name}_ns_sum`)}, greatest(${calls}, 1))`);
  }
  return quantileOf(column(`${name}_histogram`), SHARES[field] ?? 0.5);
}

/**
 * Unit prices of uncached input tokens by the row of the price book, US dollars a token: what cached
 * tokens would have cost. Read once a statement.
 */
const UNCACHED_PRICES =
  "(SELECT mapFromArrays(groupArray(price_id), groupArray(usd_per_token['input_uncached'])) FROM unit_prices FINAL WHERE mapContains(usd_per_token, 'input_uncached'))";

/**
 * What priced cache tokens would have cost uncached less what they cost; NULL when none has a price, or
 * none whose row of the price book says what uncached tokens cost.
 */
function cacheDifference(
  side: "cache_read" | "cache_write",
  classes: readonly TokenClass[],
  sign: "" | "-",
): string {
  const tokens = column(`${side}_tokens_by_price`);
  const costs = column(`${side}_cost_by_price`);
  const ids = `arrayFilter(id -> ${tokens}[id] > 0, mapKeys(${tokens}))`;
  const known = `arrayFilter(id -> mapContains(${UNCACHED_PRICES}, id), ${ids})`;
  const difference = `arraySum(arrayMap(id -> toDecimal128(${tokens}[id] * ${UNCACHED_PRICES}[id], 12) - ${costs}[id], ${known}))`;
  const is_priced = `bitAnd(${column("priced_mask")}, ${maskOf(classes)}) != 0`;
  return nullUnless(
    `${is_priced} AND (empty(${ids}) OR notEmpty(${known}))`,
    `${sign}${difference}`,
  );
}

const CACHE_WRITE_CLASSES = ["cache_write_5m", "cache_write_1h", "cache_write"] as const;

/** One entry a measure; those with fields are given one. */
const EXPRESSIONS: Readonly<Record<MeasureName, (field: string) => string>> = {
  calls: () => column("calls"),
  errors: () => column("errors"),
  tokens: (field) => tokensOf(field as TokenClass),
  input_total: () => totalOf(INPUT_CLASSES),
  output_total: () => totalOf(OUTPUT_CLASSES),
  cost_usd: () => nullUnless(`${column("calls_priced")} > 0`, column("cost_total")),
  cost: (field) =>
    nullUnless(
      `bitTest(${column("priced_mask")}, ${CLASS_INDEX[field as TokenClass]})`,
      column(`cost_${field}`),
    ),
  fees_usd: () => nullUnless(`${column("fees_priced_calls")} > 0`, column("cost_fees")),
  client_cost_usd: () =>
    nullUnless(`${column("client_cost_calls")} > 0`, column("client_cost_usd")),
  duration: (field) => latencyOf("duration", field),
  ttft: (field) => latencyOf("ttft", field),
  error_rate: () =>
    nullUnless(`${column("calls")} > 0`, `${column("errors")} / ${column("calls")}`),
  cost_per_call_usd: () => costEach(column("cost_total"), column("calls_priced")),
  cost_per_user_usd: () => costEach(column("cost_of_users"), column("priced_users")),
  cost_per_session_usd: () => costEach(column("cost_of_sessions"), column("priced_sessions")),
  cost_per_1k_output_tokens_usd: () =>
    costEach(column("cost_total"), column("tokens_output_priced"), 1000),
  output_tokens_per_second: () =>
    nullUnless(
      `${column("duration_ns_sum")} > 0`,
      `${totalOf(OUTPUT_CLASSES)} / ${column("duration_ns_sum")} * 1e9`,
    ),
  cache_hit_share: () => {
    const input = totalOf(INPUT_CLASSES);
    return nullUnless(`${input} > 0`, `${tokensOf("cache_read")} / ${input}`);
  },
  cache_savings_usd: () => cacheDifference("cache_read", ["cache_read"], ""),
  cache_write_surcharge_usd: () => cacheDifference("cache_write", CACHE_WRITE_CLASSES, "-"),
  unique_users: () => column("unique_users"),
  sessions: () => column("unique_sessions"),
};

/**
 * SQL of a measure over summed columns; of one that is an object (`fieldsOfMeasure`), of one of its
 * fields. Money is an exact Decimal(38, 12) of US dollars, other units as `MEASURES` says. Throws for a
 * field that the measure does not have, or for one that is missing.
 */
export function measureSql(name: MeasureName, field?: string): string {
  const fields = fieldsOfMeasure(name);
  const isKnown = field === undefined ? fields.length === 0 : fields.includes(field);
  if (!isKnown) {
    throw new Error(`${name} has the fields ${fields.join(", ") || "(none)"}: name one of them`);
  }
  return EXPRESSIONS[name](field ?? "");
}

/** What a coverage says, see `Coverage` of schemas/api-usage.ts. */
export const COVERAGE_NAMES = [
  "calls_missing_usage",
  "calls_estimated",
  "calls_unpriced",
  "tokens_priced_share",
] as const;
export type CoverageName = (typeof COVERAGE_NAMES)[number];

/** SQL of a part of the coverage over summed columns; the share is 0 to 1, NULL without tokens. */
export function coverageSql(name: CoverageName): string {
  if (name !== "tokens_priced_share") return column(name);
  const known = column("tokens_total");
  return nullUnless(`${known} > 0`, `(${known} - ${column("tokens_unpriced")}) / ${known}`);
}

/** Every column that a measure or the coverage is computed from. */
const KNOWN_COLUMNS: readonly string[] = [
  ...Object.keys(DERIVED_COLUMNS),
  ...new Set([...COVERAGE_COLUMNS, ...MEASURE_NAMES.flatMap((name) => MEASURES[name].columns)]),
];

/** The columns that expressions of this file name. */
export function columnsIn(expressions: readonly string[]): string[] {
  const text = expressions.join("\n");
  return KNOWN_COLUMNS.filter((name) => new RegExp(`\\b${SUMS}\\.${name}\\b`).test(text));
}
