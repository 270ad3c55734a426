/**
 * The map of the collector: with `traces.ts` the only file that knows the order of the stages.
 *
 *   body -> decode -> normalize -> price -> columns -> wal (fsync) -> reply
 *                               wal -> insert -> ClickHouse -> ledger (who counts) -> recompute
 *
 * A trace export goes through them span by span and in place (`traces.ts`), any other as
 * objects, stage by stage (`READERS`); both end in the same rows (`intake.ts`).
 *
 * A request is answered when its rows are fsynced. Requests that arrive while a sync runs share the
 * next block and the next sync, so the log is not asked for more syncs than it can do.
 */
import type { Candidate, Decision } from "../schemas/ledger.ts";
import { readNegotiatedPrices, readPriceFiles } from "../schemas/price-files.ts";
import type { PriceFile } from "../schemas/prices.ts";
import { fingerprintPrices } from "../schemas/prices/fingerprint.ts";
import { PermanentError } from "../schemas/errors.ts";
import { NO_LIMITS, type SendLimits, type Sender } from "../schemas/sender.ts";
import { timeBoundsAt } from "../schemas/set-aside.ts";
import type { Attributes } from "../schemas/span.ts";
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
import {
  Intake,
  type IntakeOptions,
  MAX_RESOURCE_BYTES,
  type ReadResult,
  type Taken,
} from "./intake.ts";
import { listSteps } from "./price/choose.ts";
import { complaintOf, priceSpan } from "./price/cost.ts";
import type { Rater } from "./rating/rater.ts";
import type { ExportResult, OtlpEncoding, OtlpSignal } from "./receive/reply.ts";
import { measureAttributes } from "./traces.ts";

export type { PriceBook } from "./price/book.ts";
export type { ReadResult } from "./intake.ts";
export { MAX_RESOURCE_BYTES } from "./intake.ts";
export { MAX_BLOCK_SPANS } from "./span-log.ts";

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

export interface PipelineOptions extends IntakeOptions {
  /** How far in the future, and how long ago, an item may be, seconds. */
  readonly max_future_s: number;
  readonly max_age_s: number;
  /** What projects may send; anything when it is not given. */
  readonly limits?: SendLimits;
}

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
    sender: Sender,
  ): Promise<PipelineResult>;
  /** Throws RetryableError("overloaded") when too much waits for the log. */
  checkRoom(): void;
  /** Resolves when nothing waits for the log any more. */
  idle(): Promise<void>;
}

/** The pipeline of one collector, up to the log. */
export function makePipeline(options: PipelineOptions): Pipeline {
  const { book, capture_content, now_ms, max_age_s, max_future_s, limits = NO_LIMITS } = options;
  const intake = new Intake(options);
  return {
    async exportBody(signal, body, encoding, sender) {
      const { project_id, key_id } = sender;
      intake.checkRoom();
      limits.takeBytes(project_id, body.length);
      const bounds = timeBoundsAt(now_ms(), max_age_s, max_future_s);
      let taken: Taken | "odd" = "odd";
      if (signal === "traces") taken = await intake.readTraces(body, encoding, sender, bounds);
      if (taken === "odd") {
        const read = READERS[signal](body, encoding, book, { project_id, key_id, capture_content });
        taken = intake.takeObjects(read, sender, bounds);
      }
      const { refused, accepted_items, foreign_items, counted_calls, ignored_items } = taken;
      const stored_spans = signal === "metrics" ? 0 : accepted_items - ignored_items;
      limits.takeItems(project_id, accepted_items, stored_spans);
      await taken.written;
      const notes = [
        ...(foreign_items > 0 ? [describeForeign(foreign_items, sender)] : []),
        ...(refused.length > 0 ? [describeRefused(refused.length, options)] : []),
      ];
      return {
        accepted_items,
        rejected_items: taken.rejected_items + refused.length + foreign_items,
        message: [...notes, ...taken.notes].join("; "),
        counted_calls,
        ignored_items,
      };
    },
    checkRoom: () => intake.checkRoom(),
    idle: () => intake.idle(),
  };
}

/** The name is of the key's owner and never what was sent. */
function describeForeign(count: number, { allowed_service_name }: Sender): string {
  return (
    `${count} ${count === 1 ? "item was" : "items were"} refused for the service.name: this key may ` +
    `send only that of ${JSON.stringify(allowed_service_name)}; use the key of the service`
  );
}

const DAY_S = 86_400;

function describeRefused(count: number, { max_age_s, max_future_s }: PipelineOptions): string {
  return (
    `${count} ${count === 1 ? "item was" : "items were"} refused for the time sent: before the year ` +
    `2000, more than ${Math.round(max_age_s / DAY_S)} days old or more than ${max_future_s} s in the ` +
    "future; check the sender's clock (kept in set_aside_items: spanledger dead-letter list)"
  );
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
