/**
 * Panels of the dashboards as something to draw: their statements run on the embedded engine, their values
 * in words by Grafana's own code.
 *
 * Invariant: nothing is drawn that no statement answered; what cannot be drawn here is shown as its rows.
 */
import type { FieldConfigPropertyItem, FieldOverrideContext } from "@grafana/data";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  type Cell,
  describeColumns,
  grafana,
  makeFrame,
  runStatement,
  textOf,
} from "../../grafana/fixture-frames.ts";
import { expandPanel, type MacroRange, type VariableValues } from "../../grafana/macros.ts";

/** A part of the JSON of a dashboard: what is read here. */
export interface PanelJson {
  readonly type: string;
  readonly title?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly fieldConfig?: { readonly defaults: { readonly custom?: CustomJson } };
  readonly targets?: readonly {
    readonly rawSql?: string;
    readonly format?: number;
    readonly refId: string;
  }[];
}
interface CustomJson {
  readonly drawStyle?: string;
  readonly stacking?: { readonly mode?: string };
  readonly lineStyle?: { readonly fill?: string };
  readonly axisPlacement?: string;
  readonly cellOptions?: { readonly type?: string };
}
export interface DashboardJson {
  readonly uid: string;
  readonly title: string;
  readonly time: { readonly from: string };
  readonly panels: readonly PanelJson[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly current?: { readonly value?: string | readonly string[] };
    }[];
  };
}

/** A value in words, with its colour. */
export interface Words {
  readonly text: string;
  readonly color: string;
}
export interface DrawnSeries {
  readonly name: string;
  readonly color: string;
  readonly is_bar: boolean;
  readonly is_dashed: boolean;
  readonly is_right: boolean;
  readonly points: readonly (readonly [unix_ms: number, value: number | null])[];
}
export interface Tick {
  readonly value: number;
  readonly text: string;
}
export interface DrawnCell extends Words {
  /** Share of the largest, drawn as a bar; null without one. */
  readonly share: number | null;
  readonly is_painted: boolean;
  readonly is_number: boolean;
}

/** What the page of the preview draws in one place of the grid. */
export type Drawn = {
  readonly title: string;
  readonly place: PanelJson["gridPos"];
  readonly note: string;
} & (
  | { readonly kind: "stat"; readonly values: readonly (Words & { readonly name: string })[] }
  | {
      readonly kind: "series";
      readonly series: readonly DrawnSeries[];
      readonly is_stacked: boolean;
      readonly ticks: readonly (readonly Tick[])[];
      readonly range: readonly [from_ms: number, to_ms: number];
    }
  | {
      readonly kind: "bars";
      readonly bars: readonly (Words & { readonly name: string; readonly share: number })[];
    }
  | {
      readonly kind: "table";
      readonly titles: readonly string[];
      readonly rows: readonly (readonly DrawnCell[])[];
    }
);

const CUSTOM = [
  "drawStyle",
  "stacking",
  "lineStyle",
  "axisPlacement",
  "cellOptions",
  "width",
  "fillOpacity",
  "hidden",
];
const PATHS = [
  "displayName",
  "unit",
  "decimals",
  "min",
  "max",
  "noValue",
  "color",
  "thresholds",
  "mappings",
  "links",
];

function makeOption(path: string, is_custom: boolean): FieldConfigPropertyItem {
  return {
    id: is_custom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom: is_custom,
    process: (value: unknown, context: FieldOverrideContext) =>
      path === "displayName" && typeof value === "string"
        ? replaceLabels(value, context.field?.labels ?? {})
        : value,
    shouldApply: () => true,
    override: () => null,
    editor: () => null,
    getItemsCount: () => 0,
  };
}

const OPTIONS = new grafana.Registry<FieldConfigPropertyItem>(() => [
  ...PATHS.map((path) => makeOption(path, false)),
  ...CUSTOM.map((path) => makeOption(path, true)),
]);
const THEME = grafana.createTheme({ colors: { mode: "light" } });
/** Rows that a preview can show. */
const MAX_ROWS = 40;
/** Points that a panel of the whole width has at most; Grafana asks for one each pixel. */
const MAX_POINTS = 160;

/** Labels of a series in a text, as Grafana puts them in. */
function replaceLabels(text: string, labels: Readonly<Record<string, string>>): string {
  return text.replaceAll(
    /\$\{__field\.labels\.(\w+)\}/g,
    (_all, name: string) => labels[name] ?? "",
  );
}

/** The variables of a dashboard as they are when it is opened, with changes. */
export function variablesOf(
  { templating }: DashboardJson,
  changes: Readonly<Record<string, string>>,
): VariableValues {
  return new Map(
    templating.list.map(({ name, current }) => [name, changes[name] ?? current?.value ?? ""]),
  );
}

async function readFrames(
  engine: Engine,
  panel: PanelJson,
  values: VariableValues,
  range: MacroRange,
) {
  const frames = [];
  for (const { rawSql = "", format = 1, refId } of panel.targets ?? []) {
    if (rawSql === "") continue;
    const sql = expandPanel(rawSql, values, range);
    const answer = await runStatement(engine, sql, await describeColumns(engine, sql));
    frames.push(makeFrame(answer, format, refId));
  }
  return grafana.applyFieldOverrides({
    data: frames,
    fieldConfig: (panel.fieldConfig ?? { defaults: {}, overrides: [] }) as never,
    replaceVariables: (text: string) => text,
    theme: THEME,
    fieldConfigRegistry: OPTIONS,
    timeZone: "utc",
  });
}

type Frames = Awaited<ReturnType<typeof readFrames>>;
type Field = Frames[number]["fields"][number];

function show(field: Field, value: unknown): Words {
  const shown = field.display?.(value);
  return shown === undefined
    ? { text: textOf(value as Cell), color: "" }
    : { text: grafana.formattedValueToString(shown), color: shown.color ?? "" };
}

function nameOf(field: Field, frame: Frames[number], frames: Frames): string {
  return grafana.getFieldDisplayName(field, frame, frames);
}

function customOf(field: Field): CustomJson {
  return (field.config.custom ?? {}) as CustomJson;
}

function isHidden(field: Field): boolean {
  return (field.config.custom as { readonly hidden?: boolean } | undefined)?.hidden === true;
}

function isNumber(field: Field): boolean {
  return field.type === grafana.FieldType.number;
}

function lastKnown(values: readonly unknown[]): unknown {
  return values.findLast((value) => value !== null && value !== undefined) ?? null;
}

function drawStat(frames: Frames) {
  const fields = frames.flatMap((frame) => frame.fields.map((field) => ({ field, frame })));
  const numbers = fields.filter(({ field }) => isNumber(field));
  const shown =
    numbers.length > 0
      ? numbers
      : fields.filter(({ field }) => field.type !== grafana.FieldType.time);
  // A second row is the value of the range before, for the change.
  return shown.map(({ field, frame }) => ({
    name: shown.length > 1 ? nameOf(field, frame, frames) : "",
    ...show(field, lastKnown(field.values)),
  }));
}

/** Ticks from zero to the largest value, in words; at most six. */
function makeTicks(field: Field | undefined, largest: number): readonly Tick[] {
  if (field === undefined || !(largest > 0)) return [];
  const rough = largest / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  const count = Math.ceil(largest / step);
  return Array.from({ length: count + 1 }, (_, index) => {
    const value = Number((index * step).toPrecision(12));
    return { value, text: show(field, value).text };
  });
}

function largestOf(series: readonly DrawnSeries[], is_stacked: boolean): number {
  const sums = new Map<number, number>();
  let largest = 0;
  for (const { points } of series) {
    for (const [at, value] of points) {
      const sum = (sums.get(at) ?? 0) + (value ?? 0);
      sums.set(at, sum);
      largest = Math.max(largest, is_stacked ? sum : (value ?? 0));
    }
  }
  return largest;
}

function drawSeries(frames: Frames, range: MacroRange) {
  const found: { readonly field: Field; readonly drawn: DrawnSeries }[] = [];
  for (const frame of frames) {
    const time = frame.fields.find(({ type }) => type === grafana.FieldType.time);
    for (const field of frame.fields.filter(isNumber)) {
      const custom = customOf(field);
      const points = (time?.values ?? []).map(
        (at, place) =>
          [Number(at), (field.values[place] as number | null | undefined) ?? null] as const,
      );
      const drawn = {
        name: nameOf(field, frame, frames),
        color: show(field, 0).color,
        is_bar: custom.drawStyle === "bars",
        is_dashed: custom.lineStyle?.fill === "dash",
        is_right: custom.axisPlacement === "right",
        points,
      };
      found.push({ field, drawn });
    }
  }
  const series = found.map(({ drawn }) => drawn);
  const is_stacked = found.some(({ field }) => customOf(field).stacking?.mode === "normal");
  const ticks = [false, true].map((is_right) => {
    const axis = found.filter(({ drawn }) => drawn.is_right === is_right);
    const largest = largestOf(
      axis.map(({ drawn }) => drawn),
      is_stacked,
    );
    return makeTicks(axis[0]?.field, largest);
  });
  return { series, is_stacked, ticks, range: [range.from_ms, range.to_ms] as const };
}

function drawBars(frames: Frames) {
  const [frame] = frames;
  const number = frame?.fields.find(isNumber);
  const text = frame?.fields.find(({ type }) => type === grafana.FieldType.string);
  if (frame === undefined || number === undefined) return [];
  const values = (number.values as (number | null)[]).map((value) => value ?? 0);
  const largest = Math.max(...values, 0);
  return values.map((value, row) => ({
    name: String(text?.values[row] ?? ""),
    share: largest === 0 ? 0 : value / largest,
    ...show(number, value),
  }));
}

function drawTable(frames: Frames) {
  const [frame] = frames;
  if (frame === undefined) return { titles: [], rows: [] };
  // Lists and maps are for the panels of Grafana that draw them.
  const fields = frame.fields.filter(
    (field) => field.type !== grafana.FieldType.other && !isHidden(field),
  );
  const largest = fields.map((field) =>
    Math.max(...field.values.map((value) => (typeof value === "number" ? value : 0)), 0),
  );
  const rows = Array.from({ length: Math.min(frame.length, MAX_ROWS) }, (_, row) =>
    fields.map((field, index): DrawnCell => {
      const value: unknown = field.values[row];
      const cell = customOf(field).cellOptions?.type;
      const most = largest[index] ?? 0;
      return {
        ...(value === null || value === undefined ? { text: "", color: "" } : show(field, value)),
        share: cell === "gauge" && typeof value === "number" && most > 0 ? value / most : null,
        is_painted: cell === "color-background",
        is_number: isNumber(field),
      };
    }),
  );
  return { titles: fields.map((field) => nameOf(field, frame, frames)), rows };
}

/** Runs a panel and says what to draw. */
export async function readPanel(
  engine: Engine,
  panel: PanelJson,
  values: VariableValues,
  { from_ms, to_ms }: { readonly from_ms: number; readonly to_ms: number },
): Promise<Drawn> {
  const interval_ms = grafana.rangeUtil.roundInterval(
    (to_ms - from_ms) / (MAX_POINTS * (panel.gridPos.w / 24)),
  );
  const range = { from_ms, to_ms, interval_ms };
  const frames = await readFrames(engine, panel, values, range);
  const common = { title: panel.title ?? "", place: panel.gridPos, note: "" };
  switch (panel.type) {
    case "stat":
      return { ...common, kind: "stat", values: drawStat(frames) };
    case "timeseries":
      return { ...common, kind: "series", ...drawSeries(frames, range) };
    case "bargauge":
      return { ...common, kind: "bars", bars: drawBars(frames) };
    case "table":
      return { ...common, kind: "table", ...drawTable(frames) };
    default:
      return {
        ...common,
        kind: "table",
        note: `${panel.type} in Grafana; here its rows`,
        ...drawTable(frames),
      };
  }
}
