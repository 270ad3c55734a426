/**
 * Decodes attributes and their values from OTLP/JSON.
 *
 * What cannot be read costs one attribute and gives a warning. Invariant: the recursion is bounded
 * by MAX_VALUE_DEPTH, whatever the depth of the body.
 */
import type { AttributeValue } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type { JsonDecoding, JsonObject } from "./json-fields.ts";
import { isObject, mendText, readField } from "./json-fields.ts";
import { parseBase64, parseDouble, parseInt64 } from "./json-scalars.ts";
import { MAX_ATTRIBUTES, MAX_KEY_BYTES, MAX_VALUE_DEPTH, TOO_DEEP_VALUE } from "./limits.ts";
import { addWarning, WARNINGS } from "./notes.ts";

/** The members of AnyValue whose snake_case name differs, by that name. */
const CAMEL_NAMES: ReadonlyMap<string, string> = new Map([
  ["string_value", "stringValue"],
  ["bool_value", "boolValue"],
  ["int_value", "intValue"],
  ["double_value", "doubleValue"],
  ["array_value", "arrayValue"],
  ["kvlist_value", "kvlistValue"],
  ["bytes_value", "bytesValue"],
  ["string_value_strindex", "stringValueStrindex"],
]);

/** Most bytes of UTF-8 that one UTF-16 code unit can take. */
const MAX_BYTES_PER_CODE_UNIT = 3;

/**
 * Decodes a list of key-value objects; absent is empty. `depth` is the level of their values. What
 * is not such a list, and what is in it and no attribute, is dropped with a warning.
 */
export function decodeAttributes(decoding: JsonDecoding, list: unknown, depth: number): Attributes {
  const attributes = new Attributes();
  if (list === undefined) return attributes;
  if (!Array.isArray(list)) {
    addWarning(decoding.notes, WARNINGS.attribute_list);
    return attributes;
  }
  for (const item of list as unknown[]) {
    if (item === null) continue;
    if (attributes.keys.length >= MAX_ATTRIBUTES) {
      addWarning(decoding.notes, WARNINGS.attribute_count);
      break;
    }
    if (isObject(item)) decodeAttribute(decoding, item, depth, attributes);
    else addWarning(decoding.notes, WARNINGS.attribute_list);
  }
  return attributes;
}

function decodeAttribute(
  decoding: JsonDecoding,
  item: JsonObject,
  depth: number,
  into: Attributes,
): void {
  const key = readField(item, "key") ?? "";
  if (typeof key !== "string") {
    addWarning(decoding.notes, WARNINGS.attribute_list);
    return;
  }
  if (isTooLong(key)) {
    addWarning(decoding.notes, WARNINGS.key_size);
    return;
  }
  const value = decodeValue(decoding, readField(item, "value"), depth);
  if (value === undefined) addWarning(decoding.notes, WARNINGS.attribute_value);
  else into.add(mendText(decoding, key), value);
}

function isTooLong(key: string): boolean {
  if (key.length * MAX_BYTES_PER_CODE_UNIT <= MAX_KEY_BYTES) return false;
  return Buffer.byteLength(key) > MAX_KEY_BYTES;
}

/**
 * Decodes an AnyValue, `depth` being its level; absent is null, and undefined is what is no AnyValue.
 * Of several members the last one counts.
 */
export function decodeValue(
  decoding: JsonDecoding,
  raw: unknown,
  depth: number,
): AttributeValue | undefined {
  if (raw === undefined || raw === null) return null;
  if (!isObject(raw)) return undefined;
  if (depth > MAX_VALUE_DEPTH) {
    addWarning(decoding.notes, WARNINGS.value_depth);
    return TOO_DEEP_VALUE;
  }
  let value: AttributeValue = null;
  for (const name of Object.keys(raw)) {
    const content = raw[name];
    if (content === null) continue;
    const camelName = CAMEL_NAMES.get(name);
    if (camelName !== undefined) addWarning(decoding.notes, WARNINGS.snake_case);
    const member = decodeMember(decoding, camelName ?? name, content, depth);
    if (member === undefined) return undefined;
    if (member !== UNKNOWN_MEMBER) value = member;
  }
  return value;
}

/** Tells a member that AnyValue does not have, which is ignored (J03), from a broken one. */
const UNKNOWN_MEMBER = Symbol("unknown member");

function decodeMember(
  decoding: JsonDecoding,
  name: string,
  content: unknown,
  depth: number,
): AttributeValue | undefined | typeof UNKNOWN_MEMBER {
  switch (name) {
    case "stringValue":
      return typeof content === "string" ? mendText(decoding, content) : undefined;
    case "boolValue":
      return typeof content === "boolean" ? content : undefined;
    case "intValue":
      return parseInt64(content);
    case "doubleValue":
      return parseDouble(content);
    case "arrayValue":
      return isObject(content) ? decodeArray(decoding, content, depth + 1) : undefined;
    case "kvlistValue":
      if (!isObject(content)) return undefined;
      return decodeAttributes(decoding, readField(content, "values"), depth + 1);
    case "bytesValue":
      return typeof content === "string" ? parseBase64(content) : undefined;
    case "stringValueStrindex":
      addWarning(decoding.notes, WARNINGS.string_index);
      return null;
    default:
      return UNKNOWN_MEMBER;
  }
}

function decodeArray(
  decoding: JsonDecoding,
  content: JsonObject,
  depth: number,
): AttributeValue[] | undefined {
  const list = readField(content, "values");
  if (list === undefined) return [];
  if (!Array.isArray(list)) return undefined;
  const values: AttributeValue[] = [];
  for (const item of list as unknown[]) {
    const value = decodeValue(decoding, item, depth);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}
