/**
 * Reads the wire format in place: lengths, varints, whole numbers. What is written in a way that
 * exporters do not use is ODD, and left to `wire.ts`.
 *
 * Invariant: a size that was read fits before the end that was given.
 */

/** A length, number or type that is none. */
export const ODD = -1;

/** A place in a body. */
export class WireCursor {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Offset of the next byte. */
  pos = 0;

  constructor(bytes: Buffer, view: DataView) {
    this.bytes = bytes;
    this.view = view;
  }

  /** Reads a length that fits before `end`; ODD when it does not. */
  readSize(end: number): number {
    const bytes = this.bytes;
    let size = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.pos >= end) return ODD;
      const byte = bytes[this.pos++] as number;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) return size <= end - this.pos ? size : ODD;
    }
    return ODD;
  }

  /** Skips a varint; false when it is longer than the nine bytes of 63 bits. */
  skipVarint(end: number): boolean {
    const stop = Math.min(end, this.pos + 9);
    while (this.pos < stop) if ((this.bytes[this.pos++] as number) < 0x80) return true;
    return false;
  }

  /** `readSize` where most sizes are below 128. */
  readShortSize(end: number): number {
    const size = this.bytes[this.pos] as number;
    // Behind the last byte of the body there is none, which is less than nothing.
    if (!(size < 0x80) || size >= end - this.pos) return this.readSize(end);
    this.pos += 1;
    return size;
  }

  /** Reads a whole number from 0 to 2^53 - 1 that ends at `end`; ODD for any other. */
  readWhole(end: number): number {
    const bytes = this.bytes;
    let pos = this.pos;
    if (pos >= end) return ODD;
    let byte = bytes[pos++] as number;
    if (byte < 0x80 && pos === end) {
      return byte;
    }
    let value = byte & 0x7f;
    let factor = 0x80;
    while (byte >= 0x80) {
      // Seven bytes hold 49 bits, the eighth at most four more.
      if (pos >= end || factor > 2 ** 49) return ODD;
      byte = bytes[pos++] as number;
      value += (byte & 0x7f) * factor;
      factor *= 0x80;
    }
    if (pos !== end || value > Number.MAX_SAFE_INTEGER) return ODD;
    return value;
  }
}
