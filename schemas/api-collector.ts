/**
 * Question and answer of `GET /v1/collector`: how the pipeline does, now and over time.
 *
 * Invariant: the figures are of the whole installation, so only its operator is answered; what no sample
 * tells is null and never 0.
 */
import { z } from "zod";
import { count, instant, wholeNumber } from "./api-parts.ts";

/** Points of the series at most. */
export const MAX_COLLECTOR_POINTS = 200;
/** Lengths of a step that are taken when none is asked for, seconds: the shortest that fits. */
export const COLLECTOR_STEPS_S = [
  15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
] as const;
/** Longest range, seconds: samples are kept for 30 days. */
export const MAX_COLLECTOR_RANGE_S = 31 * 86_400;

export const CollectorQuery = z.strictObject({
  from: instant.optional().describe(`Start, inclusive; default an hour before \`to\``),
  to: instant.optional().describe("End, exclusive; default now"),
  interval_s: wholeNumber(15, 86_400)
    .optional()
    .describe(
      `Length of a step, seconds; default the shortest that gives at most ${MAX_COLLECTOR_POINTS} points`,
    ),
});
export type CollectorQuery = z.infer<typeof CollectorQuery>;

const instantText = z.string().describe("RFC 3339");
const amount = count.nullable();
const seconds = z.number().nullable();
const bytes = z.number().nonnegative().nullable();
const share = z.number().nonnegative().nullable();

/** Counts of each signal; a signal that sent nothing has 0. */
const BySignal = z.object({ traces: count, logs: count, metrics: count }).nullable();

/** What stands at one moment: of all collectors together, or the worst of them. */
const gauges = {
  in_flight_requests: amount.describe("Export requests being worked on"),
  in_flight_bytes: bytes.describe("Bytes of their bodies in memory"),
  waiting_spans: amount.describe("Spans that wait for their sync to begin"),
  wal_bytes: bytes.describe("Bytes of the write-ahead logs"),
  wal_budget_share: share.describe("Share of its disk budget that the fullest log uses"),
  wal_pending_records: amount.describe("Records that ClickHouse does not have yet"),
  wal_oldest_pending_s: seconds.describe("Age of the oldest of them, seconds"),
  dirty_buckets: amount.describe("Pairs of project and 15 minutes that the rollups lack"),
  oldest_dirty_s: seconds.describe("How long the one that has waited longest waits, seconds"),
  dead_letter_records: amount.describe("Records that ClickHouse refused"),
  dead_letter_bytes: bytes,
  memory_bytes: bytes.describe("Resident memory of the processes"),
};

/** What was done within a step, or within the whole range. */
const work = {
  accepted: BySignal.describe("Spans, log records and data points that were acknowledged"),
  rejected: BySignal.describe("Those that were refused in partial_success"),
  ignored: BySignal.describe("Accepted ones that are no business of the ledger"),
  requests: amount.describe("Export requests"),
  refused_requests: amount.describe("Those refused as a whole"),
  received_bytes: bytes.describe("Bytes of their bodies as sent"),
  inserted_rows: amount.describe("Rows that ClickHouse has durably"),
  inserts: amount,
  insert_failures: amount.describe("Attempts that failed and were, or will be, made again"),
  batch_rows: z.number().nullable().describe("Mean rows of one INSERT; null without one"),
  cpu_cores: z.number().nullable().describe("Cores of CPU that the processes used"),
  commit_p50_s: seconds.describe("Inflated body to fsynced log, median, seconds"),
  commit_p95_s: seconds,
  insert_p50_s: seconds.describe("One INSERT with its marks, median, seconds"),
  insert_p95_s: seconds,
  ingest_lag_p50_s: seconds.describe(
    "End of a span to its receipt, median, seconds; only for what was received in the last 24 hours of the range",
  ),
  ingest_lag_p95_s: seconds,
};

export const CollectorAnswer = z.object({
  from: instantText,
  to: instantText.describe("The end of the last step"),
  interval_s: count,
  version: z.string().describe("Of the query API"),
  engine: z.enum(["embedded", "server"]),
  prices: z.object({
    rows: count.describe("Rows of the price book"),
    evidence_date: z.string().nullable().describe("The newest day a price was read, YYYY-MM-DD"),
  }),
  last_sample_at: z
    .string()
    .nullable()
    .describe("When a collector told of itself last, RFC 3339; null when none ever did"),
  collectors: z
    .array(z.object({ instance_id: z.string(), version: z.string(), last_sample_at: instantText }))
    .describe("Those that told of themselves in the last three minutes"),
  now: z.object(gauges).describe("Of these collectors"),
  totals: z.object({
    ...work,
    items: z
      .array(
        z.object({
          signal: z.enum(["traces", "logs", "metrics"]),
          outcome: z.enum(["accepted", "rejected", "ignored"]),
          reason: z.string().nullable().describe("Why they were rejected; null for the others"),
          items: count,
        }),
      )
      .describe("The most first"),
    refusals: z
      .array(z.object({ signal: z.string(), reason: z.string(), requests: count }))
      .describe("Requests refused as a whole, the most first"),
    duplicate_reports: count.describe(
      "Reports of calls of the range that another report stands for: counted once",
    ),
    set_aside_records: amount.describe("Records that ClickHouse refused for good"),
    dropped_samples: amount.describe("Values that no sample has room or time for"),
  }),
  points: z
    .array(z.object({ time: instantText.describe("Start of the step"), ...work, ...gauges }))
    .describe(`At most ${MAX_COLLECTOR_POINTS}, in order, without gaps; null where no sample is`),
  backlog: z
    .object({ dirty_buckets: count, oldest_dirty_s: z.number(), rows_waiting: count })
    .describe("What the rollups lack now, as ClickHouse says; readers take it live"),
  tables: z
    .array(
      z.object({
        name: z.string(),
        rows: count,
        parts: count,
        bytes_on_disk: count,
        uncompressed_bytes: count,
        compression_ratio: z.number().nullable().describe("Uncompressed to compressed data"),
      }),
    )
    .describe("The largest first"),
});
export type CollectorAnswer = z.infer<typeof CollectorAnswer>;
export type CollectorPoint = CollectorAnswer["points"][number];
