/**
 * Writes gathered rows of `spans` as one block of ClickHouse's Native format, column by column.
 *
 * Invariant: a block is byte for byte the one that `makeBlockWriter` makes of the same spans and the
 * same columns. Columns that no row needs are left out: ClickHouse puts their default there.
 */
import { type Batch, type Column, SPAN_COLUMNS } from "../../schemas/columns.ts";
import type { Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { makeCommonWriter, writeDictionary, writeDictionaryPrefix } from "./common.ts";
import { type Encoder, makeEncoder } from "./encoders.ts";
import type { Texts } from "./growing.ts";
import {
  makeSink,
  reserve,
  type Sink,
  writeBytes,
  writeString,
  writeVarint,
  written,
} from "./sink.ts";
import { CONTEXT_COLUMNS, ROW_COLUMNS } from "./span-columns.ts";
import { PRICED_SHIFT, type SpanRows, TTFT_KNOWN } from "./span-rows.ts";
import type { WrittenContext } from "./span-store.ts";

type WriteColumn = (sink: Sink, rows: SpanRows, batch: Batch) => void;

interface ColumnWriter {
  /** Whether the block needs the column. */
  readonly isNeeded: (rows: SpanRows, batch: Batch) => boolean;
  readonly write: WriteColumn;
}

const ALWAYS = (): boolean => true;

const MASK_BITS = 0x7fff;

const writeTexts = (sink: Sink, { bytes, size }: Texts): void =>
  writeBytes(sink, bytes.subarray(0, size));

/** Writers of the columns that each row has for itself. */
const ROW_WRITERS: ReadonlyMap<string, WriteColumn> = new Map<string, WriteColumn>([
  ["ts", (sink, rows) => writeBytes(sink, rows.times.bytes())],
  ["trace_id", (sink, rows) => writeBytes(sink, rows.trace_ids.bytes())],
  ["span_id", (sink, rows) => writeBytes(sink, rows.span_ids.bytes())],
  ["parent_span_id", (sink, rows) => writeBytes(sink, rows.parent_ids.bytes())],
  [
    "name",
    (sink, rows) => {
      writeDictionaryPrefix(sink);
      writeDictionary(sink, rows.name_dictionary, rows.names.values, rows.names.size);
    },
  ],
  ["duration_ns", (sink, rows) => writeBytes(sink, rows.durations.bytes())],
  ["response_id", (sink, rows) => writeTexts(sink, rows.response_ids)],
  ["ttft_known", (sink, rows) => writeMasks(sink, rows, 1, (mask) => (mask & TTFT_KNOWN ? 1 : 0))],
  ["ttft_ns", (sink, rows) => writeBytes(sink, rows.ttfts.bytes())],
  ["usage_mask", (sink, rows) => writeMasks(sink, rows, 2, (mask) => mask & MASK_BITS)],
  [
    "priced_mask",
    (sink, rows) => writeMasks(sink, rows, 2, (mask) => (mask >>> PRICED_SHIFT) & MASK_BITS),
  ],
  ...TOKEN_CLASSES.flatMap((name, index): [string, WriteColumn][] => [
    [`tokens_${name}`, (sink, rows) => writeBytes(sink, rows.tokens.bytes(index, rows.count))],
    [`cost_${name}`, (sink, rows) => writeBytes(sink, rows.costs.bytes(index, rows.count))],
  ]),
  ["user_id", (sink, rows) => writeTexts(sink, rows.user_ids)],
  ["session_id", (sink, rows) => writeTexts(sink, rows.session_ids)],
  [
    "tags",
    (sink, rows) => {
      writeDictionaryPrefix(sink);
      rows.tags.writeData(sink);
    },
  ],
  [
    "attributes",
    (sink, rows) => {
      writeDictionaryPrefix(sink);
      rows.attributes.writeData(sink);
    },
  ],
  [
    "event_times",
    (sink, rows) => {
      writeBytes(sink, rows.event_ends.bytes());
      writeBytes(sink, rows.event_times.bytes());
    },
  ],
  [
    "event_names",
    (sink, rows) => {
      writeDictionaryPrefix(sink);
      writeBytes(sink, rows.event_ends.bytes());
      const { event_names, event_name_dictionary } = rows;
      writeDictionary(sink, event_name_dictionary, event_names.values, event_names.size);
    },
  ],
  [
    "event_attributes",
    (sink, rows) => {
      writeDictionaryPrefix(sink);
      writeBytes(sink, rows.event_ends.bytes());
      rows.event_maps.writeData(sink);
    },
  ],
]);

function writeMasks(
  sink: Sink,
  { masks }: SpanRows,
  width: 1 | 2,
  read: (mask: number) => number,
): void {
  reserve(sink, masks.size * width);
  let at = sink.size;
  for (let row = 0; row < masks.size; row += 1) {
    const value = read(masks.values[row] as number);
    sink.bytes[at] = value;
    if (width === 2) sink.bytes[at + 1] = value >> 8;
    at += width;
  }
  sink.size = at;
}

let resource_keys = new Int32Array(1024);

/** The resource attributes of each row: those of its context. */
function writeResources(sink: Sink, rows: SpanRows): void {
  const { row_contexts, written_contexts, resource_dictionary, resource_bytes, count } = rows;
  writeDictionaryPrefix(sink);
  reserve(sink, count * 8);
  let entries = 0;
  for (let row = 0; row < count; row += 1) {
    const { key_numbers } = written_contexts[row_contexts.values[row] as number] as WrittenContext;
    entries += key_numbers.length;
    sink.view.setUint32(sink.size, entries, true);
    sink.view.setUint32(sink.size + 4, Math.floor(entries / 0x1_0000_0000), true);
    sink.size += 8;
  }
  if (resource_keys.length < entries) resource_keys = new Int32Array(entries * 2);
  let entry = 0;
  for (let row = 0; row < count; row += 1) {
    const { key_numbers } = written_contexts[row_contexts.values[row] as number] as WrittenContext;
    for (let index = 0; index < key_numbers.length; index += 1) {
      resource_keys[entry + index] = key_numbers[index] as number;
    }
    entry += key_numbers.length;
  }
  writeDictionary(sink, resource_dictionary, resource_keys, entries);
  reserve(sink, resource_bytes);
  for (let row = 0; row < count;) {
    const context = row_contexts.values[row] as number;
    let stop = row + 1;
    while (stop < count && row_contexts.values[stop] === context) stop += 1;
    const { texts } = written_contexts[context] as WrittenContext;
    repeatBytes(sink, texts, stop - row);
    row = stop;
  }
}

/** Writes the bytes that many times: once, and then what is written already, doubled. */
function repeatBytes(sink: Sink, bytes: Uint8Array, times: number): void {
  if (bytes.length === 0) return;
  const start = sink.size;
  const end = start + bytes.length * times;
  sink.bytes.set(bytes, start);
  for (let done = start + bytes.length; done < end;) {
    const size = Math.min(done - start, end - done);
    sink.bytes.copyWithin(done, start, start + size);
    done += size;
  }
  sink.size = end;
}

/** Columns of links, which hardly any row has: the encoders of objects are quick enough. */
function makeLinkWriter({ type, read }: Column<Span>): ColumnWriter {
  const encoder = makeEncoder(type) as Encoder<unknown>;
  return {
    isNeeded: ({ links }) => links.length > 0,
    write(sink, rows, batch) {
      encoder.reset();
      encoder.writePrefix(sink);
      let next = 0;
      for (let row = 0; row < rows.count; row += 1) {
        const links = rows.links[next]?.[0] === row ? rows.links[next++]?.[1] : undefined;
        encoder.append(links === undefined ? [] : read({ links } as Span, batch));
      }
      encoder.writeData(sink);
    },
  };
}

/** A column with one value for the whole block. */
function makeBatchWriter({ read }: Column<Span>): ColumnWriter {
  return {
    isNeeded: ALWAYS,
    write(sink, rows, batch) {
      const value = read(undefined as unknown as Span, batch) as bigint;
      reserve(sink, rows.count * 8);
      const end = sink.size + rows.count * 8;
      for (let at = sink.size; at < end; at += 8) sink.view.setBigUint64(at, value, true);
      sink.size = end;
    },
  };
}

/** When a block needs the columns that each row has for itself; always, where none is named. */
const NEEDS: ReadonlyMap<string, (rows: SpanRows) => boolean> = new Map([
  ["ttft_known", (rows: SpanRows) => rows.has_ttft],
  ["ttft_ns", (rows: SpanRows) => rows.has_ttft],
  ["response_id", ({ response_ids, count }: SpanRows) => response_ids.size > count],
  ["user_id", ({ user_ids, count }: SpanRows) => user_ids.size > count],
  ["session_id", ({ session_ids, count }: SpanRows) => session_ids.size > count],
  ["tags", ({ tags }: SpanRows) => tags.keys.size > 0],
  ["event_times", ({ event_times }: SpanRows) => event_times.size > 0],
  ["event_names", ({ event_times }: SpanRows) => event_times.size > 0],
  ["event_attributes", ({ event_times }: SpanRows) => event_times.size > 0],
  ...TOKEN_CLASSES.flatMap((name, index): [string, (rows: SpanRows) => boolean][] => [
    [`tokens_${name}`, ({ token_classes }) => (token_classes & (1 << index)) !== 0],
    [`cost_${name}`, ({ cost_classes }) => (cost_classes & (1 << index)) !== 0],
  ]),
]);

function makeWriter(column: Column<Span>): ColumnWriter {
  const { name } = column;
  if (name.startsWith("link_")) return makeLinkWriter(column);
  if (name === "ingest_seq" || name === "ingested_at") return makeBatchWriter(column);
  if (name === "resource_attributes") {
    return {
      isNeeded: ({ resource_dictionary }) => resource_dictionary.size > 0,
      write: writeResources,
    };
  }
  const own = ROW_WRITERS.get(name);
  if (own !== undefined) return { isNeeded: NEEDS.get(name) ?? ALWAYS, write: own };
  if (ROW_COLUMNS.has(name)) throw new Error(`no writer for the column ${name}`);
  const { isDefault, write } = makeCommonWriter(column);
  if (CONTEXT_COLUMNS.has(name)) {
    const contextsOf = ({ contexts }: SpanRows) =>
      contexts as readonly unknown[] as readonly Span[];
    return {
      isNeeded: (rows, batch) => !isDefault(contextsOf(rows), batch),
      write: (sink, rows, batch) => write(sink, contextsOf(rows), rows.row_contexts, batch),
    };
  }
  return {
    isNeeded: ({ variants }, batch) => !isDefault(variants, batch),
    write: (sink, rows, batch) => write(sink, rows.variants, rows.row_variants, batch),
  };
}

/** A block in memory that is used again; `release` it when its bytes are not needed any more. */
export interface WrittenBlock {
  readonly bytes: Uint8Array;
  release(): void;
}

/** Writes the rows, at least one. */
export type WriteSpanBlock = (rows: SpanRows, batch: Batch) => WrittenBlock;

/** Memory kept for the next blocks. */
const MAX_SPARE_SINKS = 3;

/** A writer of blocks of `spans`; keeps its memory from block to block. */
export function makeSpanBlockWriter(): WriteSpanBlock {
  const writers = SPAN_COLUMNS.map(makeWriter);
  const spare: Sink[] = [];
  return (rows, batch) => {
    const sink = spare.pop() ?? makeSink(1 << 16);
    sink.size = 0;
    const needed = writers.map(({ isNeeded }) => isNeeded(rows, batch));
    writeVarint(sink, needed.filter(Boolean).length);
    writeVarint(sink, rows.count);
    for (const [index, { name, type }] of SPAN_COLUMNS.entries()) {
      if (needed[index] !== true) continue;
      writeString(sink, name);
      writeString(sink, type);
      (writers[index] as ColumnWriter).write(sink, rows, batch);
    }
    return {
      bytes: written(sink),
      release() {
        if (spare.length < MAX_SPARE_SINKS) spare.push(sink);
      },
    };
  };
}
