/**
 * OTLP bodies of the three signals as plain OTLP/JSON objects and back, and what can be done to them
 * without changing what they say: the other encoding, single records, another order.
 *
 * Invariant: nothing here comes from `collector/decode`. The protobuf schema is written by hand after
 * opentelemetry-proto 1.x, so that a field number that is wrong there is not wrong here as well.
 */
import protobuf from "protobufjs";

/** Deepest nesting of a body that is walked, levels; OTLP needs about 20. */
const MAX_DEPTH = 200;

const SCHEMA = `
  syntax = "proto3";

  message TracesData { repeated ResourceSpans resource_spans = 1; }
  message LogsData { repeated ResourceLogs resource_logs = 1; }
  message MetricsData { repeated ResourceMetrics resource_metrics = 1; }

  message ResourceSpans {
    Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3;
  }
  message ResourceLogs {
    Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3;
  }
  message ResourceMetrics {
    Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; string schema_url = 3;
  }
  message ScopeSpans { Scope scope = 1; repeated Span spans = 2; string schema_url = 3; }
  message ScopeLogs { Scope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
  message ScopeMetrics { Scope scope = 1; repeated Metric metrics = 2; string schema_url = 3; }

  message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
  message Scope {
    string name = 1; string version = 2; repeated KeyValue attributes = 3;
    uint32 dropped_attributes_count = 4;
  }

  message Span {
    bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4;
    string name = 5; uint32 kind = 6;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10;
    repeated Event events = 11; uint32 dropped_events_count = 12;
    repeated Link links = 13; uint32 dropped_links_count = 14;
    Status status = 15; fixed32 flags = 16;
  }
  message Event {
    fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3;
    uint32 dropped_attributes_count = 4;
  }
  message Link {
    bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KeyValue attributes = 4;
    uint32 dropped_attributes_count = 5; fixed32 flags = 6;
  }
  message Status { string message = 2; uint32 code = 3; }

  message LogRecord {
    fixed64 time_unix_nano = 1; uint32 severity_number = 2; string severity_text = 3;
    AnyValue body = 5; repeated KeyValue attributes = 6; uint32 dropped_attributes_count = 7;
    fixed32 flags = 8; bytes trace_id = 9; bytes span_id = 10;
    fixed64 observed_time_unix_nano = 11; string event_name = 12;
  }

  message Metric {
    string name = 1; string description = 2; string unit = 3;
    oneof data { Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9;
                 ExponentialHistogram exponential_histogram = 10; Summary summary = 11; }
    repeated KeyValue metadata = 12;
  }
  message Gauge { repeated NumberPoint data_points = 1; }
  message Sum {
    repeated NumberPoint data_points = 1; uint32 aggregation_temporality = 2; bool is_monotonic = 3;
  }
  message Histogram {
    repeated HistogramPoint data_points = 1; uint32 aggregation_temporality = 2;
  }
  message ExponentialHistogram {
    repeated ExponentialPoint data_points = 1; uint32 aggregation_temporality = 2;
  }
  message Summary { repeated SummaryPoint data_points = 1; }
  message NumberPoint {
    fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3;
    oneof value { double as_double = 4; sfixed64 as_int = 6; }
    repeated KeyValue attributes = 7; uint32 flags = 8;
  }
  message HistogramPoint {
    fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
    optional double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;
    repeated KeyValue attributes = 9; uint32 flags = 10; optional double min = 11;
    optional double max = 12;
  }
  message ExponentialPoint {
    repeated KeyValue attributes = 1; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3;
    fixed64 count = 4; optional double sum = 5; sint32 scale = 6; fixed64 zero_count = 7;
    Buckets positive = 8; Buckets negative = 9; uint32 flags = 10; optional double min = 12;
    optional double max = 13; double zero_threshold = 14;
  }
  message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }
  message SummaryPoint {
    fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4; double sum = 5;
    repeated Quantile quantile_values = 6; repeated KeyValue attributes = 7; uint32 flags = 8;
  }
  message Quantile { double quantile = 1; double value = 2; }

  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue {
    oneof value {
      string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4;
      ArrayValue array_value = 5; KeyValueList kvlist_value = 6; bytes bytes_value = 7;
    }
  }
  message ArrayValue { repeated AnyValue values = 1; }
  message KeyValueList { repeated KeyValue values = 1; }
`;

export const CORPUS_SIGNALS = ["traces", "logs", "metrics"] as const;
export type CorpusSignal = (typeof CORPUS_SIGNALS)[number];

/** A plain OTLP/JSON object: ids in hex, bytes in base64, 64-bit integers as decimal strings. */
export type OtlpJson = Record<string, unknown>;

interface SignalShape {
  readonly message: string;
  readonly resources: string;
  readonly scopes: string;
  readonly records: string;
}

const SHAPES: Readonly<Record<CorpusSignal, SignalShape>> = {
  traces: {
    message: "TracesData",
    resources: "resourceSpans",
    scopes: "scopeSpans",
    records: "spans",
  },
  logs: {
    message: "LogsData",
    resources: "resourceLogs",
    scopes: "scopeLogs",
    records: "logRecords",
  },
  metrics: {
    message: "MetricsData",
    resources: "resourceMetrics",
    scopes: "scopeMetrics",
    records: "metrics",
  },
};

const root = protobuf.parse(SCHEMA).root;
const HEX_FIELDS = new Set(["traceId", "spanId", "parentSpanId"]);

function mapLeaves(
  node: unknown,
  mapLeaf: (leaf: unknown, name: string) => unknown,
  name = "",
  depth = 0,
): unknown {
  if (depth > MAX_DEPTH) throw new RangeError(`a body is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(node)) {
    return node.map((item: unknown) => mapLeaves(item, mapLeaf, name, depth + 1));
  }
  if (typeof node !== "object" || node === null || node instanceof Uint8Array) {
    return mapLeaf(node, name);
  }
  return Object.fromEntries(
    Object.entries(node)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, mapLeaves(item, mapLeaf, key, depth + 1)]),
  );
}

/** A body of either encoding as OTLP/JSON. Throws what JSON.parse or protobufjs throws. */
export function parseBody(signal: CorpusSignal, bytes: Uint8Array): OtlpJson {
  if (bytes[0] === 0x7b) {
    // A 64-bit integer that was sent as a bare number keeps its digits.
    return JSON.parse(
      Buffer.from(bytes).toString("utf8"),
      (_key, value: unknown, context?: { source?: string }) =>
        typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
          ? context?.source
          : value,
    ) as OtlpJson;
  }
  const type = root.lookupType(SHAPES[signal].message);
  const plain = type.toObject(type.decode(bytes), { longs: String });
  return mapLeaves(plain, (leaf, name) =>
    leaf instanceof Uint8Array
      ? Buffer.from(leaf).toString(HEX_FIELDS.has(name) ? "hex" : "base64")
      : leaf,
  ) as OtlpJson;
}

/** The bytes of an OTLP/JSON body. */
export function encodeJson(body: OtlpJson): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(body));
}

/** The bytes of the same body as protobuf. */
export function encodeProtobuf(signal: CorpusSignal, body: OtlpJson): Uint8Array {
  const type = root.lookupType(SHAPES[signal].message);
  const plain = mapLeaves(body, (leaf, name) =>
    typeof leaf === "string" && (HEX_FIELDS.has(name) || name === "bytesValue")
      ? new Uint8Array(Buffer.from(leaf, HEX_FIELDS.has(name) ? "hex" : "base64"))
      : leaf,
  ) as Record<string, unknown>;
  return new Uint8Array(type.encode(type.fromObject(plain)).finish());
}

function listOf(node: OtlpJson, key: string): OtlpJson[] {
  const value = node[key];
  return Array.isArray(value) ? (value as OtlpJson[]) : [];
}

/** One body for each span, log record or metric, with its resource and scope. */
export function splitRecords(signal: CorpusSignal, body: OtlpJson): OtlpJson[] {
  const { resources, scopes, records } = SHAPES[signal];
  return listOf(body, resources).flatMap((resource) =>
    listOf(resource, scopes).flatMap((scope) =>
      listOf(scope, records).map((record) => ({
        [resources]: [{ ...resource, [scopes]: [{ ...scope, [records]: [record] }] }],
      })),
    ),
  );
}

/** What bodies say, whatever it means. */
export interface Evidence {
  /** Every value as text, also of JSON inside strings. */
  readonly values: ReadonlySet<string>;
  /** Those that are not inside JSON text. */
  readonly plain: ReadonlySet<string>;
  /** `key=value` of every attribute and of the fields of JSON inside strings. */
  readonly pairs: ReadonlySet<string>;
}

/** Reads every key and value of the bodies, and one level after another of JSON in their strings. */
export function collectEvidence(bodies: readonly OtlpJson[]): Evidence {
  const values = new Set<string>();
  const plain = new Set<string>();
  const pairs = new Set<string>();
  const note = (key: string, value: unknown, depth: number, isInside = false): void => {
    if (depth > MAX_DEPTH || value === null || value === undefined) return;
    if (Array.isArray(value)) return value.forEach((item) => note(key, item, depth + 1, isInside));
    if (typeof value === "object") {
      for (const [name, item] of Object.entries(value)) {
        const isWrapper = /^(string|int|double|bool|array|kvlist|bytes)Value$|^values?$/.test(name);
        note(isWrapper ? key : name, item, depth + 1, isInside);
      }
      const { key: own, value: inner } = value as { key?: unknown; value?: unknown };
      if (typeof own === "string" && inner !== undefined) note(own, inner, depth + 1, isInside);
      return;
    }
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
      return;
    const text = String(value);
    values.add(text);
    if (!isInside) plain.add(text);
    pairs.add(`${key}=${text}`);
    if (typeof value === "string" && /^\s*[[{"]/.test(value)) {
      try {
        note(key, JSON.parse(value), depth + 1, true);
      } catch {
        // Text that only begins like JSON.
      }
    }
  };
  for (const body of bodies) note("", body, 0);
  return { values, plain, pairs };
}
