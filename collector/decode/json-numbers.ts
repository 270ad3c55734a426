/**
 * Reads numbers, ids and base64 from the bytes of a JSON text, and writes them as protobuf has them.
 *
 * Invariant: nothing is rounded but what a double has to be, and that once, to the nearest.
 */
import { closeMessage, type JsonCursor, QUOTE, SHORT_SIZE } from "./json-cursor.ts";

/** Digits that any 64-bit integer fits in. */
const MAX_INTEGER_DIGITS = 20;
/** Digits of an integer that a double holds whatever they are. */
const MAX_SAFE_DIGITS = 15;
/** Digits of the lower part of an integer that is read in two. */
const LOW_PART_DIGITS = 9;

const ZERO = 0x30;
const NINE = 0x39;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const EQUALS = 0x3d;
const LETTER_E = 0x65;
const LOWER_CASE = 0x20;

/** Powers of ten that a double holds exactly. */
const POWERS = Float64Array.from({ length: MAX_SAFE_DIGITS + 1 }, (_, power) => 10 ** power);

/** Values of the hex digits of either case by their bytes, -1 for others. */
export const HEX_DIGITS = digitValues("0123456789abcdef", "0123456789ABCDEF");

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** Values of the base64 digits of either alphabet by their bytes, -1 for others. */
const BASE64_DIGITS = digitValues(`${ALPHABET}+/`, `${ALPHABET}-_`);

function digitValues(...alphabets: readonly string[]): Int8Array {
  const values = new Int8Array(256).fill(-1);
  for (const alphabet of alphabets) {
    for (let value = 0; value < alphabet.length; value += 1) {
      values[alphabet.charCodeAt(value)] = value;
    }
  }
  return values;
}

/**
 * Reads an integer of digits alone, bare or in quotes, into `is_negative`, `high` and `low`. One with
 * a point or an exponent is left to the tolerant decoder.
 */
export function readInteger(cursor: JsonCursor): boolean {
  const { bytes } = cursor;
  const isQuoted = bytes[cursor.pos] === QUOTE;
  let start = isQuoted ? cursor.pos + 1 : cursor.pos;
  cursor.is_negative = bytes[start] === MINUS;
  if (cursor.is_negative) start += 1;
  const end = skipDigits(cursor, start);
  const count = end - start;
  if (count === 0 || count > MAX_INTEGER_DIGITS) return false;
  if (isQuoted ? bytes[end] !== QUOTE : count > 1 && bytes[start] === ZERO) return false;
  cursor.pos = isQuoted ? end + 1 : end;
  return joinDigits(cursor, start, end);
}

function skipDigits({ bytes, end }: JsonCursor, start: number): number {
  let pos = start;
  while (pos < end && (bytes[pos] as number) >= ZERO && (bytes[pos] as number) <= NINE) pos += 1;
  return pos;
}

/** Sets the magnitude; false when it takes more than 64 bits. */
function joinDigits(cursor: JsonCursor, start: number, end: number): boolean {
  const { bytes } = cursor;
  if (end - start <= MAX_SAFE_DIGITS) {
    const value = readDigits(bytes, start, end);
    cursor.high = Math.floor(value / 0x1_0000_0000);
    cursor.low = value >>> 0;
    return true;
  }
  const upper = readDigits(bytes, start, end - LOW_PART_DIGITS);
  const lower = readDigits(bytes, end - LOW_PART_DIGITS, end);
  // Products of 16 bits with 10^9 stay below 2^53, where doubles are exact.
  const first = (upper & 0xffff) * 1e9 + lower;
  const second = ((upper >>> 16) & 0xffff) * 1e9 + Math.floor(first / 0x1_0000);
  cursor.low = ((second % 0x1_0000) * 0x1_0000 + (first % 0x1_0000)) >>> 0;
  cursor.high = Math.floor(upper / 0x1_0000_0000) * 1e9 + Math.floor(second / 0x1_0000);
  return cursor.high <= 0xffff_ffff;
}

function readDigits(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let pos = start; pos < end; pos += 1) value = value * 10 + (bytes[pos] as number) - ZERO;
  return value;
}

/** Reads an unsigned 64-bit integer and writes it as a fixed64 with that tag. */
export function copyFixed64(cursor: JsonCursor, tag: number): boolean {
  if (!readInteger(cursor) || cursor.is_negative) return false;
  const { at } = cursor;
  cursor.out[at] = tag;
  cursor.out_view.setUint32(at + 1, cursor.low, true);
  cursor.out_view.setUint32(at + 5, cursor.high, true);
  cursor.at = at + 9;
  return true;
}

/**
 * Reads the number of an enum, an int32, and writes it as a varint with that tag. A negative one would
 * take more bytes than it has characters, and nobody sends it.
 */
export function copyEnum(cursor: JsonCursor, tag: number): boolean {
  if (!readInteger(cursor) || cursor.is_negative) return false;
  if (cursor.high !== 0 || cursor.low > 0x7fff_ffff) return false;
  writeVarint(cursor, tag);
  return true;
}

/** Reads an int64 and writes it as a varint with that tag. */
export function copyInt64(cursor: JsonCursor, tag: number): boolean {
  if (!readInteger(cursor)) return false;
  const { high, low, is_negative } = cursor;
  if (high >= 0x8000_0000 && !(is_negative && high === 0x8000_0000 && low === 0)) return false;
  writeVarint(cursor, tag);
  return true;
}

/** Writes the integer that was read last; a negative one as its two's complement of 64 bits. */
function writeVarint(cursor: JsonCursor, tag: number): void {
  const { out } = cursor;
  let { at, high, low } = cursor;
  if (cursor.is_negative) {
    high = (low === 0 ? -high : ~high) >>> 0;
    low = -low >>> 0;
  }
  out[at++] = tag;
  while (high !== 0 || low > 0x7f) {
    out[at++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  out[at++] = low;
  cursor.at = at;
}

/** Reads a number, not one in quotes, and writes it as a double with that tag. */
export function copyDouble(cursor: JsonCursor, tag: number): boolean {
  if (!readNumber(cursor)) return false;
  cursor.out[cursor.at] = tag;
  cursor.out_view.setFloat64(cursor.at + 1, cursor.number, true);
  cursor.at += 9;
  return true;
}

/** Reads any number of JSON into `number`. */
export function readNumber(cursor: JsonCursor): boolean {
  const { bytes, pos } = cursor;
  const isNegative = bytes[pos] === MINUS;
  const start = isNegative ? pos + 1 : pos;
  let end = skipDigits(cursor, start);
  if (end === start || (end > start + 1 && bytes[start] === ZERO)) return false;
  let digits = end - start;
  let mantissa = digits <= MAX_SAFE_DIGITS ? readDigits(bytes, start, end) : 0;
  let decimals = 0;
  if (bytes[end] === POINT) {
    const point = end;
    end = skipDigits(cursor, point + 1);
    decimals = end - point - 1;
    if (decimals === 0) return false;
    digits += decimals;
    if (digits <= MAX_SAFE_DIGITS) {
      mantissa = mantissa * (POWERS[decimals] as number) + readDigits(bytes, point + 1, end);
    }
  }
  const exponent = end;
  if (((bytes[end] as number) | LOWER_CASE) === LETTER_E) {
    const sign = bytes[end + 1];
    const first = sign === PLUS || sign === MINUS ? end + 2 : end + 1;
    end = skipDigits(cursor, first);
    if (end === first) return false;
  }
  cursor.pos = end;
  if (end !== exponent || digits > MAX_SAFE_DIGITS) {
    cursor.number = Number(bytes.toString("latin1", pos, end));
  } else {
    // Both are exact, so the quotient is rounded once, as the number itself would be.
    const value = mantissa / (POWERS[decimals] as number);
    cursor.number = isNegative ? -value : value;
  }
  return true;
}

/**
 * Reads an id of that many bytes in hex and writes it with that tag; an empty one is not written.
 * Another is left to the tolerant decoder, which has a reason for each that it refuses.
 */
export function copyId(cursor: JsonCursor, tag: number, byte_count: number): boolean {
  const { bytes, out, pos, end } = cursor;
  if (bytes[pos] !== QUOTE) return false;
  if (bytes[pos + 1] === QUOTE) {
    cursor.pos = pos + 2;
    return true;
  }
  const stop = pos + 1 + byte_count * 2;
  if (stop >= end || bytes[stop] !== QUOTE) return false;
  let { at } = cursor;
  out[at++] = tag;
  out[at++] = byte_count;
  let bits = 0;
  for (let from = pos + 1; from < stop; from += 2) {
    const high = HEX_DIGITS[bytes[from] as number] as number;
    const low = HEX_DIGITS[bytes[from + 1] as number] as number;
    bits |= high | low;
    out[at++] = (high << 4) | low;
  }
  cursor.at = at;
  cursor.pos = stop + 1;
  return bits >= 0;
}

/** Reads base64 of either alphabet, padded or not, and writes its bytes with that tag. */
export function copyBase64(cursor: JsonCursor, tag: number): boolean {
  const { bytes, out, pos } = cursor;
  if (bytes[pos] !== QUOTE) return false;
  const quote = bytes.indexOf(QUOTE, pos + 1);
  if (quote === -1) return false;
  cursor.pos = quote + 1;
  let stop = quote;
  if ((stop - pos - 1) % 4 === 0) {
    for (let padding = 0; padding < 2 && bytes[stop - 1] === EQUALS; padding += 1) stop -= 1;
  }
  if ((stop - pos - 1) % 4 === 1) return false;
  out[cursor.at] = tag;
  const start = cursor.at + 1 + SHORT_SIZE;
  let at = start;
  let bits = 0;
  let bit_count = 0;
  for (let from = pos + 1; from < stop; from += 1) {
    const digit = BASE64_DIGITS[bytes[from] as number] as number;
    if (digit < 0) return false;
    bits = ((bits << 6) | digit) & 0x3fff;
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    out[at++] = bits >> bit_count;
  }
  cursor.at = at;
  return closeMessage(cursor, start, SHORT_SIZE);
}
