/**
 * Every dashboard and every alert rule there is: what is built, tested and provisioned. A new one is one
 * line here.
 *
 * Invariant: what is not listed does not exist for Grafana, and is not tested.
 */
import { ALERT_RULES } from "./alerts/rules.ts";
import type { DashboardName, DashboardSpec } from "./dashboard.ts";
import { COST } from "./dashboards/cost.ts";
import { AGENTS } from "./dashboards/agents.ts";
import { EXPLORER } from "./dashboards/explorer.ts";
import { OVERVIEW } from "./dashboards/overview.ts";
import { PIPELINE } from "./dashboards/pipeline.ts";
import { RELIABILITY } from "./dashboards/reliability.ts";

/** What the tests ask of an alert rule, however it is provisioned. */
export interface AlertQuestion {
  readonly uid: string;
  readonly title: string;
  /** Statement of each query to ClickHouse, with the macros of the plugin's backend only. */
  readonly statements: readonly string[];
  /** The range that it looks at, seconds before now. */
  readonly range_s: number;
  /** The panel that shows what the rule is about. */
  readonly dashboard: DashboardName;
  readonly panel_id: number;
}

export const DASHBOARDS: readonly DashboardSpec[] = [
  OVERVIEW,
  COST,
  PIPELINE,
  RELIABILITY,
  AGENTS,
  EXPLORER,
];

export const ALERTS: readonly AlertQuestion[] = ALERT_RULES.map((rule) => ({
  ...rule,
  statements: [rule.sql],
}));
