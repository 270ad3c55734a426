/**
 * The price book: dated rows of unit prices, data and not code (DESIGN section 6).
 *
 * A file is one provider; those in `schemas/prices/` are the list prices, a file of the user's own is
 * what was negotiated. Prices are strings in US dollars, so that no float ever touches them; there is
 * no other currency. A missing class or fee is unpriced, never free: write "0" for free.
 */
import { z } from "zod";
import { FEE_KINDS } from "./span.ts";
import { TOKEN_CLASSES } from "./tokens.ts";

/** US dollars per 1,000,000 tokens; at most six decimals, so one token is whole picodollars. */
const tokenPrice = z.string().regex(/^\d{1,9}(\.\d{1,6})?$/, "a decimal with at most six decimals");

/** US dollars per 1,000 pieces; at most nine decimals, so one piece is whole picodollars. */
const feePrice = z.string().regex(/^\d{1,9}(\.\d{1,9})?$/, "a decimal with at most nine decimals");

/** An object that may have each of the names, and no other. */
function optionalFields<Name extends string>(names: readonly Name[], value: z.ZodString) {
  const fields = Object.fromEntries(names.map((name) => [name, value.optional()]));
  return z.object(fields as Record<Name, z.ZodOptional<z.ZodString>>).strict();
}

/** A name that stands in ids and keys. */
const word = z.string().min(1).max(256).regex(/^\S+$/, "must not have spaces");

const PriceRow = z
  .object({
    /** First day the row applies, UTC, YYYY-MM-DD; null applies since ever. */
    valid_from: z.iso.date().nullable().default(null),
    /** Service tier the row is for, in lower case. */
    tier: word.default("standard"),
    /**
     * Regions the row is for, in lower case; "regional" is every known one but "global". Empty: each
     * region that no other row of the same tier names, and calls whose region is unknown.
     */
    regions: z.array(word).default([]),
    /** The row applies when the prompt has more than this many tokens; the whole call is priced by it. */
    input_tokens_over: z.number().int().nonnegative().default(0),
    /** Unit prices by token class. Classes left out are not priced. */
    usd_per_million: optionalFields(TOKEN_CLASSES, tokenPrice).default({}),
    /** Prices by what is billed by the piece. Kinds left out are not priced. */
    usd_per_thousand: optionalFields(FEE_KINDS, feePrice).default({}),
    /** Where the price was read. */
    source: z.string().min(1),
    /** When it was read there, or when the source was released, YYYY-MM-DD. */
    evidence_date: z.iso.date(),
  })
  .strict()
  .refine(
    (row) => Object.keys(row.usd_per_million).length + Object.keys(row.usd_per_thousand).length > 0,
    "needs a price in usd_per_million or usd_per_thousand",
  );

const ModelPrices = z
  .object({
    /** Exact model id, lower case. */
    model: word,
    /** Other exact ids of the same model. */
    aliases: z.array(word).default([]),
    /**
     * Whether the rows without regions hold in regions that no row names: "unpriced" where the provider
     * is known to charge more there and the price is not.
     */
    other_regions: z.enum(["same", "unpriced"]).default("same"),
    prices: z.array(PriceRow).min(1),
  })
  .strict();

export const PriceFile = z
  .object({
    provider: word,
    currency: z.literal("USD", { error: 'must be "USD": prices are in US dollars only' }),
    /** The project whose price this is; without it the file is for every project. */
    project_id: z.string().min(1).optional(),
    models: z.array(ModelPrices).min(1),
  })
  .strict();

export type PriceFile = z.infer<typeof PriceFile>;
export type ModelPrices = z.infer<typeof ModelPrices>;
export type PriceRow = ModelPrices["prices"][number];
