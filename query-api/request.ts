/**
 * From the query string of a request to validated parameters and the range of time they ask for.
 *
 * Invariant: a parameter is used or it is an error; none is ignored.
 */
import { z } from "zod";
import { MAX_RANGE_S } from "../schemas/api-parts.ts";
import {
  CALL_FILTER_NAMES,
  type CallFilterName,
  DIMENSION_NAMES,
  type DimensionName,
  TAG_PREFIX,
} from "../schemas/usage.ts";
import { startOfDay } from "./calendar.ts";
import { ApiError, invalidQuery } from "./errors.ts";

/** Parameters whose name ends in the key of a tag, and the field of the schema they go to. */
const TAG_FIELDS: readonly { readonly prefix: string; readonly field: string }[] = [
  { prefix: TAG_PREFIX, field: "tag" },
  { prefix: `not_${TAG_PREFIX}`, field: "not_tag" },
];

type Given = Map<string, string | (string | readonly [string, string])[]>;

/** Parses the query string; an unknown or repeated parameter is an error, never ignored. */
export function parseQuery<Schema extends z.ZodType>(url: string, schema: Schema): z.infer<Schema> {
  const fields: Readonly<Record<string, unknown>> =
    schema instanceof z.ZodObject ? schema.shape : {};
  const given: Given = new Map();
  for (const [name, value] of new URL(url).searchParams) {
    const tag = TAG_FIELDS.find(
      ({ prefix, field }) => name.startsWith(prefix) && Object.hasOwn(fields, field),
    );
    if (tag !== undefined) append(given, tag.field, [name.slice(tag.prefix.length), value]);
    else if (Object.hasOwn(fields, name) && takesList(fields[name])) append(given, name, value);
    else if (!given.has(name)) given.set(name, value);
    else {
      const details = [{ path: name, message: "may be given only once" }];
      throw new ApiError(400, "invalid_query", `${name} may be given only once`, details);
    }
  }
  const result = schema.safeParse(Object.fromEntries(given));
  if (!result.success) throw invalidQuery(result.error);
  return result.data;
}

function append(given: Given, name: string, value: string | readonly [string, string]): void {
  const earlier = given.get(name);
  given.set(name, [...(Array.isArray(earlier) ? earlier : []), value]);
}

/** Whether a field of a schema is a list, and its parameter so one that may be repeated. */
function takesList(field: unknown): boolean {
  if (field instanceof z.ZodOptional || field instanceof z.ZodDefault)
    return takesList(field.unwrap());
  return field instanceof z.ZodArray;
}

export interface TimeRange {
  /** Unix ms, inclusive. */
  readonly from_ms: number;
  /** Unix ms, exclusive. */
  readonly to_ms: number;
}

const DEFAULT_RANGE_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** The range asked for, by default the last 24 hours. */
export function resolveRange(
  query: { from?: number | undefined; to?: number | undefined },
  now_ms: number,
): TimeRange {
  const to_ms = query.to ?? now_ms;
  const from_ms = query.from ?? Math.max(0, to_ms - DEFAULT_RANGE_MS);
  const fail = (message: string) => {
    throw new ApiError(400, "invalid_range", message, [{ path: "from", message }]);
  };
  if (from_ms >= to_ms) fail("from must lie before to");
  if (to_ms - from_ms > MAX_RANGE_S * 1000) fail("the range is longer than ten years");
  return { from_ms, to_ms };
}

/** The end of the minute that is, Unix ms: the default end, so that a repeated question is the same. */
export function endOfMinute(now_ms: number): number {
  return Math.floor(now_ms / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
}

/**
 * The range asked for in a time zone: instants as Unix ms, days as YYYY-MM-DD; by default 24 hours up
 * to the end of the current minute.
 */
export function resolveRangeIn(
  query: { from?: number | string | undefined; to?: number | string | undefined },
  tz: string,
  now_ms: number,
): TimeRange {
  const resolve = (value: number | string | undefined) =>
    typeof value === "string" ? Math.max(0, startOfDay(Date.parse(value), tz)) : value;
  return resolveRange({ from: resolve(query.from), to: resolve(query.to) }, endOfMinute(now_ms));
}

/** The filters given, by dimension. */
export function readFilters(
  query: Readonly<Partial<Record<CallFilterName, string[] | undefined>>>,
): Partial<Record<CallFilterName, string[]>> {
  return pickFilters(CALL_FILTER_NAMES, (name) => query[name]);
}

/** The filters given by any dimension, and those that leave values out. */
export function readUsageFilters(
  query: Readonly<Partial<Record<DimensionName | `not_${DimensionName}`, string[] | undefined>>>,
): {
  filters: Partial<Record<DimensionName, string[]>>;
  excluded: Partial<Record<DimensionName, string[]>>;
} {
  return {
    filters: pickFilters(DIMENSION_NAMES, (name) => query[name]),
    excluded: pickFilters(DIMENSION_NAMES, (name) => query[`not_${name}`]),
  };
}

function pickFilters<Name extends DimensionName>(
  names: readonly Name[],
  read: (name: Name) => string[] | undefined,
): Partial<Record<Name, string[]>> {
  const filters: Partial<Record<Name, string[]>> = {};
  for (const name of names) {
    const values = read(name);
    if (values !== undefined) filters[name] = values;
  }
  return filters;
}

/** Filters by tags, by their keys. */
export function readTagFilters(
  given: readonly (readonly [key: string, value: string])[] | undefined,
): ReadonlyMap<string, readonly string[]> {
  const filters = new Map<string, string[]>();
  for (const [key, value] of given ?? []) filters.set(key, [...(filters.get(key) ?? []), value]);
  return filters;
}
