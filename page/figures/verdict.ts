/**
 * Whether the collector is well: what is not, in words, and what to do about each.
 *
 * Invariant: only what a person should look at is said, and "all is well" only of what was told.
 */
import type { CollectorAnswer } from "../../schemas/api-collector.ts";
import { showBytes, showCount, showDuration, showShare } from "../format.ts";
import { html, type VNode } from "../html.ts";

/** A sample older than this is missed, ms: collectors write one every 15 seconds. */
export const OLD_SAMPLE_MS = 60_000;
/** Rows may wait so long for ClickHouse, seconds: less is its ordinary rhythm. */
const MAX_ROW_WAIT_S = 60;
/** The share of its disk budget from which on a log is said to fill up. */
const MAX_LOG_SHARE = 0.5;
/** 15-minute sums may be so late, seconds: answers are exact all the same. */
const MAX_SUMS_LATE_S = 900;
/** Steps of the series, a minute each, in which a failed insert is not over yet. */
const INSERT_STEPS = 5;
const NS_PER_S = 1e9;

/** One thing that is not well. */
export interface Finding {
  readonly what: string;
  /** What to do about it. */
  readonly advice: string;
}

type Judge = (data: CollectorAnswer, now_ms: number) => Finding | null;

const seconds = (value: number) => showDuration(Math.round(value * NS_PER_S));
const many = (count: number, noun: string) =>
  `${showCount(count)} ${noun}${count === 1 ? " was" : "s were"}`;

const judgeSample: Judge = ({ last_sample_at }, now_ms) => {
  const age_ms = last_sample_at === null ? null : now_ms - Date.parse(last_sample_at);
  if (age_ms !== null && age_ms <= OLD_SAMPLE_MS) return null;
  const what =
    age_ms === null
      ? "No collector has told of itself yet."
      : `No collector has told of itself for ${seconds(age_ms / 1000)}.`;
  const advice =
    "Look whether one is running and what its log says. With SPANLEDGER_SAMPLES_INTERVAL_S=0 none ever does.";
  return { what, advice };
};

const judgeRefused: Judge = ({ totals: { refused_requests: refused, refusals } }) => {
  if (refused === null || refused === 0) return null;
  const [most] = refusals;
  const why = most === undefined ? "" : `, most of them as “${most.reason.replaceAll("_", " ")}”`;
  const what = `${many(refused, "request")} refused in the last hour${why}.`;
  const advice =
    "The list “Refused and ignored” has the reasons; what each means stands under “The words for reasons”.";
  return { what, advice };
};

const judgeRejected: Judge = ({ totals: { rejected } }) => {
  const count = rejected === null ? 0 : rejected.traces + rejected.logs + rejected.metrics;
  if (count === 0) return null;
  const what = `${many(count, "item")} rejected in the last hour and will not be counted.`;
  const advice = "The sender made a mistake: an id, a time or a value. Mend it there.";
  return { what, advice };
};

const judgeDeadLetters: Judge = ({ now: { dead_letter_records: count, dead_letter_bytes } }) => {
  if (count === null || count === 0) return null;
  const what = `ClickHouse refused ${showCount(count)} ${count === 1 ? "record" : "records"} (${showBytes(dead_letter_bytes)}): they are set aside as dead letters and not counted.`;
  const advice =
    "Look at them and send them again with `spanledger dead-letter`: docs/guides/dead-letter.md.";
  return { what, advice };
};

const judgeWaiting: Judge = ({ now: { wal_oldest_pending_s, wal_pending_records } }) => {
  if (wal_oldest_pending_s === null || wal_oldest_pending_s <= MAX_ROW_WAIT_S) return null;
  const what = `${showCount(wal_pending_records)} received records wait for ClickHouse, the oldest for ${seconds(wal_oldest_pending_s)}.`;
  const advice = "Nothing is lost, it is in the log. Look whether ClickHouse answers and keeps up.";
  return { what, advice };
};

const judgeLog: Judge = ({ now: { wal_budget_share } }) => {
  if (wal_budget_share === null || wal_budget_share <= MAX_LOG_SHARE) return null;
  const what = `The log of what was received uses ${showShare(wal_budget_share)} of its disk; senders are refused when it is full.`;
  const advice = "See to ClickHouse, or give the log more by SPANLEDGER_WAL_MAX_BYTES.";
  return { what, advice };
};

const judgeSums: Judge = ({ backlog: { dirty_buckets, oldest_dirty_s } }) => {
  if (dirty_buckets === 0 || oldest_dirty_s <= MAX_SUMS_LATE_S) return null;
  const what = `${showCount(dirty_buckets)} 15-minute sums are to be computed, the oldest for ${seconds(oldest_dirty_s)}.`;
  const advice =
    "Answers stay exact and get slower. After much history was sent it passes by itself; else look at the log.";
  return { what, advice };
};

const judgeInserts: Judge = ({ points }) => {
  const last = points.slice(-INSERT_STEPS);
  const failures = last.reduce((sum, { insert_failures }) => sum + (insert_failures ?? 0), 0);
  if (failures === 0) return null;
  const what = `${showCount(failures)} ${failures === 1 ? "insert" : "inserts"} into ClickHouse failed in the last minutes.`;
  const advice =
    "They are made again by themselves; the log says why. Look whether ClickHouse is well.";
  return { what, advice };
};

const JUDGES: readonly Judge[] = [
  judgeSample,
  judgeInserts,
  judgeWaiting,
  judgeLog,
  judgeDeadLetters,
  judgeRefused,
  judgeRejected,
  judgeSums,
];

/** What is not well in an answer of the last hour with steps of a minute; nothing when all is. */
export function judgeCollector(data: CollectorAnswer, now_ms: number): Finding[] {
  return JUDGES.map((judge) => judge(data, now_ms)).filter((finding) => finding !== null);
}

/** The verdict, in one sentence or as a list with what to do. */
export function Verdict({
  data,
  now_ms,
}: {
  readonly data: CollectorAnswer;
  readonly now_ms: number;
}): VNode {
  const findings = judgeCollector(data, now_ms);
  if (findings.length === 0) {
    return html`<p class="card verdict good">
      <b>✓ All is well.</b> What is sent is taken and counted.
    </p>`;
  }
  const title = findings.length === 1 ? "One thing is" : `${findings.length} things are`;
  return html`<div class="card verdict bad">
    <p class="caution"><b>▲ ${title} to be looked at:</b></p>
    <ul class="reasons">
      ${findings.map(
        ({ what, advice }) => html`<li><b>${what}</b>${" "}<span>${advice}</span></li>`,
      )}
    </ul>
    <p class="hint">More in docs/guides/observability.md.</p>
  </div>`;
}
