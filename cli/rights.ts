/** The jobs of a program that serves the query API: exports, erasures, retention. */
import { randomUUID } from "node:crypto";
import type { Engine } from "../clickhouse/engine.ts";
import { ExportFiles } from "../rights/export-files.ts";
import { JobRunner } from "../rights/jobs.ts";
import { JobLease } from "../rights/lease.ts";
import { watchLocalLogs } from "../rights/local-logs.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import type { StateStore } from "../state/store.ts";

/** The exports of a data directory. */
export function openExports(settings: Settings): ExportFiles {
  return new ExportFiles(settings.SPANLEDGER_DATA_DIR);
}

export interface JobsOptions {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly log: Log;
  readonly settings: Settings;
  /** Whether the collector, and so its log, is in this process. */
  readonly has_collector: boolean;
}

/** Starts to run jobs; answers how to stop. With several processes one runs them, by lease. */
export function startJobs(options: JobsOptions): () => Promise<void> {
  const { engine, state, log, settings, has_collector } = options;
  const runner = new JobRunner({
    tools: {
      engine,
      state,
      log,
      now_ms: Date.now,
      logs: has_collector ? watchLocalLogs(settings.SPANLEDGER_DATA_DIR) : null,
      exports: openExports(settings),
      limits: {
        export_max_bytes: settings.SPANLEDGER_EXPORT_MAX_BYTES,
        export_keep_days: settings.SPANLEDGER_EXPORT_KEEP_DAYS,
      },
    },
    lease:
      engine.kind === "embedded"
        ? null
        : new JobLease(engine, randomUUID(), () => performance.now()),
    max_jobs: settings.SPANLEDGER_JOBS_MAX,
  });
  runner.start();
  return () => runner.stop();
}
