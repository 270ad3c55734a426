/**
 * Panels in our own words: what is shown, in which unit and colour, where a value leads. The shapes are
 * those of Grafana's SDK, whose types check them.
 *
 * Invariant: a panel has an id that never changes (alerts link to it), a title and a description.
 */
import * as bargaugeDefaults from "@grafana/grafana-foundation-sdk/bargauge";
import {
  type DataTransformerConfig,
  type DynamicConfigValue,
  type FieldConfig,
  type Panel,
  PanelBuilder,
} from "@grafana/grafana-foundation-sdk/dashboard";
import * as heatmapDefaults from "@grafana/grafana-foundation-sdk/heatmap";
import * as logsDefaults from "@grafana/grafana-foundation-sdk/logs";
import type * as nodegraph from "@grafana/grafana-foundation-sdk/nodegraph";
import * as statDefaults from "@grafana/grafana-foundation-sdk/stat";
import * as tableDefaults from "@grafana/grafana-foundation-sdk/table";
import * as timeseriesDefaults from "@grafana/grafana-foundation-sdk/timeseries";
import type * as xychart from "@grafana/grafana-foundation-sdk/xychart";
import { ClickHouseQuery, PICKED_DATASOURCE, type Target } from "./query.ts";
import { COLOURS, type Meaning, type PanelUnit, UNITS } from "./style.ts";

/** A type of the SDK with texts in the place of its enums. */
type Plain<Value> = Value extends string
  ? `${Value}`
  : Value extends number | boolean | undefined
    ? Value
    : Value extends readonly (infer Item)[]
      ? readonly Plain<Item>[]
      : { [Key in keyof Value]?: Plain<Value[Key]> };

/** Where a click on a value leads. */
export interface DataLink {
  readonly title: string;
  /** A path of Grafana, see `linkTo`. */
  readonly url: string;
}

/** From a value on, the colour; the first has none to begin at. */
export interface Threshold {
  readonly from: number | null;
  readonly colour: Meaning;
}

/** How one column, or one series, looks. */
export interface FieldStyle {
  readonly unit?: PanelUnit;
  readonly decimals?: number;
  readonly label?: string;
  /** A meaning, or a colour of Grafana. */
  readonly colour?: Meaning | `#${string}`;
  readonly link?: DataLink;
  readonly hidden?: boolean;
  /** Pixels. */
  readonly width?: number;
  readonly min?: number;
  readonly max?: number;
  readonly thresholds?: readonly Threshold[];
  /** Tables: how the cell is drawn; `colour` paints it by its thresholds. */
  readonly cell?: "bar" | "colour" | "text" | "sparkline" | "markdown";
  /** Series: on the right axis, or drawn otherwise than the rest. */
  readonly axis?: "right";
  readonly draw?: "line" | "bars" | "points" | "dashed";
}

export interface PanelSpec {
  /** Unique in its dashboard; never changed, never given to another panel. */
  readonly id: number;
  readonly title: string;
  /** What the number means and what it leaves out. */
  readonly description: string;
  /** Of the 24 columns of a row. */
  readonly width: number;
  readonly targets: readonly Target[];
  readonly unit: PanelUnit;
  readonly decimals?: number;
  readonly min?: number;
  readonly max?: number;
  /** The column of texts that alone names the series; without it they are called `<value> <text>`. */
  readonly named_by?: string;
  /** The colour of all that has none of its own; series get those of the palette without it. */
  readonly colour?: Meaning;
  readonly thresholds?: readonly Threshold[];
  /** Colours by how large a value is among all: a heatmap of cells. */
  readonly has_colour_scale?: boolean;
  /** Values that are shown as a text in a colour; without a colour nothing is painted. */
  readonly mappings?: Readonly<
    Record<string, { readonly text: string; readonly colour?: Meaning }>
  >;
  /** By name: of a column, or what a series is called. */
  readonly fields?: Readonly<Record<string, FieldStyle>>;
  /** Links of every value. */
  readonly links?: readonly DataLink[];
  readonly transformations?: readonly DataTransformerConfig[];
  /** Shown when there is nothing. */
  readonly no_value?: string;
  /** Narrowest step, such as `15m`. */
  readonly interval?: string;
  /** Why it does not keep to the picked range. */
  readonly ignores_range?: string;
  /** Why it may have no rows over the test data; left out: it must have some. */
  readonly may_be_empty?: string;
}

/** A panel as it is placed; `height` is that of its row. */
export interface BuiltPanel {
  readonly spec: PanelSpec;
  readonly type: string;
  build(place: { x: number; y: number; w: number; h: number }): Panel;
}

function colourOf(colour: Meaning | `#${string}`): string {
  return colour.startsWith("#") ? colour : COLOURS[colour as Meaning];
}

function stepsOf(thresholds: readonly Threshold[]) {
  return {
    mode: "absolute",
    steps: thresholds.map(({ from, colour }) => ({ value: from, color: COLOURS[colour] })),
  };
}

function linksOf(links: readonly DataLink[]) {
  return links.map(({ title, url }) => ({ title, url, targetBlank: false }));
}

const CELLS: Readonly<Record<NonNullable<FieldStyle["cell"]>, object>> = {
  bar: { type: "gauge", mode: "basic", valueDisplayMode: "text" },
  colour: { type: "color-background", mode: "basic" },
  text: { type: "auto" },
  sparkline: { type: "sparkline" },
  markdown: { type: "markdown" },
};

const DRAWS: Readonly<Record<NonNullable<FieldStyle["draw"]>, readonly DynamicConfigValue[]>> = {
  line: [
    { id: "custom.drawStyle", value: "line" },
    { id: "custom.fillOpacity", value: 0 },
  ],
  bars: [{ id: "custom.drawStyle", value: "bars" }],
  points: [{ id: "custom.drawStyle", value: "points" }],
  dashed: [
    { id: "custom.drawStyle", value: "line" },
    { id: "custom.lineStyle", value: { fill: "dash", dash: [8, 6] } },
    { id: "custom.fillOpacity", value: 0 },
  ],
};

/** How each word of a style is written as an override. */
const PROPERTIES: {
  readonly [Name in keyof FieldStyle]-?: (
    value: NonNullable<FieldStyle[Name]>,
  ) => readonly DynamicConfigValue[];
} = {
  unit: (unit) => [
    { id: "unit", value: UNITS[unit] },
    ...Object.entries(decimalsOf(unit)).map(([id, value]) => ({ id, value })),
  ],
  decimals: (value) => [{ id: "decimals", value }],
  label: (value) => [{ id: "displayName", value }],
  colour: (colour) => [{ id: "color", value: { mode: "fixed", fixedColor: colourOf(colour) } }],
  link: (link) => [{ id: "links", value: linksOf([link]) }],
  hidden: (value) => [
    { id: "custom.hideFrom", value: { viz: value, legend: value, tooltip: value } },
  ],
  width: (value) => [{ id: "custom.width", value }],
  min: (value) => [{ id: "min", value }],
  max: (value) => [{ id: "max", value }],
  thresholds: (thresholds) => [
    { id: "thresholds", value: stepsOf(thresholds) },
    { id: "color", value: { mode: "thresholds" } },
  ],
  cell: (cell) => [{ id: "custom.cellOptions", value: CELLS[cell] }],
  axis: (value) => [{ id: "custom.axisPlacement", value }],
  draw: (draw) => DRAWS[draw],
};

function overridesOf(type: string, { fields = {} }: PanelSpec) {
  return Object.entries(fields).map(([name, style]) => ({
    matcher: { id: "byName", options: name },
    properties: Object.entries(style).flatMap(([key, value]) => {
      // A column of a table is hidden by a word of its own.
      if (key === "hidden" && type === "table") return [{ id: "custom.hidden", value }];
      const write = PROPERTIES[key as keyof FieldStyle] as (
        value: unknown,
      ) => readonly DynamicConfigValue[];
      return [...write(value)];
    }),
  }));
}

function colourMode({ has_colour_scale, thresholds, colour }: PanelSpec): object {
  if (has_colour_scale === true) return { mode: "continuous-YlRd" };
  if (thresholds !== undefined) return { mode: "thresholds" };
  if (colour !== undefined) return { mode: "fixed", fixedColor: COLOURS[colour] };
  return { mode: "palette-classic-by-name" };
}

/** Money to four decimals where it is exact, else as many digits as the unit takes by itself. */
function decimalsOf(unit: PanelUnit, decimals?: number): { decimals?: number } {
  if (decimals !== undefined) return { decimals };
  return unit === "usd_exact" ? { decimals: 4 } : {};
}

function mappingsOf(mappings: NonNullable<PanelSpec["mappings"]>) {
  const options = Object.entries(mappings).map(([value, { text, colour }], index) => [
    value,
    { text, color: colour === undefined ? "transparent" : COLOURS[colour], index },
  ]);
  return [{ type: "value", options: Object.fromEntries(options) as object }];
}

function defaultsOf(spec: PanelSpec, custom: object): FieldConfig {
  const defaults = {
    unit: UNITS[spec.unit],
    color: colourMode(spec),
    custom,
    ...decimalsOf(spec.unit, spec.decimals),
    ...(spec.named_by === undefined ? {} : { displayName: `\${__field.labels.${spec.named_by}}` }),
    ...(spec.min === undefined ? {} : { min: spec.min }),
    ...(spec.max === undefined ? {} : { max: spec.max }),
    ...(spec.thresholds === undefined ? {} : { thresholds: stepsOf(spec.thresholds) }),
    ...(spec.links === undefined ? {} : { links: linksOf(spec.links) }),
    ...(spec.mappings === undefined ? {} : { mappings: mappingsOf(spec.mappings) }),
    ...(spec.no_value === undefined ? {} : { noValue: spec.no_value }),
  };
  return defaults as unknown as FieldConfig;
}

/** The narrowest step of a panel that names none: what is measured arrives by calls, not by the second. */
const MIN_STEP = "1m";

/**
 * A panel of any plugin of Grafana, by its options and what its fields are drawn with. Prefer the kinds
 * below.
 */
export function panel(
  type: string,
  spec: PanelSpec,
  options: object,
  custom: object = {},
): BuiltPanel {
  return {
    spec,
    type,
    build(place) {
      const builder = new PanelBuilder()
        .type(type)
        .id(spec.id)
        .title(spec.title)
        .description(spec.description)
        .gridPos(place)
        .options(options)
        .fieldConfig({ defaults: defaultsOf(spec, custom), overrides: overridesOf(type, spec) });
      if (spec.targets.length > 0) {
        const queries = spec.targets.map(
          (target, index) => new ClickHouseQuery(target, String.fromCharCode(65 + index)),
        );
        builder
          .datasource(PICKED_DATASOURCE)
          .targets(queries)
          .interval(spec.interval ?? MIN_STEP);
      }
      if (spec.transformations !== undefined) builder.transformations([...spec.transformations]);
      return builder.build();
    },
  };
}

/** One number, or one a column; `calc` is what is made of the values of a column. */
export function stat(
  spec: PanelSpec,
  {
    calc = "lastNotNull",
    spark = false,
    ...options
  }: { calc?: "lastNotNull" | "sum"; spark?: boolean } & Plain<statDefaults.Options> = {},
): BuiltPanel {
  return panel("stat", spec, {
    ...statDefaults.defaultOptions(),
    graphMode: spark ? "area" : "none",
    reduceOptions: { calcs: [calc], fields: "", values: false },
    ...options,
  });
}

/** How the lines or bars of `series` are drawn. */
export interface SeriesStyle {
  readonly draw?: "line" | "bars";
  readonly stack?: boolean;
  /** Calculations of the legend's table, such as `sum` and `max`; no table without. */
  readonly calcs?: readonly ("sum" | "max" | "mean" | "lastNotNull")[];
  readonly log?: boolean;
}

/** Values over time, of a target of `series`. */
export function series(spec: PanelSpec, style: SeriesStyle = {}): BuiltPanel {
  const { draw = "line", stack = false, calcs = [], log = false } = style;
  const options: Plain<timeseriesDefaults.Options> = {
    legend: {
      showLegend: true,
      displayMode: calcs.length > 0 ? "table" : "list",
      placement: calcs.length > 0 ? "right" : "bottom",
      calcs,
    },
    tooltip: { mode: "multi", sort: "desc" },
  };
  const custom = {
    drawStyle: draw,
    lineWidth: draw === "bars" ? 0 : 2,
    fillOpacity: draw === "bars" ? 80 : stack ? 40 : 8,
    showPoints: "never",
    stacking: { mode: stack ? "normal" : "none", group: "A" },
    axisBorderShow: false,
    ...(log ? { scaleDistribution: { type: "log", log: 10 } } : {}),
  };
  return panel("timeseries", spec, options, custom);
}

/** Rows and columns. */
export function tablePanel(
  spec: PanelSpec,
  options: Plain<tableDefaults.Options> = {},
): BuiltPanel {
  const all = { ...tableDefaults.defaultOptions(), cellHeight: "sm", ...options };
  return panel("table", spec, all, { align: "auto", filterable: true });
}

/** A bar a row of a table of a text and a number. */
export function barGauge(
  spec: PanelSpec,
  options: Plain<bargaugeDefaults.Options> = {},
): BuiltPanel {
  return panel("bargauge", spec, {
    ...bargaugeDefaults.defaultOptions(),
    displayMode: "basic",
    orientation: "horizontal",
    reduceOptions: { calcs: [], fields: "", values: true, limit: 25 },
    ...options,
  });
}

/** A heatmap of a target of `series` whose columns, or names, are buckets. */
export function heatmap(spec: PanelSpec, options: Plain<heatmapDefaults.Options> = {}): BuiltPanel {
  return panel("heatmap", spec, {
    ...heatmapDefaults.defaultOptions(),
    calculate: false,
    color: {
      mode: "scheme",
      scheme: "Oranges",
      fill: "dark-orange",
      scale: "exponential",
      exponent: 0.5,
      steps: 64,
      reverse: false,
    },
    tooltip: { mode: "single", yHistogram: true, showColorScale: true },
    ...options,
  });
}

/** Points by two columns. */
export function xyChart(
  spec: PanelSpec,
  options: Plain<xychart.Options>,
  custom: object = {},
): BuiltPanel {
  return panel("xychart", spec, options, custom);
}

/** Nodes and edges: two targets, the first of nodes. */
export function nodeGraph(spec: PanelSpec, options: Plain<nodegraph.Options> = {}): BuiltPanel {
  return panel("nodeGraph", spec, options);
}

/** States over time, a row a series. */
export function stateTimeline(spec: PanelSpec, options: object = {}): BuiltPanel {
  const all = {
    showValue: "auto",
    rowHeight: 0.9,
    mergeValues: true,
    legend: { showLegend: false },
    tooltip: { mode: "single" },
    ...options,
  };
  // A state holds until the next one of its row: rows of a wide frame share their times.
  return panel("state-timeline", spec, all, { fillOpacity: 80, lineWidth: 0, spanNulls: true });
}

/** Lines of a log, of a target of the format `logs`. */
export function logs(spec: PanelSpec): BuiltPanel {
  return panel("logs", spec, {
    ...logsDefaults.defaultOptions(),
    showTime: true,
    wrapLogMessage: true,
    enableLogDetails: true,
    sortOrder: "Descending",
    dedupStrategy: "none",
  });
}

/** The waterfall of one trace, of a target of the format `traces`. */
export function traces(spec: PanelSpec): BuiltPanel {
  return panel("traces", spec, {});
}

/** Words; they ask nothing. */
export function text(spec: Omit<PanelSpec, "targets" | "unit">, content: string): BuiltPanel {
  return panel("text", { ...spec, targets: [], unit: "text" }, { mode: "markdown", content });
}

/** The alerts of a folder of Grafana. */
export function alertList(spec: Omit<PanelSpec, "targets" | "unit">): BuiltPanel {
  const stateFilter = { firing: true, pending: true, noData: true, normal: false, error: true };
  const options = {
    viewMode: "list",
    groupMode: "default",
    maxItems: 20,
    sortOrder: 1,
    alertName: "",
    stateFilter,
    dashboardAlerts: false,
  };
  return panel("alertlist", { ...spec, targets: [], unit: "text" }, options);
}
