/** This month so far, and what it is forecast to have cost, as budgets have it. */
import type { CostsOfPeriodAnswer } from "../../schemas/api-analytics.ts";
import { type Answer, type Asked, useAnswer } from "../answers.ts";
import { colorOf } from "../colors.ts";
import { countColumn, textColumn, usdColumn } from "../columns.ts";
import { addUsd } from "../money.ts";
import { Figure, Legend } from "../figure.ts";
import { showUsd } from "../format.ts";
import { html, type VNode } from "../html.ts";
import { type Series, timeSeries } from "../series.ts";
import type { TableData } from "../table.ts";
import { dayIn, fillSteps, type Range } from "../time.ts";

/** Height of the chart, CSS pixels. */
const HEIGHT = 214;

/** A day, and the month up to its end. */
export interface MonthDay {
  readonly time: string;
  readonly calls: number;
  readonly cost_usd: string | null;
  readonly so_far_usd: string | null;
}

/** Days with what the month cost up to the end of each, exactly. */
export function addUpDays(
  series: readonly {
    readonly time: string;
    readonly calls: number;
    readonly cost_usd: string | null;
  }[],
): MonthDay[] {
  let so_far_usd: string | null = null;
  return series.map(({ time, calls, cost_usd }) => {
    so_far_usd = addUsd(so_far_usd, cost_usd);
    return { time, calls, cost_usd, so_far_usd };
  });
}

/** The question: the month of now, with the filters of the view. */
export function useMonth(asked: Asked): Answer<CostsOfPeriodAnswer> {
  const { from: _from, to: _to, ...query } = asked.query;
  return useAnswer<CostsOfPeriodAnswer>("/v1/analytics/costs/month", { ...query, limit: 1 });
}

const SO_FAR = "So far";
const FORECAST = "Forecast";
const BEFORE = "Whole month before";

type Forecast = Pick<CostsOfPeriodAnswer["forecast"], "cost_usd" | "reason" | "known_days">;

function monthSeries({ series, forecast, previous_period, tz, period }: CostsOfPeriodAnswer) {
  const range: Range = {
    from: dayIn(tz, Date.parse(period.from)),
    to: dayIn(tz, Date.parse(period.to)),
    tz,
    name: null,
    title: "",
    hours: 0,
  };
  const days = addUpDays(series);
  const known = new Map(days.map((day) => [Date.parse(day.time), day.so_far_usd]));
  const times = fillSteps([...known.keys()], "day", range);
  const last_ms = Math.max(...known.keys());
  // A day without calls has cost nothing: the sum goes on.
  let sum: string | null = null;
  const so_far = new Map<number, number | null>();
  for (const at of times) {
    sum = known.get(at) ?? sum;
    if (at <= last_ms && sum !== null) so_far.set(at, Number(sum));
  }
  const end_ms = times.at(-1) ?? last_ms;
  const lines: Series[] = [
    { name: SO_FAR, color: colorOf("cost"), values: so_far },
    {
      name: FORECAST,
      color: colorOf("cost"),
      is_dashed: true,
      values: lineTo(so_far, last_ms, end_ms, times, forecast.cost_usd),
    },
    {
      name: BEFORE,
      color: colorOf("other"),
      values:
        previous_period.totals.cost_usd === null
          ? new Map()
          : new Map(times.map((at) => [at, Number(previous_period.totals.cost_usd)])),
    },
  ];
  return { range, lines: lines.filter(({ values }) => values.size > 0) };
}

/** A straight line from the last day to the forecast, a place of the chart for each day. */
function lineTo(
  so_far: ReadonlyMap<number, number | null>,
  last_ms: number,
  end_ms: number,
  times: readonly number[],
  forecast_usd: string | null,
): ReadonlyMap<number, number> {
  const start = so_far.get(last_ms) ?? null;
  if (forecast_usd === null || start === null || end_ms <= last_ms) return new Map();
  const slope = (Number(forecast_usd) - start) / (end_ms - last_ms);
  return new Map(
    times
      .filter((at) => at >= last_ms)
      .map((at) => [at, at === end_ms ? Number(forecast_usd) : start + slope * (at - last_ms)]),
  );
}

function monthTable({ series }: CostsOfPeriodAnswer): TableData<MonthDay> {
  return {
    columns: [
      textColumn("time", "Day from (UTC)", ({ time }) => time.slice(0, 16).replace("T", " ")),
      usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
      usdColumn("so_far_usd", "Month so far, USD", ({ so_far_usd }) => so_far_usd),
      countColumn("calls", "Calls", ({ calls }) => calls),
    ],
    rows: addUpDays(series),
  };
}

/** What a period is forecast to cost, in the words that budgets have for it. */
export function forecastWords({ cost_usd, reason, known_days }: Forecast): string {
  return cost_usd === null
    ? `No forecast: ${reason ?? "it is not known"}`
    : `Forecast ${showUsd(cost_usd)}, from ${known_days} days`;
}

function monthWords({ totals, forecast, previous_period }: CostsOfPeriodAnswer): string {
  return `${showUsd(totals.cost_usd)} so far. ${forecastWords(forecast)}. The month before ${showUsd(previous_period.totals.cost_usd)}`;
}

/** The figure. */
export function MonthFigure({ answer }: { readonly answer: Answer<CostsOfPeriodAnswer> }): VNode {
  const chart = (data: CostsOfPeriodAnswer) => ({
    makeOption: () => {
      const { lines, range } = monthSeries(data);
      return timeSeries({ series: lines, step: "day", range, unit: "usd", kind: "line" });
    },
  });
  const items = [
    { name: SO_FAR, color: colorOf("cost") },
    { name: `${FORECAST} (dashed)`, color: colorOf("cost") },
    { name: BEFORE, color: colorOf("other") },
  ];
  return html`<${Figure}
    title="This month"
    subtitle="US dollars, added up"
    answer=${answer}
    file="month"
    height=${HEIGHT}
    table=${monthTable}
    chart=${chart}
    label=${monthWords}
    coverage=${(data: CostsOfPeriodAnswer) => data.coverage}
    when_empty="No calls this month."
    footer=${(data: CostsOfPeriodAnswer) =>
      data.series.length > 0 &&
      html`<${Legend} items=${items} />
        <span title=${data.forecast.assumptions.join("\n")}>${monthWords(data)}.</span>`}
  />`;
}
