/**
 * Question and answer of `GET /v1/prices`: the price book as calls are priced by it.
 *
 * Invariant: prices are exact decimals as text, of one project: the list, and what was negotiated for all or
 * for it.
 */
import { z } from "zod";
import { count, oneOf, wholeNumber } from "./api-parts.ts";
import { FEE_KINDS } from "./span.ts";
import { TOKEN_CLASSES } from "./tokens.ts";

/** Rows of a page at most, and those that are given when no number is. */
export const MAX_PRICE_ROWS = 500;
export const DEFAULT_PRICE_ROWS = 100;

const text = z.string().min(1).max(256, "must have at most 256 characters");

export const PricesQuery = z.strictObject({
  provider: text.optional().describe("Exact, such as openai"),
  model: text.optional().describe("An exact id of a model, its own or another it is known by"),
  search: text.optional().describe("Part of such an id; letter case does not count"),
  tier: text.optional().describe("Service tier, such as standard or batch"),
  source: oneOf(["list", "contract"]).optional(),
  day: z.iso
    .date({ error: "must be a day such as 2026-11-21" })
    .optional()
    .describe("Only rows in force on that day, UTC"),
  limit: wholeNumber(1, MAX_PRICE_ROWS)
    .optional()
    .describe(`Rows at most; default ${DEFAULT_PRICE_ROWS}, at most ${MAX_PRICE_ROWS}`),
  cursor: z.string().max(2_048).optional().describe("`next_cursor` of the page before; opaque"),
});
export type PricesQuery = z.infer<typeof PricesQuery>;

/** Exact decimals by name; a name that is missing has no price, which is not 0. */
function pricesBy<Name extends string>(names: readonly Name[]) {
  const price = z.string().optional();
  return z.object(
    Object.fromEntries(names.map((name) => [name, price])) as Record<Name, typeof price>,
  );
}

const day = z.string().describe("YYYY-MM-DD, UTC");

export const PricedRow = z.object({
  price_id: z.string().describe("As calls name the row that priced them"),
  provider: z.string(),
  model: z.string(),
  aliases: z.array(z.string()).describe("Other exact ids of the model"),
  tier: z.string().describe("Service tier the row is for"),
  region: z
    .string()
    .nullable()
    .describe(
      "Region the row is for; `regional` is every known one but `global`; null where no other row of the tier names the region of the call",
    ),
  other_regions: z
    .enum(["same", "unpriced"])
    .describe("Whether rows without a region hold in regions that no row names"),
  input_tokens_over: count.describe("The row is for prompts of more tokens than this"),
  usd_per_million: pricesBy(TOKEN_CLASSES).describe("US dollars for a million tokens, by class"),
  usd_per_thousand: pricesBy(FEE_KINDS).describe("US dollars for a thousand pieces, by fee"),
  valid_from: day.nullable().describe("First day, YYYY-MM-DD, UTC; null: since ever"),
  valid_to: day.nullable().describe("First day it holds no more, YYYY-MM-DD; null: it still holds"),
  source: z
    .enum(["list", "contract"])
    .describe("A contract is asked before the list: of the project first, then of all projects"),
  evidence: z.string().describe("Where the price was read"),
  evidence_date: day.describe("When it was read there"),
});
export type PricedRow = z.infer<typeof PricedRow>;

export const PricesAnswer = z.object({
  prices: z.array(PricedRow).describe("In the order of their ids"),
  total: count.describe("Rows that fit, on all pages"),
  evidence_date: z
    .string()
    .nullable()
    .describe("The newest day that any price of the book was read, YYYY-MM-DD"),
  next_cursor: z.string().nullable().describe("null on the last page"),
});
export type PricesAnswer = z.infer<typeof PricesAnswer>;
