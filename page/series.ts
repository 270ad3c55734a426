/**
 * Options of the charts that views have: series over time and bars of groups, with axes in one unit and a
 * tooltip that lists every series.
 *
 * Invariant: a unit has one axis; nothing is drawn for what is not known.
 */
import type { Option } from "./chart.ts";
import { readVariable } from "./colors.ts";
import { showTickOf, showUnit, type Unit } from "./format.ts";
import { fillSteps, type Range, showStep, showTick, type Step } from "./time.ts";

/** One line, area or kind of bar. */
export interface Series {
  readonly name: string;
  readonly color: string;
  /** By the start of the step, Unix ms; a step that is missing has no value. */
  readonly values: ReadonlyMap<number, number | null>;
  readonly is_dashed?: boolean;
  /** A pattern on bars (`itemStyle.decal` of ECharts), for series whose colours are alike. */
  readonly decal?: object;
}

export interface SeriesOptions {
  readonly series: readonly Series[];
  readonly step: Step;
  readonly range: Range;
  readonly unit: Unit;
  /** `bar` for what is counted or summed in a step, `line` for what is measured in it. */
  readonly kind: "bar" | "line";
  /** Bars upon each other, for parts of a whole. */
  readonly is_stacked?: boolean;
  /** A line across, such as a budget. */
  readonly limit?: { readonly value: number; readonly name: string };
}

/** Series over time. */
export function timeSeries(options: SeriesOptions): Option {
  const { series, step, range, unit, kind, is_stacked = kind === "bar" } = options;
  const { tz } = range;
  const times = fillSteps(
    series.flatMap(({ values }) => [...values.keys()]),
    step,
    range,
  );
  const has_decals = series.some(({ decal }) => decal !== undefined);
  return {
    // ECharts draws patterns only then; what a chart is is said by its frame.
    ...(has_decals
      ? { aria: { enabled: true, label: { enabled: false }, decal: { show: true } } }
      : {}),
    xAxis: {
      type: "category",
      data: times.map(String),
      axisLabel: { formatter: (value: string) => showTick(Number(value), step, tz) },
      splitLine: { show: false },
    },
    yAxis: {
      type: "value",
      axisLabel: { formatter: (value: number) => showTickOf(value, unit) },
      minInterval: unit === "calls" || unit === "tokens" || unit === "count" ? 1 : 0,
      ...(unit === "share"
        ? { max: (range: { max: number }) => Math.min(1, range.max * 1.2 || 1) }
        : {}),
    },
    tooltip: {
      ...TOOLTIP,
      trigger: "axis",
      axisPointer: { type: kind === "bar" ? "shadow" : "line" },
      formatter: (points: readonly Point[]) => {
        const [first] = points;
        const at_ms = Number(first?.axisValue ?? 0);
        return makeTooltip(
          showStep(at_ms, step, tz),
          points,
          (value) => showUnit(value, unit),
          is_stacked,
        );
      },
    },
    series: series.map((one, index) => {
      const values = times.map((at) => one.values.get(at) ?? null);
      return {
        name: one.name,
        type: kind,
        color: one.color,
        ...(is_stacked ? { stack: "all" } : {}),
        ...(kind === "line"
          ? {
              symbol: "none",
              // A lone point has one, however many steps there are.
              showAllSymbol: true,
              lineStyle: { width: 2, type: one.is_dashed === true ? "dashed" : "solid" },
            }
          : { barMaxWidth: 40, barCategoryGap: "20%" }),
        ...(one.decal === undefined ? {} : { itemStyle: { decal: one.decal } }),
        data: kind === "line" ? values.map(markLone) : values,
        ...(index === 0 && options.limit !== undefined
          ? { markLine: limitLine(options.limit) }
          : {}),
      };
    }),
  };
}

/** A value with nothing known beside it: no line leads to it, so that it is a dot. */
function markLone(
  value: number | null,
  index: number,
  values: readonly (number | null)[],
): number | null | object {
  const is_lone = (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null;
  return value === null || !is_lone ? value : { value, symbol: "circle", symbolSize: 5 };
}

function limitLine({ value, name }: { readonly value: number; readonly name: string }): object {
  return {
    symbol: "none",
    silent: true,
    lineStyle: { type: "dashed", width: 1 },
    label: { formatter: name, position: "insideEndTop" },
    data: [{ yAxis: value }],
  };
}

/** A bar of a group. */
export interface Bar {
  readonly name: string;
  readonly value: number | null;
  readonly color: string;
  /** The exact value in words. */
  readonly text: string;
}

/** Height of a chart of so many bars, CSS pixels. */
export function barsHeight(count: number): number {
  return Math.max(1, count) * 28 + 32;
}

/** Bars of groups, the first on top. */
export function groupBars(bars: readonly Bar[], unit: Unit): Option {
  return {
    grid: { left: 8, right: 72 },
    xAxis: {
      type: "value",
      axisLabel: { formatter: (value: number) => showTickOf(value, unit) },
      splitNumber: 4,
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: bars.map(({ name }) => name),
      axisLabel: { width: 150, overflow: "truncate", hideOverlap: false, interval: 0 },
      splitLine: { show: false },
    },
    tooltip: {
      ...TOOLTIP,
      trigger: "item",
      formatter: ({ dataIndex }: { readonly dataIndex: number }) => {
        const bar = bars[dataIndex];
        return textOf(bar === undefined ? "" : `${bar.name}: ${bar.text}`);
      },
    },
    series: [
      {
        type: "bar",
        barMaxWidth: 18,
        data: bars.map(({ value, color, text }) => ({
          value,
          itemStyle: { color },
          label: {
            show: true,
            position: "right",
            formatter: () => text,
            fontSize: 11,
            color: readVariable("--text"),
            textBorderWidth: 0,
          },
        })),
      },
    ],
  };
}

/** One series at the place of the pointer, as ECharts gives it. */
interface Point {
  readonly axisValue: string;
  readonly seriesName: string;
  readonly color: string;
  readonly value: number | null | undefined;
}

/** The frame of a tooltip; its content is made of elements, never of HTML. */
export const TOOLTIP = {
  confine: true,
  className: "tooltip",
  backgroundColor: "transparent",
  borderWidth: 0,
  padding: 0,
  extraCssText: "",
  transitionDuration: 0,
} as const;

/** Series that a tooltip lists; the largest. */
const MAX_TOOLTIP_ROWS = 14;

/** Text as the content of a tooltip. */
export function textOf(text: string): HTMLElement {
  const element = document.createElement("div");
  element.className = "tip";
  element.textContent = text;
  return element;
}

function makeTooltip(
  title: string,
  points: readonly Point[],
  show: (value: number) => string,
  is_summed: boolean,
): HTMLElement {
  const element = textOf("");
  const heading = document.createElement("strong");
  heading.textContent = title;
  element.append(heading);
  const known = points.filter(
    (point) => typeof point.value === "number" && (point.value !== 0 || !is_summed),
  );
  const sorted = is_summed ? [...known].sort((a, b) => (b.value ?? 0) - (a.value ?? 0)) : known;
  for (const { seriesName, color, value } of sorted.slice(0, MAX_TOOLTIP_ROWS)) {
    element.append(makeRow(seriesName, show(value ?? 0), color));
  }
  if (sorted.length > MAX_TOOLTIP_ROWS) {
    element.append(makeRow(`${sorted.length - MAX_TOOLTIP_ROWS} more`, "", "transparent"));
  }
  if (is_summed && sorted.length > 1) {
    const total = sorted.reduce((sum, { value }) => sum + (value ?? 0), 0);
    element.append(makeRow("All", show(total), "transparent"));
  }
  if (sorted.length === 0) element.append(makeRow("Nothing known", "", "transparent"));
  return element;
}

function makeRow(name: string, value: string, color: string): HTMLElement {
  const row = document.createElement("div");
  row.className = "tip-row";
  const dot = document.createElement("i");
  dot.style.background = color;
  const [label, amount] = [document.createElement("span"), document.createElement("b")];
  label.textContent = name;
  amount.textContent = value;
  row.append(dot, label, amount);
  return row;
}
