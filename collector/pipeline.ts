/**
 * The map of the collector: the only file that knows the order of the stages.
 *
 *   body -> decode -> normalize -> price -> columns -> wal (fsync) -> reply
 *                               wal -> insert -> ClickHouse -> ledger (who counts) -> recompute
 *
 * A request is answered when its rows are fsynced. Requests that arrive while a sync runs share the
 * next block and the next sync, so the log is not asked for more syncs than it can do.
 */
import type { Candidate, Decision } from "../schemas/ledger.ts";
import { BUCKET_S, encodeRecord, type RecordTable } from "../schemas/record.ts";
import { readNegotiatedPrices, readPriceFiles } from "../schemas/price-files.ts";
import type { PriceFile } from "../schemas/prices.ts";
import { fingerprintPrices } from "../schemas/prices/fingerprint.ts";
import { PermanentError } from "../schemas/errors.ts";
import type { Attributes, Span } from "../schemas/span.ts";
import { USAGE_METRIC_COLUMNS, type UsageMetricPoint } from "../schemas/usage-metrics.ts";
import { NANOSECONDS_PER_SECOND } from "../schemas/units.ts";
import { type BlockWriter, makeBlockWriter, makeRowWriter } from "./columns/block.ts";
import { makeGroupCommit } from "./commit/group.ts";
import { decodeLogsJson } from "./decode/json-logs.ts";
import { decodeMetricsJson } from "./decode/json-metrics.ts";
import { decodeTracesJson } from "./decode/json.ts";
import { decodeLogs } from "./decode/logs.ts";
import { decodeMetrics } from "./decode/metrics.ts";
import { decodeTraces } from "./decode/traces.ts";
import { decideCalls } from "./ledger/count.ts";
import { PREFERRED_SIGNALS, SESSION_SOURCES } from "./normalize/dialects.ts";
import { normalizeLogs } from "./normalize/events.ts";
import { type NormalizeOptions, normalizeScope } from "./normalize/normalize.ts";
import { normalizeMetrics } from "./normalize/usage-metrics.ts";
import { compilePriceBook, type PriceBook } from "./price/book.ts";
import { listSteps } from "./price/choose.ts";
import { complaintOf, priceSpan } from "./price/cost.ts";
import type { Rater } from "./rating/rater.ts";
import type { ExportResult, OtlpEncoding, OtlpSignal } from "./receive/reply.ts";
import type { Wal } from "./wal/wal.ts";

export type { PriceBook } from "./price/book.ts";

/** A price book with the fingerprint of the files it was compiled from. */
export interface Prices {
  readonly book: PriceBook;
  /** See `fingerprintPrices` in schemas/prices/fingerprint.ts. */
  readonly fingerprint: string;
}

/**
 * The list prices that this version ships with and the negotiated ones of a file, compiled. Reads
 * files: called once, at start. Throws PermanentError("bad_prices") that says what to do.
 */
export function loadPrices(prices_file: string | null = null): Prices {
  const negotiated = prices_file === null ? [] : readNegotiatedPrices(prices_file);
  return compilePrices(readPriceFiles(), negotiated);
}

/** The prices of files. Throws as `compilePriceBook` does. */
export function compilePrices(
  list: readonly PriceFile[],
  negotiated: readonly PriceFile[] = [],
): Prices {
  return {
    book: compilePriceBook(list, negotiated),
    fingerprint: fingerprintPrices(list, negotiated),
  };
}

/** The book of `loadPrices`. */
export function loadPriceBook(prices_file: string | null = null): PriceBook {
  return loadPrices(prices_file).book;
}

/** Prices as pricing stored calls again asks for them. */
export function makeRater({ book, fingerprint }: Prices): Rater {
  return {
    fingerprint,
    listSteps: (question) => listSteps(book, question),
    complaintOf: (question) => complaintOf(book, question),
  };
}

/** What a request holds that becomes rows, and what was refused or ignored of it. */
export interface ReadResult {
  readonly spans: Span[];
  readonly points: UsageMetricPoint[];
  /** Items that were read, whether they become rows or not. */
  readonly read_items: number;
  /** Items that are no business of the ledger: read, and not stored. */
  readonly ignored_items: number;
  rejected_items: number;
  /** For the sender: reasons of rejections, and warnings. */
  readonly notes: string[];
}

type ReadBody = (
  body: Uint8Array,
  encoding: OtlpEncoding,
  book: PriceBook,
  options: NormalizeOptions,
) => ReadResult;

/** The pure front of the pipeline, by signal: decode, normalize, price. */
export const READERS: Readonly<Record<OtlpSignal, ReadBody>> = {
  traces: readSpans,
  logs: readLogs,
  metrics: readMetrics,
};

function readSpans(
  body: Uint8Array,
  encoding: OtlpEncoding,
  book: PriceBook,
  options: NormalizeOptions,
): ReadResult {
  const decoded = encoding === "json" ? decodeTracesJson(body) : decodeTraces(body);
  refuseExpanding(decoded.scope_spans.map(({ resource, spans }) => [resource, spans.length]));
  const spans = decoded.scope_spans.flatMap((scope) => normalizeScope(scope, options));
  for (const span of spans) priceSpan(book, span);
  return {
    spans,
    points: [],
    read_items: decoded.span_count,
    ignored_items: 0,
    rejected_items: decoded.rejected_spans,
    notes: [...decoded.rejections, ...decoded.warnings],
  };
}

function readLogs(
  body: Uint8Array,
  encoding: OtlpEncoding,
  book: PriceBook,
  options: NormalizeOptions,
): ReadResult {
  const decoded = encoding === "json" ? decodeLogsJson(body) : decodeLogs(body);
  refuseExpanding(decoded.scope_logs.map(({ resource, records }) => [resource, records.length]));
  const scopes = decoded.scope_logs.map((scope) => normalizeLogs(scope, options));
  const spans = scopes.flatMap((scope) => scope.spans);
  for (const span of spans) priceSpan(book, span);
  return {
    spans,
    points: [],
    read_items: decoded.record_count,
    ignored_items: scopes.reduce((sum, { ignored_records }) => sum + ignored_records, 0),
    rejected_items: decoded.rejected_records,
    notes: [...decoded.rejections, ...decoded.warnings],
  };
}

function readMetrics(
  body: Uint8Array,
  encoding: OtlpEncoding,
  _book: PriceBook,
  options: NormalizeOptions,
): ReadResult {
  const decoded = encoding === "json" ? decodeMetricsJson(body) : decodeMetrics(body);
  const scopes = decoded.scope_metrics.map((scope) => normalizeMetrics(scope, options));
  return {
    spans: [],
    points: scopes.flatMap((scope) => scope.points),
    read_items: decoded.point_count,
    ignored_items: scopes.reduce((sum, { ignored_points }) => sum + ignored_points, 0),
    rejected_items: decoded.rejected_points,
    notes: [...decoded.rejections, ...decoded.warnings],
  };
}

/** Dialects of clients that report a call by several signals, or whose sessions others repeat. */
export const MULTI_SIGNAL_DIALECTS: readonly string[] = [
  ...new Set([...PREFERRED_SIGNALS.keys(), ...SESSION_SOURCES]),
];

/** The counting rules with what the dialects know of their clients' signals. */
export function countCalls(
  candidates: readonly Candidate[],
  is_settled: (trace_id: string) => boolean,
): Map<string, Decision> {
  return decideCalls(candidates, {
    is_settled,
    prefer_signal: PREFERRED_SIGNALS,
    session_sources: SESSION_SOURCES,
  });
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

/** Rows of one block; a larger group is written as several blocks. */
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
  readonly ignored_items: number;
}

export interface Pipeline {
  /** Takes the body of an export request; resolves when its rows are fsynced. */
  exportBody(
    signal: OtlpSignal,
    body: Uint8Array,
    encoding: OtlpEncoding,
    project_id: string,
  ): Promise<PipelineResult>;
  /** Resolves when nothing waits for the log any more. */
  idle(): Promise<void>;
}

/** The pipeline of one collector, up to the log. */
export function makePipeline(options: PipelineOptions): Pipeline {
  const spanWriter = makeBlockWriter();
  const pointWriter = makeRowWriter(USAGE_METRIC_COLUMNS);
  const { wal, now_ms } = options;

  async function writeRecord<Row>(
    table: RecordTable,
    writer: BlockWriter<Row>,
    rows: readonly Row[],
    buckets: [string, number][],
  ): Promise<void> {
    const sequence = wal.reserveSequence();
    const block = writer.encode(rows, { ingest_seq: sequence, ingested_ms: now_ms() });
    const header = { table, rows: rows.length, buckets };
    await wal.append(sequence, encodeRecord({ header, block }));
  }

  /** Every write is waited for, so that no failure of one is left alone. */
  async function commit(writes: Promise<void>[]): Promise<void> {
    const results = await Promise.allSettled(writes);
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    options.onSynced();
  }

  const spanGroup = makeGroupCommit<Span>(MAX_WAITING_SPANS, (spans) =>
    commit(
      [...splitIntoBlocks(spans)].map((part) =>
        writeRecord("spans", spanWriter, part, bucketsOf(part)),
      ),
    ),
  );
  const pointGroup = makeGroupCommit<UsageMetricPoint>(MAX_WAITING_SPANS, (points) =>
    commit(
      [...splitIntoRuns(points, MAX_BLOCK_SPANS)].map((part) =>
        writeRecord("usage_metric_points", pointWriter, part, []),
      ),
    ),
  );

  return {
    async exportBody(signal, body, encoding, project_id) {
      const read = READERS[signal](body, encoding, options.book, {
        project_id,
        capture_content: options.capture_content,
      });
      const spans = keepTimely(read.spans, read, options);
      const points = keepTimely(read.points, read, options);
      if (spans.length > 0) await spanGroup.add(spans);
      if (points.length > 0) await pointGroup.add(points);
      return {
        accepted_items:
          read.read_items -
          (read.spans.length - spans.length) -
          (read.points.length - points.length),
        rejected_items: read.rejected_items,
        message: read.notes.join("; "),
        counted_calls: spans.filter((span) => span.span_class === "billable").length,
        ignored_items: read.ignored_items,
      };
    },
    async idle() {
      await spanGroup.idle();
      await pointGroup.idle();
    },
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
 * each of its items, so that a body of 20 MB can stand for gigabytes of rows.
 */
function refuseExpanding(resources: readonly (readonly [Attributes, items: number])[]): void {
  let size = 0;
  for (const [resource, items] of resources) size += items * measureAttributes(resource);
  if (size <= MAX_RESOURCE_BYTES) return;
  throw new PermanentError(
    "body_too_large",
    `The resource attributes of the request, stored with each item, take more than ` +
      `${MAX_RESOURCE_BYTES} bytes. Export smaller batches or fewer resource attributes.`,
  );
}

function* splitIntoRuns<Row>(rows: readonly Row[], max_rows: number): Generator<readonly Row[]> {
  for (let start = 0; start < rows.length; start += max_rows) {
    yield rows.slice(start, start + max_rows);
  }
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

/** Refuses rows of a time that no sane clock gives: one of them would put its day in every table. */
function keepTimely<Row extends Span | UsageMetricPoint>(
  rows: Row[],
  read: ReadResult,
  options: PipelineOptions,
): Row[] {
  const latest_ns = BigInt(options.now_ms() + options.max_future_s * 1000) * 1_000_000n;
  const timely = rows.filter((row) => {
    const time_ns = "time_ns" in row ? row.time_ns : row.start_ns;
    return time_ns >= FIRST_START_NS && time_ns <= latest_ns;
  });
  const refused = rows.length - timely.length;
  if (refused > 0) {
    read.rejected_items += refused;
    read.notes.unshift(
      `${refused} items start before the year 2000 or more than ${options.max_future_s} s in the future; check the sender's clock`,
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
