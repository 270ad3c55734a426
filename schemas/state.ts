/**
 * The small things that an installation remembers beside telemetry: organizations, projects, members,
 * keys, budgets, alert rules and so on. One shape a kind, checked when read and when written.
 *
 * Invariant: an id is made by us and never used again; names are for people and need not be unique.
 */
import { z } from "zod";
import { ROLES, SCOPES } from "./access.ts";
import { AlertRule, Budget } from "./alerting.ts";
import { Cancellation, Erasure, Job } from "./jobs.ts";
import { displayName, MAX_NAME_LENGTH } from "./display-name.ts";
import { Channel } from "./notices.ts";

/** Ids of organizations and projects that people choose: also path segments and SQL values. */
export const SLUG = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const SLUG_RULE =
  "must be 1 to 64 of a-z, 0-9, dot, hyphen and underscore, and begin and end with a letter or digit";
export const slug = z.string().regex(SLUG, SLUG_RULE);

/** An instant, RFC 3339 UTC with milliseconds. */
const instant = z.iso.datetime({ offset: true });

export const Organization = z.strictObject({
  organization_id: slug,
  name: displayName,
  created_at: instant,
});
export type Organization = z.infer<typeof Organization>;

const whole = z.number().int();

/** How long things of a project are kept, days; null: as long as the installation keeps them. */
export const Retention = z.strictObject({
  raw_days: whole.min(1).max(36_600).nullable().describe("spans, calls and traces"),
  content_days: whole.min(1).max(36_600).nullable().describe("prompts and answers, when captured"),
  rollup_days: whole.min(1).max(36_600).nullable().describe("sums by 15 minutes and by day"),
});
export type Retention = z.infer<typeof Retention>;

/** What a project may send; null: no limit. */
export const IngestLimits = z.strictObject({
  spans_per_second: whole
    .min(1)
    .nullable()
    .describe("sustained; bursts of ten seconds' worth pass"),
  bytes_per_second: whole.min(1).nullable().describe("uncompressed bytes, sustained"),
  monthly_spans: whole.min(1).nullable().describe("items accepted in a calendar month, UTC"),
});
export type IngestLimits = z.infer<typeof IngestLimits>;

export const Project = z.strictObject({
  project_id: slug,
  organization_id: slug,
  name: displayName,
  created_at: instant,
  retention: Retention,
  limits: IngestLimits,
});
export type Project = z.infer<typeof Project>;

export const Member = z.strictObject({
  member_id: z.string().min(1).max(64),
  organization_id: slug,
  name: displayName,
  email: z.email().max(254),
  role: z.enum(ROLES).describe("in all projects of the organization, unless a project says more"),
  project_roles: z
    .array(z.strictObject({ project_id: slug, role: z.enum(ROLES) }))
    .max(1_000)
    .describe("roles in single projects; the higher of this and `role` holds"),
  is_project_only: z
    .boolean()
    .describe("true: no role in the organization, only in the projects listed"),
  created_at: instant,
});
export type Member = z.infer<typeof Member>;

export const Key = z.strictObject({
  key_id: z.string().min(1).max(64),
  organization_id: slug,
  project_id: slug.nullable().describe("null: all projects of the organization"),
  member_id: z.string().max(64).nullable().describe("whose key it is; null: a service's"),
  name: displayName,
  scopes: z.array(z.enum(SCOPES)).min(1).max(SCOPES.length),
  /** SHA-256 of the key, hex: the key itself is shown once and never stored. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  allowed_service_name: z
    .string()
    .min(1)
    .max(MAX_NAME_LENGTH)
    .nullable()
    .describe("the only service.name it may send; null: any"),
  created_at: instant,
  created_by: z.string().max(MAX_NAME_LENGTH),
  expires_at: instant.nullable(),
  revoked_at: instant.nullable(),
  /** The key that takes its place after a rotation. */
  replaced_by: z.string().max(64).nullable(),
});
export type Key = z.infer<typeof Key>;

/** When a key was last used: apart from the key, so that noting it changes no right. */
export const KeyUse = z.strictObject({
  key_id: z.string().min(1).max(64),
  last_used_at: instant.describe("rounded down to the hour"),
});
export type KeyUse = z.infer<typeof KeyUse>;

/** A project sent all that its quota of a month allows; at most one for each of both. */
export const QuotaNotice = z.strictObject({
  project_id: slug,
  month: z
    .string()
    .regex(/^\d{4}-\d{2}$/)
    .describe("calendar month, UTC"),
  reached_at: instant,
  monthly_spans: whole.min(1).describe("the quota as it was then"),
});
export type QuotaNotice = z.infer<typeof QuotaNotice>;

/**
 * Every kind of object: its schema, and how its id and scope are told. Kinds of other areas are added
 * here; what a kind holds belongs to the file named by its schema.
 */
export const STATE_KINDS = {
  organization: Organization,
  project: Project,
  member: Member,
  key: Key,
  key_use: KeyUse,
  quota_notice: QuotaNotice,
  budget: Budget,
  alert_rule: AlertRule,
  channel: Channel,
  job: Job,
  erasure: Erasure,
  cancellation: Cancellation,
} as const satisfies Record<string, z.ZodType>;

export type StateKind = keyof typeof STATE_KINDS;
export type StateBody<Kind extends StateKind> = z.infer<(typeof STATE_KINDS)[Kind]>;

/** Whom an object belongs to; null for what is above. */
export interface StateScope {
  readonly organization_id: string | null;
  readonly project_id: string | null;
}

/** An object as it is remembered. */
export interface StateObject<Kind extends StateKind = StateKind> extends StateScope {
  readonly kind: Kind;
  readonly object_id: string;
  readonly body: StateBody<Kind>;
  /** Grows with each change, Unix microseconds at the earliest. */
  readonly version: number;
}

/** The organization and project of an installation that nobody set up. */
export const DEFAULT_ORGANIZATION = "default";
export const DEFAULT_PROJECT_ID = "default";
