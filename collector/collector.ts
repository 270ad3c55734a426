/**
 * One collector as a running thing: opens the log, starts the receiver and the loops behind it, and
 * stops them in the order that loses nothing.
 */
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import type { IncomingHttpHeaders, Server } from "node:http";
import { join } from "node:path";
import type { Engine, TableColumn } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { SPAN_COLUMNS } from "../schemas/columns.ts";
import { BUCKET_S, type RecordTable } from "../schemas/record.ts";
import { USAGE_METRIC_COLUMNS } from "../schemas/usage-metrics.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import {
  DEFAULT_BATCH_BYTES,
  type InsertEvent,
  type InsertLoop,
  startInsertLoop,
} from "./insert/loop.ts";
import { type CollectorMetrics, makeCollectorMetrics } from "./metrics.ts";
import { type Bucket, Resolver, type ResolverEvent, SettleLoop } from "./ownership/resolver.ts";
import type { Window } from "./ownership/store.ts";
import {
  countCalls,
  loadPrices,
  makePipeline,
  MULTI_SIGNAL_DIALECTS,
  type Pipeline,
} from "./pipeline.ts";
import { tellPriceChange } from "./rating/runs.ts";
import { createOtlpHttpServer } from "./receive/http.ts";
import {
  DEFAULT_DAY_INTERVAL_MS,
  DEFAULT_MAX_BUCKETS,
  Recompute,
  type RecomputeEvent,
} from "./recompute/recompute.ts";
import { nodeDisk } from "./wal/disk.ts";
import { openWal, SEGMENT_MAX_BYTES, type Wal } from "./wal/wal.ts";

export interface CollectorOptions {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly log: Log;
  /** The project of a request by its headers; null when its key is not good. */
  readonly authenticate: (headers: IncomingHttpHeaders) => string | null;
  /** Ends the process: the log cannot promise durability any more. */
  readonly onFatal: (error: Error) => void;
}

export interface Collector {
  /** Where OTLP/HTTP is received, host:port. */
  readonly otlp_http: string;
  readonly metrics: CollectorMetrics;
  /** Rejects with the reason while the collector cannot take spans. */
  checkReady(): Promise<void>;
  /** Stops receiving, finishes what was accepted, and leaves the rest to the log. */
  stop(): Promise<void>;
}

/** Pause between attempts to reach the engine at start, ms. */
const MIGRATE_RETRY_MS = 1_000;
/** Pause between looks for traces that have settled, ms. */
const SETTLE_INTERVAL_MS = 1_000;
/** Longest a stop waits for open connections, ms; containers are killed after ten seconds. */
const STOP_GRACE_MS = 3_000;
/** Segments that the budget of the log has room for. */
const MIN_SEGMENTS = 8;
/** Syncs that may fail in a row before the process gives up (research/reliability.md F11). */
const MAX_SYNC_FAILURES = 2;

/** Opens the log and starts a collector; resolves when it receives. */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const { settings, log } = options;
  const metrics = makeCollectorMetrics();
  const wal = await openWal({
    directory: join(settings.SPANLEDGER_DATA_DIR, "wal"),
    disk: nodeDisk(),
    // Only whole segments are freed: a small budget needs small ones.
    segment_max_bytes: Math.min(
      SEGMENT_MAX_BYTES,
      Math.floor(settings.SPANLEDGER_WAL_MAX_BYTES / MIN_SEGMENTS),
    ),
    max_bytes: settings.SPANLEDGER_WAL_MAX_BYTES,
    now_ms: Date.now,
    new_uuid: randomUUID,
  });
  const prices = loadPrices(settings.SPANLEDGER_PRICES_FILE);
  const background = new Background(options, wal, metrics);
  const pipeline = makePipeline({
    wal,
    book: prices.book,
    capture_content: settings.SPANLEDGER_CAPTURE_CONTENT,
    max_future_s: settings.SPANLEDGER_MAX_FUTURE_S,
    now_ms: Date.now,
    onSynced: () => background.wake(),
  });
  const server = createOtlpHttpServer({
    max_body_bytes: settings.SPANLEDGER_MAX_BODY_BYTES,
    max_in_flight_bytes: settings.SPANLEDGER_MAX_IN_FLIGHT_BYTES,
    authenticate: options.authenticate,
    exportBody: measure(pipeline, wal, metrics, options.onFatal),
    observe(signal, status, body_bytes) {
      metrics.requests.inc({ signal, status: String(status) });
      metrics.received_bytes.inc(body_bytes);
    },
  });
  const otlp_http = await listen(server, settings.SPANLEDGER_OTLP_HTTP);
  background.start(prices.fingerprint);
  watchWal(wal, metrics);
  log.info({ otlp_http, wal: wal.stats() }, "collector receives");
  return {
    otlp_http,
    metrics,
    async checkReady() {
      const { consecutive_sync_failures } = wal.stats();
      if (consecutive_sync_failures > 0) throw new Error("the log cannot be synced");
    },
    async stop() {
      await closeServer(server);
      await pipeline.idle();
      await background.stop();
      await wal.close();
    },
  };
}

/** The columns of each table that is written through the log. */
const TABLE_COLUMNS: Readonly<Record<RecordTable, readonly TableColumn[]>> = {
  spans: SPAN_COLUMNS,
  usage_metric_points: USAGE_METRIC_COLUMNS,
};

/** Projects and range of time of buckets, at least one. */
function spanOf(buckets: readonly Bucket[]): Window & { projects: string[] } {
  let from_s = Infinity;
  let to_s = 0;
  for (const [, start_s] of buckets) {
    from_s = Math.min(from_s, start_s);
    to_s = Math.max(to_s, start_s + BUCKET_S);
  }
  return { from_s, to_s, projects: [...new Set(buckets.map(([project_id]) => project_id))] };
}

async function markBuckets(
  engine: Engine,
  buckets: readonly Bucket[],
  writer_id: string,
  sequence: number,
): Promise<void> {
  const projects = buckets.map(([project_id]) => project_id);
  const starts = buckets.map(([, start_s]) => start_s);
  const params = { projects, starts, writer_id, sequence };
  await engine.command(loadQuery("mark_buckets"), params, "insert");
}

/** Counts what the pipeline does; gives up when the disk cannot sync any more. */
function measure(
  pipeline: Pipeline,
  wal: Wal,
  metrics: CollectorMetrics,
  onFatal: (error: Error) => void,
): Pipeline["exportBody"] {
  return async (signal, body, encoding, project_id) => {
    const finish = metrics.ack_duration.startTimer();
    try {
      const result = await pipeline.exportBody(signal, body, encoding, project_id);
      metrics.accepted_items.inc({ signal }, result.accepted_items);
      metrics.rejected_items.inc({ signal }, result.rejected_items);
      metrics.ignored_items.inc({ signal }, result.ignored_items);
      metrics.counted_calls.inc(result.counted_calls);
      return result;
    } catch (error) {
      if (wal.stats().consecutive_sync_failures >= MAX_SYNC_FAILURES) {
        onFatal(new Error(`the write-ahead log cannot be synced: ${messageOf(error)}`));
      }
      throw error;
    } finally {
      finish();
    }
  };
}

/** Gauges of the log, read when metrics are asked for. */
function watchWal(wal: Wal, metrics: CollectorMetrics): void {
  const collect = () => {
    const stats = wal.stats();
    metrics.wal_bytes.set(stats.bytes);
    metrics.wal_pending_records.set(stats.records_pending);
    metrics.wal_oldest_pending_seconds.set(stats.oldest_pending_ms / 1000);
    metrics.wal_quarantined_records.set(stats.quarantined_records);
  };
  Object.assign(metrics.wal_bytes, { collect });
}

/** The part behind the log: schema, inserts, rollups. Ingest does not need any of it to go on. */
class Background {
  readonly #options: CollectorOptions;
  readonly #wal: Wal;
  readonly #metrics: CollectorMetrics;
  #loop: InsertLoop | null = null;
  #settle: SettleLoop | null = null;
  #recompute: Recompute | null = null;
  #stopped = false;
  #starting: Promise<void> = Promise.resolve();
  #cancelWait: () => void = () => {};

  constructor(options: CollectorOptions, wal: Wal, metrics: CollectorMetrics) {
    this.#options = options;
    this.#wal = wal;
    this.#metrics = metrics;
  }

  start(price_fingerprint: string): void {
    this.#starting = this.#startWhenReachable(price_fingerprint);
  }

  wake(): void {
    this.#loop?.wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelWait();
    await this.#starting;
    await this.#loop?.stop();
    await this.#settle?.stop();
    await this.#recompute?.stop();
  }

  /** The engine may be away at start: spans are received meanwhile. */
  async #startWhenReachable(price_fingerprint: string): Promise<void> {
    const { engine, log } = this.#options;
    while (!this.#stopped) {
      try {
        const applied = await migrate(engine);
        if (applied.length > 0) log.info({ applied }, "schema migrated");
        break;
      } catch (error) {
        if (error instanceof PermanentError) {
          log.error({ code: error.code }, `the schema cannot be migrated: ${error.message}`);
        } else {
          log.warn({}, `ClickHouse is away, spans are kept in the log: ${messageOf(error)}`);
        }
        await this.#wait(MIGRATE_RETRY_MS);
      }
    }
    if (this.#stopped) return;
    await tellPriceChange(engine, log, price_fingerprint, Date.now());
    const resolver = this.#makeResolver();
    this.#loop = this.#startInserts(resolver);
    this.#settle = this.#startSettling(resolver);
    this.#recompute = this.#startRecompute();
  }

  #makeResolver(): Resolver {
    const { engine, settings } = this.#options;
    return new Resolver(engine, {
      decide: countCalls,
      session_dialects: MULTI_SIGNAL_DIALECTS,
      settle_ms: settings.SPANLEDGER_TRACE_SETTLE_S * 1000,
      window_s: settings.SPANLEDGER_TRACE_WINDOW_S,
      now_ms: Date.now,
      observe: (event) => this.#observeResolver(event),
    });
  }

  #startSettling(resolver: Resolver): SettleLoop {
    const { engine } = this.#options;
    // A writer of its own: its marks count up by the clock, those of the log by sequence.
    const writer_id = `${this.#wal.writer_id}-settle`;
    const loop = new SettleLoop(
      resolver,
      SETTLE_INTERVAL_MS,
      (buckets) => markBuckets(engine, buckets, writer_id, Date.now()),
      (event) => this.#observeResolver(event),
    );
    loop.start();
    return loop;
  }

  #observeResolver(event: ResolverEvent): void {
    if (event.kind === "failed") {
      this.#options.log.warn({}, `counting failed, trying again: ${event.message}`);
      return;
    }
    if (event.kind === "left_out") {
      this.#options.log.warn({}, event.message);
      return;
    }
    this.#metrics.resolve_duration.observe(event.duration_ms / 1000);
    this.#metrics.decisions.inc(event.decisions);
  }

  #startInserts(resolver: Resolver): InsertLoop {
    const { engine, settings } = this.#options;
    const { writer_id } = this.#wal;
    return startInsertLoop(
      this.#wal,
      {
        insertBlocks: (table, blocks) => engine.insertNative(table, TABLE_COLUMNS[table], blocks),
        resolveCalls: ({ buckets, first_sequence, last_sequence }) =>
          resolver.resolveBatch({ ...spanOf(buckets), buckets, first_sequence, last_sequence }),
        markBuckets: (buckets, sequence) => markBuckets(engine, buckets, writer_id, sequence),
      },
      this.#wal.stats().released_sequence,
      {
        max_rows: settings.SPANLEDGER_INSERT_MAX_ROWS,
        max_age_ms: settings.SPANLEDGER_INSERT_MAX_AGE_MS,
        max_bytes: DEFAULT_BATCH_BYTES,
        now_ms: Date.now,
        setAside: async (record, reason) => {
          const directory = join(settings.SPANLEDGER_DATA_DIR, "dead-letter");
          await mkdir(directory, { recursive: true, mode: 0o700 });
          const file = join(directory, String(record.sequence));
          await writeFile(`${file}.record`, record.payload, { mode: 0o600, flush: true });
          await writeFile(`${file}.txt`, `${reason}\n`, { mode: 0o600, flush: true });
        },
        observe: (event) => this.#observeInsert(event),
      },
    );
  }

  #observeInsert(event: InsertEvent): void {
    const { log } = this.#options;
    switch (event.kind) {
      case "inserted":
        this.#metrics.inserted_rows.inc(event.rows);
        this.#metrics.insert_duration.observe(event.duration_ms / 1000);
        break;
      case "failed":
        this.#metrics.insert_failures.inc();
        log.warn({ retry_ms: event.retry_ms }, `insert failed, trying again: ${event.message}`);
        break;
      case "set_aside":
        this.#metrics.set_aside_records.inc();
        log.error({}, `a record was set aside in dead-letter/: ${event.message}`);
        break;
    }
  }

  #startRecompute(): Recompute {
    const { engine, settings } = this.#options;
    const recompute = new Recompute(engine, {
      interval_ms: settings.SPANLEDGER_RECOMPUTE_INTERVAL_MS,
      max_buckets: DEFAULT_MAX_BUCKETS,
      day_interval_ms: DEFAULT_DAY_INTERVAL_MS,
      now_ms: Date.now,
      observe: (event) => this.#observeRecompute(event),
    });
    recompute.start();
    return recompute;
  }

  #observeRecompute(event: RecomputeEvent): void {
    if (event.kind === "failed") {
      this.#metrics.recompute_failures.inc();
      this.#options.log.warn({}, `recompute failed, trying again: ${event.message}`);
      return;
    }
    this.#metrics.recompute_duration.observe(event.duration_ms / 1000);
    this.#metrics.recomputed_buckets.inc(event.buckets);
  }

  async #wait(duration_ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, duration_ms);
      this.#cancelWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Listens and returns host:port as it turned out. */
export function listen(server: Server, address: { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const where = `${address.host}:${address.port}`;
      const message =
        error.code === "EADDRINUSE"
          ? `${where} is taken by another program; choose another address or port 0.`
          : `cannot listen on ${where}: ${error.message}`;
      reject(new PermanentError("cannot_listen", message, { cause: error }));
    });
    server.listen(address.port, address.host, () => {
      const bound = server.address();
      const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
      resolve(address.host.includes(":") ? `[${address.host}]:${port}` : `${address.host}:${port}`);
    });
  });
}

/** Stops taking connections, lets open requests finish for a while, then cuts them. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
  await closed;
  clearTimeout(timer);
}
