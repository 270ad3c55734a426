/**
 * Attribute values as the text that the map columns hold: scalars as written, lists and objects as
 * JSON, bytes as base64, the empty value as empty text.
 */
import { Attributes, type AttributeValue } from "../../schemas/span.ts";

/** The text of a value; total, and linear in its size (the decoder has bounded the depth). */
export function formatAttribute(value: AttributeValue): string {
  if (typeof value === "string") return value;
  if (value === null) return "";
  if (value instanceof Uint8Array) return toBase64(value);
  if (typeof value === "object") return JSON.stringify(toJson(value));
  return String(value);
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** A JSON tree without named properties of ours: objects are built from entries. */
function toJson(value: AttributeValue): unknown {
  if (value instanceof Attributes) {
    return Object.fromEntries(
      value.keys.map((key, index) => [key, toJson(value.values[index] ?? null)]),
    );
  }
  if (value instanceof Uint8Array) return toBase64(value);
  if (Array.isArray(value)) return value.map((item) => toJson(item));
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value;
}
