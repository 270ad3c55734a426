/**
 * The map of the collector: the only file that knows the order of the stages.
 *
 *   body -> decode -> normalize -> price -> columns -> wal (fsync) -> reply
 *                                                       wal -> insert -> ClickHouse -> recompute
 *
 * A request is answered when its rows are fsynced. Requests that arrive while a sync runs share the
 * next block and the next sync, so the log is not asked for more syncs than it can do.
 */
import { BUCKET_S, encodeRecord } from "../schemas/record.ts";
import { readPriceFiles } from "../schemas/price-files.ts";
import { PermanentError } from "../schemas/errors.ts";
import type { Attributes, DecodedTraces, Span } from "../schemas/span.ts";
import { NANOSECONDS_PER_SECOND } from "../schemas/units.ts";
import { makeBlockWriter } from "./columns/block.ts";
import { makeGroupCommit } from "./commit/group.ts";
import { decodeTracesJson } from "./decode/json.ts";
import { decodeTraces } from "./decode/traces.ts";
import { type NormalizeOptions, normalizeScope } from "./normalize/normalize.ts";
import { compilePriceBook, type PriceBook } from "./price/book.ts";
import { priceSpan } from "./price/cost.ts";
import type { ExportResult, OtlpEncoding } from "./receive/reply.ts";
import type { Wal } from "./wal/wal.ts";

export type { PriceBook } from "./price/book.ts";

/** The price book this version ships with, compiled. Reads files: called once, at start. */
export function loadPriceBook(): PriceBook {
  return compilePriceBook(readPriceFiles());
}

/** Spans of a request on their way to the log. */
export interface ReadResult {
  readonly spans: Span[];
  readonly decoded: DecodedTraces;
}

/** The pure front of the pipeline: decode, normalize, price. `explain` is this and no more. */
export function readSpans(
  body: Uint8Array,
  encoding: OtlpEncoding,
  book: PriceBook,
  options: NormalizeOptions,
): ReadResult {
  const decoded = encoding === "json" ? decodeTracesJson(body) : decodeTraces(body);
  const spans: Span[] = [];
  for (const scope_spans of decoded.scope_spans) {
    for (const span of normalizeScope(scope_spans, options)) {
      priceSpan(book, span);
      spans.push(span);
    }
  }
  return { spans, decoded };
}

export interface PipelineOptions {
  readonly wal: Wal;
  readonly book: PriceBook;
  readonly capture_content: boolean;
  /** How far in the future a span may start, seconds. */
  readonly max_future_s: number;
  readonly now_ms: () => number;
  /** Told after each sync that there is something to insert. */
  readonly onSynced: () => void;
}

/** Spans of one block; a larger group is written as several blocks. */
export const MAX_BLOCK_SPANS = 65_536;
/** Resource attributes of one request, counted once for each span that repeats them, bytes. */
export const MAX_RESOURCE_BYTES = 512 * 1024 ** 2;
/** The same of one block, bytes. */
const MAX_BLOCK_RESOURCE_BYTES = 32 * 1024 ** 2;
/** Spans that wait for the log at most; above it senders are told to come back. */
const MAX_WAITING_SPANS = 250_000;
/** No telemetry is older; a start before it is a broken clock. */
const FIRST_START_NS = BigInt(Date.UTC(2000, 0, 1)) * 1_000_000n;

/** What came of a request, for its answer and for the metrics. */
export interface PipelineResult extends ExportResult {
  readonly counted_calls: number;
}

export interface Pipeline {
  /** Takes the body of an export request; resolves when its spans are fsynced. */
  exportTraces(
    body: Uint8Array,
    encoding: OtlpEncoding,
    project_id: string,
  ): Promise<PipelineResult>;
  /** Resolves when nothing waits for the log any more. */
  idle(): Promise<void>;
}

/** The pipeline of one collector, up to the log. */
export function makePipeline(options: PipelineOptions): Pipeline {
  const writer = makeBlockWriter();
  const { wal, now_ms } = options;

  async function commit(spans: Span[]): Promise<void> {
    const writes: Promise<void>[] = [];
    for (const part of splitIntoBlocks(spans)) {
      const sequence = wal.reserveSequence();
      const block = writer.encode(part, { ingest_seq: sequence, ingested_ms: now_ms() });
      const header = { table: "spans" as const, rows: part.length, buckets: bucketsOf(part) };
      writes.push(wal.append(sequence, encodeRecord({ header, block })));
    }
    // Every write is waited for, so that no failure of one is left alone.
    const results = await Promise.allSettled(writes);
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    options.onSynced();
  }

  const group = makeGroupCommit(MAX_WAITING_SPANS, commit);
  return {
    async exportTraces(body, encoding, project_id) {
      const { spans, decoded } = readSpans(body, encoding, options.book, {
        project_id,
        capture_content: options.capture_content,
      });
      refuseExpanding(decoded);
      const timely = keepTimely(spans, decoded, options);
      if (timely.length > 0) await group.add(timely);
      return {
        accepted_spans: timely.length,
        rejected_spans: decoded.rejected_spans,
        message: [...decoded.rejections, ...decoded.warnings].join("; "),
        counted_calls: timely.filter((span) => span.span_class === "billable").length,
      };
    },
    idle: () => group.idle(),
  };
}

/** Characters of the keys and texts of attributes: about the bytes they take in a block. */
function measureAttributes({ keys, values }: Attributes): number {
  let size = 0;
  for (let index = 0; index < keys.length; index += 1) {
    const value = values[index];
    size += (keys[index] as string).length + (typeof value === "string" ? value.length : 8);
  }
  return size;
}

/**
 * Refuses a request that would grow out of all proportion: a resource is sent once and stored with
 * each of its spans, so that a body of 20 MB can stand for gigabytes of rows.
 */
function refuseExpanding({ scope_spans }: DecodedTraces): void {
  let size = 0;
  for (const { resource, spans } of scope_spans) size += spans.length * measureAttributes(resource);
  if (size <= MAX_RESOURCE_BYTES) return;
  throw new PermanentError(
    "body_too_large",
    `The resource attributes of the request, stored with each span, take more than ` +
      `${MAX_RESOURCE_BYTES} bytes. Export smaller batches or fewer resource attributes.`,
  );
}

/** Cuts spans into blocks of bounded rows and, as far as resources can blow them up, bytes. */
function* splitIntoBlocks(spans: readonly Span[]): Generator<readonly Span[]> {
  const sizes = new Map<Attributes, number>();
  let start = 0;
  let size = 0;
  for (let index = 0; index < spans.length; index += 1) {
    const resource = (spans[index] as Span).resource_attributes;
    let resourceSize = sizes.get(resource);
    if (resourceSize === undefined) {
      resourceSize = measureAttributes(resource);
      sizes.set(resource, resourceSize);
    }
    const full = index - start >= MAX_BLOCK_SPANS || size + resourceSize > MAX_BLOCK_RESOURCE_BYTES;
    if (full && index > start) {
      yield spans.slice(start, index);
      start = index;
      size = 0;
    }
    size += resourceSize;
  }
  if (start < spans.length) yield spans.slice(start);
}

/** Refuses spans whose start no sane clock gives: one of them would put its day in every table. */
function keepTimely(spans: Span[], decoded: DecodedTraces, options: PipelineOptions): Span[] {
  const latest_ns = BigInt(options.now_ms() + options.max_future_s * 1000) * 1_000_000n;
  const timely = spans.filter(
    (span) => span.start_ns >= FIRST_START_NS && span.start_ns <= latest_ns,
  );
  const refused = spans.length - timely.length;
  if (refused > 0) {
    decoded.rejected_spans += refused;
    decoded.rejections.push(
      `${refused} spans start before the year 2000 or more than ${options.max_future_s} s in the future; check the sender's clock`,
    );
  }
  return timely;
}

/**
 * The rollup buckets that the spans can change: all of them, as a span that is no call may replace
 * one that was.
 */
function bucketsOf(spans: readonly Span[]): [string, number][] {
  const buckets = new Map<string, [string, number]>();
  for (const span of spans) {
    const start_s = Number(span.start_ns / NANOSECONDS_PER_SECOND);
    const bucket_s = start_s - (start_s % BUCKET_S);
    const key = `${bucket_s} ${span.project_id}`;
    if (!buckets.has(key)) buckets.set(key, [span.project_id, bucket_s]);
  }
  return [...buckets.values()];
}
