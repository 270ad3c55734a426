/**
 * The question and the answer of `GET /v1/usage`, and what `GET /v1/schema` says of both.
 *
 * Invariant: every measure is a field here and every dimension a parameter; the lists of `usage.ts`
 * make the names, so that neither can be forgotten.
 */
import { z } from "zod";
import {
  count,
  Coverage,
  decimalUsd,
  exclusions,
  filtersOf,
  filterValue,
  instantOrDay,
  listOf,
  MAX_FILTER_VALUES,
  oneOf,
  splitList,
  timeZone,
  wholeNumber,
} from "./api-parts.ts";
import { UNITS } from "./measures.ts";
import { TOKEN_CLASSES } from "./tokens.ts";
import {
  DEFAULT_MEASURE_NAMES,
  DIMENSION_ALIASES,
  DIMENSION_NAMES,
  DIMENSIONS,
  type GroupName,
  INTERVALS,
  MEASURE_NAMES,
  type MeasureName,
  RANK_NAMES,
  tagKeyOf,
} from "./usage.ts";

/** Rows of a page; there are as many pages as it takes. */
export const MAX_USAGE_ROWS = 10_000;
/** Groups that `top` keeps apart. */
export const MAX_TOP_GROUPS = 100;
/** Dimensions and tags that one question groups by. */
export const MAX_GROUP_NAMES = 16;
/** Tags that one question filters by. */
export const MAX_TAG_FILTERS = 16;
/** Characters of a cursor: it holds the last row's dimensions, and a URL has 16 KiB at most. */
export const MAX_USAGE_CURSOR_LENGTH = 8_192;

const perClass = <T extends z.ZodType>(value: T) =>
  z.object(
    Object.fromEntries(TOKEN_CLASSES.map((name) => [name, value])) as Record<
      (typeof TOKEN_CLASSES)[number],
      T
    >,
  );

const Latency = z.object({
  calls: count,
  mean_ns: count.nullable(),
  p50_ns: count.nullable(),
  p90_ns: count.nullable(),
  p95_ns: count.nullable(),
  p99_ns: count.nullable(),
});
export type Latency = z.infer<typeof Latency>;

const share = z.number().min(0).max(1).nullable();
const usd = decimalUsd.nullable();

/** Values of the measures asked for, and how far they can be trusted. */
export const MeasureValues = z.object({
  calls: count.optional(),
  errors: count.optional(),
  tokens: perClass(count.nullable()).optional(),
  input_total: count.nullable().optional(),
  output_total: count.nullable().optional(),
  cost_usd: usd.optional(),
  cost: perClass(usd).optional(),
  fees_usd: usd.optional(),
  client_cost_usd: usd.optional(),
  duration: Latency.optional(),
  ttft: Latency.optional(),
  error_rate: share.optional(),
  cost_per_call_usd: usd.optional(),
  cost_per_user_usd: usd.optional(),
  cost_per_session_usd: usd.optional(),
  cost_per_1k_output_tokens_usd: usd.optional(),
  output_tokens_per_second: z.number().nonnegative().nullable().optional(),
  cache_hit_share: share.optional(),
  cache_savings_usd: usd.optional(),
  cache_write_surcharge_usd: usd.optional(),
  unique_users: count.optional(),
  sessions: count.optional(),
  coverage: Coverage,
});
export type MeasureValues = z.infer<typeof MeasureValues>;

const groupNames = z
  .string()
  .transform((text) => [...new Set(splitList(text, DIMENSION_ALIASES))])
  .refine(
    (names) => names.every((name) => Object.hasOwn(DIMENSIONS, name) || tagKeyOf(name) !== null),
    `must be a list of: ${DIMENSION_NAMES.join(", ")}, tag.<key>`,
  )
  .refine((names) => names.length <= MAX_GROUP_NAMES, `may name at most ${MAX_GROUP_NAMES}`)
  .transform((names) => names as GroupName[])
  .describe(`Comma-separated: ${DIMENSION_NAMES.join(", ")}, tag.<key>`);

const TAG_FORM = "is written with the key of the tag, as tag.team=search";
/** Filters by tags, as `parseQuery` gives them: key and value of each parameter `tag.<key>`. */
const tagValues = (meaning: string) =>
  z
    .array(
      z.tuple([z.string().refine((key) => tagKeyOf(`tag.${key}`) !== null, TAG_FORM), filterValue]),
      {
        error: TAG_FORM,
      },
    )
    .max(MAX_TAG_FILTERS * MAX_FILTER_VALUES, `may have at most ${MAX_FILTER_VALUES} values a key`)
    .describe(meaning);

export { Coverage };

export const UsageQuery = z.strictObject({
  from: instantOrDay
    .optional()
    .describe(`Start, inclusive; default 24 hours before \`to\`. ${describe(instantOrDay)}`),
  to: instantOrDay
    .optional()
    .describe(`End, exclusive; default the end of the current minute. ${describe(instantOrDay)}`),
  measures: listOf<MeasureName>(MEASURE_NAMES)
    .optional()
    .describe(
      `Comma-separated, of: ${MEASURE_NAMES.join(", ")}; default ${DEFAULT_MEASURE_NAMES.join(", ")}`,
    ),
  group_by: groupNames.optional(),
  interval: oneOf(INTERVALS).optional().describe("Step of the time series; default none"),
  tz: timeZone
    .optional()
    .describe(
      "Time zone of hour, day, week and month, and of days in `from` and `to`; default UTC",
    ),
  order_by: oneOf(RANK_NAMES as readonly [MeasureName, ...MeasureName[]])
    .optional()
    .describe(
      "The measure that ranks rows within a step and groups for `top`, the largest first; default the cost when one is asked for, else the calls",
    ),
  top: wholeNumber(1, MAX_TOP_GROUPS)
    .optional()
    .describe(
      "Keeps this many groups, ranked over the whole range, and adds up all others in one row a step with `is_other`",
    ),
  compare: oneOf(["previous"])
    .optional()
    .describe(
      "Gives each row, and the totals, the measures of the period before as `previous`: of the same length, with the interval day, week or month of as many of them. Of a range that goes on, only as much of it as has passed, up to the end of the quarter of an hour; and when it is a day, week or month of `tz`, that part of the one before",
    ),
  limit: wholeNumber(1, MAX_USAGE_ROWS)
    .optional()
    .describe(`Rows of a page; default 1000, at most ${MAX_USAGE_ROWS}`),
  cursor: z
    .string()
    .max(MAX_USAGE_CURSOR_LENGTH, `must have at most ${MAX_USAGE_CURSOR_LENGTH} characters`)
    .optional()
    .describe("`next_cursor` of the page before; opaque, and good for the same question only"),
  ...filtersOf(DIMENSION_NAMES),
  ...exclusions,
  tag: tagValues(
    "Written `tag.<key>=<value>`; give it several times to allow several values",
  ).optional(),
  not_tag: tagValues("Written `not_tag.<key>=<value>`: leaves out calls with the value").optional(),
});
export type UsageQuery = z.infer<typeof UsageQuery>;

function describe(schema: z.ZodType): string {
  return schema.description ?? "";
}

const dimensionValues = Object.fromEntries(
  DIMENSION_NAMES.map((name) => [name, z.string().nullable().optional()]),
) as Record<(typeof DIMENSION_NAMES)[number], z.ZodOptional<z.ZodNullable<z.ZodString>>>;

const previous = MeasureValues.nullable()
  .optional()
  .describe("With `compare`: the same of the period before; null when it had no calls");

const UsageRowShape = z
  .object({
    time: z.string().optional().describe("Start of the step, RFC 3339 UTC"),
    is_other: z
      .literal(true)
      .optional()
      .describe("With `top`: the row adds up all groups that have none of their own"),
    ...dimensionValues,
    ...MeasureValues.shape,
    previous,
  })
  // Tags that rows are grouped by: `tag.<key>`.
  .catchall(z.string().nullable());

/** A row of usage: its step, its group, its measures. */
export type UsageRow = MeasureValues &
  Readonly<Partial<Record<GroupName, string | null>>> & {
    /** Start of the step, RFC 3339 UTC. */
    readonly time?: string;
    readonly is_other?: true;
    readonly previous?: MeasureValues | null;
  };

const UsageRow = UsageRowShape as unknown as z.ZodType<UsageRow>;

export const UsageAnswer = z.object({
  from: z.string(),
  to: z.string(),
  tz: z.string(),
  interval: z.enum(INTERVALS),
  group_by: z.array(z.string()),
  rows: z.array(UsageRow),
  totals: MeasureValues.extend({ previous }).describe("Over all rows, also those of other pages"),
  coverage: Coverage,
  truncated: z.boolean().describe("true when there are more rows: ask again with `next_cursor`"),
  next_cursor: z.string().nullable().describe("null on the last page"),
  previous: z
    .object({ from: z.string(), to: z.string() })
    .optional()
    .describe("With `compare`: the period before"),
});
export type UsageAnswer = z.infer<typeof UsageAnswer>;

export const SchemaAnswer = z.object({
  measures: z.array(
    z.object({
      name: z.string(),
      unit: z.enum(UNITS),
      fields: z
        .array(z.string())
        .describe("Names inside of the value when it is an object; empty when it is one value"),
      description: z.string(),
      null_when: z.string(),
      is_default: z.boolean().describe("whether it is answered when no measure is named"),
      ranks: z.boolean().describe("whether `order_by` takes it"),
    }),
  ),
  dimensions: z.array(
    z.object({
      name: z.string(),
      aliases: z.array(z.string()),
      description: z.string(),
      null_when: z.string(),
    }),
  ),
  intervals: z.array(z.enum(INTERVALS)),
  limits: z.record(z.string(), z.number()),
});
export type SchemaAnswer = z.infer<typeof SchemaAnswer>;
