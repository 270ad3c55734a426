/** What the panel of budgets says that was spent is what `GET /v1/budgets` answers, to the last digit. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { BudgetsAnswer } from "../schemas/alerting.ts";
import { parseUsd } from "../schemas/units.ts";
import { makeTestApi, readStrictly } from "../test/support/api.ts";
import { budgetsSql } from "./budget-sql.ts";
import { HOUR_MS, LISTER, NOW_MS, openSeeded, pick, type SeededLedger } from "./fixture.ts";
import { SEEDED_BUDGETS, seedBudgets } from "./fixture-seeds.ts";
import { expandPanel } from "./macros.ts";

let ledger: SeededLedger;
beforeAll(async () => {
  ledger = await openSeeded([seedBudgets]);
}, 180_000);
afterAll(() => ledger.test_engine.close());

interface Row {
  readonly Budget: string;
  readonly Spent: string | null;
  readonly Used: number | null;
  readonly Elapsed: number;
  readonly "Window ends": string;
}

async function readPanel(project: string): Promise<Row[]> {
  const range = { from_ms: NOW_MS - HOUR_MS, to_ms: NOW_MS, interval_ms: 60_000 };
  return ledger.engine.query<Row>(expandPanel(budgetsSql(), pick({ project: [project] }), range));
}

test("spent, its share and the end of the window are those of the API; another zone is not known", async () => {
  const api = makeTestApi(ledger.engine, { now_ms: () => NOW_MS, prices: LISTER });
  await api.ask("/v1/whoami");
  for (const budget of SEEDED_BUDGETS) {
    await api.state.put(
      "budget",
      budget.budget_id,
      { organization_id: "alpha", project_id: "alpha" },
      budget,
      0,
    );
  }
  const { json } = await api.ask("/v1/budgets");
  const { budgets } = readStrictly(BudgetsAnswer, json);
  expect(budgets.length).toBe(SEEDED_BUDGETS.length);
  const rows = new Map((await readPanel("alpha")).map((row) => [row.Budget, row]));
  for (const { name, tz, spent, share, window } of budgets) {
    const row = rows.get(name);
    expect(row, name).toBeDefined();
    if (tz !== "UTC") {
      expect(row?.Spent, name).toBeNull();
      continue;
    }
    expect(spent === null ? null : parseUsd(spent), name).toBe(
      row?.Spent == null ? null : parseUsd(row.Spent),
    );
    expect(row?.Used ?? 0, name).toBeCloseTo(share ?? 0, 3);
    expect(`${row?.["Window ends"].replace(" ", "T")}.000Z`, name).toBe(window.end);
    expect(row?.Elapsed).toBeGreaterThan(0);
    expect(row?.Elapsed).toBeLessThan(1);
  }
  expect(budgets.filter(({ spent }) => Number(spent) > 0).length).toBeGreaterThan(2);
});

test("the budgets of another project are not shown", async () => {
  expect(await readPanel("beta")).toEqual([]);
});
