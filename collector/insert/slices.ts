/**
 * Which days an INSERT touches. Each day is a partition, each partition of an INSERT a part of its
 * own, and each part costs the same whether it has one row or thousands: a body of spans of 1,500
 * days held the inserts up for 22 s. So one INSERT takes a bounded number of days, newest first, and
 * the rest of its records' days come after it, between the batches that follow.
 *
 * Invariant: the ranges of a batch have no gap and no overlap, and the outer two have no end: every
 * row is in exactly one, whatever the headers say.
 */
import type { BucketMark, TimeRange } from "../../schemas/record.ts";

/** Days of one INSERT at most. A part takes 12 to 20 ms to write and sync, so this is 0.5 s. */
export const MAX_INSERT_DAYS = 25;

const DAY_S = 86_400;

/** The days of buckets, as days since 1970, each once. */
export function daysOf(buckets: readonly BucketMark[]): Set<number> {
  const days = new Set<number>();
  for (const [, start_s] of buckets) days.add(Math.floor(start_s / DAY_S));
  return days;
}

/**
 * Ranges of at most so many of the days, newest first. One range without bounds, null, when all
 * days fit.
 */
export function splitDays(days: ReadonlySet<number>, max_days: number): (TimeRange | null)[] {
  if (days.size <= max_days) return [null];
  const newest_first = [...days].sort((a, b) => b - a);
  const ranges: TimeRange[] = [];
  let to_s: number | null = null;
  for (let first = 0; first < newest_first.length; first += max_days) {
    const last = first + max_days - 1;
    const from_s: number | null =
      last + 1 < newest_first.length ? (newest_first[last] as number) * DAY_S : null;
    ranges.push({ from_s, to_s });
    to_s = from_s;
  }
  return ranges;
}

/** Whether a time is in the range. */
export function isInRange(range: TimeRange | null, time_s: number): boolean {
  if (range === null) return true;
  return (
    (range.from_s === null || time_s >= range.from_s) &&
    (range.to_s === null || time_s < range.to_s)
  );
}
