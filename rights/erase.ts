/**
 * The job that erases a person from a project: looks, removes, has the rollups computed again, waits for
 * what was on its way, and looks again until a look finds nothing; then the receipt.
 *
 * Invariant: the receipt is made only by a look that found nothing and began after everything that was
 * acknowledged before the request had been inserted, as far as the logs can be seen.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { PermanentError } from "../schemas/errors.ts";
import {
  DEFAULT_TOMBSTONE_DAYS,
  type Erasure,
  type ErasureRequest,
  type ErasureWork,
  FINAL_STATES,
  type Job,
  type Receipt,
  type WriterMark,
} from "../schemas/jobs.ts";
import {
  type Advance,
  DAY_S,
  formatInstant,
  type JobTools,
  makeJob,
  saveJob,
  STEP_MS,
  type StepResult,
} from "./job.ts";
import {
  countBeside,
  countFound,
  deleteBeside,
  deleteDay,
  findInDay,
  listFoundDays,
  listProjectDays,
  type Look,
  makeSubject,
  markFound,
  widen,
  writerOf,
} from "./subject.ts";

/** Pause between looks whether what is waited for has come, ms. */
const WAIT_MS = 2_000;
/** The same when it takes long: each look is a stored state. */
const LONG_WAIT_MS = 30_000;
/** How long logs that cannot be seen are given to insert what they hold, ms. */
export const REMOTE_LOGS_MS = 600_000;
/** Longest that logs and rollups are waited for, ms; then the receipt says what is left. */
export const MAX_DRAIN_MS = 86_400_000;
/** Looks at everything until a receipt may say that rows came faster than they could be erased. */
const MAX_PASSES = 50;
/** Longest that the engine is waited for to remove old files, ms; it keeps them eight minutes. */
export const MAX_SWEEP_MS = 1_800_000;
/** Writers that a receipt lists. */
const MAX_WRITERS = 100;
/** Tables whose files held what was erased. */
const TABLES = [
  "spans",
  "call_decisions",
  "usage_user_day_rollup",
  "usage_metric_points",
  "set_aside_items",
];
/** Share of the job that is done when its steps begin; looks take most of the time. */
const SHARES = {
  begin: 0,
  look: 0.02,
  widen: 0.5,
  delete: 0.6,
  mark: 0.8,
  drain: 0.85,
  sweep: 0.95,
};

type Result = StepResult<ErasureWork>;

/** Who asks for an erasure, and in which project. */
export interface ErasureScope {
  readonly project_id: string;
  readonly organization_id: string | null;
  readonly requested_by: string;
}

/** Begins an erasure; resolves with its job when both are stored. Late data go from then on. */
export async function requestErasure(
  { engine, state, now_ms }: Pick<JobTools, "engine" | "state" | "now_ms">,
  { project_id, organization_id, requested_by }: ErasureScope,
  request: ErasureRequest,
): Promise<Job> {
  refuseMany(state, project_id);
  const subject = await makeSubject(engine, request.user_id);
  const with_traces = request.traces ?? false;
  const work: ErasureWork = {
    kind: "erasure",
    with_traces,
    step: "begin",
    pass: 0,
    from_s: 0,
    is_drained: false,
    rows_before: {},
    deleted_s: 0,
    is_local: false,
    segments: [],
    writers: [],
    exports_removed: 0,
    receipt: null,
  };
  const job = makeJob({ organization_id, project_id }, work, requested_by, now_ms());
  const late_ms = (request.late_days ?? DEFAULT_TOMBSTONE_DAYS) * DAY_S * 1000;
  const erasure: Erasure = {
    erasure_id: job.job_id,
    project_id,
    subject,
    with_traces,
    requested_at: job.created_at,
    until: formatInstant(now_ms() + late_ms),
    swept_at: job.created_at,
    late_rows: 0,
  };
  await state.put("erasure", job.job_id, { organization_id, project_id }, erasure);
  await saveJob(state, job);
  return job;
}

/** Erasures of one project that are not done yet, and those whose late data is still erased. */
const MAX_OPEN_ERASURES = 20;
const MAX_TOMBSTONES = 1_000;

/** Each looks at everything a project has, and others wait for it. */
function refuseMany(state: JobTools["state"], project_id: string): void {
  const open = state
    .list("job", { project_id })
    .filter(({ body }) => body.work.kind === "erasure" && !FINAL_STATES.has(body.state)).length;
  const kept = state.list("erasure", { project_id }).length;
  if (open < MAX_OPEN_ERASURES && kept < MAX_TOMBSTONES) return;
  throw new PermanentError(
    "too_many_erasures",
    `A project has at most ${MAX_OPEN_ERASURES} erasures at work, and ${MAX_TOMBSTONES} whose late data is erased; wait until some are done.`,
  );
}

/** Does one step of an erasure. */
export const advanceErasure: Advance<ErasureWork> = async (job, work, tools) => {
  const erasure = tools.state.find("erasure", job.job_id)?.body;
  if (erasure === undefined) {
    throw new PermanentError("erasure_lost", "What was to be erased is not known; ask again.");
  }
  const look: Look = {
    project_id: job.project_id,
    subject: erasure.subject,
    job_id: job.job_id,
    pass: work.pass,
    with_traces: work.with_traces,
    since_ms: 0,
  };
  return STEPS[work.step](job, work, tools, look);
};

type Step = (job: Job, work: ErasureWork, tools: JobTools, look: Look) => Promise<Result>;

const STEPS: Readonly<Record<ErasureWork["step"], Step>> = {
  begin,
  look: lookAround,
  widen: widenLook,
  delete: deleteFound,
  mark,
  drain,
  sweep,
};

/** The result of a step that goes on with another. */
function goOn(
  work: ErasureWork,
  changes: Partial<ErasureWork>,
  rest: Partial<Result> = {},
): Result {
  const next = { ...work, ...changes };
  const share = next.pass > 1 ? Math.max(SHARES[next.step], SHARES.mark) : SHARES[next.step];
  const step = next.pass > 1 ? `${next.step} (look ${next.pass})` : next.step;
  return { step, share, rows: 0, ...rest, work: next };
}

async function begin(job: Job, work: ErasureWork, tools: JobTools): Promise<Result> {
  const { engine, logs } = tools;
  return goOn(work, {
    step: "look",
    pass: 1,
    from_s: 0,
    is_local: logs !== null,
    segments: (await logs?.listSegments()) ?? [],
    writers: await readWriters(engine, job.project_id),
  });
}

async function lookAround(
  _job: Job,
  work: ErasureWork,
  { engine }: JobTools,
  look: Look,
): Promise<Result> {
  const ends_ms = performance.now() + STEP_MS;
  const days = await listProjectDays(engine, look, work.from_s);
  const rows_left = days.reduce((sum, day) => sum + day.rows, 0);
  let rows = 0;
  for (const [index, day] of days.entries()) {
    await findInDay(engine, look, day.day_s);
    rows += day.rows;
    if (performance.now() < ends_ms || index === days.length - 1) continue;
    const done = work.pass > 1 ? 0 : (rows / Math.max(rows_left, 1)) * (SHARES.widen - SHARES.look);
    const share = (work.pass > 1 ? SHARES.mark : SHARES.look) + done;
    return goOn(work, { from_s: day.day_s + DAY_S }, { rows, share });
  }
  return goOn(work, { step: "widen", from_s: 0 }, { rows });
}

async function widenLook(
  _job: Job,
  work: ErasureWork,
  { engine }: JobTools,
  look: Look,
): Promise<Result> {
  await widen(engine, look);
  const found = { ...(await countFound(engine, look)), ...(await countBeside(engine, look)) };
  const is_clean = Object.values(found).every((rows) => rows === 0);
  if (is_clean && work.is_drained) return goOn(work, { step: "sweep" });
  const rows_before = { ...work.rows_before };
  for (const [name, rows] of Object.entries(found)) {
    rows_before[name] = (rows_before[name] ?? 0) + rows;
  }
  return goOn(work, { step: is_clean ? "drain" : "delete", rows_before });
}

async function deleteFound(
  _job: Job,
  work: ErasureWork,
  { engine }: JobTools,
  look: Look,
): Promise<Result> {
  const ends_ms = performance.now() + STEP_MS;
  const days = await listFoundDays(engine, look);
  const left = days.filter(({ day_s }) => day_s >= work.from_s);
  let rows = 0;
  for (const [index, day] of left.entries()) {
    await deleteDay(engine, look, day.day_s);
    rows += day.rows;
    if (performance.now() < ends_ms || index === left.length - 1) continue;
    return goOn(work, { from_s: day.day_s + DAY_S }, { rows });
  }
  await deleteBeside(engine, look);
  return goOn(work, { step: "mark", from_s: 0, deleted_s: await readTime(engine) }, { rows });
}

async function mark(
  _job: Job,
  work: ErasureWork,
  { engine, now_ms }: JobTools,
  look: Look,
): Promise<Result> {
  await markFound(engine, look, now_ms());
  return goOn(work, { step: "drain" });
}

/** Waits for the rollups of what was removed, and for what was on its way when it was asked for. */
async function drain(
  job: Job,
  work: ErasureWork,
  { engine, logs, now_ms }: JobTools,
): Promise<Result> {
  const waited_ms = now_ms() - Date.parse(job.created_at);
  const is_over = waited_ms >= MAX_DRAIN_MS;
  const open = await countOpenMarks(engine, job);
  const left = await listLeft(work, logs);
  const is_remote_open = !work.is_local && waited_ms < REMOTE_LOGS_MS;
  if (!is_over && (open > 0 || left.length > 0 || is_remote_open)) {
    const problem =
      open > 0
        ? `waits for ${open} buckets of the rollups`
        : left.length > 0
          ? `waits for ${left.length} files of logs that were there at the request`
          : "waits for logs on other machines";
    const wait_ms = waited_ms < REMOTE_LOGS_MS ? WAIT_MS : LONG_WAIT_MS;
    return goOn(work, {}, { wait_ms, problem });
  }
  return goOn(work, { step: "look", pass: work.pass + 1, from_s: 0, is_drained: true });
}

/** Waits for the files of deleted rows to go, removes exports, and makes the receipt. */
async function sweep(job: Job, work: ErasureWork, tools: JobTools, look: Look): Promise<Result> {
  const { engine, now_ms } = tools;
  const exports_removed = work.exports_removed + (await removeExports(job.project_id, tools));
  const [row] = await engine.query<{ parts: number }>(loadQuery("count_outdated_parts"), {
    tables: TABLES,
    until_s: work.deleted_s,
  });
  const parts = row?.parts ?? 0;
  const now_s = await readTime(engine);
  const is_over = work.deleted_s > 0 && (now_s - work.deleted_s) * 1000 >= MAX_SWEEP_MS;
  if (parts > 0 && !is_over) {
    const problem = `waits for the engine to remove ${parts} old parts`;
    return goOn(work, { exports_removed }, { wait_ms: WAIT_MS * 5, problem });
  }
  const seen = { ...work, exports_removed };
  const receipt = await makeReceipt(job, seen, tools, look, parts === 0);
  const rows_left = Object.values(receipt.rows_after).reduce((sum, rows) => sum + rows, 0);
  if (rows_left > 0 && work.pass < MAX_PASSES) {
    // Something came while the files were waited for: a receipt says 0.
    return goOn(seen, { step: "look", pass: work.pass + 1, from_s: 0 });
  }
  await engine.command(loadQuery("delete_erased_marks"), { job_id: job.job_id });
  const result = goOn(seen, { receipt }, { share: 1, is_done: true });
  tools.log.info({ job_id: job.job_id, at: formatInstant(now_ms()) }, "an erasure is complete");
  return { ...result, step: "done" };
}

async function makeReceipt(
  job: Job,
  work: ErasureWork,
  { engine, logs, state, now_ms }: JobTools,
  look: Look,
  are_files_gone: boolean,
): Promise<Receipt> {
  const completed_at = formatInstant(now_ms());
  return {
    job_id: job.job_id,
    project_id: job.project_id,
    subject_hash: look.subject.hash,
    with_traces: work.with_traces,
    requested_at: job.created_at,
    completed_at,
    rows_before: work.rows_before,
    rows_after: { ...(await countFound(engine, look)), ...(await countBeside(engine, look)) },
    passes: work.pass,
    rollups_recomputed: (await countOpenMarks(engine, job)) === 0,
    files_removed_at: are_files_gone ? completed_at : null,
    exports_removed: work.exports_removed,
    log: {
      is_local: work.is_local,
      segments_at_request: work.segments.length,
      segments_left: (await listLeft(work, logs)).length,
      dead_letters: (await logs?.countDeadLetters(job.project_id)) ?? 0,
      writers_at_request: work.writers,
      writers_at_end: await readWriters(engine, job.project_id),
    },
    late_data_erased_until: state.find("erasure", job.job_id)?.body.until ?? completed_at,
  };
}

/** Files of logs that were there at the request and still are. */
async function listLeft(work: ErasureWork, logs: JobTools["logs"]): Promise<string[]> {
  if (logs === null) return [];
  const there = new Set(await logs.listSegments());
  return work.segments.filter((name) => there.has(name));
}

/** Exports hold what was erased: those of the project go, and those that are being made end. */
async function removeExports(project_id: string, tools: JobTools): Promise<number> {
  const { state, exports, now_ms } = tools;
  let count = 0;
  for (const { body, ...scope } of state.list("job", { project_id })) {
    if (body.work.kind !== "export" || body.work.is_removed) continue;
    if (!FINAL_STATES.has(body.state)) {
      const cancellation = {
        job_id: body.job_id,
        project_id,
        requested_at: formatInstant(now_ms()),
        requested_by: "erasure",
      };
      await state.put("cancellation", body.job_id, scope, cancellation);
      continue;
    }
    await exports.remove(body.job_id);
    await saveJob(state, { ...body, work: { ...body.work, is_removed: true } });
    count += 1;
  }
  return count;
}

async function countOpenMarks(engine: Engine, { job_id, project_id }: Job): Promise<number> {
  const [row] = await engine.query<{ buckets: number }>(loadQuery("count_open_marks"), {
    project_id,
    writer_id: writerOf(job_id),
    to_s: 2 ** 32 - 1,
  });
  return row?.buckets ?? 0;
}

async function readWriters(engine: Engine, project_id: string): Promise<WriterMark[]> {
  const rows = await engine.query<{ writer_id: string; marked: string; touched_s: number }>(
    loadQuery("select_writer_marks"),
    { project_id, limit: MAX_WRITERS },
  );
  return rows.map(({ writer_id, marked, touched_s }) => ({
    writer_id,
    sequence: marked,
    at: formatInstant(touched_s * 1000),
  }));
}

/** The time of the engine, Unix seconds. */
async function readTime(engine: Engine): Promise<number> {
  const [row] = await engine.query<{ time_us: number }>(loadQuery("select_engine_time"));
  return Math.floor((row?.time_us ?? 0) / 1_000_000);
}
