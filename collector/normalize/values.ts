/**
 * Tolerant reading of attribute values: clients send numbers as strings, flags as "True", lists as
 * JSON text (dialects.md sections 1.7 and 1.8). A value that cannot be believed is undefined, and
 * the caller says so; nothing is clamped and nothing is guessed.
 */
import { MAX_TOKENS_PER_CLASS } from "../../schemas/tokens.ts";
import { NANOSECONDS_PER_SECOND, parseUsd } from "../../schemas/units.ts";
import type { PresentValue } from "./slots.ts";

/** Longest text kept in a typed column, characters. Longer ids and names are cut. */
export const MAX_TEXT_LENGTH = 1024;

/** Text of a scalar, cut to MAX_TEXT_LENGTH; undefined for lists, bytes and blank strings. */
export function readText(value: PresentValue | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string") {
    return value.trim() === "" ? undefined : value.slice(0, MAX_TEXT_LENGTH);
  }
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
    return String(value);
  }
  return undefined;
}

/**
 * A token count: a whole number from 0 to MAX_TOKENS_PER_CLASS, as int, double or decimal string.
 * "invalid" for anything else that is there, so that the row can say it (abuse cases P13, P14).
 */
export function readTokens(value: PresentValue | undefined): number | "invalid" | undefined {
  if (value === undefined) return undefined;
  let count: number;
  if (typeof value === "number") count = value;
  else if (typeof value === "bigint") count = Number(value);
  else if (typeof value === "string" && /^\d{1,15}(\.0+)?$/.test(value)) count = Number(value);
  else return "invalid";
  // Minus zero is no count: nothing counts down to it.
  if (!Number.isInteger(count) || Object.is(count, -0)) return "invalid";
  return count >= 0 && count <= MAX_TOKENS_PER_CLASS ? count : "invalid";
}

/** What Logfire's scrubbing leaves of a value whose name or text sounds secret, as `session.id` does. */
const SCRUBBED = /^\[Scrubbed due to /;

/** The name of a user or a session; undefined where only a placeholder is left of it. */
export function readIdentity(value: PresentValue | undefined): string | undefined {
  const text = readText(value);
  return text === undefined || SCRUBBED.test(text) ? undefined : text;
}

/** A flag, also as "True", "false", 1 or 0. */
export function readFlag(value: PresentValue | undefined): boolean | undefined {
  if (typeof value === "boolean") return value;
  const text = readText(value)?.toLowerCase();
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  return undefined;
}

/** An HTTP status code from 100 to 599. */
export function readHttpStatus(value: PresentValue | undefined): number | undefined {
  const status = Number(readText(value));
  return Number.isInteger(status) && status >= 100 && status <= 599 ? status : undefined;
}

/** A duration sent in seconds, as nanoseconds. Undefined unless it lies between 0 and a day. */
export function readSeconds(value: PresentValue | undefined): bigint | undefined {
  const seconds = Number(readText(value));
  if (!Number.isFinite(seconds) || seconds < 0 || seconds > 86_400) return undefined;
  return BigInt(Math.round(seconds * Number(NANOSECONDS_PER_SECOND)));
}

/** A duration sent in milliseconds, as nanoseconds. Undefined unless it lies between 0 and a day. */
export function readMilliseconds(value: PresentValue | undefined): bigint | undefined {
  const milliseconds = Number(readText(value));
  if (!Number.isFinite(milliseconds) || milliseconds < 0) return undefined;
  return readSeconds(milliseconds / 1000);
}

/** A time as ISO 8601 text, also in quotes of its own (Langfuse), as Unix ns. */
export function readTimeNs(value: PresentValue | undefined): bigint | undefined {
  if (typeof value !== "string") return undefined;
  const time_ms = Date.parse(value.replaceAll('"', ""));
  return Number.isFinite(time_ms) ? BigInt(Math.round(time_ms)) * 1_000_000n : undefined;
}

/**
 * An amount of US dollars that a client claims, as picodollars. A double is read by its shortest
 * decimal form; an amount beyond the ledger's column (under a million dollars) is not believed.
 */
export function readUsd(value: PresentValue | undefined): bigint | undefined {
  const text = readText(value);
  if (text === undefined) return undefined;
  const amount = Number(text);
  if (!Number.isFinite(amount) || amount < 0 || amount >= 1_000_000) return undefined;
  return parseUsd(text) ?? parseUsd(amount.toFixed(12)) ?? undefined;
}

/**
 * The first entry of a list of words: an array, a JSON array in a string (LiteLLM, Mastra), words
 * joined by commas (LangSmith) or a plain string. A JSON array longer than MAX_TEXT_LENGTH is no list of words.
 */
export function readFirstWord(value: PresentValue | undefined): string | undefined {
  if (Array.isArray(value)) return readText(value[0] ?? undefined);
  if (typeof value === "string" && value.startsWith("[")) {
    if (value.length > MAX_TEXT_LENGTH) return undefined;
    try {
      const list: unknown = JSON.parse(value);
      if (Array.isArray(list) && typeof list[0] === "string") return readText(list[0]);
    } catch {
      return undefined; // not JSON after all: no reason is better than a broken one
    }
    return undefined;
  }
  return readText(value)?.split(", ", 1)[0];
}

/** The last entry of such a list, where it has an entry for each chunk of a stream. */
export function readLastWord(value: PresentValue | undefined): string | undefined {
  return Array.isArray(value) ? readText(value.at(-1) ?? undefined) : readFirstWord(value);
}
