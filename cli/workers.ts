/**
 * `spanledger collector --workers N`: N collector processes behind one port, each with a log of its
 * own, writing to one ClickHouse server. This process takes connections and hands them out in turn
 * (node:cluster), starts workers again that end, and answers the monitor for all of them.
 *
 * Invariant: every log below the data directory has at most one worker, and one worker at least
 * inserts it: its own, or for a log that is left over, one that also has its own.
 */
import cluster, { type Worker } from "node:cluster";
import { createServer } from "node:net";
import { join } from "node:path";
import { AggregatorRegistry, Counter, Gauge, Registry } from "prom-client";
import { closeServer } from "../collector/collector.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import type { Address, Settings } from "../schemas/settings.ts";
import { listInheritedLogs, workerDirectory } from "./backlogs.ts";
import { readLogSettings, readSettings } from "./config.ts";
import { prepareDataDirectory } from "./data-directory.ts";
import { requireServer } from "./engine.ts";
import { makeLog } from "./log.ts";
import { serveMonitor, type Watched } from "./monitor.ts";
import { printReady, type Ready, type Run, runUntilStopped } from "./serve.ts";
import {
  type MetricsOfWorker,
  type SupervisorMessage,
  workerArguments,
  type WorkerMessage,
  type WorkerReport,
} from "./worker.ts";

/** Most workers: each has some hundred MB of memory and connections of its own to ClickHouse. */
export const MAX_WORKERS = 64;
/** Where all workers listen: on the same ports, also one that is started again later. */
const SHARED_ADDRESSES = ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_OTLP_GRPC"] as const;
/** Pause before a worker that ended is started again, ms; doubled each time. */
const FIRST_RESTART_MS = 200;
const MAX_RESTART_MS = 30_000;
/** A worker that ran that long has not failed in starting, ms. */
const STABLE_MS = 60_000;
/** Longest a worker is waited for when asked how it does, ms. */
const ANSWER_TIMEOUT_MS = 2_000;
/** Longest workers are waited for at the end, ms; below the deadline of the whole (serve.ts). */
const WORKER_STOP_MS = 7_000;

/** Runs N workers until a signal stops them; resolves with the exit code. */
export function runWorkers(count: number): Promise<number> {
  return runUntilStopped(
    makeLog("collector", readLogSettings()),
    (run) => startWorkers(count, run),
    printReady,
  );
}

async function startWorkers(count: number, run: Run): Promise<Ready> {
  const settings = readSettings();
  requireServer(settings, "collector --workers");
  prepareDataDirectory(settings.SPANLEDGER_DATA_DIR);
  const supervisor = new Supervisor(run, await planWorkers(settings, count));
  run.stops.push(() => supervisor.stop());
  const listening = await supervisor.start();
  const { address, server } = await serveMonitor(supervisor, settings.SPANLEDGER_MONITOR);
  run.stops.push(() => closeServer(server));
  return { ...listening, monitor: address, workers: count };
}

/** What a worker is started with, each time. */
interface Plan {
  readonly number: number;
  readonly inherited_logs: readonly string[];
  /** Settings that differ from those of the supervisor. */
  readonly environment: Readonly<Record<string, string>>;
}

async function planWorkers(settings: Settings, count: number): Promise<Plan[]> {
  const directory = settings.SPANLEDGER_DATA_DIR;
  const inherited = listInheritedLogs(directory, count);
  const addresses: Record<string, string> = {};
  for (const name of SHARED_ADDRESSES) addresses[name] = await fixPort(settings[name]);
  const numbers = Array.from({ length: count }, (_unused, index) => index + 1);
  return numbers.map((number) => ({
    number,
    inherited_logs: inherited.filter((_log, index) => index % count === number - 1),
    environment: {
      SPANLEDGER_DATA_DIR: workerDirectory(directory, number),
      // The setting is the disk that all logs together may use.
      SPANLEDGER_WAL_MAX_BYTES: String(Math.floor(settings.SPANLEDGER_WAL_MAX_BYTES / count)),
      ...addresses,
    },
  }));
}

/** The address with a free port in place of 0, as text. */
async function fixPort({ host, port }: Address): Promise<string> {
  const name = host.includes(":") ? `[${host}]` : host;
  if (port !== 0) return `${name}:${port}`;
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `${name}:${typeof bound === "object" && bound !== null ? bound.port : 0}`;
}

/** A worker as the supervisor knows it. */
interface Slot {
  readonly plan: Plan;
  process: Worker | null;
  exited: Promise<void>;
  is_ready: boolean;
  started_ms: number;
  restart_ms: number;
  timer: NodeJS.Timeout | undefined;
}

class Supervisor implements Watched {
  readonly #run: Run;
  readonly #slots: readonly Slot[];
  readonly #started = Promise.withResolvers<Ready>();
  readonly #answers = new Map<number, (report: WorkerReport) => void>();
  readonly #registry = new Registry();
  readonly #ready_workers: Gauge;
  readonly #restarts: Counter<"worker">;
  #questions = 0;
  #is_started = false;
  #stopped = false;

  constructor(run: Run, plans: readonly Plan[]) {
    this.#run = run;
    this.#slots = plans.map((plan) => ({
      plan,
      process: null,
      exited: Promise.resolve(),
      is_ready: false,
      started_ms: 0,
      restart_ms: FIRST_RESTART_MS,
      timer: undefined,
    }));
    const registers = [this.#registry];
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    gauge("spanledger_workers", "Worker processes that were asked for").set(plans.length);
    this.#ready_workers = gauge("spanledger_workers_ready", "Worker processes that take spans");
    this.#restarts = new Counter({
      name: "spanledger_worker_restarts_total",
      help: "Worker processes that ended and were started again",
      labelNames: ["worker"],
      registers,
    });
  }

  /** Starts all workers; resolves with where they listen when all are ready, rejects if one ends before. */
  start(): Promise<Ready> {
    // Connections stay for hours, and one gRPC connection is all of a sender: turns spread them best.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    for (const slot of this.#slots) this.#startWorker(slot);
    return this.#started.promise;
  }

  /** Spans are taken while one worker takes them; the others are told beside it. */
  async checkReady(): Promise<{ is_ready: boolean; details: Record<string, unknown> }> {
    const reports = await this.#askAll();
    const workers = this.#slots.map(({ plan }, index) => ({
      worker: plan.number,
      status: reports[index]?.is_ready === true ? "ready" : "not ready",
    }));
    return { is_ready: reports.some((report) => report?.is_ready === true), details: { workers } };
  }

  /**
   * The metrics of all workers, each line with its worker: added up, a counter would seem to go back
   * to 0 whenever one of them is started again.
   */
  async renderMetrics(): Promise<string> {
    const reports = await this.#askAll();
    this.#ready_workers.set(reports.filter((report) => report?.is_ready === true).length);
    const own = (await this.#registry.getMetricsAsJSON()) as MetricsOfWorker;
    const all = [own, ...reports.flatMap((report) => (report === null ? [] : [report.metrics]))];
    return AggregatorRegistry.aggregate(all).metrics();
  }

  /** Asks all workers to stop and waits for it; who takes too long is killed: its log has everything. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const slot of this.#slots) {
      clearTimeout(slot.timer);
      // Who is still starting does not listen yet, and has acknowledged nothing.
      if (slot.is_ready) this.#tell(slot, { kind: "stop" });
      else slot.process?.process.kill("SIGTERM");
    }
    const killing = setTimeout(() => {
      for (const slot of this.#slots) slot.process?.process.kill("SIGKILL");
    }, WORKER_STOP_MS);
    await Promise.all(this.#slots.map(({ exited }) => exited));
    clearTimeout(killing);
  }

  #startWorker(slot: Slot): void {
    const { number, inherited_logs, environment } = slot.plan;
    cluster.setupPrimary({
      exec: join(import.meta.dirname, "main.ts"),
      args: workerArguments(number, inherited_logs),
    });
    const worker = cluster.fork(environment);
    const exited = Promise.withResolvers<void>();
    slot.process = worker;
    slot.exited = exited.promise;
    slot.started_ms = performance.now();
    worker.on("message", (message: WorkerMessage) => this.#hear(slot, message));
    let is_over = false;
    const end = (reason: string) => {
      if (is_over) return;
      is_over = true;
      slot.process = null;
      slot.is_ready = false;
      exited.resolve();
      this.#handleEnd(slot, reason);
    };
    worker.once("exit", (code, signal) => end(signal === null ? `with ${code}` : `by ${signal}`));
    worker.on("error", (error) => {
      // Of a running worker it is a message that did not arrive; its end will be told apart.
      if (worker.process.pid === undefined) end(`before it ran: ${messageOf(error)}`);
    });
  }

  #hear(slot: Slot, message: WorkerMessage): void {
    if (message.kind === "answer") {
      this.#answers.get(message.question)?.(message.report);
      return;
    }
    slot.is_ready = true;
    if (this.#stopped) this.#tell(slot, { kind: "stop" });
    if (this.#is_started || this.#slots.some(({ is_ready }) => !is_ready)) return;
    this.#is_started = true;
    this.#started.resolve(message.ready);
  }

  #handleEnd(slot: Slot, reason: string): void {
    if (this.#stopped) return;
    const { number } = slot.plan;
    if (!this.#is_started) {
      const message = `worker ${number} ended ${reason} before it was ready; what it wrote above says why`;
      this.#started.reject(new PermanentError("worker_failed", message));
      return;
    }
    if (performance.now() - slot.started_ms >= STABLE_MS) slot.restart_ms = FIRST_RESTART_MS;
    const { restart_ms } = slot;
    slot.restart_ms = Math.min(restart_ms * 2, MAX_RESTART_MS);
    this.#run.log.warn(
      { worker: number, restart_ms },
      `worker ${number} ended ${reason}: starting it again`,
    );
    this.#restarts.inc({ worker: String(number) });
    slot.timer = setTimeout(() => this.#startWorker(slot), restart_ms);
  }

  /** How all workers do, in their order; null for those that do not say. */
  #askAll(): Promise<(WorkerReport | null)[]> {
    return Promise.all(this.#slots.map((slot) => this.#ask(slot)));
  }

  async #ask(slot: Slot): Promise<WorkerReport | null> {
    if (!slot.is_ready) return null;
    this.#questions += 1;
    const question = this.#questions;
    const report = await new Promise<WorkerReport | null>((resolve) => {
      const timer = setTimeout(() => resolve(null), ANSWER_TIMEOUT_MS);
      this.#answers.set(question, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#tell(slot, { kind: "ask", question });
    });
    this.#answers.delete(question);
    return report;
  }

  /** A worker that is gone cannot be told; its end is heard of apart. */
  #tell(slot: Slot, message: SupervisorMessage): void {
    slot.process?.process.send(message, undefined, undefined, () => {});
  }
}
