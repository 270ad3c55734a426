/**
 * Who may do what: actors, roles, scopes, actions, and the one function that decides.
 *
 * Invariant: everything is refused that is not in the table. A key never gives more than both its scope
 * and, when it is a member's, the member's role (research/reliability.md 5.2).
 */

/** Roles of members, each with all that the ones before it may do. */
export const ROLES = ["viewer", "editor", "owner"] as const;
export type Role = (typeof ROLES)[number];

/** Scopes of keys: to send telemetry, to read answers, to change things (and read them). */
export const SCOPES = ["ingest", "read", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

interface Permission {
  /** The scope a key needs. */
  readonly scope: Scope;
  /** The least role that a member needs; null: roles do not matter. */
  readonly role: Role | null;
  /** Whether only the whole installation may be acted on: its operator alone. */
  readonly is_operators?: boolean;
  readonly description: string;
}

/** What can be done, and what it takes. */
export const ACTIONS = {
  "ingest:write": { scope: "ingest", role: null, description: "Send telemetry." },
  "usage:read": { scope: "read", role: "viewer", description: "Read usage, calls and traces." },
  "settings:read": {
    scope: "read",
    role: "viewer",
    description: "Read the project, its budgets, alert rules and deliveries.",
  },
  "budgets:write": { scope: "admin", role: "editor", description: "Change budgets." },
  "alerts:write": {
    scope: "admin",
    role: "editor",
    description: "Change alert rules and where alerts go.",
  },
  "data:export": { scope: "admin", role: "editor", description: "Export all data of a project." },
  "data:erase": { scope: "admin", role: "owner", description: "Erase a user's data." },
  "project:write": {
    scope: "admin",
    role: "owner",
    description: "Change a project: name, limits, retention.",
  },
  "keys:manage": { scope: "admin", role: "owner", description: "List, make and revoke keys." },
  "members:read": { scope: "read", role: "viewer", description: "List members." },
  "members:manage": { scope: "admin", role: "owner", description: "Add and change members." },
  "organization:read": { scope: "read", role: "viewer", description: "Read the organization." },
  "organization:write": {
    scope: "admin",
    role: "owner",
    description: "Change the organization and make projects.",
  },
  "audit:read": { scope: "admin", role: "owner", description: "Read the audit log." },
  "installation:manage": {
    scope: "admin",
    role: "owner",
    is_operators: true,
    description: "Make organizations; read what concerns the whole installation.",
  },
} as const satisfies Record<string, Permission>;

export type Action = keyof typeof ACTIONS;
export const ACTION_NAMES = Object.keys(ACTIONS) as Action[];

/** Who asks. Made from a key, or the operator of an installation that has none. */
export interface Actor {
  readonly kind: "operator" | "key";
  /** Id of the key; "local" for the operator. */
  readonly id: string;
  /** Name that people gave it, for the audit log. */
  readonly name: string;
  /** null: any organization, the operator's right. */
  readonly organization_id: string | null;
  /** null: any project of the organization. */
  readonly project_id: string | null;
  readonly scopes: readonly Scope[];
  /** The member whose key it is; null for a key of a service. */
  readonly member_id: string | null;
  /**
   * The role of that member for an object; null when the member has none there. Asked at each request,
   * so that a role that was taken away is gone at once.
   */
  readonly roleFor: ((object: AccessObject) => Role | null) | null;
}

/** What is acted on. A null project is the organization itself, a null organization the installation. */
export interface AccessObject {
  readonly organization_id: string | null;
  readonly project_id: string | null;
}

export type Verdict =
  | { readonly is_allowed: true }
  /** `is_visible`: whether the actor may know that the object exists (403), or not (404). */
  | { readonly is_allowed: false; readonly is_visible: boolean; readonly reason: string };

/** The operator of the installation: local, without a key, or with the key of the settings. */
export function makeOperator(id = "local", scopes: readonly Scope[] = SCOPES): Actor {
  return {
    kind: "operator",
    id,
    name: "operator",
    organization_id: null,
    project_id: null,
    scopes,
    member_id: null,
    roleFor: null,
  };
}

/** Decides whether an actor may do something to an object. Pure. */
export function can(actor: Actor, action: Action, object: AccessObject): Verdict {
  const permission: Permission = ACTIONS[action];
  // Said first: that there is an installation is no secret, and nothing is told of the object.
  if (permission.is_operators === true && actor.kind !== "operator") {
    return refuse(
      `Only the operator of the installation may do this (${action}): with the key that SPANLEDGER_API_KEY sets.`,
    );
  }
  if (!isWithin(actor, object)) {
    return { is_allowed: false, is_visible: false, reason: "There is no such thing here." };
  }
  const role = actor.roleFor === null ? null : actor.roleFor(object);
  if (actor.roleFor !== null && role === null) {
    return { is_allowed: false, is_visible: false, reason: "There is no such thing here." };
  }
  const has_scope =
    actor.scopes.includes(permission.scope) ||
    (permission.scope === "read" && actor.scopes.includes("admin"));
  if (!has_scope) return refuse(`The key lacks the scope ${permission.scope} (${action}).`);
  if (role !== null && permission.role !== null && !isAtLeast(role, permission.role)) {
    return refuse(`This needs the role ${permission.role}; the member is ${role} (${action}).`);
  }
  return { is_allowed: true };
}

/** Whether a role has all that another has. */
export function isAtLeast(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

function refuse(reason: string): Verdict {
  return { is_allowed: false, is_visible: true, reason };
}

function isWithin(actor: Actor, object: AccessObject): boolean {
  if (actor.organization_id === null) return true;
  if (actor.organization_id !== object.organization_id) return false;
  return actor.project_id === null || actor.project_id === object.project_id;
}

/** Why a request has no actor. `unavailable`: keys cannot be read now; never told as a wrong key. */
export const AUTH_PROBLEMS = {
  missing: { status: 401, code: "unauthenticated" },
  malformed: { status: 401, code: "unauthenticated" },
  unknown: { status: 401, code: "unauthenticated" },
  expired: { status: 401, code: "key_expired" },
  revoked: { status: 401, code: "key_revoked" },
  unavailable: { status: 503, code: "keys_unavailable" },
} as const;
export type AuthProblem = keyof typeof AUTH_PROBLEMS;

/** Who a request is from. The message says what to do next and never has the key. */
export type Identity =
  | { readonly actor: Actor; readonly expires_at_ms: number | null }
  | { readonly problem: AuthProblem; readonly message: string };
