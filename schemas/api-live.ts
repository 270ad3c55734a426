/**
 * What `GET /v1/live` sends: frames, the same over server-sent events, WebSocket and lines of JSON.
 *
 * Invariant: a frame is complete in itself; who misses some loses news and never sums.
 */
import { z } from "zod";
import { count, Coverage, decimalUsd } from "./api-parts.ts";
import { CallRow } from "./call.ts";

/** Calls of one frame. */
export const MAX_LIVE_CALLS = 50;
/** Characters of the id of a frame; ours have about 40. */
const MAX_FRAME_ID_LENGTH = 100;

export const LiveQuery = z.strictObject({
  last_event_id: z
    .string()
    .max(MAX_FRAME_ID_LENGTH, `must have at most ${MAX_FRAME_ID_LENGTH} characters`)
    .optional()
    .describe(
      "`id` of the last frame that was read, to go on after it; for those who cannot send the " +
        "header `Last-Event-ID`",
    ),
});
export type LiveQuery = z.infer<typeof LiveQuery>;

const id = z.string().describe("where to go on: opaque");
const time = z.string().describe("clock of the storage, RFC 3339 UTC");

const LiveTotals = z.object({
  from: z.string(),
  to: z.string(),
  calls: count,
  errors: count,
  input_total: count.nullable(),
  output_total: count.nullable(),
  cost_usd: decimalUsd.nullable(),
  coverage: Coverage,
});

export const LiveFrame = z.discriminatedUnion("kind", [
  z
    .object({
      kind: z.literal("calls"),
      id,
      time,
      calls: z.array(CallRow).describe(`new or changed, newest first; at most ${MAX_LIVE_CALLS}`),
      withdrawn: z.array(z.string()).describe("call_ids given before that no longer count"),
      left_out: count
        .nullable()
        .describe("changes that are not shown; null when it is not known how many"),
    })
    .describe("Calls that came or changed"),
  z
    .object({
      kind: z.literal("totals"),
      id,
      time,
      last_5m: LiveTotals,
      today: LiveTotals.describe("since midnight, UTC"),
    })
    .describe("Sums of the last five minutes and of today"),
  z
    .object({ kind: z.literal("heartbeat"), id, time, storage: z.enum(["ok", "unavailable"]) })
    .describe("Nothing new; whether the storage could be asked"),
  z
    .object({
      kind: z.literal("end"),
      id,
      reason: z.enum(["stopping", "not_allowed"]).describe("not_allowed: the key no longer may"),
    })
    .describe("The last frame"),
]);
export type LiveFrame = z.infer<typeof LiveFrame>;
