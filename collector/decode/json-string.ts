/**
 * Copies JSON strings into protobuf: escapes become the UTF-8 that they stand for, the rest is checked
 * to be UTF-8 and stays as it is, four bytes at a time.
 *
 * Invariant: what is copied is valid UTF-8, and every string that is copied is one that JSON.parse
 * takes and that has no unpaired surrogate.
 */
import { BACKSLASH, closeMessage, type JsonCursor, QUOTE, SHORT_SIZE } from "./json-cursor.ts";
import { HEX_DIGITS } from "./json-numbers.ts";

/** Four of the same byte. */
const ONES = 0x01010101;
const SPACES = 0x20202020;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const HIGH_BITS = 0x80808080;
const WORD_BYTES = 4;

const FIRST_PRINTABLE = 0x20;
const FIRST_NON_ASCII = 0x80;
const LETTER_U = 0x75;
/** Characters of `\u0000`. */
const UNICODE_ESCAPE_SIZE = 6;

/** The bytes that escapes of one letter stand for, by the letter; 0 for what is none. */
const ESCAPES = new Uint8Array(256);
for (const [letter, text] of Object.entries({
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
})) {
  ESCAPES[letter.charCodeAt(0)] = text.charCodeAt(0);
}

/**
 * Writes the string whose opening quote was read last, with its length before it, and reads its
 * closing quote.
 */
export function copyText(cursor: JsonCursor): boolean {
  const { bytes, view, out, out_view, end } = cursor;
  const start = cursor.at + SHORT_SIZE;
  const last_word = end - WORD_BYTES;
  let { pos } = cursor;
  let at = start;
  for (;;) {
    let special = 0;
    while (pos <= last_word) {
      const word = view.getInt32(pos, true);
      out_view.setInt32(at, word, true);
      // A subtraction sets the high bit of the first byte that is below 32, a quote or a backslash;
      // those after it may be set by what is carried over.
      special =
        (word | (word - SPACES) | ((word ^ QUOTES) - ONES) | ((word ^ BACKSLASHES) - ONES)) &
        HIGH_BITS;
      if (special !== 0) break;
      pos += WORD_BYTES;
      at += WORD_BYTES;
    }
    if (special !== 0) {
      const plain = (31 - Math.clz32(special & -special)) >> 3;
      pos += plain;
      at += plain;
    } else if (pos >= end) {
      return false;
    }
    const byte = bytes[pos];
    const escaped = byte === BACKSLASH && pos + 1 < end ? readEscape(bytes, pos) : 0;
    if (escaped !== 0) {
      out[at] = escaped;
      at += 1;
      pos += 2;
      continue;
    }
    cursor.pos = pos;
    cursor.at = at;
    if (byte === QUOTE) {
      cursor.pos += 1;
      return closeMessage(cursor, start, SHORT_SIZE);
    }
    if (!copySpecial(cursor)) return false;
    pos = cursor.pos;
    at = cursor.at;
  }
}

/** Copies an escape of a code, characters beyond ASCII, or one of the last bytes of the body. */
function copySpecial(cursor: JsonCursor): boolean {
  const { bytes, pos } = cursor;
  const byte = bytes[pos] as number;
  if (byte === BACKSLASH) return copyCodePoint(cursor);
  if (byte >= FIRST_NON_ASCII) return copyCharacters(cursor);
  if (byte < FIRST_PRINTABLE) return false;
  cursor.out[cursor.at] = byte;
  cursor.at += 1;
  cursor.pos += 1;
  return true;
}

/** The byte that an escape of one letter stands for; 0 for another escape. */
function readEscape(bytes: Uint8Array, pos: number): number {
  return ESCAPES[bytes[pos + 1] as number] as number;
}

function copyCodePoint(cursor: JsonCursor): boolean {
  const { out } = cursor;
  const code = readCodePoint(cursor);
  if (code < 0) return false;
  let { at } = cursor;
  if (code < 0x80) {
    out[at++] = code;
  } else if (code < 0x800) {
    out[at++] = 0xc0 | (code >> 6);
    out[at++] = 0x80 | (code & 0x3f);
  } else if (code < 0x1_0000) {
    out[at++] = 0xe0 | (code >> 12);
    out[at++] = 0x80 | ((code >> 6) & 0x3f);
    out[at++] = 0x80 | (code & 0x3f);
  } else {
    out[at++] = 0xf0 | (code >> 18);
    out[at++] = 0x80 | ((code >> 12) & 0x3f);
    out[at++] = 0x80 | ((code >> 6) & 0x3f);
    out[at++] = 0x80 | (code & 0x3f);
  }
  cursor.at = at;
  return true;
}

/** Reads `\uXXXX`, or two of them that are a surrogate pair; -1 for what is neither. */
function readCodePoint(cursor: JsonCursor): number {
  const code = readCodeUnit(cursor);
  if (code < 0xd800 || code > 0xdfff) return code;
  const low = code < 0xdc00 ? readCodeUnit(cursor) : -1;
  if (low < 0xdc00 || low > 0xdfff) return -1;
  return 0x1_0000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
}

function readCodeUnit(cursor: JsonCursor): number {
  const { bytes, pos, end } = cursor;
  if (end - pos < UNICODE_ESCAPE_SIZE) return -1;
  if (bytes[pos] !== BACKSLASH || bytes[pos + 1] !== LETTER_U) return -1;
  let code = 0;
  for (let index = pos + 2; index < pos + UNICODE_ESCAPE_SIZE; index += 1) {
    const digit = HEX_DIGITS[bytes[index] as number] as number;
    // One that is no digit is -1, and the sign stays.
    code = (code << 4) | digit;
  }
  cursor.pos = pos + UNICODE_ESCAPE_SIZE;
  return code;
}

/** Copies a run of characters beyond ASCII. */
function copyCharacters(cursor: JsonCursor): boolean {
  const { bytes, out, end } = cursor;
  let { pos, at } = cursor;
  while (pos < end && (bytes[pos] as number) >= FIRST_NON_ASCII) {
    const size = sizeOfCharacter(bytes, pos, end);
    if (size === 0) return false;
    for (const stop = pos + size; pos < stop; pos += 1) {
      out[at] = bytes[pos] as number;
      at += 1;
    }
  }
  cursor.pos = pos;
  cursor.at = at;
  return true;
}

/** Bytes of a character beyond ASCII (Unicode, table 3-7); 0 when it is not UTF-8. */
function sizeOfCharacter(bytes: Uint8Array, pos: number, end: number): number {
  const first = bytes[pos] as number;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (end - pos < size) return 0;
  const second = bytes[pos + 1] as number;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let index = pos + 2; index < pos + size; index += 1) {
    if (((bytes[index] as number) & 0xc0) !== 0x80) return 0;
  }
  return size;
}
