/**
 * The collector over time: what it took and refused, how late, how much it holds. All of one answer of
 * `GET /v1/collector`.
 *
 * Invariant: a step that no collector told of is a gap, never a zero.
 */
import type { CollectorAnswer, CollectorPoint } from "../../schemas/api-collector.ts";
import type { Answer } from "../answers.ts";
import { colorOf, colorOfValue, type Meaning } from "../colors.ts";
import { instantColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import { showBytes, showCount, showDuration, showRate, type Unit } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { timeSeries } from "../series.ts";
import type { Column, TableData } from "../table.ts";
import { dayIn, showStep } from "../time.ts";

/** Seconds as the nanoseconds that durations are shown from. */
export const NS_PER_S = 1e9;

const SIGNALS = ["traces", "logs", "metrics"] as const;

/** One line or kind of bar. */
interface Line {
  /** Name in the CSV, with its unit. */
  readonly key: string;
  readonly title: string;
  readonly color: Meaning | { readonly value: string };
  /** The value as the API has it, which goes into the CSV. */
  readonly read: (point: CollectorPoint, interval_s: number) => number | null;
}

interface Panel {
  readonly title: string;
  readonly subtitle: string;
  readonly file: string;
  readonly unit: Extract<Unit, "per_second" | "count" | "ns" | "bytes">;
  readonly kind: "bar" | "line";
  readonly lines: readonly Line[];
  readonly when_empty?: string;
}

/** How values of the API are shown; seconds become durations. */
const SHOW: Readonly<Record<Panel["unit"], (value: number | null) => string>> = {
  per_second: showRate,
  count: showCount,
  ns: (seconds) => showDuration(toDrawn(seconds, "ns")),
  bytes: showBytes,
};

function toDrawn(value: number | null, unit: Panel["unit"]): number | null {
  return value === null || unit !== "ns" ? value : Math.round(value * NS_PER_S);
}

const PANELS: readonly Panel[] = [
  {
    title: "Accepted",
    subtitle: "Spans, log records and data points a second",
    file: "accepted",
    unit: "per_second",
    kind: "bar",
    lines: SIGNALS.map((signal) => ({
      key: `accepted_${signal}_per_s`,
      title: signal,
      color: { value: signal },
      read: ({ accepted }, interval_s) =>
        accepted === null ? null : accepted[signal] / interval_s,
    })),
  },
  {
    title: "Refused",
    subtitle: "Items rejected, requests refused, inserts that failed and were tried again",
    file: "refused",
    unit: "count",
    kind: "bar",
    lines: [
      {
        key: "rejected",
        title: "Rejected items",
        color: "errors",
        read: ({ rejected }) =>
          rejected === null ? null : rejected.traces + rejected.logs + rejected.metrics,
      },
      {
        key: "refused_requests",
        title: "Refused requests",
        color: "p99",
        read: (point) => point.refused_requests,
      },
      {
        key: "insert_failures",
        title: "Inserts tried again",
        color: "p90",
        read: (point) => point.insert_failures,
      },
    ],
  },
  {
    title: "Ingest lag",
    subtitle:
      "End of a span to its receipt, in the last 24 hours of the range; history sent late counts too, and is no fault",
    file: "ingest-lag",
    unit: "ns",
    kind: "line",
    when_empty: "No span was received in the last 24 hours of this range.",
    lines: [
      {
        key: "ingest_lag_p50_s",
        title: "p50",
        color: "p50",
        read: (point) => point.ingest_lag_p50_s,
      },
      {
        key: "ingest_lag_p95_s",
        title: "p95",
        color: "p95",
        read: (point) => point.ingest_lag_p95_s,
      },
    ],
  },
  {
    title: "Commit and insert",
    subtitle: "Until a request is on disk, and one INSERT; p95",
    file: "commit-and-insert",
    unit: "ns",
    kind: "line",
    lines: [
      { key: "commit_p95_s", title: "Commit", color: "p50", read: (point) => point.commit_p95_s },
      { key: "insert_p95_s", title: "Insert", color: "p95", read: (point) => point.insert_p95_s },
    ],
  },
  {
    title: "Waiting",
    subtitle: "Records in the log, and 15-minute sums to compute",
    file: "waiting",
    unit: "count",
    kind: "line",
    lines: [
      {
        key: "wal_pending_records",
        title: "Records for ClickHouse",
        color: "p50",
        read: (point) => point.wal_pending_records,
      },
      {
        key: "dirty_buckets",
        title: "15-minute sums to compute",
        color: "p95",
        read: (point) => point.dirty_buckets,
      },
    ],
  },
  {
    title: "Memory and log",
    subtitle: "Bytes",
    file: "memory-and-log",
    unit: "bytes",
    kind: "line",
    lines: [
      {
        key: "memory_bytes",
        title: "Memory",
        color: "p50",
        read: (point) => point.memory_bytes,
      },
      {
        key: "wal_bytes",
        title: "Write-ahead log",
        color: "p95",
        read: (point) => point.wal_bytes,
      },
    ],
  },
];

function paint(color: Line["color"]): string {
  return typeof color === "string" ? colorOf(color) : colorOfValue("signal", color.value);
}

interface Props {
  readonly answer: Answer<CollectorAnswer>;
  readonly tz: string;
}

/** All figures over time. */
export function PipelineFigures({ answer, tz }: Props): VNode {
  return html`${PANELS.map(
    (panel) => html`<${PanelFigure} key=${panel.file} ...${{ answer, tz, panel }} />`,
  )}`;
}

function panelTable({ points, interval_s }: CollectorAnswer, panel: Panel, tz: string) {
  const columns: Column<CollectorPoint>[] = [
    instantColumn("time", "From", ({ time }) => time, tz),
    ...panel.lines.map(({ key, title, read }) => ({
      key,
      title,
      value: (point: CollectorPoint) => read(point, interval_s),
      show: (point: CollectorPoint) => SHOW[panel.unit](read(point, interval_s)),
      is_number: true,
    })),
  ];
  return { columns, rows: points } satisfies TableData<CollectorPoint>;
}

/** A range longer than this has days on its axis, not times, ms. */
const MAX_TIMES_MS = 36 * 3_600_000;
/** Days with a label, at most: as many as fit into a third of a page. */
const MAX_DAY_LABELS = 7;

/** The points that are labelled by their day: the first of every day, or of every second day and so on. */
export function dayTicks(times_ms: readonly number[], tz: string): ReadonlySet<number> {
  const days = times_ms.map((at) => dayIn(tz, at));
  const firsts = times_ms.filter((_, index) => index > 0 && days[index] !== days[index - 1]);
  const every = Math.ceil(firsts.length / MAX_DAY_LABELS);
  return new Set(firsts.filter((_, index) => index % every === 0));
}

/** Labels of a long range; the chart's own ones for a short one. */
function axisOf(points: readonly CollectorPoint[], tz: string): object {
  const times = points.map(({ time }) => Date.parse(time));
  if ((times.at(-1) ?? 0) - (times[0] ?? 0) <= MAX_TIMES_MS) return {};
  const ticks = dayTicks(times, tz);
  const isTick = (_index: number, value: string) => ticks.has(Number(value));
  return {
    axisTick: { interval: isTick },
    axisLabel: {
      interval: isTick,
      hideOverlap: true,
      formatter: (value: string) =>
        showStep(Number(value), "day", tz)
          .replace(/^\w+, /, "")
          .replace(/ \d{4}$/, ""),
    },
  };
}

function panelOption(data: CollectorAnswer, panel: Panel, tz: string) {
  const option = seriesOption(data, panel, tz);
  const axis = option["xAxis"] as object;
  return { ...option, xAxis: { ...axis, ...axisOf(data.points, tz) } };
}

function seriesOption(data: CollectorAnswer, { lines, unit, kind }: Panel, tz: string) {
  const { points, interval_s, to } = data;
  return timeSeries({
    series: lines.map(({ title, color, read }) => ({
      name: title,
      color: paint(color),
      values: new Map(
        points.map((point) => [Date.parse(point.time), toDrawn(read(point, interval_s), unit)]),
      ),
    })),
    step: interval_s >= 86_400 ? "day" : "15m",
    // The points have no gaps: nothing is to be filled between two equal ends.
    range: { from: to, to, tz, name: null, title: "", hours: 0 },
    unit,
    kind,
  });
}

function PanelFigure({ answer, tz, panel }: Props & { readonly panel: Panel }): VNode {
  const table = useCallback((data: CollectorAnswer) => panelTable(data, panel, tz), [panel, tz]);
  const chart = (data: CollectorAnswer) => ({ makeOption: () => panelOption(data, panel, tz) });
  const isEmpty = ({ points, interval_s }: CollectorAnswer) =>
    !points.some((point) => panel.lines.some(({ read }) => read(point, interval_s) !== null));
  const items = panel.lines.map(({ title, color }) => ({ name: title, color: paint(color) }));
  return html`<${Figure}
    title=${panel.title}
    subtitle=${panel.subtitle}
    answer=${answer}
    file=${panel.file}
    table=${table}
    chart=${chart}
    label=${() => `${panel.title}: ${panel.subtitle}`}
    isEmpty=${isEmpty}
    when_empty=${panel.when_empty ?? "No collector told of itself in this range."}
    footer=${() => html`<${Legend} items=${items} />`}
  />`;
}
