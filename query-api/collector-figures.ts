/**
 * From rows of `collector_samples`, added up by step, to the figures of `GET /v1/collector`: which metric is
 * which field.
 *
 * Invariant: a field that no sample tells is null; one that was sampled and did not grow is 0.
 */
import type { CollectorAnswer, CollectorPoint } from "../schemas/api-collector.ts";

/** A row of `clickhouse/queries/select_collector_counts.sql`. */
export interface CountRow {
  readonly step_s: number;
  readonly metric: string;
  readonly signal: string;
  readonly reason: string;
  readonly total: number;
}

/** A row of `clickhouse/queries/select_collector_gauges.sql`. */
export interface GaugeRow {
  readonly step_s: number;
  readonly metric: string;
  /** Of all collectors together. */
  readonly total: number;
  /** Of the one that has most. */
  readonly greatest: number;
}

/** A row of `select_collector_quantiles.sql`, or of `select_collector_lag.sql` with a name. */
export interface QuantileRow {
  readonly step_s: number;
  readonly metric: string;
  /** Median and 95th percentile, seconds. */
  readonly quantiles: readonly [p50: number, p95: number];
}

type Gauges = CollectorAnswer["now"];
type Work = Omit<CollectorPoint, "time" | keyof Gauges>;

/** Fields of counters, by the metric; those of items have a signal too. */
const COUNTERS = {
  accepted: "spanledger_accepted_items_total",
  rejected: "spanledger_rejected_items_total",
  ignored: "spanledger_ignored_items_total",
  requests: "spanledger_otlp_requests_total",
  refused_requests: "spanledger_otlp_refused_requests_total",
  received_bytes: "spanledger_otlp_received_bytes_total",
  inserted_rows: "spanledger_inserted_rows_total",
  inserts: "spanledger_insert_duration_seconds_count",
  insert_failures: "spanledger_insert_failures_total",
  batches: "spanledger_insert_batch_rows_count",
  batched_rows: "spanledger_insert_batch_rows_sum",
  cpu_seconds: "process_cpu_seconds_total",
  set_aside_records: "spanledger_set_aside_records_total",
  dropped_samples: "spanledger_dropped_samples_total",
} as const;
type CounterField = keyof typeof COUNTERS;
export const COUNTER_NAMES: readonly string[] = Object.values(COUNTERS);

/** Fields of gauges: the metric, and which of several collectors counts. */
const GAUGES: Readonly<Record<keyof Gauges, readonly [metric: string, of: "total" | "greatest"]>> =
  {
    in_flight_requests: ["spanledger_otlp_in_flight_requests", "total"],
    in_flight_bytes: ["spanledger_otlp_in_flight_bytes", "total"],
    waiting_spans: ["spanledger_waiting_spans", "total"],
    wal_bytes: ["spanledger_wal_bytes", "total"],
    wal_budget_share: ["spanledger_wal_budget_ratio", "greatest"],
    wal_pending_records: ["spanledger_wal_pending_records", "total"],
    wal_oldest_pending_s: ["spanledger_wal_oldest_pending_seconds", "greatest"],
    dirty_buckets: ["spanledger_recompute_dirty_buckets", "total"],
    oldest_dirty_s: ["spanledger_recompute_oldest_dirty_seconds", "greatest"],
    dead_letter_records: ["spanledger_dead_letter_records", "total"],
    dead_letter_bytes: ["spanledger_dead_letter_bytes", "total"],
    memory_bytes: ["process_resident_memory_bytes", "total"],
  };
const GAUGE_FIELDS = Object.keys(GAUGES) as (keyof Gauges)[];
export const GAUGE_NAMES: readonly string[] = Object.values(GAUGES).map(([metric]) => metric);

const COMMIT = "spanledger_ack_duration_seconds_bucket";
const INSERT = "spanledger_insert_duration_seconds_bucket";
/** Histograms of which quantiles are told. */
export const QUANTILE_NAMES: readonly string[] = [COMMIT, INSERT];

const SIGNALS = ["traces", "logs", "metrics"] as const;
const OUTCOMES = ["accepted", "rejected", "ignored"] as const;

/** The gauges of a step. */
export function readGauges(rows: readonly GaugeRow[]): Gauges {
  const found = new Map(rows.map((row) => [row.metric, row]));
  const fields = GAUGE_FIELDS.map((field) => {
    const [metric, of] = GAUGES[field];
    return [field, found.get(metric)?.[of] ?? null];
  });
  return Object.fromEntries(fields) as Gauges;
}

/** The sum of a counter; null when nothing was sampled. */
export function totalOf(
  counts: readonly CountRow[],
  field: CounterField,
  is_sampled: boolean,
  signal?: string,
): number | null {
  if (!is_sampled) return null;
  const metric = COUNTERS[field];
  return counts
    .filter((row) => row.metric === metric && (signal === undefined || row.signal === signal))
    .reduce((sum, { total }) => sum + total, 0);
}

/** What is known of a step, or of the whole range. */
export interface WorkRows {
  readonly counts: readonly CountRow[];
  readonly quantiles: readonly QuantileRow[];
  /** Whether any collector told of itself: what it did not count is 0 then. */
  readonly is_sampled: boolean;
  /** How much of the step is over, seconds. */
  readonly duration_s: number;
}

/** What was done in a step, or in the whole range. */
export function readWork({ counts, quantiles, is_sampled, duration_s }: WorkRows): Work {
  const total = (field: CounterField) => totalOf(counts, field, is_sampled);
  const bySignal = (field: CounterField) => {
    if (!is_sampled) return null;
    const entries = SIGNALS.map((signal) => [signal, totalOf(counts, field, true, signal)]);
    return Object.fromEntries(entries) as { traces: number; logs: number; metrics: number };
  };
  const quantile = (metric: string, index: 0 | 1) =>
    quantiles.find((row) => row.metric === metric)?.quantiles[index] ?? null;
  const batches = total("batches") ?? 0;
  const cpu_seconds = total("cpu_seconds");
  return {
    accepted: bySignal("accepted"),
    rejected: bySignal("rejected"),
    ignored: bySignal("ignored"),
    requests: total("requests"),
    refused_requests: total("refused_requests"),
    received_bytes: total("received_bytes"),
    inserted_rows: total("inserted_rows"),
    inserts: total("inserts"),
    insert_failures: total("insert_failures"),
    batch_rows: batches === 0 ? null : (total("batched_rows") ?? 0) / batches,
    cpu_cores: cpu_seconds === null || duration_s <= 0 ? null : cpu_seconds / duration_s,
    commit_p50_s: quantile(COMMIT, 0),
    commit_p95_s: quantile(COMMIT, 1),
    insert_p50_s: quantile(INSERT, 0),
    insert_p95_s: quantile(INSERT, 1),
    ingest_lag_p50_s: quantile("ingest_lag", 0),
    ingest_lag_p95_s: quantile("ingest_lag", 1),
  };
}

/** Items by signal, outcome and reason, the most first. */
export function listItems(counts: readonly CountRow[]): CollectorAnswer["totals"]["items"] {
  return OUTCOMES.flatMap((outcome) =>
    SIGNALS.flatMap((signal) => {
      const rows = counts.filter(
        (row) => row.metric === COUNTERS[outcome] && row.signal === signal,
      );
      return [...sumBy(rows, ({ reason }) => reason)].map(([reason, items]) => ({
        signal,
        outcome,
        reason: reason === "" ? null : reason,
        items,
      }));
    }),
  ).toSorted((a, b) => b.items - a.items);
}

/** Requests refused as a whole, by signal and reason, the most first. */
export function listRefusals(counts: readonly CountRow[]): CollectorAnswer["totals"]["refusals"] {
  const rows = counts.filter(({ metric }) => metric === COUNTERS.refused_requests);
  return [...sumBy(rows, ({ signal, reason }) => JSON.stringify([signal, reason]))]
    .map(([key, requests]) => {
      const [signal, reason] = JSON.parse(key) as [string, string];
      return { signal, reason, requests };
    })
    .toSorted((a, b) => b.requests - a.requests);
}

function sumBy(rows: readonly CountRow[], keyOf: (row: CountRow) => string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const row of rows) {
    const key = keyOf(row);
    sums.set(key, (sums.get(key) ?? 0) + row.total);
  }
  return sums;
}
