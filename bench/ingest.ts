/**
 * The ingest bench: from the bytes an exporter sends to rows. Group `collector` is what one collector
 * does without the engine, against the usual approach (protobufjs to JSONEachRow text), which has no
 * log in it; group `engine` goes on into the embedded engine until everything is inserted.
 *
 * Not measured: a network, other clients than node:http, prompts and answers, the recompute, hours
 * of merging.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { makeBlockWriter } from "../collector/columns/block.ts";
import { decodeTraces } from "../collector/decode/traces.ts";
import { loadPriceBook, READERS } from "../collector/pipeline.ts";
import type { Span } from "../schemas/span.ts";
import { writeJsonRows, writeProtobufRows } from "./baseline.ts";
import { makeBodies, makeJsonBodies, SPANS_PER_BODY } from "./bodies.ts";
import { openDurableVariants } from "./durable.ts";
import { measureEngine } from "./engine.ts";
import { describeDecoded, describeRows, describeSpans } from "./fingerprint.ts";
import {
  type BenchOptions,
  type BenchResult,
  type GroupResult,
  hashOf,
  measure,
  type Proof,
  type Variant,
} from "./measure.ts";

/** Bodies of the collector group. */
const BODIES = { full: 64, small: 2 };
/** Bodies of the engine group: just below two inserts of the default size. */
const ENGINE_BODIES = { full: 390, small: 4 };

const NORMALIZE = { project_id: "default", capture_content: false };
const BATCH = { ingest_seq: 1, ingested_ms: 1_790_000_000_000 };

type Bodies = readonly Uint8Array<ArrayBuffer>[];

/** Runs the bench. Throws when a variant makes something else than the others. */
export async function runIngest(options: BenchOptions): Promise<BenchResult> {
  const size = options.small ? "small" : "full";
  options.tell("ingest: making bodies");
  const bodies = makeBodies(ENGINE_BODIES[size]);
  const first = bodies.slice(0, BODIES[size]);
  const collector = await measureCollector(first, options);
  const { group, clickhouse } = await measureEngine(bodies, options);
  const bytes = first.reduce((sum, body) => sum + body.length, 0);
  return {
    name: "ingest",
    clickhouse,
    facts: {
      collector_bodies: first.length,
      engine_bodies: bodies.length,
      spans_per_body: SPANS_PER_BODY,
      protobuf_bytes_per_span: Math.round(bytes / first.length / SPANS_PER_BODY),
      attributes_per_span: countAttributes(first),
    },
    groups: [collector, group],
  };
}

function countAttributes(bodies: Bodies): number {
  const counts = bodies.flatMap((body) =>
    decodeTraces(body).scope_spans.flatMap(({ spans }) =>
      spans.map(({ attributes }) => attributes.keys.length),
    ),
  );
  return Math.round((counts.reduce((sum, count) => sum + count, 0) / counts.length) * 10) / 10;
}

async function measureCollector(bodies: Bodies, options: BenchOptions): Promise<GroupResult> {
  const directory = join(options.directory, "wal-only");
  await mkdir(directory);
  const durable = await openDurableVariants(directory, bodies);
  try {
    return await measure([...pureVariants(bodies), ...durable.variants], {
      name: "collector",
      unit: "span",
      runs: options.small ? 1 : 7,
      sample_ms: options.small ? 1 : 250,
      baseline: "protobufjs_rows",
      tell: options.tell,
    });
  } finally {
    await durable.close();
  }
}

/** The variants that turn a body into something in memory. */
function pureVariants(bodies: Bodies): Variant[] {
  const json_bodies = makeJsonBodies(bodies.length);
  const book = loadPriceBook();
  const writer = makeBlockWriter();
  const read = (body: Uint8Array): Span[] =>
    READERS.traces(body, "protobuf", book, NORMALIZE).spans;
  const readJson = (body: Uint8Array): Span[] =>
    READERS.traces(body, "json", book, NORMALIZE).spans;
  return [
    bodyVariant({
      name: "protobufjs_rows",
      description: "baseline: protobufjs, rows, JSONEachRow text",
      bodies,
      convert: writeProtobufRows,
      prove: (results) => ({ hash: hashOf(results.flatMap(describeRows)), agrees_on: "spans" }),
    }),
    bodyVariant({
      name: "json_rows",
      description: "OTLP/JSON body: JSON.parse, rows, JSONEachRow text",
      bodies: json_bodies,
      convert: writeJsonRows,
      prove: (results) => ({ hash: hashOf(results.flatMap(describeRows)), agrees_on: "spans" }),
    }),
    bodyVariant({
      name: "decode",
      description: "ours: decode",
      bodies,
      convert: decodeTraces,
      prove: (results) => ({ hash: hashOf(results.flatMap(describeDecoded)), agrees_on: "spans" }),
    }),
    bodyVariant({
      name: "price",
      description: "ours: decode, normalize, price",
      bodies,
      convert: read,
      prove: (results) => ({ hash: hashOf(results.flatMap(describeSpans)), agrees_on: "spans" }),
    }),
    bodyVariant({
      name: "native",
      description: "ours: decode, normalize, price, Native block",
      bodies,
      convert: (body) => writer.encode(read(body), BATCH),
      prove: (results) => ({ hash: hashOf(results), agrees_on: "Native blocks" }),
    }),
    bodyVariant({
      name: "json_native",
      description: "ours from an OTLP/JSON body, to the Native block",
      bodies: json_bodies,
      convert: (body) => writer.encode(readJson(body), BATCH),
      prove: (results) => ({ hash: hashOf(results), agrees_on: "Native blocks" }),
    }),
  ];
}

/** A variant that converts one body after the other; the time of each is a stall of the process. */
function bodyVariant<Result extends object | string>(job: {
  readonly name: string;
  readonly description: string;
  readonly bodies: Bodies;
  readonly convert: (body: Uint8Array) => Result;
  readonly prove: (results: readonly Result[]) => Proof;
}): Variant {
  const { name, description, bodies, convert, prove } = job;
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  return {
    name,
    description,
    verify: () => prove(bodies.map((body) => convert(body))),
    run(record) {
      let last: Result | undefined;
      for (const body of bodies) {
        const start_ms = performance.now();
        last = convert(body);
        record(performance.now() - start_ms);
      }
      if (last === undefined) throw new Error("there are no bodies");
      return { units: bodies.length * SPANS_PER_BODY, bytes };
    },
  };
}
