/**
 * One of several collectors behind one port: a collector with a data directory of its own that its
 * supervisor (`workers.ts`) starts, watches and stops through the channel between them.
 *
 * Invariant: a worker ends when its supervisor does; nobody would watch it.
 */
import { parseArgs } from "node:util";
import type { MetricObjectWithValues, MetricValue } from "prom-client";
import type { Collector } from "../collector/collector.ts";
import { PermanentError } from "../schemas/errors.ts";
import { readLogSettings, readSettings } from "./config.ts";
import { requireServer } from "./engine.ts";
import { makeLog } from "./log.ts";
import { COLLECTOR_DOORS, type Ready, runUntilStopped, startIngest } from "./serve.ts";

/** All metrics of a worker, as prom-client passes them between processes. */
export type MetricsOfWorker = readonly MetricObjectWithValues<MetricValue<string>>[];

/** What a supervisor says to a worker. */
export type SupervisorMessage =
  | { readonly kind: "stop" }
  | { readonly kind: "ask"; readonly question: number };

/** What a worker says of itself when it is asked. */
export interface WorkerReport {
  /** Whether it takes spans. */
  readonly is_ready: boolean;
  readonly metrics: MetricsOfWorker;
}

/** What a worker says to its supervisor. */
export type WorkerMessage =
  | { readonly kind: "ready"; readonly ready: Ready }
  | { readonly kind: "answer"; readonly question: number; readonly report: WorkerReport };

/** The worker that settles traces and recomputes rollups for all. */
const KEEPER = 1;

/** The words a supervisor starts a worker with; the settings come by the environment. */
export function workerArguments(worker: number, inherited_logs: readonly string[]): string[] {
  return [
    "collector",
    "--worker",
    String(worker),
    ...inherited_logs.flatMap((directory) => ["--inherit", directory]),
  ];
}

/** Runs as a worker, with what stands behind `collector` in `workerArguments`. */
export async function runWorker(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      worker: { type: "string", default: "" },
      inherit: { type: "string", multiple: true, default: [] },
    },
  });
  if (process.send === undefined) {
    throw new PermanentError(
      "no_supervisor",
      'Workers are started by "spanledger collector --workers N".',
    );
  }
  const worker = Number(values.worker);
  return runUntilStopped(
    makeLog(`collector-${worker}`, readLogSettings()),
    async (run) => {
      const settings = readSettings();
      requireServer(settings, "collector");
      const part = { keeps_rollups: worker === KEEPER, inherited_logs: values.inherit };
      const { collector } = await startIngest(settings, run, part, COLLECTOR_DOORS);
      collector.metrics.registry.setDefaultLabels({ worker: String(worker) });
      process.on("message", (message: SupervisorMessage) => {
        if (message.kind === "stop") run.stop();
        else void answer(collector, message.question);
      });
      return { otlp_http: collector.otlp_http, otlp_grpc: collector.otlp_grpc };
    },
    (ready) => tell({ kind: "ready", ready }),
  );
}

async function answer(collector: Collector, question: number): Promise<void> {
  const is_ready = await collector.checkReady().then(
    () => true,
    () => false,
  );
  const metrics = await collector.metrics.registry.getMetricsAsJSON();
  tell({ kind: "answer", question, report: { is_ready, metrics } });
}

/** A supervisor that is gone cannot be told; its end ends us. */
function tell(message: WorkerMessage): void {
  process.send?.(message, undefined, undefined, () => {});
}
