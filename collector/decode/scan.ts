/**
 * Walks an OTLP protobuf trace export and finds its spans in place: the hot path of decoding. It knows
 * the form in which exporters write; what is written in any other way that protobuf allows is left to
 * `decodeTraces`, which knows them all.
 *
 * Invariant: a span of `next` is exactly what `decodeTraces` would make of the same bytes, and nothing
 * outside a length that was checked is ever looked at.
 */
import {
  Attributes,
  type AttributeValue,
  type DecodedSpan,
  type Scope,
} from "../../schemas/span.ts";
import type { WireSpan } from "../../schemas/wire-span.ts";
import { ODD } from "./cursor.ts";
import { decodeResource, decodeScope } from "./envelopes.ts";
import { MAX_ENVELOPES_PER_REQUEST } from "./limits.ts";
import { addWarning, createNotes, type Notes, WARNINGS } from "./notes.ts";
import type { Shapes } from "./shapes.ts";
import { SpanScanner } from "./span-scan.ts";
import { decodeValidSpan } from "./traces.ts";
import { decodeValue } from "./values.ts";
import { createReader } from "./wire.ts";

/** Tags of the fields of envelopes, all of which are messages or texts: number << 3 | 2. */
const FIELD_1 = 0x0a;
const FIELD_2 = 0x12;
const FIELD_3 = 0x1a;

/** What `next` found. */
export const FOUND_SPAN = 0;
/** A span that is written unusually: `decodeOddSpan` reads it. */
export const FOUND_ODD_SPAN = 1;
/** The end of the body. */
export const FOUND_END = 2;
/** The body is written unusually, or broken: only `decodeTraces` can tell. */
export const FOUND_ODD_BODY = 3;

/** Where in the envelopes the walk is. */
const IN_REQUEST = 0;
const IN_RESOURCE = 1;
const IN_SCOPE = 2;

/**
 * Walks one body; `span` is the span that `next` found last. Several may take turns between spans with
 * the same `shapes` and `span`.
 */
export class TraceScanner extends SpanScanner {
  /** Counts resources and scopes: while it stays, the spans found share both. */
  envelope = 0;
  /** What odd spans of the body had to be told of. */
  readonly notes: Notes;
  /** The message of the resource and of the scope of the span, of size 0 when there is none. */
  resource_at = 0;
  resource_size = 0;
  scope_at = 0;
  scope_size = 0;
  #level = IN_REQUEST;
  #resource_end = 0;
  #scope_end = 0;
  #has_scopes = false;
  #has_spans = false;
  /** Whether the resource has a span so far, whose context is read. */
  #is_resource_read = false;

  /** The body must not change until its end was found. */
  constructor(body: Uint8Array, shapes: Shapes, span: WireSpan) {
    const notes = createNotes();
    const decoding = { reader: createReader(body), notes, envelope_count: 0, value_count: 0 };
    super(decoding, shapes, span);
    this.notes = notes;
  }

  /** Takes its turn. */
  resume(): void {
    this.span.bytes = this.bytes;
    this.span.view = this.view;
  }

  /** Completes the notes after the last span. */
  end(): void {
    if (this.decoding.reader.has_invalid_text) addWarning(this.notes, WARNINGS.invalid_text);
  }

  /** Finds the next span: one of the FOUND numbers. */
  next(): number {
    const bytes = this.bytes;
    for (;;) {
      if (this.#level === IN_SCOPE) {
        if (this.pos === this.#scope_end) {
          // Nobody would read this scope, but it may be broken.
          if (!this.#has_spans && this.scope_size > 0) return FOUND_ODD_BODY;
          this.#level = IN_RESOURCE;
          continue;
        }
        const tag = bytes[this.pos++];
        const size = this.readSize(this.#scope_end);
        if (size === ODD) return FOUND_ODD_BODY;
        const start = this.pos;
        this.pos = start + size;
        if (tag === FIELD_2) {
          if (!this.#countEnvelope()) return FOUND_ODD_BODY;
          this.#has_spans = true;
          this.#is_resource_read = true;
          this.span.reset(start, start + size);
          return this.scanSpan(start, start + size) ? FOUND_SPAN : FOUND_ODD_SPAN;
        }
        if (tag === FIELD_1 && !this.#has_spans && this.scope_size === 0) {
          this.scope_at = start;
          this.scope_size = size;
        } else if (tag !== FIELD_3) {
          return FOUND_ODD_BODY;
        }
      } else if (this.#level === IN_RESOURCE) {
        if (this.pos === this.#resource_end) {
          if (!this.#is_resource_read && this.resource_size > 0) return FOUND_ODD_BODY;
          this.#level = IN_REQUEST;
          continue;
        }
        const tag = bytes[this.pos++];
        const size = this.readSize(this.#resource_end);
        if (size === ODD) return FOUND_ODD_BODY;
        if (tag === FIELD_2) {
          if (!this.#countEnvelope()) return FOUND_ODD_BODY;
          this.#beginScope(size);
          continue;
        }
        if (tag === FIELD_1 && !this.#has_scopes && this.resource_size === 0) {
          this.resource_at = this.pos;
          this.resource_size = size;
        } else if (tag !== FIELD_3) {
          return FOUND_ODD_BODY;
        }
        this.pos += size;
      } else {
        if (this.pos === bytes.length) return FOUND_END;
        if (bytes[this.pos++] !== FIELD_1) return FOUND_ODD_BODY;
        const size = this.readSize(bytes.length);
        if (size === ODD || !this.#countEnvelope()) return FOUND_ODD_BODY;
        this.#beginResource(size);
      }
    }
  }

  #beginResource(size: number): void {
    this.#level = IN_RESOURCE;
    this.#resource_end = this.pos + size;
    this.#has_scopes = false;
    this.#is_resource_read = false;
    this.resource_size = 0;
    this.envelope += 1;
  }

  #beginScope(size: number): void {
    this.#level = IN_SCOPE;
    this.#scope_end = this.pos + size;
    this.#has_scopes = true;
    this.#has_spans = false;
    this.scope_size = 0;
    this.envelope += 1;
  }

  #countEnvelope(): boolean {
    this.decoding.envelope_count += 1;
    return this.decoding.envelope_count <= MAX_ENVELOPES_PER_REQUEST;
  }

  /**
   * Reads the span found last as `decodeTraces` does; undefined when it is refused, as the notes say.
   * Throws what `decodeTraces` throws.
   */
  decodeSpan(): DecodedSpan | undefined {
    const { reader } = this.decoding;
    reader.pos = this.span.start;
    // They are counted again.
    this.decoding.value_count = this.values_before;
    return decodeValidSpan(this.decoding, this.span.end);
  }

  /** The resource of the span found last. Throws `invalid_protobuf`. */
  decodeResource(): Attributes {
    const attributes = new Attributes();
    const { reader } = this.decoding;
    reader.pos = this.resource_at;
    decodeResource(this.decoding, this.resource_at + this.resource_size, attributes);
    return attributes;
  }

  /** The scope of the span found last. Throws `invalid_protobuf`. */
  decodeScope(): Scope {
    const scope = { name: "", version: "" };
    const { reader } = this.decoding;
    reader.pos = this.scope_at;
    decodeScope(reader, this.scope_at + this.scope_size, scope);
    return scope;
  }

  /**
   * The AnyValue at a place; undefined when it cannot be decoded without a note. Its values count to
   * the limit of the body; throws `too_many_objects` beyond it.
   */
  readValue(at: number, size: number): AttributeValue | undefined {
    const { reader } = this.decoding;
    reader.pos = at;
    const value = decodeValue(this.decoding, at + size, 1, null);
    return this.hasNotes() ? undefined : value;
  }

  /** Whether something of this body was noted so far. */
  hasNotes(): boolean {
    const { notes } = this;
    return notes.warnings.length > 0 || this.decoding.reader.has_invalid_text;
  }
}
