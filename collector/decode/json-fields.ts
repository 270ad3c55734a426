/**
 * Reads the fields of OTLP/JSON objects: by either name, with null as absent, of the right type.
 *
 * A field of a wrong type gives its default and sets `problem`, which the caller turns into a
 * rejected span or a refused body. Invariant: only own properties are read.
 */
import type { DecodedTraces } from "../../schemas/span.ts";
import { isHex, parseHex, parseInt32, parseUint64 } from "./json-scalars.ts";
import { addWarning, WARNINGS } from "./notes.ts";
import { NO_ID, NOT_HEX_ID, WRONG_SIZE_ID } from "./span-id.ts";

/** A JSON object, whose names are whatever the sender chose. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The state of decoding one body. */
export interface JsonDecoding {
  traces: DecodedTraces;
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
  if (other !== undefined) addWarning(decoding.traces, WARNINGS.snake_case);
  return other;
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
  addWarning(decoding.traces, WARNINGS.lone_surrogate);
  return text.toWellFormed();
}

/** Reads a Unix time in ns; absent is 0. */
export function readTime(decoding: JsonDecoding, value: unknown, name: string): bigint {
  if (value === undefined) return 0n;
  const time = parseUint64(value);
  if (time === undefined) decoding.problem ??= `${name} must be an unsigned 64-bit integer`;
  return time ?? 0n;
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
  if (named >= 0) addWarning(decoding.traces, WARNINGS.enum_name);
  else decoding.problem ??= `${name} must be an integer of the OTLP enum`;
  return Math.max(named, 0);
}

/** Reads a hex id; what is none becomes one of the marks that `findSpanProblem` knows (J01). */
export function readId(value: unknown, byteCount: number): Uint8Array {
  if (value === undefined || value === "") return NO_ID;
  if (typeof value !== "string") return NOT_HEX_ID;
  return parseHex(value, byteCount) ?? (isHex(value) ? WRONG_SIZE_ID : NOT_HEX_ID);
}
