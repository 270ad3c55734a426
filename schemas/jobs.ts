/**
 * Long work on the data of a project: exports, erasures and retention, as they are remembered and told.
 *
 * Invariant: nothing here names the person that an erasure is about: only a keyed hash of the id is kept,
 * and the key goes when nothing more is to be erased.
 */
import { z } from "zod";

const whole = z.number().int().min(0);
const instant = z.iso.datetime({ offset: true });
const rows_by_table = z
  .record(z.string(), whole)
  .describe("stored rows by table; redeliveries that were not merged yet are counted each");

export const JOB_KINDS = ["export", "erasure", "retention"] as const;
export type JobKind = (typeof JOB_KINDS)[number];
/** `waiting`: until a time, or for something else to happen; then it goes on by itself. */
export const JOB_STATES = ["queued", "running", "waiting", "done", "failed", "canceled"] as const;
export type JobState = (typeof JOB_STATES)[number];
/** States that a job does not leave. */
export const FINAL_STATES: ReadonlySet<JobState> = new Set(["done", "failed", "canceled"]);

/** Longest id of a person that can be erased, characters. */
export const MAX_SUBJECT_LENGTH = 1_024;
/** An id at least as long is looked for in every value; a shorter one might be an ordinary word. */
export const MIN_ANYWHERE_LENGTH = 8;
/** Longest that what comes late of an erased person is erased too, days. */
export const MAX_TOMBSTONE_DAYS = 400;
export const DEFAULT_TOMBSTONE_DAYS = 30;

/** A file of an export. */
export const ExportFile = z.strictObject({
  name: z.string().regex(/^(?:\d{6}\.ndjson\.gz|manifest\.json)$/),
  table: z.string(),
  day: z.string().describe("UTC day of its rows; empty for what has no time"),
  rows: whole,
  bytes: whole.describe("of the file, compressed"),
  sha256: z.string().describe("of the file, hex"),
});
export type ExportFile = z.infer<typeof ExportFile>;

const ExportWork = z.strictObject({
  kind: z.literal("export"),
  files: whole,
  bytes: whole,
  /** The next of its units: a table and a day. */
  next_unit: whole,
  expires_at: instant.nullable(),
  /** Whether its files have gone again. */
  is_removed: z.boolean(),
});
export type ExportWork = z.infer<typeof ExportWork>;

/** By what the data of a person are known. */
export const Subject = z.strictObject({
  hash: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .describe("keyed SipHash-2-4-128 of the id"),
  /** Two halves of the key, decimal. */
  key_a: z.string().regex(/^\d{1,20}$/),
  key_b: z.string().regex(/^\d{1,20}$/),
  is_anywhere: z.boolean().describe("whether it is looked for in every value"),
});
export type Subject = z.infer<typeof Subject>;

/** What a log had told when an erasure began. */
export const WriterMark = z.strictObject({
  writer_id: z.string(),
  sequence: z.string().describe("inserted up to it"),
  at: instant,
});

export type WriterMark = z.infer<typeof WriterMark>;

/** What proves an erasure. */
export const Receipt = z.strictObject({
  job_id: z.string(),
  project_id: z.string(),
  subject_hash: z.string(),
  with_traces: z.boolean().describe("whether the whole traces were erased"),
  requested_at: instant,
  completed_at: instant,
  rows_before: rows_by_table,
  rows_after: rows_by_table.describe("found by the last look; all 0"),
  passes: whole.describe("looks at all that is stored; the last one found nothing"),
  rollups_recomputed: z.boolean(),
  files_removed_at: instant
    .nullable()
    .describe("when the engine had removed the files that held the rows; null: not seen in time"),
  exports_removed: whole,
  log: z
    .strictObject({
      is_local: z.boolean().describe("whether the logs could be looked at"),
      segments_at_request: whole.describe("files of logs when it was asked for"),
      segments_left: whole.describe("of these, files that are still there"),
      dead_letters: whole.describe("records set aside that name the project; not erased"),
      writers_at_request: z.array(WriterMark),
      writers_at_end: z.array(WriterMark),
    })
    .describe("what was on its way"),
  late_data_erased_until: instant,
});
export type Receipt = z.infer<typeof Receipt>;

export const ERASURE_STEPS = [
  "begin",
  "look",
  "widen",
  "delete",
  "mark",
  "drain",
  "sweep",
] as const;

const ErasureWork = z.strictObject({
  kind: z.literal("erasure"),
  with_traces: z.boolean(),
  step: z.enum(ERASURE_STEPS),
  /** Each looks at everything; 0 before the first. */
  pass: whole,
  /** Where the step goes on, Unix seconds. */
  from_s: whole,
  /** Whether what was on its way at the request had arrived when this pass began. */
  is_drained: z.boolean(),
  rows_before: rows_by_table,
  /** When the last rows were deleted, by the clock of the engine, Unix seconds. */
  deleted_s: whole,
  is_local: z.boolean(),
  segments: z.array(z.string()).max(100_000),
  writers: z.array(WriterMark).max(1_000),
  exports_removed: whole,
  receipt: Receipt.nullable(),
});
export type ErasureWork = z.infer<typeof ErasureWork>;

export const RETENTION_STEPS = ["floor", "settle", "raw", "content", "rest"] as const;

const RetentionWork = z.strictObject({
  kind: z.literal("retention"),
  step: z.enum(RETENTION_STEPS),
  /** First moments that are kept, Unix seconds; 0 keeps all. */
  raw_s: whole,
  content_s: whole,
  rollup_s: whole,
  from_s: whole,
  rows_removed: rows_by_table,
});
export type RetentionWork = z.infer<typeof RetentionWork>;

export const JobWork = z.discriminatedUnion("kind", [ExportWork, ErasureWork, RetentionWork]);
export type JobWork = z.infer<typeof JobWork>;

/** A job as it is stored. */
export const Job = z.strictObject({
  job_id: z.uuid(),
  project_id: z.string(),
  organization_id: z.string(),
  state: z.enum(JOB_STATES),
  created_at: instant,
  created_by: z.string().max(200),
  started_at: instant.nullable(),
  updated_at: instant,
  finished_at: instant.nullable(),
  wake_at: instant.nullable(),
  step: z.string(),
  share: z.number().min(0).max(1),
  rows: whole,
  failures: whole,
  problem: z.string().max(2_000).nullable(),
  work: JobWork,
});
export type Job = z.infer<typeof Job>;

/** Who is erased: what comes of it later goes too. Named by the job. */
export const Erasure = z.strictObject({
  erasure_id: z.uuid(),
  project_id: z.string(),
  subject: Subject,
  with_traces: z.boolean(),
  requested_at: instant,
  until: instant,
  /** Everything that was received before was looked at. */
  swept_at: instant,
  late_rows: whole,
});
export type Erasure = z.infer<typeof Erasure>;

/** That a job is to end. Named by the job. */
export const Cancellation = z.strictObject({
  job_id: z.uuid(),
  project_id: z.string(),
  requested_at: instant,
  requested_by: z.string().max(200),
});
export type Cancellation = z.infer<typeof Cancellation>;

/** A job as it is told. */
export const JobAnswer = z.strictObject({
  job_id: z.string(),
  kind: z.enum(JOB_KINDS),
  project: z.string(),
  state: z.enum(JOB_STATES),
  step: z.string().describe("what it does now"),
  progress_share: z.number().describe("0 to 1"),
  rows: whole.describe("rows worked on so far"),
  eta_s: whole.nullable().describe("about how long it will go on, seconds; null: not known"),
  created_at: instant,
  created_by: z.string(),
  started_at: instant.nullable(),
  finished_at: instant.nullable(),
  failures: whole.describe("attempts that failed and were made again"),
  problem: z.string().nullable().describe("why it failed, or what it waits for"),
});
export type JobAnswer = z.infer<typeof JobAnswer>;

export const JobsAnswer = z.strictObject({
  jobs: z.array(JobAnswer).describe("newest first"),
  next_cursor: z.string().nullable(),
});

export const JobsQuery = z.strictObject({
  kind: z.enum(JOB_KINDS).optional(),
  limit: z.coerce.number().int().min(1).max(200).optional().describe("default 50"),
  cursor: z.string().max(200).optional().describe("`next_cursor` of the page before"),
});
export type JobsQuery = z.infer<typeof JobsQuery>;

export const ErasureRequest = z.strictObject({
  user_id: z.string().min(1).max(MAX_SUBJECT_LENGTH).describe("whose data go"),
  traces: z
    .boolean()
    .optional()
    .describe("true: also the other spans of every trace that has one of this user"),
  late_days: whole
    .min(1)
    .max(MAX_TOMBSTONE_DAYS)
    .optional()
    .describe(
      `for so many days what still comes of this user goes too; default ${DEFAULT_TOMBSTONE_DAYS}`,
    ),
});
export type ErasureRequest = z.infer<typeof ErasureRequest>;

export const ErasureAnswer = z.strictObject({
  job: JobAnswer,
  receipt: Receipt.nullable().describe("null until it is done"),
});
export type ErasureAnswer = z.infer<typeof ErasureAnswer>;

export const ExportAnswer = z.strictObject({
  job: JobAnswer,
  files: z.array(ExportFile).describe("empty once they have expired"),
  bytes: whole,
  expires_at: instant.nullable(),
});
export type ExportAnswer = z.infer<typeof ExportAnswer>;

/** A job as it is told, with the time that it will take as long as it goes on at its pace. */
export function describeJob(job: Job, now_ms: number): JobAnswer {
  const { share, started_at } = job;
  const elapsed_s = started_at === null ? 0 : (now_ms - Date.parse(started_at)) / 1000;
  const is_moving = job.state === "running" && share > 0 && share < 1;
  return {
    job_id: job.job_id,
    kind: job.work.kind,
    project: job.project_id,
    state: job.state,
    step: job.step,
    progress_share: share,
    rows: job.rows,
    eta_s: is_moving ? Math.max(0, Math.round((elapsed_s * (1 - share)) / share)) : null,
    created_at: job.created_at,
    created_by: job.created_by,
    started_at,
    finished_at: job.finished_at,
    failures: job.failures,
    problem: job.problem,
  };
}
