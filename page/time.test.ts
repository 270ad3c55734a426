import { describe, expect, test } from "vitest";
import { endToMs, fillSteps, rangeOf, startOfDay, stepOf } from "./time.ts";

/** 21 November 2026, 16:07:30 UTC. */
const NOW_MS = Date.UTC(2026, 10, 21, 16, 7, 30);
const ask = (query: string) => rangeOf(new URLSearchParams(query), NOW_MS);

describe("ranges", () => {
  test("without words it is the last 30 days of UTC, with today", () => {
    expect(ask("")).toMatchObject({ from: "2026-10-23", to: "2026-11-22", tz: "UTC", name: "30d" });
  });

  test("days are those of the zone", () => {
    // In Auckland it is the 22nd already.
    expect(ask("range=today&tz=Pacific/Auckland")).toMatchObject({
      from: "2026-11-22",
      to: "2026-11-23",
    });
  });

  test("hours end with the quarter of an hour that goes on", () => {
    expect(ask("range=1h")).toMatchObject({
      from: "2026-11-21T15:15:00.000Z",
      to: "2026-11-21T16:15:00.000Z",
    });
  });

  test("yesterday is the day before, of the zone", () => {
    expect(ask("range=yesterday")).toMatchObject({ from: "2026-11-20", to: "2026-11-21" });
  });

  test("months are calendar months, also in January", () => {
    expect(ask("range=month")).toMatchObject({ from: "2026-11-01", to: "2026-12-01" });
    expect(ask("range=last_month")).toMatchObject({ from: "2026-10-01", to: "2026-11-01" });
    const january = rangeOf(new URLSearchParams("range=last_month"), Date.UTC(2027, 0, 31));
    expect(january).toMatchObject({ from: "2026-12-01", to: "2027-01-01" });
  });

  test("a range of its own is taken as it is; one that ends before it starts is not", () => {
    expect(ask("from=2026-11-01&to=2026-11-05")).toMatchObject({
      from: "2026-11-01",
      to: "2026-11-05",
      name: null,
    });
    expect(ask("from=2026-11-05&to=2026-11-01").name).toBe("30d");
    expect(ask("range=<script>&tz=Nowhere/None")).toMatchObject({ name: "30d", tz: "UTC" });
  });
});

describe("steps", () => {
  test("days begin at midnight of the zone on both sides of a change of clocks", () => {
    // Berlin went back to winter time on 25 October 2026, Kathmandu is 5:45 ahead.
    expect(startOfDay("2026-10-25", "Europe/Berlin")).toBe(Date.UTC(2026, 9, 24, 22));
    expect(startOfDay("2026-10-26", "Europe/Berlin")).toBe(Date.UTC(2026, 9, 25, 23));
    expect(startOfDay("2026-10-26", "Asia/Kathmandu")).toBe(Date.UTC(2026, 9, 25, 18, 15));
    expect(endToMs("2026-10-26T00:00:00Z", "Asia/Kathmandu")).toBe(Date.UTC(2026, 9, 26));
  });

  test("a chart has every step of its range, also those without calls", () => {
    const days = fillSteps([Date.UTC(2026, 10, 3)], "day", ask("from=2026-11-01&to=2026-11-05"));
    expect(days).toEqual([1, 2, 3, 4].map((day) => Date.UTC(2026, 10, day)));
    const berlin = ask("from=2026-10-24&to=2026-10-27&tz=Europe/Berlin");
    expect(fillSteps([], "day", berlin)).toHaveLength(3);
    const hours = fillSteps([], "hour", ask("from=2026-11-01&to=2026-11-02"));
    expect([hours.length, hours[0]]).toEqual([24, Date.UTC(2026, 10, 1)]);
  });

  test("hours of a zone at half past keep its phase", () => {
    const half = Date.UTC(2026, 10, 1, 3, 30);
    const range = ask("from=2026-11-01&to=2026-11-02&tz=Asia/Kolkata");
    const hours = fillSteps([half], "hour", range);
    expect(hours).toHaveLength(24);
    expect(new Set(hours.map((at) => at % 3_600_000))).toEqual(new Set([1_800_000]));
  });

  test.each([
    ["range=1h", "15m"],
    ["range=24h", "15m"],
    ["range=7d", "hour"],
    ["range=30d", "day"],
    ["from=2024-01-01&to=2026-01-01", "week"],
  ])("%s is drawn by %s", (query, step) => {
    expect(stepOf(ask(query))).toBe(step);
  });
});
