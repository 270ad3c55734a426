/**
 * The price book: dated rows of unit prices, data and not code (DESIGN section 6).
 *
 * A file in `schemas/prices/` is one provider. Prices are strings in US dollars per million tokens,
 * so that no float ever touches them. A missing class is unpriced, never free: write "0" for free.
 */
import { z } from "zod";
import { TOKEN_CLASSES } from "./tokens.ts";

/** US dollars per 1,000,000 tokens; at most six decimals, so one token is whole picodollars. */
const unitPrice = z.string().regex(/^\d+(\.\d{1,6})?$/, "a decimal with at most six decimals");

/** Unit prices by class. Classes left out are not priced. */
const UnitPrices = z
  .object(
    Object.fromEntries(TOKEN_CLASSES.map((name) => [name, unitPrice.optional()])) as Record<
      (typeof TOKEN_CLASSES)[number],
      z.ZodOptional<typeof unitPrice>
    >,
  )
  .strict();

const PriceRow = z
  .object({
    /** First day the row applies, UTC, YYYY-MM-DD; null applies since ever. */
    valid_from: z.iso.date().nullable(),
    /** Service tier the row is for, in lower case. */
    tier: z.string().default("standard"),
    /** The row applies when the prompt has more than this many tokens; the whole call is priced by it. */
    input_tokens_over: z.number().int().nonnegative().default(0),
    usd_per_million: UnitPrices,
    /** Where the price was read and when. */
    source: z.string().min(1),
  })
  .strict();

const ModelPrices = z
  .object({
    /** Exact model id, lower case. */
    model: z.string().min(1),
    /** Other exact ids of the same model. */
    aliases: z.array(z.string().min(1)).default([]),
    prices: z.array(PriceRow).min(1),
  })
  .strict();

export const PriceFile = z
  .object({
    provider: z.string().min(1),
    currency: z.literal("USD"),
    models: z.array(ModelPrices).min(1),
  })
  .strict();

export type PriceFile = z.infer<typeof PriceFile>;
export type ModelPrices = z.infer<typeof ModelPrices>;
