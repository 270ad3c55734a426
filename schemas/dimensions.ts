/**
 * What usage can be grouped and filtered by, and which tables have it.
 *
 * Invariant: SQL stands here and nowhere else; what a user writes chooses an entry or is a bound
 * parameter, never an identifier.
 */

/** Where usage can be read from, coarsest last; `usage_calls` has one row for each call. */
export const USAGE_SOURCES = ["usage_calls", "usage_15m", "usage_day", "usage_user_day"] as const;
export type UsageSource = (typeof USAGE_SOURCES)[number];

export interface Dimension {
  /** SQL over the columns of every source that has it; text, empty when the value is not known. */
  readonly sql: string;
  readonly sources: readonly UsageSource[];
  readonly description: string;
  /** When the value is null. */
  readonly null_when: string;
}

export const EVERYWHERE_BUT_USERS: readonly UsageSource[] = [
  "usage_calls",
  "usage_15m",
  "usage_day",
];
const BY_DAY: readonly UsageSource[] = ["usage_calls", "usage_day"];
const BY_CALL: readonly UsageSource[] = ["usage_calls"];

/** What usage can be grouped and filtered by, tags apart. */
export const DIMENSIONS = {
  model: {
    sql: "if(response_model = '', request_model, response_model)",
    sources: EVERYWHERE_BUT_USERS,
    description: "The model that answered; the one asked for when the answer does not say.",
    null_when: "the call names no model",
  },
  request_model: {
    sql: "request_model",
    sources: EVERYWHERE_BUT_USERS,
    description: "The model asked for.",
    null_when: "the call does not say which model was asked for",
  },
  response_model: {
    sql: "response_model",
    sources: EVERYWHERE_BUT_USERS,
    description: "The model that answered, as the provider names it.",
    null_when: "the answer does not name its model",
  },
  provider: {
    sql: "provider",
    sources: EVERYWHERE_BUT_USERS,
    description: "Who served the call.",
    null_when: "the call does not say who served it",
  },
  operation: {
    sql: "operation",
    sources: EVERYWHERE_BUT_USERS,
    description: "gen_ai.operation.name: chat, embeddings, ...",
    null_when: "the call does not say",
  },
  environment: {
    sql: "environment",
    sources: EVERYWHERE_BUT_USERS,
    description: "deployment.environment.name of the resource.",
    null_when: "the resource does not say",
  },
  price_id: {
    sql: "price_id",
    sources: EVERYWHERE_BUT_USERS,
    description: "Row of the price book that applied.",
    null_when: "no price is known for the call",
  },
  service_name: {
    sql: "service_name",
    sources: BY_DAY,
    description: "service.name of the resource.",
    null_when: "the resource does not say",
  },
  agent_name: {
    sql: "agent_name",
    sources: BY_DAY,
    description: "gen_ai.agent.name.",
    null_when: "no agent made the call, or it has no name",
  },
  user_id: {
    sql: "user_id",
    sources: ["usage_calls", "usage_user_day"],
    description: "user.id or enduser.id.",
    null_when: "the call names no user",
  },
  session_id: {
    sql: "session_id",
    sources: BY_CALL,
    description: "gen_ai.conversation.id or session.id.",
    null_when: "the call names no session",
  },
  status: {
    sql: "if(status = 'error', 'error', 'ok')",
    sources: BY_CALL,
    description: "`ok` or `error`.",
    null_when: "never",
  },
  error_type: {
    sql: "error_type",
    sources: BY_CALL,
    description: "error.type of a call that failed.",
    null_when: "the call did not fail, or does not say how",
  },
  finish_reason: {
    sql: "finish_reason",
    sources: BY_CALL,
    description: "Why the model stopped: stop, length, tool_calls, ...",
    null_when: "the call does not say",
  },
  service_tier: {
    sql: "service_tier",
    sources: BY_CALL,
    description: "Tier that served the call: standard, batch, priority, ...",
    null_when: "the call does not say",
  },
  streaming: {
    sql: "transform(toString(streaming), ['yes', 'no'], ['true', 'false'], '')",
    sources: BY_CALL,
    description: "`true` when the answer was streamed, `false` when it was not.",
    null_when: "the call does not say",
  },
  key_id: {
    sql: "key_id",
    sources: BY_CALL,
    description: "The API key that the telemetry was sent with.",
    null_when: "it was sent without a key",
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
  tier: "service_tier",
  key: "key_id",
};

/** The dimensions that calls and traces can be filtered by; the list of calls has its own `status`. */
export const CALL_FILTER_NAMES = [
  "model",
  "request_model",
  "response_model",
  "provider",
  "operation",
  "environment",
  "price_id",
  "service_name",
  "agent_name",
  "user_id",
  "session_id",
  "error_type",
  "finish_reason",
  "service_tier",
  "streaming",
  "key_id",
] as const satisfies readonly DimensionName[];
export type CallFilterName = (typeof CALL_FILTER_NAMES)[number];

/** A tag as dimension: `tag.<key>`. */
export type TagName = `tag.${string}`;
/** What rows can be grouped by. */
export type GroupName = DimensionName | TagName;

export const TAG_PREFIX = "tag.";
/** Characters of the key of a tag. */
export const MAX_TAG_KEY_LENGTH = 256;

/** The key of a tag dimension; null for a name that is none. */
export function tagKeyOf(name: string): string | null {
  if (!name.startsWith(TAG_PREFIX)) return null;
  const key = name.slice(TAG_PREFIX.length);
  return key === "" || key.length > MAX_TAG_KEY_LENGTH ? null : key;
}
