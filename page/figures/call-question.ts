/**
 * The question that `GET /v1/calls` takes for what is looked at: it knows no time zone, so that days of
 * the zone become instants.
 *
 * Invariant: the calls asked for are those that the sums beside them count.
 */
import type { Asked } from "../answers.ts";
import type { Query } from "../api.ts";
import { endToMs } from "../time.ts";

/** Range and filters as `GET /v1/calls` takes them. */
export function callQueryOf({ query, range }: Asked): Query {
  const { tz: _tz, ...rest } = query;
  return {
    ...rest,
    from: new Date(endToMs(range.from, range.tz)).toISOString(),
    to: new Date(endToMs(range.to, range.tz)).toISOString(),
  };
}
