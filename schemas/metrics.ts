/**
 * The shapes of an OTLP metrics export as decoded from the wire.
 *
 * Invariant: no integer is rounded, and an absent value is null, because zero is a value.
 */
import type { Attributes, Scope } from "./span.ts";

/** The kinds of OTLP metrics, in the order of their fields in Metric. */
export const METRIC_TYPES = [
  "gauge",
  "sum",
  "histogram",
  "exponential_histogram",
  "summary",
] as const;
export type MetricType = (typeof METRIC_TYPES)[number];

/** OTLP AggregationTemporality: 0 unspecified, 1 delta, 2 cumulative. */
export type Temporality = 0 | 1 | 2;

/**
 * A data point of any metric: a number (of gauges and sums) or a histogram (of the two histograms and
 * the summary), of which only sum and count are kept, no buckets, quantiles or exemplars.
 */
export interface DecodedPoint {
  kind: "number" | "histogram";
  /** Unix time, ns; 0 when the sender does not say. */
  start_ns: bigint;
  time_ns: bigint;
  /**
   * The number, or the sum of a histogram. An int64 is a number when it is a safe integer and a bigint
   * otherwise, as in attributes; a double may be NaN or infinite. Null when there is none: a histogram
   * without a sum, or a number flagged as not recorded.
   */
  value: number | bigint | null;
  /** Measurements in the histogram; null for a number. */
  count: bigint | null;
  attributes: Attributes;
  /** The flag NO_RECORDED_VALUE: the series ended, and `value` says nothing. */
  no_recorded_value: boolean;
}

/** A metric with at least one point. */
export interface DecodedMetric {
  name: string;
  unit: string;
  type: MetricType;
  /** 0 for gauges and summaries, which have none. */
  temporality: Temporality;
  /** Whether a sum only grows; false for other types. */
  is_monotonic: boolean;
  points: DecodedPoint[];
}

/** The metrics of one scope under one resource. */
export interface ScopeMetrics {
  resource: Attributes;
  scope: Scope;
  metrics: DecodedMetric[];
}

/** A whole metrics export request, with what was refused of it (OTLP partial success). */
export interface DecodedMetrics {
  scope_metrics: ScopeMetrics[];
  /** Data points in `scope_metrics`. */
  point_count: number;
  /** Points that were permanently invalid, and why (a few reasons, each once). */
  rejected_points: number;
  rejections: string[];
  /** What was accepted but not as it should have been sent. */
  warnings: string[];
}
