/**
 * Reads the fields of OTLP/JSON objects: by either name, with null as absent, of the right type.
 *
 * A field of a wrong type gives its default and sets `problem`, which the caller turns into a
 * rejected record or a refused body. Invariant: only own properties are read.
 */
import { isHex, parseHex, parseInt32, parseUint64 } from "./json-scalars.ts";
import type { Notes } from "./notes.ts";
import { addWarning, WARNINGS } from "./notes.ts";
import { NO_ID, NOT_HEX_ID, WRONG_SIZE_ID } from "./span-id.ts";

/** A JSON object, whose names are whatever the sender chose. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The state of decoding one body. */
export interface JsonDecoding {
  notes: Notes;
  envelope_count: number;
  /** What was first found wrong with the fields of the object at hand. */
  problem: string | undefined;
}

const NOTHING: readonly unknown[] = [];

/** Whether the value is a JSON object and not null or an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads a field whose name is one word; undefined when it is absent or null (OTLP J08). */
export function readField(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

/** Reads a field by its lowerCamelCase name, else by its snake_case one with a warning (J04). */
export function readNamedField(
  decoding: JsonDecoding,
  object: JsonObject,
  camelName: string,
  snakeName: string,
): unknown {
  const value = readField(object, camelName);
  if (value !== undefined) return value;
  const other = readField(object, snakeName);
  if (other !== undefined) addWarning(decoding.notes, WARNINGS.snake_case);
  return other;
}

/**
 * Reads the oneof of a message: the last member that is present, with what `members` has for its
 * name, and undefined when there is none. A name in snake_case gives a warning.
 */
export function readOneof<Member>(
  decoding: JsonDecoding,
  object: JsonObject,
  members: ReadonlyMap<string, Member>,
): { member: Member; value: unknown } | undefined {
  let found: { member: Member; value: unknown } | undefined;
  for (const name of Object.keys(object)) {
    const member = members.get(name);
    const value = object[name];
    if (member === undefined || value === null) continue;
    if (name.includes("_")) addWarning(decoding.notes, WARNINGS.snake_case);
    found = { member, value };
  }
  return found;
}

/** Reads an object inside a record; absent is empty, another type is a problem of the record. */
export function readObject(decoding: JsonDecoding, value: unknown, name: string): JsonObject {
  if (value === undefined) return {};
  if (isObject(value)) return value;
  decoding.problem ??= `${name} must be an object`;
  return {};
}

/** Reads a repeated field; absent is empty. */
export function readList(decoding: JsonDecoding, value: unknown, name: string): readonly unknown[] {
  if (value === undefined) return NOTHING;
  if (Array.isArray(value)) return value;
  decoding.problem ??= `${name} must be an array`;
  return NOTHING;
}

/** Reads a string; absent is empty. */
export function readString(decoding: JsonDecoding, value: unknown, name: string): string {
  if (value === undefined) return "";
  if (typeof value === "string") return mendText(decoding, value);
  decoding.problem ??= `${name} must be a string`;
  return "";
}

/** Replaces unpaired surrogates, which UTF-8 cannot hold, by U+FFFD with a warning (J12). */
export function mendText(decoding: JsonDecoding, text: string): string {
  if (text.isWellFormed()) return text;
  addWarning(decoding.notes, WARNINGS.lone_surrogate);
  return text.toWellFormed();
}

/** Reads a uint64, such as a Unix time in ns; absent is 0. */
export function readUint64(decoding: JsonDecoding, value: unknown, name: string): bigint {
  if (value === undefined) return 0n;
  const number = parseUint64(value);
  if (number === undefined) decoding.problem ??= `${name} must be an unsigned 64-bit integer`;
  return number ?? 0n;
}

/**
 * Reads an enum; absent is 0. Unknown numbers are kept; known names are accepted with a warning,
 * because OTLP/JSON forbids names but senders of standard protobuf JSON use them (J02).
 */
export function readEnum(
  decoding: JsonDecoding,
  value: unknown,
  name: string,
  names: readonly string[],
): number {
  if (value === undefined) return 0;
  const number = parseInt32(value);
  if (number !== undefined) return number;
  const named = typeof value === "string" ? names.indexOf(value) : -1;
  if (named >= 0) addWarning(decoding.notes, WARNINGS.enum_name);
  else decoding.problem ??= `${name} must be an integer of the OTLP enum`;
  return Math.max(named, 0);
}

/** Reads a bool; absent is false. */
export function readBool(decoding: JsonDecoding, value: unknown, name: string): boolean {
  if (typeof value === "boolean") return value;
  if (value !== undefined) decoding.problem ??= `${name} must be true or false`;
  return false;
}

/** Reads a hex id; what is none becomes one of the marks that `findSpanProblem` knows (J01). */
export function readId(value: unknown, byteCount: number): Uint8Array {
  if (value === undefined || value === "") return NO_ID;
  if (typeof value !== "string") return NOT_HEX_ID;
  return parseHex(value, byteCount) ?? (isHex(value) ? WRONG_SIZE_ID : NOT_HEX_ID);
}
