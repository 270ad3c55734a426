/**
 * The channels that notices go to, the notices, and what was delivered: as stored, as asked for and as
 * answered.
 *
 * Invariant: a secret of a channel, and the path of its URL, is in nothing that is answered, logged or
 * delivered.
 */
import { z } from "zod";
import { oneOf, wholeNumber } from "./api-parts.ts";
import { displayName } from "./display-name.ts";

/** Channels of one project. */
export const MAX_CHANNELS = 50;
/** Recipients of one channel. */
const MAX_RECIPIENTS = 20;
/** Characters of a URL. */
const MAX_URL_LENGTH = 2_048;

const id = z.string().min(1).max(64);
const name = displayName;
const instant = z.iso.datetime({ offset: true });
const stamps = { created_at: instant, updated_at: instant };

export const CHANNEL_KINDS = ["webhook", "slack", "email"] as const;
export type ChannelKind = (typeof CHANNEL_KINDS)[number];

const secret = z
  .string()
  .regex(/^[\x21-\x7e]{16,256}$/, "must be 16 to 256 printable characters without spaces");
const channelShape = {
  name,
  url: z.string().max(MAX_URL_LENGTH).nullable().describe("https; of webhook and slack"),
  secret: secret
    .nullable()
    .describe("Signs the bodies of a webhook. Never answered, but when it was made by us, once"),
  to: z.array(z.email().max(254)).max(MAX_RECIPIENTS).describe("Recipients of email"),
  is_enabled: z.boolean(),
};

export const ChannelInput = z.strictObject({
  name,
  kind: oneOf(CHANNEL_KINDS),
  url: channelShape.url.default(null),
  secret: channelShape.secret
    .optional()
    .describe("Left out: one is made; null: bodies go unsigned"),
  to: channelShape.to.default([]),
  is_enabled: channelShape.is_enabled.default(true),
});
export type ChannelInput = z.infer<typeof ChannelInput>;

export const ChannelChange = z.strictObject(channelShape).partial();
export type ChannelChange = z.infer<typeof ChannelChange>;

/** A channel as stored: with its secret. */
export const Channel = z.strictObject({
  channel_id: id,
  project_id: id,
  kind: z.enum(CHANNEL_KINDS),
  ...channelShape,
  ...stamps,
});
export type Channel = z.infer<typeof Channel>;

/** A channel as answered. Paths of URLs are secrets too: whoever has them can post there. */
export const ChannelAnswer = z.object({
  channel_id: z.string(),
  project_id: z.string(),
  kind: z.enum(CHANNEL_KINDS),
  name: z.string(),
  host: z.string().nullable().describe("Of the URL; its path is not answered"),
  to: z.array(z.string()),
  has_secret: z.boolean(),
  is_enabled: z.boolean(),
  created_at: z.string(),
  updated_at: z.string(),
  secret: z.string().optional().describe("Only in the answer to the request that had it made"),
});
export type ChannelAnswer = z.infer<typeof ChannelAnswer>;

export const NOTICE_KINDS = [
  "budget_threshold",
  "alert_firing",
  "alert_resolved",
  "quota_reached",
  "test",
] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** What is told: the body of a webhook, and what other channels are made from. */
export const Notice = z.strictObject({
  notice_id: z.string().describe("The same for the same event, whoever finds it and how often"),
  kind: z.enum(NOTICE_KINDS),
  project_id: z.string(),
  subject_id: z.string().describe("Of the budget, rule, month or channel"),
  created_at: z.string(),
  title: z.string(),
  text: z.string(),
  data: z.record(z.string(), z.json()),
});
export type Notice = z.infer<typeof Notice>;

export const OUTCOMES = ["delivered", "retrying", "gave_up"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** One attempt to deliver a notice. */
export const Delivery = z.object({
  delivery_id: z.string().describe("The same for every attempt; receivers drop what they have"),
  notice_id: z.string(),
  kind: z.enum(NOTICE_KINDS),
  subject_id: z.string(),
  channel_id: z.string(),
  channel_kind: z.enum(CHANNEL_KINDS).nullable().describe("null: the channel was gone"),
  attempt: z.number().int(),
  attempted_at: z.string(),
  duration_ms: z.number().int(),
  outcome: z.enum(OUTCOMES),
  status_code: z.number().int().nullable(),
  error: z.string().nullable().describe("What went wrong, one word; never what the receiver said"),
  next_attempt_at: z.string().nullable(),
});
export type Delivery = z.infer<typeof Delivery>;

const MAX_CURSOR_LENGTH = 512;
const cursor = z
  .string()
  .max(MAX_CURSOR_LENGTH, `must have at most ${MAX_CURSOR_LENGTH} characters`)
  .optional()
  .describe("`next_cursor` of the page before; opaque");
/** Where the next page of a list begins. */
export const next_cursor = z.string().nullable().describe("null on the last page");

/** A page of budgets, rules or channels. */
export const PageQuery = z.strictObject({
  limit: wholeNumber(1, 100).optional().describe("Default 50, at most 100"),
  cursor,
});
export type PageQuery = z.infer<typeof PageQuery>;

export const ChannelsAnswer = z.object({ channels: z.array(ChannelAnswer), next_cursor });
export type ChannelsAnswer = z.infer<typeof ChannelsAnswer>;

export const DeliveriesQuery = z.strictObject({
  limit: wholeNumber(1, 1_000).optional().describe("Default 100, at most 1000"),
  cursor,
  channel_id: id.optional(),
  notice_id: id.optional(),
  subject_id: id.optional().describe("Of a budget or rule"),
  outcome: oneOf(OUTCOMES).optional(),
});
export type DeliveriesQuery = z.infer<typeof DeliveriesQuery>;

export const DeliveriesAnswer = z.object({
  deliveries: z.array(Delivery).describe("Newest first"),
  next_cursor,
});
export type DeliveriesAnswer = z.infer<typeof DeliveriesAnswer>;
