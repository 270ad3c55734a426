/**
 * Writes what the form of a span is found by: its shape, scope and project, kind and status, and the
 * values that decide, as far as spans of the shape met so far tell.
 *
 * Invariant: two spans with the same key are understood alike; what cannot be put into a key has none.
 */
import type { SpanRow } from "../../schemas/span-row.ts";
import {
  WIRE_DOUBLE,
  WIRE_EMPTY_TEXT,
  WIRE_NONE,
  WIRE_TEXT,
  type WireSpan,
} from "../../schemas/wire-span.ts";
import { statusInMessage } from "./call.ts";
import type { Known } from "./known.ts";
import type { Context } from "./normalize.ts";
import type { ShapeFacts } from "./shape-facts.ts";
import { readUtf8 } from "./stored-values.ts";

/** Longest word that a form is found by, bytes. */
const MAX_WORD_BYTES = 256;
/** All words of a form, bytes. */
const MAX_KEY_BYTES = 4_096;

const EXCEPTION = "exception";
/** Events whose attributes dialects read. */
const READ_EVENTS: ReadonlySet<string> = new Set([
  "gen_ai.choice",
  "gen_ai.client.inference.operation.details",
]);

/** Bytes of the head: shape, context, version of the shape's facts, then kind, status and two counts. */
const HEAD_BYTES = 16;
const VERSION_AT = 8;
const KIND_AT = 12;
const HAS_MESSAGE_AT = 14;
const EXCEPTIONS_AT = 15;

/** The key of the span written last: the first `size` bytes of `view`. */
export class FormKey {
  readonly view = new DataView(new ArrayBuffer(MAX_KEY_BYTES));
  size = 0;
  readonly #known: Known;
  readonly #capture_content: boolean;

  constructor(known: Known, capture_content: boolean) {
    this.#known = known;
    this.#capture_content = capture_content;
  }

  /** Writes the key of the row's span, and names its events in the row; false when it has none. */
  write(row: SpanRow, facts: ShapeFacts, context: Context): boolean {
    const { wire } = row;
    const { view } = this;
    const scope = this.#known.numberContext(context);
    if (scope < 0) return false;
    view.setInt32(0, wire.shape, true);
    view.setInt32(4, scope, true);
    view.setInt32(VERSION_AT, facts.version, true);
    view.setInt32(KIND_AT, wire.kind | (wire.status_code << 8), true);
    this.size = HEAD_BYTES;
    if (wire.status_message_size > 0 && !this.#writeStatusMessage(wire)) return false;
    if (wire.event_count > 0 && !this.#writeEvents(row)) return false;
    if (facts.reads_name && !this.#writeBytes(wire, wire.name_at, wire.name_size)) return false;
    const { words } = facts;
    const { types } = facts.shape;
    for (let index = 0; index < words.length; index += 1) {
      const position = words[index] as number;
      const type = types[position] as number;
      if (type === WIRE_NONE || type === WIRE_EMPTY_TEXT) continue;
      const is_number = type > WIRE_TEXT && type <= WIRE_DOUBLE;
      const is_written = is_number
        ? this.#writeNumber(wire.numbers[position] as number)
        : this.#writeBytes(
            wire,
            wire.value_at[position] as number,
            wire.value_size[position] as number,
          );
      if (!is_written) return false;
    }
    return true;
  }

  #writeBytes({ view: source }: WireSpan, at: number, size: number): boolean {
    const { view } = this;
    const start = this.size + 4;
    if (size > MAX_WORD_BYTES || start + size > MAX_KEY_BYTES) return false;
    view.setInt32(start - 4, size, true);
    if (size >= 8) {
      const last = size - 8;
      for (let index = 0; index < last; index += 8) {
        view.setBigInt64(start + index, source.getBigInt64(at + index, true), true);
      }
      view.setBigInt64(start + last, source.getBigInt64(at + last, true), true);
    } else if (size >= 4) {
      const last = size - 4;
      view.setInt32(start, source.getInt32(at, true), true);
      view.setInt32(start + last, source.getInt32(at + last, true), true);
    } else {
      for (let index = 0; index < size; index += 1) {
        view.setUint8(start + index, source.getUint8(at + index));
      }
    }
    this.size = start + size;
    return true;
  }

  #writeNumber(value: number): boolean {
    if (this.size + 8 > MAX_KEY_BYTES) return false;
    this.view.setFloat64(this.size, value, true);
    this.size += 8;
    return true;
  }

  /** Of the message of a failed span only the HTTP status in it decides. */
  #writeStatusMessage(wire: WireSpan): boolean {
    const text = readUtf8(wire, wire.status_message_at, wire.status_message_size);
    // Where content is kept the message is a column.
    if (text === undefined || this.#capture_content) return false;
    this.view.setUint8(HAS_MESSAGE_AT, 1);
    return this.#writeNumber(statusInMessage(text));
  }

  /** Names the events; of an exception its type and the status in its message decide. */
  #writeEvents(row: SpanRow): boolean {
    const { wire } = row;
    let first = wire.attribute_count;
    for (let event = 0; event < wire.event_count; event += 1) {
      const name = this.#known.nameAt(
        wire,
        wire.event_name_at[event] as number,
        wire.event_name_size[event] as number,
      );
      const shape = wire.event_shape[event] as number;
      const facts = this.#known.factsOf(shape);
      if (name === undefined || READ_EVENTS.has(name.text) || facts.shape.repeats) return false;
      row.event_names[event] = name.text;
      row.event_keys[event] = facts.keys;
      if (name.text === EXCEPTION) {
        this.view.setUint8(EXCEPTIONS_AT, this.view.getUint8(EXCEPTIONS_AT) + 1);
        if (!this.#writeNumber(shape) || !this.#writeException(wire, facts, first)) return false;
      }
      first = wire.event_stop[event] as number;
    }
    return true;
  }

  #writeException(wire: WireSpan, facts: ShapeFacts, first: number): boolean {
    const { exception_type, exception_message } = facts;
    const { types } = facts.shape;
    if (exception_type !== -1) {
      const at = wire.value_at[first + exception_type] as number;
      const size = wire.value_size[first + exception_type] as number;
      if (types[exception_type] !== WIRE_TEXT || !this.#writeBytes(wire, at, size)) return false;
    }
    if (exception_message === -1) return true;
    if (types[exception_message] !== WIRE_TEXT) return false;
    const at = wire.value_at[first + exception_message] as number;
    const text = readUtf8(wire, at, wire.value_size[first + exception_message] as number);
    return text !== undefined && this.#writeNumber(statusInMessage(text));
  }
}
