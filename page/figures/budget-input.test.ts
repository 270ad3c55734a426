import { describe, expect, it } from "vitest";
import { BudgetInput } from "../../schemas/alerting.ts";
import { budgetBody, readPercents, scopeLines, scopeOf } from "./budget-input.ts";

const typed = {
  name: " Search ",
  amount: "$1,250.50",
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

  it("leaves it to the API to refuse an amount", () => {
    expect(BudgetInput.safeParse(budgetBody({ ...typed, amount: "-1" })).success).toBe(false);
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
