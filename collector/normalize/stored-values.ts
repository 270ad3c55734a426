/**
 * Decides for a span in place which of its attribute values are stored, and as what: `content.ts` for
 * values that are never made into objects.
 *
 * Invariant: what is stored is what `withoutContent` would leave; where the bytes alone cannot tell,
 * the value is decoded and asked about there.
 */
import type { AttributeValue } from "../../schemas/span.ts";
import { ByteTable } from "../../schemas/byte-table.ts";
import { STORE_BYTES, STORE_NOTHING, STORE_TEXT } from "../../schemas/span-row.ts";
import { WIRE_TEXT, type WireSpan } from "../../schemas/wire-span.ts";
import { keepValue, MAX_PLAIN_TEXT_LENGTH } from "./content.ts";
import { LOOK_DECODED, LOOK_URL, type ShapeFacts } from "./shape-facts.ts";

/** Lists remembered by their bytes; finish reasons and the like come again and again. */
const MAX_LISTS = 4_096;
const MAX_LIST_TABLE_BYTES = 1024 ** 2;
/** Longer lists are decoded each time, bytes. */
const MAX_LIST_BYTES = 256;

const QUESTION_MARK = 0x3f;
const HASH = 0x23;
const AT_SIGN = 0x40;
const COLON = 0x3a;
const SLASH = 0x2f;
const COLONS = 0x3a3a3a3a;
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080 | 0;

const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How values are stored (STORE_*), and the texts of those that are stored as texts. */
export interface StoredParts {
  readonly stores: Uint8Array;
  readonly texts: string[];
}

/** Values that are no plain text in place, made readable. */
export interface ValueReader {
  /** The AnyValue at the place; undefined when something about it has to be noted. */
  readonly readValue: (at: number, size: number) => AttributeValue | undefined;
  /** The text that a map column holds of a value. */
  readonly formatValue: (value: AttributeValue) => string;
}

/** Decides about values; one for each reader of bodies. */
export class StoredValues {
  readonly #reader: ValueReader;
  readonly #capture_content: boolean;
  readonly #lists: ByteTable;
  /** Texts of lists; null for what is not stored. */
  readonly #list_texts: (string | null)[] = [];

  constructor(reader: ValueReader, capture_content: boolean, seed: number) {
    this.#reader = reader;
    this.#capture_content = capture_content;
    this.#lists = new ByteTable(MAX_LISTS, MAX_LIST_TABLE_BYTES, seed);
  }

  /**
   * Looks at the values of the positions, of which the first stands at `first`, and sets how they are
   * stored. False when one needs the other path: text that is not UTF-8, and what has to be noted.
   */
  check(
    wire: WireSpan,
    facts: ShapeFacts,
    checks: Int32Array,
    first: number,
    into: StoredParts,
  ): boolean {
    const { looks } = facts;
    for (let index = 0; index < checks.length; index += 1) {
      const position = checks[index] as number;
      const look = looks[position] as number;
      const is_stored =
        look === LOOK_DECODED
          ? this.#storeDecoded(wire, facts, position, first, into)
          : this.#storeText(wire, facts, position, first, into, look === LOOK_URL);
      if (!is_stored) return false;
    }
    return true;
  }

  /** Text under a key that says nothing against it. */
  #storeText(
    wire: WireSpan,
    facts: ShapeFacts,
    position: number,
    first: number,
    into: StoredParts,
    is_url: boolean,
  ): boolean {
    const at = wire.value_at[first + position] as number;
    const size = wire.value_size[first + position] as number;
    into.stores[first + position] = STORE_BYTES;
    if (this.#capture_content) return isAscii(wire.view, at, size) || isUtf8(wire, at, size);
    const kind = size > MAX_PLAIN_TEXT_LENGTH ? TEXT_UNCLEAR : lookAtText(wire, at, size);
    if (kind === TEXT_PLAIN && !is_url) return true;
    if (kind === TEXT_UNCLEAR) return this.#storeDecoded(wire, facts, position, first, into);
    // What follows the path is cut off; a password before the host is for the other path.
    const { bytes } = wire;
    let end = at;
    for (; end < at + size; end += 1) {
      const byte = bytes[end];
      if (byte === QUESTION_MARK || byte === HASH) break;
      if (byte === AT_SIGN) return this.#storeDecoded(wire, facts, position, first, into);
    }
    if (end < at + size) {
      into.stores[first + position] = STORE_TEXT;
      into.texts[first + position] = bytes.toString("latin1", at, end);
    }
    return true;
  }

  #storeDecoded(
    wire: WireSpan,
    facts: ShapeFacts,
    position: number,
    first: number,
    into: StoredParts,
  ): boolean {
    const at = wire.value_at[first + position] as number;
    const size = wire.value_size[first + position] as number;
    const { keys, types } = facts.shape;
    const key = keys[position] as string;
    if (types[position] !== WIRE_TEXT) {
      const is_dropped = facts.stores[position] === STORE_NOTHING;
      return this.#storeList(wire, key, at, size, is_dropped, first + position, into);
    }
    const text = readUtf8(wire, at, size);
    if (text === undefined) return false;
    const kept = keepValue(key, text);
    into.stores[first + position] = kept === undefined ? STORE_NOTHING : STORE_TEXT;
    if (kept !== undefined) into.texts[first + position] = this.#reader.formatValue(kept);
    return true;
  }

  /** A list, or bytes where content is kept. */
  #storeList(
    wire: WireSpan,
    key: string,
    at: number,
    size: number,
    is_dropped: boolean,
    position: number,
    into: StoredParts,
  ): boolean {
    const is_short = size <= MAX_LIST_BYTES;
    const known = is_short ? this.#lists.find(wire.view, at, size) : -1;
    let text: string | null | undefined = known === -1 ? undefined : this.#list_texts[known];
    if (text === undefined) {
      const value = this.#reader.readValue(at, size);
      if (value === undefined) return false;
      if (is_dropped) return true;
      // Whether a list is stored depends on the list alone, once the key lets lists be.
      const kept = this.#capture_content ? value : keepValue(key, value);
      text = kept === undefined ? null : this.#reader.formatValue(kept);
      if (this.#lists.isFull()) this.#lists.clear();
      const number = is_short ? this.#lists.intern(wire.view, at, size) : -1;
      if (number !== -1) this.#list_texts[number] = text;
    }
    if (is_dropped) return true;
    into.stores[position] = text === null ? STORE_NOTHING : STORE_TEXT;
    into.texts[position] = text ?? "";
    return true;
  }
}

/** Text that may be stored as it is. */
const TEXT_PLAIN = 0;
/** Text with a URL in it. */
const TEXT_URL = 1;
/** Text that is not ASCII, or may be a document. */
const TEXT_UNCLEAR = 2;

/** What plain ASCII text is at first sight. */
function lookAtText(wire: WireSpan, at: number, size: number): number {
  const { view, bytes } = wire;
  const first = bytes[at] as number;
  // "{", "[", "<", white space, and "data:" begin documents.
  if (first <= 0x20 || first === 0x7b || first === 0x5b || first === 0x3c) return TEXT_UNCLEAR;
  if (first === 0x64 && size >= 5 && bytes[at + 4] === COLON) return TEXT_UNCLEAR;
  let high = 0;
  let colons = 0;
  let tail_colon = false;
  if (size >= 4) {
    const last = size - 4;
    for (let index = 0; index < last; index += 4) {
      const word = view.getInt32(at + index, true);
      const zeros = word ^ COLONS;
      high |= word;
      colons |= (zeros - ONES) & ~zeros;
    }
    // The last four overlap those before them.
    const word = view.getInt32(at + last, true);
    const zeros = word ^ COLONS;
    high |= word;
    colons |= (zeros - ONES) & ~zeros;
  } else {
    for (let index = 0; index < size; index += 1) {
      const byte = bytes[at + index] as number;
      if (byte >= 0x80) return TEXT_UNCLEAR;
      if (byte === COLON) tail_colon = true;
    }
  }
  if ((high & HIGH_BITS) !== 0) return TEXT_UNCLEAR;
  if ((colons & HIGH_BITS) === 0 && !tail_colon) return TEXT_PLAIN;
  for (let pos = at; pos + 2 < at + size; pos += 1) {
    if (bytes[pos] === COLON && bytes[pos + 1] === SLASH && bytes[pos + 2] === SLASH) {
      return TEXT_URL;
    }
  }
  return TEXT_PLAIN;
}

/** Whether all bytes are ASCII. */
export function isAscii(view: DataView, at: number, size: number): boolean {
  if (size < 4) {
    for (let index = 0; index < size; index += 1) {
      if (view.getUint8(at + index) >= 0x80) return false;
    }
    return true;
  }
  const last = size - 4;
  let high = view.getInt32(at + last, true);
  for (let index = 0; index < last; index += 4) high |= view.getInt32(at + index, true);
  return (high & HIGH_BITS) === 0;
}

function isUtf8(wire: WireSpan, at: number, size: number): boolean {
  return readUtf8(wire, at, size) !== undefined;
}

/** The text at a place; undefined when it is not UTF-8. */
export function readUtf8({ bytes }: WireSpan, at: number, size: number): string | undefined {
  try {
    return strictText.decode(bytes.subarray(at, at + size));
  } catch {
    return undefined;
  }
}
