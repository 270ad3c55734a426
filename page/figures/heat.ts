/**
 * When money is spent: cost by weekday and hour of the day.
 *
 * Invariant: a cell is the exact sum of its hours; an hour belongs to the day and hour that clocks of the
 * zone show at its start.
 */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { type Asked, useAnswer } from "../answers.ts";
import type { Option } from "../chart.ts";
import { readVariable } from "../colors.ts";
import { countColumn, textColumn, usdColumn } from "../columns.ts";
import { addUsd } from "../money.ts";
import { Figure } from "../figure.ts";
import { showCount, showUsd } from "../format.ts";
import { html, type VNode } from "../html.ts";
import { textOf, TOOLTIP } from "../series.ts";
import type { TableData } from "../table.ts";
import { timeOf } from "./steps.ts";

/** Longest range that is asked for by the hour, hours: the answer stays well below 300 kB. */
export const MAX_HEAT_HOURS = 31 * 24;
/** Height of the map, CSS pixels. */
const HEIGHT = 240;

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] as const;

/** All hours of one place in the week. */
export interface HeatCell {
  /** 0 is Monday. */
  readonly weekday: number;
  /** 0 to 23. */
  readonly hour: number;
  readonly cost_usd: string | null;
  readonly calls: number;
}

/** Rows of hours as cells of a week in a zone, those without calls left out; by weekday and hour. */
export function heatCells(rows: readonly UsageRow[], tz: string): HeatCell[] {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: tz,
    weekday: "short",
    hour: "2-digit",
    hourCycle: "h23",
  });
  const cells = new Map<number, HeatCell>();
  for (const row of rows) {
    const parts = format.formatToParts(timeOf(row));
    const part = (type: string) => parts.find((item) => item.type === type)?.value ?? "";
    const weekday = WEEKDAYS.findIndex((name) => name === part("weekday"));
    const hour = Number(part("hour"));
    const place = weekday * 24 + hour;
    const before = cells.get(place) ?? { weekday, hour, cost_usd: null, calls: 0 };
    cells.set(place, {
      ...before,
      cost_usd: addUsd(before.cost_usd, row.cost_usd),
      calls: before.calls + (row.calls ?? 0),
    });
  }
  return [...cells].sort(([a], [b]) => a - b).map(([, cell]) => cell);
}

function showHour(hour: number): string {
  return `${String(hour).padStart(2, "0")}:00`;
}

function wordsOf({ weekday, hour, cost_usd, calls }: HeatCell): string {
  return `${WEEKDAYS[weekday]} ${showHour(hour)} to ${showHour((hour + 1) % 24)}: ${showUsd(cost_usd)}, ${showCount(calls)} calls`;
}

function heatOption(cells: readonly HeatCell[]): Option {
  const most = Math.max(...cells.map(({ cost_usd }) => Number(cost_usd ?? 0)), 0);
  return {
    grid: { left: 8, right: 8, top: 4, bottom: 4 },
    xAxis: {
      type: "category",
      data: Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0")),
      splitLine: { show: false },
      axisLine: { show: false },
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: [...WEEKDAYS],
      splitLine: { show: false },
      axisLine: { show: false },
      axisLabel: { interval: 0 },
    },
    tooltip: {
      ...TOOLTIP,
      trigger: "item",
      formatter: ({ dataIndex }: { readonly dataIndex: number }) => {
        const cell = cells[dataIndex];
        return textOf(cell === undefined ? "" : wordsOf(cell));
      },
    },
    visualMap: {
      show: false,
      min: 0,
      max: most === 0 ? 1 : most,
      dimension: 2,
      inRange: { color: [readVariable("--bar"), readVariable("--color-cost")] },
    },
    series: [
      {
        type: "heatmap",
        data: cells.map(({ weekday, hour, cost_usd }) => [hour, weekday, Number(cost_usd ?? 0)]),
        itemStyle: { borderColor: readVariable("--card"), borderWidth: 2, borderRadius: 3 },
      },
    ],
  };
}

interface Week {
  readonly cells: readonly HeatCell[];
  readonly coverage: UsageAnswer["coverage"];
}

function heatTable({ cells }: Week): TableData<HeatCell> {
  return {
    columns: [
      textColumn("weekday", "Weekday", ({ weekday }) => WEEKDAYS[weekday]),
      textColumn("hour", "Hour", ({ hour }) => showHour(hour)),
      usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
      countColumn("calls", "Calls", ({ calls }) => calls),
    ],
    rows: cells,
  };
}

function heatWords({ cells }: Week): string {
  const [most] = [...cells].sort((a, b) => Number(b.cost_usd ?? 0) - Number(a.cost_usd ?? 0));
  return most === undefined ? "No cost" : `Dearest: ${wordsOf(most)}`;
}

/** The figure; it asks by itself, for ranges that are not too long. */
export function HeatFigure({ asked }: { readonly asked: Asked }): VNode {
  const { tz, hours } = asked.range;
  const is_asked = hours <= MAX_HEAT_HOURS;
  const answer = useAnswer<UsageAnswer>(is_asked ? "/v1/usage" : null, {
    ...asked.query,
    interval: "hour",
    measures: "cost_usd,calls",
    limit: 1000,
  });
  const { data } = answer;
  const week: Week | null = !is_asked
    ? { cells: [], coverage: NO_COVERAGE }
    : data === null
      ? null
      : { cells: heatCells(data.rows, tz), coverage: data.coverage };
  return html`<${Figure}
    title="When it is spent"
    subtitle=${`US dollars by weekday and hour of the day, ${tz}, summed up`}
    width="full"
    answer=${{ ...answer, data: week }}
    file="cost-by-hour"
    height=${HEIGHT}
    table=${heatTable}
    chart=${(shown: Week) => ({ makeOption: () => heatOption(shown.cells) })}
    label=${heatWords}
    coverage=${({ coverage }: Week) => coverage}
    when_empty=${is_asked ? "Nothing in this range." : "Choose a range of at most 31 days."}
    footer=${(shown: Week) => shown.cells.length > 0 && html`<span>${heatWords(shown)}</span>`}
  />`;
}

const NO_COVERAGE = {
  calls: 0,
  calls_missing_usage: 0,
  calls_estimated: 0,
  calls_unpriced: 0,
  tokens_priced_share: null,
};
