/**
 * Protobuf bodies to the rows of `spans` without normalizing and pricing: the same scan, the same rows
 * and the same blocks as the collector's, with every attribute stored as it was sent and no column that
 * somebody has to understand a span for. What normalizing and pricing cost is the difference.
 *
 * The product has no such way. Invariant: a body that is written unusually is refused, not read in
 * another way.
 */
import type { SpanRows } from "../collector/columns/span-rows.ts";
import { formatAttribute } from "../collector/columns/text.ts";
import { FOUND_END, FOUND_SPAN, TraceScanner } from "../collector/decode/scan.ts";
import { Shapes } from "../collector/decode/shapes.ts";
import { ByteTable } from "../schemas/byte-table.ts";
import { Attributes, type DecodedTraces, type Span, SPAN_STATUSES } from "../schemas/span.ts";
import {
  type SpanContext,
  SpanRow,
  STORE_BYTES,
  STORE_DOUBLE,
  STORE_FLAG,
  STORE_NOTHING,
  STORE_TEXT,
  STORE_WHOLE,
  StoredKeys,
  type SpanVariant,
  type Word,
} from "../schemas/span-row.ts";
import {
  WIRE_DOUBLE,
  WIRE_FLAG,
  WIRE_LIST,
  WIRE_TEXT,
  WIRE_WHOLE,
  WireSpan,
} from "../schemas/wire-span.ts";
import { makeSpan } from "../test/support/span.ts";

const MAX_TEXTS = 4_096;
const MAX_TEXT_BYTES = 1024 ** 2;

/** How a value of each type is stored. */
const STORES: Readonly<Record<number, number>> = {
  [WIRE_TEXT]: STORE_BYTES,
  [WIRE_FLAG]: STORE_FLAG,
  [WIRE_WHOLE]: STORE_WHOLE,
  [WIRE_DOUBLE]: STORE_DOUBLE,
  [WIRE_LIST]: STORE_TEXT,
};

/** A span of which nothing is understood. */
const BLANK = makeSpan({
  kind: 0,
  span_class: "other",
  operation: "",
  provider: "",
  request_model: "",
  response_model: "",
  response_id: "",
  finish_reason: "",
  tokens: [],
  usage_status: "none",
  provider_calls: null,
  cost: [],
  cost_status: "none",
  price_id: "",
  service_name: "",
  environment: "",
  dialect: "",
  reason: "",
});

/** The spans that the rows of a decoded body are to hold. */
export function listPlainSpans({ scope_spans }: DecodedTraces): Span[] {
  return scope_spans.flatMap(({ resource, scope, spans }) =>
    spans.map((span) => ({
      ...BLANK,
      start_ns: span.start_ns,
      duration_ns: span.end_ns - span.start_ns,
      trace_id: span.trace_id,
      span_id: span.span_id,
      parent_span_id: span.parent_span_id.length === 0 ? new Uint8Array(8) : span.parent_span_id,
      name: span.name,
      kind: span.kind,
      status: SPAN_STATUSES[span.status_code] ?? "unset",
      status_message: span.status_message,
      scope_name: scope.name,
      scope_version: scope.version,
      attributes: span.attributes,
      resource_attributes: resource,
      events: span.events,
    })),
  );
}

interface PlainShape {
  readonly keys: StoredKeys;
  readonly stores: Uint8Array;
  /** Positions of the values whose text is made. */
  readonly lists: readonly number[];
}

/** Texts by the bytes that they are made of. */
class TextTable {
  readonly #table = new ByteTable(MAX_TEXTS, MAX_TEXT_BYTES, 1);
  readonly #words: Word[] = [];

  find(view: DataView, at: number, size: number, make: () => string): Word {
    const known = this.#table.find(view, at, size);
    if (known !== -1) return this.#words[known] as Word;
    const word = { text: make(), block: 0, number: 0 };
    const number = this.#table.intern(view, at, size);
    if (number !== -1) this.#words[number] = word;
    return word;
  }
}

/** Reads bodies into rows. */
export class PlainRows {
  readonly #shapes = new Shapes(1);
  readonly #wire = new WireSpan();
  readonly #row = new SpanRow(this.#wire);
  readonly #plain: (PlainShape | undefined)[] = [];
  readonly #variants: (SpanVariant | undefined)[] = [];
  readonly #names = new TextTable();
  readonly #lists = new TextTable();
  /** Of the span at hand, by position. */
  readonly #texts: string[] = [];
  #scanner: TraceScanner | null = null;

  constructor() {
    this.#row.stored_texts = this.#texts;
  }

  /** Adds the spans of the body to the rows. Throws when it is written unusually. */
  add(body: Uint8Array, rows: SpanRows): void {
    const scanner = new TraceScanner(body, this.#shapes, this.#wire);
    this.#scanner = scanner;
    scanner.resume();
    let envelope = 0;
    for (;;) {
      const found = scanner.next();
      if (found === FOUND_END) return;
      if (found !== FOUND_SPAN) throw new Error("a body of the bench is written unusually");
      if (scanner.envelope !== envelope) {
        envelope = scanner.envelope;
        this.#row.context = readContext(scanner);
      }
      this.#fill();
      rows.appendRow(this.#row);
    }
  }

  #fill(): void {
    const row = this.#row;
    const wire = this.#wire;
    const { view } = wire;
    row.name = this.#nameAt(wire.name_at, wire.name_size);
    row.variant = this.#variantOf(wire.kind, wire.status_code);
    row.duration_ns =
      (view.getUint32(wire.end_time_at + 4, true) - view.getUint32(wire.start_time_at + 4, true)) *
        0x1_0000_0000 +
      view.getUint32(wire.end_time_at, true) -
      view.getUint32(wire.start_time_at, true);
    const plain = this.#plainOf(wire.shape);
    row.keys = plain.keys;
    row.stores = plain.stores;
    this.#makeTexts(plain, 0, this.#texts);
    let first = wire.attribute_count;
    for (let event = 0; event < wire.event_count; event += 1) {
      const at = wire.event_name_at[event] as number;
      const of_event = this.#plainOf(wire.event_shape[event] as number);
      row.event_names[event] = this.#nameAt(at, wire.event_name_size[event] as number).text;
      row.event_keys[event] = of_event.keys;
      row.events.stores.set(of_event.stores, first);
      this.#makeTexts(of_event, first, row.events.texts);
      first = wire.event_stop[event] as number;
    }
  }

  #plainOf(shape: number): PlainShape {
    return (this.#plain[shape] ??= this.#learn(shape));
  }

  /** Makes the texts of the lists among the values from a position on. */
  #makeTexts({ lists }: PlainShape, first: number, texts: string[]): void {
    for (let index = 0; index < lists.length; index += 1) {
      const position = first + (lists[index] as number);
      const at = this.#wire.value_at[position] as number;
      const size = this.#wire.value_size[position] as number;
      const make = (): string => formatAttribute(this.#scanner?.readValue(at, size) ?? null);
      texts[position] = this.#lists.find(this.#wire.view, at, size, make).text;
    }
  }

  #learn(shape: number): PlainShape {
    const { keys, types } = this.#shapes.describe(shape);
    return {
      keys: new StoredKeys(keys, []),
      stores: Uint8Array.from(types, (type) => STORES[type] ?? STORE_NOTHING),
      lists: keys.flatMap((_key, position) => (types[position] === WIRE_LIST ? [position] : [])),
    };
  }

  #nameAt(at: number, size: number): Word {
    const { view, bytes } = this.#wire;
    return this.#names.find(view, at, size, () => bytes.toString("utf8", at, at + size));
  }

  #variantOf(kind: number, status_code: number): SpanVariant {
    return (this.#variants[kind * SPAN_STATUSES.length + status_code] ??= {
      span: { ...BLANK, kind, status: SPAN_STATUSES[status_code] ?? "unset" },
      block: 0,
      number: 0,
    });
  }
}

function readContext(scanner: TraceScanner): SpanContext {
  const { name, version } = scanner.decodeScope();
  return {
    project_id: "default",
    key_id: "",
    service_name: "",
    environment: "",
    scope_name: name,
    scope_version: version,
    resource_attributes: scanner.decodeResource(),
    resource_tags: new Attributes(),
  };
}
