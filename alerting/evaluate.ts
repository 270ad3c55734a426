/**
 * One look at all budgets, alert rules and quotas: what they find is stored as notices.
 *
 * Invariant: a look may be repeated, cut off anywhere, or made at a time that comes again: it stores a
 * notice once. One budget or rule that fails costs the others nothing.
 */
import type { Engine } from "../clickhouse/engine.ts";
import type { AlertRule, Budget } from "../schemas/alerting.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { Notice } from "../schemas/notices.ts";
import type { StateStore } from "../state/store.ts";
import { isCrossed, measureBudget } from "./budgets.ts";
import { budgetNoticeId, makeBudgetNotice, makeQuotaNotice, type NoticeStore } from "./notices.ts";
import {
  type NewState,
  readStates,
  stepRule,
  type StoredState,
  writeStates,
} from "./rule-state.ts";
import type { RuleReader } from "./rules.ts";
import type { AskUsage } from "./usage.ts";
import { type Window, windowOf } from "./windows.ts";

/** How long after its end a window of a budget is still looked at, for calls that arrive late, ms. */
export const LATE_MS = 2 * 86_400_000;
/** Budgets and rules that are asked for at once: readers of the API need the engine too. */
const MAX_QUESTIONS_AT_ONCE = 2;

export interface EvaluateOptions {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly ask: AskUsage;
  readonly rules: RuleReader;
  readonly notices: NoticeStore;
  readonly log: Log;
  readonly now_ms: () => number;
}

/** What a look did. */
export interface Evaluation {
  readonly budgets: number;
  readonly rules: number;
  readonly notices: number;
  readonly failures: number;
}

/** Looks at everything once; rejects when the engine does not answer at all. */
export async function evaluateAll(
  options: EvaluateOptions,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const { state, engine } = options;
  const budgets = state.list("budget").filter(({ body }) => body.is_enabled);
  const rules = state.list("alert_rule").filter(({ body }) => body.is_enabled);
  const states = rules.length === 0 ? new Map<string, StoredState>() : await readStates(engine);
  const at_ms = options.now_ms();
  options.rules.begin(
    rules.map(({ body }) => body),
    at_ms,
  );
  /** Changes that nobody is told of: they can wait for the end of the look. */
  const quiet: NewState[] = [];
  let notices = 0;
  let failures = 0;
  const work = [
    ...state.list("quota_notice").map(({ object_id, body }) => ({
      subject: object_id,
      run: () => addNotice(options, makeQuotaNotice(body, options.now_ms()), []),
    })),
    ...budgets.map(({ body }) => ({
      subject: body.budget_id,
      run: () => evaluateBudget(options, body),
    })),
    ...rules.map(({ body }) => ({
      subject: body.rule_id,
      run: () => evaluateRule(options, body, states.get(body.rule_id) ?? null, at_ms, quiet),
    })),
  ];
  const runAll = async () => {
    for (let item = work.shift(); item !== undefined; item = work.shift()) {
      if (signal?.aborted === true) return;
      try {
        // In two steps: `+=` would read the sum before the wait, and forget what others added.
        const added = await item.run();
        notices += added;
      } catch (error) {
        failures += 1;
        // When the storage is away all fail alike: one line is enough.
        const fields = { subject: item.subject };
        const message = `a budget or alert could not be looked at: ${messageOf(error)}`;
        if (failures === 1) options.log.warn(fields, message);
      }
    }
  };
  await Promise.all(Array.from({ length: MAX_QUESTIONS_AT_ONCE }, runAll));
  await writeStates(engine, quiet);
  return { budgets: budgets.length, rules: rules.length, notices, failures };
}

/** Stores a notice for its channels: those named, or all of the project that are on. */
async function addNotice(
  { state, notices }: EvaluateOptions,
  notice: Notice,
  named: readonly string[],
): Promise<number> {
  if (notices.isKnown(notice.notice_id)) return 0;
  const channel_ids = state
    .list("channel", { project_id: notice.project_id })
    .filter(({ object_id, body }) =>
      named.length === 0 ? body.is_enabled : named.includes(object_id),
    )
    .map(({ object_id }) => object_id);
  return notices.add([{ notice, channel_ids }]);
}

/** The window of now, and those before it that calls may still arrive for; the oldest first. */
export function openWindows({ period, tz }: Budget, now_ms: number): Window[] {
  const windows = [windowOf(period, tz, now_ms)];
  for (;;) {
    const [oldest] = windows;
    if (oldest === undefined || oldest.start_ms + LATE_MS <= now_ms) return windows;
    windows.unshift(windowOf(period, tz, oldest.start_ms - 1));
  }
}

async function evaluateBudget(options: EvaluateOptions, budget: Budget): Promise<number> {
  const { ask, notices, now_ms } = options;
  let added = 0;
  for (const window of openWindows(budget, now_ms())) {
    // What it says now it does not say of windows that were over when it was made or changed.
    const is_over = window.end_ms <= now_ms();
    if (is_over && window.end_ms <= Date.parse(budget.updated_at)) continue;
    const open = budget.thresholds.filter(
      (threshold) => !notices.isKnown(budgetNoticeId(budget, window, threshold)),
    );
    if (open.length === 0) continue;
    const wants_forecast = open.some(({ kind }) => kind === "forecast");
    const standing = await measureBudget(ask, budget, window, now_ms(), wants_forecast);
    for (const threshold of open.filter((candidate) => isCrossed(candidate, standing))) {
      const notice = makeBudgetNotice(budget, standing, threshold, now_ms());
      added += await addNotice(options, notice, budget.channel_ids);
    }
  }
  return added;
}

async function evaluateRule(
  options: EvaluateOptions,
  rule: AlertRule,
  last: StoredState | null,
  at_ms: number,
  quiet: NewState[],
): Promise<number> {
  const { engine, rules } = options;
  // The notice of the last state may be missing: the process ended between the two.
  const owed = last?.state.notice ?? null;
  let added = owed === null ? 0 : await addNotice(options, owed, rule.channel_ids);
  const finding = await rules.read(rule, at_ms);
  const state = stepRule(rule, last?.state ?? null, finding, at_ms);
  if (state === last?.state) return added;
  const version = BigInt(Math.max(at_ms, 0)) * 1000n;
  const next = last === null || version > last.version ? version : last.version + 1n;
  const stored = { rule, state, version: next };
  if (state.notice === null || state.notice === last?.state.notice) {
    quiet.push(stored);
    return added;
  }
  await writeStates(engine, [stored]);
  added += await addNotice(options, state.notice, rule.channel_ids);
  return added;
}
