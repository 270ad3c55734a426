/**
 * A growing byte buffer and the primitive writes of ClickHouse's Native format. State object and
 * free functions, so that call sites stay monomorphic.
 */

export interface Sink {
  bytes: Uint8Array;
  view: DataView;
  /** Bytes written. */
  size: number;
}

const INITIAL_BYTES = 256;
const encoder = new TextEncoder();

export function makeSink(initial_bytes = INITIAL_BYTES): Sink {
  const bytes = new Uint8Array(initial_bytes);
  return { bytes, view: new DataView(bytes.buffer), size: 0 };
}

/** Makes room for that many more bytes. */
export function reserve(sink: Sink, byteCount: number): void {
  const needed = sink.size + byteCount;
  if (needed <= sink.bytes.length) return;
  const bytes = new Uint8Array(Math.max(needed, sink.bytes.length * 2));
  bytes.set(sink.bytes.subarray(0, sink.size));
  sink.bytes = bytes;
  sink.view = new DataView(bytes.buffer);
}

/** The bytes written, sharing memory with the sink. */
export function written(sink: Sink): Uint8Array {
  return sink.bytes.subarray(0, sink.size);
}

export function writeUInt8(sink: Sink, value: number): void {
  reserve(sink, 1);
  sink.bytes[sink.size] = value;
  sink.size += 1;
}

export function writeUInt16(sink: Sink, value: number): void {
  reserve(sink, 2);
  sink.view.setUint16(sink.size, value, true);
  sink.size += 2;
}

export function writeUInt32(sink: Sink, value: number): void {
  reserve(sink, 4);
  sink.view.setUint32(sink.size, value, true);
  sink.size += 4;
}

/** Writes 64 bits; a signed value keeps its two's complement. */
export function writeUInt64(sink: Sink, value: bigint): void {
  reserve(sink, 8);
  sink.view.setBigUint64(sink.size, BigInt.asUintN(64, value), true);
  sink.size += 8;
}

export function writeFloat64(sink: Sink, value: number): void {
  reserve(sink, 8);
  sink.view.setFloat64(sink.size, value, true);
  sink.size += 8;
}

/** Writes a count below 2^53 as 64 bits. */
export function writeCount(sink: Sink, value: number): void {
  reserve(sink, 8);
  sink.view.setUint32(sink.size, value % 0x1_0000_0000, true);
  sink.view.setUint32(sink.size + 4, Math.floor(value / 0x1_0000_0000), true);
  sink.size += 8;
}

/** LEB128 of a count below 2^53. */
export function writeVarint(sink: Sink, value: number): void {
  reserve(sink, 8);
  let rest = value;
  while (rest >= 0x80) {
    sink.bytes[sink.size] = (rest % 0x80) | 0x80;
    sink.size += 1;
    rest = Math.floor(rest / 0x80);
  }
  sink.bytes[sink.size] = rest;
  sink.size += 1;
}

export function writeBytes(sink: Sink, bytes: Uint8Array): void {
  reserve(sink, bytes.length);
  sink.bytes.set(bytes, sink.size);
  sink.size += bytes.length;
}

/** A String value: its length in bytes, then UTF-8. Lone surrogates become U+FFFD. */
export function writeString(sink: Sink, text: string): void {
  const length = text.length;
  if (length < 0x80 && writeAscii(sink, text)) return;
  // UTF-8 needs at most three bytes for a UTF-16 unit; the length is known after encoding.
  reserve(sink, length * 3 + 8);
  const start = sink.size + 8;
  const { written: byteCount } = encoder.encodeInto(text, sink.bytes.subarray(start));
  writeVarint(sink, byteCount);
  sink.bytes.copyWithin(sink.size, start, start + byteCount);
  sink.size += byteCount;
}

/** Short ASCII text, the usual case: a byte loop beats TextEncoder below about 100 characters. */
function writeAscii(sink: Sink, text: string): boolean {
  const length = text.length;
  reserve(sink, length + 1);
  const { bytes } = sink;
  const start = sink.size + 1;
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return false;
    bytes[start + index] = unit;
  }
  bytes[sink.size] = length;
  sink.size = start + length;
  return true;
}
