import { describe, expect, it } from "vitest";
import { addUpDays, forecastWords } from "./month.ts";

describe("the month so far", () => {
  it("adds days up exactly, a day without a price adding nothing", () => {
    const days = addUpDays([
      { time: "2026-11-01T00:00:00Z", calls: 1, cost_usd: null },
      { time: "2026-11-02T00:00:00Z", calls: 1, cost_usd: "0.1" },
      { time: "2026-11-03T00:00:00Z", calls: 1, cost_usd: null },
      { time: "2026-11-04T00:00:00Z", calls: 1, cost_usd: "0.2" },
    ]);
    expect(days.map(({ so_far_usd }) => so_far_usd)).toEqual([null, "0.1", "0.1", "0.3"]);
  });
});

describe("the forecast in words", () => {
  it("says the amount and what it rests on, or why there is none", () => {
    expect(forecastWords({ cost_usd: "32.641", reason: null, known_days: 20 })).toBe(
      "Forecast $32.64, from 20 days",
    );
    const reason = "fewer than 3 whole days of calls";
    expect(forecastWords({ cost_usd: null, reason, known_days: 0 })).toBe(
      "No forecast: fewer than 3 whole days of calls",
    );
  });
});
