/** How the collector does, now and over time, and how well the calls are told that it gets. */
import type { CollectorAnswer } from "../../schemas/api-collector.ts";
import { type Answer, nowMs, useAnswer, useAsked } from "../answers.ts";
import { countColumn, instantColumn, textColumn } from "../columns.ts";
import { Figure, ProblemBox, Tile } from "../figure.ts";
import { NS_PER_S, PipelineFigures } from "../figures/pipeline.ts";
import { QualityFigure } from "../figures/quality.ts";
import { OLD_SAMPLE_MS, Verdict } from "../figures/verdict.ts";
import { FilterBar } from "../filters.ts";
import { showBytes, showCount, showDuration, showRate, showShare, UNKNOWN } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { endToMs, type Range, showAge } from "../time.ts";

/** Samples are kept for 30 days; the API takes one day more. */
const MAX_RANGE_MS = 31 * 86_400_000;
/** Steps of the rates of now, seconds, and how many of them are looked at. */
const NOW_STEP_S = 60;
const NOW_STEPS = 5;
const FORBIDDEN = 403;

/** The view. */
export function CollectorView(): VNode {
  const asked = useAsked();
  const { tz } = asked.range;
  const now = useAnswer<CollectorAnswer>("/v1/collector", { interval_s: NOW_STEP_S });
  const { is_cut, ...range } = cutRange(asked.range);
  const answer = useAnswer<CollectorAnswer>("/v1/collector", range);
  // What stands below waits for the verdict, so that a long one pushes nothing down.
  if (now.data === null && now.problem === null) {
    return html`<${FilterBar} />
      <div key="waiting" class="skeleton reasons">
        <span class="hidden">Loading the collector</span>
      </div>`;
  }
  const is_forbidden = now.problem?.status === FORBIDDEN;
  return html`<${FilterBar} />
    ${
      is_forbidden
        ? html`<${ProblemBox} problem=${now.problem} reload=${now.reload} />`
        : html`${now.data !== null && html`<${Verdict} data=${now.data} now_ms=${nowMs()} />`}
            <${StateLine} answer=${now} />
            <${Tiles} answer=${now} />
            ${is_cut && html`<p class="note">The collector keeps samples for 30 days: its figures show the last 31 days of the range.</p>`}
            <div class="grid">
              <${PipelineFigures} answer=${answer} tz=${tz} />
              <${RefusalsFigure} answer=${answer} />
              <${CollectorsFigure} answer=${now} tz=${tz} />
              <${StorageFigure} answer=${now} />
            </div>`
    }
    <div key="quality" class="grid"><${QualityFigure} asked=${asked} /></div>`;
}

/** The part of a range that samples are kept for, as the API takes it. */
function cutRange({ from, to, tz }: Range) {
  const [from_ms, to_ms] = [endToMs(from, tz), endToMs(to, tz)];
  const is_cut = to_ms - from_ms > MAX_RANGE_MS;
  const start_ms = is_cut ? to_ms - MAX_RANGE_MS : from_ms;
  return { from: new Date(start_ms).toISOString(), to: new Date(to_ms).toISOString(), is_cut };
}

/** Who answers, and since when nobody told of himself. */
function StateLine({ answer: { data } }: { readonly answer: Answer<CollectorAnswer> }): VNode {
  if (data === null) return html`<p class="state-line" role="status">${" "}</p>`;
  const { last_sample_at, collectors, engine, version, prices } = data;
  const sample_ms = last_sample_at === null ? null : Date.parse(last_sample_at);
  const is_old = sample_ms === null || nowMs() - sample_ms > OLD_SAMPLE_MS;
  const told =
    sample_ms === null
      ? "No collector has told of itself yet."
      : `Last sample ${showAge(sample_ms, Date.now())}, ${collectors.length} ${collectors.length === 1 ? "collector" : "collectors"}.`;
  const words = `Spanledger ${version}, ClickHouse ${engine === "embedded" ? "embedded" : "on a server"}; ${showCount(prices.rows)} prices, the newest read on ${prices.evidence_date ?? UNKNOWN}.`;
  return html`<p class="state-line" role="status">
    <span class=${is_old ? "problem-line" : ""}>${told}</span> ${words}
  </p>`;
}

/** A rate of the last whole steps, items a second; null when nobody told of them. */
function rateOfNow({ points, interval_s }: CollectorAnswer): number | null {
  // The last step is under way.
  const known = points
    .slice(0, -1)
    .flatMap(({ accepted }) => (accepted === null ? [] : [accepted]));
  const last = known.slice(-NOW_STEPS);
  if (last.length === 0) return null;
  const items = last.reduce((sum, { traces, logs, metrics }) => sum + traces + logs + metrics, 0);
  return items / (last.length * interval_s);
}

function showSeconds(seconds: number | null): string {
  return showDuration(seconds === null ? null : Math.round(seconds * NS_PER_S));
}

interface TileText {
  readonly title: string;
  readonly value: (data: CollectorAnswer) => string;
  readonly note: (data: CollectorAnswer) => string;
}

const TILES: readonly TileText[] = [
  {
    title: "Accepted",
    value: (data) => {
      const rate = rateOfNow(data);
      return rate === null ? UNKNOWN : `${showRate(rate)}/s`;
    },
    note: () => `items, last ${NOW_STEPS} minutes`,
  },
  {
    title: "Rejected",
    value: ({ totals: { rejected } }) =>
      showCount(rejected === null ? null : rejected.traces + rejected.logs + rejected.metrics),
    note: () => "items, last hour",
  },
  {
    title: "Refused requests",
    value: ({ totals }) => showCount(totals.refused_requests),
    note: ({ totals }) => `of ${showCount(totals.requests)}, last hour`,
  },
  {
    title: "Ingest lag, p95",
    value: ({ totals }) => showSeconds(totals.ingest_lag_p95_s),
    note: ({ totals }) =>
      `half within ${showSeconds(totals.ingest_lag_p50_s)}; history sent late counts too, and is no fault`,
  },
  {
    title: "Waiting in the log",
    value: ({ now }) => showCount(now.wal_pending_records),
    note: ({ now }) => `records; ${showShare(now.wal_budget_share)} of its disk`,
  },
  {
    title: "Memory",
    value: ({ now }) => showBytes(now.memory_bytes),
    note: ({ totals }) =>
      totals.cpu_cores === null ? "" : `${showRate(totals.cpu_cores)} cores, last hour`,
  },
  {
    title: "Dead letters",
    value: ({ now }) => showCount(now.dead_letter_records),
    note: ({ now }) => `records that ClickHouse refused, ${showBytes(now.dead_letter_bytes)}`,
  },
  {
    title: "15-minute sums to compute",
    value: ({ backlog }) => showCount(backlog.dirty_buckets),
    note: ({ backlog }) =>
      backlog.dirty_buckets === 0
        ? "none is waiting"
        : `the oldest waits ${showSeconds(backlog.oldest_dirty_s)}; answers are exact all the same`,
  },
];

function Tiles({ answer: { data, problem } }: { readonly answer: Answer<CollectorAnswer> }): VNode {
  const unknown = problem === null ? null : UNKNOWN;
  return html`<div class="tiles">
    ${TILES.map(
      ({ title, value, note }) =>
        html`<${Tile}
          title=${title}
          value=${data === null ? unknown : value(data)}
          note=${data === null ? "" : note(data)}
        />`,
    )}
  </div>`;
}

interface Refusal {
  readonly signal: string;
  readonly what: string;
  readonly reason: string | null;
  readonly count: number;
}

function listRefusals({ totals }: CollectorAnswer): TableData<Refusal> {
  const items = totals.items.flatMap(({ signal, outcome, reason, items }): Refusal[] =>
    outcome === "accepted" ? [] : [{ signal, what: `items ${outcome}`, reason, count: items }],
  );
  const requests = totals.refusals.map(({ signal, reason, requests }): Refusal => ({
    signal,
    what: "requests refused",
    reason,
    count: requests,
  }));
  return {
    columns: [
      textColumn("signal", "Signal", ({ signal }) => signal),
      textColumn("what", "What", ({ what }) => what),
      textColumn("reason", "Why", ({ reason }) => reason?.replaceAll("_", " ")),
      countColumn("count", "How many", ({ count }) => count),
    ],
    rows: [...items, ...requests],
  };
}

interface Props {
  readonly answer: Answer<CollectorAnswer>;
  readonly tz?: string;
}

function RefusalsFigure({ answer }: Props): VNode {
  return html`<${Figure}
    title="Refused and ignored, by reason"
    subtitle="In the range; ignored: no business of the ledger"
    answer=${answer}
    file="refusals"
    table=${listRefusals}
    when_empty="Nothing was refused or ignored in this range."
  />`;
}

type Instance = CollectorAnswer["collectors"][number];

function CollectorsFigure({ answer, tz = "UTC" }: Props): VNode {
  const table = useCallback(
    ({ collectors }: CollectorAnswer): TableData<Instance> => ({
      columns: [
        textColumn("instance_id", "Collector", ({ instance_id }) => instance_id),
        textColumn("version", "Version", ({ version }) => version),
        instantColumn("last_sample_at", "Last sample", (row) => row.last_sample_at, tz),
      ],
      rows: collectors,
    }),
    [tz],
  );
  return html`<${Figure}
    title="Collectors"
    subtitle="Heard of in the last three minutes"
    width="wide"
    answer=${answer}
    file="collectors"
    table=${table}
    when_empty="None: is one running?"
  />`;
}

type Stored = CollectorAnswer["tables"][number];

function bytesColumn(key: keyof Stored, title: string): Column<Stored> {
  const read = (row: Stored) => row[key] as number;
  return { key, title, value: read, show: (row) => showBytes(read(row)), is_number: true };
}

function listTables({ tables }: CollectorAnswer): TableData<Stored> {
  const largest = Math.max(1, ...tables.map(({ bytes_on_disk }) => bytes_on_disk));
  return {
    columns: [
      textColumn("name", "Table", ({ name }) => name),
      countColumn("rows", "Rows", ({ rows }) => rows),
      countColumn("parts", "Parts", ({ parts }) => parts),
      {
        ...bytesColumn("bytes_on_disk", "On disk"),
        bar: ({ bytes_on_disk }) => bytes_on_disk / largest,
      },
      bytesColumn("uncompressed_bytes", "Uncompressed"),
      {
        key: "compression_ratio",
        title: "Compression",
        value: (row) => row.compression_ratio,
        show: ({ compression_ratio: ratio }) =>
          ratio === null ? UNKNOWN : `${showRate(ratio)} to 1`,
        is_number: true,
      },
    ],
    rows: tables,
  };
}

function StorageFigure({ answer }: Props): VNode {
  return html`<${Figure}
    title="Storage"
    subtitle="Of ClickHouse, now"
    width="full"
    answer=${answer}
    file="storage"
    table=${listTables}
  />`;
}
