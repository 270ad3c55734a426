/**
 * The state of turning a JSON text into protobuf bytes without an object or a string: how far the text
 * was read, what was written of it, and messages whose length is not known yet.
 *
 * Invariant: the text up to `pos` is the beginning of a JSON text, and what was written of it takes no
 * more bytes than it, up to ARENA_SLACK_BYTES: every message and value has names and brackets in JSON.
 */
/** Bytes that the written may be ahead of the read: open messages, and stores of whole words. */
export const ARENA_SLACK_BYTES = 256;

/** Bytes of a length that is written before it is known, of a message that may be long. */
export const LONG_SIZE = 4;
/** The same of one that is short most of the time: it is moved when it is not. */
export const SHORT_SIZE = 1;

/** Above what four bytes of a varint hold. */
const MAX_MESSAGE_BYTES = 2 ** 28 - 1;

export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;

const NO_BYTES = Buffer.alloc(0);
const NO_VIEW = new DataView(new ArrayBuffer(0));

/** A text and what is written of it. One for all texts, refilled for each. */
export class JsonCursor {
  bytes: Buffer = NO_BYTES;
  view: DataView = NO_VIEW;
  /** The next byte of the text, and the offset after its last. */
  pos = 0;
  end = 0;
  out: Uint8Array = NO_BYTES;
  out_view: DataView = NO_VIEW;
  /** Where the next byte is written. */
  at = 0;
  /** The integer that was read last: its sign, and its magnitude as two unsigned halves. */
  is_negative = false;
  high = 0;
  low = 0;
  /** The number that was read last. */
  number = 0;
  /** Level of the AnyValue at hand; that of an attribute's own value is 1. */
  value_depth = 1;
  /** Objects and lists so far. */
  container_count = 0;

  /** Begins a text. */
  begin(body: Uint8Array, out: Uint8Array): void {
    this.bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.pos = 0;
    this.end = body.byteLength;
    this.out = out;
    this.out_view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    this.at = 0;
    this.value_depth = 1;
    this.container_count = 0;
  }

  /** Lets go of the text and of what was written. */
  release(): void {
    this.bytes = NO_BYTES;
    this.view = NO_VIEW;
    this.out = NO_BYTES;
    this.out_view = NO_VIEW;
  }
}

/** Steps over white space and returns the byte after it; NaN stands for the end. */
export function skipSpace(cursor: JsonCursor): number {
  const { bytes, end } = cursor;
  let { pos } = cursor;
  for (; pos < end; pos += 1) {
    const byte = bytes[pos] as number;
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) continue;
    cursor.pos = pos;
    return byte;
  }
  cursor.pos = pos;
  return Number.NaN;
}

/** Begins a field with a message, leaves `size_bytes` for its length, and returns where it begins. */
export function openMessage(cursor: JsonCursor, tag: number, size_bytes: number): number {
  cursor.out[cursor.at] = tag;
  cursor.at += 1 + size_bytes;
  return cursor.at;
}

/** Writes the length of a message that began at `start`. False for one that no body can hold. */
export function closeMessage(cursor: JsonCursor, start: number, size_bytes: number): boolean {
  const { out } = cursor;
  const size = cursor.at - start;
  if (size_bytes === SHORT_SIZE && size < 0x80) {
    out[start - 1] = size;
    return true;
  }
  if (size > MAX_MESSAGE_BYTES) return false;
  if (size === 0) {
    cursor.at = start - size_bytes;
    out[cursor.at] = 0;
    cursor.at += 1;
    return true;
  }
  const width = size_bytes === LONG_SIZE ? LONG_SIZE : sizeOfVarint(size);
  if (width > size_bytes) {
    out.copyWithin(start + width - size_bytes, start, cursor.at);
    cursor.at += width - size_bytes;
  }
  let rest = size;
  let at = start - size_bytes;
  for (let left = width; left > 1; left -= 1) {
    out[at] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
    at += 1;
  }
  out[at] = rest;
  return true;
}

function sizeOfVarint(value: number): number {
  if (value < 2 ** 14) return value < 2 ** 7 ? 1 : 2;
  return value < 2 ** 21 ? 3 : 4;
}
