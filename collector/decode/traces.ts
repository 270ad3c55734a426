/**
 * Decodes an OTLP protobuf ExportTraceServiceRequest.
 *
 * A body that is not protobuf is refused as a whole; a span that is protobuf but no valid span is
 * refused alone. Invariant: a span of the result has ids that `findSpanProblem` finds no fault with.
 */
import type { DecodedSpan, DecodedTraces, SpanEvent, SpanLink } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type { Decoding } from "./envelopes.ts";
import { decodeRequest } from "./envelopes.ts";
import { MAX_EVENTS_PER_SPAN, MAX_LINKS_PER_SPAN } from "./limits.ts";
import { EVENT, LINK, SPAN, STATUS } from "./messages.ts";
import { addRejection, addWarning, WARNINGS } from "./notes.ts";
import { toTraces } from "./results.ts";
import { findSpanProblem, NO_ID, readId, SPAN_ID_BYTES, TRACE_ID_BYTES } from "./span-id.ts";
import { countValue, decodeAttribute } from "./values.ts";
import type { WireReader } from "./wire.ts";
import { readEnd, readField, readFixed64, readInt32, readText, skipValue } from "./wire.ts";

/**
 * Decodes the body of an OTLP trace export. An empty body is a valid, empty request. The result
 * holds nothing of the body. Throws PermanentError `invalid_protobuf` when the body cannot be
 * decoded, `wrong_signal` when it is an export of logs or metrics, and `too_many_objects` when it
 * exceeds a limit; nothing else.
 */
export function decodeTraces(body: Uint8Array): DecodedTraces {
  return toTraces(decodeRequest("traces", body, decodeValidSpan));
}

/** Decodes the span up to `end`; undefined, with the reason in the notes, when it is none. */
export function decodeValidSpan(decoding: Decoding, end: number): DecodedSpan | undefined {
  const span = decodeSpan(decoding, end);
  const problem = findSpanProblem(span);
  if (problem === undefined) return span;
  addRejection(decoding.notes, problem);
  return undefined;
}

function decodeSpan(decoding: Decoding, end: number): DecodedSpan {
  const { reader } = decoding;
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
    addWarning(decoding.notes, WARNINGS.event_count);
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
    addWarning(decoding.notes, WARNINGS.link_count);
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
    addWarning(decoding.notes, WARNINGS.link_id);
  }
}
