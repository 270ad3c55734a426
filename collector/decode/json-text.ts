/**
 * Turns the bytes of a JSON body into a tree, after checking that the tree will be of a bearable
 * size and depth.
 *
 * Invariant: JSON.parse never sees a text that is deeper or has more objects than the limits, and
 * no integer loses digits: one above 2^53 arrives as a bigint.
 */
import { PermanentError } from "../../schemas/errors.ts";
import { parseInteger } from "./json-scalars.ts";
import { MAX_JSON_CONTAINERS, MAX_JSON_DEPTH, tooManyObjects } from "./limits.ts";

/** Digits from which on a number may be an integer above 2^53 (9,007,199,254,740,992). */
const LONG_NUMBER_DIGITS = 16;

// A byte order mark is refused before, so none may be swallowed here.
const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenientText = new TextDecoder("utf-8", { ignoreBOM: true });

/** A parsed body, and whether its text had to be mended. */
export interface ParsedJson {
  root: unknown;
  has_invalid_text: boolean;
}

/**
 * Parses a JSON body of at most 512 MB. Invalid UTF-8 becomes U+FFFD. Throws PermanentError
 * `invalid_json` (also for a byte order mark, OTLP J11, and for too much nesting, J14) or
 * `too_many_objects`.
 */
export function parseJson(body: Uint8Array): ParsedJson {
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
    throw invalidJson("the body begins with a byte order mark");
  }
  const hasLongNumbers = scanJson(body);
  const { text, has_invalid_text } = decodeBody(body);
  try {
    const root: unknown = hasLongNumbers ? JSON.parse(text, reviveInteger) : JSON.parse(text);
    return { root, has_invalid_text };
  } catch (error) {
    throw invalidJson(describeSyntaxError(error));
  }
}

/** Makes the error for a body that is no JSON, or no OTLP/JSON. */
export function invalidJson(problem: string): PermanentError {
  return new PermanentError("invalid_json", problem);
}

function decodeBody(body: Uint8Array): { text: string; has_invalid_text: boolean } {
  try {
    return { text: strictText.decode(body), has_invalid_text: false };
  } catch {
    return { text: lenientText.decode(body), has_invalid_text: true };
  }
}

/** Only the position: the engine's message quotes the body, which may hold a prompt. */
function describeSyntaxError(error: unknown): string {
  const message = error instanceof Error ? error.message : "";
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return `the body is not JSON, at character ${position}`;
  if (message.includes("end of JSON")) return "the body is not JSON: it ends too early";
  return "the body is not JSON";
}

/**
 * Keeps integers that a double cannot hold. The text of the number is only given by newer engines,
 * Node 21 and up; the reviver is slow, so it runs only when there is such a number.
 */
function reviveInteger(_name: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return parseInteger(context?.source) ?? value;
}

/**
 * Checks depth and number of containers and tells whether a number outside of strings may be a
 * long integer. Whether the text is JSON at all is left to JSON.parse: on such text this may count
 * wrongly, but never less than the nesting that JSON.parse would see.
 */
function scanJson(body: Uint8Array): boolean {
  let depth = 0;
  let containerCount = 0;
  let hasLongNumbers = false;
  for (let pos = 0; pos < body.length; pos += 1) {
    const byte = body[pos] as number;
    switch (byte) {
      case 0x22: // "
        pos = findStringEnd(body, pos + 1);
        break;
      case 0x7b: // {
      case 0x5b: // [
        depth += 1;
        containerCount += 1;
        if (depth > MAX_JSON_DEPTH) {
          throw invalidJson(`at byte ${pos}: nested deeper than ${MAX_JSON_DEPTH} levels`);
        }
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth -= 1;
        break;
      default:
        if (isDigit(byte)) {
          const end = findNumberEnd(body, pos);
          hasLongNumbers ||= end - pos >= LONG_NUMBER_DIGITS && isLongNumber(body, pos, end);
          pos = end - 1;
        }
    }
  }
  if (containerCount > MAX_JSON_CONTAINERS) {
    throw tooManyObjects("JSON objects and arrays", MAX_JSON_CONTAINERS);
  }
  return hasLongNumbers;
}

/** The offset of the closing quote, or the end of the body. */
function findStringEnd(body: Uint8Array, start: number): number {
  let pos = start;
  while (pos < body.length) {
    const byte = body[pos];
    if (byte === 0x22) return pos;
    pos += byte === 0x5c ? 2 : 1;
  }
  return pos;
}

/** The offset after the digits, signs, point and exponent of a number. */
function findNumberEnd(body: Uint8Array, start: number): number {
  let pos = start + 1;
  while (isDigit(body[pos]) || isNumberSign(body[pos])) pos += 1;
  return pos;
}

/** Whether the number may be a whole number that a double cannot hold. */
function isLongNumber(body: Uint8Array, start: number, end: number): boolean {
  let digitCount = 0;
  let wholeDigitCount = -1;
  let hasExponent = false;
  for (let pos = start; pos < end; pos += 1) {
    const byte = body[pos];
    if (isDigit(byte)) digitCount += 1;
    else if (byte === 0x2e && wholeDigitCount < 0) wholeDigitCount = digitCount;
    else if (byte === 0x65 || byte === 0x45) hasExponent = true;
  }
  // What follows the point makes it a fraction, unless an exponent moves the point.
  const isFraction = wholeDigitCount >= 0 && !hasExponent;
  return (isFraction ? wholeDigitCount : digitCount) >= LONG_NUMBER_DIGITS;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/** One of `+ - . E e`. */
function isNumberSign(byte: number | undefined): boolean {
  return byte === 0x2b || byte === 0x2d || byte === 0x2e || byte === 0x45 || byte === 0x65;
}
