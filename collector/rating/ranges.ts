/**
 * Cuts a day into ranges of time that hold a bounded number of calls, so that pricing them again takes
 * bounded memory and a bounded time for each statement.
 *
 * Invariant: the ranges are disjoint and hold every second that has calls.
 */

/** Whole seconds from `from_s` up to, without, `to_s`, Unix. */
export interface TimeRange {
  readonly from_s: number;
  readonly to_s: number;
  /** Rows in it, redeliveries included. */
  readonly rows: number;
}

/** Rows of a second or of a day, by its start. */
export interface TimedCount {
  readonly start_s: number;
  readonly rows: number;
}

/**
 * Ranges of at most `max_rows` rows from ascending seconds; a second with more is a range of its own.
 */
export function cutRanges(seconds: readonly TimedCount[], max_rows: number): TimeRange[] {
  const ranges: TimeRange[] = [];
  for (const { start_s, rows } of seconds) {
    const last = ranges.at(-1);
    const to_s = start_s + 1;
    if (last !== undefined && last.rows + rows <= max_rows) {
      ranges[ranges.length - 1] = { from_s: last.from_s, to_s, rows: last.rows + rows };
    } else {
      ranges.push({ from_s: start_s, to_s, rows });
    }
  }
  return ranges;
}
