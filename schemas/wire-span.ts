/**
 * A span of a protobuf body as places in its bytes: what the hot path has instead of an object. One
 * record, refilled for each span.
 *
 * Invariant: every place lies inside `bytes`, and every value was checked to be what its type says.
 */

/** Types of attribute values that the hot path reads in place; the order is that of the numbers. */
export const WIRE_TYPES = [
  /** No value, or the empty AnyValue. */
  "none",
  "empty_text",
  "text",
  "flag",
  /** A whole number from 0 to 2^53 - 1. */
  "whole",
  "double",
  /** An ArrayValue; the place is that of the whole AnyValue, unread. */
  "list",
  "bytes",
] as const;

export const WIRE_NONE = 0;
export const WIRE_EMPTY_TEXT = 1;
export const WIRE_TEXT = 2;
export const WIRE_FLAG = 3;
export const WIRE_WHOLE = 4;
export const WIRE_DOUBLE = 5;
export const WIRE_LIST = 6;
export const WIRE_BYTES = 7;

/** Attributes of one span and of its events together; a span with more takes the other path. */
export const MAX_WIRE_ATTRIBUTES = 256;

/** Events of one span; a span with more takes the other path. */
export const MAX_WIRE_EVENTS = 16;

/** The place of a text or id that is not there. */
export const NOWHERE = -1;

const NO_BYTES = Buffer.alloc(0);

/** A span in place. All places are offsets into `bytes`; sizes are bytes. */
export class WireSpan {
  bytes: Buffer = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer, 0, 0);
  /** The span message. */
  start = 0;
  end = 0;
  trace_id_at = NOWHERE;
  span_id_at = NOWHERE;
  /** NOWHERE for a root. */
  parent_span_id_at = NOWHERE;
  name_at = 0;
  name_size = 0;
  kind = 0;
  status_code = 0;
  status_message_at = 0;
  status_message_size = 0;
  /** Places of the fixed64 times; NOWHERE stands for 0. */
  start_time_at = NOWHERE;
  end_time_at = NOWHERE;
  /** Number of the sequence of keys and types (`Shapes` in collector/decode). */
  shape = 0;
  attribute_count = 0;
  /** Values by position: those of the span, then those of its events. */
  readonly value_at = new Int32Array(MAX_WIRE_ATTRIBUTES);
  readonly value_size = new Int32Array(MAX_WIRE_ATTRIBUTES);
  /** Flags, whole numbers and doubles by position. */
  readonly numbers = new Float64Array(MAX_WIRE_ATTRIBUTES);
  event_count = 0;
  /** Of each event: time (NOWHERE stands for 0), name, shape, and the position after its last value. */
  readonly event_time_at = new Int32Array(MAX_WIRE_EVENTS);
  readonly event_name_at = new Int32Array(MAX_WIRE_EVENTS);
  readonly event_name_size = new Int32Array(MAX_WIRE_EVENTS);
  readonly event_shape = new Int32Array(MAX_WIRE_EVENTS);
  readonly event_stop = new Int32Array(MAX_WIRE_EVENTS);

  /** Begins a span of the body. */
  reset(start: number, end: number): void {
    this.start = start;
    this.end = end;
    this.trace_id_at = NOWHERE;
    this.span_id_at = NOWHERE;
    this.parent_span_id_at = NOWHERE;
    this.name_at = 0;
    this.name_size = 0;
    this.kind = 0;
    this.status_code = 0;
    this.status_message_at = 0;
    this.status_message_size = 0;
    this.start_time_at = NOWHERE;
    this.end_time_at = NOWHERE;
    this.attribute_count = 0;
    this.event_count = 0;
  }
}

/** What a sequence of attribute keys and value types holds, by position. */
export interface Shape {
  /** Numbers of the keys (`KeyTable`). */
  readonly key_ids: Int32Array;
  readonly keys: readonly string[];
  /** WIRE_NONE to WIRE_BYTES. */
  readonly types: Uint8Array;
  /** Whether a key stands in it twice. */
  readonly repeats: boolean;
}
