/**
 * The variants of the ingest bench: ways from the bytes of a body to rows, one body after the other in
 * one thread.
 *
 * Invariant: every variant takes in all bodies in their order and keeps nothing of a pass but memory.
 */
import { makeBlockWriter } from "../collector/columns/block.ts";
import { makeSpanBlockWriter } from "../collector/columns/span-block.ts";
import { FOUND_END, FOUND_SPAN, TraceScanner } from "../collector/decode/scan.ts";
import { Shapes } from "../collector/decode/shapes.ts";
import { decodeTraces } from "../collector/decode/traces.ts";
import type { PriceBook } from "../collector/pipeline.ts";
import { MAX_BLOCK_SPANS, SpanGather } from "../collector/span-log.ts";
import { TraceBody, TracePass } from "../collector/traces.ts";
import { Attributes } from "../schemas/span.ts";
import { WireSpan } from "../schemas/wire-span.ts";
import { writeJsonRows, writeProtobufRows } from "./baseline.ts";
import { SPANS_PER_BODY } from "./bodies.ts";
import { describeDecoded, describeRows, describeScanned, describeSpans } from "./fingerprint.ts";
import { hashOf, type Variant } from "./measure.ts";
import { PlainRows } from "./plain-rows.ts";
import { makeSpanReader, proveBlocks, readPlainSpans, type ReadSpans } from "./proofs.ts";
import { DEFAULT_SENDER } from "../schemas/sender.ts";

export type Bodies = readonly Uint8Array<ArrayBuffer>[];

const BATCH = { ingest_seq: 1, ingested_ms: 1_790_000_000_000 };
const LIMITS = { oldest_ns: 0n, latest_ns: 1n << 63n, max_resource_size: Infinity };
/** About what gathers while a group of requests is synced. */
export const GROUP_ROWS = 8 * SPANS_PER_BODY;

/** A variant that makes something of each body; the time of each is a stall of the process. */
function bodyVariant<Result>(job: {
  readonly name: string;
  readonly description: string;
  readonly bodies: Bodies;
  readonly convert: (body: Uint8Array) => Result;
  readonly describe: (result: Result) => readonly string[];
}): Variant {
  const { name, description, bodies, convert, describe } = job;
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  return {
    name,
    description,
    verify: () => ({
      hash: hashOf(bodies.map((body) => hashOf(describe(convert(body))))),
      agrees_on: "spans",
    }),
    run(record) {
      for (const body of bodies) {
        const start_ms = performance.now();
        convert(body);
        record(performance.now() - start_ms);
      }
      return { units: bodies.length * SPANS_PER_BODY, bytes };
    },
  };
}

/** A variant that makes blocks of many bodies. */
function blockVariant(job: {
  readonly name: string;
  readonly description: string;
  readonly bodies: Bodies;
  readonly block_rows: number;
  /** What other variants make as well. */
  readonly makes: string;
  /** What the blocks must hold. */
  readonly read: ReadSpans;
  /** Adds a body. */
  readonly add: (body: Uint8Array, gather: SpanGather) => void;
}): Variant {
  const { name, description, bodies, block_rows, makes, read, add } = job;
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  const gather = new SpanGather();
  const encode = makeSpanBlockWriter();
  const pass = (record: (latency_ms: number) => void, keep: Uint8Array[] | null): void => {
    for (const [index, body] of bodies.entries()) {
      const start_ms = performance.now();
      add(body, gather);
      if (gather.rows.count >= block_rows || index === bodies.length - 1) {
        const block = encode(gather.rows, BATCH);
        keep?.push(block.bytes.slice());
        block.release();
        gather.clear();
      }
      record(performance.now() - start_ms);
    }
  };
  return {
    name,
    description,
    verify() {
      // The second pass goes by what was learned in the first, as the measured ones do.
      pass(() => {}, null);
      const blocks: Uint8Array[] = [];
      pass(() => {}, blocks);
      return proveBlocks(blocks, bodies, { makes, block_rows, read, batch: BATCH });
    },
    run(record) {
      pass(record, null);
      return { units: bodies.length * SPANS_PER_BODY, bytes };
    },
  };
}

/** The baseline and its twin for JSON. */
export function usualVariants(bodies: Bodies, json_bodies: Bodies): Variant[] {
  return [
    bodyVariant({
      name: "protobufjs_rows",
      description: "baseline: protobufjs, rows, JSONEachRow text",
      bodies,
      convert: writeProtobufRows,
      describe: describeRows,
    }),
    bodyVariant({
      name: "json_rows",
      description: "OTLP/JSON body: JSON.parse, rows, JSONEachRow text",
      bodies: json_bodies,
      convert: writeJsonRows,
      describe: describeRows,
    }),
  ];
}

/** The hot path of the collector, to blocks of that many rows. */
export function nativeVariant(
  bodies: Bodies,
  book: PriceBook,
  options: { readonly block_rows?: number; readonly capture_content?: boolean } = {},
): Variant {
  const { block_rows = MAX_BLOCK_SPANS, capture_content = false } = options;
  const pass = new TracePass({ book, capture_content, seed: 1 });
  const kept = capture_content ? ", content kept" : "";
  return blockVariant({
    name: `native${block_rows === GROUP_ROWS ? "_small_blocks" : ""}${kept && "_content"}`,
    description: `ours, normalized and priced, to Native blocks of ${block_rows} rows${kept}`,
    bodies,
    block_rows,
    makes: `blocks of ${block_rows} rows${kept}`,
    read: makeSpanReader(book, capture_content),
    add(body, gather) {
      const way = new TraceBody(pass, body, DEFAULT_SENDER, gather, LIMITS);
      if (way.step(Infinity, Infinity) !== "done") {
        throw new Error("a body of the bench did not go the hot path to its end");
      }
    },
  });
}

/** What the hot path is made of, and the way by objects. */
export function partVariants(bodies: Bodies, book: PriceBook): Variant[] {
  const plain = new PlainRows();
  const read = makeSpanReader(book, false);
  const writer = makeBlockWriter();
  return [
    blockVariant({
      name: "columns",
      description: "the same rows as sent: nothing normalized or priced",
      bodies,
      block_rows: MAX_BLOCK_SPANS,
      makes: "blocks of rows as sent",
      read: readPlainSpans,
      add: (body, gather) => plain.add(body, gather.rows),
    }),
    scanVariant(bodies),
    bodyVariant({
      name: "decode_objects",
      description: "decoded to objects, as unusual bodies are",
      bodies,
      convert: decodeTraces,
      describe: describeDecoded,
    }),
    {
      ...bodyVariant({
        name: "objects",
        description: "by objects to a Native block of every column, as before the hot path",
        bodies,
        convert: (body) => writer.encode(read(body), BATCH),
        describe: () => [],
      }),
      verify: () => ({
        hash: hashOf(bodies.map((body) => hashOf(describeSpans(read(body))))),
        agrees_on: "spans",
      }),
    },
  ];
}

/** The walk over a body that finds every span and value in it. */
function scanVariant(bodies: Bodies): Variant {
  const shapes = new Shapes(1);
  const wire = new WireSpan();
  const scan = (body: Uint8Array, visit: (scanner: TraceScanner) => void): void => {
    const scanner = new TraceScanner(body, shapes, wire);
    scanner.resume();
    for (;;) {
      const found = scanner.next();
      if (found === FOUND_END) return;
      if (found !== FOUND_SPAN) throw new Error("a body of the bench is written unusually");
      visit(scanner);
    }
  };
  const describe = (body: Uint8Array): string[] => {
    const lines: string[] = [];
    let resource = new Attributes();
    scan(body, (scanner) => {
      if (lines.length === 0) resource = scanner.decodeResource();
      lines.push(describeScanned(scanner, resource));
    });
    return lines;
  };
  let found = 0;
  const variant = bodyVariant({
    name: "scan",
    description: "the scan alone: every span and value found and checked in its place",
    bodies,
    convert: (body) => scan(body, () => (found += 1)),
    describe: () => [],
  });
  return {
    ...variant,
    verify: () => ({
      hash: hashOf(bodies.map((body) => hashOf(describe(body)))),
      agrees_on: "spans",
    }),
    async reset() {
      if (found % SPANS_PER_BODY !== 0) throw new Error(`the scan found ${found} spans`);
      return {};
    },
  };
}
