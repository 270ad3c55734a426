/**
 * The collector's own counters and gauges, in Prometheus form. Frequent events are counted here
 * rather than logged.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type CollectorMetrics = ReturnType<typeof makeCollectorMetrics>;

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Metrics of one collector, in a registry of their own. */
export function makeCollectorMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
  ) => new Counter({ name: `spanledger_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `spanledger_${name}`, help, registers });
  const histogram = (name: string, help: string) =>
    new Histogram({ name: `spanledger_${name}`, help, buckets: SECONDS, registers });
  return {
    registry,
    requests: counter(
      "otlp_requests_total",
      "OTLP requests by signal and HTTP status of the answer",
      ["signal", "status"],
    ),
    received_bytes: counter("otlp_received_bytes_total", "Bytes of request bodies as sent"),
    accepted_items: counter(
      "accepted_items_total",
      "Spans, log records and data points acknowledged, after fsync of what is stored of them",
      ["signal"],
    ),
    rejected_items: counter("rejected_items_total", "Items refused in partial_success", ["signal"]),
    ignored_items: counter(
      "ignored_items_total",
      "Accepted log records and data points that are no business of the ledger",
      ["signal"],
    ),
    counted_calls: counter(
      "counted_calls_total",
      "Accepted spans and events that are model calls by themselves",
    ),
    ack_duration: histogram("ack_duration_seconds", "Decoded body to fsynced log"),
    inserted_rows: counter("inserted_rows_total", "Rows that ClickHouse has durably"),
    resolve_duration: histogram("resolve_duration_seconds", "Counting rules over one batch"),
    decisions: counter("decisions_total", "Decisions of the counting rules that changed"),
    insert_duration: histogram("insert_duration_seconds", "One INSERT with its marks"),
    insert_failures: counter("insert_failures_total", "INSERT attempts that failed"),
    set_aside_records: counter(
      "set_aside_records_total",
      "Records that ClickHouse will never take",
    ),
    recompute_duration: histogram("recompute_duration_seconds", "One round of the rollups"),
    recomputed_buckets: counter("recomputed_buckets_total", "Rollup buckets computed"),
    recompute_failures: counter("recompute_failures_total", "Recompute rounds that failed"),
    wal_bytes: gauge("wal_bytes", "Bytes of the write-ahead log"),
    wal_pending_records: gauge("wal_pending_records", "Records ClickHouse does not have yet"),
    wal_oldest_pending_seconds: gauge(
      "wal_oldest_pending_seconds",
      "Age of the oldest such record",
    ),
    wal_quarantined_records: gauge("wal_quarantined_records", "Damaged records set aside"),
  };
}
