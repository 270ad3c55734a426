/**
 * Requests and answers about organizations, projects, members, the audit log, and who one is.
 *
 * Invariant: bodies are strict and have only what may be set; ids, owners and times are never taken from
 * them (research/reliability.md A27).
 */
import { z } from "zod";
import { ROLES, SCOPES } from "./access.ts";
import { instant, wholeNumber } from "./api-parts.ts";
import { displayName } from "./display-name.ts";
import { IngestLimits, Member, Organization, Project, Retention, slug } from "./state.ts";

/** Objects of one page of a list. */
export const MAX_LIST_ROWS = 1_000;
/** Characters of a cursor of a list. */
const MAX_CURSOR_LENGTH = 512;
/** Characters of a filter of the audit log. */
const MAX_FILTER_LENGTH = 200;

const limit = wholeNumber(1, MAX_LIST_ROWS)
  .optional()
  .describe("Rows of a page; 100 when it is not given");

const cursor = z
  .string()
  .max(MAX_CURSOR_LENGTH, "cursor is not one that this server gave")
  .optional()
  .describe("The next_cursor of the page before");

const organization = slug
  .optional()
  .describe("Organization, for the operator of the installation; keys have their own");

const version = z
  .number()
  .int()
  .nonnegative()
  .describe("Version of what is stored; grows with each change");

const expected = {
  version: version
    .optional()
    .describe("The version that was read, also as If-Match; 409 when there is a newer one"),
};

const next_cursor = z.string().nullable().describe("null on the last page");

/** The pages of a list. */
export const ListQuery = z.strictObject({ limit, cursor });
export type ListQuery = z.infer<typeof ListQuery>;
/** The pages of a list of one organization, which an operator names. */
export const OrganizationListQuery = z.strictObject({ organization, limit, cursor });
export type OrganizationListQuery = z.infer<typeof OrganizationListQuery>;
/** Nothing but the organization, which an operator names. */
export const OrganizationQuery = z.strictObject({ organization });
export type OrganizationQuery = z.infer<typeof OrganizationQuery>;

/** An organization as it is answered. */
export const OrganizationView = z.object({ ...Organization.shape, version });
export type OrganizationView = z.infer<typeof OrganizationView>;
export const OrganizationsAnswer = z.object({
  organizations: z.array(OrganizationView),
  next_cursor,
});
export const OrganizationCreate = z.strictObject({
  organization_id: slug.optional().describe("Made from the name when it is not given"),
  name: displayName,
});
export type OrganizationCreate = z.infer<typeof OrganizationCreate>;
export const OrganizationChange = z.strictObject({ name: displayName, ...expected });
export type OrganizationChange = z.infer<typeof OrganizationChange>;

/** A project as it is answered. */
export const ProjectView = z.object({
  ...Project.shape,
  retention: z.object(Retention.shape),
  limits: z.object(IngestLimits.shape),
  version,
});
export type ProjectView = z.infer<typeof ProjectView>;
export const ProjectsAnswer = z.object({ projects: z.array(ProjectView), next_cursor });
const parts = {
  retention: z.strictObject(Retention.shape).partial().optional(),
  limits: z.strictObject(IngestLimits.shape).partial().optional(),
};
export const ProjectCreate = z.strictObject({
  project_id: slug
    .optional()
    .describe("Only the operator may choose it; else it is made from the name"),
  name: displayName,
  ...parts,
});
export type ProjectCreate = z.infer<typeof ProjectCreate>;
export const ProjectChange = z.strictObject({
  name: displayName.optional(),
  ...parts,
  ...expected,
});
export type ProjectChange = z.infer<typeof ProjectChange>;

/** A member as it is answered. */
export const MemberView = z.object({
  ...Member.shape,
  project_roles: z.array(z.object({ project_id: slug, role: z.enum(ROLES) })),
  version,
});
export type MemberView = z.infer<typeof MemberView>;
export const MembersAnswer = z.object({ members: z.array(MemberView), next_cursor });
const rights = {
  role: Member.shape.role,
  project_roles: Member.shape.project_roles,
  is_project_only: Member.shape.is_project_only,
};
export const MemberCreate = z.strictObject({
  name: displayName,
  email: Member.shape.email,
  role: rights.role,
  project_roles: rights.project_roles.optional(),
  is_project_only: rights.is_project_only.optional(),
});
export type MemberCreate = z.infer<typeof MemberCreate>;
export const MemberChange = z.strictObject({
  name: displayName.optional(),
  email: Member.shape.email.optional(),
  role: rights.role.optional(),
  project_roles: rights.project_roles.optional(),
  is_project_only: rights.is_project_only.optional(),
  ...expected,
});
export type MemberChange = z.infer<typeof MemberChange>;

const AuditActor = z.object({ kind: z.string(), id: z.string(), name: z.string() });

/** Who a request is from, and what it may do. */
export const WhoamiAnswer = z.object({
  actor: AuditActor,
  organization_id: z.string().nullable().describe("null: any, the operator's right"),
  project_id: z.string().nullable().describe("null: any of the organization"),
  scopes: z.array(z.enum(SCOPES)),
  member_id: z.string().nullable().describe("whose key it is; null: a service's"),
  role: z
    .enum(ROLES)
    .nullable()
    .describe("of the member in the organization; null without a member, or one of projects only"),
  projects: z
    .array(
      z.object({
        project_id: z.string(),
        organization_id: z.string(),
        name: z.string(),
        role: z.enum(ROLES).nullable(),
      }),
    )
    .describe("the first thousand that may be asked about; /v1/projects has all"),
  receiver: z
    .object({
      otlp_http: z.string().describe("URL without a path, such as http://127.0.0.1:4318"),
      otlp_grpc: z.string().describe("such as http://127.0.0.1:4317"),
    })
    .nullable()
    .describe("where this process receives OTLP, as it listens; null: another process receives it"),
});
export type WhoamiAnswer = z.infer<typeof WhoamiAnswer>;

const filter = z
  .string()
  .min(1, "must not be empty")
  .max(MAX_FILTER_LENGTH, `must have at most ${MAX_FILTER_LENGTH} characters`);

export const AuditQuery = z.strictObject({
  organization,
  from: instant.optional(),
  to: instant.optional(),
  actor: filter.optional().describe("Id of the actor"),
  action: filter.optional().describe("Such as members:manage"),
  object: filter.optional().describe("Id of what was acted on"),
  outcome: z.enum(["done", "refused", "failed"]).optional(),
  limit,
  cursor,
});
export type AuditQuery = z.infer<typeof AuditQuery>;

export const AuditRecord = z.object({
  entry_id: z.string(),
  at: z.string().describe("RFC 3339, UTC"),
  organization_id: z.string().nullable().describe("null: the installation"),
  project_id: z.string().nullable(),
  actor: AuditActor,
  action: z.string(),
  object: z.object({ kind: z.string(), id: z.string() }),
  outcome: z.string().describe("done, refused or failed"),
  detail: z.record(z.string(), z.unknown()).describe("what changed"),
  remote_address: z.string().describe("of the caller, its last part cut"),
  request_id: z.string(),
});
export type AuditRecord = z.infer<typeof AuditRecord>;
export const AuditAnswer = z.object({ entries: z.array(AuditRecord), next_cursor });
export type AuditAnswer = z.infer<typeof AuditAnswer>;

export const AuditVerifyAnswer = z.object({
  is_whole: z.boolean().describe("no entry of any writer is changed or missing"),
  is_complete: z.boolean().describe("false: there are more entries than were looked at"),
  entries: z.number().int().nonnegative(),
  writers: z.number().int().nonnegative(),
  breaks: z
    .array(
      z.object({
        writer_id: z.string(),
        sequence: z.number().int(),
        entry_id: z.string(),
        problem: z.enum(["changed", "missing_before"]),
      }),
    )
    .describe("the first hundred"),
});
export type AuditVerifyAnswer = z.infer<typeof AuditVerifyAnswer>;
