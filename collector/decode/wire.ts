/**
 * Reads the protobuf wire format: tags, varints, fixed-width numbers, lengths, text, and the
 * skipping of unknown fields. It knows nothing of OTLP.
 *
 * A message is a region of the body: its `end` is passed to every read, and `readEnd` gives that of
 * a field inside it. Invariant: `pos <= end <= bytes.length` after every call, and nothing is
 * allocated before the bytes it is made of are known to be there.
 *
 * Wire format: https://protobuf.dev/programming-guides/encoding/
 */
import { PermanentError } from "../../schemas/errors.ts";
import { MAX_GROUP_DEPTH } from "./limits.ts";

/** Wire type of int32, int64, uint32, bool and enum fields. */
export const VARINT = 0;
/** Wire type of fixed64 and double fields. */
export const FIXED64 = 1;
/** Wire type of string, bytes and message fields: a length, then as many bytes. */
export const DELIMITED = 2;
/** Wire type of fixed32 fields. */
export const FIXED32 = 5;
/** Stands in a table of wire types for a field number that the message does not have. */
export const NO_FIELD = -1;

const GROUP_START = 3;
const GROUP_END = 4;

/** Low bits of the tag that hold the wire type. */
const WIRE_TYPE_MASK = 7;

const REPLACEMENT_CHARACTER = "\uFFFD";
const strictText = new TextDecoder("utf-8", { fatal: true });

/** A body and how far it has been read. */
export interface WireReader {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Offset of the next byte. */
  pos: number;
  /** Bits 0 to 31 of the last varint, as a signed number. */
  low: number;
  /** Bits 32 to 63 of the last varint, as a signed number. */
  high: number;
  /** Wire type of the last field. */
  wire_type: number;
  /** Whether any text read so far was not UTF-8. */
  has_invalid_text: boolean;
}

/** Makes a reader over the body. The body is not copied and must not change while it is read. */
export function createReader(body: Uint8Array): WireReader {
  return {
    bytes: Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    view: new DataView(body.buffer, body.byteOffset, body.byteLength),
    pos: 0,
    low: 0,
    high: 0,
    wire_type: 0,
    has_invalid_text: false,
  };
}

/**
 * Reads a tag and returns the field number; the wire type is left in `reader.wire_type`.
 * `wireTypes[number]` is the wire type of each field that the message has, or NO_FIELD.
 * Throws `invalid_protobuf` for a field number 0, the wire types 6 and 7, an end of a group that
 * was not begun, and a known field with another wire type (OTLP D04).
 */
export function readField(reader: WireReader, end: number, wireTypes: readonly number[]): number {
  const field = readTag(reader, end);
  const expected = field < wireTypes.length ? wireTypes[field] : NO_FIELD;
  if (expected !== reader.wire_type && expected !== NO_FIELD) {
    throw malformed(
      reader,
      `field ${field} has wire type ${reader.wire_type} instead of ${expected}`,
    );
  }
  if (reader.wire_type === GROUP_END) {
    throw malformed(reader, `group ${field} ends but was not begun`);
  }
  return field;
}

/** Reads the tag of any field, also of the end of a group. */
function readTag(reader: WireReader, end: number): number {
  readVarint(reader, end);
  if (reader.high !== 0) throw malformed(reader, "a tag is wider than 32 bits");
  const field = reader.low >>> 3;
  reader.wire_type = reader.low & WIRE_TYPE_MASK;
  if (field === 0) throw malformed(reader, "field number 0 does not exist");
  if (reader.wire_type > FIXED32) {
    throw malformed(reader, `wire type ${reader.wire_type} does not exist`);
  }
  return field;
}

/** Reads a varint into `reader.low` and `reader.high`. Throws when it is cut off or over 64 bits. */
export function readVarint(reader: WireReader, end: number): void {
  const first = readByte(reader, end);
  reader.high = 0;
  if (first < 0x80) {
    reader.low = first;
    return;
  }
  let low = first & 0x7f;
  for (let shift = 7; shift < 28; shift += 7) {
    const byte = readByte(reader, end);
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      reader.low = low;
      return;
    }
  }
  // The fifth byte is shared: four bits of it belong to the low half, three to the high one.
  const middle = readByte(reader, end);
  reader.low = low | (middle << 28);
  reader.high = (middle & 0x7f) >> 4;
  if (middle >= 0x80) readHighBits(reader, end);
}

/** Reads the sixth to the tenth byte of a varint. */
function readHighBits(reader: WireReader, end: number): void {
  for (let shift = 3; shift < 31; shift += 7) {
    const byte = readByte(reader, end);
    reader.high |= (byte & 0x7f) << shift;
    if (byte < 0x80) return;
  }
  const last = readByte(reader, end);
  if (last > 1) throw malformed(reader, "a varint is wider than 64 bits");
  reader.high |= last << 31;
}

function readByte(reader: WireReader, end: number): number {
  if (reader.pos >= end) throw malformed(reader, "a varint is cut off");
  return reader.bytes[reader.pos++] as number;
}

/** Reads a bool: any bit set is true. */
export function readBool(reader: WireReader, end: number): boolean {
  readVarint(reader, end);
  return (reader.low | reader.high) !== 0;
}

/** Reads an int32 or an enum; bits above 32 are cut off, as protobuf has it. */
export function readInt32(reader: WireReader, end: number): number {
  readVarint(reader, end);
  return reader.low;
}

/** Reads an int64: a number when it is a safe integer, otherwise a bigint. */
export function readInt64(reader: WireReader, end: number): number | bigint {
  readVarint(reader, end);
  return joinHalves(reader.high, reader.low >>> 0);
}

/** Reads an sfixed64: a number when it is a safe integer, otherwise a bigint. */
export function readSfixed64(reader: WireReader, end: number): number | bigint {
  const start = reader.pos;
  advance(reader, 8, end);
  return joinHalves(reader.view.getInt32(start + 4, true), reader.view.getUint32(start, true));
}

function joinHalves(high: number, low: number): number | bigint {
  const value = high * 0x1_0000_0000 + low;
  if (Number.isSafeInteger(value)) return value;
  return (BigInt(high) << 32n) | BigInt(low);
}

/** Reads a fixed64 as an unsigned bigint. */
export function readFixed64(reader: WireReader, end: number): bigint {
  const start = reader.pos;
  advance(reader, 8, end);
  return reader.view.getBigUint64(start, true);
}

/** Reads a double; NaN and the infinities are values. */
export function readDouble(reader: WireReader, end: number): number {
  const start = reader.pos;
  advance(reader, 8, end);
  return reader.view.getFloat64(start, true);
}

/**
 * Reads the length of a delimited field and returns the offset of its end; `pos` is its start.
 * Throws when the length exceeds what is left (OTLP D05).
 */
export function readEnd(reader: WireReader, end: number): number {
  readVarint(reader, end);
  const length = reader.low >>> 0;
  if (reader.high !== 0 || length > end - reader.pos) {
    throw malformed(reader, `a length exceeds the ${end - reader.pos} bytes that are left`);
  }
  return reader.pos + length;
}

/** Reads the bytes up to `stop` as a copy, so that keeping it does not keep the body. */
export function readBytes(reader: WireReader, stop: number): Uint8Array {
  const start = reader.pos;
  const copy = new Uint8Array(stop - start);
  for (let index = 0; index < copy.length; index += 1) {
    copy[index] = reader.bytes[start + index] as number;
  }
  reader.pos = stop;
  return copy;
}

/** Reads the text up to `stop`; invalid UTF-8 becomes U+FFFD and sets `has_invalid_text` (D06). */
export function readText(reader: WireReader, stop: number): string {
  const start = reader.pos;
  reader.pos = stop;
  if (start === stop) return "";
  const text = reader.bytes.toString("utf8", start, stop);
  if (!reader.has_invalid_text && text.includes(REPLACEMENT_CHARACTER)) {
    // The sender may have sent U+FFFD itself, which is valid.
    reader.has_invalid_text = !isValidText(reader.bytes.subarray(start, stop));
  }
  return text;
}

function isValidText(bytes: Uint8Array): boolean {
  try {
    strictText.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Skips the value of the field whose tag was just read (OTLP D01). */
export function skipValue(reader: WireReader, field: number, end: number): void {
  if (reader.wire_type === GROUP_START) skipGroup(reader, field, end);
  else skipScalar(reader, end);
}

/** Skips a group and the groups in it. A loop, so that no input can exhaust the stack. */
function skipGroup(reader: WireReader, field: number, end: number): void {
  const open = [field];
  while (open.length > 0) {
    const inner = readTag(reader, end);
    if (reader.wire_type === GROUP_START) {
      if (open.length === MAX_GROUP_DEPTH) {
        throw malformed(reader, `groups are nested deeper than ${MAX_GROUP_DEPTH} levels`);
      }
      open.push(inner);
    } else if (reader.wire_type !== GROUP_END) {
      skipScalar(reader, end);
    } else if (open.pop() !== inner) {
      throw malformed(reader, `group ${inner} ends but was not the last one begun`);
    }
  }
}

function skipScalar(reader: WireReader, end: number): void {
  if (reader.wire_type === VARINT) readVarint(reader, end);
  else if (reader.wire_type === DELIMITED) reader.pos = readEnd(reader, end);
  else advance(reader, reader.wire_type === FIXED64 ? 8 : 4, end);
}

function advance(reader: WireReader, byteCount: number, end: number): void {
  if (end - reader.pos < byteCount) {
    throw malformed(reader, `${byteCount} bytes are needed but ${end - reader.pos} are left`);
  }
  reader.pos += byteCount;
}

function malformed(reader: WireReader, problem: string): PermanentError {
  return new PermanentError("invalid_protobuf", `at byte ${reader.pos}: ${problem}`);
}
