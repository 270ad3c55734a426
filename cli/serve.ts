/**
 * The long-running programs: `collector`, `query-api`, and `serve`, which is both in one process.
 * Started in order, stopped in the reverse of it, and ready only when everything listens.
 */
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import type { Engine } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { closeServer, type Collector, listen, startCollector } from "../collector/collector.ts";
import { createApp } from "../query-api/app.ts";
import { messageOf } from "../schemas/errors.ts";
import { makeAuthenticator } from "../schemas/keys.ts";
import type { Log } from "../schemas/log.ts";
import type { Address, Settings } from "../schemas/settings.ts";
import { readSettings, requireKeyBeyondLoopback, VERSION } from "./config.ts";
import { openEngine, requireServer } from "./engine.ts";
import { makeLog } from "./log.ts";
import { serveMonitor } from "./monitor.ts";

/** What a program consists of once it runs; stopped from the last to the first. */
interface Running {
  readonly stops: (() => Promise<void>)[];
  readonly ready: Record<string, string | null>;
}

/** Longest a stop may take, ms; then the process ends anyway: what was acknowledged is in the log. */
const STOP_DEADLINE_MS = 8_000;

/** Serves the query API on an address. */
async function serveApi(
  engine: Engine,
  log: Log,
  settings: Settings,
  collector: Collector | null,
): Promise<{ address: string; server: Server }> {
  const app = createApp({
    engine,
    log,
    version: VERSION,
    now_ms: Date.now,
    authenticate: makeAuthenticator(settings.SPANLEDGER_API_KEY),
    loopback_only: settings.SPANLEDGER_API_KEY === null,
    renderMetrics: async () => (collector === null ? "" : collector.metrics.registry.metrics()),
    checks: {
      storage: () => engine.ping(),
      ...(collector === null ? {} : { collector: () => collector.checkReady() }),
    },
  });
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  return { address: await listen(server, settings.SPANLEDGER_HTTP), server };
}

async function startServe(log: Log, fail: (error: Error) => void): Promise<Running> {
  const settings = readSettings();
  requireKeyBeyondLoopback(settings, ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_HTTP"]);
  const running = await startIngest(settings, log, fail);
  const { address, server } = await serveApi(running.engine, log, settings, running.collector);
  return {
    stops: [...running.stops, () => closeServer(server)],
    ready: { otlp_http: running.collector.otlp_http, otlp_grpc: null, http: address },
  };
}

async function startIngest(settings: Settings, log: Log, fail: (error: Error) => void) {
  const engine = await openEngine(settings);
  // A server may be away and spans are received all the same; the embedded engine is there, and
  // who reads the ready line may ask at once.
  if (engine.kind === "embedded") await migrate(engine);
  const stops = [() => engine.close()];
  const collector = await startCollector({
    settings,
    engine,
    log,
    authenticate: makeAuthenticator(settings.SPANLEDGER_API_KEY),
    onFatal: fail,
  });
  stops.push(() => collector.stop());
  return { engine, collector, stops };
}

async function startCollectorAlone(log: Log, fail: (error: Error) => void): Promise<Running> {
  const settings = readSettings();
  requireServer(settings, "collector");
  requireKeyBeyondLoopback(settings, ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_MONITOR"]);
  const { collector, stops } = await startIngest(settings, log, fail);
  const monitor: Address = settings.SPANLEDGER_MONITOR;
  const { address, server } = await serveMonitor(collector, monitor);
  return {
    stops: [...stops, () => closeServer(server)],
    ready: { otlp_http: collector.otlp_http, otlp_grpc: null, monitor: address },
  };
}

async function startApiAlone(log: Log): Promise<Running> {
  const settings = readSettings();
  requireServer(settings, "query-api");
  requireKeyBeyondLoopback(settings, ["SPANLEDGER_HTTP"]);
  const engine = await openEngine(settings);
  const { address, server } = await serveApi(engine, log, settings, null);
  return { stops: [() => engine.close(), () => closeServer(server)], ready: { http: address } };
}

const PROGRAMS = {
  serve: startServe,
  collector: startCollectorAlone,
  "query-api": startApiAlone,
} as const;

export type ProgramName = keyof typeof PROGRAMS;

/** Runs a program until a signal stops it; resolves with the exit code. */
export async function runProgram(name: ProgramName): Promise<number> {
  const log = makeLog(name);
  const end = Promise.withResolvers<number>();
  const fail = (error: Error) => {
    log.error({}, messageOf(error));
    end.resolve(1);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      log.info({ signal }, "stopping");
      end.resolve(0);
    });
  }
  // The launcher on an old Node is our parent and holds the channel: without it nobody can stop us.
  process.once("disconnect", () => end.resolve(0));
  const running = await PROGRAMS[name](log, fail);
  process.stdout.write(`${JSON.stringify({ msg: "ready", ...running.ready })}\n`);
  const code = await end.promise;
  const deadline = setTimeout(() => {
    log.warn({}, "the stop took too long; what was acknowledged is in the log");
    process.exit(code);
  }, STOP_DEADLINE_MS);
  for (const stop of running.stops.toReversed()) await stop();
  clearTimeout(deadline);
  return code;
}
