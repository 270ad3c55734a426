/**
 * Data points of token and cost metrics, as stored in the table `usage_metric_points`. They are kept
 * to be compared with the ledger and are never added to it (DESIGN section 5 rule 4).
 *
 * Invariant: a point is stored as sent, with its temporality; differences are taken when reading
 * (view `usage_metrics`), so that order and redelivery cannot spoil them.
 */
import { type Column, enumType } from "./columns.ts";
import type { Attributes } from "./span.ts";

/** OTLP AggregationTemporality by number. */
export const TEMPORALITIES = ["unspecified", "delta", "cumulative"] as const;
export type Temporality = (typeof TEMPORALITIES)[number];

/** What the value of a point counts. Storage order. */
export const METRIC_KINDS = ["tokens", "cost_usd", "calls"] as const;
export type MetricKind = (typeof METRIC_KINDS)[number];

/** One data point, one row. Texts are empty when unknown. */
export interface UsageMetricPoint {
  project_id: string;
  metric: string;
  /** Hash of metric, resource, scope and attributes: what a running total runs over. */
  series: bigint;
  /** Unix time, ns. */
  start_ns: bigint;
  time_ns: bigint;
  temporality: Temporality;
  kind: MetricKind;
  /** input, output, cache_read, cache_write, reasoning, tool, total: as the client counts. */
  token_class: string;
  value: number;
  provider: string;
  model: string;
  operation: string;
  service_name: string;
  environment: string;
  user_id: string;
  session_id: string;
  dialect: string;
  scope_name: string;
  attributes: Attributes;
}

const LOW_CARDINALITY = "LowCardinality(String)";
const TIME_NS = "DateTime64(9, 'UTC')";

/** The columns of `usage_metric_points`, in order. */
export const USAGE_METRIC_COLUMNS: readonly Column<UsageMetricPoint>[] = [
  { name: "project_id", type: LOW_CARDINALITY, read: (point) => point.project_id },
  { name: "metric", type: LOW_CARDINALITY, read: (point) => point.metric },
  { name: "series", type: "UInt64", read: (point) => point.series },
  { name: "start_ts", type: TIME_NS, read: (point) => point.start_ns },
  { name: "ts", type: TIME_NS, read: (point) => point.time_ns },
  {
    name: "temporality",
    type: enumType(TEMPORALITIES),
    read: (point) => TEMPORALITIES.indexOf(point.temporality),
  },
  { name: "kind", type: enumType(METRIC_KINDS), read: (point) => METRIC_KINDS.indexOf(point.kind) },
  { name: "token_class", type: LOW_CARDINALITY, read: (point) => point.token_class },
  { name: "value", type: "Float64", read: (point) => point.value },
  { name: "provider", type: LOW_CARDINALITY, read: (point) => point.provider },
  { name: "model", type: LOW_CARDINALITY, read: (point) => point.model },
  { name: "operation", type: LOW_CARDINALITY, read: (point) => point.operation },
  { name: "service_name", type: LOW_CARDINALITY, read: (point) => point.service_name },
  { name: "environment", type: LOW_CARDINALITY, read: (point) => point.environment },
  { name: "user_id", type: "String", read: (point) => point.user_id },
  { name: "session_id", type: "String", read: (point) => point.session_id },
  { name: "dialect", type: LOW_CARDINALITY, read: (point) => point.dialect },
  { name: "scope_name", type: LOW_CARDINALITY, read: (point) => point.scope_name },
  {
    name: "attributes",
    type: "Map(LowCardinality(String), String)",
    read: (point) => point.attributes,
  },
  { name: "ingest_seq", type: "UInt64", read: (_point, batch) => BigInt(batch.ingest_seq) },
  {
    name: "ingested_at",
    type: "DateTime64(3, 'UTC')",
    read: (_point, batch) => BigInt(batch.ingested_ms),
  },
];
