import { describe, expect, it } from "vitest";
import type { UsageRow } from "../../schemas/api-usage.ts";
import { heatCells } from "./heat.ts";

const coverage = {
  calls: 1,
  calls_missing_usage: 0,
  calls_estimated: 0,
  calls_unpriced: 0,
  tokens_priced_share: 1,
};

function makeRow(time: string, cost_usd: string | null, calls: number): UsageRow {
  return { time, cost_usd, calls, coverage };
}

describe("cells of a week", () => {
  it("sums the same hour of the same weekday exactly, Monday first", () => {
    const cells = heatCells(
      [
        makeRow("2026-11-22T23:00:00.000Z", "5", 2), // a Sunday
        makeRow("2026-11-16T09:00:00.000Z", "0.1", 3), // Mondays
        makeRow("2026-11-23T09:00:00.000Z", "0.2", 4),
      ],
      "UTC",
    );
    expect(cells).toEqual([
      { weekday: 0, hour: 9, cost_usd: "0.3", calls: 7 },
      { weekday: 6, hour: 23, cost_usd: "5", calls: 2 },
    ]);
  });

  it("goes by the clocks of the zone, before and after they change", () => {
    const rows = [
      makeRow("2026-10-24T22:30:00.000Z", "1", 1), // Berlin: Sunday 00:30, summer time
      makeRow("2026-11-21T23:30:00.000Z", "1", 1), // Berlin: Sunday 00:30, winter time
    ];
    expect(heatCells(rows, "Europe/Berlin")).toEqual([
      { weekday: 6, hour: 0, cost_usd: "2", calls: 2 },
    ]);
  });

  it("knows no cost where no call has a price", () => {
    expect(heatCells([makeRow("2026-11-16T09:00:00.000Z", null, 3)], "UTC")).toEqual([
      { weekday: 0, hour: 9, cost_usd: null, calls: 3 },
    ]);
  });
});
