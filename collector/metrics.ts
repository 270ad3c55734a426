/**
 * The collector's own counters and gauges, in Prometheus form. Frequent events are counted here
 * rather than logged.
 *
 * Invariant: a label has values of a short list that is ours: never a project, a name, an address or
 * anything else that a sender chooses.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

export type CollectorMetrics = ReturnType<typeof makeCollectorMetrics>;

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** A sync takes from 50 microseconds on memory to seconds on a disk in trouble. */
const SYNC_SECONDS = [0.0001, 0.00025, 0.0005, ...SECONDS];
/** Sizes of groups and batches: powers of four. */
const COUNTS = Array.from({ length: 11 }, (_unused, power) => 4 ** power);

/** What the write-ahead log counts over restarts, with what to say of it. */
export const WAL_COUNTS = {
  torn_tails: "Ends of the log cut by a crash; nothing in them was acknowledged",
  torn_bytes: "Bytes of these ends",
  quarantined_records: "Damaged ranges of the log, kept in wal/quarantine",
  quarantined_bytes: "Bytes of these ranges",
  quarantine_failures: "Damaged ranges of which no copy could be kept",
  missing_segments: "Files of the log that were gone before ClickHouse had them",
  refused_records: "Records refused because the budget or the disk was full",
  refused_bytes: "Bytes of these records",
} as const;

export type WalCount = keyof typeof WAL_COUNTS;

/**
 * Adds what Node knows of the process: CPU, memory, delay of the event loop (p99, longest), garbage
 * collection. Apart from the rest, as each call watches anew and the platform decides what there is.
 */
export function addProcessMetrics({ registry }: Pick<CollectorMetrics, "registry">): void {
  collectDefaultMetrics({ register: registry });
}

/** Makes metrics of a registry; names get the prefix of the product. */
function makeMakers(registry: Registry) {
  const registers = [registry];
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
  ) => new Counter({ name: `spanledger_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `spanledger_${name}`, help, registers });
  const histogram = <Label extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[] = SECONDS,
    labelNames: Label[] = [],
  ) =>
    new Histogram({
      name: `spanledger_${name}`,
      help,
      buckets: [...buckets],
      labelNames,
      registers,
    });
  return { counter, gauge, histogram };
}

type Makers = ReturnType<typeof makeMakers>;

/** Requests and their items. */
function makeRequestMetrics({ counter, gauge }: Makers) {
  return {
    requests: counter(
      "otlp_requests_total",
      "OTLP requests by signal, transport (http, grpc), encoding (protobuf, json; none when it was " +
        "answered before its body was decoded) and HTTP status of the answer, or that of the same meaning",
      ["signal", "transport", "encoding", "status"],
    ),
    refused_requests: counter(
      "otlp_refused_requests_total",
      "OTLP requests refused as a whole, by what was wrong",
      ["signal", "transport", "reason"],
    ),
    in_flight_requests: gauge("otlp_in_flight_requests", "OTLP requests being worked on"),
    in_flight_bytes: gauge(
      "otlp_in_flight_bytes",
      "Bytes of their bodies in memory, as sent and inflated",
    ),
    received_bytes: counter(
      "otlp_received_bytes_total",
      "Bytes of request bodies as sent, by transport",
      ["transport"],
    ),
    inflated_bytes: counter(
      "otlp_inflated_bytes_total",
      "Bytes of request bodies that were decoded, after decompression",
      ["signal"],
    ),
    accepted_items: counter(
      "accepted_items_total",
      "Spans, log records and data points acknowledged, after fsync of what is stored of them",
      ["signal"],
    ),
    rejected_items: counter(
      "rejected_items_total",
      "Items refused in partial_success, by what was wrong; of a request with several faults the items " +
        "that are not too old or new all count for the first",
      ["signal", "reason"],
    ),
    ignored_items: counter(
      "ignored_items_total",
      "Accepted log records and data points that are no business of the ledger",
      ["signal"],
    ),
    counted_calls: counter(
      "counted_calls_total",
      "Accepted spans and events that are model calls by themselves",
    ),
  };
}

/** Spans on their way into the log. */
function makeGroupMetrics({ counter, gauge, histogram }: Makers) {
  return {
    read_spans: counter(
      "read_spans_total",
      "Spans that went to the log, by way: in_place from the bytes of a body, or as an object",
      ["way"],
    ),
    waiting_spans: gauge("waiting_spans", "Spans in memory that wait for their sync to begin"),
    ack_duration: histogram("ack_duration_seconds", "Inflated body to fsynced log"),
    group_requests: histogram(
      "commit_group_requests",
      "Requests with spans that were made durable together",
      COUNTS,
    ),
    group_spans: histogram("commit_group_spans", "Spans that were made durable together", COUNTS),
  };
}

/** The way from the log to ClickHouse. */
function makeInsertMetrics({ counter, gauge, histogram }: Makers) {
  return {
    inserted_rows: counter("inserted_rows_total", "Rows that ClickHouse has durably"),
    resolve_duration: histogram("resolve_duration_seconds", "Counting rules over one batch"),
    resolve_failures: counter("resolve_failures_total", "Times the counting rules failed"),
    left_out_traces: counter(
      "resolve_left_out_total",
      "Times traces were left as their spans say because deciding on them kept failing",
    ),
    decisions: counter("decisions_total", "Decisions of the counting rules that changed"),
    insert_duration: histogram("insert_duration_seconds", "One INSERT with its marks"),
    insert_step_duration: histogram(
      "insert_step_duration_seconds",
      "One step of it: insert (rows), resolve (counting rules), mark (of rollup buckets)",
      SECONDS,
      ["step"],
    ),
    insert_rows: histogram("insert_batch_rows", "Rows of one INSERT", COUNTS),
    insert_failures: counter(
      "insert_failures_total",
      "INSERT attempts that failed, by what they need: retry, shrink, bisect or alarm (a person)",
      ["remedy"],
    ),
    set_aside_records: counter(
      "set_aside_records_total",
      "Records that ClickHouse will never take",
    ),
    dead_letter_records: gauge(
      "dead_letter_records",
      "Records that lie in the dead-letter folder; NaN when it cannot be read",
    ),
    dead_letter_bytes: gauge("dead_letter_bytes", "Bytes of the dead-letter folder"),
  };
}

/** What is told of the collector beside `/metrics`. */
function makeSampleMetrics({ counter }: Makers) {
  return {
    dropped_samples: counter(
      "dropped_samples_total",
      "Values of collector_samples that were not stored, by why: waited too long for ClickHouse, or " +
        "left_out of one sample that had no room for them",
      ["reason"],
    ),
  };
}

/** The rollups. */
function makeRecomputeMetrics({ counter, gauge, histogram }: Makers) {
  return {
    recompute_duration: histogram("recompute_duration_seconds", "One round of the rollups"),
    recomputed_buckets: counter("recomputed_buckets_total", "Rollup buckets computed"),
    recompute_failures: counter("recompute_failures_total", "Recompute rounds that failed"),
    recompute_lag: {
      dirty_buckets: gauge(
        "recompute_dirty_buckets",
        "Pairs of project and 15 minutes that the rollups lack; readers take them live",
      ),
      oldest_dirty_seconds: gauge(
        "recompute_oldest_dirty_seconds",
        "How long the one that has waited longest has been dirty",
      ),
      rows_waiting: gauge("recompute_rows_waiting", "Rows of spans in these buckets, about"),
      is_holder: gauge("recompute_is_holder", "1 when this process computes the rollups"),
    },
  };
}

/** The write-ahead log. */
function makeWalMetrics({ counter, gauge, histogram }: Makers) {
  return {
    wal_sync_duration: histogram(
      "wal_sync_duration_seconds",
      "One fdatasync of the write-ahead log, or one that failed",
      SYNC_SECONDS,
    ),
    wal_sync_records: histogram("wal_sync_records", "Records that shared one sync", COUNTS),
    wal_sync_failures: counter("wal_sync_failures_total", "Syncs that failed"),
    wal_written_bytes: counter("wal_written_bytes_total", "Bytes that were synced"),
    wal_queued_bytes: gauge("wal_queued_bytes", "Bytes in memory that wait for a sync"),
    wal_bytes: gauge("wal_bytes", "Bytes of the write-ahead log"),
    wal_pending_records: gauge("wal_pending_records", "Records ClickHouse does not have yet"),
    wal_oldest_pending_seconds: gauge(
      "wal_oldest_pending_seconds",
      "Age of the oldest such record",
    ),
    wal_budget_ratio: gauge("wal_budget_ratio", "Share of the log's disk budget in use, 0 to 1"),
    wal_counts: Object.fromEntries(
      Object.entries(WAL_COUNTS).map(([name, help]) => [name, counter(`wal_${name}_total`, help)]),
    ) as Readonly<Record<WalCount, Counter>>,
  };
}

/** Metrics of one collector, in a registry of their own. */
export function makeCollectorMetrics() {
  const registry = new Registry();
  const makers = makeMakers(registry);
  return {
    registry,
    build_info: new Gauge({
      name: "spanledger_build_info",
      help: "Always 1; the version of Spanledger and the kind of its engine",
      labelNames: ["version", "engine"],
      registers: [registry],
    }),
    ...makeRequestMetrics(makers),
    ...makeGroupMetrics(makers),
    ...makeInsertMetrics(makers),
    ...makeRecomputeMetrics(makers),
    ...makeWalMetrics(makers),
    ...makeSampleMetrics(makers),
  };
}
