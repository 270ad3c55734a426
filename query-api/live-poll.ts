/**
 * What changed in the ledger of a project since it was last asked, and its sums of now.
 *
 * Invariant: of what a writer inserted nothing is told twice and nothing is left out, because its marks
 * say up to which sequence a bucket has it. Only of writers seen for the first time, and of days that
 * came late, the time of arrival decides, and then a call may be told twice.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { type LiveFrame, MAX_LIVE_CALLS } from "../schemas/api-live.ts";
import type { CallRow } from "../schemas/call.ts";
import { BUCKET_S } from "../schemas/record.ts";
import { callOfRow, type StoredCall } from "./call-row.ts";
import { askUsage } from "./usage.ts";

/** Buckets that are looked at in one poll; older ones of a large import are not news. */
const MAX_BUCKETS = 1_000;
/** Changes that are looked at in one poll; more are counted. */
const MAX_CHANGES = 500;
/** Calls that are remembered with the change they were told with. */
const MAX_TOLD = 10_000;
/** Writers whose sequence is remembered. */
const MAX_WRITERS = 1_000;
/** How far back marks and arrivals are looked for, ms: statements take time, and clocks differ. */
const OVERLAP_MS = 30_000;
/** How long ago decisions may have begun that are seen only now, us. */
const DECISION_OVERLAP_US = 10_000_000;
/** Sums are made again when calls changed and at least so often, ms: their five minutes move on. */
const TOTALS_INTERVAL_MS = 10_000;
const LAST_MS = 300_000;
const DAY_MS = 86_400_000;

interface MarkRow {
  readonly time_ms: number;
  readonly marks: readonly (readonly [bucket_s: number, writer: string, marked: string])[];
}

interface ChangeRow {
  readonly start_ns: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly change: string;
  readonly version_us: number;
  readonly changes: number;
}

interface LedgerRow extends StoredCall {
  readonly is_call: number;
}

/** What one poll found. */
export interface Poll {
  /** Time of the engine, Unix ms. */
  readonly time_ms: number;
  /** Null when nothing changed. */
  readonly calls: Pick<
    Extract<LiveFrame, { kind: "calls" }>,
    "calls" | "withdrawn" | "left_out"
  > | null;
  /** Null when there is nothing new to tell. */
  readonly totals: Pick<Extract<LiveFrame, { kind: "totals" }>, "last_5m" | "today"> | null;
}

/** Follows the ledger of one project. Not for two polls at once. */
export class LivePoller {
  readonly #engine: Engine;
  readonly #project_id: string;
  /** Time of the engine at the poll before, Unix ms; null before the first. */
  #polled_ms: number | null;
  #is_baseline: boolean;
  #totals_ms = 0;
  #decided_us = 0;
  readonly #writers = new Map<string, bigint>();
  readonly #told = new Map<string, string>();

  /** @param since_ms from when on changes are news, Unix ms; null: from the first poll on. */
  constructor(engine: Engine, project_id: string, since_ms: number | null) {
    this.#engine = engine;
    this.#project_id = project_id;
    this.#polled_ms = since_ms;
    this.#is_baseline = since_ms === null;
  }

  /** Asks once. Rejects with the errors of the engine; then the next poll makes up for it. */
  async poll(): Promise<Poll> {
    const since_ms = (this.#polled_ms ?? Number.POSITIVE_INFINITY) - OVERLAP_MS;
    const { time_ms, marks } = await this.#readMarks(since_ms);
    const news = this.#is_baseline ? [] : this.#newsOf(marks);
    const calls = news.length === 0 ? null : await this.#readCalls(news, since_ms);
    const is_due = time_ms - this.#totals_ms >= TOTALS_INTERVAL_MS;
    const totals = calls !== null || is_due ? await this.#readTotals(time_ms) : null;
    // Only now: what failed on the way is asked for again.
    for (const [, writer, marked] of marks) this.#remember(writer, BigInt(marked));
    if (this.#decided_us === 0) {
      this.#decided_us = Math.max(0, (this.#polled_ms ?? time_ms) * 1000 - DECISION_OVERLAP_US);
    }
    this.#polled_ms = time_ms;
    this.#is_baseline = false;
    if (totals !== null) this.#totals_ms = time_ms;
    return { time_ms, calls, totals };
  }

  async #readMarks(since_ms: number): Promise<MarkRow> {
    const [row] = await this.#engine.query<MarkRow>(loadQuery("select_live_marks"), {
      project_id: this.#project_id,
      // At first all marks that are kept: they tell how far each writer is.
      since_s: Number.isFinite(since_ms) ? Math.max(0, Math.floor(since_ms / 1000)) : 0,
      limit: MAX_BUCKETS,
    });
    return row ?? { time_ms: 0, marks: [] };
  }

  /** The marks beyond what was seen of their writer. */
  #newsOf(marks: MarkRow["marks"]): MarkRow["marks"] {
    return marks.filter(([, writer, marked]) => {
      const seen = this.#writers.get(writer);
      return seen === undefined || BigInt(marked) > seen;
    });
  }

  #remember(writer: string, marked: bigint): void {
    const seen = this.#writers.get(writer) ?? -1n;
    this.#writers.delete(writer);
    this.#writers.set(writer, marked > seen ? marked : seen);
    forgetOldest(this.#writers, MAX_WRITERS);
  }

  async #readCalls(news: MarkRow["marks"], since_ms: number): Promise<Poll["calls"]> {
    const changes = await this.#readChanges(news, since_ms);
    const unseen = changes.filter(({ change, ...row }) => this.#told.get(callIdOf(row)) !== change);
    for (const { version_us } of unseen) {
      this.#decided_us = Math.max(this.#decided_us, version_us - DECISION_OVERLAP_US);
    }
    if (unseen.length === 0) return null;
    const shown = unseen.slice(0, MAX_LIVE_CALLS);
    const rows = await this.#engine.query<LedgerRow>(loadQuery("select_live_calls"), {
      project_id: this.#project_id,
      starts: shown.map(({ start_ns }) => BigInt(start_ns)),
      traces: shown.map(({ trace_id }) => trace_id),
      spans: shown.map(({ span_id }) => span_id),
      limit: MAX_CHANGES,
    });
    const calls: CallRow[] = [];
    const withdrawn: string[] = [];
    const wanted = new Set(shown.map((row) => callIdOf(row)));
    for (const row of rows) {
      const call_id = callIdOf(row);
      if (!wanted.has(call_id)) continue;
      if (row.is_call === 1) calls.push(callOfRow(row));
      else if (this.#told.has(call_id)) withdrawn.push(call_id);
    }
    for (const row of unseen) this.#told.set(callIdOf(row), row.change);
    forgetOldest(this.#told, MAX_TOLD);
    const left_out =
      unseen.length - shown.length + Math.max(0, (changes[0]?.changes ?? 0) - changes.length);
    if (calls.length + withdrawn.length + left_out === 0) return null;
    return { calls, withdrawn, left_out };
  }

  #readChanges(news: MarkRow["marks"], since_ms: number): Promise<ChangeRow[]> {
    const buckets = [...new Set(news.map(([bucket_s]) => bucket_s))];
    const ranges = new Map<string, readonly [bigint, bigint]>();
    let by_arrival = 0;
    for (const [, writer, marked] of news) {
      const seen = this.#writers.get(writer);
      // What came out of order has a writer of its own whose sequences are not those of the spans.
      if (seen === undefined || writer.endsWith("-late")) by_arrival = 1;
      else {
        const last = ranges.get(writer)?.[1] ?? 0n;
        ranges.set(writer, [seen, BigInt(marked) > last ? BigInt(marked) : last]);
      }
    }
    return this.#engine.query<ChangeRow>(loadQuery("select_live_changes"), {
      project_id: this.#project_id,
      buckets,
      from_s: Math.min(...buckets).toFixed(3),
      to_s: (Math.max(...buckets) + BUCKET_S).toFixed(3),
      after_sequences: [...ranges.values()].map(([after]) => after),
      last_sequences: [...ranges.values()].map(([, last]) => last),
      by_arrival,
      arrived_s: (Math.max(0, since_ms) / 1000).toFixed(3),
      decided_us: this.#decided_us === 0 ? Math.max(0, since_ms * 1000) : this.#decided_us,
      limit: MAX_CHANGES,
    });
  }

  async #readTotals(time_ms: number): Promise<Poll["totals"]> {
    const midnight_ms = time_ms - (time_ms % DAY_MS);
    return {
      last_5m: await this.#sum(time_ms - LAST_MS, time_ms),
      today: await this.#sum(midnight_ms, time_ms),
    };
  }

  async #sum(from_ms: number, to_ms: number) {
    const { totals, coverage } = await askUsage(
      { engine: this.#engine },
      {
        project_id: this.#project_id,
        from_ms,
        to_ms: Math.max(to_ms, from_ms + 1),
        measures: ["calls", "errors", "input_total", "output_total", "cost_usd"],
        group_by: [],
        interval: "none",
        tz: "UTC",
        filters: {},
        limit: 1,
      },
    );
    return {
      from: new Date(from_ms).toISOString(),
      to: new Date(to_ms).toISOString(),
      calls: totals.calls ?? 0,
      errors: totals.errors ?? 0,
      input_total: totals.input_total ?? null,
      output_total: totals.output_total ?? null,
      cost_usd: totals.cost_usd ?? null,
      coverage,
    };
  }
}

function callIdOf({ trace_id, span_id }: { readonly trace_id: string; readonly span_id: string }) {
  return `${trace_id}-${span_id}`;
}

/** Maps keep the order in which keys were set. */
function forgetOldest(map: Map<string, unknown>, limit: number): void {
  for (const key of map.keys()) {
    if (map.size <= limit) return;
    map.delete(key);
  }
}
