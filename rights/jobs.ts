/**
 * Runs the jobs of an installation: a step of each that is due, its state stored, the next step. What a
 * process leaves when it ends, the next one goes on with.
 *
 * Invariant: of erasures and retentions one runs at a time, and with several processes only the holder of
 * the lease runs any.
 */
import { messageOf, PermanentError } from "../schemas/errors.ts";
import { FINAL_STATES, type Job, type JobKind } from "../schemas/jobs.ts";
import { advanceErasure } from "./erase.ts";
import { advanceExport, expireExports } from "./export.ts";
import { formatInstant, type JobTools, saveJob, type StepResult } from "./job.ts";
import { LATE_SWEEP_MS, sweepLate } from "./late.ts";
import type { JobLease } from "./lease.ts";
import { advanceRetention, scheduleRetention } from "./retention.ts";

export interface RunnerOptions {
  readonly tools: JobTools;
  /** null where no other process can run jobs. */
  readonly lease: JobLease | null;
  /** Jobs at once. */
  readonly max_jobs: number;
}

/** Pause between looks for jobs, ms. */
const POLL_MS = 1_000;
/** Longest pause before a failed step is done again, ms. */
const MAX_RETRY_MS = 60_000;
/** Steps of one job that may fail. */
export const MAX_FAILURES = 100;
/** Longest message that is kept, characters. */
const MAX_PROBLEM_LENGTH = 500;
/** How often retention is begun and expired exports are removed, ms. */
const HOUSEKEEPING_MS = 600_000;
/** Kinds that rewrite parts: together they would only be slower. */
const HEAVY: ReadonlySet<JobKind> = new Set(["erasure", "retention"]);

/** The runner of one process. */
export class JobRunner {
  readonly #options: RunnerOptions;
  readonly #running = new Set<string>();
  #housekept_ms = -Infinity;
  #swept_ms = -Infinity;
  #stopped = false;
  #wake: () => void = () => {};
  #loop: Promise<void> = Promise.resolve();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Runs jobs until stopped; errors are told and the next round tries again. */
  start(): void {
    this.#loop = this.#run();
  }

  /** Ends after the steps that run. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#loop;
    // A lease that cannot be given back ends by itself.
    await this.#options.lease?.release().catch(() => {});
  }

  /** Does one step of each job that is due; answers how many. Not for concurrent calls. */
  async round(): Promise<number> {
    const { lease } = this.#options;
    if (lease !== null && !(await lease.hold())) return 0;
    await this.#keepHouse();
    const jobs = this.#chooseJobs();
    await Promise.all(jobs.map((job) => this.#step(job)));
    return jobs.length;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      let steps = 0;
      try {
        steps = await this.round();
      } catch (error) {
        this.#options.tools.log.warn({}, `jobs failed, trying again: ${messageOf(error)}`);
      }
      if (steps === 0) await this.#pause();
    }
  }

  async #keepHouse(): Promise<void> {
    const { tools } = this.#options;
    const now_ms = tools.now_ms();
    // A clock that went back must not hold it back.
    const isDue = (last_ms: number, pause_ms: number) =>
      now_ms < last_ms || now_ms - last_ms >= pause_ms;
    if (isDue(this.#housekept_ms, HOUSEKEEPING_MS)) {
      this.#housekept_ms = now_ms;
      await scheduleRetention(tools);
      await expireExports(tools);
    }
    if (isDue(this.#swept_ms, LATE_SWEEP_MS)) {
      this.#swept_ms = now_ms;
      await sweepLate(tools);
    }
  }

  /** The oldest that are due, and of the heavy ones only one. */
  #chooseJobs(): Job[] {
    const { tools, max_jobs } = this.#options;
    const now_ms = tools.now_ms();
    const due = inTurns(tools.state.list("job").map(({ body }) => body));
    const chosen: Job[] = [];
    let is_heavy_taken = false;
    for (const job of due) {
      const is_waiting = job.wake_at !== null && now_ms < Date.parse(job.wake_at);
      const is_heavy = HEAVY.has(job.work.kind);
      if (is_waiting || (is_heavy && is_heavy_taken) || chosen.length >= max_jobs) continue;
      is_heavy_taken ||= is_heavy;
      chosen.push(job);
    }
    return chosen;
  }

  async #step(job: Job): Promise<void> {
    if (this.#running.has(job.job_id)) return;
    this.#running.add(job.job_id);
    const { state } = this.#options.tools;
    try {
      if (state.find("cancellation", job.job_id) !== undefined && isCancelable(job)) {
        await this.#end(job, "canceled", null);
        return;
      }
      const result = await this.#advance(job);
      await saveJob(state, this.#nextState(job, result));
    } catch (error) {
      await this.#noteFailure(job, error);
    } finally {
      this.#running.delete(job.job_id);
    }
  }

  #advance(job: Job): Promise<StepResult> {
    const { tools } = this.#options;
    const { work } = job;
    switch (work.kind) {
      case "export":
        return advanceExport(job, work, tools);
      case "erasure":
        return advanceErasure(job, work, tools);
      case "retention":
        return advanceRetention(job, work, tools);
    }
  }

  #nextState(job: Job, result: StepResult): Job {
    const { now_ms } = this.#options.tools;
    const { work, step, share, rows, wait_ms = 0, is_done = false, problem = null } = result;
    const now = formatInstant(now_ms());
    const is_waiting = wait_ms > 0;
    return {
      ...job,
      state: is_done ? "done" : is_waiting ? "waiting" : "running",
      started_at: job.started_at ?? now,
      updated_at: now,
      finished_at: is_done ? now : null,
      wake_at: is_waiting ? formatInstant(now_ms() + wait_ms) : null,
      step,
      share: Math.min(1, Math.max(0, share)),
      rows: job.rows + rows,
      problem,
      work,
    };
  }

  async #noteFailure(job: Job, error: unknown): Promise<void> {
    const { tools } = this.#options;
    const message = messageOf(error).slice(0, MAX_PROBLEM_LENGTH);
    const failures = job.failures + 1;
    tools.log.warn(
      { job_id: job.job_id, kind: job.work.kind, failures },
      `a job failed: ${message}`,
    );
    if (error instanceof PermanentError || failures >= MAX_FAILURES) {
      await this.#end({ ...job, failures }, "failed", message);
      return;
    }
    const retry_ms = Math.min(MAX_RETRY_MS, POLL_MS * 2 ** Math.min(failures - 1, 10));
    const now_ms = tools.now_ms();
    await saveJob(tools.state, {
      ...job,
      state: "waiting",
      started_at: job.started_at ?? formatInstant(now_ms),
      updated_at: formatInstant(now_ms),
      wake_at: formatInstant(now_ms + retry_ms),
      failures,
      problem: `failed, trying again: ${message}`,
    });
  }

  async #end(job: Job, state: "canceled" | "failed", problem: string | null): Promise<void> {
    const { tools } = this.#options;
    const now = formatInstant(tools.now_ms());
    const ended = { ...job, state, updated_at: now, finished_at: now, wake_at: null, problem };
    await saveJob(tools.state, ended);
    // What nobody is to be erased of any more is not to be erased late.
    if (state === "canceled") await tools.state.remove("erasure", job.job_id);
  }

  async #pause(): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, POLL_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Whether a job can end without leaving half of what it does: nothing was removed yet. */
export function isCancelable({ state, work }: Job): boolean {
  if (FINAL_STATES.has(state)) return false;
  if (work.kind === "export") return true;
  if (work.kind === "retention") return work.step === "floor";
  return work.pass <= 1 && ["begin", "look", "widen"].includes(work.step);
}

/**
 * Jobs that are not at their end, so that organizations take turns: first what has begun, then the oldest of
 * the organization whose last job began longest ago.
 */
function inTurns(all: readonly Job[]): Job[] {
  const last = new Map<string, string>();
  for (const { organization_id, started_at } of all) {
    const known = last.get(organization_id) ?? "";
    if (started_at !== null && started_at > known) last.set(organization_id, started_at);
  }
  const placeOf = ({ organization_id, started_at, created_at }: Job) =>
    `${started_at === null ? `1 ${last.get(organization_id) ?? ""}` : "0 "} ${created_at}`;
  return all
    .filter(({ state }) => !FINAL_STATES.has(state))
    .toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
}
