/** What the query bench tells the process that makes its data, and hears from it. */

/** What is wanted. */
export interface FillPlan {
  readonly directory: string;
  readonly spans: number;
  /** Days that they are spread over, up to END_S. */
  readonly days: number;
  /** Projects that the spans are of; as many as the query bench has when it is not given. */
  readonly projects_made?: number;
  /** Projects that will be asked about, which the installation then knows. */
  readonly projects: readonly string[];
  /** Traces of each of them. */
  readonly traces: number;
}

/** What is true of a project: of the last 30 days, up to the end of the last day. */
export interface ProjectTruth {
  readonly project_id: string;
  readonly calls: number;
  /** US dollars, exact decimal. */
  readonly cost_usd: string;
  /** Calls over all days. */
  readonly all_calls: number;
  readonly trace_ids: readonly string[];
}

/** What was made. */
export interface Filled {
  readonly truth: readonly ProjectTruth[];
  readonly rollup_rows: number;
  readonly disk_mb: number;
  readonly span_parts: number;
  readonly clickhouse: string;
}

/** Days of a dashboard. */
export const DASHBOARD_DAYS = 30;
