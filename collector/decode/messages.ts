/**
 * The wire type of every field of each OTLP message, by field number.
 *
 * Fields that are not decoded are listed too, because a known field with a wrong wire type means that
 * this is not OTLP. Invariant: a repeated number, which senders may pack or not (OTLP D02), is listed
 * as NO_FIELD, so that it is skipped in either form.
 *
 * Field numbers: opentelemetry-proto 1.x, common.proto, resource.proto, trace.proto, logs.proto,
 * metrics.proto.
 */
import type { MetricType } from "../../schemas/metrics.ts";
import { DELIMITED, FIXED32, FIXED64, NO_FIELD, VARINT } from "./wire.ts";

/** The wire types of the fields of one message. */
export type WireTypes = readonly number[];

export const KEY_VALUE: WireTypes = [NO_FIELD, DELIMITED, DELIMITED, VARINT];
// prettier-ignore
export const ANY_VALUE: WireTypes = [
  NO_FIELD, DELIMITED, VARINT, VARINT, FIXED64, DELIMITED, DELIMITED, DELIMITED, VARINT,
];
/** ArrayValue and KeyValueList. */
export const VALUE_LIST: WireTypes = [NO_FIELD, DELIMITED];

/** The request of any signal: resource_spans, resource_logs, resource_metrics. */
export const REQUEST: WireTypes = [NO_FIELD, DELIMITED];
/** ResourceSpans, ResourceLogs, ResourceMetrics: resource, scopes, schema URL. */
export const RESOURCE_ENVELOPE: WireTypes = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED];
export const RESOURCE: WireTypes = [NO_FIELD, DELIMITED, VARINT, DELIMITED];
/** ScopeSpans, ScopeLogs, ScopeMetrics: scope, items, schema URL. */
export const SCOPE_ENVELOPE: WireTypes = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED];
export const SCOPE: WireTypes = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED, VARINT];

// prettier-ignore
export const SPAN: WireTypes = [
  NO_FIELD, DELIMITED, DELIMITED, DELIMITED, DELIMITED, DELIMITED, VARINT, FIXED64, FIXED64,
  DELIMITED, VARINT, DELIMITED, VARINT, DELIMITED, VARINT, DELIMITED, FIXED32,
];
export const STATUS: WireTypes = [NO_FIELD, NO_FIELD, DELIMITED, VARINT];
export const EVENT: WireTypes = [NO_FIELD, FIXED64, DELIMITED, DELIMITED, VARINT];
// prettier-ignore
export const LINK: WireTypes = [
  NO_FIELD, DELIMITED, DELIMITED, DELIMITED, DELIMITED, VARINT, FIXED32,
];

// prettier-ignore
export const LOG_RECORD: WireTypes = [
  NO_FIELD, FIXED64, VARINT, DELIMITED, NO_FIELD, DELIMITED, DELIMITED, VARINT, FIXED32, DELIMITED,
  DELIMITED, FIXED64, DELIMITED,
];

// prettier-ignore
export const METRIC: WireTypes = [
  NO_FIELD, DELIMITED, DELIMITED, DELIMITED, NO_FIELD, DELIMITED, NO_FIELD, DELIMITED, NO_FIELD,
  DELIMITED, DELIMITED, DELIMITED, DELIMITED,
];

/** How the points of one kind of metric are laid out. Start and time are fields 2 and 3 of each. */
export interface PointLayout {
  readonly wire_types: WireTypes;
  readonly kind: "number" | "histogram";
  // The numbers of the fields that are decoded; NO_FIELD for what the message does not have.
  readonly attributes: number;
  readonly flags: number;
  readonly count: number;
  /** The value of a number or the sum of a histogram, a double. */
  readonly double: number;
  /** The value of a number, an sfixed64. */
  readonly integer: number;
  /** The value when none is sent: a field without presence is zero. */
  readonly absent_value: 0 | null;
}

const NUMBER_POINT: PointLayout = {
  // prettier-ignore
  wire_types: [
    NO_FIELD, NO_FIELD, FIXED64, FIXED64, FIXED64, DELIMITED, FIXED64, DELIMITED, VARINT,
  ],
  kind: "number",
  attributes: 7,
  flags: 8,
  count: NO_FIELD,
  double: 4,
  integer: 6,
  absent_value: null,
};

const HISTOGRAM_POINT: PointLayout = {
  // prettier-ignore
  wire_types: [
    NO_FIELD, NO_FIELD, FIXED64, FIXED64, FIXED64, FIXED64, NO_FIELD, NO_FIELD, DELIMITED,
    DELIMITED, VARINT, FIXED64, FIXED64,
  ],
  kind: "histogram",
  attributes: 9,
  flags: 10,
  count: 4,
  double: 5,
  integer: NO_FIELD,
  absent_value: null,
};

const EXPONENTIAL_POINT: PointLayout = {
  // prettier-ignore
  wire_types: [
    NO_FIELD, DELIMITED, FIXED64, FIXED64, FIXED64, FIXED64, VARINT, FIXED64, DELIMITED, DELIMITED,
    VARINT, DELIMITED, FIXED64, FIXED64, FIXED64,
  ],
  kind: "histogram",
  attributes: 1,
  flags: 10,
  count: 4,
  double: 5,
  integer: NO_FIELD,
  absent_value: null,
};

const SUMMARY_POINT: PointLayout = {
  // prettier-ignore
  wire_types: [
    NO_FIELD, NO_FIELD, FIXED64, FIXED64, FIXED64, FIXED64, DELIMITED, DELIMITED, VARINT,
  ],
  kind: "histogram",
  attributes: 7,
  flags: 8,
  count: 4,
  double: 5,
  integer: NO_FIELD,
  absent_value: 0,
};

/** One member of the oneof `data` of Metric: points, and what some kinds say of all of them. */
export interface MetricLayout {
  readonly type: MetricType;
  /** Points are field 1; temporality is field 2 and monotony field 3 of those that have them. */
  readonly wire_types: WireTypes;
  readonly point: PointLayout;
}

const POINTS_ONLY: WireTypes = [NO_FIELD, DELIMITED];
const WITH_TEMPORALITY: WireTypes = [NO_FIELD, DELIMITED, VARINT];
const WITH_MONOTONY: WireTypes = [NO_FIELD, DELIMITED, VARINT, VARINT];

/** The members of the oneof `data` of Metric, by field number. */
export const METRIC_LAYOUTS: ReadonlyMap<number, MetricLayout> = new Map([
  [5, { type: "gauge", wire_types: POINTS_ONLY, point: NUMBER_POINT }],
  [7, { type: "sum", wire_types: WITH_MONOTONY, point: NUMBER_POINT }],
  [9, { type: "histogram", wire_types: WITH_TEMPORALITY, point: HISTOGRAM_POINT }],
  [10, { type: "exponential_histogram", wire_types: WITH_TEMPORALITY, point: EXPONENTIAL_POINT }],
  [11, { type: "summary", wire_types: POINTS_ONLY, point: SUMMARY_POINT }],
]);
