/**
 * Periods of the calendar by their names, and what lies before a range.
 *
 * Invariant: a period begins at the first instant of its first local date, so that periods follow each
 * other without a gap, whatever clocks do.
 */
import { instantOf, localTime, previousShift, shiftBack, startOfDay } from "./calendar.ts";
import type { TimeRange } from "./request.ts";

/** Kinds of periods. */
export const PERIOD_KINDS = ["day", "week", "month"] as const;
export type PeriodKind = (typeof PERIOD_KINDS)[number];

/** A period and the one of its kind before it. */
export interface Period extends TimeRange {
  readonly kind: PeriodKind;
  readonly previous: TimeRange;
}

const DAY_MS = 86_400_000;
/** Years whose periods, and the ones before and after, the tables can hold. */
const FIRST_YEAR = 1971;
const LAST_YEAR = 2104;

/** The first date of the period that a date is in, so many periods later; dates as midnights in UTC. */
function shiftDate(date_ms: number, kind: PeriodKind, periods: number): number {
  const date = new Date(date_ms);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  if (kind === "month") return Date.UTC(year, month + periods, 1);
  if (kind === "day") return Date.UTC(year, month, day + periods);
  // Weeks begin on Monday.
  return Date.UTC(year, month, day - ((date.getUTCDay() + 6) % 7) + 7 * periods);
}

function periodOfDate(date_ms: number, kind: PeriodKind, tz: string): Period {
  const start = (periods: number) => startOfDay(shiftDate(date_ms, kind, periods), tz);
  const from_ms = start(0);
  return { kind, from_ms, to_ms: start(1), previous: { from_ms: start(-1), to_ms: from_ms } };
}

/**
 * The period of a name: `day`, `week` (from Monday) and `month` are those that the instant is in, a month
 * such as `2026-11` and a day such as `2026-11-21` are themselves. Null for any other text, for a date
 * that no calendar has, and for years before 1971 and after 2104.
 */
export function findPeriod(name: string, now_ms: number, tz: string): Period | null {
  const kind = PERIOD_KINDS.find((known) => known === name);
  if (kind !== undefined) {
    return periodOfDate(Math.floor(localTime(now_ms, tz) / DAY_MS) * DAY_MS, kind, tz);
  }
  const match = /^(\d{4})-(\d{2})(-\d{2})?$/.exec(name);
  if (match === null) return null;
  const text = match[3] === undefined ? `${name}-01` : name;
  const date_ms = Date.parse(`${text}T00:00:00Z`);
  const year = Number(match[1]);
  if (Number.isNaN(date_ms) || year < FIRST_YEAR || year > LAST_YEAR) return null;
  // A day that its month lacks is read as one of the next.
  if (new Date(date_ms).toISOString().slice(0, 10) !== text) return null;
  return periodOfDate(date_ms, match[3] === undefined ? "month" : "day", tz);
}

/** As much of the period before as has passed of this one, by the clocks of the zone. */
export function samePartBefore(period: Period, to_ms: number, tz: string): TimeRange {
  const { from_ms, previous } = period;
  if (to_ms >= period.to_ms) return previous;
  const passed_ms = localTime(to_ms, tz) - localTime(from_ms, tz);
  const same_ms = instantOf(localTime(previous.from_ms, tz) + passed_ms, tz);
  return { from_ms: previous.from_ms, to_ms: Math.min(same_ms, previous.to_ms) };
}

/** The range of the same length just before, in days when it begins and ends at midnight. */
export function rangeBefore(range: TimeRange, tz: string): TimeRange {
  const shift = previousShift(range, "none", tz);
  return {
    from_ms: Math.max(0, shiftBack(range.from_ms, shift, tz)),
    to_ms: Math.max(0, shiftBack(range.to_ms, shift, tz)),
  };
}
