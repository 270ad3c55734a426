/**
 * Finds and removes what is stored of a person in a project. The person is known by a keyed hash: no
 * statement, no file of a mutation and no state of ours has the id.
 *
 * Invariant: rows are removed by the identity of their span, all stored versions of it, only in the
 * project asked for, and only after the identity was noted in `erased_spans`.
 */
import { randomBytes } from "node:crypto";
import type { Engine, Params } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { MIN_ANYWHERE_LENGTH, type Subject } from "../schemas/jobs.ts";
import { DAY_S, dayOf, LAST_S } from "./job.ts";

/** One look for a person. */
export interface Look {
  readonly project_id: string;
  readonly subject: Subject;
  /** Whose job, and which of its looks: what was found is noted under both. */
  readonly job_id: string;
  readonly pass: number;
  readonly with_traces: boolean;
  /** Only what was received since, Unix ms; 0 for all. */
  readonly since_ms: number;
}

/** A UTC day of a project, by its start in Unix seconds, and its rows. */
export interface DayRows {
  readonly day_s: number;
  readonly rows: number;
}

/** Rounds of looking for other reports of a call: who is counted, then all that gave way to it. */
const TWIN_ROUNDS = 2;

/** Makes the hash of a person's id, with a key of its own. */
export async function makeSubject(engine: Engine, user_id: string): Promise<Subject> {
  const bytes = randomBytes(16);
  const key = {
    key_a: bytes.readBigUInt64LE(0).toString(),
    key_b: bytes.readBigUInt64LE(8).toString(),
  };
  const [row] = await engine.query<{ subject_hash: string }>(loadQuery("select_subject_hash"), {
    ...key,
    subject: user_id,
  });
  const is_anywhere = user_id.length >= MIN_ANYWHERE_LENGTH;
  return { hash: row?.subject_hash ?? "", ...key, is_anywhere };
}

function bindSubject({ project_id, subject }: Look): Params {
  return {
    project_id,
    subject_hash: subject.hash,
    key_a: subject.key_a,
    key_b: subject.key_b,
    is_anywhere: subject.is_anywhere ? 1 : 0,
  };
}

function bindPass({ project_id, job_id, pass }: Look): Params {
  return { project_id, job_id, pass };
}

function rangeOf(day_s: number): Params {
  return { from_s: day_s, to_s: Math.min(day_s + DAY_S, LAST_S) };
}

/** Days of a project from a time on. */
export function listProjectDays(
  engine: Engine,
  { project_id, since_ms }: Pick<Look, "project_id" | "since_ms">,
  from_s: number,
  to_s = LAST_S,
): Promise<DayRows[]> {
  const params = { project_id, since_ms, from_s, to_s };
  return engine.query<DayRows>(loadQuery("select_project_days"), params);
}

/** Notes the spans of one day that are the person's. */
export async function findInDay(engine: Engine, look: Look, day_s: number): Promise<void> {
  const { since_ms } = look;
  const params = { ...bindSubject(look), ...bindPass(look), ...rangeOf(day_s), since_ms };
  await engine.command(loadQuery("find_subject_spans"), params);
}

/** Days in which the look found spans. */
export function listFoundDays(engine: Engine, look: Look): Promise<DayRows[]> {
  const { job_id, pass } = look;
  return engine.query<DayRows>(loadQuery("select_erased_days"), { job_id, pass });
}

/** Notes what belongs to what was found: other reports of the same calls, and whole traces if asked. */
export async function widen(engine: Engine, look: Look): Promise<void> {
  const queries = [
    ...(look.with_traces ? ["find_traces_of_erased"] : []),
    ...Array<string>(TWIN_ROUNDS).fill("find_twins_of_erased"),
  ];
  for (const query of queries) {
    const found = await listFoundDays(engine, look);
    // A trace or two reports of a call may lie on both sides of midnight.
    const near = found.flatMap(({ day_s }) => [day_s - DAY_S, day_s, day_s + DAY_S]);
    for (const day_s of new Set(near)) {
      if (day_s < 0 || day_s >= LAST_S) continue;
      await engine.command(loadQuery(query), { ...bindPass(look), ...rangeOf(day_s) });
    }
  }
}

interface TableRows {
  readonly name: string;
  readonly rows: number;
}

/** Stored rows of what was found, by table; redeliveries counted each. */
export async function countFound(engine: Engine, look: Look): Promise<Record<string, number>> {
  const counts: Record<string, number> = { spans: 0, call_decisions: 0 };
  for (const { day_s } of await listFoundDays(engine, look)) {
    const params = { ...bindPass(look), ...rangeOf(day_s) };
    const rows = await engine.query<TableRows>(loadQuery("count_erased_rows"), params);
    for (const row of rows) counts[row.name] = (counts[row.name] ?? 0) + row.rows;
  }
  return counts;
}

/** Rows of the person in the tables that have no spans, by table. */
export async function countBeside(engine: Engine, look: Look): Promise<Record<string, number>> {
  const rows = await engine.query<TableRows>(loadQuery("count_subject_rows"), bindSubject(look));
  return Object.fromEntries(rows.map(({ name, rows: count }) => [name, count]));
}

/** Removes what was found in one day. */
export async function deleteDay(engine: Engine, look: Look, day_s: number): Promise<void> {
  const params = { ...bindPass(look), partition: dayOf(day_s) };
  await engine.command(loadQuery("delete_erased_call_decisions"), params);
  await engine.command(loadQuery("delete_erased_spans"), params);
}

/** Removes the person's rows from the tables that have no spans. */
export async function deleteBeside(engine: Engine, look: Look): Promise<void> {
  for (const [name, rows] of Object.entries(await countBeside(engine, look))) {
    if (rows > 0) await engine.command(loadQuery(`delete_subject_${name}`), bindSubject(look));
  }
}

/** The writer under which the buckets of an erasure are marked. */
export function writerOf(job_id: string): string {
  return `erasure-${job_id}`;
}

/** Has the rollups of what was removed computed again. Marks of the writer only grow. */
export async function markFound(engine: Engine, look: Look, now_ms: number): Promise<void> {
  const writer_id = writerOf(look.job_id);
  const [row] = await engine.query<{ sequence: string }>(loadQuery("select_mark_sequence"), {
    writer_id,
  });
  const sequence = Math.max(now_ms, Number(row?.sequence ?? 0) + 1);
  const params = { ...bindPass(look), writer_id, sequence };
  await engine.command(loadQuery("mark_erased_spans"), params, "insert");
}
