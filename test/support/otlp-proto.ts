/**
 * OTLP trace messages through protobufjs: the encoder that tests and benches make bodies with, and
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

export interface OtlpScopeSpans {
  scope?: { name?: string; version?: string; attributes?: OtlpKeyValue[] };
  spans?: OtlpSpan[];
  schemaUrl?: string;
}

export interface OtlpResourceSpans {
  resource?: { attributes?: OtlpKeyValue[]; droppedAttributesCount?: number };
  scopeSpans?: OtlpScopeSpans[];
  schemaUrl?: string;
}

/** An ExportTraceServiceRequest as a plain object, with protobufjs's camelCase names. */
export interface OtlpTraceRequest {
  resourceSpans?: OtlpResourceSpans[];
}

const root = protobuf.parse(SCHEMA).root;
const requestType = root.lookupType("ExportTraceServiceRequest");

/** Encodes a request into the protobuf body that an exporter would send. */
export function encodeTraceRequest(request: OtlpTraceRequest): Uint8Array<ArrayBuffer> {
  return encodeMessage("ExportTraceServiceRequest", request);
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
  const plain = requestType.toObject(requestType.decode(body), { longs: String });
  return withBigints(plain) as OtlpTraceRequest;
}

const INTEGER_FIELDS = new Set([
  "intValue",
  "startTimeUnixNano",
  "endTimeUnixNano",
  "timeUnixNano",
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
