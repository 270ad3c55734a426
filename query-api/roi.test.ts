/** The calculator by hand: exact decimals, and a null with its reason where there is nothing to divide by. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromWhole, ONE, readDecimal } from "./decimal.ts";
import { computeRoi, type RoiInput } from "./roi.ts";

const BASE: RoiInput = {
  tasks_per_month: fromWhole(1_000),
  value_per_task: readDecimal("0.5"),
  success_share: readDecimal("0.8"),
  model_cost_per_month: readDecimal("100"),
  fixed_cost_per_month: readDecimal("50"),
  setup_cost: readDecimal("1000"),
  growth_per_month: 0n,
  months: 12,
};

test("value, cost, net and ratios of a year", () => {
  const result = computeRoi(BASE);
  expect(result).toMatchObject({
    tasks: "12000",
    value_usd: "4800",
    cost_usd: "2800",
    cost: { model_usd: "1200", fixed_usd: "600", setup_usd: "1000" },
    net_usd: "2000",
    roi_percent: "71.4286",
    cost_per_task_usd: "0.233333333333",
    model_cost_per_task_usd: "0.1",
    net_per_task_usd: "0.166666666667",
    // 250 come in each month.
    payback_months: "4",
    // 50 fixed and 83.33 of the setup, over 0.4 - 0.1 a task.
    break_even_tasks_per_month: "444.444444444443",
    // 2,800 over 9,600 tasks that succeed.
    break_even_value_per_task_usd: "0.291666666667",
    reasons: [],
  });
  expect(result.by_month).toHaveLength(12);
  expect(result.by_month.at(-1)).toEqual({
    month: 12,
    tasks: "1000",
    value_usd: "400",
    cost_usd: "150",
    net_usd: "250",
    cumulative_net_usd: "2000",
  });
  expect(result.sensitivity).toContainEqual({
    value_share: "0.5",
    net_usd: "-400",
    roi_percent: "-14.2857",
  });
});

test("growth multiplies tasks and the cost of models, not what is fixed", () => {
  const { by_month, tasks } = computeRoi({ ...BASE, growth_per_month: ONE / 10n, months: 3 });
  expect(by_month.map((month) => month.tasks)).toEqual(["1000", "1100", "1210"]);
  expect(by_month.map((month) => month.cost_usd)).toEqual(["150", "160", "171"]);
  expect(tasks).toBe("3310");
});

describe("what cannot be divided is null and says why", () => {
  test.each([
    [
      "roi_percent",
      { model_cost_per_month: 0n, fixed_cost_per_month: 0n, setup_cost: 0n },
      "nothing is paid",
    ],
    ["cost_per_task_usd", { tasks_per_month: 0n }, "there are no tasks"],
    ["break_even_tasks_per_month", { tasks_per_month: 0n }, "there are no tasks"],
    [
      "break_even_tasks_per_month",
      { value_per_task: 1n },
      "a task is worth no more than the models that it needs",
    ],
    ["break_even_value_per_task_usd", { success_share: 0n }, "no task has a result that is of use"],
    ["payback_months", { value_per_task: 0n }, "what is paid does not come back within 12 months"],
  ] as const)("%s", (field, changes, reason) => {
    const result = computeRoi({ ...BASE, ...changes });
    expect(result[field]).toBeNull();
    expect(result.reasons).toContainEqual({ field, reason });
  });
});

test("what pays for itself from the first day is back at once", () => {
  expect(computeRoi({ ...BASE, setup_cost: 0n }).payback_months).toBe("0");
});

test("the months add up to the whole, whatever is put in", () => {
  const amount = fc.bigInt(0n, 10n ** 20n);
  fc.assert(
    fc.property(
      fc.record({
        tasks_per_month: amount,
        value_per_task: amount,
        success_share: fc.bigInt(0n, ONE),
        model_cost_per_month: amount,
        fixed_cost_per_month: amount,
        setup_cost: amount,
        growth_per_month: fc.bigInt(-ONE, ONE / 5n),
        months: fc.integer({ min: 1, max: 24 }),
      }),
      (input) => {
        const result = computeRoi(input);
        const sum = result.by_month.reduce(
          (total, month) => total + readDecimal(month.net_usd),
          0n,
        );
        expect(sum - input.setup_cost).toBe(readDecimal(result.net_usd));
        expect(result.by_month.at(-1)?.cumulative_net_usd).toBe(result.net_usd);
        expect(readDecimal(result.value_usd) - readDecimal(result.cost_usd)).toBe(
          readDecimal(result.net_usd),
        );
        const nulls = Object.entries(result).filter(([, value]) => value === null);
        expect(result.reasons.map(({ field }) => field).toSorted()).toEqual(
          nulls.map(([field]) => field).toSorted(),
        );
      },
    ),
    { numRuns: 50 },
  );
});
