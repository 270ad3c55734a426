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
import type { Settings } from "../schemas/settings.ts";
import { readSettings, requireKeyBeyondLoopback, VERSION } from "./config.ts";
import { prepareDataDirectory } from "./data-directory.ts";
import { openEngine, requireServer } from "./engine.ts";
import { makeLog } from "./log.ts";
import { serveMonitor } from "./monitor.ts";

/** How to stop what has been started so far; run from the last to the first. */
type Stops = (() => Promise<void>)[];

/** Where the parts of a program listen, for the ready line. */
type Ready = Readonly<Record<string, string | null>>;

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

async function startServe(log: Log, stops: Stops, fail: (error: Error) => void): Promise<Ready> {
  const settings = readSettings();
  requireKeyBeyondLoopback(settings, ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_HTTP"]);
  const { engine, collector } = await startIngest(settings, log, stops, fail);
  const { address, server } = await serveApi(engine, log, settings, collector);
  stops.push(() => closeServer(server));
  return { otlp_http: collector.otlp_http, otlp_grpc: null, http: address };
}

async function startIngest(
  settings: Settings,
  log: Log,
  stops: Stops,
  fail: (error: Error) => void,
): Promise<{ engine: Engine; collector: Collector }> {
  prepareDataDirectory(settings.SPANLEDGER_DATA_DIR);
  const engine = await openEngine(settings);
  stops.push(() => engine.close());
  // A server may be away and spans are received all the same; the embedded engine is there, and
  // who reads the ready line may ask at once.
  if (engine.kind === "embedded") await migrate(engine);
  const collector = await startCollector({
    settings,
    engine,
    log,
    authenticate: makeAuthenticator(settings.SPANLEDGER_API_KEY),
    onFatal: fail,
  });
  stops.push(() => collector.stop());
  return { engine, collector };
}

async function startCollectorAlone(
  log: Log,
  stops: Stops,
  fail: (error: Error) => void,
): Promise<Ready> {
  const settings = readSettings();
  requireServer(settings, "collector");
  requireKeyBeyondLoopback(settings, ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_MONITOR"]);
  const { collector } = await startIngest(settings, log, stops, fail);
  const { address, server } = await serveMonitor(collector, settings.SPANLEDGER_MONITOR);
  stops.push(() => closeServer(server));
  return { otlp_http: collector.otlp_http, otlp_grpc: null, monitor: address };
}

async function startApiAlone(log: Log, stops: Stops): Promise<Ready> {
  const settings = readSettings();
  requireServer(settings, "query-api");
  requireKeyBeyondLoopback(settings, ["SPANLEDGER_HTTP"]);
  const engine = await openEngine(settings);
  stops.push(() => engine.close());
  const { address, server } = await serveApi(engine, log, settings, null);
  stops.push(() => closeServer(server));
  return { http: address };
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
  const stops: Stops = [];
  try {
    const ready = await PROGRAMS[name](log, stops, fail);
    process.stdout.write(`${JSON.stringify({ msg: "ready", ...ready })}\n`);
  } catch (error) {
    // The engine does not survive a process that ends under it.
    await stopAll(stops, 1, log);
    throw error;
  }
  const code = await end.promise;
  await stopAll(stops, code, log);
  log.info({ code }, "stopped");
  return code;
}

/** Stops everything, the last started first, within the deadline. */
async function stopAll(stops: Stops, code: number, log: Log): Promise<void> {
  const deadline = setTimeout(() => {
    log.warn({}, "the stop took too long; what was acknowledged is in the log");
    process.exit(code);
  }, STOP_DEADLINE_MS);
  for (const stop of stops.toReversed()) await stop();
  clearTimeout(deadline);
}
