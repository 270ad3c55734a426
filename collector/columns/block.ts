/**
 * Turns rows into one block of ClickHouse's Native format: column by column, ready for
 * `INSERT INTO <table> FORMAT Native`. The file that turns a value into a byte of a column is
 * `encoders.ts`; which value stands in which column say `schemas/columns.ts` and
 * `schemas/usage-metrics.ts`.
 */
import { type Batch, type Column, SPAN_COLUMNS } from "../../schemas/columns.ts";
import type { Span } from "../../schemas/span.ts";
import { type Encoder, makeEncoder } from "./encoders.ts";
import { makeSink, writeString, writeVarint, written } from "./sink.ts";

export interface BlockWriter<Row> {
  /** Encodes the rows, at least one, into a new array of bytes. */
  encode(rows: readonly Row[], batch: Batch): Uint8Array;
}

/** A writer of blocks of `spans`; keeps its memory from block to block. */
export function makeBlockWriter(
  columns: readonly Column<Span>[] = SPAN_COLUMNS,
): BlockWriter<Span> {
  return makeRowWriter(columns);
}

/** A writer of blocks of the table that has these columns. */
export function makeRowWriter<Row>(columns: readonly Column<Row>[]): BlockWriter<Row> {
  const encoders: Encoder<unknown>[] = columns.map(
    (column) => makeEncoder(column.type) as Encoder<unknown>,
  );
  const sink = makeSink(1 << 16);

  function fillColumn(index: number, rows: readonly Row[], batch: Batch): void {
    const { read } = columns[index] as Column<Row>;
    const encoder = encoders[index] as Encoder<unknown>;
    encoder.reset();
    for (const row of rows) encoder.append(read(row, batch));
  }

  return {
    encode(rows, batch) {
      sink.size = 0;
      writeVarint(sink, columns.length);
      writeVarint(sink, rows.length);
      for (let index = 0; index < columns.length; index += 1) {
        fillColumn(index, rows, batch);
        const column = columns[index] as Column<Row>;
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
