/**
 * Decodes OTLP attributes and their values from protobuf: KeyValue, AnyValue and the two lists.
 *
 * Invariant: the recursion is bounded by MAX_VALUE_DEPTH and what is kept by MAX_VALUES_PER_REQUEST,
 * whatever the body declares.
 */
import type { AttributeValue } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type { KeyCache } from "./key-cache.ts";
import { createKeyCache, readKey } from "./key-cache.ts";
import {
  MAX_ATTRIBUTES,
  MAX_KEY_BYTES,
  MAX_VALUE_DEPTH,
  MAX_VALUES_PER_REQUEST,
  TOO_DEEP_VALUE,
  tooManyObjects,
} from "./limits.ts";
import type { Notes } from "./notes.ts";
import { addWarning, WARNINGS } from "./notes.ts";
import { ANY_VALUE, KEY_VALUE, VALUE_LIST } from "./messages.ts";
import type { WireReader } from "./wire.ts";
import {
  readBool,
  readBytes,
  readDouble,
  readEnd,
  readField,
  readInt64,
  readText,
  skipValue,
} from "./wire.ts";

/** The state of decoding one body, as far as values need it. */
export interface ValueDecoding {
  reader: WireReader;
  notes: Notes;
  value_count: number;
}

/** Keys repeat over requests, not only within one. Only a cache: no result depends on it. */
const keyCache: KeyCache = createKeyCache();

/** Decodes a KeyValue into the list, within its limits. `depth` is the level of its value. */
export function decodeAttribute(
  decoding: ValueDecoding,
  end: number,
  depth: number,
  into: Attributes,
): void {
  const { reader } = decoding;
  if (into.keys.length >= MAX_ATTRIBUTES) {
    addWarning(decoding.notes, WARNINGS.attribute_count);
    reader.pos = end;
    return;
  }
  countValue(decoding);
  let key = "";
  let value: AttributeValue = null;
  let isKeyTooLong = false;
  while (reader.pos < end) {
    const field = readField(reader, end, KEY_VALUE);
    if (field === 1) {
      const stop = readEnd(reader, end);
      isKeyTooLong = stop - reader.pos > MAX_KEY_BYTES;
      if (isKeyTooLong) reader.pos = stop;
      else key = readKey(keyCache, reader, stop);
    } else if (field === 2) {
      value = decodeValue(decoding, readEnd(reader, end), depth, value);
    } else {
      if (field === 3) addWarning(decoding.notes, WARNINGS.string_index);
      skipValue(reader, field, end);
    }
  }
  if (isKeyTooLong) addWarning(decoding.notes, WARNINGS.key_size);
  else into.add(key, value);
}

/**
 * Decodes an AnyValue on top of `initial`, the value of the same field sent before: a repeated
 * message merges (OTLP D03). `depth` is its level; the recursion is bounded by MAX_VALUE_DEPTH.
 */
export function decodeValue(
  decoding: ValueDecoding,
  end: number,
  depth: number,
  initial: AttributeValue,
): AttributeValue {
  const { reader } = decoding;
  if (depth > MAX_VALUE_DEPTH) {
    addWarning(decoding.notes, WARNINGS.value_depth);
    reader.pos = end;
    return TOO_DEEP_VALUE;
  }
  let value = initial;
  while (reader.pos < end) {
    const field = readField(reader, end, ANY_VALUE);
    switch (field) {
      case 1:
        value = readText(reader, readEnd(reader, end));
        break;
      case 2:
        value = readBool(reader, end);
        break;
      case 3:
        value = readInt64(reader, end);
        break;
      case 4:
        value = readDouble(reader, end);
        break;
      case 5:
        value = Array.isArray(value) ? value : [];
        decodeArray(decoding, readEnd(reader, end), depth + 1, value);
        break;
      case 6:
        value = value instanceof Attributes ? value : new Attributes();
        decodeKeyValueList(decoding, readEnd(reader, end), depth + 1, value);
        break;
      case 7:
        value = readBytes(reader, readEnd(reader, end));
        break;
      case 8:
        value = null;
        addWarning(decoding.notes, WARNINGS.string_index);
        skipValue(reader, field, end);
        break;
      default:
        skipValue(reader, field, end);
    }
  }
  return value;
}

function decodeArray(
  decoding: ValueDecoding,
  end: number,
  depth: number,
  into: AttributeValue[],
): void {
  const { reader } = decoding;
  while (reader.pos < end) {
    const field = readField(reader, end, VALUE_LIST);
    if (field === 1) {
      countValue(decoding);
      into.push(decodeValue(decoding, readEnd(reader, end), depth, null));
    } else {
      skipValue(reader, field, end);
    }
  }
}

function decodeKeyValueList(
  decoding: ValueDecoding,
  end: number,
  depth: number,
  into: Attributes,
): void {
  const { reader } = decoding;
  while (reader.pos < end) {
    const field = readField(reader, end, VALUE_LIST);
    if (field === 1) decodeAttribute(decoding, readEnd(reader, end), depth, into);
    else skipValue(reader, field, end);
  }
}

/** Counts a thing that is kept. Throws `too_many_objects` beyond MAX_VALUES_PER_REQUEST. */
export function countValue(decoding: ValueDecoding): void {
  decoding.value_count += 1;
  if (decoding.value_count > MAX_VALUES_PER_REQUEST) {
    throw tooManyObjects("attributes, values, events and links", MAX_VALUES_PER_REQUEST);
  }
}
