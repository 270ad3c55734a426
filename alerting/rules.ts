/**
 * What an alert rule finds in the ledger: the value of its window, the median of the same hours before,
 * and whether that is a breach.
 *
 * Invariant: a value that is not known is never a breach, and never the end of one by being 0.
 */
import type { AlertRule, Condition } from "../schemas/alerting.ts";
import { type MeasureName, MEASURES } from "../schemas/measures.ts";
import { type AskUsage, makeQuestion, measureOf, type UsageSums, valueAt } from "./usage.ts";
import { daysEarlier, type Window } from "./windows.ts";

const MINUTE_MS = 60_000;
/** The same hours are looked at in whole quarters of an hour: those are in the rollups. */
const QUARTER_MS = 900_000;
/** Known windows of the same hours that a median needs, or all when fewer are asked for. */
const MIN_BASELINE_SAMPLES = 3;
/** Answers about the same hours that are remembered; the oldest goes first. */
const MAX_REMEMBERED_ANSWERS = 10_000;

export type Verdict = "breached" | "fine" | "no_data";

/** What a rule found. */
export interface Finding {
  readonly window: Window;
  readonly value: number | null;
  readonly baseline: number | null;
  readonly verdict: Verdict;
}

type Baselined = Exclude<Condition, { kind: "threshold" }>;
type Answer = Promise<UsageSums>;

/** The window that a rule looks at: up to the last whole second. */
export function windowOfRule({ condition }: AlertRule, now_ms: number): Window {
  const end_ms = Math.floor(now_ms / 1000) * 1000;
  return { start_ms: end_ms - condition.window_minutes * MINUTE_MS, end_ms };
}

/** The same hours of the days or weeks before: the whole quarters that they begin in and as long. */
export function baselineWindows(rule: AlertRule, window: Window): Window[] {
  const { condition } = rule;
  if (condition.kind === "threshold") return [];
  const days = condition.baseline === "weeks" ? 7 : 1;
  const length_ms = Math.ceil((window.end_ms - window.start_ms) / QUARTER_MS) * QUARTER_MS;
  return Array.from({ length: condition.baseline_count }, (_, index) => {
    const same_ms = daysEarlier(rule.tz, window.start_ms, (index + 1) * days);
    const start_ms = Math.floor(same_ms / QUARTER_MS) * QUARTER_MS;
    return { start_ms, end_ms: start_ms + length_ms };
  });
}

/** What a rule watches; silence is a matter of calls. */
function pathOf({ measure, condition }: AlertRule): string {
  return condition.kind === "silence" ? "calls" : measure;
}

/**
 * Looks at rules. Rules of one scope and window share a question: its price is the statement, not the
 * measures in it. Answers about the same hours are kept until the window moves on by a quarter.
 */
export class RuleReader {
  readonly #ask: AskUsage;
  /** Measures by the question that asks for them. */
  #wanted = new Map<string, Set<MeasureName>>();
  #answers = new Map<string, Answer>();
  /** Answers about the same hours, and the quarter of an hour that they were asked in. */
  readonly #past = new Map<string, Answer>();
  #quarter = 0;

  constructor(ask: AskUsage) {
    this.#ask = ask;
  }

  /** Begins a look at all these rules at a time: what they share is asked once. */
  begin(rules: readonly AlertRule[], now_ms: number): void {
    this.#wanted = new Map();
    this.#answers = new Map();
    const quarter = Math.floor(now_ms / QUARTER_MS);
    // What the same hours had may have changed: calls arrive late.
    if (quarter !== this.#quarter) this.#past.clear();
    this.#quarter = quarter;
    for (const rule of rules) {
      const window = windowOfRule(rule, now_ms);
      for (const range of [window, ...baselineWindows(rule, window)]) {
        const key = questionKey(rule, range);
        const measures = this.#wanted.get(key) ?? new Set<MeasureName>();
        this.#wanted.set(key, measures.add(measureOf(pathOf(rule))));
      }
    }
  }

  /** What a rule finds at the time of the look; rejects as the engine does. */
  async read(rule: AlertRule, now_ms: number): Promise<Finding> {
    const window = windowOfRule(rule, now_ms);
    const { condition } = rule;
    const { totals } = await this.#share(this.#answers, rule, window);
    const calls = totals.coverage.calls;
    if (condition.kind === "silence") {
      // The same hours matter only when there is silence now.
      const baseline = calls > 0 ? null : await this.#baseline(rule, condition, window);
      const verdict = calls === 0 && baseline !== null && baseline > 0 ? "breached" : "fine";
      return { window, value: calls, baseline, verdict };
    }
    const value = valueAt(totals, rule.measure);
    const is_judged = value !== null && calls >= rule.min_calls;
    if (condition.kind === "threshold") {
      const verdict = is_judged ? judgeThreshold(condition, value) : "no_data";
      return { window, value, baseline: null, verdict };
    }
    const baseline = is_judged ? await this.#baseline(rule, condition, window) : null;
    const verdict = is_judged ? judgeChange(condition, value, baseline) : "no_data";
    return { window, value, baseline, verdict };
  }

  async #baseline(
    rule: AlertRule,
    { baseline_count }: Baselined,
    window: Window,
  ): Promise<number | null> {
    const samples: number[] = [];
    for (const same of baselineWindows(rule, window)) {
      const { totals } = await this.#share(this.#past, rule, same);
      const value = valueAt(totals, pathOf(rule));
      if (value !== null) samples.push(value);
    }
    const needed = Math.min(MIN_BASELINE_SAMPLES, baseline_count);
    return samples.length < needed ? null : medianOf(samples);
  }

  /** The answer to a question that may have been asked already. */
  #share(answers: Map<string, Answer>, rule: AlertRule, range: Window): Answer {
    const question = questionKey(rule, range);
    const wanted = this.#wanted.get(question) ?? [measureOf(pathOf(rule))];
    const measures = [...new Set(wanted)].toSorted();
    const key = `${question} ${measures.join()}`;
    const known = answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#ask(makeQuestion(rule, range, measures));
    answers.set(key, answer);
    answer.catch(() => answers.delete(key)); // asked again next time
    for (const oldest of answers.keys()) {
      if (answers.size <= MAX_REMEMBERED_ANSWERS) break;
      answers.delete(oldest);
    }
    return answer;
  }
}

/** What rules must have in common to share a question; also the tables that can answer it. */
function questionKey(rule: AlertRule, { start_ms, end_ms }: Window): string {
  const { project_id, filters, tags } = rule;
  const { sources } = MEASURES[measureOf(pathOf(rule))];
  return JSON.stringify([project_id, start_ms, end_ms, filters, tags, sources]);
}

function judgeThreshold(
  { direction, value: limit }: Extract<Condition, { kind: "threshold" }>,
  value: number,
): Verdict {
  const is_breached = direction === "above" ? value > limit : value < limit;
  return is_breached ? "breached" : "fine";
}

/** A change from nothing has no percentage: there is no data to judge it by. */
function judgeChange(
  { direction, percent }: Extract<Condition, { kind: "change" }>,
  value: number,
  baseline: number | null,
): Verdict {
  if (baseline === null || baseline === 0) return "no_data";
  const change = ((value - baseline) / Math.abs(baseline)) * 100;
  const is_up = direction !== "down" && change > percent;
  const is_down = direction !== "up" && change < -percent;
  return is_up || is_down ? "breached" : "fine";
}

/** The middle value, or the mean of the two in the middle. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
