/**
 * How budgets and alert rules stand, in words.
 *
 * Invariant: amounts are the exact ones of the API; what is estimated is said to be "about".
 */
import type { AlertRuleAnswer, BudgetAnswer, BudgetUnit } from "../../schemas/alerting.ts";
import type { ChannelAnswer } from "../../schemas/notices.ts";
import { DIMENSION_TITLES, NO_VALUE } from "../filters.ts";
import { showCount, showShare, showUsd, UNKNOWN } from "../format.ts";
import { subtractUsd } from "../money.ts";
import { showStep } from "../time.ts";

type Told = Pick<ChannelAnswer, "channel_id" | "is_enabled">;

/** An amount of a budget with its unit. */
export function showAmount(unit: BudgetUnit, amount: string | null | undefined): string {
  if (unit === "usd") return showUsd(amount);
  return amount === null || amount === undefined ? UNKNOWN : `${showCount(Number(amount))} ${unit}`;
}

/** Which calls a budget or a rule is about. */
export function scopeWords({ filters, tags }: Pick<BudgetAnswer, "filters" | "tags">): string {
  const values = (list: readonly string[]) =>
    list.map((value) => (value === "" ? NO_VALUE : value)).join(" or ");
  const words = [
    ...Object.entries(filters).map(
      ([name, list]) => `${DIMENSION_TITLES[name] ?? name}: ${values(list)}`,
    ),
    ...tags.map(({ key, values: list }) => `Tag ${key}: ${values(list)}`),
  ];
  return words.length === 0 ? "All calls" : words.join(" · ");
}

/**
 * About when a budget will be used up, Unix ms: at the mean pace that its forecast has for the rest of the
 * window. null when it is used up, will not be, or when there is no forecast.
 */
export function exhaustionOf(
  {
    amount,
    spent,
    forecast,
    window,
  }: Pick<BudgetAnswer, "amount" | "spent" | "forecast" | "window">,
  now_ms: number,
): number | null {
  if (forecast === null || spent === null) return null;
  const left = Number(subtractUsd(amount, spent));
  const end_ms = Date.parse(window.end);
  const to_come = Number(subtractUsd(forecast.amount, spent));
  if (left <= 0 || to_come < left || end_ms <= now_ms) return null;
  return now_ms + (left / to_come) * (end_ms - now_ms);
}

/** How bad it is: what colours and the order go by. */
export type Level = "over" | "warning" | "unknown" | "good" | "off";

export interface BudgetState {
  readonly level: Level;
  readonly words: string;
}

/** How a budget stands. */
export function budgetState(budget: BudgetAnswer, now_ms: number): BudgetState {
  const { unit, spent, share, remaining, forecast, tz } = budget;
  const told = budget.is_enabled ? "" : " Switched off: it tells nobody.";
  if (spent === null || share === null) {
    return { level: "unknown", words: `Not known: no call of the window has a price.${told}` };
  }
  if ((remaining ?? "").startsWith("-") || share >= 1) {
    const over = showAmount(unit, remaining?.replace(/^-/, ""));
    return { level: "over", words: `Used up: ${over} over the limit.${told}` };
  }
  if (forecast !== null && forecast.share >= 1) {
    const at_ms = exhaustionOf(budget, now_ms);
    const when = at_ms === null ? "by the end" : `about ${showStep(at_ms, "day", tz)}`;
    return { level: "warning", words: `At this pace it is used up ${when}.${told}` };
  }
  if (!budget.is_enabled) return { level: "off", words: told.trim() };
  const trust = budget.is_complete ? "" : ", as far as calls can be counted";
  return forecast === null
    ? { level: "good", words: `Within the limit${trust}. No forecast before three days of calls.` }
    : { level: "good", words: `On course to stay within the limit${trust}.` };
}

const LEVELS: readonly Level[] = ["over", "warning", "unknown", "good", "off"];

/** Budgets by how bad it is, then by the share that is spent. */
export function sortBudgets(
  budgets: readonly BudgetAnswer[],
  now_ms: number,
): readonly BudgetAnswer[] {
  const rank = (budget: BudgetAnswer) => LEVELS.indexOf(budgetState(budget, now_ms).level);
  return budgets.toSorted((a, b) => rank(a) - rank(b) || (b.share ?? 0) - (a.share ?? 0));
}

/** The thresholds that are reached. */
export function reachedWords({ thresholds }: Pick<BudgetAnswer, "thresholds">): string {
  return thresholds
    .filter(({ is_crossed }) => is_crossed)
    .map(({ kind, percent }) => `${percent} % ${kind === "actual" ? "spent" : "forecast"}`)
    .join(", ");
}

function windowWords(minutes: number): string {
  if (minutes % 1440 === 0) return minutes === 1440 ? "a day" : `${minutes / 1440} days`;
  if (minutes % 60 === 0) return minutes === 60 ? "an hour" : `${minutes / 60} hours`;
  return `${minutes} min`;
}

const CHANGES = { up: "rises", down: "falls", either: "changes" } as const;

/** What makes a rule fire. */
export function conditionWords({
  measure,
  condition,
}: Pick<AlertRuleAnswer, "measure" | "condition">): string {
  const window = windowWords(condition.window_minutes);
  if (condition.kind === "threshold") {
    const value = measure === "error_rate" ? showShare(condition.value) : condition.value;
    return `${measure} ${condition.direction} ${value} over ${window}`;
  }
  const usual = `the same hours of ${condition.baseline_count} ${condition.baseline} before`;
  if (condition.kind === "silence") return `no calls in ${window}, though ${usual} had some`;
  return `${measure} ${CHANGES[condition.direction]} by more than ${condition.percent} % over ${window}, against ${usual}`;
}

const STATUSES = {
  firing: "▲ Firing",
  pending: "… Holds, not long enough yet",
  no_data: "– No data to judge",
  ok: "✓ Fine",
} as const;

/** Channels that a budget or a rule tells; those that are off tell nobody. */
export function channelsOf(
  { channel_ids }: Pick<BudgetAnswer, "channel_ids">,
  channels: readonly Told[],
): readonly Told[] {
  return channels.filter(
    ({ channel_id, is_enabled }) =>
      is_enabled && (channel_ids.length === 0 || channel_ids.includes(channel_id)),
  );
}

/** Why a budget that is on tells nobody; null when it tells somebody, or is off and says so itself. */
export function silenceOf(
  budget: Pick<BudgetAnswer, "channel_ids" | "is_enabled">,
  channels: readonly Told[],
): string | null {
  if (!budget.is_enabled || channelsOf(budget, channels).length > 0) return null;
  if (channels.length === 0) return "It tells nobody: the project has no channel yet.";
  return budget.channel_ids.length === 0
    ? "It tells nobody: all channels of the project are off."
    : "It tells nobody: the channels chosen for it are off or gone.";
}

/** How a rule stands. */
export function ruleState({ state, is_enabled }: Pick<AlertRuleAnswer, "state" | "is_enabled">) {
  if (!is_enabled) return "○ Switched off";
  return state === null ? "… Not looked at yet" : STATUSES[state.status];
}
