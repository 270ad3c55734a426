/**
 * The alert rules as the file that Grafana is provisioned with, which has other names than its API and the
 * SDK (`folder`, `interval: 1m`, `keepFiringFor`, `dashboardUid`, `panelId`).
 *
 * Invariant: the same source gives the same bytes. Grafana replaces `$NAME` in labels and `${NAME}` in
 * annotations of such files by its environment, so neither has one.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { UIDS } from "../dashboard.ts";
import { DATASOURCE_UID, FORMATS, PLUGIN_TYPE, PLUGIN_VERSION } from "../query.ts";
import { ALERT_RULES, type AlertRule } from "./rules.ts";

/** Where the file lies. */
export const ALERT_FILE = new URL("../provisioning/alerting/rules.yaml", import.meta.url);

/** The folder of dashboards and rules; grafana/provisioning/dashboards/spanledger.yaml makes it. */
export const FOLDER = "Spanledger";

/** How often a group of rules is looked at. */
const INTERVALS: Readonly<Record<AlertRule["group"], string>> = {
  cost: "5m",
  reliability: "1m",
  pipeline: "1m",
};

/** Grafana's own data source of expressions. */
const EXPRESSIONS = "__expr__";

function queryOf({ sql, range_s }: AlertRule): object {
  return {
    refId: "A",
    datasourceUid: DATASOURCE_UID,
    relativeTimeRange: { from: range_s, to: 0 },
    model: {
      refId: "A",
      datasource: { type: PLUGIN_TYPE, uid: DATASOURCE_UID },
      editorType: "sql",
      queryType: "table",
      format: FORMATS.table,
      rawSql: sql,
      pluginVersion: PLUGIN_VERSION,
      intervalMs: 60_000,
      maxDataPoints: 1_000,
    },
  };
}

function conditionOf({ fires, threshold, range_s }: AlertRule): object {
  return {
    refId: "C",
    datasourceUid: EXPRESSIONS,
    relativeTimeRange: { from: range_s, to: 0 },
    model: {
      refId: "C",
      type: "threshold",
      datasource: { type: EXPRESSIONS, uid: EXPRESSIONS },
      expression: "A",
      conditions: [{ evaluator: { type: fires === "above" ? "gt" : "lt", params: [threshold] } }],
    },
  };
}

function ruleOf(rule: AlertRule): object {
  return {
    uid: rule.uid,
    title: rule.title,
    condition: "C",
    for: rule.lasts,
    keepFiringFor: rule.keeps,
    dashboardUid: UIDS[rule.dashboard],
    panelId: rule.panel_id,
    noDataState: rule.no_data,
    execErrState: "Error",
    isPaused: false,
    labels: { product: "spanledger", severity: rule.severity },
    annotations: { summary: rule.summary, description: rule.description },
    data: [queryOf(rule), conditionOf(rule)],
  };
}

const HEADER = `# Alert rules. Generated from grafana/alerts/ by \`npm run grafana\`; change them there.
# Who is told is decided apart: docs/guides/grafana.md.
`;

/** The text of the file. */
export function renderAlerts(): string {
  const groups = Object.entries(INTERVALS).map(([group, interval]) => ({
    orgId: 1,
    name: `spanledger-${group}`,
    folder: FOLDER,
    interval,
    rules: ALERT_RULES.filter((rule) => rule.group === group).map((rule) => ruleOf(rule)),
  }));
  return HEADER + stringify({ apiVersion: 1, groups }, { lineWidth: 0 });
}

/** Whether the file is what the source gives. */
export function isAlertFileFresh(file: URL = ALERT_FILE): boolean {
  return existsSync(file) && readFileSync(file, "utf8") === renderAlerts();
}

/** Makes the file what the source gives. */
export function writeAlerts(file: URL = ALERT_FILE): void {
  writeFileSync(file, renderAlerts());
}
