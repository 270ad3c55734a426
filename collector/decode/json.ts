/**
 * Decodes an OTLP/JSON ExportTraceServiceRequest.
 *
 * A broken span is refused alone. Invariant: a span of the result has ids that `findSpanProblem` finds
 * no fault with.
 */
import type { DecodedSpan, DecodedTraces, SpanEvent, SpanLink } from "../../schemas/span.ts";
import { decodeJsonRequest } from "./json-envelopes.ts";
import type { JsonDecoding, JsonObject } from "./json-fields.ts";
import {
  readEnum,
  readField,
  readId,
  readList,
  readNamedField,
  readObject,
  readString,
  readUint64,
} from "./json-fields.ts";
import { decodeAttributes } from "./json-values.ts";
import { MAX_EVENTS_PER_SPAN, MAX_LINKS_PER_SPAN } from "./limits.ts";
import { addWarning, WARNINGS } from "./notes.ts";
import { toTraces } from "./results.ts";
import { findSpanProblem, SPAN_ID_BYTES, TRACE_ID_BYTES } from "./span-id.ts";

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
  return toTraces(decodeJsonRequest("traces", body, decodeValidSpan));
}

function decodeValidSpan(decoding: JsonDecoding, raw: JsonObject): DecodedSpan {
  const span = decodeSpan(decoding, raw);
  decoding.problem ??= findSpanProblem(span);
  return span;
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
    start_ns: readUint64(decoding, start, "startTimeUnixNano"),
    end_ns: readUint64(decoding, end, "endTimeUnixNano"),
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
      addWarning(decoding.notes, WARNINGS.event_count);
      break;
    }
    const event = readObject(decoding, item, "events[]");
    const time = readNamedField(decoding, event, "timeUnixNano", "time_unix_nano");
    events.push({
      time_ns: readUint64(decoding, time, "timeUnixNano"),
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
      addWarning(decoding.notes, WARNINGS.link_count);
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
      addWarning(decoding.notes, WARNINGS.link_id);
    }
  }
  return links;
}
