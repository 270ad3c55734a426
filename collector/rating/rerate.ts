/**
 * Prices stored calls again by the price book of now: day by day, each row as `priceSpan` would price
 * it, computed in SQL, and only rows that change are written.
 *
 * Invariant: a rewritten row differs from the stored one in what pricing sets and keeps its version, so
 * that of two rows the later insert holds and a redelivery still replaces both. Buckets are marked
 * before and after the rows, and the day is on record before both: stopped anywhere, the next run
 * brings rows and rollups to the same end.
 */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { cutRanges, type TimedCount, type TimeRange } from "./ranges.ts";
import { bindQuestions, cutQuestions, type Rater, type RatingQuestion } from "./rater.ts";
import { RatingTotals, type RatingReport } from "./report.ts";
import { makeRun, type PriceRun, readOpenRuns, writeRun } from "./runs.ts";

/** Which calls; null is all of them. */
export interface RatingFilter {
  /** First and last UTC day, both included: 2026-11-21. */
  readonly from: string | null;
  readonly to: string | null;
  readonly provider: string | null;
  /** Exactly this request or response model. */
  readonly model: string | null;
  readonly project_id: string | null;
}

export interface RatingProgress {
  /** The day in work: 2026-11-21. */
  readonly day: string;
  readonly rows_done: number;
  /** Redeliveries that are not merged yet included. */
  readonly rows_total: number;
}

export interface RatingOptions {
  readonly filter: RatingFilter;
  /** Report what would change and write nothing. */
  readonly dry_run: boolean;
  readonly now_ms: () => number;
  /** Told after each range of time. */
  readonly tell: (progress: RatingProgress) => void;
  /** Rows of one statement; MAX_RANGE_ROWS when it is not given. */
  readonly max_range_rows?: number;
}

/** Rows of one statement at most, unless a single second has more. */
export const MAX_RANGE_ROWS = 250_000;

/** The name under which rewritten buckets are marked. */
const WRITER_ID = "rerate";
const DAY_S = 86_400;
/** The end of time that DateTime64 bounds can name, a multiple of days, Unix seconds. */
const LAST_S = Math.floor((2 ** 32 - 1) / DAY_S) * DAY_S;

/** Columns of `spans` that pricing sets; `select_repriced_calls.sql` has each with `new_` before it. */
const PRICED_COLUMNS: ReadonlySet<string> = new Set([
  "cost_status",
  "priced_mask",
  ...TOKEN_CLASSES.map((name) => `cost_${name}`),
  "fees_priced",
  "cost_fees",
  "price_id",
  "reason",
]);

/** Rewrites the rows that change. */
function insertSql(): string {
  const names = SPAN_COLUMNS.map(({ name }) => name);
  const values = names.map((name) => (PRICED_COLUMNS.has(name) ? `new_${name}` : name));
  return `INSERT INTO spans (${names.join(", ")})
SELECT ${values.join(", ")} FROM (${loadQuery("select_repriced_calls")}) WHERE is_changed`;
}

function costSql(prefix: string): string {
  // One by one: the sum of two Decimal(18, 12) may not fit into a third.
  const columns = [...TOKEN_CLASSES, "fees"].map(
    (name) => `toDecimal128(${prefix}cost_${name}, 12)`,
  );
  return `(${columns.join(" + ")})`;
}

/**
 * What changes, in two kinds of rows: sums of counted calls by model, and buckets with changed rows.
 * Whether a call counts is asked as the view `ledger_spans` does.
 */
function reportSql(): string {
  return `
SELECT
  grouping(bucket_s) = 1 AS is_model,
  toString(repriced.project_id) AS project,
  bucket_s,
  toString(repriced.provider) AS provider,
  if(repriced.response_model = '', toString(repriced.request_model), toString(repriced.response_model)) AS model,
  toFloat64(countIf(is_changed)) AS spans_changed,
  toFloat64(countIf(counts)) AS calls,
  toFloat64(countIf(counts AND is_changed)) AS calls_changed,
  toFloat64(countIf(counts AND cost_status = 'unpriced' AND new_cost_status != 'unpriced')) AS newly_priced,
  toFloat64(countIf(counts AND cost_status != 'unpriced' AND new_cost_status = 'unpriced')) AS no_longer_priced,
  toString(toInt128(sumIf(${costSql("")}, counts) * 1000000000000)) AS cost_before,
  toString(toInt128(sumIf(${costSql("new_")}, counts) * 1000000000000)) AS cost_after
FROM
(
  SELECT
    *,
    toUnixTimestamp(toStartOfFifteenMinutes(ts)) AS bucket_s,
    if(decision.counted = 'default', span_class = 'billable', decision.counted = 'yes') AS counts
  FROM (${loadQuery("select_repriced_calls")}) AS rated
  LEFT JOIN
  (
    SELECT project_id, ts, trace_id, span_id, counted FROM call_decisions FINAL
    WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC') AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
  ) AS decision USING (project_id, ts, trace_id, span_id)
) AS repriced
GROUP BY GROUPING SETS ((provider, model), (project, bucket_s))
HAVING is_model OR spans_changed > 0`;
}

interface ReportRow {
  readonly is_model: number;
  readonly project: string;
  readonly bucket_s: number;
  readonly provider: string;
  readonly model: string;
  readonly spans_changed: number;
  readonly calls: number;
  readonly calls_changed: number;
  readonly newly_priced: number;
  readonly no_longer_priced: number;
  readonly cost_before: string;
  readonly cost_after: string;
}

/** Prices the calls again and resolves with what changed. */
export function rerate(
  engine: Engine,
  rater: Rater,
  options: RatingOptions,
): Promise<RatingReport> {
  return new RatingRun(engine, rater, options).run();
}

function startOfDay(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) / 1000;
}

class RatingRun {
  readonly #engine: Engine;
  readonly #rater: Rater;
  readonly #options: RatingOptions;
  readonly #totals = new RatingTotals();
  #record: PriceRun | null = null;
  #sequence = 0;

  constructor(engine: Engine, rater: Rater, options: RatingOptions) {
    this.#engine = engine;
    this.#rater = rater;
    this.#options = options;
  }

  async run(): Promise<RatingReport> {
    const { filter, dry_run } = this.#options;
    if (!dry_run) await this.#open();
    const days = await this.#count("count_priced_days", {
      from_s: filter.from === null ? 0 : startOfDay(filter.from),
      to_s: filter.to === null ? LAST_S : startOfDay(filter.to) + DAY_S,
    });
    const rows_total = days.reduce((sum, { rows }) => sum + rows, 0);
    let rows_done = 0;
    for (const { start_s } of days) {
      for (const range of await this.#cutDay(start_s)) {
        await this.#rateRange(start_s, range);
        rows_done += range.rows;
        const day = new Date(start_s * 1000).toISOString().slice(0, 10);
        this.#options.tell({ day, rows_done, rows_total });
      }
    }
    const report: RatingReport = {
      dry_run,
      fingerprint: this.#rater.fingerprint,
      ...filter,
      ...this.#totals.print(),
      spans_changed: this.#totals.spans_changed,
      models: this.#totals.printModels(),
    };
    if (!dry_run) await this.#writeRecord({ open_day_s: 0 }, "finished");
    return report;
  }

  /** Makes up for runs that were killed, then puts this one on record. */
  async #open(): Promise<void> {
    const engine = this.#engine;
    const [row] = await engine.query<{ sequence: string }>(loadQuery("select_mark_sequence"), {
      writer_id: WRITER_ID,
    });
    this.#sequence = Number(row?.sequence ?? 0);
    for (const run of await readOpenRuns(engine)) {
      if (run.open_day_s > 0) {
        await engine.command(loadQuery("mark_calls_of_range"), {
          from_s: run.open_day_s,
          to_s: run.open_day_s + DAY_S,
          writer_id: WRITER_ID,
          sequence: this.#nextSequence(),
        });
      }
      await writeRun(engine, { ...run, ver: this.#nextVersion(run) }, "stopped");
    }
    const { filter, now_ms } = this.#options;
    const record = await makeRun(engine, this.#rater.fingerprint, now_ms());
    this.#record = {
      ...record,
      from_day: filter.from ?? "",
      to_day: filter.to ?? "",
      provider: filter.provider ?? "",
      model: filter.model ?? "",
      project_id: filter.project_id ?? "",
    };
    await this.#writeRecord({}, "running");
  }

  #nextVersion({ ver }: PriceRun): number {
    return Math.max(this.#options.now_ms(), ver + 1);
  }

  async #writeRecord(changes: Partial<PriceRun>, state: "running" | "finished"): Promise<void> {
    if (this.#record === null) return;
    const { whole, spans_changed } = this.#totals;
    const { cost_usd_before, cost_usd_after } = this.#totals.print();
    this.#record = {
      ...this.#record,
      spans_changed,
      calls: whole.calls,
      calls_changed: whole.calls_changed,
      cost_before: cost_usd_before,
      cost_after: cost_usd_after,
      ver: this.#nextVersion(this.#record),
      ...changes,
    };
    await writeRun(this.#engine, this.#record, state);
  }

  /** Marks count up by the clock, and never below those of runs before. */
  #nextSequence(): number {
    this.#sequence = Math.max(this.#options.now_ms(), this.#sequence + 1);
    return this.#sequence;
  }

  #bind(range: { readonly from_s: number; readonly to_s: number }): Params {
    const { provider, model, project_id } = this.#options.filter;
    const { from_s, to_s } = range;
    return {
      from_s,
      to_s,
      provider: provider ?? "",
      model: model ?? "",
      project_id: project_id ?? "",
    };
  }

  async #count(
    query: "count_priced_days" | "count_priced_seconds",
    range: { readonly from_s: number; readonly to_s: number },
  ): Promise<TimedCount[]> {
    return this.#engine.query<TimedCount>(loadQuery(query), this.#bind(range));
  }

  async #cutDay(day_s: number): Promise<TimeRange[]> {
    const seconds = await this.#count("count_priced_seconds", {
      from_s: day_s,
      to_s: day_s + DAY_S,
    });
    return cutRanges(seconds, this.#options.max_range_rows ?? MAX_RANGE_ROWS);
  }

  async #rateRange(day_s: number, range: TimeRange): Promise<void> {
    const filter = this.#bind(range);
    const questions = await this.#engine.query<RatingQuestion>(
      loadQuery("select_price_questions"),
      filter,
    );
    for (const batch of cutQuestions(questions)) {
      const params = { ...filter, ...bindQuestions(this.#rater, batch) };
      const rows = await this.#engine.query<ReportRow>(reportSql(), params);
      const buckets = this.#addRows(rows);
      if (buckets.length > 0 && !this.#options.dry_run) {
        await this.#rewrite(day_s, buckets, params);
      }
    }
  }

  /** Adds the sums to the totals; returns the buckets with changes. */
  #addRows(rows: readonly ReportRow[]): ReportRow[] {
    for (const row of rows) {
      if (!row.is_model) continue;
      this.#totals.spans_changed += row.spans_changed;
      this.#totals.add(row.provider, row.model, {
        calls: row.calls,
        calls_changed: row.calls_changed,
        newly_priced: row.newly_priced,
        no_longer_priced: row.no_longer_priced,
        cost_before: BigInt(row.cost_before),
        cost_after: BigInt(row.cost_after),
      });
    }
    return rows.filter((row) => !row.is_model);
  }

  async #rewrite(day_s: number, buckets: readonly ReportRow[], params: Params): Promise<void> {
    if (this.#record?.open_day_s !== day_s) {
      await this.#writeRecord({ open_day_s: day_s }, "running");
    }
    await this.#mark(buckets);
    await this.#engine.command(insertSql(), params, "insert");
    await this.#mark(buckets);
  }

  async #mark(buckets: readonly ReportRow[]): Promise<void> {
    await this.#engine.command(
      loadQuery("mark_buckets"),
      {
        projects: buckets.map(({ project }) => project),
        starts: buckets.map(({ bucket_s }) => bucket_s),
        writer_id: WRITER_ID,
        sequence: this.#nextSequence(),
      },
      "insert",
    );
  }
}
