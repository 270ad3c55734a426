/**
 * What a budget finds in the ledger: spent, its share, the forecast, and which thresholds that crosses.
 *
 * Invariant: spent is one question over the whole window, exact to the last digit; no sum is kept
 * anywhere.
 */
import type { Budget, BudgetUnit, Threshold } from "../schemas/alerting.ts";
import type { Coverage } from "../schemas/api-parts.ts";
import type { MeasureValues } from "../schemas/api-usage.ts";
import type { MeasureName } from "../schemas/measures.ts";
import { formatUsd, parseUsd } from "../schemas/units.ts";
import { type DayAmount, type Forecast, forecastWindow, SHAPE_DAYS } from "./forecast.ts";
import { type AskUsage, makeQuestion, type Subject, type UsageSums } from "./usage.ts";
import { daysBetween, daysEarlier, type Window, windowOf } from "./windows.ts";

interface UnitReader {
  readonly measures: readonly MeasureName[];
  /** Picodollars, tokens or calls; null when calls are there and nothing is known of them. */
  readonly read: (values: MeasureValues) => bigint | null;
  readonly parse: (text: string) => bigint;
  readonly format: (amount: bigint) => string;
}

/** What each unit asks for. Nothing is 0, not unknown, only when there were no calls. */
const UNITS: Readonly<Record<BudgetUnit, UnitReader>> = {
  usd: {
    measures: ["cost_usd"],
    read: (values) => {
      if (values.cost_usd == null) return values.coverage.calls === 0 ? 0n : null;
      return parseUsd(values.cost_usd);
    },
    parse: (text) => parseUsd(text) ?? 0n,
    format: formatUsd,
  },
  tokens: {
    measures: ["input_total", "output_total"],
    read: ({ input_total, output_total, coverage }) => {
      if (input_total == null && output_total == null) return coverage.calls === 0 ? 0n : null;
      return BigInt((input_total ?? 0) + (output_total ?? 0));
    },
    parse: BigInt,
    format: String,
  },
  calls: {
    measures: ["calls"],
    read: ({ coverage }) => BigInt(coverage.calls),
    parse: BigInt,
    format: String,
  },
};

/** How a budget stands in a window; amounts in picodollars, tokens or calls. */
export interface BudgetStanding {
  readonly window: Window;
  readonly amount: bigint;
  readonly spent: bigint | null;
  readonly forecast: Forecast | null;
  readonly coverage: Coverage;
}

/** What of a budget decides how it stands. */
export type Measured = Subject & Pick<Budget, "unit" | "amount">;

/** Asks how a budget stands; the forecast only when it is wanted and the window is the one of now. */
export async function measureBudget(
  ask: AskUsage,
  budget: Measured,
  window: Window,
  now_ms: number,
  wants_forecast: boolean,
): Promise<BudgetStanding> {
  const unit = UNITS[budget.unit];
  const sums = await ask(makeQuestion(budget, window, unit.measures));
  const spent = unit.read(sums.totals);
  const is_open = window.start_ms <= now_ms && now_ms < window.end_ms;
  const forecast =
    wants_forecast && is_open && spent !== null
      ? forecastWindow({
          window,
          tz: budget.tz,
          now_ms,
          spent,
          days: await readDays(ask, budget, window, now_ms),
        })
      : null;
  const amount = unit.parse(budget.amount);
  return { window, amount, spent, forecast, coverage: sums.coverage };
}

/** The whole days before today: those of the window, and as many before as a forecast looks at. */
async function readDays(
  ask: AskUsage,
  budget: Measured,
  window: Window,
  now_ms: number,
): Promise<DayAmount[]> {
  const { tz } = budget;
  const today_ms = windowOf("day", tz, now_ms).start_ms;
  const start_ms = Math.min(window.start_ms, daysEarlier(tz, today_ms, SHAPE_DAYS));
  if (start_ms >= today_ms) return [];
  const unit = UNITS[budget.unit];
  const question = makeQuestion(budget, { start_ms, end_ms: today_ms }, unit.measures, "day");
  return spreadDays(await ask(question), daysBetween(tz, start_ms, today_ms), unit);
}

/** Rows of days to days: those without a row had no calls. */
function spreadDays({ rows }: UsageSums, days: readonly Window[], unit: UnitReader): DayAmount[] {
  const amounts = new Map<Window, number>();
  for (const row of rows) {
    const ms = Date.parse(row.time ?? "");
    const day = days.findLast(({ start_ms }) => start_ms <= ms);
    if (day !== undefined) amounts.set(day, (amounts.get(day) ?? 0) + Number(unit.read(row) ?? 0n));
  }
  return days.map((day) => ({
    ...day,
    amount: amounts.get(day) ?? 0,
    has_calls: amounts.has(day),
  }));
}

/** Whether a threshold is reached, exactly: no division. */
export function isCrossed(threshold: Threshold, standing: BudgetStanding): boolean {
  const { amount, spent, forecast } = standing;
  const reached = threshold.kind === "actual" ? spent : (forecast?.amount ?? null);
  return reached !== null && reached * 100n >= amount * BigInt(threshold.percent);
}

/** Whether all calls of the window are in what was spent. */
export function isComplete(budget: Budget, { coverage }: BudgetStanding): boolean {
  if (budget.unit === "calls") return true;
  const has_usage = coverage.calls_missing_usage === 0;
  return budget.unit === "tokens" ? has_usage : has_usage && coverage.calls_unpriced === 0;
}

/** An amount of a budget as an exact decimal. */
export function formatAmount(unit: BudgetUnit, amount: bigint): string {
  return UNITS[unit].format(amount);
}

/** A part of an amount as a number, for people: four digits behind the point. */
export function shareOf(part: bigint, amount: bigint): number {
  return Number((part * 10_000n) / amount) / 10_000;
}
