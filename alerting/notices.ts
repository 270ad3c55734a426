/**
 * What is told to people, by whom it is found and how often whatever: a notice has the id of what was
 * found, and is stored before it is sent.
 *
 * Invariant: one event, one id: the budget and its window and threshold, or the rule and its window. Neither
 * the time nor the process that finds it is part of it.
 */
import { createHash } from "node:crypto";
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import type { AlertRule, Budget, Scope, Threshold } from "../schemas/alerting.ts";
import type { Notice } from "../schemas/notices.ts";
import { type BudgetStanding, formatAmount, isComplete, shareOf } from "./budgets.ts";
import type { Finding } from "./rules.ts";
import type { Window } from "./windows.ts";

/** Ids of notices that are known to be stored; the oldest is forgotten first, and asked for again. */
const MAX_KNOWN_NOTICES = 100_000;

/** SHA-256 of the parts of an identity, 32 hex digits. */
export function identityOf(...parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

/** What makes a budget another question: with another amount a threshold is another threshold. */
function definitionOf(budget: Budget): string {
  const { amount, unit, period, tz } = budget;
  return JSON.stringify([amount, unit, period, tz, scopeOf(budget)]);
}

/** Filters in an order of their own: that of a JSON body means nothing. */
function scopeOf({ filters, tags }: Scope): unknown[] {
  return [Object.entries(filters).toSorted(([a], [b]) => (a < b ? -1 : 1)), tags];
}

/** The id of the notice of a threshold in a window. */
export function budgetNoticeId(
  budget: Budget,
  window: Window,
  { kind, percent }: Threshold,
): string {
  const definition = definitionOf(budget);
  return identityOf("budget", budget.budget_id, definition, window.start_ms, kind, percent);
}

/**
 * The id of the notice of a rule that breaks its condition. Windows slide; the id names the piece of a
 * fixed grid that the window begins in, so that a clock that goes back meets the same ids.
 */
export function ruleNoticeId(rule: AlertRule, { start_ms, end_ms }: Window): string {
  const grid = Math.floor(start_ms / (end_ms - start_ms));
  return identityOf("rule", rule.rule_id, conditionOf(rule), grid);
}

/** What makes a rule another rule: when it changes, what the old one found is over. */
export function conditionOf(rule: AlertRule): string {
  return identityOf(rule.measure, JSON.stringify([rule.condition, scopeOf(rule)]));
}

/** The notice that a budget has reached a threshold. */
export function makeBudgetNotice(
  budget: Budget,
  standing: BudgetStanding,
  threshold: Threshold,
  now_ms: number,
): Notice {
  const { window, amount, spent, forecast, coverage } = standing;
  const { unit } = budget;
  const unit_name = unit === "usd" ? "USD" : unit;
  const forecast_text = forecast === null ? null : formatAmount(unit, forecast.amount);
  const spent_text = formatAmount(unit, spent ?? 0n);
  const what =
    threshold.kind === "actual"
      ? `${spent_text} of ${budget.amount} ${unit_name} is used`
      : `the forecast is ${forecast_text} of ${budget.amount} ${unit_name}`;
  const left_out = isComplete(budget, standing)
    ? ""
    : ` Not in it: ${coverage.calls_unpriced} calls without a price, ` +
      `${coverage.calls_missing_usage} without usage.`;
  return {
    notice_id: budgetNoticeId(budget, window, threshold),
    kind: "budget_threshold",
    project_id: budget.project_id,
    subject_id: budget.budget_id,
    created_at: new Date(now_ms).toISOString(),
    title: `Budget ${budget.name}: ${threshold.percent} % ${threshold.kind === "actual" ? "reached" : "forecast"}`,
    text: `In the ${budget.period} from ${localDay(budget.tz, window.start_ms)} ${what}.${left_out}`,
    data: {
      budget_id: budget.budget_id,
      budget_name: budget.name,
      threshold: { ...threshold },
      amount: budget.amount,
      unit,
      spent: spent === null ? null : spent_text,
      share: spent === null ? null : shareOf(spent, amount),
      forecast: forecast_text,
      window: describeWindow(window),
      tz: budget.tz,
      coverage: { ...coverage },
    },
  };
}

/** The notice that a rule fires, or that what it found is over. */
export function makeRuleNotice(
  kind: "alert_firing" | "alert_resolved",
  notice_id: string,
  rule: AlertRule,
  finding: Finding,
  now_ms: number,
): Notice {
  const is_over = kind === "alert_resolved";
  const { value, baseline, window } = finding;
  const limit = baseline === null ? "" : `, the same hours had ${baseline}`;
  const found = value === null ? "There is no data" : `${rule.measure} is ${value}${limit}`;
  return {
    notice_id,
    kind,
    project_id: rule.project_id,
    subject_id: rule.rule_id,
    created_at: new Date(now_ms).toISOString(),
    title: `Alert ${rule.name}: ${is_over ? "over" : "firing"}`,
    text: `${found} in the ${rule.condition.window_minutes} minutes to ${new Date(window.end_ms).toISOString()}.`,
    data: {
      rule_id: rule.rule_id,
      rule_name: rule.name,
      measure: rule.measure,
      condition: { ...rule.condition },
      value,
      baseline,
      verdict: finding.verdict,
      window: describeWindow(window),
    },
  };
}

/** The notice that a project has used up what it may send in a month. */
export function makeQuotaNotice(
  quota: {
    readonly project_id: string;
    readonly month: string;
    readonly reached_at: string;
    readonly monthly_spans: number;
  },
  now_ms: number,
): Notice {
  const { project_id, month, reached_at, monthly_spans } = quota;
  return {
    notice_id: identityOf("quota", project_id, month),
    kind: "quota_reached",
    project_id,
    subject_id: month,
    created_at: new Date(now_ms).toISOString(),
    title: `Project ${project_id}: the quota of ${month} is used up`,
    text: `${monthly_spans} spans were accepted by ${reached_at}. More are refused until the month is over or the limit is raised.`,
    data: { project_id, month, reached_at, monthly_spans },
  };
}

function describeWindow({ start_ms, end_ms }: Window) {
  return { start: new Date(start_ms).toISOString(), end: new Date(end_ms).toISOString() };
}

function localDay(tz: string, ms: number): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone: tz, dateStyle: "short" }).format(ms);
}

/** Notices as they are stored. */
export class NoticeStore {
  readonly #engine: Engine;
  readonly #known = new Set<string>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Which of these are stored, and when they were made, Unix ms. */
  async find(
    project_ids: readonly string[],
    notice_ids: readonly string[],
  ): Promise<ReadonlyMap<string, number>> {
    if (notice_ids.length === 0) return new Map();
    const rows = await this.#engine.query<{ notice_id: string; created_ms: string }>(
      loadQuery("select_known_notices"),
      { project_ids, notice_ids },
    );
    return new Map(rows.map(({ notice_id, created_ms }) => [notice_id, Number(created_ms)]));
  }

  /** Whether a notice is known here to be stored; the engine is not asked. */
  isKnown(notice_id: string): boolean {
    return this.#known.has(notice_id);
  }

  /** Stores those that are not stored yet, durably; answers how many that were. */
  async add(
    found: readonly { readonly notice: Notice; readonly channel_ids: readonly string[] }[],
  ): Promise<number> {
    const unknown = found.filter(({ notice }) => !this.#known.has(notice.notice_id));
    const stored = await this.find(
      [...new Set(unknown.map(({ notice }) => notice.project_id))],
      unknown.map(({ notice }) => notice.notice_id),
    );
    let added = 0;
    for (const { notice, channel_ids } of unknown) {
      const { notice_id } = notice;
      if (!stored.has(notice_id) && !this.#known.has(notice_id)) {
        await this.#insert(notice, channel_ids);
        added += 1;
      }
      this.#remember(notice_id);
    }
    return added;
  }

  async #insert(notice: Notice, channel_ids: readonly string[]): Promise<void> {
    const params = {
      project_id: notice.project_id,
      notice_id: notice.notice_id,
      kind: notice.kind,
      subject_id: notice.subject_id,
      created_ms: Date.parse(notice.created_at),
      channel_ids,
      body: JSON.stringify(notice),
    };
    await this.#engine.command(loadQuery("insert_alert_notice"), params, "insert");
  }

  #remember(notice_id: string): void {
    this.#known.add(notice_id);
    for (const oldest of this.#known) {
      if (this.#known.size <= MAX_KNOWN_NOTICES) break;
      this.#known.delete(oldest);
    }
  }
}
