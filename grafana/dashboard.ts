/**
 * A dashboard: its variables, its panels placed row by row, and what all dashboards have in common.
 *
 * Invariant: what is written is classic dashboard JSON without anything of this machine or moment, so that
 * the same source gives the same bytes.
 */
import {
  type AnnotationQuery,
  CustomVariableBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import {
  dimensionSql,
  FILTERS,
  type FilterName,
  FILTER_NAMES,
  GROUPS,
  pickedSql,
} from "./filters.ts";
import type { BuiltPanel } from "./panels.ts";
import { PICKED_DATASOURCE, PLUGIN_TYPE, PLUGIN_VERSION } from "./query.ts";
import { COLOURS, type Meaning } from "./style.ts";

/** The dashboards by their uids: links go by these. */
export const UIDS = {
  overview: "spanledger-overview",
  cost: "spanledger-cost",
  reliability: "spanledger-reliability",
  agents: "spanledger-agents",
  explorer: "spanledger-explorer",
  pipeline: "spanledger-pipeline",
} as const;
export type DashboardName = keyof typeof UIDS;

/** Columns of the grid of a dashboard. */
const COLUMNS = 24;

/** The tag that the menu of dashboards goes by. */
export const TAG = "spanledger";

/** A variable beside the common ones. */
export type Variable =
  | {
      readonly kind: "query";
      readonly name: string;
      readonly label: string;
      readonly sql: string;
      readonly multi: boolean;
    }
  | {
      readonly kind: "custom";
      readonly name: string;
      readonly label: string;
      readonly values: readonly string[];
    }
  | { readonly kind: "text"; readonly name: string; readonly label: string };

/** What is marked on the time axis: columns `time`, `title`, `text`, `tags` and maybe `timeEnd`. */
export interface Annotation {
  readonly name: string;
  readonly sql: string;
  readonly colour: Meaning;
  /** False: the reader switches it on. */
  readonly is_on: boolean;
  readonly may_be_empty?: string;
}

/** Panels of one height side by side, at most 24 columns wide together. */
export interface Row {
  readonly height: number;
  readonly panels: readonly BuiltPanel[];
}

export interface DashboardSpec {
  readonly name: DashboardName;
  readonly title: string;
  readonly description: string;
  readonly tags: readonly string[];
  /** Range at first, such as `now-7d`. */
  readonly from: string;
  /** Such as `1m`; empty: none. */
  readonly refresh: string;
  /** The filters it offers; all when left out. */
  readonly filters?: readonly FilterName[];
  /** Whether it has the variable `group_by`. */
  readonly has_group_by: boolean;
  readonly variables?: readonly Variable[];
  readonly annotations?: readonly Annotation[];
  readonly rows: readonly Row[];
  /** Why it has more than 20 panels. */
  readonly many_panels?: string;
}

const LABELS: Readonly<Record<FilterName, string>> = {
  service: "Service",
  environment: "Environment",
  provider: "Provider",
  model: "Model",
  user: "User",
};

/** Values that a variable offers, at most: others can be typed. */
const MAX_OPTIONS = 500;

/** The tables with the values of each filter: daily ones, which are small. */
const OPTION_TABLES: Readonly<Record<FilterName, string>> = {
  service: "usage_day",
  environment: "usage_day",
  provider: "usage_day",
  model: "usage_day",
  user: "usage_user_day",
};

/** Days that hold the picked range, whole. */
const PICKED_DAYS = "day >= toDate($__fromTime, 'UTC') AND day <= toDate($__toTime, 'UTC')";

/** The statement of the values of a filter, those with most calls first. */
function optionsSql(name: FilterName): string {
  const text = dimensionSql(FILTERS[name]);
  return `SELECT ${text} AS value
FROM ${OPTION_TABLES[name]}
WHERE ${pickedSql("project_id", "project")} AND ${PICKED_DAYS}
GROUP BY value
ORDER BY sum(calls) DESC, value
LIMIT ${MAX_OPTIONS}`;
}

const PROJECTS_SQL = `SELECT DISTINCT project_id FROM usage_day WHERE ${PICKED_DAYS} ORDER BY project_id`;

function queryVariable(name: string, label: string, sql: string, multi: boolean): VariableModel {
  const builder = new QueryVariableBuilder(name)
    .label(label)
    .datasource(PICKED_DATASOURCE)
    .query({
      refId: name,
      queryType: "sql",
      editorType: "sql",
      rawSql: sql,
      pluginVersion: PLUGIN_VERSION,
    })
    .definition(sql)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.Disabled)
    .multi(multi)
    .includeAll(true)
    .allowCustomValue(true);
  return builder
    .current({
      selected: true,
      text: multi ? ["All"] : "All",
      value: multi ? ["$__all"] : "$__all",
    })
    .build();
}

function customVariable(name: string, label: string, values: readonly string[]): VariableModel {
  const [first = ""] = values;
  return new CustomVariableBuilder(name)
    .label(label)
    .values(values.join(","))
    .options(values.map((value) => ({ selected: value === first, text: value, value })))
    .current({ selected: true, text: first, value: first })
    .multi(false)
    .includeAll(false)
    .allowCustomValue(false)
    .build();
}

function variableOf(variable: Variable): VariableModel {
  switch (variable.kind) {
    case "query":
      return queryVariable(variable.name, variable.label, variable.sql, variable.multi);
    case "custom":
      return customVariable(variable.name, variable.label, variable.values);
    case "text":
      return new TextBoxVariableBuilder(variable.name)
        .label(variable.label)
        .defaultValue("")
        .current({ selected: true, text: "", value: "" })
        .build();
  }
}

function variablesOf(spec: DashboardSpec): VariableModel[] {
  const datasource = new DatasourceVariableBuilder("datasource")
    .label("Data source")
    .type(PLUGIN_TYPE)
    .multi(false)
    .includeAll(false)
    .current({ selected: true, text: "Spanledger", value: "spanledger-clickhouse" })
    .build();
  return [
    datasource,
    queryVariable("project", "Project", PROJECTS_SQL, true),
    ...(spec.filters ?? FILTER_NAMES).map((name) =>
      queryVariable(name, LABELS[name], optionsSql(name), true),
    ),
    ...(spec.has_group_by ? [customVariable("group_by", "Group by", GROUPS)] : []),
    ...(spec.variables ?? []).map((variable) => variableOf(variable)),
  ];
}

/** An annotation as Grafana stores it: its SDK has no target of this plugin. */
function annotationOf({ name, sql, colour, is_on }: Annotation): AnnotationQuery {
  const annotation = {
    name,
    datasource: PICKED_DATASOURCE,
    enable: is_on,
    hide: false,
    iconColor: COLOURS[colour],
    target: {
      refId: name.replaceAll(" ", "_"),
      editorType: "sql",
      queryType: "table",
      format: 1,
      rawSql: sql,
      pluginVersion: PLUGIN_VERSION,
    },
  };
  return annotation as unknown as AnnotationQuery;
}

/** The panels of the rows, from left to right and top to bottom. Throws for a row that is too wide. */
function placePanels({ name, rows }: DashboardSpec): Panel[] {
  const placed: Panel[] = [];
  let y = 0;
  for (const { height: h, panels } of rows) {
    let x = 0;
    for (const panel of panels) {
      const w = panel.spec.width;
      if (x + w > COLUMNS) throw new Error(`${name}: the row of "${panel.spec.title}" is too wide`);
      placed.push(panel.build({ x, y, w, h }));
      x += w;
    }
    y += h;
  }
  return placed;
}

function menu() {
  return new DashboardLinkBuilder("Spanledger")
    .type(DashboardLinkType.Dashboards)
    .tags([TAG])
    .asDropdown(true)
    .keepTime(true)
    .includeVars(true)
    .icon("external link");
}

/** Builds the classic dashboard. */
export function buildDashboard(spec: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(spec.title)
    .uid(UIDS[spec.name])
    .description(spec.description)
    .tags([TAG, ...spec.tags])
    .timezone("utc")
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: spec.from, to: "now" })
    .refresh(spec.refresh)
    .version(1)
    .variables(variablesOf(spec).map((variable) => ({ build: () => variable })))
    .link(menu())
    .annotations((spec.annotations ?? []).map((one) => ({ build: () => annotationOf(one) })));
  const dashboard = builder.build();
  // The SDK's own placing would move what already has a place.
  dashboard.panels = placePanels(spec);
  return dashboard;
}

/** The dashboard as it is committed. */
export function renderDashboard(spec: DashboardSpec): string {
  return `${JSON.stringify(buildDashboard(spec), null, 2)}\n`;
}

/**
 * The address of another dashboard with the range and the filters kept; `variables` are set, their values
 * may name fields of the row: `${__data.fields.trace_id}`.
 */
export function linkTo(
  name: DashboardName,
  variables: Readonly<Record<string, string>> = {},
): string {
  const set = Object.entries(variables).map(([key, value]) => `&var-${key}=${value}`);
  const set_names = new Set(Object.keys(variables));
  const kept = ["datasource", "project"].filter((key) => !set_names.has(key));
  return `/d/${UIDS[name]}?\${__url_time_range}${kept.map((key) => `&\${${key}:queryparam}`).join("")}${set.join("")}`;
}
