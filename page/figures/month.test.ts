import { describe, expect, it } from "vitest";
import { addUpDays } from "./month.ts";

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
