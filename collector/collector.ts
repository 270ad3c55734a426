/**
 * One collector as a running thing: opens the log, starts the receiver and the loops behind it, and
 * stops them in the order that loses nothing.
 */
import { randomInt, randomUUID } from "node:crypto";
import type { Server } from "node:http";
import { dirname, join } from "node:path";
import type { Engine } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { type Authenticate, NO_LIMITS, type SendLimits } from "../schemas/sender.ts";
import type { Settings } from "../schemas/settings.ts";
import { makeResolver, startInserts } from "./inserts.ts";
import type { InsertLoop } from "./insert/loop.ts";
import { markBuckets } from "./insert/target.ts";
import { drainInherited, type InheritedLog } from "./inherited.ts";
import { addProcessMetrics, type CollectorMetrics, makeCollectorMetrics } from "./metrics.ts";
import { Resolver, type ResolverEvent, SettleLoop } from "./ownership/resolver.ts";
import { loadPrices, makePipeline, type Pipeline } from "./pipeline.ts";
import { tellPriceChange } from "./rating/runs.ts";
import type { OtlpGrpcServer } from "./receive/grpc.ts";
import { checkTls, type TlsFiles } from "./receive/grpc-tls.ts";
import { describeError } from "./receive/reply.ts";
import { makeReceivers } from "./receivers.ts";
import { startSamples } from "./samples.ts";
import type { RecomputeEvent } from "./recompute/recompute.ts";
import { type RunningRecompute, startRecompute } from "./recompute/start.ts";
import { Telemetry, type TelemetryOptions } from "./telemetry/telemetry.ts";
import { nodeDisk } from "./wal/disk.ts";
import { openWal, SEGMENT_MAX_BYTES, type Wal } from "./wal/wal.ts";
import { checkWal, watchWal } from "./watch-wal.ts";

export type { TlsFiles } from "./receive/grpc-tls.ts";

export interface CollectorOptions {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly log: Log;
  /** The sender of a request by its headers; throws what refuses it. */
  readonly authenticate: Authenticate;
  /** What projects may send; anything when it is not given. */
  readonly limits?: SendLimits;
  /** What OTLP is received with; plain text when it is not given. */
  readonly tls?: TlsFiles | null;
  /** Ends the process: the log cannot promise durability any more. */
  readonly onFatal: (error: Error) => void;
  /** Whether it settles traces and recomputes rollups; of several collectors one is enough. */
  readonly keeps_rollups?: boolean;
  /** Directories of logs that collectors left which do not run any more: inserted beside its own. */
  readonly inherited_logs?: readonly string[];
  /** Traces what the collector does; it is not traced when this is not given. */
  readonly tracer?: TelemetryOptions["tracer"];
  /** Of Spanledger, for metrics. */
  readonly version?: string;
}

export interface Collector {
  /** Where OTLP/HTTP is received, host:port. */
  readonly otlp_http: string;
  /** Where OTLP/gRPC is received, host:port. */
  readonly otlp_grpc: string;
  readonly metrics: CollectorMetrics;
  /** Rejects with the reason while the collector cannot take spans. */
  checkReady(): Promise<void>;
  /** Stops receiving, finishes what was accepted, and leaves the rest to the log. */
  stop(): Promise<void>;
}

/** Least time between two log lines that say that ClickHouse is away at start, ms. */
const AWAY_LOG_INTERVAL_MS = 60_000;
/** Pause between attempts to reach the engine at start, ms. */
const MIGRATE_RETRY_MS = 1_000;
/** Pause between looks for traces that have settled, ms. */
const SETTLE_INTERVAL_MS = 1_000;
/** Longest a stop waits for open connections, ms; containers are killed after ten seconds. */
const STOP_GRACE_MS = 3_000;
/** How long what was inserted may stay in the log while traffic is low, ms: erasures wait for it. */
const RETIRE_INTERVAL_MS = 30_000;
/** Segments that the budget of the log has room for. */
const MIN_SEGMENTS = 8;
/** Syncs that may fail in a row before the process gives up (research/reliability.md F11). */
const MAX_SYNC_FAILURES = 2;

/** Opens the log and starts a collector; resolves when it receives. */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const { settings, log } = options;
  const { tls = null, limits = NO_LIMITS } = options;
  if (tls !== null) checkTls(tls);
  const telemetry = openTelemetry(options);
  const { metrics } = telemetry;
  const wal = telemetry.watchLog(
    await openLog(join(settings.SPANLEDGER_DATA_DIR, "wal"), settings, telemetry),
  );
  const prices = loadPrices(settings.SPANLEDGER_PRICES_FILE);
  metrics.set_aside_records.inc(wal.stats().set_aside_records);
  const background = new Background(options, wal, telemetry);
  const pipeline = makePipeline({
    wal,
    book: prices.book,
    capture_content: settings.SPANLEDGER_CAPTURE_CONTENT,
    max_future_s: settings.SPANLEDGER_MAX_FUTURE_S,
    max_age_s: settings.SPANLEDGER_MAX_AGE_S,
    seed: randomInt(2 ** 31),
    limits,
    now_ms: Date.now,
    onSynced: () => background.wake(),
  });
  const checkReady = async () => checkWal(wal.stats(), Date.now());
  const { http, grpc } = makeReceivers({
    settings,
    tls,
    telemetry,
    authenticate(headers) {
      const sender = options.authenticate(headers);
      // Before a byte of the body: who sends too much costs next to nothing.
      limits.check(sender.project_id);
      return sender;
    },
    checkReady,
    checkLoad: () => pipeline.checkRoom(),
    exportBody: giveUpOnDisk(pipeline, wal, options.onFatal),
  });
  const otlp_http = await listen(http, settings.SPANLEDGER_OTLP_HTTP);
  const otlp_grpc = await listen(grpc.listener, settings.SPANLEDGER_OTLP_GRPC);
  background.start(prices.fingerprint);
  const inherited = drainInherited({
    directories: options.inherited_logs ?? [],
    open: (directory) => openInherited(directory, options, telemetry, prices.fingerprint),
    log,
  });
  const samples = startSamples({ settings, engine: options.engine, metrics, wal });
  const unwatch = watchWal(wal, settings.SPANLEDGER_WAL_MAX_BYTES, metrics, log);
  // A disk that refuses to remove keeps the files: the next time, or when their room is needed.
  const retiring = setInterval(() => void wal.retire().catch(() => {}), RETIRE_INTERVAL_MS);
  retiring.unref();
  log.info({ otlp_http, otlp_grpc, wal: wal.stats() }, "collector receives");
  return {
    otlp_http,
    otlp_grpc,
    metrics,
    checkReady,
    async stop() {
      unwatch();
      clearInterval(retiring);
      await Promise.all([closeServer(http), grpc.close(STOP_GRACE_MS)]);
      await pipeline.idle();
      await Promise.all([background.stop(), inherited.stop()]);
      await samples.stop();
      await wal.close();
    },
  };
}

function openTelemetry({ tracer = null, version = "", engine, log }: CollectorOptions): Telemetry {
  const metrics = makeCollectorMetrics();
  addProcessMetrics(metrics);
  metrics.build_info.set({ version, engine: engine.kind }, 1);
  return new Telemetry({ metrics, log, tracer, statusOf: (error) => describeError(error).status });
}

function openLog(directory: string, settings: Settings, telemetry: Telemetry): Promise<Wal> {
  return openWal({
    directory,
    disk: nodeDisk(),
    // Only whole segments are freed: a small budget needs small ones.
    segment_max_bytes: Math.min(
      SEGMENT_MAX_BYTES,
      Math.floor(settings.SPANLEDGER_WAL_MAX_BYTES / MIN_SEGMENTS),
    ),
    max_bytes: settings.SPANLEDGER_WAL_MAX_BYTES,
    now_ms: Date.now,
    new_uuid: randomUUID,
    observeSync: telemetry.observeSync,
  });
}

/** Inserts the log of another collector; what it sets aside stays beside that log. */
async function openInherited(
  directory: string,
  options: CollectorOptions,
  telemetry: Telemetry,
  price_fingerprint: string,
): Promise<InheritedLog> {
  const wal = await openLog(directory, options.settings, telemetry);
  const settings = { ...options.settings, SPANLEDGER_DATA_DIR: dirname(directory) };
  const background = new Background({ ...options, settings, keeps_rollups: false }, wal, telemetry);
  background.start(price_fingerprint);
  return {
    pending: () => wal.stats().records_pending,
    async stop() {
      await background.stop();
      await wal.close();
    },
  };
}

/** Ends the process when the disk cannot sync any more. */
function giveUpOnDisk(
  pipeline: Pipeline,
  wal: Wal,
  onFatal: (error: Error) => void,
): Pipeline["exportBody"] {
  return async (signal, body, encoding, sender) => {
    try {
      return await pipeline.exportBody(signal, body, encoding, sender);
    } catch (error) {
      if (wal.stats().consecutive_sync_failures >= MAX_SYNC_FAILURES) {
        onFatal(new Error(`the write-ahead log cannot be synced: ${messageOf(error)}`));
      }
      throw error;
    }
  };
}

/** The part behind the log: schema, inserts, rollups. Ingest does not need any of it to go on. */
class Background {
  readonly #options: CollectorOptions;
  readonly #wal: Wal;
  readonly #telemetry: Telemetry;
  readonly #metrics: CollectorMetrics;
  #loop: InsertLoop | null = null;
  #settle: SettleLoop | null = null;
  #recompute: RunningRecompute | null = null;
  #stopped = false;
  #starting: Promise<void> = Promise.resolve();
  #cancelWait: () => void = () => {};

  constructor(options: CollectorOptions, wal: Wal, telemetry: Telemetry) {
    this.#options = options;
    this.#wal = wal;
    this.#telemetry = telemetry;
    this.#metrics = telemetry.metrics;
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
    let told_ms = -Infinity;
    while (!this.#stopped) {
      try {
        const applied = await migrate(engine);
        if (applied.length > 0) log.info({ applied }, "schema migrated");
        break;
      } catch (error) {
        if (error instanceof PermanentError) {
          log.error({ code: error.code }, `the schema cannot be migrated: ${error.message}`);
        } else if (performance.now() - told_ms >= AWAY_LOG_INTERVAL_MS) {
          told_ms = performance.now();
          log.warn({}, `ClickHouse is away, spans are kept in the log: ${messageOf(error)}`);
        }
        await this.#wait(MIGRATE_RETRY_MS);
      }
    }
    if (this.#stopped) return;
    const { keeps_rollups = true } = this.#options;
    if (keeps_rollups) await tellPriceChange(engine, log, price_fingerprint, Date.now());
    const { settings } = this.#options;
    const resolver = makeResolver(engine, settings, (event) => this.#observeResolver(event));
    this.#loop = startInserts({
      ...this.#options,
      wal: this.#wal,
      telemetry: this.#telemetry,
      resolver,
      onInserted: (duration_ms) => this.#recompute?.noteInsert(duration_ms),
    });
    if (!keeps_rollups) return;
    this.#settle = this.#startSettling(resolver);
    this.#recompute = this.#startRecompute();
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
      this.#metrics.resolve_failures.inc();
      this.#options.log.warn({}, `counting failed, trying again: ${event.message}`);
      return;
    }
    if (event.kind === "left_out") {
      this.#metrics.left_out_traces.inc();
      this.#options.log.warn({}, event.message);
      return;
    }
    this.#metrics.resolve_duration.observe(event.duration_ms / 1000);
    this.#metrics.decisions.inc(event.decisions);
  }

  #startRecompute(): RunningRecompute {
    const { engine, settings } = this.#options;
    return startRecompute(engine, {
      settings,
      token: randomUUID(),
      behind_ms: () => this.#wal.stats().oldest_pending_ms,
      observe: (event) => this.#observeRecompute(event),
    });
  }

  #tellLag(): void {
    const lag = this.#recompute?.lag();
    if (lag === undefined) return;
    const { recompute_lag } = this.#metrics;
    recompute_lag.dirty_buckets.set(lag.dirty_buckets);
    recompute_lag.oldest_dirty_seconds.set(lag.oldest_dirty_s);
    recompute_lag.rows_waiting.set(lag.rows_waiting);
    recompute_lag.is_holder.set(this.#recompute?.isHolder() === true ? 1 : 0);
  }

  #observeRecompute(event: RecomputeEvent): void {
    this.#tellLag();
    if (event.kind === "failed") {
      this.#metrics.recompute_failures.inc();
      this.#telemetry.noteRound(0, 0, false);
      this.#options.log.warn({}, `recompute failed, trying again: ${event.message}`);
      return;
    }
    if (event.buckets === 0) return;
    this.#telemetry.noteRound(event.buckets, event.duration_ms, true);
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
export function listen(
  server: OtlpGrpcServer["listener"],
  address: { host: string; port: number },
): Promise<string> {
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
