/**
 * Questions and answers about what could be saved and what a use of models brings.
 *
 * Invariant: nothing is estimated without its assumptions beside it, and unknown is null and never zero.
 */
import { z } from "zod";
import {
  count,
  Coverage,
  decimalUsd,
  filterValues,
  instantOrDay,
  oneOf,
  timeZone,
} from "./api-parts.ts";
import {
  assumptions,
  DEFAULT_ANALYTICS_DAYS,
  filters,
  name,
  range,
  ranged,
  share,
  signedUsd,
  usd,
} from "./api-analytics-parts.ts";
import { TOKEN_CLASSES } from "./tokens.ts";
import { DIMENSION_NAMES } from "./usage.ts";

/** Characters of a model that is asked for. */
const MAX_MODEL_LENGTH = 512;
/** Months that the calculator looks ahead at most: ten years. */
export const MAX_ROI_MONTHS = 120;

export const SavingsQuery = z.strictObject({
  ...range,
  target: z
    .string()
    .max(MAX_MODEL_LENGTH, `must have at most ${MAX_MODEL_LENGTH} characters`)
    .regex(/^[^/\s]+\/\S+$/, "must be provider/model such as openai/gpt-5-mini")
    .optional()
    .describe("The model that the same tokens are priced by too, as provider/model"),
  ...filters,
});
export type SavingsQuery = z.infer<typeof SavingsQuery>;

const TokensByClass = z
  .array(z.object({ token_class: z.enum(TOKEN_CLASSES), tokens: count }))
  .describe("Only classes of which there are tokens");

const CacheSavings = z.object({
  saved_usd: z
    .string()
    .nullable()
    .describe("read_saved_usd less write_surcharge_usd; null when nothing is known of either"),
  read_saved_usd: usd.describe(
    "What cache_read tokens would have cost uncached, less what they cost",
  ),
  write_surcharge_usd: z
    .string()
    .nullable()
    .describe("What cache_write tokens cost more than uncached; below zero less"),
  tokens_not_judged: count.describe("Cached tokens that have no price, or none to compare with"),
  could_save_at_most_usd: usd.describe(
    "If every uncached prompt token had been read from the cache: a bound, no forecast; null when no model has a price of cached tokens",
  ),
  uncached_tokens: count.describe("Prompt tokens that the bound is about"),
  uncached_tokens_not_judged: count.describe(
    "Prompt tokens of calls without a price, or of models without one of cached tokens",
  ),
  reason: z.string().nullable().describe("Why there is no bound"),
  assumptions,
});

const BatchSavings = z.object({
  could_save_usd: signedUsd.nullable().describe("null when no call could have been a batch"),
  from_price_book_usd: signedUsd.describe("The part by batch prices of the price book"),
  from_assumption_usd: signedUsd.describe("The part by an assumed discount; see assumptions"),
  cost_of_candidates_usd: decimalUsd.describe("What the calls cost that could have been batches"),
  calls_already_batch: count,
  calls_of_other_tiers: count.describe("Calls of flex, priority and the like, which are left out"),
  calls_without_batch_price: count.describe("Calls of models that no batch price is known of"),
  calls_without_price: count.describe("Calls that have no price at all"),
  reason: z.string().nullable(),
  assumptions,
});

const TargetSavings = z.object({
  provider: z.string(),
  model: z.string(),
  price_id: z.string(),
  target_cost_usd: usd.describe("Of all tokens that the target has a price for"),
  target_cost_at_most_usd: usd.describe(
    "If every prompt were so long that the dearest step applied; null when the target has one step",
  ),
  compared: z
    .object({
      cost_usd: decimalUsd.describe("What these tokens cost"),
      target_cost_usd: decimalUsd.describe("What they would cost"),
      saving_usd: signedUsd,
      tokens: count,
      tokens_share: share.describe("Share of all known tokens"),
    })
    .describe("The tokens that have a price both as they were and on the target"),
  substituted: z
    .array(
      z.object({
        token_class: z.enum(TOKEN_CLASSES),
        priced_as: z.enum(TOKEN_CLASSES),
        tokens: count,
      }),
    )
    .describe("Classes that the target prices as another"),
  tokens_without_target_price: TokensByClass,
  assumptions,
});

export const SavingsAnswer = z.object({
  ...ranged,
  calls: count,
  cost_usd: usd,
  cache: CacheSavings,
  batch: BatchSavings,
  target: TargetSavings.nullable().describe("null unless `target` is given"),
  models: z
    .array(
      z.object({
        provider: name,
        model: name,
        calls: count,
        cost_usd: usd,
        cache_saved_usd: z.string().nullable(),
        cache_could_save_at_most_usd: usd,
        batch_could_save_usd: z.string().nullable(),
        target_saving_usd: z.string().nullable(),
      }),
    )
    .describe("The dearest first"),
  truncated: z.boolean().describe("true when calls of rare models and prices were left out"),
  coverage: Coverage,
});
export type SavingsAnswer = z.infer<typeof SavingsAnswer>;

const bounded = (what: z.ZodString, maximum: string) =>
  what.refine((text) => Number(text) <= Number(maximum), `must be at most ${maximum}`);
const amount = bounded(
  z.string().regex(/^\d{1,12}(\.\d{1,12})?$/, "must be a decimal such as 12.50, as text"),
  "1000000000000",
);
const growth = z
  .string()
  .regex(/^-?[01](\.\d{1,12})?$/, "must be a decimal from -1 to 1, as text")
  .refine((text) => Math.abs(Number(text)) <= 1, "must be from -1 to 1");
const portion = z
  .string()
  .regex(/^[01](\.\d{1,12})?$/, "must be a decimal from 0 to 1, as text")
  .refine((text) => Number(text) <= 1, "must be at most 1");

/** What tasks can be counted as. */
export const TASK_COUNTS = ["calls", "sessions", "users"] as const;

export const RoiBody = z.strictObject({
  tasks_per_month: amount
    .optional()
    .describe("Tasks done in a month; without it they are counted in the range of `measured`"),
  value_per_task_usd: amount.optional().describe("What a task that succeeds brings"),
  minutes_saved_per_task: amount
    .optional()
    .describe("Work that it saves, minutes; needs hourly_cost_usd, and adds to the value"),
  hourly_cost_usd: amount.optional().describe("What an hour of that work costs"),
  success_share: portion.optional().describe("Share of tasks whose result is of use; default 1"),
  model_cost_per_month_usd: amount
    .optional()
    .describe("What models cost in a month; without it the cost of the range of `measured`"),
  fixed_cost_per_month_usd: amount
    .optional()
    .describe("What is paid each month beside: licences, people, hosting; default 0"),
  setup_cost_usd: amount.optional().describe("What is paid once, before; default 0"),
  growth_per_month: growth
    .optional()
    .describe("By which tasks and the cost of models grow each month, 0.1 for a tenth; default 0"),
  months: z
    .number()
    .int()
    .min(1)
    .max(MAX_ROI_MONTHS)
    .optional()
    .describe("Months to look ahead; default 12"),
  measured: z
    .strictObject({
      from: instantOrDay.optional(),
      to: instantOrDay.optional(),
      tz: timeZone.optional(),
      tasks: oneOf(TASK_COUNTS).optional().describe("What a task is; default calls"),
      filters: z
        .strictObject(
          Object.fromEntries(
            DIMENSION_NAMES.map((dimension) => [dimension, filterValues.optional()]),
          ) as typeof filters,
        )
        .optional()
        .describe("Values by dimension, one of which a call must have"),
    })
    .optional()
    .describe(
      `The calls of the ledger that are measured; default the last ${DEFAULT_ANALYTICS_DAYS} days`,
    ),
});
export type RoiBody = z.infer<typeof RoiBody>;

export const RoiAnswer = z.object({
  ...ranged,
  measured: z
    .object({
      tasks: count,
      counted_as: z.enum(TASK_COUNTS),
      days: z.number(),
      cost_usd: usd,
      coverage: Coverage,
    })
    .nullable()
    .describe("What the ledger says of the range; null when everything was given"),
  input: z
    .object({
      tasks_per_month: z.string(),
      value_per_task_usd: z.string(),
      success_share: z.string(),
      model_cost_per_month_usd: z.string(),
      fixed_cost_per_month_usd: z.string(),
      setup_cost_usd: z.string(),
      growth_per_month: z.string(),
      months: count,
    })
    .describe("What was calculated with"),
  tasks: z.string(),
  value_usd: z.string(),
  cost_usd: z.string(),
  cost: z.object({ model_usd: z.string(), fixed_usd: z.string(), setup_usd: z.string() }),
  net_usd: z.string(),
  roi_percent: z.string().nullable().describe("Net for each 100 US dollars paid; 4 decimals"),
  cost_per_task_usd: z.string().nullable(),
  model_cost_per_task_usd: z.string().nullable(),
  net_per_task_usd: z.string().nullable(),
  payback_months: z.string().nullable().describe("Until what came back is what was paid"),
  break_even_tasks_per_month: z
    .string()
    .nullable()
    .describe("Tasks that pay for what is fixed, the setup spread over all months"),
  break_even_value_per_task_usd: z
    .string()
    .nullable()
    .describe("What a task that succeeds must bring so that the net is zero"),
  break_even_minutes_per_task: z
    .string()
    .nullable()
    .describe("The same as minutes of work, when hourly_cost_usd is given"),
  sensitivity: z.array(
    z.object({
      value_share: z.string().describe("Of the value given"),
      net_usd: z.string(),
      roi_percent: z.string().nullable(),
    }),
  ),
  by_month: z.array(
    z.object({
      month: count,
      tasks: z.string(),
      value_usd: z.string(),
      cost_usd: z.string(),
      net_usd: z.string(),
      cumulative_net_usd: z.string(),
    }),
  ),
  reasons: z.array(z.object({ field: z.string(), reason: z.string() })),
  assumptions,
  coverage: Coverage.nullable(),
});
export type RoiAnswer = z.infer<typeof RoiAnswer>;
