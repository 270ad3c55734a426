/**
 * From the query string of a request to validated parameters and the range of time they ask for.
 */
import { z } from "zod";
import { MAX_RANGE_S } from "../schemas/api.ts";
import { DIMENSION_NAMES, type DimensionName } from "../schemas/usage.ts";
import { ApiError, invalidQuery } from "./errors.ts";

/** Parameters that may be given several times. */
const LISTS: ReadonlySet<string> = new Set(DIMENSION_NAMES);

/** Parses the query string; an unknown or repeated parameter is an error, never ignored. */
export function parseQuery<Schema extends z.ZodType>(url: string, schema: Schema): z.infer<Schema> {
  const given = new Map<string, string | string[]>();
  for (const [name, value] of new URL(url).searchParams) {
    const earlier = given.get(name);
    if (LISTS.has(name)) given.set(name, [...(Array.isArray(earlier) ? earlier : []), value]);
    else if (earlier === undefined) given.set(name, value);
    else {
      const details = [{ path: name, message: "may be given only once" }];
      throw new ApiError(400, "invalid_query", `${name} may be given only once`, details);
    }
  }
  const result = schema.safeParse(Object.fromEntries(given));
  if (!result.success) throw invalidQuery(result.error);
  return result.data;
}

export interface TimeRange {
  /** Unix ms, inclusive. */
  readonly from_ms: number;
  /** Unix ms, exclusive. */
  readonly to_ms: number;
}

const DEFAULT_RANGE_MS = 86_400_000;

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

/** The filters given, by dimension. */
export function readFilters(
  query: Readonly<Partial<Record<DimensionName, string[] | undefined>>>,
): Partial<Record<DimensionName, string[]>> {
  const filters: Partial<Record<DimensionName, string[]>> = {};
  for (const name of DIMENSION_NAMES) {
    const values = query[name];
    if (values !== undefined) filters[name] = values;
  }
  return filters;
}
