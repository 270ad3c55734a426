/**
 * Figures over time that are lines or bars of one answer of `GET /v1/usage`: chart, table and CSV from
 * one list of lines.
 *
 * Invariant: all lines of a figure have one unit; a step leads to the calls that were made in it.
 */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { colorOf, type Meaning } from "../colors.ts";
import { countColumn, durationColumn, rateColumn, shareColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import type { Unit } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { timeSeries } from "../series.ts";
import type { Column, TableData } from "../table.ts";
import { dayIn, fillSteps, type Range, startOfDay, type Step } from "../time.ts";
import { goTo, linkTo, type Patch } from "../url.ts";
import { type StepsProps, timeColumn, timeOf, valuesOf } from "./steps.ts";

/** Units that lines can have. */
export type LineUnit = Extract<Unit, "ns" | "share" | "per_second" | "per_minute" | "calls">;

export interface Line {
  /** Name in the CSV, with its unit. */
  readonly key: string;
  readonly title: string;
  readonly color: Meaning;
  readonly read: (row: UsageRow) => number | null | undefined;
  readonly is_dashed?: boolean;
}

export interface LinesProps extends StepsProps {
  readonly title: string;
  readonly subtitle: string;
  readonly unit: LineUnit;
  readonly kind?: "bar" | "line";
  readonly lines: readonly Line[];
  readonly file: string;
  readonly width?: "wide" | "full";
  readonly when_empty?: string;
  /** More of the address of the calls of a step. */
  readonly calls_patch?: Patch;
}

type MakeColumn = (key: string, title: string, read: Line["read"]) => Column<UsageRow>;

/** The column of a unit. */
export const UNIT_COLUMNS: Readonly<Record<LineUnit, MakeColumn>> = {
  ns: durationColumn,
  share: shareColumn,
  per_second: rateColumn,
  per_minute: rateColumn,
  calls: countColumn,
};

const STEP_MS: Readonly<Partial<Record<Step, number>>> = { "15m": 900_000, hour: 3_600_000 };

/** A step for titles: "15 min", "day". */
export function nameStep(step: Step): string {
  return step === "15m" ? "15 min" : step;
}

/** The end of a step that starts at an instant, Unix ms; days, weeks and months are those of the zone. */
export function endOfStep(start_ms: number, step: Step, tz: string): number {
  const step_ms = STEP_MS[step];
  if (step_ms !== undefined) return start_ms + step_ms;
  const day = new Date(dayIn(tz, start_ms));
  if (step === "month") day.setUTCMonth(day.getUTCMonth() + 1, 1);
  else day.setUTCDate(day.getUTCDate() + (step === "week" ? 7 : 1));
  return startOfDay(day.toISOString().slice(0, 10), tz);
}

/** The part of the address that asks for one step. */
export function patchOfStep(start_ms: number, step: Step, { tz }: Range): Patch {
  const end_ms = endOfStep(start_ms, step, tz);
  return {
    range: null,
    from: new Date(start_ms).toISOString(),
    to: new Date(end_ms).toISOString(),
  };
}

/** A click on a step of a chart leads to the calls that were made in it. */
export function pickStep(
  data: UsageAnswer,
  { step, range }: Pick<StepsProps, "step" | "range">,
  patchOf: (series: string) => Patch = () => ({}),
): (picked: { readonly index: number; readonly series: string }) => void {
  return ({ index, series }) => {
    const start_ms = fillSteps(data.rows.map(timeOf), step, range)[index];
    if (start_ms === undefined) return;
    goTo(linkTo("calls", { ...patchOfStep(start_ms, step, range), ...patchOf(series) }));
  };
}

/** The start of a step, leading to the calls that were made in it. */
export function stepColumn(step: Step, range: Range, patch: Patch = {}): Column<UsageRow> {
  const column = timeColumn();
  const show = (row: UsageRow) =>
    html`<a href=${linkTo("calls", { ...patchOfStep(timeOf(row), step, range), ...patch })}
      >${column.value(row)}</a
    >`;
  return { ...column, show };
}

function isEmpty(data: UsageAnswer, lines: readonly Line[]): boolean {
  return !data.rows.some((row) => lines.some(({ read }) => (read(row) ?? null) !== null));
}

/** The figure. */
export function LinesFigure(props: LinesProps): VNode {
  const { answer, step, range, unit, lines, kind = "line", calls_patch = {} } = props;
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        stepColumn(step, range, calls_patch),
        ...lines.map(({ key, title, read }) => UNIT_COLUMNS[unit](key, title, read)),
      ],
      rows: data.rows,
    }),
    [lines, step, range],
  );
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: lines.map(({ title, color, read, is_dashed = false }) => ({
          name: title,
          color: colorOf(color),
          values: valuesOf(data, read),
          is_dashed,
        })),
        step,
        range,
        unit,
        kind,
        is_stacked: false,
      }),
    onPick: pickStep(data, { step, range }, () => calls_patch),
  });
  const items = lines.map(({ title, color, is_dashed = false }) => ({
    name: is_dashed ? `${title} (dashed)` : title,
    color: colorOf(color),
  }));
  return html`<${Figure}
    title=${props.title}
    subtitle=${props.subtitle}
    answer=${answer}
    file=${props.file}
    width=${props.width}
    table=${table}
    chart=${chart}
    label=${() => `${props.title}: ${props.subtitle}`}
    isEmpty=${(data: UsageAnswer) => isEmpty(data, lines)}
    when_empty=${props.when_empty}
    footer=${(data: UsageAnswer) =>
      lines.length > 1 && !isEmpty(data, lines) && html`<${Legend} items=${items} />`}
  />`;
}
