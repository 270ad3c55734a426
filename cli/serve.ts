/**
 * The long-running programs: `collector`, `query-api`, and `serve`, which is both in one process.
 * Started in order, stopped in the reverse of it, and ready only when everything listens.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import {
  closeServer,
  type Collector,
  type CollectorOptions,
  startCollector,
} from "../collector/collector.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import { Limiter } from "../state/limits.ts";
import { type Access, openAccess } from "./access.ts";
import { serveApi } from "./api-server.ts";
import { listInheritedLogs } from "./backlogs.ts";
import { type Door, readLogSettings, readSettings, VERSION } from "./config.ts";
import { prepareDataDirectory } from "./data-directory.ts";
import { openEngine, requireServer } from "./engine.ts";
import { makeLog } from "./log.ts";
import { serveMonitor, watchCollector } from "./monitor.ts";
import { startTraces } from "./telemetry.ts";
import { readTls } from "./tls.ts";

/** A program as it starts and runs. */
export interface Run {
  readonly log: Log;
  /** How to stop what has been started so far; run from the last to the first. */
  readonly stops: (() => Promise<void>)[];
  /** Ends the program with an error. */
  readonly fail: (error: Error) => void;
  /** Ends the program as a signal does. */
  readonly stop: () => void;
}

/** Where the parts of a program listen, for the ready line. */
export type Ready = Readonly<Record<string, string | number | null>>;

/** Starts a program; it is ready when this resolves. */
export type Start = (run: Run) => Promise<Ready>;

/** What makes one of several collectors out of a collector. */
export type Part = Pick<CollectorOptions, "keeps_rollups" | "inherited_logs">;

/** Where a collector without the query API listens. */
export const COLLECTOR_DOORS: readonly Door[] = [
  "SPANLEDGER_OTLP_HTTP",
  "SPANLEDGER_OTLP_GRPC",
  "SPANLEDGER_MONITOR",
];
/** Longest a stop may take, ms; then the process ends anyway: what was acknowledged is in the log. */
const STOP_DEADLINE_MS = 8_000;

async function startServe(run: Run): Promise<Ready> {
  const settings = readSettings();
  const doors: Door[] = ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_OTLP_GRPC", "SPANLEDGER_HTTP"];
  const { engine, collector, access } = await startIngest(
    settings,
    run,
    wholePart(settings),
    doors,
  );
  const { log, stops } = run;
  const http = await serveApi({ engine, log, settings, access, collector, stops });
  return { otlp_http: collector.otlp_http, otlp_grpc: collector.otlp_grpc, http };
}

/** The only collector of a data directory: it also takes over what workers left. */
function wholePart(settings: Settings): Part {
  return { inherited_logs: listInheritedLogs(settings.SPANLEDGER_DATA_DIR, 0) };
}

/** A collector with what it stands on. */
export interface Ingest {
  readonly engine: Engine;
  readonly collector: Collector;
  readonly access: Access;
}

/** Opens the engine and starts a collector on it, in a program that listens at those doors. */
export async function startIngest(
  settings: Settings,
  { log, stops, fail }: Run,
  part: Part,
  doors: readonly Door[],
): Promise<Ingest> {
  const tls = readTls(settings);
  prepareDataDirectory(settings.SPANLEDGER_DATA_DIR);
  const engine = await openEngine(settings);
  stops.push(() => engine.close());
  // A server may be away and spans are received all the same; the embedded engine is there, and
  // who reads the ready line may ask at once.
  if (engine.kind === "embedded") await migrate(engine);
  const access = await openAccess({ engine, settings, log, doors, fail });
  stops.push(() => access.stop());
  const traces = await startTraces(log);
  stops.push(() => traces.stop());
  const limits = new Limiter({ engine, state: access.state, log, now_ms: Date.now });
  limits.start();
  stops.push(() => limits.stop());
  const collector = await startCollector({
    settings,
    engine,
    log,
    authenticate: (headers) => access.authenticator.findSender(headers),
    limits,
    tls,
    onFatal: fail,
    tracer: traces.tracer,
    version: VERSION,
    ...part,
  });
  stops.push(() => collector.stop());
  return { engine, collector, access };
}

async function startCollectorAlone(run: Run): Promise<Ready> {
  const settings = readSettings();
  requireServer(settings, "collector");
  const { collector } = await startIngest(settings, run, wholePart(settings), COLLECTOR_DOORS);
  const { address, server } = await serveMonitor(
    watchCollector(collector),
    settings.SPANLEDGER_MONITOR,
  );
  run.stops.push(() => closeServer(server));
  return { otlp_http: collector.otlp_http, otlp_grpc: collector.otlp_grpc, monitor: address };
}

async function startApiAlone({ log, stops, fail }: Run): Promise<Ready> {
  const settings = readSettings();
  requireServer(settings, "query-api");
  prepareDataDirectory(settings.SPANLEDGER_DATA_DIR);
  const engine = await openEngine(settings);
  stops.push(() => engine.close());
  const access = await openAccess({ engine, settings, log, doors: ["SPANLEDGER_HTTP"], fail });
  stops.push(() => access.stop());
  return { http: await serveApi({ engine, log, settings, access, collector: null, stops }) };
}

const PROGRAMS = {
  serve: startServe,
  collector: startCollectorAlone,
  "query-api": startApiAlone,
} as const satisfies Record<string, Start>;

export type ProgramName = keyof typeof PROGRAMS;

/** Runs a program until a signal stops it; resolves with the exit code. */
export function runProgram(name: ProgramName): Promise<number> {
  return runUntilStopped(makeLog(name, readLogSettings()), PROGRAMS[name], printReady);
}

/** Tells on stdout, which holds nothing else, that the program is ready and where. */
export function printReady(ready: Ready): void {
  process.stdout.write(`${JSON.stringify({ msg: "ready", ...ready })}\n`);
}

/** Starts a program, tells when it is ready, and runs it until something stops it. */
export async function runUntilStopped(
  log: Log,
  start: Start,
  tellReady: (ready: Ready) => void,
): Promise<number> {
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
  const stops: Run["stops"] = [];
  try {
    tellReady(await start({ log, stops, fail, stop: () => end.resolve(0) }));
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
async function stopAll(stops: Run["stops"], code: number, log: Log): Promise<void> {
  const deadline = setTimeout(() => {
    log.warn({ code }, "the stop took too long; what was acknowledged is in the log");
    // Node waits for the engine's threads before it exits, and a query may hold one for hours.
    process.kill(process.pid, "SIGKILL");
  }, STOP_DEADLINE_MS);
  for (const stop of stops.toReversed()) await stop();
  clearTimeout(deadline);
}
