/**
 * Proves the blocks of the ingest bench: each has to be, byte for byte, the one that the encoders of
 * single values make of the same spans read as objects; those encoders are proved by ClickHouse, and
 * the objects are the ones that agree with the baseline's rows.
 *
 * Invariant: nothing here is on the way that is measured.
 */
import { decodeTraces } from "../collector/decode/traces.ts";
import { type PriceBook, READERS } from "../collector/pipeline.ts";
import type { Batch } from "../schemas/columns.ts";
import type { Span } from "../schemas/span.ts";
import { encodeNeeded } from "../test/support/blocks.ts";
import { SPANS_PER_BODY } from "./bodies.ts";
import { hashOf, type Proof } from "./measure.ts";
import { listPlainSpans } from "./plain-rows.ts";

/** Reads a protobuf body into spans, as objects. */
export type ReadSpans = (body: Uint8Array) => Span[];

/** Spans normalized and priced. */
export function makeSpanReader(book: PriceBook, capture_content: boolean): ReadSpans {
  const options = { project_id: "default", capture_content };
  return (body) => READERS.traces(body, "protobuf", book, options).spans;
}

/** Spans as they were sent. */
export const readPlainSpans: ReadSpans = (body) => listPlainSpans(decodeTraces(body));

/** Throws unless the block holds the spans of the bodies, and nothing else. */
export function checkBlock(
  block: Uint8Array,
  bodies: readonly Uint8Array[],
  read: ReadSpans,
  batch: Batch,
): void {
  const expected = encodeNeeded(bodies.flatMap(read), batch);
  if (Buffer.compare(block, expected) !== 0) {
    throw new Error(`a block of ${bodies.length} bodies is not the one that the encoders make`);
  }
}

/** Proves blocks of that many rows, which follow each other; `makes` is what others make as well. */
export function proveBlocks(
  blocks: readonly Uint8Array[],
  bodies: readonly Uint8Array[],
  job: {
    readonly makes: string;
    readonly block_rows: number;
    readonly read: ReadSpans;
    readonly batch: Batch;
  },
): Proof {
  const bodies_per_block = job.block_rows / SPANS_PER_BODY;
  for (const [index, block] of blocks.entries()) {
    const start = index * bodies_per_block;
    checkBlock(block, bodies.slice(start, start + bodies_per_block), job.read, job.batch);
  }
  if (blocks.length !== Math.ceil(bodies.length / bodies_per_block)) {
    throw new Error(`${bodies.length} bodies became ${blocks.length} blocks`);
  }
  return { hash: hashOf(blocks), agrees_on: job.makes };
}
