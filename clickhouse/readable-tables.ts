/**
 * Who may read each table and view with SQL of their own: Grafana, and clients of the ClickHouse endpoint.
 * The users of a ClickHouse server are granted by this list (clickhouse/config/users.xml).
 *
 * Invariant: a table that is not listed is closed, and a test names it until somebody decided.
 */

/**
 * `project`: of single projects, to be named by whoever reads one. `beneath`: what those views read; not
 * offered, but a view reads with the rights of who asks. `installation`: of the whole installation.
 * `closed`: nobody, because it holds secrets (channels in state_objects), says who did what, or is of no use
 * to readers.
 */
export type TableReaders = "project" | "beneath" | "installation" | "closed";

/** Every table and view there is. */
export const TABLE_READERS: Readonly<Record<string, TableReaders>> = {
  alert_deliveries: "closed",
  alert_lease: "closed",
  alert_notices: "project",
  alert_states: "closed",
  audit_log: "closed",
  budgets: "project",
  call_decisions: "project",
  calls: "project",
  collector_samples: "installation",
  erased_spans: "closed",
  job_leases: "closed",
  ledger_spans: "project",
  migrations: "closed",
  otel_spans: "project",
  otel_spans_trace_id_ts: "project",
  price_runs: "installation",
  raw_floors: "closed",
  recompute_lease: "closed",
  rollup_dirty: "beneath",
  rollup_dirty_pairs: "closed",
  set_aside_items: "closed",
  spans: "project",
  state_objects: "closed",
  unit_prices: "project",
  usage_15m: "project",
  usage_15m_rollup: "beneath",
  usage_calls: "project",
  usage_day: "project",
  usage_day_rollup: "beneath",
  usage_metric_points: "beneath",
  usage_metrics: "project",
  usage_user_day: "project",
  usage_user_day_rollup: "beneath",
};

/** The tables of some readers, in the order of their names. */
export function tablesFor(...readers: readonly TableReaders[]): string[] {
  return Object.keys(TABLE_READERS).filter((name) =>
    readers.includes(TABLE_READERS[name] ?? "closed"),
  );
}

/** Tables of `system` that Grafana's plugin and our dashboards read. */
export const READABLE_SYSTEM_TABLES = ["databases", "tables", "columns", "functions", "parts"];
