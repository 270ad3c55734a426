/**
 * Question and answer of `GET /v1/analytics/quality`: how well the calls of a project are told, by who
 * tells of them.
 *
 * Invariant: the counts are those of `coverage`, by source; a call may have several faults.
 */
import { z } from "zod";
import { filters, instantText, limit, name, range, ranged } from "./api-analytics-parts.ts";
import { count, Coverage } from "./api-parts.ts";

/** A call is skewed when it starts later than it was received by more than this, ms. */
export const CLOCK_SKEW_MS = 60_000;

export const QualityQuery = z.strictObject({ ...range, limit, ...filters });
export type QualityQuery = z.infer<typeof QualityQuery>;

/** What may be wrong with calls, and how many of them there are. */
const faults = {
  calls: count,
  calls_missing_usage: count.describe("Nobody reported what they used; refused calls apart"),
  calls_estimated: count.describe("Their token split rests on an assumption"),
  calls_unpriced: count.describe("Their cost is not, or not wholly, known"),
  calls_suspected_duplicate: count.describe("May be another report of a call that is counted too"),
  calls_clock_skewed: count.describe(
    "They start more than a minute after they were received: a clock is wrong",
  ),
  duplicate_reports: count.describe("Other reports of these calls: counted once"),
};
/** Names of the counts. */
export const QUALITY_COUNTS = Object.keys(faults) as (keyof typeof faults)[];

export const QualityAnswer = z.object({
  ...ranged,
  totals: z.object(faults).describe("Of all sources, those that are not listed too"),
  sources: z
    .array(
      z.object({
        dialect: name.describe("How Spanledger reads what the source sends"),
        scope_name: name.describe("The instrumentation, as it calls itself"),
        scope_versions: z.array(z.string()).describe("At most 10"),
        services: z.array(z.string()).describe("At most 10"),
        last_seen: instantText.describe("Start of the last call"),
        ...faults,
      }),
    )
    .describe("Those of the most calls first"),
  truncated: z.boolean().describe("true when there are more sources"),
  coverage: Coverage,
});
export type QualityAnswer = z.infer<typeof QualityAnswer>;
