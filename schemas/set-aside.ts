/**
 * Items that were refused for their time: before any telemetry, older than what is kept, or too far
 * in the future. Kept for two weeks in the table `set_aside_items`, so that a sender with a broken
 * clock can be found; one of them in `spans` would put a day of its own into every table.
 *
 * Invariant: these rows are in no total, and their time is a plain number: it is no partition.
 */
import { type Column, enumType } from "./columns.ts";
import { type Attributes, type Signal, SIGNALS, type Span } from "./span.ts";
import type { UsageMetricPoint } from "./usage-metrics.ts";

/** Why an item was set aside. Storage order. */
export const SET_ASIDE_REASONS = ["before_2000", "too_old", "in_future"] as const;
export type SetAsideReason = (typeof SET_ASIDE_REASONS)[number];

/** One refused item, one row. Texts are empty when unknown. */
export interface SetAsideItem {
  project_id: string;
  /** Unix time of receipt, ms. */
  received_ms: number;
  signal: Signal;
  reason: SetAsideReason;
  /** 16 and 8 bytes; all zero for a data point. */
  trace_id: Uint8Array;
  span_id: Uint8Array;
  /** Of a data point; 0 for others. */
  series: bigint;
  service_name: string;
  /** Name of the span, of the event's call, or of the metric. */
  name: string;
  /** The time that was refused, Unix ns, as sent. */
  sent_time_ns: bigint;
  scope_name: string;
  attributes: Attributes;
}

/** The fields of a span or an event that are kept. */
type RefusedSpan = Pick<
  Span,
  | "project_id"
  | "signal"
  | "trace_id"
  | "span_id"
  | "service_name"
  | "name"
  | "start_ns"
  | "scope_name"
  | "attributes"
>;

/** The fields of a data point that are kept. */
type RefusedPoint = Pick<
  UsageMetricPoint,
  "project_id" | "series" | "service_name" | "metric" | "time_ns" | "scope_name" | "attributes"
>;

const NO_TRACE_ID = new Uint8Array(16);
const NO_SPAN_ID = new Uint8Array(8);
/** The first time that a row of `spans` or `usage_metric_points` may have, Unix ns. */
export const FIRST_TIME_NS = BigInt(Date.UTC(2000, 0, 1)) * 1_000_000n;

/** Bounds of the time of an item, Unix ns, and why one beyond them is refused. */
export interface TimeBounds {
  readonly oldest_ns: bigint;
  readonly latest_ns: bigint;
}

/** The bounds at a time of receipt. Ages in seconds: SPANLEDGER_MAX_AGE_S, SPANLEDGER_MAX_FUTURE_S. */
export function timeBoundsAt(now_ms: number, max_age_s: number, max_future_s: number): TimeBounds {
  const now_ns = BigInt(Math.trunc(now_ms)) * 1_000_000n;
  const oldest_ns = now_ns - BigInt(max_age_s) * 1_000_000_000n;
  return {
    oldest_ns: oldest_ns > FIRST_TIME_NS ? oldest_ns : FIRST_TIME_NS,
    latest_ns: now_ns + BigInt(max_future_s) * 1_000_000_000n,
  };
}

/** Why an item of that time is refused; null when it is not. */
export function judgeTime(time_ns: bigint, bounds: TimeBounds): SetAsideReason | null {
  if (time_ns < FIRST_TIME_NS) return "before_2000";
  if (time_ns < bounds.oldest_ns) return "too_old";
  return time_ns > bounds.latest_ns ? "in_future" : null;
}

/** The row of a refused span, event or data point that was received then, Unix ms. Pure. */
export function setAsideRow(
  item: RefusedSpan | RefusedPoint,
  reason: SetAsideReason,
  received_ms: number,
): SetAsideItem {
  const { project_id, service_name, scope_name, attributes } = item;
  const shared = { project_id, received_ms, reason, service_name, scope_name, attributes };
  if ("metric" in item) {
    return {
      ...shared,
      signal: "metric",
      trace_id: NO_TRACE_ID,
      span_id: NO_SPAN_ID,
      series: item.series,
      name: item.metric,
      sent_time_ns: item.time_ns,
    };
  }
  const { signal, trace_id, span_id, name, start_ns } = item;
  return { ...shared, signal, trace_id, span_id, series: 0n, name, sent_time_ns: start_ns };
}

const LOW_CARDINALITY = "LowCardinality(String)";

/** The columns of `set_aside_items`, in order. */
export const SET_ASIDE_COLUMNS: readonly Column<SetAsideItem>[] = [
  { name: "project_id", type: LOW_CARDINALITY, read: (item) => item.project_id },
  {
    name: "received_at",
    type: "DateTime64(3, 'UTC')",
    read: (item) => BigInt(Math.trunc(item.received_ms)),
  },
  { name: "signal", type: enumType(SIGNALS), read: (item) => SIGNALS.indexOf(item.signal) },
  {
    name: "reason",
    type: enumType(SET_ASIDE_REASONS),
    read: (item) => SET_ASIDE_REASONS.indexOf(item.reason),
  },
  { name: "trace_id", type: "FixedString(16)", read: (item) => item.trace_id },
  { name: "span_id", type: "FixedString(8)", read: (item) => item.span_id },
  { name: "series", type: "UInt64", read: (item) => item.series },
  { name: "service_name", type: LOW_CARDINALITY, read: (item) => item.service_name },
  { name: "name", type: LOW_CARDINALITY, read: (item) => item.name },
  { name: "sent_time_ns", type: "UInt64", read: (item) => item.sent_time_ns },
  { name: "scope_name", type: LOW_CARDINALITY, read: (item) => item.scope_name },
  {
    name: "attributes",
    type: "Map(LowCardinality(String), String)",
    read: (item) => item.attributes,
  },
  { name: "ingest_seq", type: "UInt64", read: (_item, batch) => BigInt(batch.ingest_seq) },
];
