/**
 * Writes the columns whose values many rows have in common: each value is read once from the object
 * that holds it, and rows only name the object.
 *
 * Invariant: the bytes are those that an encoder of `encoders.ts` writes of the same values row by row.
 */
import type { Batch, Column, ColumnValue } from "../../schemas/columns.ts";
import { Attributes } from "../../schemas/span.ts";
import { type Encoder, makeEncoder } from "./encoders.ts";
import { Dictionary, type Words } from "./growing.ts";
import { reserve, type Sink, writeBytes, writeCount } from "./sink.ts";

/** The number of the dictionary encoding that ClickHouse calls shared dictionaries with additional keys. */
const DICTIONARY_VERSION = 1;
/** "Has additional keys" and "update dictionary"; the index width is added. */
const DICTIONARY_FLAGS = 0x600;

/** The prefix of a LowCardinality column, which comes before array offsets. */
export function writeDictionaryPrefix(sink: Sink): void {
  writeCount(sink, DICTIONARY_VERSION);
}

/** A LowCardinality column after its prefix: the keys, and a number for each of `count` values. */
export function writeDictionary(
  sink: Sink,
  dictionary: Dictionary,
  values: Int32Array,
  count: number,
): void {
  if (count === 0) return; // nothing follows the version when there are no values
  const width = dictionary.size <= 0x100 ? 0 : dictionary.size <= 0x1_0000 ? 1 : 2;
  writeCount(sink, DICTIONARY_FLAGS + width);
  writeCount(sink, dictionary.size);
  writeBytes(sink, dictionary.texts.bytes.subarray(0, dictionary.texts.size));
  writeCount(sink, count);
  if (width === 2) {
    writeBytes(sink, new Uint8Array(values.buffer, values.byteOffset, count * 4));
    return;
  }
  reserve(sink, count * (width + 1));
  const { bytes } = sink;
  let at = sink.size;
  if (width === 0) {
    for (let row = 0; row < count; row += 1) bytes[at + row] = values[row] as number;
    at += count;
  } else {
    for (let row = 0; row < count; row += 1) {
      const number = values[row] as number;
      bytes[at] = number;
      bytes[at + 1] = number >> 8;
      at += 2;
    }
  }
  sink.size = at;
}

const WIDTHS: readonly (readonly [RegExp, bytes: number])[] = [
  [/^(UInt8|Enum8\()/, 1],
  [/^UInt16$/, 2],
  [/^UInt32$/, 4],
  [/^(UInt64|DateTime64\(|Decimal\(18,)/, 8],
];

/** One column whose rows name the objects that hold its values. */
export interface CommonWriter<Row> {
  /** Whether every value is what ClickHouse puts where a block has no such column. */
  readonly isDefault: (objects: readonly Row[], batch: Batch) => boolean;
  readonly write: (sink: Sink, objects: readonly Row[], rows: Words, batch: Batch) => void;
}

/** The writer of a column. Throws on a type nobody needed yet. */
export function makeCommonWriter<Row>({ type, read }: Column<Row>): CommonWriter<Row> {
  const isDefault = (objects: readonly Row[], batch: Batch): boolean =>
    objects.every((row) => isDefaultValue(read(row, batch)));
  if (type === "LowCardinality(String)") {
    const dictionary = new Dictionary();
    return {
      isDefault,
      write(sink, objects, rows) {
        dictionary.clear();
        const table = objects.map((row) => dictionary.number(read(row, NO_BATCH) as string));
        writeDictionaryPrefix(sink);
        writeDictionary(sink, dictionary, lookUp(table, rows), rows.size);
      },
    };
  }
  const width = WIDTHS.find(([pattern]) => pattern.test(type))?.[1];
  if (width !== undefined) {
    return {
      isDefault,
      write(sink, objects, rows, batch) {
        const table = objects.map((row) => BigInt(read(row, batch) as number));
        writeNumbers(sink, width, table, rows);
      },
    };
  }
  const encoder = makeEncoder(type) as Encoder<unknown>;
  return {
    isDefault,
    write(sink, objects, rows, batch) {
      const table = objects.map((row) => read(row, batch));
      encoder.writePrefix(sink);
      encoder.reset();
      for (let row = 0; row < rows.size; row += 1) {
        encoder.append(table[rows.values[row] as number]);
      }
      encoder.writeData(sink);
    },
  };
}

const NO_BATCH: Batch = { ingest_seq: 0, ingested_ms: 0 };

/** Whether it is the default of its column: no column of the tables has another than its type. */
export function isDefaultValue(value: ColumnValue): boolean {
  if (typeof value === "object") {
    return value instanceof Attributes ? value.keys.length === 0 : value.length === 0;
  }
  return value === "" || value === 0 || value === 0n;
}

let looked_up = new Int32Array(1024);

/** The values of the rows; valid until the next call. */
function lookUp(table: readonly number[], rows: Words): Int32Array {
  if (looked_up.length < rows.size) looked_up = new Int32Array(rows.values.length);
  const numbers = Int32Array.from(table);
  const { values } = rows;
  for (let row = 0; row < rows.size; row += 1) {
    looked_up[row] = numbers[values[row] as number] as number;
  }
  return looked_up;
}

function writeNumbers(sink: Sink, width: number, table: readonly bigint[], rows: Words): void {
  const { size, values } = rows;
  reserve(sink, size * width);
  const lanes = [0n, 8n, 16n, 24n, 32n, 40n, 48n, 56n].slice(0, width);
  if (table.every((value) => value === table[0])) {
    // Most such columns have one value in a block.
    const only = lanes.map((shift) => Number(((table[0] ?? 0n) >> shift) & 0xffn));
    if (only.every((byte) => byte === only[0])) {
      sink.bytes.fill(only[0] ?? 0, sink.size, sink.size + size * width);
      sink.size += size * width;
      return;
    }
  }
  for (const [lane, shift] of lanes.entries()) {
    const bytes = Uint8Array.from(table, (value) => Number((value >> shift) & 0xffn));
    let at = sink.size + lane;
    for (let row = 0; row < size; row += 1) {
      sink.bytes[at] = bytes[values[row] as number] as number;
      at += width;
    }
  }
  sink.size += size * width;
}
