/**
 * When things happen: spreads requests over a window of time, busier by day than by night.
 *
 * Invariant: times rise with the share asked for, so that traffic is made in order of time.
 */
import { drawNormal, type Random } from "./random.ts";

/** Above this length the traffic has days and nights, minutes. */
export const DAILY_SHAPE_MINUTES = 1_440;

const MINUTE_MS = 60_000;
const LONG_SLOT_MINUTES = 15;
/** Spread of the traffic from slot to slot. */
const SLOT_SIGMA = 0.3;

/** Traffic by hour of the day, UTC: an office in western Europe. */
const HOURS: readonly number[] = [
  2, 1.5, 1, 1, 1.2, 2, 4, 8, 13, 16, 17, 15, 12, 15, 17, 16, 14, 11, 8, 6, 5, 4, 3.5, 2.5,
];
const WEEKEND_FACTOR = 0.35;

function weightAt(unix_ms: number): number {
  const date = new Date(unix_ms);
  const weekend = date.getUTCDay() === 0 || date.getUTCDay() === 6;
  return (HOURS[date.getUTCHours()] ?? 1) * (weekend ? WEEKEND_FACTOR : 1);
}

/**
 * The time by which a share of all traffic has happened: a function from 0..1 to Unix ms within the
 * window.
 */
export function makeSchedule(
  random: Random,
  start_ms: number,
  minutes: number,
): (share: number) => number {
  const daily = minutes > DAILY_SHAPE_MINUTES;
  const slot_minutes = daily ? LONG_SLOT_MINUTES : 1;
  const slots = Math.ceil(minutes / slot_minutes);
  const end_ms = start_ms + minutes * MINUTE_MS;
  const slotStart = (slot: number) => Math.min(start_ms + slot * slot_minutes * MINUTE_MS, end_ms);
  /** Traffic before each slot and, last, in all. */
  const before = new Float64Array(slots + 1);
  for (let slot = 0; slot < slots; slot += 1) {
    const length = slotStart(slot + 1) - slotStart(slot);
    const noise = Math.exp(SLOT_SIGMA * drawNormal(random));
    const weight = (daily ? weightAt(slotStart(slot)) : 1) * noise * length;
    before[slot + 1] = (before[slot] ?? 0) + weight;
  }
  const total = before[slots] ?? 0;
  return (share) => {
    const wanted = share * total;
    const slot = findSlot(before, wanted);
    const low = before[slot] ?? 0;
    const high = before[slot + 1] ?? low;
    const part = high > low ? (wanted - low) / (high - low) : 0;
    return slotStart(slot) + part * (slotStart(slot + 1) - slotStart(slot));
  };
}

/** The slot in which the wanted amount is reached (binary search). */
function findSlot(before: Float64Array, wanted: number): number {
  let low = 0;
  let high = before.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((before[middle] ?? 0) <= wanted) low = middle;
    else high = middle - 1;
  }
  return low;
}
