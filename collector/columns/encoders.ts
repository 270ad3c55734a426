/**
 * One encoder for each ClickHouse type the tables use: it gathers the values of a column and then
 * writes them as ClickHouse's Native format has them (layout measured in research/perf.md 2).
 *
 * A column is a prefix (the LowCardinality version, which comes before any array offsets) and data.
 */
import type { Attributes, AttributeValue } from "../../schemas/span.ts";
import {
  makeSink,
  type Sink,
  writeBytes,
  writeCount,
  writeFloat64,
  writeString,
  writeUInt16,
  writeUInt32,
  writeUInt64,
  writeUInt8,
  written,
} from "./sink.ts";
import { formatAttribute } from "./text.ts";

/** Gathers the values of one column and writes them. `reset` forgets them, keeping the memory. */
export interface Encoder<Value> {
  append(value: Value): void;
  writePrefix(sink: Sink): void;
  writeData(sink: Sink): void;
  reset(): void;
}

/** A type whose values are laid one after the other: numbers, fixed and plain strings. */
function plainEncoder<Value>(write: (sink: Sink, value: Value) => void): Encoder<Value> {
  const values = makeSink();
  return {
    append: (value) => write(values, value),
    writePrefix: () => {},
    writeData: (sink) => writeBytes(sink, written(values)),
    reset: () => {
      values.size = 0;
    },
  };
}

/** LowCardinality(String): a dictionary of the block and an index for each row. */
function lowCardinalityEncoder(): Encoder<string> {
  // The number of the dictionary encoding that ClickHouse calls shared dictionaries with
  // additional keys, the flags "has additional keys" and "update dictionary", by index width.
  const VERSION = 1;
  const FLAGS = 0x600;
  const positions = new Map<string, number>();
  const keys = makeSink();
  let indexes: number[] = [];
  let last = "";
  let lastPosition = -1;
  return {
    append(value) {
      if (lastPosition === -1 || value !== last) {
        let position = positions.get(value);
        if (position === undefined) {
          position = positions.size;
          positions.set(value, position);
          writeString(keys, value);
        }
        last = value;
        lastPosition = position;
      }
      indexes.push(lastPosition);
    },
    writePrefix: (sink) => writeCount(sink, VERSION),
    writeData(sink) {
      if (indexes.length === 0) return; // nothing follows the version when there are no values
      const width = positions.size <= 0x100 ? 0 : positions.size <= 0x1_0000 ? 1 : 2;
      const write = [writeUInt8, writeUInt16, writeUInt32][width] as typeof writeUInt8;
      writeCount(sink, FLAGS + width);
      writeCount(sink, positions.size);
      writeBytes(sink, written(keys));
      writeCount(sink, indexes.length);
      for (const index of indexes) write(sink, index);
    },
    reset() {
      positions.clear();
      keys.size = 0;
      indexes = [];
      lastPosition = -1;
    },
  };
}

/** Array(T): the running ends of the rows, then all items. */
function arrayEncoder<Item>(item: Encoder<Item>): Encoder<readonly Item[]> {
  const ends = makeSink();
  let itemCount = 0;
  return {
    append(items) {
      for (const value of items) item.append(value);
      itemCount += items.length;
      writeCount(ends, itemCount);
    },
    writePrefix: (sink) => item.writePrefix(sink),
    writeData(sink) {
      writeBytes(sink, written(ends));
      item.writeData(sink);
    },
    reset() {
      ends.size = 0;
      itemCount = 0;
      item.reset();
    },
  };
}

/** Map(LowCardinality(String), T). A key sent twice keeps its last value (OTLP D11). */
function mapEncoder<Value>(
  items: Encoder<Value>,
  read: (value: AttributeValue) => Value,
): Encoder<Attributes> {
  const keys = lowCardinalityEncoder();
  const ends = makeSink();
  let entryCount = 0;
  return {
    append(attributes) {
      const { keys: names, values } = attributes;
      for (let index = 0; index < names.length; index += 1) {
        const name = names[index] as string;
        if (names.indexOf(name, index + 1) !== -1) continue;
        keys.append(name);
        items.append(read(values[index] ?? null));
        entryCount += 1;
      }
      writeCount(ends, entryCount);
    },
    writePrefix: (sink) => keys.writePrefix(sink),
    writeData(sink) {
      writeBytes(sink, written(ends));
      keys.writeData(sink);
      items.writeData(sink);
    },
    reset() {
      keys.reset();
      items.reset();
      ends.size = 0;
      entryCount = 0;
    },
  };
}

/** Encoders of types whose name is fixed. */
const BY_NAME: ReadonlyMap<string, () => Encoder<never>> = new Map<string, () => Encoder<never>>([
  ["UInt8", () => plainEncoder(writeUInt8)],
  ["UInt16", () => plainEncoder(writeUInt16)],
  ["UInt32", () => plainEncoder(writeUInt32)],
  ["UInt64", () => plainEncoder(writeUInt64)],
  ["String", () => plainEncoder(writeString)],
  ["LowCardinality(String)", lowCardinalityEncoder],
  ["Float64", () => plainEncoder(writeFloat64)],
  [
    "Map(LowCardinality(String), String)",
    () => mapEncoder(plainEncoder(writeString), formatAttribute),
  ],
  ["Map(LowCardinality(String), UInt32)", () => mapEncoder(plainEncoder(writeUInt32), Number)],
]);

/** The encoder of a ClickHouse type; throws on a type nobody needed yet. */
export function makeEncoder(type: string): Encoder<never> {
  const named = BY_NAME.get(type);
  if (named !== undefined) return named();
  if (type.startsWith("Enum8(")) return plainEncoder(writeUInt8);
  if (type.startsWith("DateTime64(") || type.startsWith("Decimal(18,")) {
    return plainEncoder(writeUInt64);
  }
  if (type.startsWith("FixedString(")) return plainEncoder(writeBytes);
  if (type.startsWith("Array(")) return arrayEncoder(makeEncoder(type.slice(6, -1)));
  throw new Error(`no encoder for the ClickHouse type ${type}`);
}
