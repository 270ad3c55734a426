/**
 * Turns spans into one block of ClickHouse's Native format: column by column, ready for
 * `INSERT INTO spans FORMAT Native`. The file that turns a value into a byte of a column is
 * `encoders.ts`; which value stands in which column says `schemas/columns.ts`.
 */
import { type Batch, type Column, SPAN_COLUMNS } from "../../schemas/columns.ts";
import type { Span } from "../../schemas/span.ts";
import { type Encoder, makeEncoder } from "./encoders.ts";
import { makeSink, writeString, writeVarint, written } from "./sink.ts";

export interface BlockWriter {
  /** Encodes the spans, at least one, into a new array of bytes. */
  encode(spans: readonly Span[], batch: Batch): Uint8Array;
}

/** A writer of blocks of `spans`; keeps its memory from block to block. */
export function makeBlockWriter(columns: readonly Column[] = SPAN_COLUMNS): BlockWriter {
  const encoders: Encoder<unknown>[] = columns.map(
    (column) => makeEncoder(column.type) as Encoder<unknown>,
  );
  const sink = makeSink(1 << 16);

  function fillColumn(index: number, spans: readonly Span[], batch: Batch): void {
    const { read } = columns[index] as Column;
    const encoder = encoders[index] as Encoder<unknown>;
    encoder.reset();
    for (const span of spans) encoder.append(read(span, batch));
  }

  return {
    encode(spans, batch) {
      sink.size = 0;
      writeVarint(sink, columns.length);
      writeVarint(sink, spans.length);
      for (let index = 0; index < columns.length; index += 1) {
        fillColumn(index, spans, batch);
        const column = columns[index] as Column;
        const encoder = encoders[index] as Encoder<unknown>;
        writeString(sink, column.name);
        writeString(sink, column.type);
        encoder.writePrefix(sink);
        encoder.writeData(sink);
      }
      return written(sink).slice();
    },
  };
}
