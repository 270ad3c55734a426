/**
 * Growing columns of the hot path: typed arrays that double, dictionaries, and texts. State classes
 * with plain loops, so that call sites stay monomorphic and nothing is made for a row.
 *
 * Invariant: what was written before a size that is set back is as if it had never been.
 */

const INITIAL_ROWS = 1_024;
const INITIAL_BYTES = 1 << 14;

const encoder = new TextEncoder();

/** Whole numbers of 32 bits, a fixed count of them for each row. */
export class Words {
  values = new Int32Array(INITIAL_ROWS);
  size = 0;

  /** Makes room for that many more. */
  reserve(count: number): void {
    const needed = this.size + count;
    if (needed <= this.values.length) return;
    const values = new Int32Array(Math.max(needed, this.values.length * 2));
    values.set(this.values);
    this.values = values;
  }

  push(value: number): void {
    if (this.size === this.values.length) this.reserve(1);
    this.values[this.size] = value;
    this.size += 1;
  }

  /** Adds eight bytes of the body, or zeros. */
  pushPlace(view: DataView, at: number): void {
    if (this.size + 2 > this.values.length) this.reserve(2);
    if (at < 0) {
      this.values[this.size] = 0;
      this.values[this.size + 1] = 0;
    } else {
      this.values[this.size] = view.getInt32(at, true);
      this.values[this.size + 1] = view.getInt32(at + 4, true);
    }
    this.size += 2;
  }

  /** Adds a whole number from 0 to 2^53 - 1 as 64 bits. */
  pushCount(value: number): void {
    if (this.size + 2 > this.values.length) this.reserve(2);
    this.values[this.size] = value | 0;
    this.values[this.size + 1] = value < 0x1_0000_0000 ? 0 : Math.floor(value / 0x1_0000_0000);
    this.size += 2;
  }

  /** Adds 64 bits of any sign. */
  pushBig(value: bigint): void {
    if (this.size + 2 > this.values.length) this.reserve(2);
    this.values[this.size] = Number(BigInt.asIntN(32, value));
    this.values[this.size + 1] = Number(BigInt.asIntN(32, value >> 32n));
    this.size += 2;
  }

  /** The bytes written so far, sharing memory. */
  bytes(): Uint8Array {
    return new Uint8Array(this.values.buffer, 0, this.size * 4);
  }
}

/** Bytes that copies of eight at a time may write beyond what they copy. */
const SLACK_BYTES = 8;
/** Above it a native copy is quicker than a loop, bytes. */
const LOOP_BYTES = 256;

/** String values of ClickHouse: the length as a varint, then as many bytes of UTF-8. */
export class Texts {
  bytes = Buffer.alloc(INITIAL_BYTES);
  view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  size = 0;

  /** Makes room for that many more bytes. */
  reserve(count: number): void {
    const needed = this.size + count + SLACK_BYTES;
    if (needed <= this.bytes.length) return;
    const bytes = Buffer.alloc(Math.max(needed, this.bytes.length * 2));
    bytes.set(this.bytes.subarray(0, this.size));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  pushEmpty(): void {
    if (this.size + SLACK_BYTES >= this.bytes.length) this.reserve(1);
    this.bytes[this.size] = 0;
    this.size += 1;
  }

  /** Adds the text that stands at a place. */
  pushPlace(source: DataView, at: number, size: number): void {
    this.reserve(size + 5);
    this.pushReserved(source, at, size);
  }

  /** The same where `size + 5` bytes are reserved. */
  pushReserved(source: DataView, at: number, size: number): void {
    const { view } = this;
    let start = this.size;
    if (size < 0x80) {
      view.setUint8(start, size);
      start += 1;
    } else {
      this.#pushSize(size);
      start = this.size;
    }
    this.size = start + size;
    if (size > LOOP_BYTES || at + size + SLACK_BYTES > source.byteLength) {
      this.bytes.set(new Uint8Array(source.buffer, source.byteOffset + at, size), start);
      return;
    }
    for (let index = 0; index < size; index += 8) {
      view.setBigInt64(start + index, source.getBigInt64(at + index, true), true);
    }
  }

  pushText(text: string): void {
    const { length } = text;
    this.reserve(length * 3 + 5);
    if (length < 0x80 && this.#pushAscii(text)) return;
    const byte_count = Buffer.byteLength(text);
    this.#pushSize(byte_count);
    encoder.encodeInto(text, this.bytes.subarray(this.size, this.size + byte_count));
    this.size += byte_count;
  }

  /** Adds the decimal digits of a whole number from 0 to 2^53 - 1. */
  pushWhole(value: number): void {
    this.reserve(20);
    const { bytes } = this;
    const start = this.size;
    if (value < 10) {
      bytes[start] = 1;
      bytes[start + 1] = 0x30 + value;
      this.size = start + 2;
      return;
    }
    if (value > 0x7fff_ffff) {
      this.pushText(String(value));
      return;
    }
    let rest = value | 0;
    const digits = countDigits(rest);
    bytes[start] = digits;
    for (let at = start + digits; at > start; at -= 1) {
      const next = (rest / 10) | 0;
      bytes[at] = 0x30 + (rest - next * 10);
      rest = next;
    }
    this.size = start + digits + 1;
  }

  /** Adds a double as JavaScript writes it. */
  pushDouble(value: number): void {
    const millionths = value * 1e6;
    const whole = Math.round(millionths);
    // What has at most six decimals and fifteen digits is written with them: no shorter text is it.
    if (!(value >= 0 && value < 1e9 && whole / 1e6 === value)) {
      this.pushText(String(value));
      return;
    }
    const integer = Math.floor(value);
    const decimals = whole - integer * 1e6;
    const start = this.size;
    this.pushWhole(integer);
    if (decimals !== 0 && (integer > 0 || decimals >= 1)) this.#pushDecimals(start, decimals);
  }

  /** Adds decimals, in millionths, to the whole number whose text begins at `start`. */
  #pushDecimals(start: number, millionths: number): void {
    const { bytes } = this;
    let rest = millionths | 0;
    let digits = 6;
    while (rest % 10 === 0) {
      rest = (rest / 10) | 0;
      digits -= 1;
    }
    bytes[this.size] = 0x2e;
    for (let at = this.size + digits; at > this.size; at -= 1) {
      const next = (rest / 10) | 0;
      bytes[at] = 0x30 + (rest - next * 10);
      rest = next;
    }
    this.size += digits + 1;
    bytes[start] = (bytes[start] as number) + digits + 1;
  }

  #pushAscii(text: string): boolean {
    const { bytes } = this;
    const start = this.size + 1;
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit >= 0x80) return false;
      bytes[start + index] = unit;
    }
    bytes[this.size] = text.length;
    this.size = start + text.length;
    return true;
  }

  #pushSize(size: number): void {
    let rest = size;
    while (rest >= 0x80) {
      this.bytes[this.size++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.size++] = rest;
  }
}

/** Decimal digits of a whole number from 0 to 2^31 - 1. */
function countDigits(value: number): number {
  if (value < 100_000) {
    if (value < 100) return value < 10 ? 1 : 2;
    if (value < 1_000) return 3;
    return value < 10_000 ? 4 : 5;
  }
  if (value < 10_000_000) return value < 1_000_000 ? 6 : 7;
  if (value < 100_000_000) return 8;
  return value < 1_000_000_000 ? 9 : 10;
}

/** The keys of a LowCardinality column of one block, in the order in which they were met. */
export class Dictionary {
  readonly #numbers = new Map<string, number>();
  readonly texts = new Texts();

  get size(): number {
    return this.#numbers.size;
  }

  clear(): void {
    this.#numbers.clear();
    this.texts.size = 0;
  }

  /** The number of the text in this block. */
  number(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(text, number);
      this.texts.pushText(text);
    }
    return number;
  }
}

/** Numbers that most rows do not have: one zeroed array for each class, which rows set in places. */
export class SparseWords {
  readonly arrays: Int32Array[];
  /** Words of one row in each array. */
  readonly #width: number;
  #rows = INITIAL_ROWS;

  constructor(classes: number, width: number) {
    this.#width = width;
    this.arrays = Array.from({ length: classes }, () => new Int32Array(INITIAL_ROWS * width));
  }

  /** Makes room for that many rows. */
  reserve(rows: number): void {
    if (rows <= this.#rows) return;
    this.#rows = Math.max(rows, this.#rows * 2);
    for (const [index, array] of this.arrays.entries()) {
      const larger = new Int32Array(this.#rows * this.#width);
      larger.set(array);
      this.arrays[index] = larger;
    }
  }

  /** Zeroes the rows from one to another. */
  clear(from_row: number, to_row: number): void {
    for (const array of this.arrays) array.fill(0, from_row * this.#width, to_row * this.#width);
  }

  /** The bytes of the first rows of a class, sharing memory. */
  bytes(index: number, rows: number): Uint8Array {
    const { buffer } = this.arrays[index] as Int32Array;
    return new Uint8Array(buffer, 0, rows * this.#width * 4);
  }
}
