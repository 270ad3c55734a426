/**
 * One collector as a running thing: opens the log, starts the receiver and the loops behind it, and
 * stops them in the order that loses nothing.
 */
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import type { IncomingHttpHeaders, Server } from "node:http";
import { join } from "node:path";
import type { Engine } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { SPAN_COLUMNS } from "../schemas/columns.ts";
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
import { loadPriceBook, makePipeline, type Pipeline } from "./pipeline.ts";
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
  const background = new Background(options, wal, metrics);
  const pipeline = makePipeline({
    wal,
    book: loadPriceBook(),
    capture_content: settings.SPANLEDGER_CAPTURE_CONTENT,
    max_future_s: settings.SPANLEDGER_MAX_FUTURE_S,
    now_ms: Date.now,
    onSynced: () => background.wake(),
  });
  const server = createOtlpHttpServer({
    max_body_bytes: settings.SPANLEDGER_MAX_BODY_BYTES,
    max_in_flight_bytes: settings.SPANLEDGER_MAX_IN_FLIGHT_BYTES,
    authenticate: options.authenticate,
    exportTraces: measure(pipeline, wal, metrics, options.onFatal),
    observe(status, body_bytes) {
      metrics.requests.inc({ status: String(status) });
      metrics.received_bytes.inc(body_bytes);
    },
  });
  const otlp_http = await listen(server, settings.SPANLEDGER_OTLP_HTTP);
  background.start();
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

/** Counts what the pipeline does; gives up when the disk cannot sync any more. */
function measure(
  pipeline: Pipeline,
  wal: Wal,
  metrics: CollectorMetrics,
  onFatal: (error: Error) => void,
): Pipeline["exportTraces"] {
  return async (body, encoding, project_id) => {
    const finish = metrics.ack_duration.startTimer();
    try {
      const result = await pipeline.exportTraces(body, encoding, project_id);
      metrics.accepted_spans.inc(result.accepted_spans);
      metrics.rejected_spans.inc(result.rejected_spans);
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
  #recompute: Recompute | null = null;
  #stopped = false;
  #starting: Promise<void> = Promise.resolve();
  #cancelWait: () => void = () => {};

  constructor(options: CollectorOptions, wal: Wal, metrics: CollectorMetrics) {
    this.#options = options;
    this.#wal = wal;
    this.#metrics = metrics;
  }

  start(): void {
    this.#starting = this.#startWhenReachable();
  }

  wake(): void {
    this.#loop?.wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelWait();
    await this.#starting;
    await this.#loop?.stop();
    await this.#recompute?.stop();
  }

  /** The engine may be away at start: spans are received meanwhile. */
  async #startWhenReachable(): Promise<void> {
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
    this.#loop = this.#startInserts();
    this.#recompute = this.#startRecompute();
  }

  #startInserts(): InsertLoop {
    const { engine, settings } = this.#options;
    const { writer_id } = this.#wal;
    return startInsertLoop(
      this.#wal,
      {
        insertBlocks: (blocks) => engine.insertNative("spans", SPAN_COLUMNS, blocks),
        markBuckets: (buckets, sequence) =>
          engine.command(
            loadQuery("mark_buckets"),
            {
              projects: buckets.map(([project]) => project),
              starts: buckets.map(([, start_s]) => start_s),
              writer_id,
              sequence,
            },
            "insert",
          ),
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
        this.#metrics.inserted_spans.inc(event.rows);
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
