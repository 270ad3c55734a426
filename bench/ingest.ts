/**
 * The ingest bench: from the bytes that an exporter sends to rows, on one core, without a network, a
 * log or an engine. Both groups compare with the usual approach: protobufjs to JSONEachRow text.
 *
 * Not measured: other shapes of spans than those of `bodies.ts`, new shapes all the time.
 */
import { decodeTraces } from "../collector/decode/traces.ts";
import { loadPriceBook } from "../collector/pipeline.ts";
import { makeBodies, makeJsonBodies, SPANS_PER_BODY } from "./bodies.ts";
import { type BenchOptions, type BenchResult, type GroupResult, measure } from "./measure.ts";
import { pipelineVariant } from "./swallowed.ts";
import { type Bodies, GROUP_ROWS, nativeVariant, partVariants, usualVariants } from "./ways.ts";

/** Bodies of one pass: a block of the size at which the collector ends one. */
const BODIES = { full: 128, small: 2 };
const LARGE_BODIES = { full: 16, small: 1 };
/** Prompts, answers, arguments and results of each span of the large bodies. */
const CONTENT_BYTES = 8_192;

/** Runs the bench. Throws when a variant makes something else than the others. */
export async function runIngest(options: BenchOptions): Promise<BenchResult> {
  const size = options.small ? "small" : "full";
  options.tell("ingest: making bodies");
  const bodies = makeBodies(BODIES[size]);
  const group = await measureBodies(bodies, makeJsonBodies(BODIES[size]), options);
  const large = await measureLarge(LARGE_BODIES[size], options);
  return {
    name: "ingest",
    clickhouse: "none",
    facts: {
      bodies: bodies.length,
      spans_per_body: SPANS_PER_BODY,
      bytes_per_span: sizeOf(bodies),
      attributes_per_span: countAttributes(bodies),
      large_bytes_per_span: large.bytes_per_span,
    },
    groups: [group, large.group],
  };
}

function sizeOf(bodies: Bodies): number {
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  return Math.round(bytes / bodies.length / SPANS_PER_BODY);
}

function countAttributes(bodies: Bodies): number {
  let attributes = 0;
  for (const body of bodies) {
    for (const { spans } of decodeTraces(body).scope_spans) {
      for (const span of spans) attributes += span.attributes.keys.length;
    }
  }
  return Math.round((attributes / bodies.length / SPANS_PER_BODY) * 10) / 10;
}

function measureBodies(
  bodies: Bodies,
  json_bodies: Bodies,
  options: BenchOptions,
): Promise<GroupResult> {
  const book = loadPriceBook();
  const variants = [
    ...usualVariants(bodies, json_bodies),
    nativeVariant(bodies, book),
    nativeVariant(bodies, book, { block_rows: GROUP_ROWS }),
    ...partVariants(bodies, book),
    pipelineVariant("protobuf", bodies, bodies, book),
    pipelineVariant("json", json_bodies, bodies, book),
  ];
  return measure(variants, groupOptions("ingest", options));
}

async function measureLarge(
  count: number,
  options: BenchOptions,
): Promise<{ group: GroupResult; bytes_per_span: number }> {
  const book = loadPriceBook();
  const content = { content_bytes: CONTENT_BYTES };
  const bodies = makeBodies(count, 2, content);
  const json_bodies = makeJsonBodies(count, 2, content);
  const variants = [
    ...usualVariants(bodies, json_bodies),
    nativeVariant(bodies, book),
    nativeVariant(bodies, book, { capture_content: true }),
    pipelineVariant("protobuf", bodies, bodies, book),
    pipelineVariant("json", json_bodies, bodies, book),
  ];
  const group = await measure(variants, groupOptions("large", options));
  return { group, bytes_per_span: sizeOf(bodies) };
}

function groupOptions(name: string, { small, tell }: BenchOptions) {
  return {
    name,
    unit: "span" as const,
    runs: small ? 1 : 7,
    sample_ms: small ? 1 : 250,
    baseline: "protobufjs_rows",
    tell,
  };
}
