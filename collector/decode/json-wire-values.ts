/**
 * Turns attributes and their values from OTLP/JSON into protobuf bytes.
 *
 * Invariant: what is written here decodes, without a warning, to what `decodeAttributes` makes of the
 * same text; everything that would take a warning is left to it.
 */
import {
  closeMessage,
  type JsonCursor,
  LONG_SIZE,
  openMessage,
  QUOTE,
  SHORT_SIZE,
} from "./json-cursor.ts";
import {
  type ListRule,
  Members,
  type ReadField,
  readFlag,
  readList,
  readMembers,
} from "./json-members.ts";
import { copyBase64, copyDouble, copyInt64 } from "./json-numbers.ts";
import { copyText } from "./json-string.ts";
import { MAX_ATTRIBUTES, MAX_KEY_BYTES } from "./limits.ts";

/** Levels of nested AnyValue that are read here; deeper ones are left to the tolerant decoder. */
const MAX_WIRE_VALUE_DEPTH = 32;

/** Levels at which a value is moved when it turns out to be long; below, its length has room. */
const SHORT_SIZE_DEPTH = 2;

const ATTRIBUTE_LIST: ListRule = { max_items: MAX_ATTRIBUTES, keeps_null: false };
const VALUE_LIST: ListRule = { max_items: Infinity, keeps_null: true };

// Tags of KeyValue, AnyValue, ArrayValue and KeyValueList, each a byte: number << 3 | wire type.
const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;
const STRING_TAG = 0x0a;
const BOOL_TAG = 0x10;
const INT_TAG = 0x18;
const DOUBLE_TAG = 0x21;
const ARRAY_TAG = 0x2a;
const LIST_TAG = 0x32;
const BYTES_TAG = 0x3a;
const ITEM_TAG = 0x0a;

const KEY_VALUE = new Members(["key", "value"]);
const ANY_VALUE = new Members(
  [
    "stringValue",
    "intValue",
    "doubleValue",
    "boolValue",
    "arrayValue",
    "kvlistValue",
    "bytesValue",
    // Read as absent with a warning, so a known name that nothing is done about.
    "stringValueStrindex",
  ],
  true,
);
const VALUES = new Members(["values"]);

/** Reads a string and writes it with that tag. */
export function copyString(cursor: JsonCursor, tag: number): boolean {
  if (cursor.bytes[cursor.pos] !== QUOTE) return false;
  cursor.pos += 1;
  cursor.out[cursor.at] = tag;
  cursor.at += 1;
  return copyText(cursor);
}

/** Reads a list of attributes and writes each with that tag. */
export function copyAttributes(cursor: JsonCursor, tag: number): boolean {
  return readList(cursor, tag, ATTRIBUTE_LIST, copyAttribute);
}

function copyAttribute(cursor: JsonCursor, tag: number): boolean {
  const { pos, at } = cursor;
  if (copyUsual(cursor, tag)) return true;
  cursor.pos = pos;
  cursor.at = at;
  const size_bytes = sizeBytes(cursor);
  const start = openMessage(cursor, tag, size_bytes);
  return readMembers(cursor, KEY_VALUE, readKeyValue) && closeMessage(cursor, start, size_bytes);
}

function sizeBytes({ value_depth }: JsonCursor): number {
  return value_depth > SHORT_SIZE_DEPTH ? LONG_SIZE : SHORT_SIZE;
}

function readKeyValue(cursor: JsonCursor, field: number): boolean {
  if (field === 1) return copyValue(cursor, VALUE_TAG);
  const { at } = cursor;
  // With its tag and length, so that a key of nearly the limit is judged elsewhere as well.
  return copyString(cursor, KEY_TAG) && cursor.at - at <= MAX_KEY_BYTES;
}

function copyValue(cursor: JsonCursor, tag: number): boolean {
  const size_bytes = sizeBytes(cursor);
  const start = openMessage(cursor, tag, size_bytes);
  return readMembers(cursor, ANY_VALUE, readValue) && closeMessage(cursor, start, size_bytes);
}

function readValue(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyString(cursor, STRING_TAG);
    case 1:
      return copyInt64(cursor, INT_TAG);
    case 2:
      return copyDouble(cursor, DOUBLE_TAG);
    case 3:
      if (!readFlag(cursor)) return false;
      cursor.out[cursor.at] = BOOL_TAG;
      cursor.out[cursor.at + 1] = cursor.number;
      cursor.at += 2;
      return true;
    case 4:
      return copyNested(cursor, ARRAY_TAG, readArray);
    case 5:
      return copyNested(cursor, LIST_TAG, readKeyValueList);
    case 6:
      return copyBase64(cursor, BYTES_TAG);
    default:
      return false;
  }
}

function copyNested(cursor: JsonCursor, tag: number, readValues: ReadField): boolean {
  if (cursor.value_depth === MAX_WIRE_VALUE_DEPTH) return false;
  cursor.value_depth += 1;
  const size_bytes = sizeBytes(cursor);
  const start = openMessage(cursor, tag, size_bytes);
  if (!readMembers(cursor, VALUES, readValues)) return false;
  cursor.value_depth -= 1;
  return closeMessage(cursor, start, size_bytes);
}

function readArray(cursor: JsonCursor): boolean {
  return readList(cursor, ITEM_TAG, VALUE_LIST, copyValue);
}

function readKeyValueList(cursor: JsonCursor): boolean {
  return readList(cursor, ITEM_TAG, ATTRIBUTE_LIST, copyAttribute);
}

/** Four characters as the word that they are in the bytes of a text. */
function wordOf(text: string): number {
  return Buffer.from(text).readInt32LE();
}

// `{"key":"`, then `,"value":{"`, then `stringValue":"` or `intValue":`.
const OPEN_KEY = [wordOf('{"ke'), wordOf('y":"')] as const;
const OPEN_VALUE = [wordOf(',"va'), wordOf('lue"'), wordOf(':{"\0')] as const;
const OPEN_STRING = [wordOf("stri"), wordOf("ngVa"), wordOf('lue"')] as const;
const OPEN_INT = [wordOf("intV"), wordOf("alue")] as const;
const CLOSE_BOTH = 0x7d7d;
const COLON_QUOTE = 0x223a;
const QUOTE_COLON = 0x3a22;
const THREE_BYTES = 0xff_ffff;
/** Characters that are looked at without a look at the end: `,"value":{"stringValue":"` and more. */
const LOOKAHEAD_BYTES = 32;
/** Longest key whose length is one byte. */
const MAX_USUAL_KEY_BYTES = 127;

/**
 * Copies an attribute as most of them are written: no white space, the key first, its value a string
 * or an integer. False for any other, with the cursor anywhere.
 */
function copyUsual(cursor: JsonCursor, tag: number): boolean {
  const { view, end, out } = cursor;
  if (cursor.value_depth > SHORT_SIZE_DEPTH || end - cursor.pos < LOOKAHEAD_BYTES) return false;
  if (view.getInt32(cursor.pos, true) !== OPEN_KEY[0]) return false;
  if (view.getInt32(cursor.pos + 4, true) !== OPEN_KEY[1]) return false;
  const start = openMessage(cursor, tag, SHORT_SIZE);
  out[start] = KEY_TAG;
  cursor.at = start + 1;
  cursor.pos += 8;
  if (!copyText(cursor) || cursor.at - start - 2 > MAX_USUAL_KEY_BYTES) return false;
  const { pos } = cursor;
  if (end - pos < LOOKAHEAD_BYTES) return false;
  if (view.getInt32(pos, true) !== OPEN_VALUE[0]) return false;
  if (view.getInt32(pos + 4, true) !== OPEN_VALUE[1]) return false;
  if ((view.getInt32(pos + 8, true) & THREE_BYTES) !== OPEN_VALUE[2]) return false;
  cursor.pos = pos + 11;
  const value_start = openMessage(cursor, VALUE_TAG, SHORT_SIZE);
  if (!copyUsualValue(cursor)) return false;
  if (end - cursor.pos < 2 || view.getUint16(cursor.pos, true) !== CLOSE_BOTH) return false;
  cursor.pos += 2;
  cursor.container_count += 2;
  return closeMessage(cursor, value_start, SHORT_SIZE) && closeMessage(cursor, start, SHORT_SIZE);
}

/** Copies the member of an AnyValue after the quote before its name. */
function copyUsualValue(cursor: JsonCursor): boolean {
  const { view, pos } = cursor;
  const first = view.getInt32(pos, true);
  if (first === OPEN_STRING[0]) {
    if (view.getInt32(pos + 4, true) !== OPEN_STRING[1]) return false;
    if (view.getInt32(pos + 8, true) !== OPEN_STRING[2]) return false;
    if (view.getUint16(pos + 12, true) !== COLON_QUOTE) return false;
    cursor.pos = pos + 14;
    cursor.out[cursor.at] = STRING_TAG;
    cursor.at += 1;
    return copyText(cursor);
  }
  if (first !== OPEN_INT[0] || view.getInt32(pos + 4, true) !== OPEN_INT[1]) return false;
  if (view.getUint16(pos + 8, true) !== QUOTE_COLON) return false;
  cursor.pos = pos + 10;
  return copyInt64(cursor, INT_TAG);
}
