/**
 * The job that removes what a project keeps no longer: spans and decisions by whole days, content, points,
 * and rollups, each by its own number of days.
 *
 * Invariant: the rollups of a day outlive its spans unchanged. Before spans go, marks of their buckets are
 * shut out, what was marked is waited for, and the day is closed to the recompute, in this order: a late
 * span must not have the day computed from what is left of it. Rollups never go before the spans: who reads
 * would find calls that no sum has.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { PermanentError } from "../schemas/errors.ts";
import { FINAL_STATES, type Job, type RetentionWork } from "../schemas/jobs.ts";
import type { Project, StateObject } from "../schemas/state.ts";
import {
  type Advance,
  DAY_S,
  dayOf,
  type JobTools,
  makeJob,
  saveJob,
  STEP_MS,
  type StepResult,
} from "./job.ts";
import { listProjectDays } from "./subject.ts";

/** How long a statement that began before the floor was written may still mark, on a server, ms. */
const MARK_GRACE_MS = 60_000;
/** Pause between looks whether the rollups are done, ms. */
const WAIT_MS = 5_000;
/** Longest that the rollups are waited for, ms. */
const MAX_SETTLE_MS = 12 * 3_600_000;
/** Days before the last retention that are looked at again for content. */
const CONTENT_OVERLAP_S = 3 * DAY_S;
/** Values longer than this are content, characters. */
const MAX_PLAIN_LENGTH = 1_000;
/** Retention jobs that are kept for a project. */
const MAX_KEPT_JOBS = 7;

const SHARES = { floor: 0, settle: 0.05, raw: 0.1, content: 0.6, rest: 0.9 };

type Result = StepResult<RetentionWork>;

/**
 * The first moments that a project keeps, Unix seconds; 0 keeps all. A day goes when all of it is older
 * than the number of days.
 */
export function cutoffsOf(
  { raw_days, content_days, rollup_days }: Project["retention"],
  now_ms: number,
): Pick<RetentionWork, "raw_s" | "content_s" | "rollup_s"> {
  const today_s = Math.floor(now_ms / 1000 / DAY_S) * DAY_S;
  const before = (days: number | null) => (days === null ? 0 : Math.max(0, today_s - days * DAY_S));
  const raw_s = before(raw_days);
  return {
    raw_s,
    content_s: before(content_days),
    rollup_s: Math.min(before(rollup_days), raw_s),
  };
}

/** Begins the retention of every project that has one and was not seen to today; answers the jobs. */
export async function scheduleRetention({ state, now_ms }: JobTools): Promise<Job[]> {
  const today = dayOf(now_ms() / 1000);
  const begun: Job[] = [];
  for (const object of state.list("project")) {
    const cutoffs = cutoffsOf(object.body.retention, now_ms());
    if (Math.max(cutoffs.raw_s, cutoffs.content_s) === 0) continue;
    const earlier = await pruneJobs(object, state);
    const last = earlier[0];
    if (last !== undefined && last.created_at.slice(0, 10) >= today) continue;
    if (last !== undefined && !FINAL_STATES.has(last.state)) continue;
    const work: RetentionWork = {
      kind: "retention",
      step: "floor",
      ...cutoffs,
      from_s: 0,
      rows_removed: {},
    };
    const job = makeJob(
      { organization_id: object.body.organization_id, project_id: object.object_id },
      work,
      "retention",
      now_ms(),
    );
    await saveJob(state, job);
    begun.push(job);
  }
  return begun;
}

/** Retention jobs of a project, the newest first; old ones that are over are forgotten. */
async function pruneJobs(
  { object_id }: StateObject<"project">,
  state: JobTools["state"],
): Promise<Job[]> {
  const jobs = listRetentionJobs(state, object_id);
  for (const job of jobs.slice(MAX_KEPT_JOBS)) {
    if (FINAL_STATES.has(job.state)) await state.remove("job", job.job_id);
  }
  return jobs;
}

function listRetentionJobs(state: JobTools["state"], project_id: string): Job[] {
  return state
    .list("job", { project_id })
    .map(({ body }) => body)
    .filter(({ work }) => work.kind === "retention")
    .toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1));
}

/** Does one step of a retention. */
export const advanceRetention: Advance<RetentionWork> = (job, work, tools) =>
  STEPS[work.step](job, work, tools);

type Step = (job: Job, work: RetentionWork, tools: JobTools) => Promise<Result>;

const STEPS: Readonly<Record<RetentionWork["step"], Step>> = {
  floor: raiseFloor,
  settle,
  raw: removeRaw,
  content: removeContent,
  rest: removeRest,
};

function goOn(
  work: RetentionWork,
  changes: Partial<RetentionWork>,
  rest: Partial<Result> = {},
): Result {
  const next = { ...work, ...changes };
  return { step: next.step, share: SHARES[next.step], rows: 0, ...rest, work: next };
}

function add(work: RetentionWork, name: string, rows: number): Pick<RetentionWork, "rows_removed"> {
  const before = work.rows_removed[name] ?? 0;
  return { rows_removed: { ...work.rows_removed, [name]: before + rows } };
}

/** From here on no bucket of the days that go is marked. */
async function raiseFloor(job: Job, work: RetentionWork, { engine }: JobTools): Promise<Result> {
  if (work.raw_s === 0) return goOn(work, { step: "content" });
  const params = { project_id: job.project_id, floor_s: work.raw_s, removed_s: 0 };
  await engine.command(loadQuery("insert_raw_floor"), params, "insert");
  // The embedded engine has one lane for marks, and the floor went through it.
  const wait_ms = engine.kind === "server" ? MARK_GRACE_MS : 0;
  return goOn(work, { step: "settle" }, { wait_ms });
}

/** Waits until what was marked is computed, then closes the days to the recompute. */
async function settle(
  job: Job,
  work: RetentionWork,
  { engine, now_ms }: JobTools,
): Promise<Result> {
  const { project_id } = job;
  const [row] = await engine.query<{ buckets: number }>(loadQuery("count_open_marks"), {
    project_id,
    writer_id: "",
    to_s: work.raw_s,
  });
  const buckets = row?.buckets ?? 0;
  if (buckets > 0) {
    if (now_ms() - Date.parse(job.created_at) > MAX_SETTLE_MS) {
      throw new PermanentError(
        "rollups_behind",
        "The rollups of the days to remove were not computed in time; see to the collector that keeps them.",
      );
    }
    const problem = `waits for ${buckets} buckets of the rollups`;
    return goOn(work, {}, { wait_ms: WAIT_MS, problem });
  }
  const params = { project_id, floor_s: work.raw_s, removed_s: work.raw_s };
  await engine.command(loadQuery("insert_raw_floor"), params, "insert");
  return goOn(work, { step: "raw", from_s: 0 });
}

async function removeRaw(job: Job, work: RetentionWork, { engine }: JobTools): Promise<Result> {
  const { project_id } = job;
  const ends_ms = performance.now() + STEP_MS;
  const days = await listProjectDays(engine, { project_id, since_ms: 0 }, work.from_s, work.raw_s);
  let rows = 0;
  for (const [index, day] of days.entries()) {
    await removeDay(engine, project_id, day.day_s);
    rows += day.rows;
    if (performance.now() < ends_ms || index === days.length - 1) continue;
    const part = ((index + 1) / days.length) * (SHARES.content - SHARES.raw);
    const changes = { from_s: day.day_s + DAY_S, ...add(work, "spans", rows) };
    return goOn(work, changes, { rows, share: SHARES.raw + part });
  }
  return goOn(work, { step: "content", from_s: 0, ...add(work, "spans", rows) }, { rows });
}

interface OwnPart {
  readonly name: "spans" | "call_decisions";
  readonly part: string;
}

/**
 * Removes one day of a project. Parts that are its alone go whole, for nothing; a partition is never
 * dropped: between looking at it and dropping it another project's late spans may come.
 */
async function removeDay(engine: Engine, project_id: string, day_s: number): Promise<void> {
  const params = { project_id, from_s: day_s, to_s: day_s + DAY_S };
  const parts = await engine.query<OwnPart>(loadQuery("select_own_parts"), params);
  for (const { name, part } of parts) {
    // Both are names of ours or of the engine; an identifier cannot be a parameter.
    await engine.command(`ALTER TABLE ${name} DROP PART '${part.replaceAll(/[^\w-]/g, "")}'`);
  }
  const bound = { project_id, partition: dayOf(day_s) };
  await engine.command(loadQuery("delete_day_of_call_decisions"), bound);
  const [left] = await listProjectDays(engine, { project_id, since_ms: 0 }, day_s, day_s + DAY_S);
  if ((left?.rows ?? 0) > 0) await engine.command(loadQuery("delete_day_of_spans"), bound);
}

async function removeContent(
  job: Job,
  work: RetentionWork,
  { engine, state }: JobTools,
): Promise<Result> {
  const { project_id } = job;
  const rest = { step: "rest", from_s: 0 } as const;
  if (work.content_s === 0 || work.content_s <= work.raw_s) return goOn(work, rest);
  const ends_ms = performance.now() + STEP_MS;
  const from_s = Math.max(work.raw_s, work.from_s, findContentStart(job, state));
  const max_length = MAX_PLAIN_LENGTH;
  const params = { project_id, from_s, to_s: work.content_s, max_length };
  const days = await engine.query<{ day_s: number; rows: number }>(
    loadQuery("select_content_days"),
    params,
  );
  let rows = 0;
  for (const [index, day] of days.entries()) {
    const bound = { project_id, partition: dayOf(day.day_s), max_length };
    await engine.command(loadQuery("clear_content"), bound);
    rows += day.rows;
    if (performance.now() < ends_ms || index === days.length - 1) continue;
    const changes = { from_s: day.day_s + DAY_S, ...add(work, "content", rows) };
    return goOn(work, changes, { rows });
  }
  return goOn(work, { ...rest, ...add(work, "content", rows) }, { rows });
}

/** Content before what the last retention cleared has gone; late spans come to the days just before. */
function findContentStart({ project_id }: Job, state: JobTools["state"]): number {
  for (const { state: outcome, work } of listRetentionJobs(state, project_id)) {
    if (outcome !== "done" || work.kind !== "retention" || work.content_s === 0) continue;
    return Math.max(0, work.content_s - CONTENT_OVERLAP_S);
  }
  return 0;
}

async function removeRest(job: Job, work: RetentionWork, { engine }: JobTools): Promise<Result> {
  const { project_id } = job;
  const { raw_s, rollup_s } = work;
  const counts = await engine.query<{ name: string; rows: number }>(loadQuery("count_old_rows"), {
    project_id,
    raw_s,
    rollup_s,
  });
  let changed = work;
  let rows = 0;
  for (const { name, rows: count } of counts) {
    if (count === 0) continue;
    const to_s = name.startsWith("usage_metric") || name === "set_aside_items" ? raw_s : rollup_s;
    await engine.command(loadQuery(`delete_old_${name}`), { project_id, to_s });
    changed = { ...changed, ...add(changed, name, count) };
    rows += count;
  }
  return { ...goOn(changed, {}, { rows, share: 1, is_done: true }), step: "done" };
}
