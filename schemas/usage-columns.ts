/**
 * Columns that measures are computed from: those that every usage table has are named as there, others
 * are made of them, and each says how the columns of two groups become the column of both.
 *
 * Invariant: whatever rows a group is read from, combining them gives the same.
 */
import { CLASS_INDEX, OUTPUT_CLASSES, TOKEN_CLASSES, type TokenClass } from "./tokens.ts";

/**
 * How values of two groups become one: `sum`; `or` of bits; `histogram` and `by_price`, maps added key
 * by key; `distinct` counts different texts, and only the engine can combine it.
 */
export type Combination = "sum" | "or" | "histogram" | "by_price" | "distinct";

export interface UsageColumn {
  readonly combine: Combination;
  /** SQL over the columns of a source; the column of the same name when it is not given. */
  readonly sql?: string;
  /** True for decimals of US dollars. */
  readonly is_money?: boolean;
}

const COST_OF_CALLS = [...TOKEN_CLASSES.map((name) => `cost_${name}`), "cost_fees"].join(" + ");
const CACHE_WRITE_CLASSES = ["cache_write_5m", "cache_write_1h", "cache_write"] as const;

/** Tokens or costs of classes that have a price, by the row of the price book. */
function byPrice(prefix: "tokens" | "cost", classes: readonly TokenClass[]): UsageColumn {
  const zero = prefix === "tokens" ? "toUInt64(0)" : "toDecimal128(0, 12)";
  const amounts = classes.map(
    (name) => `if(bitTest(priced_mask, ${CLASS_INDEX[name]}), ${prefix}_${name}, ${zero})`,
  );
  const type = prefix === "tokens" ? "UInt64" : "Decimal(38, 12)";
  return {
    combine: "by_price",
    is_money: prefix === "cost",
    sql: `CAST(map(toString(price_id), ${amounts.join(" + ")}), 'Map(String, ${type})')`,
  };
}

/** Columns that are not plain sums of a column of the same name. */
const SPECIAL_COLUMNS: Readonly<Record<string, UsageColumn>> = {
  usage_mask: { combine: "or" },
  priced_mask: { combine: "or" },
  duration_histogram: { combine: "histogram" },
  ttft_histogram: { combine: "histogram" },
  unique_users: { combine: "distinct", sql: "user_id" },
  unique_sessions: { combine: "distinct", sql: "session_id" },
  priced_users: { combine: "distinct", sql: "if(calls_priced > 0, user_id, '')" },
  priced_sessions: { combine: "distinct", sql: "if(calls_priced > 0, session_id, '')" },
  cost_of_users: {
    combine: "sum",
    is_money: true,
    sql: `if(user_id = '', toDecimal128(0, 12), ${COST_OF_CALLS})`,
  },
  cost_of_sessions: {
    combine: "sum",
    is_money: true,
    sql: `if(session_id = '', toDecimal128(0, 12), ${COST_OF_CALLS})`,
  },
  tokens_output_priced: {
    combine: "sum",
    sql: `if(price_id = '', toUInt64(0), ${OUTPUT_CLASSES.map((name) => `tokens_${name}`).join(" + ")})`,
  },
  cache_read_tokens_by_price: byPrice("tokens", ["cache_read"]),
  cache_read_cost_by_price: byPrice("cost", ["cache_read"]),
  cache_write_tokens_by_price: byPrice("tokens", CACHE_WRITE_CLASSES),
  cache_write_cost_by_price: byPrice("cost", CACHE_WRITE_CLASSES),
};

/** What a column is; one that is not special is a sum. */
export function usageColumn(name: string): UsageColumn {
  const special = Object.hasOwn(SPECIAL_COLUMNS, name) ? SPECIAL_COLUMNS[name] : undefined;
  if (special !== undefined) return special;
  return { combine: "sum", is_money: name.startsWith("cost_") || name === "client_cost_usd" };
}

/** Columns of the cost of a call, fees included. */
export const COST_COLUMNS: readonly string[] = [
  ...TOKEN_CLASSES.map((name) => `cost_${name}`),
  "cost_fees",
];

/** Columns that every answer needs for its coverage. */
export const COVERAGE_COLUMNS: readonly string[] = [
  "calls",
  "calls_missing_usage",
  "calls_estimated",
  "calls_unpriced",
  "calls_priced",
  "tokens_unpriced",
  ...TOKEN_CLASSES.map((name) => `tokens_${name}`),
];

/** Columns that are combined by OR. */
export const MASK_COLUMNS: readonly string[] = ["usage_mask", "priced_mask"];
/** Columns that are histograms: maps of counts. */
export const HISTOGRAM_COLUMNS: readonly string[] = ["duration_histogram", "ttft_histogram"];
