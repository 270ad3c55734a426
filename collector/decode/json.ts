/**
 * Decodes an OTLP/JSON ExportTraceServiceRequest: the proto3 JSON mapping with hex ids and integer
 * enums, read leniently where leniency loses nothing, and with a warning where the sender is wrong.
 *
 * A broken envelope refuses the body, a broken span refuses that span, a broken attribute is
 * dropped. Invariant: names from the body are only compared with known ones, never used to build
 * an object; a key such as `__proto__` is a string like any other.
 */
import { PermanentError } from "../../schemas/errors.ts";
import type {
  Attributes,
  DecodedSpan,
  DecodedTraces,
  Scope,
  SpanEvent,
  SpanLink,
} from "../../schemas/span.ts";
import type { JsonDecoding, JsonObject } from "./json-fields.ts";
import {
  isObject,
  readEnum,
  readField,
  readId,
  readList,
  readNamedField,
  readString,
  readTime,
} from "./json-fields.ts";
import { invalidJson, parseJson } from "./json-text.ts";
import { decodeAttributes } from "./json-values.ts";
import {
  MAX_ENVELOPES_PER_REQUEST,
  MAX_EVENTS_PER_SPAN,
  MAX_LINKS_PER_SPAN,
  tooManyObjects,
} from "./limits.ts";
import { addRejection, addWarning, createDecodedTraces, WARNINGS } from "./notes.ts";
import { findSpanProblem, SPAN_ID_BYTES, TRACE_ID_BYTES } from "./span-id.ts";

const OTHER_SIGNALS = [
  "resourceLogs",
  "resource_logs",
  "resourceMetrics",
  "resource_metrics",
  "resourceProfiles",
  "resource_profiles",
];

// The names of the enums, by number (trace.proto).
const SPAN_KIND_NAMES = [
  "SPAN_KIND_UNSPECIFIED",
  "SPAN_KIND_INTERNAL",
  "SPAN_KIND_SERVER",
  "SPAN_KIND_CLIENT",
  "SPAN_KIND_PRODUCER",
  "SPAN_KIND_CONSUMER",
];
const STATUS_CODE_NAMES = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/**
 * Decodes the body of an OTLP/JSON trace export, at most 512 MB. Throws PermanentError
 * `invalid_json`, `wrong_signal` for a body of logs, metrics or profiles, and `too_many_objects`;
 * nothing else.
 */
export function decodeTracesJson(body: Uint8Array): DecodedTraces {
  const traces = createDecodedTraces();
  const decoding: JsonDecoding = { traces, envelope_count: 0, problem: undefined };
  const { root, has_invalid_text } = parseJson(body);
  if (has_invalid_text) addWarning(traces, WARNINGS.invalid_text);
  if (!isObject(root)) throw invalidJson("the body must be a JSON object");
  checkSignal(decoding, root);
  const list = readNamedField(decoding, root, "resourceSpans", "resource_spans");
  for (const item of readEnvelopes(decoding, list, "resourceSpans")) {
    decodeResourceSpans(decoding, item);
  }
  return traces;
}

/** An empty object is an empty request; one without spans is most likely meant to be another. */
function checkSignal(decoding: JsonDecoding, root: JsonObject): void {
  if (Object.hasOwn(root, "resourceSpans") || Object.hasOwn(root, "resource_spans")) return;
  const other = OTHER_SIGNALS.find((name) => Object.hasOwn(root, name));
  if (other !== undefined) {
    throw new PermanentError(
      "wrong_signal",
      `the body holds ${other} where resourceSpans is expected; send it to the path of its signal`,
    );
  }
  if (Object.keys(root).length > 0) addWarning(decoding.traces, WARNINGS.no_resource_spans);
}

function decodeResourceSpans(decoding: JsonDecoding, raw: JsonObject): void {
  const { traces } = decoding;
  const scopes = readNamedField(decoding, raw, "scopeSpans", "scope_spans");
  let resource: Attributes | undefined;
  for (const item of readEnvelopes(decoding, scopes, "scopeSpans")) {
    const spans = decodeSpans(decoding, readField(item, "spans"));
    if (spans.length === 0) continue;
    resource ??= decodeResource(decoding, readField(raw, "resource"));
    const scope = decodeScope(decoding, readField(item, "scope"));
    traces.scope_spans.push({ resource, scope, spans });
    traces.span_count += spans.length;
  }
}

function decodeResource(decoding: JsonDecoding, raw: unknown): Attributes {
  const resource = readEnvelope(raw, "resource");
  return decodeAttributes(decoding, readField(resource, "attributes"), 1);
}

function decodeScope(decoding: JsonDecoding, raw: unknown): Scope {
  const scope = readEnvelope(raw, "scope");
  decoding.problem = undefined;
  const name = readString(decoding, readField(scope, "name"), "scope.name");
  const version = readString(decoding, readField(scope, "version"), "scope.version");
  if (decoding.problem !== undefined) throw invalidJson(decoding.problem);
  return { name, version };
}

function decodeSpans(decoding: JsonDecoding, list: unknown): DecodedSpan[] {
  decoding.problem = undefined;
  const items = readList(decoding, list, "spans");
  if (decoding.problem !== undefined) throw invalidJson(decoding.problem);
  const spans: DecodedSpan[] = [];
  for (const item of items) {
    if (item === null) continue;
    countEnvelope(decoding);
    decoding.problem = isObject(item) ? undefined : "spans must be objects";
    const span = decodeSpan(decoding, isObject(item) ? item : {});
    const problem = decoding.problem ?? findSpanProblem(span);
    if (problem === undefined) spans.push(span);
    else addRejection(decoding.traces, problem);
  }
  return spans;
}

function decodeSpan(decoding: JsonDecoding, raw: JsonObject): DecodedSpan {
  const traceId = readNamedField(decoding, raw, "traceId", "trace_id");
  const spanId = readNamedField(decoding, raw, "spanId", "span_id");
  const parentId = readNamedField(decoding, raw, "parentSpanId", "parent_span_id");
  const start = readNamedField(decoding, raw, "startTimeUnixNano", "start_time_unix_nano");
  const end = readNamedField(decoding, raw, "endTimeUnixNano", "end_time_unix_nano");
  const status = readObject(decoding, readField(raw, "status"), "status");
  return {
    trace_id: readId(traceId, TRACE_ID_BYTES),
    span_id: readId(spanId, SPAN_ID_BYTES),
    parent_span_id: readId(parentId, SPAN_ID_BYTES),
    name: readString(decoding, readField(raw, "name"), "name"),
    kind: readEnum(decoding, readField(raw, "kind"), "kind", SPAN_KIND_NAMES),
    start_ns: readTime(decoding, start, "startTimeUnixNano"),
    end_ns: readTime(decoding, end, "endTimeUnixNano"),
    attributes: decodeAttributes(decoding, readField(raw, "attributes"), 1),
    events: decodeEvents(decoding, readField(raw, "events")),
    links: decodeLinks(decoding, readField(raw, "links")),
    status_code: readEnum(decoding, readField(status, "code"), "status.code", STATUS_CODE_NAMES),
    status_message: readString(decoding, readField(status, "message"), "status.message"),
  };
}

function decodeEvents(decoding: JsonDecoding, list: unknown): SpanEvent[] {
  const events: SpanEvent[] = [];
  for (const item of readList(decoding, list, "events")) {
    if (item === null) continue;
    if (events.length >= MAX_EVENTS_PER_SPAN) {
      addWarning(decoding.traces, WARNINGS.event_count);
      break;
    }
    const event = readObject(decoding, item, "events[]");
    const time = readNamedField(decoding, event, "timeUnixNano", "time_unix_nano");
    events.push({
      time_ns: readTime(decoding, time, "timeUnixNano"),
      name: readString(decoding, readField(event, "name"), "events[].name"),
      attributes: decodeAttributes(decoding, readField(event, "attributes"), 1),
    });
  }
  return events;
}

function decodeLinks(decoding: JsonDecoding, list: unknown): SpanLink[] {
  const links: SpanLink[] = [];
  for (const item of readList(decoding, list, "links")) {
    if (item === null) continue;
    if (links.length >= MAX_LINKS_PER_SPAN) {
      addWarning(decoding.traces, WARNINGS.link_count);
      break;
    }
    const link = readObject(decoding, item, "links[]");
    const traceId = readNamedField(decoding, link, "traceId", "trace_id");
    const spanId = readNamedField(decoding, link, "spanId", "span_id");
    const trace_id = readId(traceId, TRACE_ID_BYTES);
    const span_id = readId(spanId, SPAN_ID_BYTES);
    if (trace_id.length === TRACE_ID_BYTES && span_id.length === SPAN_ID_BYTES) {
      const attributes = decodeAttributes(decoding, readField(link, "attributes"), 1);
      links.push({ trace_id, span_id, attributes });
    } else {
      addWarning(decoding.traces, WARNINGS.link_id);
    }
  }
  return links;
}

/** Reads an object inside a span; absent is empty, another type is a problem of the span. */
function readObject(decoding: JsonDecoding, value: unknown, name: string): JsonObject {
  if (value === undefined) return {};
  if (isObject(value)) return value;
  decoding.problem ??= `${name} must be an object`;
  return {};
}

/** Reads an object around spans; absent is empty, another type refuses the body. */
function readEnvelope(value: unknown, name: string): JsonObject {
  if (value === undefined) return {};
  if (isObject(value)) return value;
  throw invalidJson(`${name} must be an object`);
}

/** Yields the objects of a list around spans, each counted; null is none (J08). */
function* readEnvelopes(
  decoding: JsonDecoding,
  list: unknown,
  name: string,
): Generator<JsonObject, void> {
  if (list === undefined) return;
  if (!Array.isArray(list)) throw invalidJson(`${name} must be an array`);
  for (const item of list as unknown[]) {
    if (item === null) continue;
    countEnvelope(decoding);
    yield readEnvelope(item, `${name}[]`);
  }
}

function countEnvelope(decoding: JsonDecoding): void {
  decoding.envelope_count += 1;
  if (decoding.envelope_count > MAX_ENVELOPES_PER_REQUEST) {
    throw tooManyObjects("resources, scopes and spans", MAX_ENVELOPES_PER_REQUEST);
  }
}
