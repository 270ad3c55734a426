/**
 * How many steps a series may have. Invariant: a series is given whole or refused, never cut.
 */
import { MAX_SERIES_STEPS } from "../../../schemas/api-analytics-parts.ts";
import type { Interval } from "../../../schemas/usage.ts";
import { ApiError } from "../../errors.ts";
import type { TimeRange } from "../../request.ts";

/** Shortest steps of each interval, ms: days have 23 hours when clocks go forward. */
const SHORTEST_MS: Readonly<Record<Exclude<Interval, "none">, number>> = {
  "15m": 900_000,
  hour: 3_600_000,
  day: 23 * 3_600_000,
  week: 167 * 3_600_000,
  month: (28 * 24 - 1) * 3_600_000,
};

/** Throws ApiError(400) when the range may have more steps than a series. */
export function refuseManySteps(
  { from_ms, to_ms }: TimeRange,
  interval: Exclude<Interval, "none">,
): void {
  // Both ends may lie within a step.
  if ((to_ms - from_ms) / SHORTEST_MS[interval] + 1 <= MAX_SERIES_STEPS) return;
  const message = `has more than ${MAX_SERIES_STEPS} steps in this range; ask for longer steps or a shorter range`;
  throw new ApiError(400, "invalid_range", `interval ${message}`, [{ path: "interval", message }]);
}
