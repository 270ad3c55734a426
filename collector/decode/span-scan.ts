/**
 * Reads one span of a body in place, in the form in which exporters write it.
 *
 * Invariant: the record of a span that was read holds places of values that were checked to be what
 * their type says; of a span that was not, nothing may be used.
 */
import {
  MAX_WIRE_ATTRIBUTES,
  MAX_WIRE_EVENTS,
  NOWHERE,
  WIRE_BYTES,
  WIRE_DOUBLE,
  WIRE_EMPTY_TEXT,
  WIRE_FLAG,
  WIRE_LIST,
  WIRE_NONE,
  WIRE_TEXT,
  WIRE_WHOLE,
  type WireSpan,
} from "../../schemas/wire-span.ts";
import { ODD, WireCursor } from "./cursor.ts";
import type { Decoding } from "./envelopes.ts";
import { MAX_VALUES_PER_REQUEST } from "./limits.ts";
import { EMPTY_SHAPE, MAX_SHAPE_KEY_BYTES, NO_SHAPE, type Shapes } from "./shapes.ts";

/** Tags of the fields that are read, as the one byte they are: number << 3 | wire type. */
const DELIMITED_1 = 0x0a;
const DELIMITED_2 = 0x12;
const DELIMITED_3 = 0x1a;
const DELIMITED_4 = 0x22;
const DELIMITED_5 = 0x2a;
const DELIMITED_7 = 0x3a;
const DELIMITED_9 = 0x4a;
const DELIMITED_11 = 0x5a;
const DELIMITED_15 = 0x7a;
const VARINT_2 = 0x10;
const VARINT_3 = 0x18;
const VARINT_4 = 0x20;
const VARINT_6 = 0x30;
const VARINT_10 = 0x50;
const VARINT_12 = 0x60;
const VARINT_14 = 0x70;
const FIXED64_1 = 0x09;
const FIXED64_4 = 0x21;
const FIXED64_7 = 0x39;
const FIXED64_8 = 0x41;
/** Field 16, flags: a tag of two bytes. */
const FIXED32_16_FIRST = 0x85;
const FIXED32_16_SECOND = 0x01;

/** Reads spans into `span`. */
export class SpanScanner extends WireCursor {
  readonly shapes: Shapes;
  readonly span: WireSpan;
  /** The state of the decoder that reads what is odd; both count in it. */
  readonly decoding: Decoding;
  /** Values of the body before the span at hand. */
  values_before = 0;

  constructor(decoding: Decoding, shapes: Shapes, span: WireSpan) {
    super(decoding.reader.bytes, decoding.reader.view);
    this.decoding = decoding;
    this.shapes = shapes;
    this.span = span;
  }

  /** Reads a span in place; false when it is written unusually. Leaves the walk after it. */
  scanSpan(start: number, end: number): boolean {
    this.pos = start;
    this.values_before = this.decoding.value_count;
    const is_usual = this.#scanSpanFields(end) && this.#hasIds();
    this.pos = end;
    return is_usual;
  }

  #hasIds(): boolean {
    const { trace_id_at, span_id_at, parent_span_id_at } = this.span;
    if (trace_id_at === NOWHERE || span_id_at === NOWHERE) return false;
    const view = this.view;
    if (isZero(view, trace_id_at) && isZero(view, trace_id_at + 8)) return false;
    if (isZero(view, span_id_at)) return false;
    if (parent_span_id_at !== NOWHERE && isZero(view, parent_span_id_at)) {
      this.span.parent_span_id_at = NOWHERE;
    }
    return true;
  }

  #scanSpanFields(end: number): boolean {
    const { span } = this;
    const bytes = this.bytes;
    let shape = EMPTY_SHAPE;
    while (this.pos < end) {
      const tag = bytes[this.pos++];
      if (tag === DELIMITED_9) {
        // Nine of ten fields are attributes.
        if (span.event_count > 0) return false;
        shape = this.#scanAttribute(shape, span.attribute_count, end);
        if (shape === NO_SHAPE) return false;
        span.attribute_count += 1;
        continue;
      }
      switch (tag) {
        case DELIMITED_1:
          if (end - this.pos < 17 || bytes[this.pos] !== 16) return false;
          span.trace_id_at = this.pos + 1;
          this.pos += 17;
          break;
        case DELIMITED_2:
          if (end - this.pos < 9 || bytes[this.pos] !== 8) return false;
          span.span_id_at = this.pos + 1;
          this.pos += 9;
          break;
        case DELIMITED_4:
          if (this.pos < end && bytes[this.pos] === 0) {
            span.parent_span_id_at = NOWHERE;
            this.pos += 1;
            break;
          }
          if (end - this.pos < 9 || bytes[this.pos] !== 8) return false;
          span.parent_span_id_at = this.pos + 1;
          this.pos += 9;
          break;
        case DELIMITED_5: {
          const size = this.readSize(end);
          if (size === ODD) return false;
          span.name_at = this.pos;
          span.name_size = size;
          this.pos += size;
          break;
        }
        case VARINT_6: {
          const kind = this.pos < end ? (bytes[this.pos++] as number) : 0x80;
          if (kind >= 0x80) return false;
          span.kind = kind;
          break;
        }
        case FIXED64_7:
          if (end - this.pos < 8) return false;
          span.start_time_at = this.pos;
          this.pos += 8;
          break;
        case FIXED64_8:
          if (end - this.pos < 8) return false;
          span.end_time_at = this.pos;
          this.pos += 8;
          break;
        default:
          if (!this.#scanOtherField(tag, end)) return false;
      }
    }
    span.shape = shape;
    return true;
  }

  /** Fields that few spans have, and those that nobody reads. */
  #scanOtherField(tag: number | undefined, end: number): boolean {
    const bytes = this.bytes;
    switch (tag) {
      case DELIMITED_15: {
        const size = this.readSize(end);
        if (size === ODD || !this.#scanStatus(this.pos + size)) return false;
        break;
      }
      case DELIMITED_11: {
        const size = this.readSize(end);
        if (size === ODD || !this.#scanEvent(this.pos + size)) return false;
        break;
      }
      case DELIMITED_3: {
        // The trace state: nobody reads it.
        const size = this.readSize(end);
        if (size === ODD) return false;
        this.pos += size;
        break;
      }
      case VARINT_10:
      case VARINT_12:
      case VARINT_14:
        if (!this.skipVarint(end)) return false;
        break;
      case FIXED32_16_FIRST:
        if (end - this.pos < 5 || bytes[this.pos] !== FIXED32_16_SECOND) return false;
        this.pos += 5;
        break;
      default:
        return false;
    }
    return true;
  }

  #scanStatus(end: number): boolean {
    const { span } = this;
    while (this.pos < end) {
      const tag = this.bytes[this.pos++];
      if (tag === VARINT_3) {
        const code = this.pos < end ? (this.bytes[this.pos++] as number) : 0x80;
        if (code >= 0x80) return false;
        span.status_code = code;
      } else if (tag === DELIMITED_2) {
        const size = this.readSize(end);
        if (size === ODD) return false;
        span.status_message_at = this.pos;
        span.status_message_size = size;
        this.pos += size;
      } else {
        return false;
      }
    }
    return true;
  }

  #scanEvent(end: number): boolean {
    const { span } = this;
    const event = span.event_count;
    if (event === MAX_WIRE_EVENTS || !this.countValue()) return false;
    let position = event === 0 ? span.attribute_count : (span.event_stop[event - 1] as number);
    let shape = EMPTY_SHAPE;
    span.event_time_at[event] = NOWHERE;
    span.event_name_at[event] = 0;
    span.event_name_size[event] = 0;
    while (this.pos < end) {
      const tag = this.bytes[this.pos++];
      if (tag === FIXED64_1) {
        if (end - this.pos < 8) return false;
        span.event_time_at[event] = this.pos;
        this.pos += 8;
      } else if (tag === DELIMITED_2) {
        const size = this.readSize(end);
        if (size === ODD) return false;
        span.event_name_at[event] = this.pos;
        span.event_name_size[event] = size;
        this.pos += size;
      } else if (tag === DELIMITED_3) {
        shape = this.#scanAttribute(shape, position, end);
        if (shape === NO_SHAPE) return false;
        position += 1;
      } else if (tag === VARINT_4) {
        if (!this.skipVarint(end)) return false;
      } else {
        return false;
      }
    }
    span.event_shape[event] = shape;
    span.event_stop[event] = position;
    span.event_count = event + 1;
    return true;
  }

  countValue(): boolean {
    this.decoding.value_count += 1;
    return this.decoding.value_count <= MAX_VALUES_PER_REQUEST;
  }

  /**
   * Reads a KeyValue, from its length on, the key first; returns the shape with it. Sizes of one byte
   * are read in place, as most are; `readSize` knows the others.
   */
  #scanAttribute(shape: number, position: number, limit: number): number {
    const bytes = this.bytes;
    const size = this.readShortSize(limit);
    // Less holds no key with its length, and ODD is less.
    if (size < 2 || position === MAX_WIRE_ATTRIBUTES || !this.countValue()) return NO_SHAPE;
    const start = this.pos;
    const end = start + size;
    const key_size = bytes[start + 1] as number;
    const key_at = start + 2;
    const stop = key_at + key_size;
    if (bytes[start] !== DELIMITED_1 || key_size > MAX_SHAPE_KEY_BYTES || stop > end) {
      return NO_SHAPE;
    }
    let type = WIRE_NONE;
    if (stop < end) {
      if (bytes[stop] !== DELIMITED_2) return NO_SHAPE;
      this.pos = stop + 1;
      const value_size = this.readShortSize(end);
      if (value_size === ODD || this.pos + value_size !== end) return NO_SHAPE;
      type = this.#scanValue(position, end);
      if (type === ODD) return NO_SHAPE;
    }
    this.pos = end;
    return this.shapes.step(shape, this.view, key_at, key_size, type);
  }

  /** Reads the AnyValue up to `end`; returns its type, or ODD. */
  #scanValue(position: number, end: number): number {
    const { span } = this;
    const start = this.pos;
    if (start === end) return WIRE_NONE;
    this.pos = start + 1;
    const tag = this.bytes[start];
    if (tag === DELIMITED_1) {
      const size = this.readShortSize(end);
      if (size === ODD || this.pos + size !== end) return ODD;
      if (size === 0) return WIRE_EMPTY_TEXT;
      span.value_at[position] = this.pos;
      span.value_size[position] = size;
      return WIRE_TEXT;
    }
    return tag === VARINT_3
      ? this.#scanWhole(position, end)
      : this.#scanOtherValue(position, start, end);
  }

  /** Reads an AnyValue that is neither text nor a whole number. */
  #scanOtherValue(position: number, start: number, end: number): number {
    const { span } = this;
    const bytes = this.bytes;
    switch (bytes[start]) {
      case FIXED64_4:
        if (end - start !== 9) return ODD;
        span.value_at[position] = start + 1;
        span.value_size[position] = 8;
        span.numbers[position] = this.view.getFloat64(start + 1, true);
        return WIRE_DOUBLE;
      case VARINT_2: {
        const flag = bytes[start + 1] as number;
        if (end - start !== 2 || flag > 1) return ODD;
        span.numbers[position] = flag;
        return WIRE_FLAG;
      }
      case DELIMITED_5:
      case DELIMITED_7: {
        const size = this.readSize(end);
        if (size === ODD || this.pos + size !== end) return ODD;
        span.value_at[position] = start;
        span.value_size[position] = end - start;
        return bytes[start] === DELIMITED_5 ? WIRE_LIST : WIRE_BYTES;
      }
      default:
        return ODD;
    }
  }

  #scanWhole(position: number, end: number): number {
    const value = this.readWhole(end);
    if (value === ODD) return ODD;
    this.span.numbers[position] = value;
    return WIRE_WHOLE;
  }
}

function isZero(view: DataView, at: number): boolean {
  return view.getInt32(at, true) === 0 && view.getInt32(at + 4, true) === 0;
}
