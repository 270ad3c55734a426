/**
 * The matrix of tenancy: every route of the table, every actor, every project and organization. Two
 * organizations with two projects each, every text that is stored of them marked with whose it is, and
 * what is expected typed by hand below.
 *
 * A new route fails here until it has a row in REQUESTS: one line with what it does, to what, and a body
 * if it takes one. A new name in a path needs a value in PATH_VALUES, a new kind of state a seed in SEEDS.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import {
  ACTIONS,
  type Action,
  type Actor,
  AUTH_PROBLEMS,
  type AuthProblem,
  type Identity,
  makeOperator,
  type Role,
  type Scope,
  SCOPES,
} from "../schemas/access.ts";
import type { Job } from "../schemas/jobs.ts";
import { Attributes, type Span } from "../schemas/span.ts";
import { STATE_KINDS, type StateBody, type StateKind } from "../schemas/state.ts";
import { AuditLog } from "../state/audit.ts";
import { StateStore } from "../state/store.ts";
import { makeProject, makeTestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { answerRoute } from "./answer.ts";
import { ApiError } from "./errors.ts";
import type { AuditEntry, Route } from "./route.ts";
import { describeAllRoutes } from "./routes.ts";

const NOW_MS = Date.UTC(2026, 9, 27);
const CREATED_AT = "2026-10-01T00:00:00.000Z";
const STAMPS = { created_at: CREATED_AT, updated_at: CREATED_AT };
/** A range that the seeded calls lie in. */
const RANGE = "from=2026-10-26&to=2026-10-27";

// ---------------------------------------------------------------------------------------------------
// Whose things there are

/** A project, its organization, and the ids of all that is theirs. */
interface Ids {
  /** Stands in every text that is stored of the project: zqa1, zqa2, zqb1 or zqb2. */
  readonly mark: string;
  readonly organization_id: string;
  readonly project_id: string;
  /** Two hexadecimal digits that ids of random digits are made of. */
  readonly hex: string;
  readonly trace_id: string;
}

function idsOf(organization: "a" | "b" | "x", number: 1 | 2): Ids {
  const mark = `zq${organization}${number}`;
  const hex = `${organization === "x" ? "c" : organization}${number}`;
  const organization_id = `zq${organization}org`;
  return { mark, organization_id, project_id: mark, hex, trace_id: hex.repeat(16) };
}

const A1 = idsOf("a", 1);
const A2 = idsOf("a", 2);
const B1 = idsOf("b", 1);
const B2 = idsOf("b", 2);
/** Nobody's: ids of the same form that nothing has. */
const NONE = idsOf("x", 1);
const ALL = [A1, A2, B1, B2];

/** The marks in a text, each once: of projects, and of organizations such as zqaorg. */
function marksOf(text: string): string[] {
  const marks = text.match(/zq[ab](?:org|[12])/g) ?? [];
  const ids = ALL.filter(({ hex }) => text.includes(hex.repeat(4))).map(({ mark }) => mark);
  return [...new Set([...marks, ...ids])].toSorted();
}

/** An id of a job of a project. */
function uuidOf({ hex }: Ids, last: string): string {
  return `${hex.repeat(4)}-${hex.repeat(2)}-4${hex}0-8${hex}0-${hex.repeat(5)}${last}`;
}
const exportOf = (ids: Ids) => uuidOf(ids, "e0");
const erasureOf = (ids: Ids) => uuidOf(ids, "e1");

/** Marks that an answer about a project, or an organization with all of its projects, may have. */
const ofProject = ({ mark, organization_id }: Ids) => [mark, organization_id];
const ofOrganization = ({ organization_id }: Ids) => [
  organization_id,
  ...ALL.filter((one) => one.organization_id === organization_id).map(({ mark }) => mark),
];
const EVERYTHING = [...new Set(ALL.flatMap((ids) => ofProject(ids)))];

/** Values of the {names} in paths. Those of a project or organization are its own. */
const PATH_VALUES: Readonly<Record<string, (ids: Ids) => string>> = {
  organization_id: ({ organization_id }) => organization_id,
  project_id: ({ project_id }) => project_id,
  trace_id: ({ trace_id }) => trace_id,
  call_id: ({ trace_id }) => `${trace_id}-a1a2a3a4a5a6a7a8`,
  member_id: ({ organization_id }) => `member-${organization_id}`,
  key_id: ({ mark }) => `key-${mark}`,
  job_id: exportOf,
  export_id: exportOf,
  erasure_id: erasureOf,
  budget_id: ({ mark }) => `budget-${mark}`,
  rule_id: ({ mark }) => `rule-${mark}`,
  alert_id: ({ mark }) => `rule-${mark}`,
  channel_id: ({ mark }) => `channel-${mark}`,
  version: () => "0000000000000000",
  folder: () => "views",
  period: () => "2026-10",
  name: () => "manifest.json",
  file: () => "style.css",
};

/** What is stored of each kind, for each project; what is of an organization is told by its first one. */
const SEEDS: { readonly [Kind in StateKind]: ((ids: Ids) => Seed<Kind>[]) | null } = {
  organization: ({ organization_id }) => [
    {
      object_id: organization_id,
      of: "organization",
      body: { organization_id, name: `${organization_id} name`, created_at: CREATED_AT },
    },
  ],
  project: ({ project_id, organization_id, mark }) => [
    {
      object_id: project_id,
      of: "project",
      body: { ...makeProject(project_id, organization_id), name: `${mark} name` },
    },
  ],
  member: ({ organization_id }) => [
    {
      object_id: `member-${organization_id}`,
      of: "organization",
      body: {
        member_id: `member-${organization_id}`,
        organization_id,
        name: `${organization_id} member`,
        email: `owner@${organization_id}.example`,
        role: "owner",
        project_roles: [],
        is_project_only: false,
        created_at: CREATED_AT,
      },
    },
  ],
  key: ({ mark, organization_id, project_id }) => [
    {
      object_id: `key-${mark}`,
      of: "project",
      body: {
        key_id: `key-${mark}`,
        organization_id,
        project_id,
        member_id: null,
        name: `${mark} key`,
        scopes: ["read"],
        sha256: "0".repeat(64),
        allowed_service_name: `${mark}-service`,
        created_at: CREATED_AT,
        created_by: `${mark} creator`,
        expires_at: null,
        revoked_at: null,
        replaced_by: null,
      },
    },
  ],
  key_use: ({ mark }) => [
    {
      object_id: `key-${mark}`,
      of: "project",
      body: { key_id: `key-${mark}`, last_used_at: CREATED_AT },
    },
  ],
  quota_notice: ({ mark, project_id }) => [
    {
      object_id: `${mark} 2026-10`,
      of: "project",
      body: { project_id, month: "2026-10", reached_at: CREATED_AT, monthly_spans: 10 },
    },
  ],
  budget: ({ mark, project_id }) => [
    {
      object_id: `budget-${mark}`,
      of: "project",
      body: {
        budget_id: `budget-${mark}`,
        project_id,
        name: `${mark} budget`,
        amount: "1",
        unit: "usd",
        period: "month",
        tz: "UTC",
        filters: { user_id: [`${mark}-user`] },
        tags: [{ key: `${mark}-tag`, values: [`${mark}-value`] }],
        thresholds: [{ kind: "actual", percent: 50 }],
        channel_ids: [`channel-${mark}`],
        is_enabled: true,
        ...STAMPS,
      },
    },
  ],
  alert_rule: ({ mark, project_id }) => [
    {
      object_id: `rule-${mark}`,
      of: "project",
      body: {
        rule_id: `rule-${mark}`,
        project_id,
        name: `${mark} rule`,
        measure: "calls",
        condition: { kind: "threshold", direction: "above", value: 0, window_minutes: 60 },
        filters: { user_id: [`${mark}-user`] },
        tags: [],
        tz: "UTC",
        min_calls: 0,
        for_minutes: 0,
        cooldown_minutes: 60,
        notify_resolved: true,
        channel_ids: [`channel-${mark}`],
        is_enabled: true,
        ...STAMPS,
      },
    },
  ],
  channel: ({ mark, project_id }) => [
    {
      object_id: `channel-${mark}`,
      of: "project",
      body: {
        channel_id: `channel-${mark}`,
        project_id,
        kind: "email",
        name: `${mark} channel`,
        url: null,
        secret: null,
        to: [`people@${mark}.example`],
        is_enabled: true,
        ...STAMPS,
      },
    },
  ],
  job: (ids) => [
    {
      object_id: exportOf(ids),
      of: "project",
      body: makeJob(ids, exportOf(ids), {
        kind: "export",
        files: 0,
        bytes: 0,
        next_unit: 0,
        expires_at: null,
        is_removed: false,
      }),
    },
    {
      object_id: erasureOf(ids),
      of: "project",
      body: makeJob(ids, erasureOf(ids), {
        kind: "erasure",
        with_traces: false,
        step: "begin",
        pass: 0,
        from_s: 0,
        is_drained: false,
        rows_before: {},
        deleted_s: 0,
        is_local: false,
        segments: [],
        writers: [],
        exports_removed: 0,
        receipt: null,
      }),
    },
  ],
  erasure: (ids) => [
    {
      object_id: erasureOf(ids),
      of: "project",
      body: {
        erasure_id: erasureOf(ids),
        project_id: ids.project_id,
        subject: { hash: ids.trace_id, key_a: "1", key_b: "2", is_anywhere: false },
        with_traces: false,
        requested_at: CREATED_AT,
        until: CREATED_AT,
        swept_at: CREATED_AT,
        late_rows: 0,
      },
    },
  ],
  // It would end the jobs above, and nothing answers it.
  cancellation: null,
};

function makeJob(ids: Ids, job_id: string, work: Job["work"]): Job {
  const { mark, project_id, organization_id } = ids;
  return {
    job_id,
    project_id,
    organization_id,
    state: "queued",
    created_at: CREATED_AT,
    created_by: `${mark} creator`,
    started_at: null,
    updated_at: CREATED_AT,
    finished_at: null,
    wake_at: null,
    step: `${mark} step`,
    share: 0,
    rows: 0,
    failures: 0,
    problem: `${mark} problem`,
    work,
  };
}

interface Seed<Kind extends StateKind> {
  readonly object_id: string;
  readonly of: "project" | "organization";
  readonly body: StateBody<Kind>;
}

// ---------------------------------------------------------------------------------------------------
// What is asked

interface Row {
  readonly action: Action | null;
  readonly of: Route["of"];
  readonly query?: string;
  /** A body that is right for the target. */
  readonly body?: (ids: Ids) => unknown;
  /** True when the answer need not show whose it is: it has no text of the project. */
  readonly is_plain?: boolean;
  /** Status of a good answer, where the route does not say. */
  readonly status?: number;
}

function row(action: Action | null, of: Route["of"], extras: Omit<Row, "action" | "of"> = {}): Row {
  return { action, of, ...extras };
}

/** Every route, by hand: its action and object are told here again, so that a slip there is seen here. */
const REQUESTS: Readonly<Record<string, Row>> = {
  "GET /v1/usage": row("usage:read", "project", { query: `group_by=user_id&${RANGE}` }),
  "GET /v1/schema": row("usage:read", "project", { is_plain: true }),
  "GET /v1/calls": row("usage:read", "project", { query: RANGE }),
  "GET /v1/calls/{call_id}/explain": row("usage:read", "project"),
  "GET /v1/traces": row("usage:read", "project", { query: RANGE }),
  "GET /v1/traces/{trace_id}": row("usage:read", "project"),
  "GET /v1/orgs": row("settings:read", "self"),
  "POST /v1/orgs": row("installation:manage", "installation", { body: () => ({ name: "new" }) }),
  "GET /v1/orgs/{organization_id}": row("organization:read", "organization"),
  "PATCH /v1/orgs/{organization_id}": row("organization:write", "organization", {
    body: () => ({ name: "new" }),
  }),
  "DELETE /v1/orgs/{organization_id}": row("installation:manage", "organization", { status: 409 }),
  "GET /v1/projects": row("settings:read", "self"),
  "POST /v1/projects": row("organization:write", "organization", { body: () => ({ name: "new" }) }),
  "GET /v1/projects/{project_id}": row("settings:read", "project"),
  "PATCH /v1/projects/{project_id}": row("project:write", "project", {
    body: () => ({ limits: { spans_per_second: 10 } }),
  }),
  "GET /v1/orgs/{organization_id}/members": row("members:read", "organization"),
  "POST /v1/orgs/{organization_id}/members": row("members:manage", "organization", {
    body: ({ project_id }) => ({
      name: "new",
      email: "new@new.example",
      role: "viewer",
      project_roles: [{ project_id, role: "editor" }],
    }),
  }),
  "GET /v1/orgs/{organization_id}/members/{member_id}": row("members:read", "organization"),
  "PATCH /v1/orgs/{organization_id}/members/{member_id}": row("members:manage", "organization", {
    body: () => ({ name: "new" }),
  }),
  "DELETE /v1/orgs/{organization_id}/members/{member_id}": row("members:manage", "organization", {
    status: 403, // the last owner
  }),
  "GET /v1/whoami": row("settings:read", "self"),
  "GET /v1/audit": row("audit:read", "organization"),
  "GET /v1/audit/verify": row("installation:manage", "installation", { is_plain: true }),
  "GET /v1/keys": row("keys:manage", "project"),
  "POST /v1/keys": row("keys:manage", "project", {
    body: () => ({ name: "new", scopes: ["read"] }),
  }),
  "GET /v1/keys/{key_id}": row("keys:manage", "project"),
  "POST /v1/keys/{key_id}/rotate": row("keys:manage", "project", { body: () => ({}) }),
  "DELETE /v1/keys/{key_id}": row("keys:manage", "project"),
  "GET /v1/orgs/{organization_id}/keys": row("keys:manage", "organization"),
  "POST /v1/orgs/{organization_id}/keys": row("keys:manage", "organization", {
    body: () => ({ name: "new", scopes: ["read"] }),
  }),
  "GET /v1/orgs/{organization_id}/keys/{key_id}": row("keys:manage", "organization"),
  "POST /v1/orgs/{organization_id}/keys/{key_id}/rotate": row("keys:manage", "organization", {
    body: () => ({}),
  }),
  "DELETE /v1/orgs/{organization_id}/keys/{key_id}": row("keys:manage", "organization"),
  "GET /v1/analytics/dashboard": row("usage:read", "project", { query: RANGE }),
  "GET /v1/analytics/costs": row("usage:read", "project", { query: `group_by=model&${RANGE}` }),
  "GET /v1/analytics/costs/{period}": row("usage:read", "project", { query: "group_by=model" }),
  "GET /v1/analytics/providers": row("usage:read", "project", { query: RANGE }),
  "GET /v1/analytics/savings": row("usage:read", "project", { query: RANGE }),
  "POST /v1/analytics/roi-calculator": row("usage:read", "project", {
    body: () => ({ value_per_task_usd: "1", measured: { from: "2026-10-26", to: "2026-10-27" } }),
  }),
  "GET /v1/analytics/sessions": row("usage:read", "project", { query: RANGE }),
  "GET /v1/analytics/users": row("usage:read", "project", { query: RANGE }),
  "GET /v1/analytics/errors": row("usage:read", "project", { query: RANGE }),
  "GET /v1/analytics/models/unpriced": row("usage:read", "project", { query: RANGE }),
  "GET /v1/analytics/metrics/current": row("usage:read", "project"),
  "GET /v1/analytics/quality": row("usage:read", "project", { query: RANGE }),
  "GET /v1/prices": row("usage:read", "project", { query: "limit=2", is_plain: true }),
  "GET /v1/collector": row("installation:manage", "installation", {
    query: "interval_s=3600",
    is_plain: true,
  }),
  "GET /v1/budgets": row("settings:read", "project"),
  "POST /v1/budgets": row("budgets:write", "project", {
    body: ({ mark }) => ({ name: "new", amount: "1", channel_ids: [`channel-${mark}`] }),
  }),
  "GET /v1/budgets/{budget_id}": row("settings:read", "project"),
  "PATCH /v1/budgets/{budget_id}": row("budgets:write", "project", {
    body: ({ mark }) => ({ channel_ids: [`channel-${mark}`] }),
  }),
  "DELETE /v1/budgets/{budget_id}": row("budgets:write", "project"),
  "GET /v1/alerts": row("settings:read", "project"),
  "POST /v1/alerts": row("alerts:write", "project", {
    body: ({ mark }) => ({
      name: "new",
      condition: { kind: "threshold", direction: "above", value: 1, window_minutes: 5 },
      channel_ids: [`channel-${mark}`],
    }),
  }),
  "GET /v1/alerts/{rule_id}": row("settings:read", "project"),
  "PATCH /v1/alerts/{rule_id}": row("alerts:write", "project", {
    body: ({ mark }) => ({ channel_ids: [`channel-${mark}`] }),
  }),
  "DELETE /v1/alerts/{rule_id}": row("alerts:write", "project"),
  "GET /v1/channels": row("settings:read", "project"),
  "POST /v1/channels": row("alerts:write", "project", {
    body: () => ({ name: "new", kind: "email", to: ["new@new.example"] }),
  }),
  "GET /v1/channels/{channel_id}": row("settings:read", "project"),
  "PATCH /v1/channels/{channel_id}": row("alerts:write", "project", {
    body: () => ({ name: "new" }),
  }),
  "DELETE /v1/channels/{channel_id}": row("alerts:write", "project"),
  "POST /v1/channels/{channel_id}/test": row("alerts:write", "project"),
  "GET /v1/deliveries": row("settings:read", "project"),
  "GET /v1/jobs": row("settings:read", "project"),
  "GET /v1/jobs/{job_id}": row("settings:read", "project"),
  "POST /v1/erasures": row("data:erase", "project", { body: () => ({ user_id: "somebody" }) }),
  "GET /v1/erasures/{erasure_id}": row("data:erase", "project"),
  "DELETE /v1/erasures/{erasure_id}": row("data:erase", "project"),
  "POST /v1/exports": row("data:export", "project"),
  "GET /v1/exports/{export_id}": row("data:export", "project"),
  "GET /v1/exports/{export_id}/files/{name}": row("data:export", "project", {
    status: 404, // there are none yet
    is_plain: true,
  }),
  "DELETE /v1/exports/{export_id}": row("data:export", "project"),
  "GET /v1/live": row("usage:read", "project", { is_plain: true }),
  "GET /healthz": row(null, "installation"),
  "GET /readyz": row(null, "installation"),
  "GET /metrics": row("settings:read", "self", { is_plain: true }),
  "GET /openapi.json": row(null, "installation"),
  "GET /docs": row(null, "installation"),
  "GET /": row(null, "installation"),
  "GET /page/{version}/{file}": row(null, "installation", { status: 404 }),
  "GET /page/{version}/{folder}/{file}": row(null, "installation", { status: 404 }),
  "GET /docs/{file}": row(null, "installation", { status: 404 }),
};

/** Who may do what: the scopes of which one is needed, and the roles that do; null: the operator alone. */
const WHO: Readonly<
  Record<Action, readonly [scopes: readonly Scope[], roles: readonly Role[] | null]>
> = {
  "ingest:write": [["ingest"], ["viewer", "editor", "owner"]],
  "usage:read": [
    ["read", "admin"],
    ["viewer", "editor", "owner"],
  ],
  "settings:read": [
    ["read", "admin"],
    ["viewer", "editor", "owner"],
  ],
  "members:read": [
    ["read", "admin"],
    ["viewer", "editor", "owner"],
  ],
  "organization:read": [
    ["read", "admin"],
    ["viewer", "editor", "owner"],
  ],
  "budgets:write": [["admin"], ["editor", "owner"]],
  "alerts:write": [["admin"], ["editor", "owner"]],
  "data:export": [["admin"], ["editor", "owner"]],
  "data:erase": [["admin"], ["owner"]],
  "project:write": [["admin"], ["owner"]],
  "keys:manage": [["admin"], ["owner"]],
  "members:manage": [["admin"], ["owner"]],
  "organization:write": [["admin"], ["owner"]],
  "audit:read": [["admin"], ["owner"]],
  "installation:manage": [["admin"], null],
};

const ROUTES = describeAllRoutes().map((route) => {
  const name = `${route.method} ${route.path}`;
  return { name, route };
});
/** Those that can be asked; the others fail the first test, which says what to add. */
const ASKED = ROUTES.filter(({ name }) => Object.hasOwn(REQUESTS, name));

function rowOf(name: string): Row {
  const found = REQUESTS[name];
  if (found === undefined) throw new Error(`${name} has no row in REQUESTS.`);
  return found;
}

function fillPath(path: string, ids: (name: string) => Ids): string {
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => {
    const value = PATH_VALUES[name];
    if (value !== undefined) return encodeURIComponent(value(ids(name)));
    throw new Error(`{${name}} has no value in PATH_VALUES of query-api/tenancy.test.ts; add one.`);
  });
}

interface Target {
  /** Of the project and organization asked about. */
  readonly scope: Ids;
  /** Of everything else in the path: traces, keys, members. */
  readonly things: Ids;
}

const at = (ids: Ids): Target => ({ scope: ids, things: ids });

/** A request to a route about a target; a key that sees several projects says which. */
function requestOf(name: string, route: Route, { scope, things }: Target): Request {
  const { query, body } = rowOf(name);
  const is_scope = (part: string) => part === "organization_id" || part === "project_id";
  const url = new URL(
    `http://localhost${fillPath(route.path, (part) => (is_scope(part) ? scope : things))}`,
  );
  if (query !== undefined) url.search = query;
  if (route.action !== null && route.of === "project" && !route.path.includes("{project_id}")) {
    url.searchParams.set("project", scope.project_id);
  }
  if (Object.hasOwn(route.query?.shape ?? {}, "organization")) {
    url.searchParams.set("organization", scope.organization_id);
  }
  // A09: with every request, in vain: headers by which a key names a project elsewhere.
  const headers = {
    "x-spanledger-project": scope === B1 ? A1.project_id : B1.project_id,
    "x-organization": B1.organization_id,
  };
  if (body === undefined) return new Request(url, { method: route.method, headers });
  return new Request(url, {
    method: route.method,
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(body(things)),
  });
}

/** Whether the target can be chosen at all. */
function isChosen(route: Route): boolean {
  if (route.action === null || route.of === "self" || route.of === "installation") return false;
  if (route.of === "project") return true;
  const has_parameter = Object.hasOwn(route.query?.shape ?? {}, "organization");
  return route.path.includes("{organization_id}") || has_parameter;
}

// ---------------------------------------------------------------------------------------------------
// Who asks

interface Asker {
  readonly actor: Actor;
  /** The projects, and whether the organization itself, that it is within. Typed by hand. */
  readonly within: readonly Ids[];
  readonly is_of_organization: boolean;
  /** Role in all that it is within; null: roles do not matter. */
  readonly role: Role | null;
}

function makeAsker(
  id: string,
  {
    project = null,
    scopes = SCOPES,
    role = null,
    is_project_only = false,
  }: {
    readonly project?: Ids | null;
    readonly scopes?: readonly Scope[];
    readonly role?: Role | null;
    /** A member with a role in A1 alone. */
    readonly is_project_only?: boolean;
  },
): Asker {
  const roleFor = ({ project_id }: { readonly project_id: string | null }) =>
    is_project_only && project_id !== A1.project_id ? null : role;
  return {
    actor: {
      kind: "key",
      id,
      name: id,
      organization_id: A1.organization_id,
      project_id: project?.project_id ?? null,
      scopes,
      member_id: role === null ? null : "member-zqaorg",
      roleFor: role === null ? null : roleFor,
    },
    within: project !== null ? [project] : is_project_only ? [A1] : [A1, A2],
    is_of_organization: project === null && !is_project_only,
    role,
  };
}

const SCOPE_SETS: readonly (readonly Scope[])[] = Array.from({ length: 8 }, (_, bits) =>
  SCOPES.filter((_scope, index) => (bits & (1 << index)) !== 0),
);

const everywhere = { within: ALL, is_of_organization: true, role: null };
const ASKERS: readonly Asker[] = [
  { actor: makeOperator(), ...everywhere },
  { actor: makeOperator("reading operator", ["read"]), ...everywhere },
  ...SCOPE_SETS.flatMap((scopes) => [
    makeAsker(`project key ${scopes.join("+")}`, { project: A1, scopes }),
    makeAsker(`organization key ${scopes.join("+")}`, { scopes }),
  ]),
  ...(["viewer", "editor", "owner"] as const).flatMap((role) => [
    makeAsker(`project key of a member: ${role}`, { project: A1, role }),
    makeAsker(`key of a member: ${role}`, { role }),
    makeAsker(`key of a member of one project: ${role}`, { role, is_project_only: true }),
  ]),
  makeAsker("reading key of an owner", { scopes: ["read"], role: "owner" }),
];

const PROJECT_KEY = makeAsker("whole project key", { project: A1 });
const ORGANIZATION_KEY = makeAsker("whole organization key", {});
const MEMBER_OF_ONE = makeAsker("owner of one project", { role: "owner", is_project_only: true });
const OPERATOR: Asker = { actor: makeOperator("operator"), ...everywhere };

/** Who asks about what, where the answers are read. */
const OWN: readonly (readonly [Asker, Ids])[] = [
  [OPERATOR, A1],
  [OPERATOR, B2],
  [PROJECT_KEY, A1],
  [ORGANIZATION_KEY, A2],
  [ORGANIZATION_KEY, A1],
  [MEMBER_OF_ONE, A1],
];
/** Of the routes that read the ledger, where each answer takes time: who asks is nothing to them. */
const OWN_LEDGER = OWN.filter(([asker]) => asker === PROJECT_KEY);

/** Whether an answer takes a question to the ledger: budgets and rules are answered with how they stand. */
function readsLedger(name: string): boolean {
  return rowOf(name).action === "usage:read" || /\/v1\/(?:budgets|alerts)\b/.test(name);
}

/** What has to come of it: reached, or 403, or 404. From WHO and `within`, not from the code. */
function verdictOf(asker: Asker, name: string, target: Ids): "reached" | 403 | 404 {
  const { action, of } = rowOf(name);
  if (action === null) return "reached";
  const [scopes, roles] = WHO[action];
  const is_operator = asker.actor.kind === "operator";
  if (roles === null && !is_operator) return 403;
  if (of === "project" && target !== NONE && !asker.within.includes(target)) return 404;
  if (of === "organization") {
    const is_own = asker.within.some((own) => own.organization_id === target.organization_id);
    if (target !== NONE && (!is_own || !asker.is_of_organization)) return 404;
  }
  // What nobody has is looked for last by those who may see everything.
  if (target === NONE && !is_operator && of !== "self" && of !== "installation") return 404;
  if (!scopes.some((scope) => asker.actor.scopes.includes(scope))) return 403;
  if (asker.role !== null && roles !== null && of !== "self" && !roles.includes(asker.role))
    return 403;
  return target === NONE && (of === "project" || of === "organization") ? 404 : "reached";
}

// ---------------------------------------------------------------------------------------------------
// The world

const QUIET = { info: () => {}, warn: () => {}, error: () => {} };
/** An engine that the state is written to and never read from. */
const FORGETFUL = { query: async () => [], command: async () => {} } as unknown as Engine;

async function makeState(): Promise<StateStore> {
  const state = new StateStore({
    engine: FORGETFUL,
    log: QUIET,
    now_ms: () => NOW_MS,
    refresh_ms: 3_600_000,
    snapshot: null,
  });
  for (const ids of ALL) {
    for (const kind of Object.keys(SEEDS) as StateKind[]) {
      for (const seed of SEEDS[kind]?.(ids) ?? []) {
        if (state.find(kind, seed.object_id) !== undefined) continue;
        const project_id = seed.of === "project" ? ids.project_id : null;
        const scope = { organization_id: ids.organization_id, project_id };
        await state.put(kind, seed.object_id, scope, seed.body);
      }
    }
  }
  return state;
}

/** All that is stored of the four projects and their organizations, but for these, as text. */
function dumpOthers(state: StateStore, own: readonly string[]): string {
  const kinds = Object.keys(STATE_KINDS) as StateKind[];
  const others = EVERYTHING.filter((mark) => !own.includes(mark));
  const objects = kinds.flatMap((kind) =>
    state
      .list(kind)
      .filter((object) => others.includes(object.project_id ?? object.organization_id ?? "")),
  );
  return JSON.stringify(objects);
}

interface World {
  readonly state: StateStore;
  readonly audited: AuditEntry[];
  ask(asker: Asker | AuthProblem, request: Request): Promise<{ status: number; text: string }>;
}

/** What a sender tells that sends nothing. */
const DELIVERED = { is_delivered: true, status_code: 200 } as const;

/** A fresh state and an application on the one engine. */
async function makeWorld(): Promise<World> {
  const state = await makeState();
  const audited: AuditEntry[] = [];
  let identity: Identity | null = null;
  const api = makeTestApi(test_engine.engine, {
    state,
    now_ms: () => NOW_MS,
    senders: { send: async () => DELIVERED, refuse: async () => null, can_email: true },
    audit: async (entry) => {
      audited.push(entry);
    },
    authenticate: () => {
      if (identity === null) throw new Error("Nobody asks.");
      return identity;
    },
  });
  return {
    state,
    audited,
    async ask(asker, request) {
      identity =
        typeof asker === "string"
          ? { problem: asker, message: "No." }
          : { actor: asker.actor, expires_at_ms: null };
      const response = await api.app.request(request);
      return { status: response.status, text: await readText(response) };
    },
  };
}

/** Longest that a stream of events is listened to, ms. */
const LISTEN_MS = 150;

/** The text of an answer; of a stream that does not end, what came in a while. */
async function readText(response: Response): Promise<string> {
  const is_stream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (!is_stream || response.body === null) return response.text();
  const reader = response.body.getReader();
  const timer = setTimeout(() => void reader.cancel(), LISTEN_MS);
  const parts: Uint8Array[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
  }
  clearTimeout(timer);
  return Buffer.concat(parts).toString();
}

let test_engine: TestEngine;
/** What the tables had of B1, which nothing below changes. */
let tables_of_b1: string[];

/** A call of a project with its mark in every text. */
function makeSeedSpan(ids: Ids, span_id: string, at_ms: number, changes: Partial<Span>): Span {
  const { mark, project_id, trace_id } = ids;
  const tags = new Attributes();
  tags.add(`${mark}-tag`, `${mark}-value`);
  return makeSpan({
    project_id,
    trace_id: idBytes(trace_id),
    span_id: idBytes(span_id),
    start_ns: BigInt(at_ms) * 1_000_000n,
    name: `${mark} span`,
    status: "error",
    status_message: `${mark} message`,
    provider: `${mark}-provider`,
    request_model: `${mark}-model`,
    response_model: `${mark}-model`,
    response_id: `${mark}-${span_id}`,
    error_type: `${mark}_error`,
    service_name: `${mark}-service`,
    environment: `${mark}-environment`,
    user_id: `${mark}-user`,
    session_id: `${mark}-session`,
    agent_name: `${mark}-agent`,
    price_id: `${mark}/price`,
    scope_name: `${mark}-scope`,
    reason: `${mark} reason`,
    tags,
    attributes: tags,
    resource_attributes: tags,
    ...changes,
  });
}

/** An attempt to tell a project something. */
async function insertDelivery({ mark, project_id }: Ids): Promise<void> {
  await test_engine.engine.command(loadQuery("insert_alert_delivery"), {
    project_id,
    attempted_ms: NOW_MS - 1_000,
    notice_id: `${mark}-notice`,
    channel_id: `channel-${mark}`,
    attempt: 1,
    delivery_id: `${mark}-delivery`,
    kind: "test",
    subject_id: `${mark}-subject`,
    channel_kind: "email",
    duration_ms: 1,
    outcome: "gave_up",
    status_code: 0,
    error: `${mark} error`,
    next_attempt_ms: 0,
  });
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  const spans = ALL.flatMap((ids) => [
    makeSeedSpan(ids, "a1a2a3a4a5a6a7a8", NOW_MS - 43_200_000, {}),
    makeSeedSpan(ids, "b1a2a3a4a5a6a7a8", NOW_MS - 43_000_000, {
      cost_status: "unpriced",
      cost: [],
      price_id: "",
    }),
    // In the last five minutes.
    makeSeedSpan(ids, "c1a2a3a4a5a6a7a8", NOW_MS - 60_000, {}),
  ]);
  await insertSpans(test_engine.engine, spans, 1);
  for (const ids of ALL) await insertDelivery(ids);
  const log = new AuditLog(test_engine.engine, "test");
  for (const { mark, organization_id, project_id } of ALL) {
    await log.write({
      organization_id,
      project_id,
      at_ms: NOW_MS - 1_000,
      actor_kind: "key",
      actor_id: `${mark}-actor`,
      actor_name: `${mark} actor`,
      action: "keys:manage",
      object_kind: "key",
      object_id: `key-${mark}`,
      outcome: "done",
      detail: JSON.stringify({ created: `${mark} detail` }),
      remote_address: "192.0.2.1",
      request_id: `${mark}-request`,
    });
  }
  tables_of_b1 = await dumpTables(B1);
});
afterAll(() => test_engine.close());

/** How many rows of a project every table has, and a sum of their hashes. */
async function dumpTables({ project_id }: Ids): Promise<string[]> {
  const { engine } = test_engine;
  const tables = await engine.query<{ table: string }>(
    `SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'project_id'
     AND table IN (SELECT name FROM system.tables WHERE engine LIKE '%MergeTree') ORDER BY table`,
  );
  const counts = tables.map(async ({ table }) => {
    const sql = `SELECT count() AS rows, sum(cityHash64(*)) AS hash FROM ${table} WHERE project_id = {project_id:String}`;
    const [row] = await engine.query<{ rows: string; hash: string }>(sql, { project_id });
    return `${table} ${row?.rows} ${row?.hash}`;
  });
  return Promise.all(counts);
}

// ---------------------------------------------------------------------------------------------------
// What it shows

describe("the table of requests", () => {
  test("has a row for every route, and every row is of a route", () => {
    const missing = ROUTES.filter(({ name }) => !Object.hasOwn(REQUESTS, name));
    expect(
      missing.map(({ name }) => name),
      "Add one line for each to REQUESTS of query-api/tenancy.test.ts: " +
        '"METHOD /path": row("its action", "project or organization"), with a body if it takes one',
    ).toEqual([]);
    const names = ROUTES.map(({ name }) => name);
    expect(Object.keys(REQUESTS).filter((name) => !names.includes(name))).toEqual([]);
  });

  test("says of every route the action and the object that the route has", () => {
    for (const { name, route } of ASKED) {
      const { action, of } = rowOf(name);
      expect({ name, action: route.action, of: route.of }).toEqual({ name, action, of });
    }
  });

  test("has a value for every name in a path, and a decision about every kind of state", () => {
    for (const { name, route } of ASKED) requestOf(name, route, at(A1));
    expect(Object.keys(SEEDS).toSorted(), "add a seed of the kind to SEEDS").toEqual(
      Object.keys(STATE_KINDS).toSorted(),
    );
  });

  test("has no route of one's own that needs more than the least role", () => {
    for (const { name, route } of ASKED) {
      if (route.of !== "self" || route.action === null) continue;
      expect(WHO[route.action][1], name).toContain("viewer");
    }
  });
});

test("A07, A08, A26: every actor reaches on every route what the table says, and nothing else", async () => {
  const state = await makeState();
  const audited: AuditEntry[] = [];
  const services = {
    engine: FORGETFUL,
    state,
    log: QUIET,
    version: "1",
    now_ms: () => NOW_MS,
    audit: async (entry: AuditEntry) => void audited.push(entry),
  };
  const before = dumpOthers(state, []);
  const wrong: unknown[] = [];
  const texts = new Map<string, string>();
  let asked = 0;
  for (const { name, route } of ASKED) {
    for (const asker of ASKERS) {
      for (const target of isChosen(route) ? [...ALL, NONE] : [A1]) {
        asked += 1;
        const expected = verdictOf(asker, name, target);
        const incoming = {
          raw: requestOf(name, route, at(target)),
          path: pathOf(route, target),
          remote_address: "",
          request_id: "",
          setHeader: () => {},
        };
        const found: { outcome: unknown } = { outcome: "not reached" };
        const handle = async () => {
          found.outcome = "reached";
        };
        const identity = { actor: asker.actor, expires_at_ms: null };
        try {
          const gate = { authenticate: () => identity };
          await answerRoute({ ...route, handle }, incoming, services, gate);
        } catch (error) {
          found.outcome = error instanceof ApiError ? error.status : error;
          const kind = `${name} ${String(found.outcome)}`;
          const text = error instanceof ApiError ? `${error.code} ${error.message}` : "";
          // What is another's and what is nobody's are told in the same words.
          if (found.outcome === 404 && (texts.get(kind) ?? text) !== text) wrong.push([kind, text]);
          texts.set(kind, text);
          if (marksOf(text).length > 0) wrong.push([kind, text]);
        }
        if (found.outcome === expected) continue;
        wrong.push({ name, asker: asker.actor.id, target: target.mark, expected, ...found });
      }
    }
  }
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(asked).toBeGreaterThan(ASKERS.length * ASKED.length);
  expect(dumpOthers(state, [])).toBe(before);
  // Refused acts stand in the log of whose key it was: never in that of the other organization.
  expect(audited.length).toBeGreaterThan(0);
  for (const entry of audited) {
    if (entry.actor.kind === "operator") continue;
    expect(entry.organization_id ?? A1.organization_id).toBe(A1.organization_id);
    expect(marksOf(JSON.stringify(entry)).filter((mark) => mark.startsWith("zqb"))).toEqual([]);
  }
});

function pathOf(route: Route, ids: Ids): Record<string, string> {
  const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
  return Object.fromEntries(names.map((name) => [name, PATH_VALUES[name]?.(ids) ?? ""]));
}

test("A07: without a key that holds every route answers the problem of the key, and nothing else", async () => {
  const world = await makeWorld();
  const before = dumpOthers(world.state, []);
  for (const { name, route } of ASKED) {
    if (route.action === null) continue;
    for (const [problem, { status, code }] of Object.entries(AUTH_PROBLEMS)) {
      const answer = await world.ask(problem as AuthProblem, requestOf(name, route, at(A1)));
      expect({ name, status: answer.status }).toEqual({ name, status });
      const error = { code, message: "No.", details: [] };
      expect(JSON.parse(answer.text), name).toEqual({ error });
    }
  }
  expect(dumpOthers(world.state, [])).toBe(before);
  expect(world.audited).toEqual([]);
});

/** Marks that an asker may see in the answer of a route about a project. */
function allowedMarks(asker: Asker, { of }: Row, target: Ids): readonly string[] {
  const is_operator = asker.actor.kind === "operator";
  if (of === "project") return ofProject(target);
  if (of === "organization") return ofOrganization(target);
  if (is_operator) return EVERYTHING;
  return asker.is_of_organization
    ? ofOrganization(A1)
    : asker.within.flatMap((ids) => ofProject(ids));
}

/** Whose things a request may change. */
function changeableMarks({ of }: Row, target: Ids): readonly string[] {
  if (of === "project") return [target.mark];
  return of === "organization" ? ofOrganization(target) : [];
}

function isGood(route: Route, { status }: Row): (found: number) => boolean {
  const wanted = status ?? route.status ?? 200;
  return (found) => found === wanted;
}

describe.each(ASKED.filter(({ route }) => route.action !== null))("$name", ({ name, route }) => {
  test("A08, A09: answers what is one's own, with no word of another project or organization", async () => {
    const asked = rowOf(name);
    const shared = await makeWorld();
    for (const [asker, target] of readsLedger(name) ? OWN_LEDGER : OWN) {
      if ((!isChosen(route) && target !== A1) || verdictOf(asker, name, target) !== "reached")
        continue;
      // What changes something begins anew each time.
      const world = route.method === "GET" ? shared : await makeWorld();
      const own = allowedMarks(asker, asked, target);
      const before = dumpOthers(world.state, changeableMarks(asked, target));
      const { status, text } = await world.ask(asker, requestOf(name, route, at(target)));
      const where = `${asker.actor.id} about ${target.mark}: ${status} ${text.slice(0, 300)}`;
      expect(isGood(route, asked)(status), where).toBe(true);
      expect(
        marksOf(text).filter((mark) => !own.includes(mark)),
        where,
      ).toEqual([]);
      expect(dumpOthers(world.state, changeableMarks(asked, target)), where).toBe(before);
      // A key of a project has no organization to list.
      const is_told = asker.is_of_organization || route.of === "project";
      if (route.method === "GET" && asked.is_plain !== true && is_told) {
        expect(marksOf(text), `the seeds do not reach this answer: ${where}`).not.toEqual([]);
      }
    }
  });

  test("A08: of what is another's it answers the same bytes as of what nobody has, and changes nothing", async () => {
    const world = await makeWorld();
    const before = dumpOthers(world.state, []);
    // The scope of the other, and the other's things within one's own scope.
    const others: readonly [Asker, readonly Target[]][] = [
      [PROJECT_KEY, [at(A2), at(B1), { scope: A1, things: B1 }, { scope: A1, things: A2 }]],
      [ORGANIZATION_KEY, [at(B1), at(B2), { scope: A1, things: B1 }]],
      [MEMBER_OF_ONE, [at(A2), at(B1), { scope: A1, things: B1 }]],
      [OPERATOR, [{ scope: A1, things: B1 }]],
    ];
    for (const [asker, targets] of others) {
      for (const target of targets) {
        const scope = target.scope === A1 ? A1 : NONE;
        // Within one's own scope only things that are named in the path can be another's.
        const is_same = isSameRequest(name, route, target, at(A1));
        if (!isChosen(route) || is_same) continue;
        const { status, text } = await world.ask(asker, requestOf(name, route, target));
        const none = await world.ask(asker, requestOf(name, route, { scope, things: NONE }));
        const where = `${asker.actor.id} about ${target.scope.mark}, ${target.things.mark}: ${text}`;
        // What the request itself said may be said again.
        const said = text.replaceAll(target.things.mark, NONE.mark);
        expect({ status, text: said }, where).toEqual(none);
        expect([400, 403, 404], where).toContain(status);
        expect(marksOf(said), where).toEqual([]);
      }
    }
    expect(dumpOthers(world.state, [])).toBe(before);
  });
});

function isSameRequest(name: string, route: Route, a: Target, b: Target): boolean {
  const { body } = rowOf(name);
  const bodies = [a, b].map(({ things }) => JSON.stringify(body?.(things)));
  return requestOf(name, route, a).url === requestOf(name, route, b).url && bodies[0] === bodies[1];
}

describe("every administrative act", () => {
  const acts = ASKED.filter(
    ({ route }) =>
      route.method !== "GET" && route.action !== null && ACTIONS[route.action].scope === "admin",
  );

  test.each(acts)("$name is in the audit log, done and refused", async ({ name, route }) => {
    const asked = rowOf(name);
    const world = await makeWorld();
    const done = await world.ask(OPERATOR, requestOf(name, route, at(A1)));
    expect(isGood(route, asked)(done.status), done.text).toBe(true);
    if (done.status < 300) {
      expect(world.audited.map(({ outcome }) => outcome)).toContain("done");
      for (const { object_kind, object_id, action, detail } of world.audited) {
        expect([object_kind, object_id, action]).not.toContain("");
        expect(object_kind).not.toBe("route");
        const secret = (JSON.parse(done.text === "" ? "{}" : done.text) as { key?: string }).key;
        if (secret !== undefined) expect(JSON.stringify(detail)).not.toContain(secret);
      }
    }
    world.audited.length = 0;
    const reader = makeAsker("reader", { scopes: ["read"] });
    const refused = await world.ask(reader, requestOf(name, route, at(A1)));
    expect(refused.status).toBe(403);
    expect(world.audited).toMatchObject([{ outcome: "refused", actor: { id: "reader" } }]);
  });

  test("has a strict body: A27: what is not to be set is refused", async () => {
    const world = await makeWorld();
    const before = dumpOthers(world.state, []);
    for (const { name, route } of acts) {
      const { body } = rowOf(name);
      if (body === undefined) continue;
      for (const field of ["is_admin", "organization_id", "created_at", "__proto__", "owner"]) {
        const given = JSON.stringify({ ...(body(A1) as object), marker: 1 });
        const request = new Request(requestOf(name, route, at(A1)), {
          method: route.method,
          body: given.replace('"marker"', JSON.stringify(field)),
        });
        const { status, text } = await world.ask(OPERATOR, request);
        expect([name, field, status], text).toEqual([name, field, 400]);
      }
    }
    expect(dumpOthers(world.state, [])).toBe(before);
  });
});

test("A09: an organization or project that a query names beside the key is an unknown parameter", async () => {
  const world = await makeWorld();
  for (const { name, route } of ASKED) {
    if (route.action === null || route.method !== "GET") continue;
    if (verdictOf(PROJECT_KEY, name, A1) !== "reached") continue;
    for (const parameter of ["project_id", "organization_id", "tenant", "org"]) {
      const plain = requestOf(name, route, at(A1));
      const url = new URL(plain.url);
      url.searchParams.set(parameter, B1.project_id);
      const { status } = await world.ask(PROJECT_KEY, new Request(url));
      expect([name, parameter, status]).toEqual([name, parameter, 400]);
    }
  }
});

test("A10: a cursor of another project is no way to what it was of", async () => {
  const world = await makeWorld();
  let tried = 0;
  for (const { name, route } of ASKED) {
    if (!Object.hasOwn(route.query?.shape ?? {}, "cursor")) continue;
    for (const forged of await cursorsOf(world, name, route)) {
      tried += 1;
      const url = new URL(requestOf(name, route, at(A1)).url);
      url.searchParams.set("cursor", forged);
      if (Object.hasOwn(route.query?.shape ?? {}, "limit")) url.searchParams.set("limit", "1");
      const { status, text } = await world.ask(ORGANIZATION_KEY, new Request(url));
      expect([200, 400], `${name} ${text}`).toContain(status);
      expect(
        marksOf(text).filter((mark) => mark.startsWith("zqb")),
        name,
      ).toEqual([]);
    }
  }
  expect(tried).toBeGreaterThan(5);
});

/** The cursor that the other's first page ends with, if there is one, and texts that are none. */
async function cursorsOf(world: World, name: string, route: Route): Promise<string[]> {
  const url = new URL(requestOf(name, route, at(B1)).url);
  if (Object.hasOwn(route.query?.shape ?? {}, "limit")) url.searchParams.set("limit", "1");
  const { status, text } = await world.ask(OPERATOR, new Request(url));
  const next = status === 200 ? (JSON.parse(text) as { next_cursor?: unknown }).next_cursor : null;
  const forged = Buffer.from(JSON.stringify({ project_id: B1.project_id })).toString("base64url");
  return [...(typeof next === "string" ? [next] : []), "x", forged];
}

test("A08: after all of this the tables have of another project what they had before", async () => {
  expect(tables_of_b1.length).toBeGreaterThan(5);
  expect(tables_of_b1.filter((line) => !line.includes(" 0 "))).not.toEqual([]);
  expect(await dumpTables(B1)).toEqual(tables_of_b1);
});
