import { describe, expect, it } from "vitest";
import { BudgetInput } from "../../schemas/alerting.ts";
import { budgetBody, limitWords, readPercents, scopeLines, scopeOf } from "./budget-input.ts";

const typed = {
  name: " Search ",
  amount: "$1250.50",
  unit: "usd",
  period: "month",
  tz: "Europe/Berlin",
  actual: "50, 80 100%",
  forecast: "100",
  is_enabled: true,
  channel_ids: ["on-call"],
  lines: [
    { name: "service_name", value: "search" },
    { name: "service_name", value: "search" },
    { name: "service_name", value: "" },
    { name: "tag.team", value: "a" },
  ],
};

describe("the form of a budget", () => {
  it("makes a body that the API takes, and changes nothing of it", () => {
    const body = budgetBody(typed);
    expect(BudgetInput.parse(body)).toEqual(body);
    expect(body).toMatchObject({
      name: "Search",
      amount: "1250.50",
      filters: { service_name: ["search", ""] },
      tags: [{ key: "team", values: ["a"] }],
      thresholds: [
        { kind: "actual", percent: 50 },
        { kind: "actual", percent: 80 },
        { kind: "actual", percent: 100 },
        { kind: "forecast", percent: 100 },
      ],
    });
  });

  it("leaves it to the API to refuse an amount that it can read", () => {
    expect(BudgetInput.safeParse(budgetBody({ ...typed, amount: "0" })).success).toBe(false);
  });

  it.each(["25,5", "99,90", "1,250", "1,250.50", "1.250,50", "1 250", "-1", "1e3", ".5", "5.", ""])(
    "refuses the amount %j, which can be read in two ways or none",
    (amount) => {
      expect(() => budgetBody({ ...typed, amount })).toThrow(/with a point before the cents/);
    },
  );

  it("says what will be saved", () => {
    expect(limitWords(" $25.5 ", "usd", "month")).toBe("$25.50 a month");
    expect(limitWords("1500000", "tokens", "day")).toBe("1,500,000 tokens a day");
    expect(() => limitWords("25,5", "usd", "month")).toThrow(RangeError);
    expect(() => limitWords("1.5", "calls", "day")).toThrow(/whole number/);
  });

  it("shows a scope in lines that give the same scope", () => {
    const scope = {
      filters: { model: ["a", "b"], service_name: ["c"] },
      tags: [{ key: "team.x", values: ["d", "e"] }],
    };
    expect(scopeOf(scopeLines(scope))).toEqual(scope);
  });

  it("names what is no percentage", () => {
    expect(readPercents("")).toEqual([]);
    expect(() => readPercents("50, most")).toThrow(/"most"/);
    expect(() => readPercents("7.5")).toThrow(RangeError);
  });
});
