/**
 * Judges the ids of spans and of log records, by the same rules for both encodings (OTLP D07).
 *
 * Invariant: a span without a problem has a 16-byte trace id and an 8-byte span id that are not
 * all zero, and a parent that is empty or 8 bytes that are not all zero.
 */
import type { DecodedSpan } from "../../schemas/span.ts";
import type { Notes } from "./notes.ts";
import { addWarning, REJECTIONS, WARNINGS } from "./notes.ts";
import type { WireReader } from "./wire.ts";
import { readBytes } from "./wire.ts";

/** Bytes of a trace id. */
export const TRACE_ID_BYTES = 16;
/** Bytes of a span id. */
export const SPAN_ID_BYTES = 8;
/** An id that was not sent, or is empty. */
export const NO_ID: Uint8Array = new Uint8Array(0);
/** Stands for an id of any size that no id may have, so that a huge one is not copied. */
export const WRONG_SIZE_ID: Uint8Array = new Uint8Array(1);
/** Stands for a JSON id that is not made of hex digits. */
export const NOT_HEX_ID: Uint8Array = new Uint8Array(1);

/** Reads a protobuf id; one of another size is not copied, only known to be wrong. */
export function readId(reader: WireReader, stop: number, byteCount: number): Uint8Array {
  const size = stop - reader.pos;
  if (size === byteCount) return readBytes(reader, stop);
  reader.pos = stop;
  return size === 0 ? NO_ID : WRONG_SIZE_ID;
}

/** Says what is wrong with the ids, or undefined. Makes an all-zero parent the empty one. */
export function findSpanProblem(span: DecodedSpan): string | undefined {
  const { trace_id, span_id, parent_span_id } = span;
  if (trace_id === NOT_HEX_ID || span_id === NOT_HEX_ID || parent_span_id === NOT_HEX_ID) {
    return REJECTIONS.id_encoding;
  }
  if (trace_id.length !== TRACE_ID_BYTES) return REJECTIONS.trace_id_size;
  if (span_id.length !== SPAN_ID_BYTES) return REJECTIONS.span_id_size;
  if (isAllZero(trace_id)) return REJECTIONS.trace_id_zero;
  if (isAllZero(span_id)) return REJECTIONS.span_id_zero;
  const parentSize = parent_span_id.length;
  if (parentSize !== 0 && parentSize !== SPAN_ID_BYTES) return REJECTIONS.parent_span_id_size;
  if (isAllZero(parent_span_id)) span.parent_span_id = NO_ID;
  return undefined;
}

/**
 * The id of a log record, which need not have one: an all-zero id is none, and so is one of a wrong
 * size or encoding, which gives a warning.
 */
export function keepLogId(notes: Notes, id: Uint8Array, byteCount: number): Uint8Array {
  if (id.length === byteCount) return isAllZero(id) ? NO_ID : id;
  if (id.length > 0) addWarning(notes, WARNINGS.log_id);
  return NO_ID;
}

function isAllZero(id: Uint8Array): boolean {
  for (let index = 0; index < id.length; index += 1) {
    if (id[index] !== 0) return false;
  }
  return true;
}
