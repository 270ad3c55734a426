/**
 * What people see of the write-ahead log: its gauges and counts on /metrics, log lines when its
 * disk budget runs out and when damage is found, and whether a collector should get requests.
 *
 * Invariant: reads the state of the log and changes nothing of it.
 */
import type { Log } from "../schemas/log.ts";
import { type CollectorMetrics, WAL_COUNTS, type WalCount } from "./metrics.ts";

/** The state of a log as this file needs it; bytes, ms and counts as in `WalStats`. */
export interface WatchedStats extends Readonly<Record<WalCount, number>> {
  readonly bytes: number;
  readonly records_pending: number;
  readonly oldest_pending_ms: number;
  readonly last_refused_ms: number;
}

/** A log as this file needs it. */
export interface WatchedWal {
  readonly counts_before: Readonly<Record<WalCount, number>>;
  stats(): WatchedStats;
}

/** What a growing count means, in the log of the program (research/reliability.md F02 to F05, F13). */
const FINDINGS: readonly (readonly [WalCount, "warn" | "error", string])[] = [
  [
    "torn_tails",
    "warn",
    "the end of the write-ahead log was cut by a crash; nothing in it was acknowledged",
  ],
  [
    "quarantined_records",
    "error",
    "records of the write-ahead log are damaged; see wal/quarantine for the bytes and the reason",
  ],
  [
    "missing_segments",
    "error",
    "files of the write-ahead log are gone that ClickHouse did not have; restore them if you can",
  ],
  [
    "quarantine_failures",
    "error",
    "damage of the write-ahead log could not be copied to wal/quarantine; check the disk",
  ],
];

/** Shares of the budget at which someone should look (research/reliability.md F10). */
export const BUDGET_STEPS: readonly number[] = [0.5, 0.8, 0.95];
/** From this share on senders are about to be refused. */
const URGENT_STEP = 0.95;
/** How far below a step the use must fall before the step counts as left, share of the budget. */
const STEP_MARGIN = 0.05;
/** Pause between looks at the budget, ms. */
const LOOK_INTERVAL_MS = 1_000;
/**
 * How long a collector counts as not ready after its disk refused or did not sync an append, ms. Not until the next
 * append succeeds: without requests there would never be one.
 */
export const REFUSED_MS = 5_000;

/** A step that was passed. `step` is the highest that holds now, 0 when none does. */
export interface BudgetNews {
  readonly step: number;
  readonly is_rising: boolean;
}

/** Watches the use of a budget: given the share in use, says what changed; mostly nothing. */
export function makeBudgetAlarm(): (ratio: number) => BudgetNews | null {
  let current = 0;
  return (ratio) => {
    const reached = BUDGET_STEPS.findLast((step) => ratio >= step) ?? 0;
    const held = BUDGET_STEPS.findLast((step) => ratio >= step - STEP_MARGIN) ?? 0;
    const next = Math.max(reached, Math.min(held, current));
    if (next === current) return null;
    const is_rising = next > current;
    current = next;
    return { step: current, is_rising };
  };
}

/** Keeps metrics and alarm up to date until the returned function is called. */
export function watchWal(
  wal: WatchedWal,
  max_bytes: number,
  metrics: CollectorMetrics,
  log: Log,
): () => void {
  const alarm = makeBudgetAlarm();
  let before = wal.counts_before;
  const look = (): void => {
    const stats = wal.stats();
    tellFindings(log, before, stats);
    before = stats;
    const { bytes, records_pending } = stats;
    const news = alarm(bytes / max_bytes);
    if (news !== null) tellBudget(log, news, { wal_bytes: bytes, max_bytes, records_pending });
  };
  Object.assign(metrics.wal_bytes, { collect: () => collect(wal.stats(), max_bytes, metrics) });
  const timer = setInterval(look, LOOK_INTERVAL_MS);
  timer.unref();
  look();
  return () => clearInterval(timer);
}

/** Throws the reason why a collector with this log should get no requests now. */
export function checkWal(stats: WatchedStats, now_ms: number): void {
  const age_ms = now_ms - stats.last_refused_ms;
  if (age_ms >= 0 && age_ms < REFUSED_MS)
    throw new Error("the log could not take records just now");
}

function collect(stats: WatchedStats, max_bytes: number, metrics: CollectorMetrics): void {
  metrics.wal_bytes.set(stats.bytes);
  metrics.wal_budget_ratio.set(stats.bytes / max_bytes);
  metrics.wal_pending_records.set(stats.records_pending);
  metrics.wal_oldest_pending_seconds.set(stats.oldest_pending_ms / 1000);
  for (const name of Object.keys(WAL_COUNTS) as WalCount[]) {
    metrics.wal_counts[name].reset();
    metrics.wal_counts[name].inc(stats[name]);
  }
}

function tellFindings(
  log: Log,
  before: Readonly<Record<WalCount, number>>,
  now: Readonly<Record<WalCount, number>>,
): void {
  for (const [name, level, message] of FINDINGS) {
    const found = now[name] - before[name];
    if (found > 0) log[level]({ found, [`wal_${name}`]: now[name] }, message);
  }
}

function tellBudget(log: Log, news: BudgetNews, fields: Readonly<Record<string, number>>): void {
  const percent = Math.round(news.step * 100);
  if (!news.is_rising) {
    const now = percent === 0 ? "has room again" : `is below the next step over ${percent} %`;
    log.info(fields, `the write-ahead log ${now}`);
    return;
  }
  const message =
    `the write-ahead log uses more than ${percent} % of its disk budget: ` +
    "see why ClickHouse does not take the spans, or raise SPANLEDGER_WAL_MAX_BYTES; " +
    "at 100 % senders are refused with 503";
  if (news.step >= URGENT_STEP) log.error(fields, message);
  else log.warn(fields, message);
}
