/**
 * Gathers rows of the table `spans` for one block. Rows come from the hot path in place (`appendRow`)
 * or as objects (`appendSpan`), in any order; `span-block.ts` writes them.
 *
 * What many spans have in common is kept once, as a variant and a context, and a row holds their
 * numbers: some thirty columns cost a row two numbers, and are looked up when the block is written.
 *
 * Invariant: every column has as many entries as there are rows, also after `takeBack`.
 */
import type { Span } from "../../schemas/span.ts";
import {
  type SpanRow,
  STORE_BYTES,
  STORE_DOUBLE,
  STORE_FLAG,
  STORE_NOTHING,
  STORE_TEXT,
  STORE_WHOLE,
  type StoredKeys,
  type StoredTag,
} from "../../schemas/span-row.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { NOWHERE, WIRE_DOUBLE, WIRE_FLAG, WIRE_TEXT, WIRE_WHOLE } from "../../schemas/wire-span.ts";
import type { Dictionary, Texts, Words } from "./growing.ts";
import { SpanStore } from "./span-store.ts";

const CLASS_COUNT = TOKEN_CLASSES.length;
/** The text of a number or flag with its length, bytes; and what the length of a text takes. */
const MAX_NUMBER_BYTES = 32;
/** `masks` of a row: known tokens, then priced classes, then whether the time to first token is known. */
export const PRICED_SHIFT = 16;
export const TTFT_KNOWN = 1 << 31;

/** The rows of a block that is being gathered. `span-block.ts` writes it. */
export class SpanRows extends SpanStore {
  /** Adds a row in place. */
  appendRow(row: SpanRow): void {
    const { wire } = row;
    const { view } = wire;
    this.row_variants.push(this.numberVariant(row.variant));
    this.pushContext(row.context);
    this.times.pushPlace(view, wire.start_time_at);
    this.trace_ids.pushPlace(view, wire.trace_id_at);
    this.trace_ids.pushPlace(view, wire.trace_id_at + 8);
    this.span_ids.pushPlace(view, wire.span_id_at);
    this.parent_ids.pushPlace(view, wire.parent_span_id_at);
    this.durations.pushCount(row.duration_ns);
    this.names.push(this.numberName(row.name));
    pushOptional(this.response_ids, view, row.response_id_at, row.response_id_size);
    pushOptional(this.user_ids, view, row.user_id_at, row.user_id_size);
    pushOptional(this.session_ids, view, row.session_id_at, row.session_id_size);
    this.ttfts.pushCount(row.ttft_ns < 0 ? 0 : row.ttft_ns);
    if (row.ttft_ns >= 0) this.has_ttft = true;
    const known = this.#setUsage(row);
    this.masks.push(known | (row.priced_mask << PRICED_SHIFT) | (row.ttft_ns < 0 ? 0 : TTFT_KNOWN));
    this.#pushAttributes(row);
    this.#pushEvents(row);
    this.count += 1;
  }

  /** Sets tokens and costs of the next row; returns which tokens are known. */
  #setUsage({ tokens, priced_mask, cost }: SpanRow): number {
    const row = this.count;
    this.tokens.reserve(row + 1);
    this.costs.reserve(row + 1);
    let known = 0;
    for (let index = 0; index < CLASS_COUNT; index += 1) {
      const count = tokens[index] as number | null;
      if (count === null) continue;
      known |= 1 << index;
      if (count === 0) continue;
      (this.tokens.arrays[index] as Int32Array)[row] = count;
      this.token_classes |= 1 << index;
    }
    if (priced_mask === 0) return known;
    for (let index = 0; index < CLASS_COUNT; index += 1) {
      const picodollars = cost[index] as number;
      if (picodollars === 0 || (priced_mask & (1 << index)) === 0) continue;
      this.cost_classes |= 1 << index;
      const array = this.costs.arrays[index] as Int32Array;
      array[row * 2] = picodollars;
      array[row * 2 + 1] = Math.floor(picodollars / 0x1_0000_0000);
    }
    return known;
  }

  #pushAttributes(row: SpanRow): void {
    const { keys, wire, stores } = row;
    if (keys.block !== this.block) this.#beginKeys(keys);
    const { texts, keys: key_words, dictionary } = this.attributes;
    const { key_numbers } = keys;
    const { view, attribute_count, value_at, value_size, numbers } = wire;
    key_words.reserve(attribute_count);
    // No value takes more than its own bytes and five, or the digits of a number.
    texts.reserve(wire.end - wire.start + attribute_count * MAX_NUMBER_BYTES);
    let stored = 0;
    for (let position = 0; position < attribute_count; position += 1) {
      const store = stores[position] as number;
      if (store === STORE_NOTHING) continue;
      stored += 1;
      if (store === STORE_BYTES) {
        texts.pushReserved(view, value_at[position] as number, value_size[position] as number);
      } else if (store === STORE_TEXT) {
        texts.pushText(row.stored_texts[position] as string);
        texts.reserve(wire.end - wire.start + attribute_count * MAX_NUMBER_BYTES);
      } else {
        pushNumber(texts, store, numbers[position] as number);
      }
    }
    if (stored === attribute_count && keys.is_numbered) {
      key_words.values.set(key_numbers, key_words.size);
      key_words.size += stored;
    } else {
      this.#pushKeys(row, key_words, dictionary);
    }
    this.attributes.end();
    this.#pushTags(row);
  }

  /** The keys of the values that are stored, with numbers for those that have none yet. */
  #pushKeys({ keys, stores, wire }: SpanRow, key_words: Words, dictionary: Dictionary): void {
    const { key_numbers } = keys;
    for (let position = 0; position < wire.attribute_count; position += 1) {
      if (stores[position] === STORE_NOTHING) continue;
      let number = key_numbers[position] as number;
      if (number === NOWHERE) {
        number = dictionary.number(keys.keys[position] as string);
        key_numbers[position] = number;
      }
      key_words.push(number);
    }
    keys.is_numbered = !key_numbers.includes(NOWHERE);
  }

  /** Tags of the resource, then of the span: the span's win. */
  #pushTags({ keys, wire, context }: SpanRow): void {
    const { tags } = this;
    const shared = context.resource_tags.keys;
    for (let index = 0; index < shared.length; index += 1) {
      const name = shared[index] as string;
      if (shared.indexOf(name, index + 1) !== -1 || keys.tags.some((tag) => tag.name === name)) {
        continue;
      }
      tags.keys.push(tags.dictionary.number(name));
      tags.texts.pushText(context.resource_tags.values[index] as string);
    }
    for (let index = 0; index < keys.tags.length; index += 1) {
      const { position, name, type } = keys.tags[index] as StoredTag;
      let number = keys.tag_numbers[index] as number;
      if (number === NOWHERE) {
        number = tags.dictionary.number(name);
        keys.tag_numbers[index] = number;
      }
      tags.keys.push(number);
      if (type === WIRE_TEXT) {
        tags.texts.pushPlace(
          wire.view,
          wire.value_at[position] as number,
          wire.value_size[position] as number,
        );
      } else {
        pushNumber(tags.texts, STORE_OF_TYPE[type] as number, wire.numbers[position] as number);
      }
    }
    tags.end();
  }

  #beginKeys(keys: StoredKeys): void {
    keys.key_numbers.fill(NOWHERE);
    keys.tag_numbers.fill(NOWHERE);
    keys.is_numbered = false;
    keys.block = this.block;
  }

  #pushEvents(row: SpanRow): void {
    const { wire } = row;
    let position = wire.attribute_count;
    for (let event = 0; event < wire.event_count; event += 1) {
      const keys = row.event_keys[event] as StoredKeys;
      this.event_times.pushPlace(wire.view, wire.event_time_at[event] as number);
      this.event_names.push(this.event_name_dictionary.number(row.event_names[event] as string));
      const stop = wire.event_stop[event] as number;
      for (let first = position; position < stop; position += 1) {
        if (row.events.stores[position] === STORE_NOTHING) continue;
        const key = keys.keys[position - first] as string;
        this.event_maps.keys.push(this.event_maps.dictionary.number(key));
        pushEventValue(this.event_maps.texts, row, position);
      }
      this.event_maps.end();
    }
    this.event_ends.pushCount(this.event_names.size);
  }

  /** Adds a span that is an object. */
  appendSpan(span: Span): void {
    this.row_variants.push(this.numberVariantOf(span));
    this.pushContext(this.contextOf(span));
    this.times.pushBig(span.start_ns);
    pushId(this.trace_ids, span.trace_id);
    pushId(this.span_ids, span.span_id);
    pushId(this.parent_ids, span.parent_span_id);
    this.durations.pushBig(span.duration_ns);
    this.names.push(this.name_dictionary.number(span.name));
    this.response_ids.pushText(span.response_id);
    this.user_ids.pushText(span.user_id);
    this.session_ids.pushText(span.session_id);
    this.ttfts.pushBig(span.ttft_ns ?? 0n);
    if (span.ttft_ns !== null) this.has_ttft = true;
    this.masks.push(this.#setSpanUsage(span) | (span.ttft_ns === null ? 0 : TTFT_KNOWN));
    this.attributes.pushAttributes(span.attributes);
    this.attributes.end();
    this.tags.pushAttributes(span.tags);
    this.tags.end();
    for (const { time_ns, name, attributes } of span.events) {
      this.event_times.pushBig(time_ns);
      this.event_names.push(this.event_name_dictionary.number(name));
      this.event_maps.pushAttributes(attributes);
      this.event_maps.end();
    }
    this.event_ends.pushCount(this.event_names.size);
    if (span.links.length > 0) this.links.push([this.count, span.links]);
    this.count += 1;
  }

  #setSpanUsage({ tokens, cost }: Span): number {
    const row = this.count;
    this.tokens.reserve(row + 1);
    this.costs.reserve(row + 1);
    let known = 0;
    for (let index = 0; index < CLASS_COUNT; index += 1) {
      const count = tokens[index] ?? null;
      const picodollars = cost[index] ?? null;
      if (count !== null) {
        known |= 1 << index;
        (this.tokens.arrays[index] as Int32Array)[row] = count;
        if (count !== 0) this.token_classes |= 1 << index;
      }
      if (picodollars !== null) {
        known |= 1 << (PRICED_SHIFT + index);
        if (picodollars !== 0n) this.cost_classes |= 1 << index;
        const array = this.costs.arrays[index] as Int32Array;
        array[row * 2] = Number(BigInt.asIntN(32, picodollars));
        array[row * 2 + 1] = Number(BigInt.asIntN(32, picodollars >> 32n));
      }
    }
    return known;
  }
}

const STORE_OF_TYPE: Readonly<Record<number, number>> = {
  [WIRE_FLAG]: STORE_FLAG,
  [WIRE_WHOLE]: STORE_WHOLE,
  [WIRE_DOUBLE]: STORE_DOUBLE,
};

function pushOptional(texts: Texts, view: DataView, at: number, size: number): void {
  if (at === NOWHERE) texts.pushEmpty();
  else texts.pushPlace(view, at, size);
}

/** Adds the value of an event at a position as it is stored. */
function pushEventValue(texts: Texts, row: SpanRow, position: number): void {
  const store = row.events.stores[position] as number;
  if (store === STORE_BYTES) {
    const { view, value_at, value_size } = row.wire;
    texts.pushPlace(view, value_at[position] as number, value_size[position] as number);
  } else if (store === STORE_TEXT) {
    texts.pushText(row.events.texts[position] as string);
  } else {
    pushNumber(texts, store, row.wire.numbers[position] as number);
  }
}

function pushNumber(texts: Texts, store: number, value: number): void {
  if (store === STORE_WHOLE) texts.pushWhole(value);
  else if (store === STORE_DOUBLE) texts.pushDouble(value);
  else texts.pushText(value === 0 ? "false" : "true");
}

/** Adds an id of eight or sixteen bytes. */
function pushId(words: Words, id: Uint8Array): void {
  const view = new DataView(id.buffer, id.byteOffset, id.length);
  for (let at = 0; at < id.length; at += 8) words.pushPlace(view, at);
}
