/**
 * Reads single values of the proto3 JSON mapping: integers, doubles, enums, hex ids and base64.
 *
 * Each takes whatever stood in the JSON and returns undefined for what it cannot be. Invariant:
 * nothing is rounded; an integer is exact or refused.
 *
 * Mapping: https://protobuf.dev/programming-guides/json/ and OTLP's deviations from it.
 */

/** Digits that any 64-bit integer fits in. */
const MAX_INTEGER_DIGITS = 20;

/** Characters of the longest number text taken apart: more can be no integer worth having. */
const MAX_INTEGER_CHARACTERS = 400;

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,4}))?$/;
const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

/**
 * Reads an integer of at most 20 digits from a number, a bigint or a decimal text; a zero fraction
 * and an exponent are allowed (OTLP J05, J07). A number when it is safe, otherwise a bigint.
 */
export function parseInteger(value: unknown): number | bigint | undefined {
  if (typeof value === "number") return wholeNumber(value);
  if (typeof value === "bigint") return narrow(value);
  if (typeof value !== "string") return undefined;
  if (value.length <= 15 && isDigits(value)) return Number(value);
  if (value.length <= MAX_INTEGER_DIGITS && isDigits(value)) return narrow(BigInt(value));
  return parseDecimal(value);
}

/** Reads an int64: an integer from -2^63 to 2^63 - 1. */
export function parseInt64(value: unknown): number | bigint | undefined {
  const integer = parseInteger(value);
  if (typeof integer !== "bigint") return integer;
  return BigInt.asIntN(64, integer) === integer ? integer : undefined;
}

/** Reads a uint64: an integer from 0 to 2^64 - 1, always as a bigint. */
export function parseUint64(value: unknown): bigint | undefined {
  const integer = parseInteger(value);
  if (integer === undefined) return undefined;
  const wide = BigInt(integer);
  return BigInt.asUintN(64, wide) === wide ? wide : undefined;
}

/** Reads an int32: an integer from -2^31 to 2^31 - 1, also from a text (OTLP J09). */
export function parseInt32(value: unknown): number | undefined {
  const integer = parseInteger(value);
  if (typeof integer !== "number" || integer < INT32_MIN || integer > INT32_MAX) return undefined;
  return integer;
}

/** Reads a double from a number or a text, with `NaN`, `Infinity` and `-Infinity` (OTLP J06). */
export function parseDouble(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "string") return undefined;
  if (value === "NaN") return Number.NaN;
  if (value === "Infinity") return Number.POSITIVE_INFINITY;
  if (value === "-Infinity") return Number.NEGATIVE_INFINITY;
  return NUMBER.test(value) ? Number(value) : undefined;
}

/** Reads as many bytes from hex digits of either case; undefined for any other text. */
export function parseHex(text: string, byteCount: number): Uint8Array | undefined {
  if (text.length !== byteCount * 2) return undefined;
  const bytes = new Uint8Array(byteCount);
  for (let index = 0; index < byteCount; index += 1) {
    const high = hexDigit(text.charCodeAt(index * 2));
    const low = hexDigit(text.charCodeAt(index * 2 + 1));
    if (high < 0 || low < 0) return undefined;
    bytes[index] = (high << 4) | low;
  }
  return bytes;
}

/** Whether the text is made of hex digits alone. */
export function isHex(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (hexDigit(text.charCodeAt(index)) < 0) return false;
  }
  return true;
}

/** Reads base64 in the standard or the URL-safe alphabet, padded or not (OTLP J01). */
export function parseBase64(text: string): Uint8Array | undefined {
  const length = unpaddedLength(text);
  if (length % 4 === 1) return undefined;
  const bytes = new Uint8Array((length * 3) >> 2);
  let bits = 0;
  let bitCount = 0;
  let byteCount = 0;
  for (let index = 0; index < length; index += 1) {
    const digit = base64Digit(text.charCodeAt(index));
    if (digit < 0) return undefined;
    bits = ((bits << 6) | digit) & 0x3fff;
    bitCount += 6;
    if (bitCount < 8) continue;
    bitCount -= 8;
    bytes[byteCount] = bits >> bitCount;
    byteCount += 1;
  }
  return bytes;
}

/** Characters before the padding; padding that is not where it belongs stays and is refused. */
function unpaddedLength(text: string): number {
  if (text.length % 4 !== 0) return text.length;
  if (text.endsWith("==")) return text.length - 2;
  return text.endsWith("=") ? text.length - 1 : text.length;
}

function wholeNumber(value: number): number | bigint | undefined {
  if (!Number.isInteger(value)) return undefined;
  // The sum turns -0 into 0: integers have one zero.
  return Number.isSafeInteger(value) ? value + 0 : BigInt(value);
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function isDigits(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) return false;
  }
  return text.length > 0;
}

/** Shifts the decimal point by the exponent, in text, and takes what is then whole. */
function parseDecimal(text: string): number | bigint | undefined {
  if (text.length > MAX_INTEGER_CHARACTERS) return undefined;
  const match = DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return 0;
  const shift = Number(exponent) - fraction.length;
  const significant = digits.replace(/0+$/, "");
  const zeroCount = digits.length - significant.length + shift;
  if (zeroCount < 0 || significant.length + zeroCount > MAX_INTEGER_DIGITS) return undefined;
  return narrow(BigInt(sign + significant + "0".repeat(zeroCount)));
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function base64Digit(code: number): number {
  if (code >= 0x41 && code <= 0x5a) return code - 0x41;
  if (code >= 0x61 && code <= 0x7a) return code - 0x47;
  if (code >= 0x30 && code <= 0x39) return code + 4;
  if (code === 0x2b || code === 0x2d) return 62;
  return code === 0x2f || code === 0x5f ? 63 : -1;
}
