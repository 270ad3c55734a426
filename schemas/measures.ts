/**
 * What can be asked of usage: each measure with its unit, when it is null, the columns it is computed
 * from and the tables that can answer it.
 *
 * Invariant: a measure has one definition, here; routes choose among them and never add their own.
 */
import { EVERYWHERE_BUT_USERS, USAGE_SOURCES, type UsageSource } from "./dimensions.ts";
import { INPUT_CLASSES, OUTPUT_CLASSES, TOKEN_CLASSES } from "./tokens.ts";
import { COST_COLUMNS } from "./usage-columns.ts";

export const UNITS = [
  "calls",
  "tokens",
  "USD",
  "ns",
  "share",
  "tokens/s",
  "users",
  "sessions",
] as const;
export type Unit = (typeof UNITS)[number];

export interface Measure {
  /** Columns of `usage-columns.ts` that it is computed from, beside those of the coverage. */
  readonly columns: readonly string[];
  readonly sources: readonly UsageSource[];
  readonly unit: Unit;
  readonly description: string;
  /** When the value is null. */
  readonly null_when: string;
  /** Columns whose sum, or the one column whose count, ranks groups by it; left out: it ranks none. */
  readonly rank?: readonly string[];
  /** False when the measure is only given to those who ask for it by name. */
  readonly is_default: boolean;
}

const ALL_SOURCES: readonly UsageSource[] = USAGE_SOURCES;
const BY_CALL: readonly UsageSource[] = ["usage_calls"];
const BY_USER: readonly UsageSource[] = ["usage_calls", "usage_user_day"];
const columnsFor = (classes: readonly string[]) => classes.map((name) => `tokens_${name}`);

/** Measures that answers have when none is named. */
const DEFAULT_MEASURES = {
  calls: {
    columns: [],
    sources: ALL_SOURCES,
    unit: "calls",
    description: "Model calls.",
    null_when: "never",
    rank: ["calls"],
    is_default: true,
  },
  errors: {
    columns: ["errors"],
    sources: ALL_SOURCES,
    unit: "calls",
    description: "Calls that failed.",
    null_when: "never",
    rank: ["errors"],
    is_default: true,
  },
  tokens: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    unit: "tokens",
    description: "Tokens by disjoint class; null when no call reported the class.",
    null_when: "no call reported the class",
    rank: columnsFor(TOKEN_CLASSES),
    is_default: true,
  },
  input_total: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    unit: "tokens",
    description: "Tokens of the prompts: the sum of the input and cache classes.",
    null_when: "no call reported a class of the prompt",
    rank: columnsFor(INPUT_CLASSES),
    is_default: true,
  },
  output_total: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    unit: "tokens",
    description: "Tokens of the answers: the sum of the output classes.",
    null_when: "no call reported a class of the answer",
    rank: columnsFor(OUTPUT_CLASSES),
    is_default: true,
  },
  cost_usd: {
    columns: COST_COLUMNS,
    sources: ALL_SOURCES,
    unit: "USD",
    description: "US dollars, exact, fees included; null when no call could be priced.",
    null_when: "no call could be priced",
    rank: COST_COLUMNS,
    is_default: true,
  },
  cost: {
    columns: ["priced_mask", ...TOKEN_CLASSES.map((name) => `cost_${name}`)],
    sources: ALL_SOURCES,
    unit: "USD",
    description: "US dollars by token class, exact; null when no call had a price for the class.",
    null_when: "no call had a price for the class",
    is_default: true,
  },
  fees_usd: {
    columns: ["cost_fees", "fees_priced_calls"],
    sources: ALL_SOURCES,
    unit: "USD",
    description: "US dollars for what is billed by the piece, such as web searches; exact.",
    null_when: "no call had fees with a price",
    rank: ["cost_fees"],
    is_default: true,
  },
  client_cost_usd: {
    columns: ["client_cost_usd", "client_cost_calls"],
    sources: ALL_SOURCES,
    unit: "USD",
    description: "US dollars that clients claim; null when none does.",
    null_when: "no client claims a cost",
    rank: ["client_cost_usd"],
    is_default: true,
  },
  duration: {
    columns: ["duration_ns_sum", "duration_histogram"],
    sources: EVERYWHERE_BUT_USERS,
    unit: "ns",
    description: "Duration of the calls, ns: mean, and quantiles within 2.2 %.",
    null_when: "there are no calls",
    is_default: true,
  },
  ttft: {
    columns: ["ttft_ns_sum", "ttft_calls", "ttft_histogram"],
    sources: EVERYWHERE_BUT_USERS,
    unit: "ns",
    description: "Time to first token, ns, of the calls that report it.",
    null_when: "no call reports it",
    is_default: true,
  },
} as const satisfies Record<string, Measure>;

/** Measures that are made of others, or that only single calls can answer. */
const NAMED_MEASURES = {
  error_rate: {
    columns: ["errors"],
    sources: ALL_SOURCES,
    unit: "share",
    description: "Share of the calls that failed, 0 to 1.",
    null_when: "there are no calls",
    is_default: false,
  },
  cost_per_call_usd: {
    columns: COST_COLUMNS,
    sources: ALL_SOURCES,
    unit: "USD",
    description:
      "Cost over the calls whose cost is known, wholly or in part; rounded half to even at 12 decimals.",
    null_when: "no call could be priced",
    is_default: false,
  },
  cost_per_user_usd: {
    columns: ["cost_of_users", "priced_users"],
    sources: BY_USER,
    unit: "USD",
    description:
      "Cost of the calls that name a user, over the users of whom a call could be priced; rounded half to even at 12 decimals.",
    null_when: "no call that names a user could be priced",
    is_default: false,
  },
  cost_per_session_usd: {
    columns: ["cost_of_sessions", "priced_sessions"],
    sources: BY_CALL,
    unit: "USD",
    description:
      "Cost of the calls that name a session, over the sessions of which a call could be priced; rounded half to even at 12 decimals.",
    null_when: "no call that names a session could be priced",
    is_default: false,
  },
  cost_per_1k_output_tokens_usd: {
    columns: [...COST_COLUMNS, "tokens_output_priced"],
    sources: EVERYWHERE_BUT_USERS,
    unit: "USD",
    description:
      "Cost for each 1,000 tokens of the answers of calls that a price applies to; rounded half to even at 12 decimals.",
    null_when: "no call with a price has output tokens",
    is_default: false,
  },
  output_tokens_per_second: {
    columns: ["usage_mask", "duration_ns_sum"],
    sources: EVERYWHERE_BUT_USERS,
    unit: "tokens/s",
    description:
      "Output tokens over the summed duration of all calls: the pace that callers see. Failed calls and calls without usage lower it.",
    null_when: "no call reported output tokens, or none took time",
    is_default: false,
  },
  cache_hit_share: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    unit: "share",
    description: "Share of the prompt tokens that were read from the provider's cache, 0 to 1.",
    null_when: "no call reported cache_read tokens, or there are no prompt tokens",
    is_default: false,
  },
  cache_savings_usd: {
    columns: ["priced_mask", "cache_read_tokens_by_price", "cache_read_cost_by_price"],
    sources: EVERYWHERE_BUT_USERS,
    unit: "USD",
    description:
      "What the cache_read tokens would have cost as input_uncached by the price that applied to each call, less what they cost. What writing the cache cost more is cache_write_surcharge_usd.",
    null_when: "no call has priced cache_read tokens, or their prices have none for input_uncached",
    is_default: false,
  },
  cache_write_surcharge_usd: {
    columns: ["priced_mask", "cache_write_tokens_by_price", "cache_write_cost_by_price"],
    sources: EVERYWHERE_BUT_USERS,
    unit: "USD",
    description:
      "What the cache_write tokens of all classes cost, less what they would have cost as input_uncached by the price that applied to each call.",
    null_when:
      "no call has priced cache_write tokens, or their prices have none for input_uncached",
    is_default: false,
  },
  unique_users: {
    columns: ["unique_users"],
    sources: BY_USER,
    unit: "users",
    description: "Different users, exact; calls that name none are left out.",
    null_when: "never",
    rank: ["unique_users"],
    is_default: false,
  },
  sessions: {
    columns: ["unique_sessions"],
    sources: BY_CALL,
    unit: "sessions",
    description: "Different sessions, exact; calls that name none are left out.",
    null_when: "never",
    rank: ["unique_sessions"],
    is_default: false,
  },
} as const satisfies Record<string, Measure>;

/** What can be asked. Each is a field of the answer's rows. */
export const MEASURES = { ...DEFAULT_MEASURES, ...NAMED_MEASURES } as const;

export type MeasureName = keyof typeof MEASURES;
export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];
/** What is answered when no measure is named. */
export const DEFAULT_MEASURE_NAMES: readonly MeasureName[] = MEASURE_NAMES.filter(
  (name) => MEASURES[name].is_default,
);

/** The measures that rows can be ordered and groups ranked by. */
export const RANK_NAMES: readonly MeasureName[] = MEASURE_NAMES.filter(
  (name) => "rank" in MEASURES[name],
);

/** Columns that rank groups by a measure; none when it ranks nothing. */
export function rankColumns(name: MeasureName): readonly string[] {
  const measure: Measure = MEASURES[name];
  return measure.rank ?? [];
}

const LATENCY_FIELDS = ["calls", "mean_ns", "p50_ns", "p90_ns", "p95_ns", "p99_ns"] as const;
const FIELDS: Readonly<Partial<Record<MeasureName, readonly string[]>>> = {
  tokens: TOKEN_CLASSES,
  cost: TOKEN_CLASSES,
  duration: LATENCY_FIELDS,
  ttft: LATENCY_FIELDS,
};

/** The names inside of a measure that is an object; none for one that is a value. */
export function fieldsOfMeasure(name: MeasureName): readonly string[] {
  return FIELDS[name] ?? [];
}
