import { describe, expect, it } from "vitest";
import type { BudgetAnswer } from "../../schemas/alerting.ts";
import {
  budgetState,
  conditionWords,
  exhaustionOf,
  reachedWords,
  scopeWords,
  silenceOf,
  showAmount,
  sortBudgets,
} from "./budget-words.ts";

const NOW_MS = Date.parse("2026-11-21T00:00:00Z");

function makeBudget(changes: Partial<BudgetAnswer>): BudgetAnswer {
  return {
    budget_id: "b",
    project_id: "default",
    name: "b",
    amount: "100",
    unit: "usd",
    period: "month",
    tz: "UTC",
    filters: {},
    tags: [],
    thresholds: [],
    channel_ids: [],
    is_enabled: true,
    created_at: "2026-11-01T00:00:00Z",
    updated_at: "2026-11-01T00:00:00Z",
    window: { start: "2026-11-01T00:00:00.000Z", end: "2026-12-01T00:00:00.000Z" },
    spent: "50",
    share: 0.5,
    remaining: "50",
    forecast: { amount: "75", share: 0.75, known_days: 20, method: "" },
    is_complete: true,
    coverage: {
      calls: 1,
      calls_missing_usage: 0,
      calls_estimated: 0,
      calls_unpriced: 0,
      tokens_priced_share: 1,
    },
    ...changes,
  };
}

const over = makeBudget({ budget_id: "over", spent: "120.5", share: 1.205, remaining: "-20.5" });
const soon = makeBudget({
  budget_id: "soon",
  forecast: { amount: "150", share: 1.5, known_days: 20, method: "" },
});

describe("how a budget stands", () => {
  it("is within the limit when its forecast is", () => {
    expect(budgetState(makeBudget({}), NOW_MS).level).toBe("good");
  });

  it("is used up from the limit on, and says by how much it is over", () => {
    expect(budgetState(over, NOW_MS)).toEqual({
      level: "over",
      words: "Used up: $20.50 over the limit.",
    });
    const even = makeBudget({ spent: "100", share: 1, remaining: "0" });
    expect(budgetState(even, NOW_MS).level).toBe("over");
  });

  it("warns with the day when the forecast is over the limit", () => {
    expect(budgetState(soon, NOW_MS)).toEqual({
      level: "warning",
      words: "At this pace it is used up about Thu, 26 Nov 2026.",
    });
  });

  it("is not known when no call has a price, which is not nothing spent", () => {
    const unknown = makeBudget({ spent: null, share: null, remaining: null, forecast: null });
    expect(budgetState(unknown, NOW_MS).level).toBe("unknown");
  });

  it("comes first when it is worst", () => {
    const good = makeBudget({ budget_id: "good" });
    const off = makeBudget({ budget_id: "off", is_enabled: false });
    const ids = sortBudgets([off, good, soon, over], NOW_MS).map(({ budget_id }) => budget_id);
    expect(ids).toEqual(["over", "soon", "good", "off"]);
  });
});

describe("the day a budget is used up", () => {
  it("is where the pace of the forecast meets the limit", () => {
    // 100 are to come in ten days, 50 are left: five days.
    expect(exhaustionOf(soon, NOW_MS)).toBe(Date.parse("2026-11-26T00:00:00Z"));
  });

  it("is none when it is used up, never will be, or has no forecast", () => {
    expect(exhaustionOf(over, NOW_MS)).toBeNull();
    expect(exhaustionOf(makeBudget({}), NOW_MS)).toBeNull();
    expect(exhaustionOf(makeBudget({ forecast: null }), NOW_MS)).toBeNull();
  });
});

describe("who is told", () => {
  const [on, off] = [
    { channel_id: "on", is_enabled: true },
    { channel_id: "off", is_enabled: false },
  ];

  it("is nobody without a channel, and when all that are meant are off", () => {
    expect(silenceOf(makeBudget({}), [])).toMatch(/no channel yet/);
    expect(silenceOf(makeBudget({}), [off])).toMatch(/are off/);
    expect(silenceOf(makeBudget({ channel_ids: ["off", "gone"] }), [on, off])).toMatch(/chosen/);
  });

  it("is somebody when one of them is on, and not asked of a budget that is off", () => {
    expect(silenceOf(makeBudget({}), [on, off])).toBeNull();
    expect(silenceOf(makeBudget({ channel_ids: ["on"] }), [on])).toBeNull();
    expect(silenceOf(makeBudget({ is_enabled: false }), [])).toBeNull();
  });
});

describe("words", () => {
  it("amounts have their unit", () => {
    expect(showAmount("usd", "1234.5")).toBe("$1,234.50");
    expect(showAmount("tokens", "1500000")).toBe("1,500,000 tokens");
    expect(showAmount("calls", null)).toBe("–");
  });

  it("say which calls are meant, those without a value too", () => {
    expect(scopeWords({ filters: {}, tags: [] })).toBe("All calls");
    const scope = {
      filters: { service_name: ["search", ""] },
      tags: [{ key: "team", values: ["a"] }],
    };
    expect(scopeWords(scope)).toBe("Service: search or (none) · Tag team: a");
  });

  it("say which thresholds are reached", () => {
    const thresholds = [
      { kind: "actual", percent: 50, is_crossed: true, notified_at: null },
      { kind: "actual", percent: 80, is_crossed: false, notified_at: null },
      { kind: "forecast", percent: 100, is_crossed: true, notified_at: null },
    ] as const;
    expect(reachedWords({ thresholds: [...thresholds] })).toBe("50 % spent, 100 % forecast");
  });

  it("say what makes a rule fire", () => {
    expect(
      conditionWords({
        measure: "error_rate",
        condition: { kind: "threshold", direction: "above", value: 0.05, window_minutes: 15 },
      }),
    ).toBe("error_rate above 5.0 % over 15 min");
    expect(
      conditionWords({
        measure: "cost_usd",
        condition: {
          kind: "change",
          direction: "up",
          percent: 50,
          window_minutes: 60,
          baseline: "weeks",
          baseline_count: 4,
        },
      }),
    ).toBe(
      "cost_usd rises by more than 50 % over an hour, against the same hours of 4 weeks before",
    );
  });
});
