/**
 * Decodes an OTLP protobuf ExportMetricsServiceRequest.
 *
 * A body that is not protobuf is refused as a whole; a data point that is protobuf but has no value is
 * refused alone. Of a point, its value and its count are kept; buckets, bounds, quantiles and
 * exemplars are skipped. Invariant: the kinds of points differ only by their layouts.
 */
import type { DecodedMetric, DecodedMetrics, DecodedPoint } from "../../schemas/metrics.ts";
import { Attributes } from "../../schemas/span.ts";
import type { Decoding } from "./envelopes.ts";
import { decodeRequest } from "./envelopes.ts";
import { countEnvelope } from "./limits.ts";
import type { MetricLayout, PointLayout } from "./messages.ts";
import { METRIC, METRIC_LAYOUTS } from "./messages.ts";
import { addRejection } from "./notes.ts";
import { findPointProblem, keepTemporality, NO_RECORDED_VALUE } from "./points.ts";
import { toMetrics } from "./results.ts";
import { decodeAttribute } from "./values.ts";
import {
  readBool,
  readDouble,
  readEnd,
  readField,
  readFixed64,
  readInt32,
  readSfixed64,
  readText,
  skipValue,
} from "./wire.ts";

/**
 * Decodes the body of an OTLP metrics export. An empty body is a valid, empty request. The result
 * holds nothing of the body. Throws PermanentError `invalid_protobuf` when the body cannot be
 * decoded, `wrong_signal` when it is an export of traces or logs, and `too_many_objects` when it
 * exceeds a limit; nothing else.
 */
export function decodeMetrics(body: Uint8Array): DecodedMetrics {
  return toMetrics(decodeRequest("metrics", body, decodeMetric));
}

/** Undefined when no point of the metric is left. */
function decodeMetric(decoding: Decoding, end: number): DecodedMetric | undefined {
  const { reader } = decoding;
  const metric: DecodedMetric = {
    name: "",
    unit: "",
    type: "gauge",
    temporality: 0,
    is_monotonic: false,
    points: [],
  };
  while (reader.pos < end) {
    const field = readField(reader, end, METRIC);
    const layout = METRIC_LAYOUTS.get(field);
    if (layout !== undefined) {
      decodePoints(decoding, readEnd(reader, end), layout, metric);
    } else if (field === 1) {
      metric.name = readText(reader, readEnd(reader, end));
    } else if (field === 3) {
      metric.unit = readText(reader, readEnd(reader, end));
    } else {
      skipValue(reader, field, end);
    }
  }
  return metric.points.length === 0 ? undefined : metric;
}

/** Decodes a member of the oneof: another member replaces the last, the same one merges (D03). */
function decodePoints(
  decoding: Decoding,
  end: number,
  layout: MetricLayout,
  into: DecodedMetric,
): void {
  const { reader } = decoding;
  if (into.type !== layout.type) {
    into.type = layout.type;
    into.temporality = 0;
    into.is_monotonic = false;
    into.points = [];
  }
  while (reader.pos < end) {
    const field = readField(reader, end, layout.wire_types);
    if (field === 1) {
      const point = decodePoint(decoding, readEnd(reader, end), layout.point);
      const problem = findPointProblem(point);
      if (problem === undefined) into.points.push(point);
      else addRejection(decoding.notes, problem);
    } else if (field >= layout.wire_types.length) {
      skipValue(reader, field, end);
    } else if (field === 2) {
      into.temporality = keepTemporality(decoding.notes, readInt32(reader, end));
    } else {
      into.is_monotonic = readBool(reader, end);
    }
  }
}

function decodePoint(decoding: Decoding, end: number, layout: PointLayout): DecodedPoint {
  const { reader } = decoding;
  countEnvelope(decoding);
  const point: DecodedPoint = {
    kind: layout.kind,
    start_ns: 0n,
    time_ns: 0n,
    value: layout.absent_value,
    count: layout.kind === "histogram" ? 0n : null,
    attributes: new Attributes(),
    no_recorded_value: false,
  };
  while (reader.pos < end) {
    const field = readField(reader, end, layout.wire_types);
    switch (field) {
      case 2:
        point.start_ns = readFixed64(reader, end);
        break;
      case 3:
        point.time_ns = readFixed64(reader, end);
        break;
      case layout.attributes:
        decodeAttribute(decoding, readEnd(reader, end), 1, point.attributes);
        break;
      case layout.double:
        point.value = readDouble(reader, end);
        break;
      case layout.integer:
        point.value = readSfixed64(reader, end);
        break;
      case layout.count:
        point.count = readFixed64(reader, end);
        break;
      case layout.flags:
        point.no_recorded_value = (readInt32(reader, end) & NO_RECORDED_VALUE) !== 0;
        break;
      default:
        skipValue(reader, field, end);
    }
  }
  return point;
}
