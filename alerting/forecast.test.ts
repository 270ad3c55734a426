/** The forecast against sums that were made by hand. */
import { expect, test } from "vitest";
import { forecastWindow } from "./forecast.ts";
import { daysBetween, windowOf } from "./windows.ts";

const DAY_MS = 86_400_000;
/** Monday, 1 June 2026, 00:00 UTC. */
const JUNE = Date.UTC(2026, 5, 1);

/** The forecast of June at a time, with amounts of the days before it, the last of them yesterday. */
function forecast(now_ms: number, amounts: readonly (number | null)[], spent: number) {
  const today_ms = windowOf("day", "UTC", now_ms).start_ms;
  const days = daysBetween("UTC", today_ms - amounts.length * DAY_MS, today_ms);
  return forecastWindow({
    window: windowOf("month", "UTC", JUNE),
    tz: "UTC",
    now_ms,
    spent: BigInt(spent),
    days: days.map((day, index) => ({
      ...day,
      amount: amounts[index] ?? 0,
      has_calls: amounts[index] !== null,
    })),
  });
}

test("even days go on evenly: ten days of 10 make a June of 300", () => {
  const days = Array.from({ length: 10 }, () => 10);
  expect(forecast(JUNE + 10 * DAY_MS, days, 100)?.amount).toBe(300n);
});

test("of today only what is left is added", () => {
  const days = Array.from({ length: 10 }, () => 10);
  expect(forecast(JUNE + 10.5 * DAY_MS, days, 105)?.amount).toBe(300n);
});

test("days before the first with a call are no data, days without calls after it are", () => {
  const now_ms = JUNE + 5 * DAY_MS;
  expect(forecast(now_ms, [null, null, null, 30, 30], 60)).toBeNull();
  const known = forecast(now_ms, [null, null, 30, null, 30], 60);
  expect(known).toMatchObject({ known_days: 3, amount: 60n + 25n * 20n });
});

test("once the window has three whole days its own level counts, not that of the month before", () => {
  const days = [...Array.from({ length: 10 }, () => 1), 10, 10, 10];
  // 13 known days: no shape yet.
  expect(forecast(JUNE + 3 * DAY_MS, days, 30)?.amount).toBe(300n);
});

test("in the first days of a window the days before it stand in", () => {
  const days = Array.from({ length: 5 }, () => 7);
  expect(forecast(JUNE + 1 * DAY_MS, days, 7)).toMatchObject({ amount: 210n, known_days: 5 });
});

test("with four weeks known, weekends stay weekends", () => {
  const now_ms = JUNE + 7 * DAY_MS;
  const week = [100, 100, 100, 100, 100, 0, 0];
  const days = [...week, ...week, ...week, ...week];
  // June 2026 has 22 working days.
  expect(forecast(now_ms, days, 500)?.amount).toBe(2200n);
});

test("a window that is over soon has little to add, one of nothing stays nothing", () => {
  const end = JUNE + 30 * DAY_MS;
  expect(
    forecast(
      end - 1,
      Array.from({ length: 29 }, () => 10),
      300,
    )?.amount,
  ).toBe(300n);
  expect(forecast(JUNE + 10 * DAY_MS, [0, 0, 0, 0], 0)?.amount).toBe(0n);
});
