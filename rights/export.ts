/**
 * The job that writes everything of a project to files: one file of lines for each table and day, and a
 * manifest with the rows and the SHA-256 of each.
 *
 * Invariant: what is to be written is planned once and stored beside the files; a unit that was not stored
 * as done is written again whole. Memory holds one page of rows.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { PermanentError } from "../schemas/errors.ts";
import { ExportFile, type ExportWork, FINAL_STATES, type Job } from "../schemas/jobs.ts";
import { STATE_KINDS, type StateKind } from "../schemas/state.ts";
import { type ExportFiles, nameOf } from "./export-files.ts";
import {
  type Advance,
  DAY_S,
  dayOf,
  formatInstant,
  type JobTools,
  makeJob,
  saveJob,
  STEP_MS,
} from "./job.ts";

/** Rows of one page, unless a single second has more. */
export const PAGE_ROWS = 5_000;
/** Rows of one page when a second has more than that. */
const MAX_SECOND_ROWS = 20_000;
/** Exports that may be made or kept of one project at once. */
export const MAX_PROJECT_EXPORTS = 10;
/** What is exported of the state, in the order of the file; never keys and what finds an erased person. */
const STATE_KINDS_LEFT_OUT: ReadonlySet<string> = new Set([
  "key",
  "key_use",
  "erasure",
  "cancellation",
  "job",
]);
/** Name of the unit that holds the settings of the project. */
const STATE_TABLE = "settings";
/** Tables whose days are cut by seconds; the others have few rows a day. */
const CUT_TABLES: ReadonlySet<string> = new Set(["spans", "usage_metric_points", "usage_15m"]);

/** What one file will hold: rows of a table of one UTC day, by its start in Unix seconds. */
interface Unit {
  readonly name: string;
  readonly day_s: number;
  /** About. */
  readonly rows: number;
}

/** Begins an export; resolves with its job when it is stored. Throws PermanentError when there are many. */
export async function requestExport(
  { state, now_ms }: Pick<JobTools, "state" | "now_ms">,
  scope: { readonly project_id: string; readonly organization_id: string | null },
  requested_by: string,
): Promise<Job> {
  const open = state
    .list("job", { project_id: scope.project_id })
    .filter(({ body }) => body.work.kind === "export" && !body.work.is_removed);
  if (open.length >= MAX_PROJECT_EXPORTS) {
    throw new PermanentError(
      "too_many_exports",
      `A project has at most ${MAX_PROJECT_EXPORTS} exports at once; delete one first.`,
    );
  }
  const work: ExportWork = {
    kind: "export",
    files: 0,
    bytes: 0,
    next_unit: 0,
    expires_at: null,
    is_removed: false,
  };
  const job = makeJob(scope, work, requested_by, now_ms());
  await saveJob(state, job);
  return job;
}

/** Does one step of an export: as many files as fit its time, at least one. */
export const advanceExport: Advance<ExportWork> = async (job, work, tools) => {
  const { engine, exports, now_ms, limits } = tools;
  const ends_ms = performance.now() + STEP_MS;
  await exports.make(job.job_id);
  const units = await readPlan(job, tools);
  let { files, bytes, next_unit } = work;
  let rows = 0;
  while (next_unit < units.length && performance.now() < ends_ms) {
    if ((await exports.measure()) > limits.export_max_bytes) {
      throw new PermanentError(
        "exports_full",
        "The exports take all the disk they may (SPANLEDGER_EXPORT_MAX_BYTES); delete some.",
      );
    }
    const unit = units[next_unit] as Unit;
    const pages = unit.name === STATE_TABLE ? readState(job, tools) : readPages(engine, job, unit);
    const written = await exports.write(job.job_id, next_unit + 1, pages);
    const day = unit.name === STATE_TABLE ? "" : dayOf(unit.day_s);
    const note: ExportFile = { name: nameOf(next_unit + 1), table: unit.name, day, ...written };
    await exports.writeNote(job.job_id, next_unit + 1, JSON.stringify(note));
    next_unit += 1;
    files += 1;
    bytes += written.bytes;
    rows += written.rows;
  }
  const share = next_unit / Math.max(units.length, 1);
  const next: ExportWork = { ...work, files, bytes, next_unit };
  const step = units[next_unit]?.name ?? "manifest";
  if (next_unit < units.length) return { work: next, step, share, rows };
  await writeManifest(job, units.length, exports, now_ms());
  const expires_at = formatInstant(now_ms() + limits.export_keep_days * DAY_S * 1000);
  return { work: { ...next, expires_at }, step: "done", share: 1, rows, is_done: true };
};

/** The plan of an export, made at its first step. */
async function readPlan(job: Job, { engine, exports }: JobTools): Promise<readonly Unit[]> {
  const text = await exports.readText(job.job_id, "plan.json");
  if (text !== null) return JSON.parse(text) as Unit[];
  const days = await engine.query<Unit>(loadQuery("count_export_days"), {
    project_id: job.project_id,
  });
  const units = [{ name: STATE_TABLE, day_s: 0, rows: 0 }, ...days];
  await exports.writeText(job.job_id, "plan.json", JSON.stringify(units));
  return units;
}

/** The settings of the project, budgets and rules included, as lines. */
async function* readState(job: Job, { state }: JobTools): AsyncGenerator<string[]> {
  yield (Object.keys(STATE_KINDS) as StateKind[])
    .filter((kind) => !STATE_KINDS_LEFT_OUT.has(kind))
    .flatMap((kind) => state.list(kind, { project_id: job.project_id }))
    .map(({ kind, object_id, body }) => JSON.stringify({ kind, object_id, body }, hideSecret));
}

/** Secrets of channels, and their addresses, which let whoever has them post, stay here. */
function hideSecret(name: string, value: unknown): unknown {
  return (name === "secret" || name === "url") && value !== null ? "(left out)" : value;
}

/** The rows of a unit, page by page, in the order of their key. */
async function* readPages(
  engine: Engine,
  { project_id }: Job,
  { name, day_s }: Unit,
): AsyncGenerator<string[]> {
  const sql = loadQuery(`export_${name}`);
  for (const { from_s, to_s } of await cutDay(engine, project_id, name, day_s)) {
    for (let offset = 0, is_more = true; is_more;) {
      const params = { project_id, from_s, to_s, offset, limit: MAX_SECOND_ROWS };
      const rows = await engine.query<object>(sql, params);
      yield rows.map((row) => JSON.stringify(row));
      offset += rows.length;
      is_more = rows.length === MAX_SECOND_ROWS;
    }
  }
}

interface Range {
  readonly from_s: number;
  readonly to_s: number;
}

/** Ranges of seconds of a day that have about a page of rows each; together they have every row. */
async function cutDay(
  engine: Engine,
  project_id: string,
  name: string,
  day_s: number,
): Promise<Range[]> {
  const day = { from_s: day_s, to_s: day_s + DAY_S };
  if (!CUT_TABLES.has(name)) return [day];
  const seconds = await engine.query<{ start_s: number; rows: number }>(
    loadQuery("count_export_seconds"),
    { project_id, name, ...day },
  );
  const ranges: Range[] = [];
  let from_s = day.from_s;
  let rows = 0;
  for (const second of seconds) {
    if (rows > 0 && rows + second.rows > PAGE_ROWS) {
      ranges.push({ from_s, to_s: second.start_s });
      from_s = second.start_s;
      rows = 0;
    }
    rows += second.rows;
  }
  return [...ranges, { from_s, to_s: day.to_s }];
}

async function writeManifest(
  job: Job,
  units: number,
  exports: ExportFiles,
  now_ms: number,
): Promise<void> {
  const files = await listNotes(job.job_id, units, exports);
  const rows_by_table: Record<string, number> = {};
  for (const { table, rows } of files) rows_by_table[table] = (rows_by_table[table] ?? 0) + rows;
  const manifest = {
    format: 1,
    export_id: job.job_id,
    project: job.project_id,
    requested_at: job.created_at,
    completed_at: formatInstant(now_ms),
    rows: rows_by_table,
    files,
  };
  await exports.writeText(job.job_id, "manifest.json", `${JSON.stringify(manifest, null, 1)}\n`);
}

async function listNotes(
  export_id: string,
  units: number,
  exports: ExportFiles,
): Promise<ExportFile[]> {
  const files: ExportFile[] = [];
  for (let number = 1; number <= units; number += 1) {
    const text = await exports.readNote(export_id, number);
    if (text === null) {
      throw new PermanentError("export_incomplete", "A file of the export is missing; begin anew.");
    }
    const note = ExportFile.parse(JSON.parse(text));
    if (note.rows > 0) files.push(note);
  }
  return files;
}

/** Files of a finished export as its manifest names them; null when there is none here. */
export async function listExportFiles(
  exports: ExportFiles,
  export_id: string,
): Promise<ExportFile[] | null> {
  const text = await exports.readText(export_id, "manifest.json");
  if (text === null) return null;
  return ExportFile.array().parse((JSON.parse(text) as { files: unknown }).files);
}

/** Removes the files of exports that expired, failed or belong to no job; answers how many went. */
export async function expireExports({ state, exports, now_ms }: JobTools): Promise<number> {
  let count = 0;
  for (const export_id of await exports.list()) {
    const job = state.find("job", export_id)?.body;
    if (job !== undefined && !isExpired(job, now_ms())) continue;
    await exports.remove(export_id);
    count += 1;
    if (job?.work.kind !== "export") continue;
    await saveJob(state, { ...job, work: { ...job.work, is_removed: true } });
  }
  return count;
}

function isExpired({ state, work }: Job, now_ms: number): boolean {
  if (!FINAL_STATES.has(state) || work.kind !== "export") return false;
  if (state !== "done" || work.is_removed) return true;
  return work.expires_at !== null && now_ms >= Date.parse(work.expires_at);
}
