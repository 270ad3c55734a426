/**
 * Decodes an OTLP protobuf ExportTraceServiceRequest.
 *
 * A body that is not protobuf is refused as a whole; a span that is protobuf but no valid span is
 * refused alone. Fields may come in any order, repeated messages merge, and of a repeated scalar
 * the last one counts. Invariant: every byte of the body is either decoded or checked and skipped,
 * except inside what a limit drops.
 *
 * Field numbers: opentelemetry-proto 1.x, trace.proto, resource.proto, common.proto.
 */
import type {
  DecodedSpan,
  DecodedTraces,
  Scope,
  ScopeSpans,
  SpanEvent,
  SpanLink,
} from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import {
  MAX_ENVELOPES_PER_REQUEST,
  MAX_EVENTS_PER_SPAN,
  MAX_LINKS_PER_SPAN,
  tooManyObjects,
} from "./limits.ts";
import { addRejection, addWarning, createDecodedTraces, WARNINGS } from "./notes.ts";
import { findSpanProblem, NO_ID, SPAN_ID_BYTES, TRACE_ID_BYTES, WRONG_SIZE_ID } from "./span-id.ts";
import type { ValueDecoding } from "./values.ts";
import { countValue, decodeAttribute } from "./values.ts";
import type { WireReader } from "./wire.ts";
import {
  createReader,
  DELIMITED,
  FIXED32,
  FIXED64,
  NO_FIELD,
  readBytes,
  readEnd,
  readField,
  readFixed64,
  readInt32,
  readText,
  skipValue,
  VARINT,
} from "./wire.ts";

// The wire type of every field of each message, by field number. Fields that are not decoded are
// listed too, because a known field with a wrong wire type means that this is not OTLP.
const REQUEST = [NO_FIELD, DELIMITED];
const RESOURCE_SPANS = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED];
const RESOURCE = [NO_FIELD, DELIMITED, VARINT, DELIMITED];
const SCOPE_SPANS = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED];
const SCOPE = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED, VARINT];
// prettier-ignore
const SPAN = [
  NO_FIELD, DELIMITED, DELIMITED, DELIMITED, DELIMITED, DELIMITED, VARINT, FIXED64, FIXED64,
  DELIMITED, VARINT, DELIMITED, VARINT, DELIMITED, VARINT, DELIMITED, FIXED32,
];
const STATUS = [NO_FIELD, NO_FIELD, DELIMITED, VARINT];
const EVENT = [NO_FIELD, FIXED64, DELIMITED, DELIMITED, VARINT];
const LINK = [NO_FIELD, DELIMITED, DELIMITED, DELIMITED, DELIMITED, VARINT, FIXED32];

interface Decoding extends ValueDecoding {
  envelope_count: number;
}

/**
 * Decodes the body of an OTLP trace export. An empty body is a valid, empty request. The result
 * holds nothing of the body. Throws PermanentError `invalid_protobuf` when the body cannot be
 * decoded and `too_many_objects` when it exceeds a limit; nothing else.
 */
export function decodeTraces(body: Uint8Array): DecodedTraces {
  const reader = createReader(body);
  const decoding = { reader, traces: createDecodedTraces(), envelope_count: 0, value_count: 0 };
  while (reader.pos < body.length) {
    const field = readField(reader, body.length, REQUEST);
    if (field === 1) decodeResourceSpans(decoding, readEnd(reader, body.length));
    else skipValue(reader, field, body.length);
  }
  if (reader.has_invalid_text) addWarning(decoding.traces, WARNINGS.invalid_text);
  return decoding.traces;
}

/** Nothing is made for an empty envelope here and below: a million of them fit in 2 MB. */
function decodeResourceSpans(decoding: Decoding, end: number): void {
  const { reader, traces } = decoding;
  countEnvelope(decoding);
  // One object for all scopes, so that a resource that comes after them still reaches them.
  let resource: Attributes | undefined;
  while (reader.pos < end) {
    const field = readField(reader, end, RESOURCE_SPANS);
    if (field === 1) {
      resource ??= new Attributes();
      decodeResource(decoding, readEnd(reader, end), resource);
    } else if (field === 2) {
      const scoped = decodeScopeSpans(decoding, readEnd(reader, end));
      if (scoped === undefined) continue;
      resource ??= new Attributes();
      traces.scope_spans.push({ resource, ...scoped });
      traces.span_count += scoped.spans.length;
    } else {
      skipValue(reader, field, end);
    }
  }
}

function decodeResource(decoding: Decoding, end: number, into: Attributes): void {
  const { reader } = decoding;
  while (reader.pos < end) {
    const field = readField(reader, end, RESOURCE);
    if (field === 1) decodeAttribute(decoding, readEnd(reader, end), 1, into);
    else skipValue(reader, field, end);
  }
}

/** Undefined when no span of the scope is left. */
function decodeScopeSpans(
  decoding: Decoding,
  end: number,
): Pick<ScopeSpans, "scope" | "spans"> | undefined {
  const { reader } = decoding;
  countEnvelope(decoding);
  let scope: Scope | undefined;
  let spans: DecodedSpan[] | undefined;
  while (reader.pos < end) {
    const field = readField(reader, end, SCOPE_SPANS);
    if (field === 1) {
      scope ??= { name: "", version: "" };
      decodeScope(reader, readEnd(reader, end), scope);
    } else if (field === 2) {
      const span = decodeSpan(decoding, readEnd(reader, end));
      const problem = findSpanProblem(span);
      if (problem !== undefined) addRejection(decoding.traces, problem);
      else if (spans === undefined) spans = [span];
      else spans.push(span);
    } else {
      skipValue(reader, field, end);
    }
  }
  return spans === undefined ? undefined : { scope: scope ?? { name: "", version: "" }, spans };
}

function decodeScope(reader: WireReader, end: number, into: Scope): void {
  while (reader.pos < end) {
    const field = readField(reader, end, SCOPE);
    if (field === 1) into.name = readText(reader, readEnd(reader, end));
    else if (field === 2) into.version = readText(reader, readEnd(reader, end));
    else skipValue(reader, field, end);
  }
}

function decodeSpan(decoding: Decoding, end: number): DecodedSpan {
  const { reader } = decoding;
  countEnvelope(decoding);
  const span: DecodedSpan = {
    trace_id: NO_ID,
    span_id: NO_ID,
    parent_span_id: NO_ID,
    name: "",
    kind: 0,
    start_ns: 0n,
    end_ns: 0n,
    attributes: new Attributes(),
    events: [],
    links: [],
    status_code: 0,
    status_message: "",
  };
  while (reader.pos < end) {
    const field = readField(reader, end, SPAN);
    switch (field) {
      case 1:
        span.trace_id = readId(reader, readEnd(reader, end), TRACE_ID_BYTES);
        break;
      case 2:
        span.span_id = readId(reader, readEnd(reader, end), SPAN_ID_BYTES);
        break;
      case 4:
        span.parent_span_id = readId(reader, readEnd(reader, end), SPAN_ID_BYTES);
        break;
      case 5:
        span.name = readText(reader, readEnd(reader, end));
        break;
      case 6:
        span.kind = readInt32(reader, end);
        break;
      case 7:
        span.start_ns = readFixed64(reader, end);
        break;
      case 8:
        span.end_ns = readFixed64(reader, end);
        break;
      case 9:
        decodeAttribute(decoding, readEnd(reader, end), 1, span.attributes);
        break;
      case 11:
        decodeEvent(decoding, readEnd(reader, end), span.events);
        break;
      case 13:
        decodeLink(decoding, readEnd(reader, end), span.links);
        break;
      case 15:
        decodeStatus(reader, readEnd(reader, end), span);
        break;
      default:
        skipValue(reader, field, end);
    }
  }
  return span;
}

function decodeStatus(reader: WireReader, end: number, into: DecodedSpan): void {
  while (reader.pos < end) {
    const field = readField(reader, end, STATUS);
    if (field === 2) into.status_message = readText(reader, readEnd(reader, end));
    else if (field === 3) into.status_code = readInt32(reader, end);
    else skipValue(reader, field, end);
  }
}

function decodeEvent(decoding: Decoding, end: number, into: SpanEvent[]): void {
  const { reader } = decoding;
  if (into.length >= MAX_EVENTS_PER_SPAN) {
    addWarning(decoding.traces, WARNINGS.event_count);
    reader.pos = end;
    return;
  }
  countValue(decoding);
  const event: SpanEvent = { time_ns: 0n, name: "", attributes: new Attributes() };
  while (reader.pos < end) {
    const field = readField(reader, end, EVENT);
    if (field === 1) event.time_ns = readFixed64(reader, end);
    else if (field === 2) event.name = readText(reader, readEnd(reader, end));
    else if (field === 3) decodeAttribute(decoding, readEnd(reader, end), 1, event.attributes);
    else skipValue(reader, field, end);
  }
  into.push(event);
}

function decodeLink(decoding: Decoding, end: number, into: SpanLink[]): void {
  const { reader } = decoding;
  if (into.length >= MAX_LINKS_PER_SPAN) {
    addWarning(decoding.traces, WARNINGS.link_count);
    reader.pos = end;
    return;
  }
  countValue(decoding);
  const link: SpanLink = { trace_id: NO_ID, span_id: NO_ID, attributes: new Attributes() };
  while (reader.pos < end) {
    const field = readField(reader, end, LINK);
    if (field === 1) link.trace_id = readId(reader, readEnd(reader, end), TRACE_ID_BYTES);
    else if (field === 2) link.span_id = readId(reader, readEnd(reader, end), SPAN_ID_BYTES);
    else if (field === 4) decodeAttribute(decoding, readEnd(reader, end), 1, link.attributes);
    else skipValue(reader, field, end);
  }
  // All-zero ids stay: SDKs may record a link to an invalid context for its attributes.
  if (link.trace_id.length === TRACE_ID_BYTES && link.span_id.length === SPAN_ID_BYTES) {
    into.push(link);
  } else {
    addWarning(decoding.traces, WARNINGS.link_id);
  }
}

/** Reads an id; one of another size is not copied, only known to be wrong. */
function readId(reader: WireReader, stop: number, byteCount: number): Uint8Array {
  const size = stop - reader.pos;
  if (size === byteCount) return readBytes(reader, stop);
  reader.pos = stop;
  return size === 0 ? NO_ID : WRONG_SIZE_ID;
}

function countEnvelope(decoding: Decoding): void {
  decoding.envelope_count += 1;
  if (decoding.envelope_count > MAX_ENVELOPES_PER_REQUEST) {
    throw tooManyObjects("resources, scopes and spans", MAX_ENVELOPES_PER_REQUEST);
  }
}
