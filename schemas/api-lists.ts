/**
 * Questions and answers of lists: sessions, users, groups of errors, models without a price.
 *
 * Invariant: every answer says which range and time zone it is of and how far its sums can be trusted, and units stand in the names of fields.
 */
import { z } from "zod";
import { count, Coverage, oneOf } from "./api-parts.ts";
import {
  filters,
  instantText,
  limit,
  measuresOf,
  name,
  range,
  ranged,
  share,
} from "./api-analytics-parts.ts";
import { TOKEN_CLASSES } from "./tokens.ts";
import type { MeasureName } from "./usage.ts";

/** Characters of a cursor; ours have about 200. */
const MAX_CURSOR_LENGTH = 512;

/** What lists of sessions and users can be ordered by, the most first. */
export const LIST_ORDERS = ["cost", "calls", "last_seen"] as const;
export type ListOrder = (typeof LIST_ORDERS)[number];

export const ListQuery = z.strictObject({
  ...range,
  order_by: oneOf(LIST_ORDERS).optional().describe("The most first; default cost"),
  limit,
  cursor: z
    .string()
    .max(MAX_CURSOR_LENGTH, `must have at most ${MAX_CURSOR_LENGTH} characters`)
    .optional()
    .describe("`next_cursor` of the page before; opaque. Pages keep the range and the order"),
  ...filters,
});
export type ListQuery = z.infer<typeof ListQuery>;

/** What is told of a session or a user. */
export const LIST_MEASURES = [
  "calls",
  "errors",
  "tokens",
  "input_total",
  "output_total",
  "cost_usd",
] as const satisfies readonly MeasureName[];

const Listed = measuresOf(LIST_MEASURES).extend({
  first_seen: instantText,
  last_seen: instantText.describe("Start of the last call"),
  models: z.array(z.string()).describe("At most 20"),
});

const listParts = {
  ...ranged,
  order_by: z.enum(LIST_ORDERS),
  next_cursor: z.string().nullable().describe("null on the last page"),
  coverage: Coverage.describe("Of the rows of this page"),
};

export const SessionsAnswer = z.object({
  ...listParts,
  sessions: z.array(
    Listed.extend({
      session_id: z.string(),
      user_ids: z.array(z.string()).describe("At most 20"),
      duration_ns: count.describe("From the start of the first call to the end of the last one"),
    }),
  ),
  without_session: Listed.nullable().describe(
    "Calls that name no session; null when there are none",
  ),
});
export type SessionsAnswer = z.infer<typeof SessionsAnswer>;

export const UsersAnswer = z.object({
  ...listParts,
  users: z.array(
    Listed.extend({ user_id: z.string(), sessions: count.describe("Different sessions") }),
  ),
  without_user: Listed.nullable().describe("Calls that name no user; null when there are none"),
});
export type UsersAnswer = z.infer<typeof UsersAnswer>;

/** What groups of errors can be ordered by, the most first. */
export const ERROR_ORDERS = ["calls", "last_seen", "users"] as const;

export const ErrorsQuery = z.strictObject({
  ...range,
  order_by: oneOf(ERROR_ORDERS).optional().describe("The most first; default calls"),
  limit,
  ...filters,
});
export type ErrorsQuery = z.infer<typeof ErrorsQuery>;

export const ErrorsAnswer = z.object({
  ...ranged,
  order_by: z.enum(ERROR_ORDERS),
  calls: count.describe("All calls of the range"),
  errors: count.describe("Those that failed"),
  error_rate: share,
  previous: z.object({ from: instantText, to: instantText, calls: count, errors: count }),
  groups: z.array(
    z.object({
      fingerprint: z
        .string()
        .describe("The same for the same kind of error, whenever and in whatever project"),
      provider: name,
      model: name,
      operation: name,
      error_type: name,
      http_status: count.nullable(),
      message: name.describe(
        "The message of the error with ids, numbers and quoted parts taken out; null unless content is captured",
      ),
      calls: count,
      calls_before: count.describe("In the range `previous`"),
      is_new: z
        .boolean()
        .describe("true when there were none since `previous.from`, before the range"),
      first_seen: instantText.describe("Within the range"),
      last_seen: instantText.describe("Within the range"),
      users: count.describe("Different users; calls that name none are left out"),
      services: z.array(z.string()).describe("At most 10"),
      sample_trace_ids: z.array(z.string()).describe("At most 3, the newest first"),
    }),
  ),
  truncated: z.boolean().describe("true when there are more groups"),
  coverage: Coverage,
});
export type ErrorsAnswer = z.infer<typeof ErrorsAnswer>;

export const UnpricedQuery = z.strictObject({ ...range, limit, ...filters });
export type UnpricedQuery = z.infer<typeof UnpricedQuery>;

/** Why calls have no price, or not for everything. */
export const UNPRICED_REASONS = [
  "usage_missing",
  "no_model",
  "unknown_model",
  "no_row",
  "no_class_price",
  "book_changed",
] as const;
export type UnpricedReason = (typeof UNPRICED_REASONS)[number];

export const UnpricedAnswer = z.object({
  ...ranged,
  calls: count.describe("All calls of the range"),
  calls_unpriced: count,
  models: z.array(
    z.object({
      provider: name,
      model: name,
      request_model: name,
      price_id: name.describe("The row that priced a part; null when none did"),
      calls: count.describe("Calls whose cost is not, or not wholly, known"),
      tokens: count
        .nullable()
        .describe("All tokens of these calls' group; null when none is known"),
      tokens_unpriced: count.describe("Tokens without a price"),
      reason: z.enum(UNPRICED_REASONS),
      explanation: z.string(),
      classes_without_price: z.array(z.enum(TOKEN_CLASSES)),
      nearest: z
        .array(z.object({ provider: z.string(), model: z.string(), likeness: z.number() }))
        .describe("Models that have a price and a similar name: hints, never used for prices"),
    }),
  ),
  truncated: z.boolean(),
  coverage: Coverage,
});
export type UnpricedAnswer = z.infer<typeof UnpricedAnswer>;
