/**
 * What decoding a request must give, said a second time: from protobufjs's objects, from a JSON
 * writer, and from the captures of real clients.
 *
 * Invariant: nothing here comes from `collector/decode`. It only handles valid requests, so it can
 * be simple; what a bad request must give is spelled out in the tests.
 */
import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { PermanentError } from "../../schemas/errors.ts";
import type { DecodedLogRecord, DecodedLogs } from "../../schemas/logs.ts";
import type { DecodedMetric, DecodedMetrics, DecodedPoint } from "../../schemas/metrics.ts";
import type { AttributeValue, DecodedTraces, Scope } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type {
  OtlpHistogramPoint,
  OtlpInteger,
  OtlpKeyValue,
  OtlpLogRecord,
  OtlpLogsRequest,
  OtlpMetric,
  OtlpMetricsRequest,
  OtlpNumberPoint,
  OtlpScope,
  OtlpScopeSpans,
  OtlpSpan,
  OtlpTraceRequest,
  OtlpValue,
} from "./otlp-proto.ts";

const CAPTURES = new URL("../captures/", import.meta.url);
/** The captures that the repository itself holds. */
const OWN_CAPTURES = new URL("../captures/", import.meta.url);

/** The body of one traces export of a real client. */
export interface TraceCapture {
  /** Folder and file, such as `vercel-ai-4.3.19/generate_text.pb`. */
  name: string;
  /** The same for the bodies of one case, whatever their encoding. */
  case_name: string;
  encoding: "json" | "pb";
  body: Uint8Array;
}

/** Reads the bodies of all captured traces. Throws when the captures are not beside the repository. */
export function readTraceCaptures(): TraceCapture[] {
  const captures: TraceCapture[] = [];
  for (const name of listFiles().toSorted()) {
    const match = /^(.+?\/[^.]+)(?:\.2)?\.(json|pb)$/.exec(name);
    if (match === null) continue;
    const [, case_name = "", encoding] = match;
    const body = new Uint8Array(readFileSync(new URL(name, CAPTURES)));
    captures.push({ name, case_name, encoding: encoding === "pb" ? "pb" : "json", body });
  }
  if (captures.length === 0) throw new Error(`no captured traces in ${CAPTURES.pathname}`);
  return captures;
}

function listFiles(): string[] {
  try {
    return readdirSync(CAPTURES, { recursive: true, encoding: "utf8" });
  } catch (error) {
    throw new Error("the captured client telemetry is missing: it must be in test/captures", {
      cause: error,
    });
  }
}

/** The body of one export of logs or metrics of a real client. */
export type SignalCapture = Pick<TraceCapture, "name" | "encoding" | "body">;

/** Reads the bodies of all captured logs or metrics. Throws when there are none. */
export function readSignalCaptures(signal: "logs" | "metrics"): SignalCapture[] {
  const names = readdirSync(OWN_CAPTURES, { recursive: true, encoding: "utf8" }).toSorted();
  const captures = names.flatMap((name): SignalCapture[] => {
    const encoding = (["json", "pb"] as const).find((end) => name.endsWith(`.${signal}.${end}`));
    if (encoding === undefined) return [];
    const body = new Uint8Array(readFileSync(new URL(name, OWN_CAPTURES)));
    return [{ name, encoding, body }];
  });
  if (captures.length === 0) throw new Error(`no captured ${signal} in ${OWN_CAPTURES.pathname}`);
  return captures;
}

/** The result, or undefined when the input was refused with a PermanentError. Others are thrown. */
export function unlessRefused<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof PermanentError) return undefined;
    throw error;
  }
}

/** The PermanentError that the input is refused with. Throws when it is not, or with another. */
export function refusalOf(run: () => unknown): PermanentError {
  try {
    run();
  } catch (error) {
    if (error instanceof PermanentError) return error;
    throw error;
  }
  throw new Error("the input was not refused");
}

/** What decoding a valid request gives: every span kept, no warning. */
export function expectedTraces(request: OtlpTraceRequest): DecodedTraces {
  const traces: DecodedTraces = {
    scope_spans: [],
    span_count: 0,
    rejected_spans: 0,
    rejections: [],
    warnings: [],
  };
  for (const { resource, scopeSpans = [] } of request.resourceSpans ?? []) {
    for (const { scope, spans = [] } of scopeSpans) {
      if (spans.length === 0) continue;
      traces.span_count += spans.length;
      traces.scope_spans.push({
        resource: expectedAttributes(resource?.attributes),
        scope: expectedScope(scope),
        spans: spans.map(expectedSpan),
      });
    }
  }
  return traces;
}

/** What decoding a valid request of logs gives: every record kept, no warning. */
export function expectedLogs(request: OtlpLogsRequest): DecodedLogs {
  const scope_logs = (request.resourceLogs ?? []).flatMap(({ resource, scopeLogs = [] }) =>
    scopeLogs.flatMap(({ scope, logRecords = [] }) => ({
      resource: expectedAttributes(resource?.attributes),
      scope: expectedScope(scope),
      records: logRecords.map(expectedRecord),
    })),
  );
  const kept = scope_logs.filter(({ records }) => records.length > 0);
  const record_count = kept.flatMap(({ records }) => records).length;
  return { scope_logs: kept, record_count, rejected_records: 0, rejections: [], warnings: [] };
}

function expectedRecord(record: OtlpLogRecord): DecodedLogRecord {
  return {
    time_ns: BigInt(record.timeUnixNano ?? 0),
    observed_ns: BigInt(record.observedTimeUnixNano ?? 0),
    severity_number: record.severityNumber ?? 0,
    event_name: record.eventName ?? "",
    body: expectedValue(record.body ?? {}),
    attributes: expectedAttributes(record.attributes),
    trace_id: withoutZeros(copyBytes(record.traceId)),
    span_id: withoutZeros(copyBytes(record.spanId)),
  };
}

/** What decoding a valid request of metrics gives: every point kept, no warning. */
export function expectedMetrics(request: OtlpMetricsRequest): DecodedMetrics {
  const scope_metrics = (request.resourceMetrics ?? []).flatMap(({ resource, scopeMetrics = [] }) =>
    scopeMetrics.flatMap(({ scope, metrics = [] }) => ({
      resource: expectedAttributes(resource?.attributes),
      scope: expectedScope(scope),
      metrics: metrics.map(expectedMetric).filter(({ points }) => points.length > 0),
    })),
  );
  const kept = scope_metrics.filter(({ metrics }) => metrics.length > 0);
  const points = kept.flatMap(({ metrics }) => metrics.flatMap((metric) => metric.points));
  return {
    scope_metrics: kept,
    point_count: points.length,
    rejected_points: 0,
    rejections: [],
    warnings: [],
  };
}

function expectedMetric(metric: OtlpMetric): DecodedMetric {
  const { name = "", unit = "", gauge, sum, histogram, exponentialHistogram, summary } = metric;
  const head = { name, unit, is_monotonic: false };
  if (sum !== undefined) {
    return {
      ...head,
      type: "sum",
      temporality: expectedTemporality(sum.aggregationTemporality),
      is_monotonic: sum.isMonotonic ?? false,
      points: (sum.dataPoints ?? []).map(expectedNumber),
    };
  }
  const histograms = histogram ?? exponentialHistogram;
  if (histograms !== undefined) {
    return {
      ...head,
      type: histogram === undefined ? "exponential_histogram" : "histogram",
      temporality: expectedTemporality(histograms.aggregationTemporality),
      points: (histograms.dataPoints ?? []).map((point) => expectedHistogram(point, null)),
    };
  }
  if (summary !== undefined) {
    const points = (summary.dataPoints ?? []).map((point) => expectedHistogram(point, 0));
    return { ...head, type: "summary", temporality: 0, points };
  }
  const points = (gauge?.dataPoints ?? []).map(expectedNumber);
  return { ...head, type: "gauge", temporality: 0, points };
}

function expectedTemporality(number = 0): 0 | 1 | 2 {
  if (number === 0 || number === 1 || number === 2) return number;
  throw new Error(`temporality ${number} gives a warning`);
}

function expectedNumber(point: OtlpNumberPoint): DecodedPoint {
  const integer = point.asInt === undefined ? null : expectedInteger(point.asInt);
  return {
    kind: "number",
    start_ns: BigInt(point.startTimeUnixNano ?? 0),
    time_ns: BigInt(point.timeUnixNano ?? 0),
    value: point.asDouble ?? integer,
    count: null,
    attributes: expectedAttributes(point.attributes),
    no_recorded_value: (point.flags ?? 0) % 2 === 1,
  };
}

function expectedHistogram(point: OtlpHistogramPoint, absentSum: 0 | null): DecodedPoint {
  return {
    kind: "histogram",
    start_ns: BigInt(point.startTimeUnixNano ?? 0),
    time_ns: BigInt(point.timeUnixNano ?? 0),
    value: point.sum ?? absentSum,
    count: BigInt(point.count ?? 0),
    attributes: expectedAttributes(point.attributes),
    no_recorded_value: (point.flags ?? 0) % 2 === 1,
  };
}

function expectedScope(scope: OtlpScope = {}): Scope {
  return { name: scope.name ?? "", version: scope.version ?? "" };
}

function withoutZeros(id: Uint8Array): Uint8Array {
  return id.every((byte) => byte === 0) ? new Uint8Array(0) : id;
}

function expectedSpan(span: OtlpSpan): DecodedTraces["scope_spans"][number]["spans"][number] {
  return {
    trace_id: copyBytes(span.traceId),
    span_id: copyBytes(span.spanId),
    parent_span_id: withoutZeros(copyBytes(span.parentSpanId)),
    name: span.name ?? "",
    kind: span.kind ?? 0,
    start_ns: BigInt(span.startTimeUnixNano ?? 0),
    end_ns: BigInt(span.endTimeUnixNano ?? 0),
    attributes: expectedAttributes(span.attributes),
    events: (span.events ?? []).map((event) => ({
      time_ns: BigInt(event.timeUnixNano ?? 0),
      name: event.name ?? "",
      attributes: expectedAttributes(event.attributes),
    })),
    links: (span.links ?? []).map((link) => ({
      trace_id: copyBytes(link.traceId),
      span_id: copyBytes(link.spanId),
      attributes: expectedAttributes(link.attributes),
    })),
    status_code: span.status?.code ?? 0,
    status_message: span.status?.message ?? "",
  };
}

/** What decoding a list of attributes gives. */
export function expectedAttributes(list: OtlpKeyValue[] = []): Attributes {
  const attributes = new Attributes();
  for (const { key = "", value } of list) attributes.add(key, expectedValue(value));
  return attributes;
}

function expectedValue(value: OtlpValue = {}): AttributeValue {
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.intValue !== undefined) return expectedInteger(value.intValue);
  if (value.doubleValue !== undefined) return value.doubleValue;
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(expectedValue);
  if (value.kvlistValue !== undefined) return expectedAttributes(value.kvlistValue.values);
  if (value.bytesValue !== undefined) return copyBytes(value.bytesValue);
  return null;
}

function expectedInteger(value: OtlpInteger): number | bigint {
  const wide = BigInt(value);
  const isSafe = wide >= -9007199254740991n && wide <= 9007199254740991n;
  return isSafe ? Number(wide) : wide;
}

/** A plain copy: protobufjs gives Buffers. */
function copyBytes(bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new Uint8Array(bytes);
}

const ID_FIELDS = new Set(["traceId", "spanId", "parentSpanId"]);

/** A request of any signal: each has only its own list. */
type OtlpRequest = OtlpTraceRequest & OtlpLogsRequest & OtlpMetricsRequest;

/** How 64-bit integers are written: as the mapping says, or as some exporters do. */
export type IntegerStyle = "quoted" | "bare";

/** Writes a request as OTLP/JSON: hex ids, base64 bytes, enums as integers. */
export function writeOtlpJson(request: OtlpRequest, integers: IntegerStyle): string {
  return writeJson(request, "", integers);
}

function writeJson(value: unknown, name: string, integers: IntegerStyle): string {
  if (Array.isArray(value)) {
    return `[${value.map((item: unknown) => writeJson(item, "", integers)).join(",")}]`;
  }
  if (value instanceof Uint8Array) {
    return `"${Buffer.from(value).toString(ID_FIELDS.has(name) ? "hex" : "base64")}"`;
  }
  if (typeof value === "bigint") return integers === "bare" ? `${value}` : `"${value}"`;
  if (typeof value === "number" && !Number.isFinite(value)) return `"${value}"`;
  if (Object.is(value, -0)) return "-0.0";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}:${writeJson(item, key, integers)}`,
  );
  return `{${members.join(",")}}`;
}

/** Reads the OTLP/JSON of a well-behaved client; ids become bytes, the rest is as it stands. */
export function readOtlpJson(text: string): OtlpRequest {
  return JSON.parse(text, (name, value: unknown) => {
    if (typeof value !== "string") return value;
    if (ID_FIELDS.has(name)) return new Uint8Array(Buffer.from(value, "hex"));
    return name === "bytesValue" ? new Uint8Array(Buffer.from(value, "base64")) : value;
  }) as OtlpRequest;
}

const text = fc.string({ unit: "binary", maxLength: 30 });
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -200n, max: 200n }),
);
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const traceId = arbitraryId(16);
const spanId = arbitraryId(8);

function arbitraryId(byteCount: number): fc.Arbitrary<Uint8Array> {
  return fc
    .uint8Array({ minLength: byteCount, maxLength: byteCount })
    .filter((id) => id.some((byte) => byte !== 0));
}

const { value: arbitraryValue } = fc.letrec<{ value: OtlpValue; pair: OtlpKeyValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ stringValue: text }),
    fc.constant({}),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: int64 }),
    fc.record({ doubleValue: fc.double() }),
    fc.record({ bytesValue: fc.uint8Array({ maxLength: 20 }) }),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie("value"), { maxLength: 3 }) }) }),
    fc.record({ kvlistValue: fc.record({ values: fc.array(tie("pair"), { maxLength: 3 }) }) }),
  ),
  pair: fc.record({ key: text, value: tie("value") }, { requiredKeys: [] }),
}));

const attributes = fc.array(
  fc.record({ key: text, value: arbitraryValue }, { requiredKeys: ["key"] }),
  { maxLength: 6 },
);

const arbitrarySpan: fc.Arbitrary<OtlpSpan> = fc.record(
  {
    traceId,
    spanId,
    traceState: text,
    parentSpanId: fc.oneof(spanId, fc.constant(new Uint8Array(8)), fc.constant(new Uint8Array(0))),
    name: text,
    kind: int32,
    startTimeUnixNano: uint64,
    endTimeUnixNano: uint64,
    attributes,
    events: fc.array(
      fc.record({ timeUnixNano: uint64, name: text, attributes }, { requiredKeys: [] }),
      { maxLength: 2 },
    ),
    links: fc.array(
      fc.record({ traceId, spanId, attributes }, { requiredKeys: ["traceId", "spanId"] }),
      { maxLength: 2 },
    ),
    status: fc.record({ message: text, code: int32 }, { requiredKeys: [] }),
    flags: fc.nat(),
  },
  { requiredKeys: ["traceId", "spanId"] },
);

const arbitraryScopeSpans: fc.Arbitrary<OtlpScopeSpans> = fc.record(
  {
    scope: fc.record({ name: text, version: text }, { requiredKeys: [] }),
    spans: fc.array(arbitrarySpan, { maxLength: 3 }),
    schemaUrl: text,
  },
  { requiredKeys: [] },
);

/** Any valid request: ids of the right size, any text, any 64-bit integers, values in values. */
export const arbitraryTraceRequest: fc.Arbitrary<OtlpTraceRequest> = fc.record({
  resourceSpans: fc.array(
    fc.record(
      {
        resource: fc.record({ attributes }),
        scopeSpans: fc.array(arbitraryScopeSpans, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  ),
});

const zeroOrNone = (byteCount: number) =>
  fc.constantFrom(new Uint8Array(byteCount), new Uint8Array(0));
const scope = fc.record({ name: text, version: text }, { requiredKeys: [] });

const arbitraryRecord: fc.Arbitrary<OtlpLogRecord> = fc.record(
  {
    timeUnixNano: uint64,
    observedTimeUnixNano: uint64,
    severityNumber: int32,
    severityText: text,
    body: arbitraryValue,
    attributes,
    droppedAttributesCount: fc.nat(),
    flags: fc.nat(),
    traceId: fc.oneof(traceId, zeroOrNone(16)),
    spanId: fc.oneof(spanId, zeroOrNone(8)),
    eventName: text,
  },
  { requiredKeys: [] },
);

/** Any valid request of logs: a record may lack anything. */
export const arbitraryLogsRequest: fc.Arbitrary<OtlpLogsRequest> = fc.record({
  resourceLogs: fc.array(
    fc.record(
      {
        resource: fc.record({ attributes }),
        scopeLogs: fc.array(
          fc.record(
            { scope, logRecords: fc.array(arbitraryRecord, { maxLength: 3 }), schemaUrl: text },
            { requiredKeys: [] },
          ),
          { maxLength: 2 },
        ),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  ),
});

const exemplar = fc.oneof(
  fc.record({ timeUnixNano: uint64, asInt: int64, traceId, spanId }),
  fc.record({ asDouble: fc.double(), filteredAttributes: attributes }),
);
const commonPoint = {
  attributes,
  startTimeUnixNano: uint64,
  timeUnixNano: uint64,
  exemplars: fc.array(exemplar, { maxLength: 2 }),
  flags: fc.nat(),
};
const flagged = fc.constant({ flags: 1 });
const numberPoints = fc.array(
  fc.oneof(
    flagged,
    fc.record({ ...commonPoint, asInt: int64 }, { requiredKeys: ["asInt"] }),
    fc.record({ ...commonPoint, asDouble: fc.double() }, { requiredKeys: ["asDouble"] }),
  ),
  { maxLength: 3 },
);

const counts = fc.array(uint64, { maxLength: 4 });
const buckets = fc.record({ offset: int32, bucketCounts: counts });
const histogramPoints = fc.array(
  fc.record(
    {
      ...commonPoint,
      count: uint64,
      sum: fc.double(),
      bucketCounts: counts,
      explicitBounds: fc.array(fc.double(), { maxLength: 3 }),
      min: fc.double(),
      max: fc.double(),
    },
    { requiredKeys: [] },
  ),
  { maxLength: 3 },
);
const exponentialPoints = fc.array(
  fc.record(
    {
      ...commonPoint,
      count: uint64,
      sum: fc.double(),
      scale: int32,
      zeroCount: uint64,
      positive: buckets,
      negative: buckets,
      min: fc.double(),
      max: fc.double(),
      zeroThreshold: fc.double(),
    },
    { requiredKeys: [] },
  ),
  { maxLength: 3 },
);
const { exemplars: _noneInSummaries, ...summaryFields } = commonPoint;
const summaryPoints = fc.array(
  fc.record(
    {
      ...summaryFields,
      count: uint64,
      sum: fc.double(),
      quantileValues: fc.array(fc.record({ quantile: fc.double(), value: fc.double() }), {
        maxLength: 3,
      }),
    },
    { requiredKeys: [] },
  ),
  { maxLength: 3 },
);

const metricHead = { name: text, description: text, unit: text, metadata: attributes };
const aggregationTemporality = fc.nat({ max: 2 });
const optional = { requiredKeys: [] };
const arbitraryMetric: fc.Arbitrary<OtlpMetric> = fc.oneof(
  fc.record(metricHead, optional),
  fc.record({ ...metricHead, gauge: fc.record({ dataPoints: numberPoints }) }, optional),
  fc.record({
    ...metricHead,
    sum: fc.record(
      { dataPoints: numberPoints, aggregationTemporality, isMonotonic: fc.boolean() },
      optional,
    ),
  }),
  fc.record({
    ...metricHead,
    histogram: fc.record({ dataPoints: histogramPoints, aggregationTemporality }, optional),
  }),
  fc.record({
    ...metricHead,
    exponentialHistogram: fc.record(
      { dataPoints: exponentialPoints, aggregationTemporality },
      optional,
    ),
  }),
  fc.record({ ...metricHead, summary: fc.record({ dataPoints: summaryPoints }) }),
);

/** Any valid request of metrics: all five kinds, with and without points. */
export const arbitraryMetricsRequest: fc.Arbitrary<OtlpMetricsRequest> = fc.record({
  resourceMetrics: fc.array(
    fc.record(
      {
        resource: fc.record({ attributes }),
        scopeMetrics: fc.array(
          fc.record(
            { scope, metrics: fc.array(arbitraryMetric, { maxLength: 3 }), schemaUrl: text },
            { requiredKeys: [] },
          ),
          { maxLength: 2 },
        ),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  ),
});
