/**
 * What a job is to the code that does its work: one bounded step after the other, each of which may run
 * twice, with its state stored between them.
 *
 * Invariant: a step that was told as done is stored before the next one begins.
 */
import { randomUUID } from "node:crypto";
import type { Engine } from "../clickhouse/engine.ts";
import type { Job, JobWork } from "../schemas/jobs.ts";
import type { Log } from "../schemas/log.ts";
import type { StateScope } from "../schemas/state.ts";
import type { StateStore } from "../state/store.ts";
import type { ExportFiles } from "./export-files.ts";
import type { LocalLogs } from "./local-logs.ts";

/** What jobs work with. Clocks are arguments: tests replace them. */
export interface JobTools {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly log: Log;
  readonly now_ms: () => number;
  /** The logs of collectors on this machine; null where there are none. */
  readonly logs: LocalLogs | null;
  readonly exports: ExportFiles;
  readonly limits: JobLimits;
}

/** Bounds of jobs; the settings of an operator. */
export interface JobLimits {
  /** Disk of all exports together, bytes. */
  readonly export_max_bytes: number;
  /** How long the files of an export are kept, days. */
  readonly export_keep_days: number;
}

/** What a step has done. */
export interface StepResult<Work extends JobWork = JobWork> {
  readonly work: Work;
  /** What it does next, for people. */
  readonly step: string;
  /** How much of the whole is done, 0 to 1. */
  readonly share: number;
  /** Rows worked on by this step. */
  readonly rows: number;
  readonly is_done?: boolean;
  /** Pause until the next step, ms; none when it is not given. */
  readonly wait_ms?: number;
  /** What it waits for. */
  readonly problem?: string;
}

/** Does one step. Throws RetryableError to have it done again, PermanentError to fail the job. */
export type Advance<Work extends JobWork> = (
  job: Job,
  work: Work,
  tools: JobTools,
) => Promise<StepResult<Work>>;

/** Time after which a step that could go on stops to be stored, ms. */
export const STEP_MS = 3_000;
export const DAY_S = 86_400;
/** The end of time that DateTime64 bounds can name, a multiple of days, Unix seconds. */
export const LAST_S = Math.floor((2 ** 32 - 1) / DAY_S) * DAY_S;

/** The instant as stored. */
export function formatInstant(time_ms: number): string {
  return new Date(time_ms).toISOString();
}

/** The UTC day of a time, which is also the name of its partition: 2026-11-21. */
export function dayOf(time_s: number): string {
  return new Date(time_s * 1000).toISOString().slice(0, 10);
}

/** A job that has not begun. */
export function makeJob(
  scope: StateScope & { readonly project_id: string },
  work: JobWork,
  created_by: string,
  now_ms: number,
): Job {
  const now = formatInstant(now_ms);
  return {
    job_id: randomUUID(),
    project_id: scope.project_id,
    organization_id: scope.organization_id ?? "",
    state: "queued",
    created_at: now,
    created_by: created_by.slice(0, 200),
    started_at: null,
    updated_at: now,
    finished_at: null,
    wake_at: null,
    step: "queued",
    share: 0,
    rows: 0,
    failures: 0,
    problem: null,
    work,
  };
}

/** Stores a job; resolves when it is durable. */
export async function saveJob(state: StateStore, job: Job): Promise<void> {
  const { organization_id, project_id } = job;
  await state.put("job", job.job_id, { organization_id, project_id }, job);
}
