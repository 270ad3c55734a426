/**
 * Decodes an OTLP/JSON ExportMetricsServiceRequest.
 *
 * A broken data point is refused alone, a broken metric with all of its points. Buckets, bounds,
 * quantiles and exemplars are not looked at. Invariant: a refused metric counts as at least one
 * point, so that its sender hears of it.
 */
import type {
  DecodedMetric,
  DecodedMetrics,
  DecodedPoint,
  MetricType,
} from "../../schemas/metrics.ts";
import type { DecodeJsonItem } from "./json-envelopes.ts";
import { decodeJsonRequest, decodeList } from "./json-envelopes.ts";
import type { JsonDecoding, JsonObject } from "./json-fields.ts";
import {
  readBool,
  readEnum,
  readField,
  readList,
  readNamedField,
  readObject,
  readOneof,
  readString,
  readUint64,
} from "./json-fields.ts";
import { parseDouble, parseInt64, parseInteger } from "./json-scalars.ts";
import { decodeAttributes } from "./json-values.ts";
import { addRejection } from "./notes.ts";
import { findPointProblem, keepTemporality, NO_RECORDED_VALUE } from "./points.ts";
import { toMetrics } from "./results.ts";

/** The oneof `data` of Metric, by the names of its members. */
const DATA_MEMBERS: ReadonlyMap<string, MetricType> = new Map([
  ["gauge", "gauge"],
  ["sum", "sum"],
  ["histogram", "histogram"],
  ["exponentialHistogram", "exponential_histogram"],
  ["exponential_histogram", "exponential_histogram"],
  ["summary", "summary"],
]);

/** The oneof `value` of NumberDataPoint, by the names of its members. */
const VALUE_MEMBERS: ReadonlyMap<string, "asInt" | "asDouble"> = new Map([
  ["asInt", "asInt"],
  ["as_int", "asInt"],
  ["asDouble", "asDouble"],
  ["as_double", "asDouble"],
]);

/** The names of AggregationTemporality, by number (metrics.proto). */
const TEMPORALITY_NAMES = [
  "AGGREGATION_TEMPORALITY_UNSPECIFIED",
  "AGGREGATION_TEMPORALITY_DELTA",
  "AGGREGATION_TEMPORALITY_CUMULATIVE",
];

/** How the points of each type are decoded. */
const POINT_DECODERS: Readonly<Record<MetricType, DecodeJsonItem<DecodedPoint>>> = {
  gauge: decodeNumber,
  sum: decodeNumber,
  histogram: decodeHistogram,
  exponential_histogram: decodeHistogram,
  summary: decodeSummary,
};

const HAS_TEMPORALITY: ReadonlySet<MetricType> = new Set([
  "sum",
  "histogram",
  "exponential_histogram",
]);

/**
 * Decodes the body of an OTLP/JSON metrics export, at most 512 MB. Throws PermanentError
 * `invalid_json`, `wrong_signal` for a body of traces, logs or profiles, and `too_many_objects`;
 * nothing else.
 */
export function decodeMetricsJson(body: Uint8Array): DecodedMetrics {
  return toMetrics(decodeJsonRequest("metrics", body, decodeMetric));
}

/** Undefined when no point of the metric is left. */
function decodeMetric(decoding: JsonDecoding, raw: JsonObject): DecodedMetric | undefined {
  const data = readOneof(decoding, raw, DATA_MEMBERS);
  const type = data?.member ?? "gauge";
  const content = readObject(decoding, data?.value, type);
  const list = readNamedField(decoding, content, "dataPoints", "data_points");
  const rawPoints = readList(decoding, list, "dataPoints");
  const metric = {
    name: readString(decoding, readField(raw, "name"), "name"),
    unit: readString(decoding, readField(raw, "unit"), "unit"),
    type,
    temporality: readTemporality(decoding, content, type),
    is_monotonic: type === "sum" && readMonotony(decoding, content),
  };
  if (decoding.problem !== undefined) {
    // The caller finds the problem set and counts one; the others are counted here.
    addRejection(decoding.notes, decoding.problem, Math.max(countPoints(rawPoints) - 1, 0));
    return undefined;
  }
  const points = decodeList(decoding, rawPoints, "dataPoints", POINT_DECODERS[type]);
  // The problem of the last point is not one of the metric.
  decoding.problem = undefined;
  return points.length === 0 ? undefined : { ...metric, points };
}

function countPoints(rawPoints: readonly unknown[]): number {
  return rawPoints.reduce<number>((count, raw) => count + (raw === null ? 0 : 1), 0);
}

function readTemporality(decoding: JsonDecoding, content: JsonObject, type: MetricType) {
  if (!HAS_TEMPORALITY.has(type)) return 0;
  const name = "aggregationTemporality";
  const raw = readNamedField(decoding, content, name, "aggregation_temporality");
  return keepTemporality(decoding.notes, readEnum(decoding, raw, name, TEMPORALITY_NAMES));
}

function readMonotony(decoding: JsonDecoding, content: JsonObject): boolean {
  const raw = readNamedField(decoding, content, "isMonotonic", "is_monotonic");
  return readBool(decoding, raw, "isMonotonic");
}

function decodeNumber(decoding: JsonDecoding, raw: JsonObject): DecodedPoint {
  const point: DecodedPoint = {
    ...decodeCommon(decoding, raw),
    kind: "number",
    value: readNumber(decoding, raw),
    count: null,
  };
  decoding.problem ??= findPointProblem(point);
  return point;
}

function decodeHistogram(decoding: JsonDecoding, raw: JsonObject): DecodedPoint {
  return {
    ...decodeCommon(decoding, raw),
    kind: "histogram",
    value: readDouble(decoding, readField(raw, "sum"), "sum"),
    count: readUint64(decoding, readField(raw, "count"), "count"),
  };
}

/** The sum of a summary has no presence on the wire: absent is zero. */
function decodeSummary(decoding: JsonDecoding, raw: JsonObject): DecodedPoint {
  const point = decodeHistogram(decoding, raw);
  return { ...point, value: point.value ?? 0 };
}

type CommonFields = Pick<DecodedPoint, "start_ns" | "time_ns" | "attributes" | "no_recorded_value">;

function decodeCommon(decoding: JsonDecoding, raw: JsonObject): CommonFields {
  const start = readNamedField(decoding, raw, "startTimeUnixNano", "start_time_unix_nano");
  const time = readNamedField(decoding, raw, "timeUnixNano", "time_unix_nano");
  const flags = parseInteger(readField(raw, "flags") ?? 0);
  if (flags === undefined) decoding.problem ??= "flags must be an integer";
  return {
    start_ns: readUint64(decoding, start, "startTimeUnixNano"),
    time_ns: readUint64(decoding, time, "timeUnixNano"),
    attributes: decodeAttributes(decoding, readField(raw, "attributes"), 1),
    no_recorded_value: (Number(flags ?? 0) & NO_RECORDED_VALUE) !== 0,
  };
}

function readNumber(decoding: JsonDecoding, raw: JsonObject): number | bigint | null {
  const found = readOneof(decoding, raw, VALUE_MEMBERS);
  if (found === undefined) return null;
  if (found.member === "asDouble") return readDouble(decoding, found.value, "asDouble");
  const integer = parseInt64(found.value);
  if (integer === undefined) decoding.problem ??= "asInt must be a 64-bit integer";
  return integer ?? null;
}

function readDouble(decoding: JsonDecoding, value: unknown, name: string): number | null {
  if (value === undefined) return null;
  const number = parseDouble(value);
  if (number === undefined) decoding.problem ??= `${name} must be a number`;
  return number ?? null;
}
