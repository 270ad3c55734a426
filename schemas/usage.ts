/**
 * The semantic layer: what can be asked of usage, by what it can be grouped, and which table can
 * answer. Defined once; the query API compiles it to SQL.
 */
import { TOKEN_CLASSES } from "./tokens.ts";

/** Where usage can be read from, coarsest last; `usage_calls` has one row for each call. */
export const USAGE_SOURCES = ["usage_calls", "usage_15m", "usage_day", "usage_user_day"] as const;
export type UsageSource = (typeof USAGE_SOURCES)[number];

export interface Dimension {
  /** SQL over the columns of every source that has it. */
  readonly sql: string;
  readonly sources: readonly UsageSource[];
  readonly description: string;
}

const EVERYWHERE_BUT_USERS: readonly UsageSource[] = ["usage_calls", "usage_15m", "usage_day"];
const BY_DAY: readonly UsageSource[] = ["usage_calls", "usage_day"];

/** What usage can be grouped and filtered by. */
export const DIMENSIONS = {
  model: {
    sql: "if(response_model = '', request_model, response_model)",
    sources: EVERYWHERE_BUT_USERS,
    description: "The model that answered; the one asked for when the answer does not say.",
  },
  request_model: {
    sql: "request_model",
    sources: EVERYWHERE_BUT_USERS,
    description: "The model asked for.",
  },
  response_model: {
    sql: "response_model",
    sources: EVERYWHERE_BUT_USERS,
    description: "The model that answered, as the provider names it.",
  },
  provider: { sql: "provider", sources: EVERYWHERE_BUT_USERS, description: "Who served the call." },
  operation: {
    sql: "operation",
    sources: EVERYWHERE_BUT_USERS,
    description: "gen_ai.operation.name: chat, embeddings, ...",
  },
  environment: {
    sql: "environment",
    sources: EVERYWHERE_BUT_USERS,
    description: "deployment.environment.name of the resource.",
  },
  price_id: {
    sql: "price_id",
    sources: EVERYWHERE_BUT_USERS,
    description: "Row of the price book that applied.",
  },
  service_name: {
    sql: "service_name",
    sources: BY_DAY,
    description: "service.name of the resource.",
  },
  agent_name: { sql: "agent_name", sources: BY_DAY, description: "gen_ai.agent.name." },
  user_id: {
    sql: "user_id",
    sources: ["usage_calls", "usage_user_day"],
    description: "user.id or enduser.id.",
  },
  session_id: {
    sql: "session_id",
    sources: ["usage_calls"],
    description: "gen_ai.conversation.id or session.id.",
  },
} as const satisfies Record<string, Dimension>;

export type DimensionName = keyof typeof DIMENSIONS;
export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as DimensionName[];

/** Other names people try first. */
export const DIMENSION_ALIASES: Readonly<Record<string, DimensionName>> = {
  service: "service_name",
  agent: "agent_name",
  user: "user_id",
  session: "session_id",
};

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

/** Columns that are combined by OR, maps that are added key by key; all others are summed. */
export const MASK_COLUMNS: readonly string[] = ["usage_mask", "priced_mask"];
export const HISTOGRAM_COLUMNS: readonly string[] = ["duration_histogram", "ttft_histogram"];

export interface Measure {
  /** Columns of the sources that it is computed from. */
  readonly columns: readonly string[];
  readonly sources: readonly UsageSource[];
  readonly description: string;
}

const ALL_SOURCES: readonly UsageSource[] = USAGE_SOURCES;

/** What can be asked. Each is a field of the answer's rows. */
export const MEASURES = {
  calls: { columns: ["calls"], sources: ALL_SOURCES, description: "Model calls." },
  errors: { columns: ["errors"], sources: ALL_SOURCES, description: "Calls that failed." },
  tokens: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    description: "Tokens by disjoint class; null when no call reported the class.",
  },
  input_total: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    description: "Tokens of the prompts: the sum of the input and cache classes.",
  },
  output_total: {
    columns: ["usage_mask"],
    sources: ALL_SOURCES,
    description: "Tokens of the answers: the sum of the output classes.",
  },
  cost_usd: {
    columns: [...TOKEN_CLASSES.map((name) => `cost_${name}`), "cost_fees"],
    sources: ALL_SOURCES,
    description: "US dollars, exact, fees included; null when no call could be priced.",
  },
  cost: {
    columns: ["priced_mask", ...TOKEN_CLASSES.map((name) => `cost_${name}`)],
    sources: ALL_SOURCES,
    description: "US dollars by token class, exact; null when no call had a price for the class.",
  },
  fees_usd: {
    columns: ["cost_fees", "fees_priced_calls"],
    sources: ALL_SOURCES,
    description: "US dollars for what is billed by the piece, such as web searches; exact.",
  },
  client_cost_usd: {
    columns: ["client_cost_usd", "client_cost_calls"],
    sources: ALL_SOURCES,
    description: "US dollars that clients claim; null when none does.",
  },
  duration: {
    columns: ["duration_ns_sum", "duration_histogram"],
    sources: EVERYWHERE_BUT_USERS,
    description: "Duration of the calls, ns: mean, and quantiles within 2.2 %.",
  },
  ttft: {
    columns: ["ttft_ns_sum", "ttft_calls", "ttft_histogram"],
    sources: EVERYWHERE_BUT_USERS,
    description: "Time to first token, ns, of the calls that report it.",
  },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof MEASURES;
export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];

/** Lengths of the steps of a time series; `none` gives one row for the whole range. */
export const INTERVALS = ["none", "15m", "hour", "day", "week", "month"] as const;
export type Interval = (typeof INTERVALS)[number];

/** Start of the step that a time falls in, as Unix seconds; {time} is a DateTime, {tz} the zone. */
export const INTERVAL_SQL: Readonly<Record<Exclude<Interval, "none">, string>> = {
  "15m": "toUnixTimestamp(toStartOfFifteenMinutes({time}))",
  hour: "toUnixTimestamp(toStartOfInterval({time}, INTERVAL 1 HOUR, {tz}))",
  day: "toUnixTimestamp(toStartOfDay({time}, {tz}))",
  week: "toUnixTimestamp(toDateTime(toStartOfWeek({time}, 1, {tz}), {tz}))",
  month: "toUnixTimestamp(toDateTime(toStartOfMonth({time}, {tz}), {tz}))",
};
