/** The query API as a program serves it: to everyone at its address, and to commands of this machine. */
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { makeSenders, senderOptions } from "../alerting/senders.ts";
import type { Engine } from "../clickhouse/engine.ts";
import { closeServer, type Collector, listen } from "../collector/collector.ts";
import { loadPrices } from "../collector/pipeline.ts";
import { type AppOptions, createApp } from "../query-api/app.ts";
import { writeAudit } from "../query-api/audit.ts";
import { AnswerCache } from "../query-api/cache.ts";
import { LiveHub } from "../query-api/live.ts";
import { acceptSockets, asksForSocket } from "../query-api/live-socket.ts";
import { PriceRows } from "../query-api/price-rows.ts";
import { makeRateLimits } from "../query-api/rate-limit.ts";
import type { Services } from "../query-api/route.ts";
import { writeUnitPrices } from "../query-api/unit-prices.ts";
import type { Log } from "../schemas/log.ts";
import { readNegotiatedPrices } from "../schemas/price-files.ts";
import type { Settings } from "../schemas/settings.ts";
import { AuditLog } from "../state/audit.ts";
import type { StateStore } from "../state/store.ts";
import type { Access } from "./access.ts";
import { startAlerts } from "./alerts.ts";
import { serveClickHouseHttp } from "./clickhouse-http.ts";
import { VERSION } from "./config.ts";
import { serveLocalAdmin } from "./local-admin.ts";
import { listUnitPrices, makePriceLister } from "./price-lister.ts";
import { openExports, startJobs } from "./rights.ts";

/** What the routes of a program work with. */
export function makeServices(
  engine: Engine,
  state: StateStore,
  log: Log,
  settings: Settings,
): Services {
  const audit_log = new AuditLog(engine);
  return {
    engine,
    state,
    log,
    version: VERSION,
    now_ms: Date.now,
    audit: (entry) => writeAudit(audit_log, entry, Date.now()),
    prices: makePriceLister(loadPrices(settings.SPANLEDGER_PRICES_FILE)),
    price_rows: openPriceRows(settings.SPANLEDGER_PRICES_FILE),
    senders: makeSenders(senderOptions(settings)),
    exports: openExports(settings),
  };
}

function openPriceRows(file: string | null): PriceRows {
  return new PriceRows(file === null ? [] : readNegotiatedPrices(file));
}

/** Brings the table of the price book up to date; nobody waits for it, and a start without it is one too. */
async function storeUnitPrices({ engine, log, settings }: ApiServerOptions): Promise<void> {
  try {
    const rows = listUnitPrices(loadPrices(settings.SPANLEDGER_PRICES_FILE));
    await writeUnitPrices(engine, rows, Date.now());
  } catch (error) {
    const message = "unit prices not stored: Grafana shows what caches save by those of before";
    log.warn({ error: String(error) }, message);
  }
}

/** Where senders find the collector of this process. */
function tellReceiver({ otlp_http, otlp_grpc }: Collector, settings: Settings) {
  const scheme = settings.SPANLEDGER_TLS_CERT_FILE === null ? "http" : "https";
  return { otlp_http: `${scheme}://${otlp_http}`, otlp_grpc: `${scheme}://${otlp_grpc}` };
}

export interface ApiServerOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly settings: Settings;
  readonly access: Access;
  /** In the same process; null without one. */
  readonly collector: Collector | null;
  /** How to stop what was started is added here. */
  readonly stops: (() => Promise<void>)[];
}

/** Serves the query API; resolves with host:port. */
export async function serveApi(options: ApiServerOptions): Promise<string> {
  const { engine, log, settings, access, collector, stops } = options;
  const { authenticator, state } = access;
  const live = new LiveHub({
    max_listeners: settings.SPANLEDGER_LIVE_MAX_LISTENERS,
    max_listeners_per_project: settings.SPANLEDGER_LIVE_MAX_PROJECT_LISTENERS,
    interval_ms: settings.SPANLEDGER_LIVE_INTERVAL_MS,
  });
  const app_options: AppOptions = {
    ...makeServices(engine, state, log, settings),
    ...(collector === null ? {} : { receiver: tellReceiver(collector, settings) }),
    answers: new AnswerCache({ max_bytes: settings.SPANLEDGER_ANSWER_CACHE_BYTES }),
    ...makeRateLimits({
      requests_per_second: settings.SPANLEDGER_API_REQUESTS_PER_SECOND,
      failures_per_minute: settings.SPANLEDGER_API_WRONG_KEYS_PER_MINUTE,
      queries_at_once: settings.SPANLEDGER_API_QUERIES_AT_ONCE,
      queries_waiting: settings.SPANLEDGER_API_QUERIES_WAITING,
      now_ms: () => performance.now(),
    }),
    live,
    authenticate: (headers) => authenticator.identify(headers),
    // Asked at each request: the first key that is made closes the door to those without one.
    get loopback_only() {
      return !authenticator.isLocked();
    },
    renderMetrics: async () => (collector === null ? "" : collector.metrics.registry.metrics()),
    checks: {
      storage: () => engine.ping(),
      ...(collector === null ? {} : { collector: () => collector.checkReady() }),
    },
  };
  const { fetch } = createApp(app_options);
  const serverOptions = { shouldUpgradeCallback: asksForSocket };
  const server = createAdaptorServer({ fetch, serverOptions }) as Server;
  const sockets = acceptSockets(server, fetch);
  const address = await listen(server, settings.SPANLEDGER_HTTP);
  stops.push(() => closeServer(server));
  stops.push(async () => {
    await live.close();
    await sockets.close();
  });
  await serveClickHouseHttp({ engine, log, settings, access, stops });
  const unit_prices = storeUnitPrices(options);
  stops.push(() => unit_prices);
  stops.push(startAlerts(settings, app_options));
  stops.push(startJobs({ engine, state, log, settings, has_collector: collector !== null }));
  stops.push(await serveLocalAdmin(settings.SPANLEDGER_DATA_DIR, app_options));
  return address;
}
