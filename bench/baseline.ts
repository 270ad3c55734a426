/**
 * The usual way to write such a collector, to compare ours with: a general protobuf library to
 * objects, objects to rows, rows to JSONEachRow text. The rows have the columns that exporters of
 * spans to ClickHouse write: ids in hex, attributes as maps of text, nothing normalized or priced.
 *
 * Invariant: nothing here comes from `collector/`. It is written to be fast within its means, so
 * that the comparison is with the approach and not with a careless version of it.
 */
import { decodeTraceRequestMessage } from "../test/support/otlp-proto.ts";

/** A 64-bit integer as protobufjs gives it (a Long) or as OTLP/JSON has it (a decimal string). */
interface WireInteger {
  toString(): string;
}

interface WireValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: WireInteger;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values?: readonly WireValue[] };
  readonly kvlistValue?: { readonly values?: readonly WireKeyValue[] };
  readonly bytesValue?: Uint8Array | string;
}

interface WireKeyValue {
  readonly key: string;
  readonly value?: WireValue;
}

/** An id: bytes from protobuf, hex from JSON. */
type WireId = Uint8Array | string;

interface WireSpan {
  readonly traceId: WireId;
  readonly spanId: WireId;
  readonly parentSpanId?: WireId;
  readonly name: string;
  readonly kind?: number;
  readonly startTimeUnixNano: WireInteger;
  readonly endTimeUnixNano: WireInteger;
  readonly attributes?: readonly WireKeyValue[];
  readonly events?: readonly {
    readonly timeUnixNano: WireInteger;
    readonly name: string;
    readonly attributes?: readonly WireKeyValue[];
  }[];
  readonly status?: { readonly code?: number; readonly message?: string } | null;
}

interface WireRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly WireKeyValue[] };
    readonly scopeSpans?: readonly {
      readonly scope?: { readonly name?: string; readonly version?: string };
      readonly spans?: readonly WireSpan[];
    }[];
  }[];
}

type TextMap = Record<string, string>;

/** One row as the JSONEachRow text has it. */
export interface BaselineRow {
  readonly project_id: string;
  /** Unix time, ns. */
  readonly ts: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_span_id: string;
  readonly name: string;
  readonly kind: number;
  readonly status: string;
  readonly status_message: string;
  readonly duration_ns: string;
  readonly service_name: string;
  readonly scope_name: string;
  readonly scope_version: string;
  readonly attributes: TextMap;
  readonly resource_attributes: TextMap;
  readonly event_times: readonly string[];
  readonly event_names: readonly string[];
  readonly event_attributes: readonly TextMap[];
}

/** The structure of the rows for `file(..., 'JSONEachRow', structure)`. */
export const BASELINE_STRUCTURE = `
  project_id LowCardinality(String), ts Int64, trace_id String, span_id String,
  parent_span_id String, name LowCardinality(String), kind UInt8, status LowCardinality(String),
  status_message String, duration_ns UInt64, service_name LowCardinality(String),
  scope_name LowCardinality(String), scope_version LowCardinality(String),
  attributes Map(LowCardinality(String), String),
  resource_attributes Map(LowCardinality(String), String), event_times Array(Int64),
  event_names Array(LowCardinality(String)),
  event_attributes Array(Map(LowCardinality(String), String))`;

/** JSONEachRow text of a protobuf body. */
export function writeProtobufRows(body: Uint8Array): string {
  return writeRows(decodeTraceRequestMessage(body) as unknown as WireRequest);
}

/** JSONEachRow text of an OTLP/JSON body. */
export function writeJsonRows(body: Uint8Array): string {
  return writeRows(JSON.parse(new TextDecoder().decode(body)) as WireRequest);
}

function writeRows(request: WireRequest): string {
  let rows = "";
  for (const { resource, scopeSpans = [] } of request.resourceSpans ?? []) {
    const resource_attributes = toMap(resource?.attributes);
    for (const { scope, spans = [] } of scopeSpans) {
      const shared = {
        resource_attributes,
        service_name: resource_attributes["service.name"] ?? "",
        scope_name: scope?.name ?? "",
        scope_version: scope?.version ?? "",
      };
      for (const span of spans) rows += `${JSON.stringify(toRow(span, shared))}\n`;
    }
  }
  return rows;
}

const STATUSES = ["unset", "ok", "error"];

function toRow(
  span: WireSpan,
  shared: Pick<
    BaselineRow,
    "resource_attributes" | "service_name" | "scope_name" | "scope_version"
  >,
): BaselineRow {
  const start = span.startTimeUnixNano.toString();
  const events = span.events ?? [];
  return {
    project_id: "default",
    ts: start,
    trace_id: toHex(span.traceId),
    span_id: toHex(span.spanId),
    parent_span_id: toHex(span.parentSpanId ?? ""),
    name: span.name,
    kind: span.kind ?? 0,
    status: STATUSES[span.status?.code ?? 0] ?? "unset",
    status_message: span.status?.message ?? "",
    duration_ns: String(BigInt(span.endTimeUnixNano.toString()) - BigInt(start)),
    ...shared,
    attributes: toMap(span.attributes),
    event_times: events.map((event) => event.timeUnixNano.toString()),
    event_names: events.map((event) => event.name),
    event_attributes: events.map((event) => toMap(event.attributes)),
  };
}

function toHex(id: WireId): string {
  if (typeof id === "string") return id;
  // protobufjs gives an empty array, which has no buffer, for an absent id.
  if (id.length === 0) return "";
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex");
}

function toMap(attributes: readonly WireKeyValue[] = []): TextMap {
  const map: TextMap = {};
  for (const { key, value } of attributes) map[key] = value === undefined ? "" : toText(value);
  return map;
}

/** The text of a value. Own properties only: absent ones are on the prototype of a message. */
function toText(value: WireValue): string {
  if (Object.hasOwn(value, "stringValue")) return value.stringValue as string;
  if (Object.hasOwn(value, "intValue")) return (value.intValue as WireInteger).toString();
  if (Object.hasOwn(value, "doubleValue")) return String(value.doubleValue);
  if (Object.hasOwn(value, "boolValue")) return String(value.boolValue);
  return JSON.stringify(toJson(value));
}

function toJson(value: WireValue): unknown {
  if (Object.hasOwn(value, "arrayValue")) return value.arrayValue?.values?.map(toJson) ?? [];
  if (Object.hasOwn(value, "kvlistValue")) {
    const entries = value.kvlistValue?.values ?? [];
    return Object.fromEntries(entries.map((entry) => [entry.key, toJson(entry.value ?? {})]));
  }
  if (Object.hasOwn(value, "bytesValue")) {
    const bytes = value.bytesValue ?? "";
    return typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("base64");
  }
  return Object.keys(value).length === 0 ? null : toText(value);
}
