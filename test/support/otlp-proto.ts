/**
 * OTLP messages of the three signals through protobufjs: the encoder that tests and benches make bodies with, and
 * the decoder that ours is compared with.
 *
 * Invariant: nothing here comes from `collector/decode`. The schema is written by hand after
 * opentelemetry-proto 1.x, so that a field number that is wrong there is not wrong here as well.
 */
import protobuf from "protobufjs";

const SCHEMA = `
  syntax = "proto3";

  message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }

  message ResourceSpans {
    Resource resource = 1;
    repeated ScopeSpans scope_spans = 2;
    string schema_url = 3;
  }

  message Resource {
    repeated KeyValue attributes = 1;
    uint32 dropped_attributes_count = 2;
  }

  message ScopeSpans {
    InstrumentationScope scope = 1;
    repeated Span spans = 2;
    string schema_url = 3;
  }

  message InstrumentationScope {
    string name = 1;
    string version = 2;
    repeated KeyValue attributes = 3;
    uint32 dropped_attributes_count = 4;
  }

  message Span {
    bytes trace_id = 1;
    bytes span_id = 2;
    string trace_state = 3;
    bytes parent_span_id = 4;
    string name = 5;
    SpanKind kind = 6;
    fixed64 start_time_unix_nano = 7;
    fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9;
    uint32 dropped_attributes_count = 10;
    repeated Event events = 11;
    uint32 dropped_events_count = 12;
    repeated Link links = 13;
    uint32 dropped_links_count = 14;
    Status status = 15;
    fixed32 flags = 16;

    enum SpanKind {
      SPAN_KIND_UNSPECIFIED = 0;
      SPAN_KIND_INTERNAL = 1;
      SPAN_KIND_SERVER = 2;
      SPAN_KIND_CLIENT = 3;
      SPAN_KIND_PRODUCER = 4;
      SPAN_KIND_CONSUMER = 5;
    }

    message Event {
      fixed64 time_unix_nano = 1;
      string name = 2;
      repeated KeyValue attributes = 3;
      uint32 dropped_attributes_count = 4;
    }

    message Link {
      bytes trace_id = 1;
      bytes span_id = 2;
      string trace_state = 3;
      repeated KeyValue attributes = 4;
      uint32 dropped_attributes_count = 5;
      fixed32 flags = 6;
    }
  }

  message Status {
    string message = 2;
    StatusCode code = 3;

    enum StatusCode {
      STATUS_CODE_UNSET = 0;
      STATUS_CODE_OK = 1;
      STATUS_CODE_ERROR = 2;
    }
  }

  message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }

  message ResourceLogs {
    Resource resource = 1;
    repeated ScopeLogs scope_logs = 2;
    string schema_url = 3;
  }

  message ScopeLogs {
    InstrumentationScope scope = 1;
    repeated LogRecord log_records = 2;
    string schema_url = 3;
  }

  message LogRecord {
    fixed64 time_unix_nano = 1;
    int32 severity_number = 2;
    string severity_text = 3;
    AnyValue body = 5;
    repeated KeyValue attributes = 6;
    uint32 dropped_attributes_count = 7;
    fixed32 flags = 8;
    bytes trace_id = 9;
    bytes span_id = 10;
    fixed64 observed_time_unix_nano = 11;
    string event_name = 12;
  }

  message ExportMetricsServiceRequest { repeated ResourceMetrics resource_metrics = 1; }

  message ResourceMetrics {
    Resource resource = 1;
    repeated ScopeMetrics scope_metrics = 2;
    string schema_url = 3;
  }

  message ScopeMetrics {
    InstrumentationScope scope = 1;
    repeated Metric metrics = 2;
    string schema_url = 3;
  }

  message Metric {
    string name = 1;
    string description = 2;
    string unit = 3;
    oneof data {
      Gauge gauge = 5;
      Sum sum = 7;
      Histogram histogram = 9;
      ExponentialHistogram exponential_histogram = 10;
      Summary summary = 11;
    }
    repeated KeyValue metadata = 12;
  }

  message Gauge { repeated NumberDataPoint data_points = 1; }

  message Sum {
    repeated NumberDataPoint data_points = 1;
    int32 aggregation_temporality = 2;
    bool is_monotonic = 3;
  }

  message Histogram {
    repeated HistogramDataPoint data_points = 1;
    int32 aggregation_temporality = 2;
  }

  message ExponentialHistogram {
    repeated ExponentialHistogramDataPoint data_points = 1;
    int32 aggregation_temporality = 2;
  }

  message Summary { repeated SummaryDataPoint data_points = 1; }

  message NumberDataPoint {
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    oneof value {
      double as_double = 4;
      sfixed64 as_int = 6;
    }
    repeated Exemplar exemplars = 5;
    repeated KeyValue attributes = 7;
    uint32 flags = 8;
  }

  message HistogramDataPoint {
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    fixed64 count = 4;
    optional double sum = 5;
    repeated fixed64 bucket_counts = 6;
    repeated double explicit_bounds = 7;
    repeated Exemplar exemplars = 8;
    repeated KeyValue attributes = 9;
    uint32 flags = 10;
    optional double min = 11;
    optional double max = 12;
  }

  message ExponentialHistogramDataPoint {
    repeated KeyValue attributes = 1;
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    fixed64 count = 4;
    optional double sum = 5;
    sint32 scale = 6;
    fixed64 zero_count = 7;
    Buckets positive = 8;
    Buckets negative = 9;
    uint32 flags = 10;
    repeated Exemplar exemplars = 11;
    optional double min = 12;
    optional double max = 13;
    double zero_threshold = 14;

    message Buckets {
      sint32 offset = 1;
      repeated uint64 bucket_counts = 2;
    }
  }

  message SummaryDataPoint {
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    fixed64 count = 4;
    double sum = 5;
    repeated ValueAtQuantile quantile_values = 6;
    repeated KeyValue attributes = 7;
    uint32 flags = 8;

    message ValueAtQuantile {
      double quantile = 1;
      double value = 2;
    }
  }

  message Exemplar {
    fixed64 time_unix_nano = 2;
    oneof value {
      double as_double = 3;
      sfixed64 as_int = 6;
    }
    bytes span_id = 4;
    bytes trace_id = 5;
    repeated KeyValue filtered_attributes = 7;
  }

  message KeyValue {
    string key = 1;
    AnyValue value = 2;
  }

  message AnyValue {
    oneof value {
      string string_value = 1;
      bool bool_value = 2;
      int64 int_value = 3;
      double double_value = 4;
      ArrayValue array_value = 5;
      KeyValueList kvlist_value = 6;
      bytes bytes_value = 7;
    }
  }

  message ArrayValue { repeated AnyValue values = 1; }

  message KeyValueList { repeated KeyValue values = 1; }
`;

/** A 64-bit integer to encode: a decimal string, a bigint, or a number when it is safe. */
export type OtlpInteger = string | bigint | number;

/** An AnyValue; one member, or none for the empty value. */
export interface OtlpValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: OtlpInteger;
  doubleValue?: number;
  arrayValue?: { values?: OtlpValue[] };
  kvlistValue?: { values?: OtlpKeyValue[] };
  bytesValue?: Uint8Array;
}

export interface OtlpKeyValue {
  key?: string;
  value?: OtlpValue;
}

export interface OtlpEvent {
  timeUnixNano?: OtlpInteger;
  name?: string;
  attributes?: OtlpKeyValue[];
  droppedAttributesCount?: number;
}

export interface OtlpLink {
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  traceState?: string;
  attributes?: OtlpKeyValue[];
  droppedAttributesCount?: number;
  flags?: number;
}

export interface OtlpSpan {
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  traceState?: string;
  parentSpanId?: Uint8Array;
  name?: string;
  kind?: number;
  startTimeUnixNano?: OtlpInteger;
  endTimeUnixNano?: OtlpInteger;
  attributes?: OtlpKeyValue[];
  droppedAttributesCount?: number;
  events?: OtlpEvent[];
  droppedEventsCount?: number;
  links?: OtlpLink[];
  droppedLinksCount?: number;
  status?: { message?: string; code?: number };
  flags?: number;
}

export interface OtlpScope {
  name?: string;
  version?: string;
  attributes?: OtlpKeyValue[];
}

export interface OtlpResource {
  attributes?: OtlpKeyValue[];
  droppedAttributesCount?: number;
}

export interface OtlpScopeSpans {
  scope?: OtlpScope;
  spans?: OtlpSpan[];
  schemaUrl?: string;
}

export interface OtlpResourceSpans {
  resource?: OtlpResource;
  scopeSpans?: OtlpScopeSpans[];
  schemaUrl?: string;
}

/** An ExportTraceServiceRequest as a plain object, with protobufjs's camelCase names. */
export interface OtlpTraceRequest {
  resourceSpans?: OtlpResourceSpans[];
}

export interface OtlpLogRecord {
  timeUnixNano?: OtlpInteger;
  observedTimeUnixNano?: OtlpInteger;
  severityNumber?: number;
  severityText?: string;
  /** Some JSON writers write null for none. */
  body?: OtlpValue | null;
  attributes?: OtlpKeyValue[];
  droppedAttributesCount?: number;
  flags?: number;
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  eventName?: string;
}

/** An ExportLogsServiceRequest as a plain object. */
export interface OtlpLogsRequest {
  resourceLogs?: {
    resource?: OtlpResource;
    scopeLogs?: { scope?: OtlpScope; logRecords?: OtlpLogRecord[]; schemaUrl?: string }[];
    schemaUrl?: string;
  }[];
}

export interface OtlpExemplar {
  timeUnixNano?: OtlpInteger;
  asDouble?: number;
  asInt?: OtlpInteger;
  spanId?: Uint8Array;
  traceId?: Uint8Array;
  filteredAttributes?: OtlpKeyValue[];
}

interface OtlpPoint {
  attributes?: OtlpKeyValue[];
  startTimeUnixNano?: OtlpInteger;
  timeUnixNano?: OtlpInteger;
  exemplars?: OtlpExemplar[];
  flags?: number;
}

export interface OtlpNumberPoint extends OtlpPoint {
  asDouble?: number;
  asInt?: OtlpInteger;
}

/** A point of the two histograms or of a summary; each has only some of these. */
export interface OtlpHistogramPoint extends OtlpPoint {
  count?: OtlpInteger;
  sum?: number;
  bucketCounts?: OtlpInteger[];
  explicitBounds?: number[];
  min?: number;
  max?: number;
  scale?: number;
  zeroCount?: OtlpInteger;
  positive?: { offset?: number; bucketCounts?: OtlpInteger[] };
  negative?: { offset?: number; bucketCounts?: OtlpInteger[] };
  zeroThreshold?: number;
  quantileValues?: { quantile?: number; value?: number }[];
}

export interface OtlpHistogram {
  dataPoints?: OtlpHistogramPoint[];
  aggregationTemporality?: number;
}

/** A Metric; one of the five members of its data, or none. */
export interface OtlpMetric {
  name?: string;
  description?: string;
  unit?: string;
  gauge?: { dataPoints?: OtlpNumberPoint[] };
  sum?: {
    dataPoints?: OtlpNumberPoint[];
    aggregationTemporality?: number;
    isMonotonic?: boolean;
  };
  histogram?: OtlpHistogram;
  exponentialHistogram?: OtlpHistogram;
  summary?: { dataPoints?: OtlpHistogramPoint[] };
  metadata?: OtlpKeyValue[];
}

/** An ExportMetricsServiceRequest as a plain object. */
export interface OtlpMetricsRequest {
  resourceMetrics?: {
    resource?: OtlpResource;
    scopeMetrics?: { scope?: OtlpScope; metrics?: OtlpMetric[]; schemaUrl?: string }[];
    schemaUrl?: string;
  }[];
}

const root = protobuf.parse(SCHEMA).root;
const requestType = root.lookupType("ExportTraceServiceRequest");
const logsType = root.lookupType("ExportLogsServiceRequest");
const metricsType = root.lookupType("ExportMetricsServiceRequest");

/** Encodes a request into the protobuf body that an exporter would send. */
export function encodeTraceRequest(request: OtlpTraceRequest): Uint8Array<ArrayBuffer> {
  return encodeMessage("ExportTraceServiceRequest", request);
}

/** Encodes a request into the protobuf body that an exporter of logs would send. */
export function encodeLogsRequest(request: OtlpLogsRequest): Uint8Array<ArrayBuffer> {
  return encodeMessage("ExportLogsServiceRequest", request);
}

/** Encodes a request into the protobuf body that an exporter of metrics would send. */
export function encodeMetricsRequest(request: OtlpMetricsRequest): Uint8Array<ArrayBuffer> {
  return encodeMessage("ExportMetricsServiceRequest", request);
}

/** Encodes any message of the schema by its name, such as `Span` or `AnyValue`. */
export function encodeMessage(name: string, message: object): Uint8Array<ArrayBuffer> {
  const type = root.lookupType(name);
  const plain = withDecimalIntegers(message) as Record<string, unknown>;
  // A copy, because protobufjs gives a view of its pool.
  return new Uint8Array(type.encode(type.fromObject(plain)).finish());
}

/**
 * Decodes a body into protobufjs's message object: the baseline of the bench. Absent fields are on
 * the prototype and 64-bit integers are `Long`.
 */
export function decodeTraceRequestMessage(body: Uint8Array): protobuf.Message {
  return requestType.decode(body);
}

/**
 * Decodes a body into a plain object: absent fields are left out, 64-bit integers are bigints.
 * Throws what protobufjs throws for a body that it cannot decode.
 */
export function decodeTraceRequest(body: Uint8Array): OtlpTraceRequest {
  return decodePlain(requestType, body) as OtlpTraceRequest;
}

/** Decodes a body of logs like `decodeTraceRequest`. */
export function decodeLogsRequest(body: Uint8Array): OtlpLogsRequest {
  return decodePlain(logsType, body) as OtlpLogsRequest;
}

/** Decodes a body of metrics like `decodeTraceRequest`. */
export function decodeMetricsRequest(body: Uint8Array): OtlpMetricsRequest {
  return decodePlain(metricsType, body) as OtlpMetricsRequest;
}

function decodePlain(type: protobuf.Type, body: Uint8Array): unknown {
  return withBigints(type.toObject(type.decode(body), { longs: String }));
}

const INTEGER_FIELDS = new Set([
  "asInt",
  "bucketCounts",
  "count",
  "intValue",
  "startTimeUnixNano",
  "endTimeUnixNano",
  "timeUnixNano",
  "observedTimeUnixNano",
  "zeroCount",
]);

/** protobufjs takes 64-bit integers as decimal strings but not as bigints. */
function withDecimalIntegers(value: unknown): unknown {
  return mapTree(value, (leaf) => (typeof leaf === "bigint" ? leaf.toString() : leaf));
}

function withBigints(value: unknown): unknown {
  return mapTree(value, (leaf, name) =>
    INTEGER_FIELDS.has(name) ? BigInt(leaf as string | number) : leaf,
  );
}

function mapTree(value: unknown, mapLeaf: (leaf: unknown, name: string) => unknown): unknown {
  const visit = (node: unknown, name: string): unknown => {
    if (Array.isArray(node)) return node.map((item: unknown) => visit(item, name));
    if (typeof node !== "object" || node === null || node instanceof Uint8Array) {
      return mapLeaf(node, name);
    }
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, visit(item, key)]));
  };
  return visit(value, "");
}

/** A length or a tag as a varint of up to 35 bits. */
export function varint(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

/** A delimited field of the number, made of the parts. */
export function field(number: number, ...parts: Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const head = Uint8Array.from([...varint(number * 8 + 2), ...varint(content.length)]);
  return Buffer.concat([head, content]);
}

/** The bytes so many times. */
export function repeat(bytes: Uint8Array, count: number): Uint8Array {
  const whole = new Uint8Array(bytes.length * count);
  for (let index = 0; index < count; index += 1) whole.set(bytes, index * bytes.length);
  return whole;
}
