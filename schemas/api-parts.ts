/**
 * Parts that the shapes of requests and answers are made of: instants, time zones, lists, filters,
 * bounds. Invariant: every text that a request may carry has a longest length.
 */
import { z } from "zod";
import { DIMENSION_NAMES, type DimensionName } from "./usage.ts";

/** Longest range of one question, seconds: ten years. */
export const MAX_RANGE_S = 3_660 * 86_400;
/** Latest instant that can be asked for, Unix ms: the tables hold times of the years 1970 to 2105. */
export const MAX_INSTANT_MS = Date.UTC(2106, 0, 1);
/** Values of one filter. */
export const MAX_FILTER_VALUES = 100;
/** Characters of one value of a filter. */
export const MAX_FILTER_LENGTH = 1024;

/** What is wrong with a name that is no time zone. */
export const NO_SUCH_ZONE = "must be an IANA time zone such as Europe/Berlin";
const INSTANT_BOUNDS = "must lie in the years 1970 to 2105";
const NO_INSTANT = "must be RFC 3339 such as 2026-11-21T08:00:00Z, or a date";

/** US dollars as an exact decimal. */
export const decimalUsd = z.string().describe("US dollars, exact decimal");
/** A whole number that is not negative. */
export const count = z.number().int().nonnegative();

const unixMs = z.number().min(0, INSTANT_BOUNDS).max(MAX_INSTANT_MS, INSTANT_BOUNDS);

/** An instant: RFC 3339 with a zone, or a day (its start, UTC). Unix ms. */
export const instant = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], { error: NO_INSTANT })
  .transform((text) => Date.parse(text))
  .pipe(unixMs)
  .describe("RFC 3339 with a zone, or YYYY-MM-DD (UTC); digits beyond milliseconds are cut");

/** An instant as Unix ms, or a day of the time zone of the question as YYYY-MM-DD. */
export const instantOrDay = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], { error: NO_INSTANT })
  .transform((text) => ({ text, ms: Date.parse(text) }))
  .refine(({ ms }) => unixMs.safeParse(ms).success, INSTANT_BOUNDS)
  .transform(({ text, ms }): number | string => (text.length === "2026-11-21".length ? text : ms))
  .describe(
    "RFC 3339 with a zone, or YYYY-MM-DD, a day of `tz`; digits beyond milliseconds are cut",
  );

/** The name of a time zone. */
export const timeZone = z
  .string()
  .max(64, NO_SUCH_ZONE)
  .refine((name) => canonicalTimeZone(name) !== null, NO_SUCH_ZONE)
  .describe("IANA time zone");

/** The name that every time zone database has for an IANA name in any case; null for no zone. */
export function canonicalTimeZone(name: string): string | null {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return null;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null; // the constructor throws for zones it does not know
  }
}

/** One of these words; the error names them. */
export function oneOf<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names, { error: `must be one of: ${names.join(", ")}` });
}

/** A list in one parameter, separated by commas; other names may stand for those of the list. */
export function listOf<Name extends string>(
  names: readonly Name[],
  aliases: Readonly<Record<string, Name>> = {},
) {
  return z
    .string()
    .transform((text) => splitList(text, aliases))
    .pipe(
      z.array(
        z.enum(names as readonly [Name, ...Name[]], {
          error: `must be a list of: ${names.join(", ")}`,
        }),
      ),
    )
    .transform((list) => [...new Set(list)]);
}

/** The words of a list, each by its own name. */
export function splitList(text: string, aliases: Readonly<Record<string, string>>): string[] {
  return text.split(",").map((word) => {
    const name = word.trim();
    return Object.hasOwn(aliases, name) ? (aliases[name] as string) : name;
  });
}

/** One value of a filter. */
export const filterValue = z
  .string()
  .max(MAX_FILTER_LENGTH, `must have at most ${MAX_FILTER_LENGTH} characters a value`);

/** The values that a filter lets through; the parameter may be given several times. */
export const filterValues = z
  .array(filterValue)
  .max(MAX_FILTER_VALUES, `may be given at most ${MAX_FILTER_VALUES} times`)
  .describe("Give it several times to allow several values");

/** Filters by these dimensions; a parameter may be given several times. */
export function filtersOf<Name extends DimensionName>(names: readonly Name[]) {
  return Object.fromEntries(names.map((name) => [name, filterValues.optional()])) as Record<
    Name,
    z.ZodOptional<typeof filterValues>
  >;
}

const excludedValues = filterValues.describe("Leaves out calls with this value; may be repeated");
/** Names of the parameters that leave values of a dimension out. */
export type ExclusionName = `not_${DimensionName}`;

/** Filters that leave values out, one for each dimension. */
export const exclusions = Object.fromEntries(
  DIMENSION_NAMES.map((name) => [`not_${name}`, excludedValues.optional()]),
) as Record<ExclusionName, z.ZodOptional<typeof filterValues>>;

/** A whole number within bounds, as the text of a parameter. */
export function wholeNumber(minimum: number, maximum: number) {
  const within = `must be a whole number from ${minimum} to ${maximum}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, within)
    .transform(Number)
    .pipe(z.number().refine((value) => value >= minimum && value <= maximum, within));
}

/** How far a sum can be trusted (DESIGN section 10). */
export const Coverage = z
  .object({
    calls: count,
    calls_missing_usage: count.describe("calls nobody reported the usage of, refused calls apart"),
    calls_estimated: count.describe("calls whose token split rests on an assumption"),
    calls_unpriced: count.describe("calls whose cost is not, or not wholly, known"),
    tokens_priced_share: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe("share of the known tokens that has a price; null without tokens"),
  })
  .describe("How far the sums can be trusted");
export type Coverage = z.infer<typeof Coverage>;
