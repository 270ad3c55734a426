/**
 * Whose request it is, by the key in its headers: the one decision that OTLP over HTTP and gRPC and the
 * query API share.
 *
 * Invariant: a key that cannot be judged now is "unavailable" (503) and never wrong (401), which would
 * make its sender drop what it has; a malformed one is told by its checksum, without a lookup.
 */
import {
  type AccessObject,
  type Actor,
  AUTH_PROBLEMS,
  type AuthProblem,
  can,
  type Identity,
  isAtLeast,
  makeOperator,
  type Role,
} from "../schemas/access.ts";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import { hashKey, isDigest, type KeyHeaders, keyOfHeaders, readKeyId } from "../schemas/keys.ts";
import { PROJECT_HEADER, type Sender } from "../schemas/sender.ts";
import { DEFAULT_PROJECT_ID, type Key } from "../schemas/state.ts";
import type { StateStore } from "./store.ts";
import { findProject } from "./tenancy.ts";

export interface AuthenticatorOptions {
  readonly state: StateStore;
  readonly now_ms: () => number;
  /** The operator's key; null: none is set. */
  readonly api_key: string | null;
  /** Whether requests without a key are the operator's while no key is stored: on loopback alone. */
  readonly allows_keyless: boolean;
  /** Age of what is known of keys up to which an unknown key is wrong and not unavailable, ms. */
  readonly max_stale_ms: number;
  /** Told of the stored key of each request that it let in. */
  readonly noteUse?: (key_id: string) => void;
}

/** A key holds for so long after its end, ms: the clocks of two machines differ. */
export const EXPIRY_LEEWAY_MS = 60_000;

const MESSAGES: Readonly<Record<AuthProblem, string>> = {
  missing:
    "No key. Send one as `Authorization: Bearer <key>`, as `x-api-key: <key>`, or as the password of " +
    "`Authorization: Basic`.",
  malformed:
    "No valid key: this is none of Spanledger. Look for a character too many or too few, and send it " +
    "as `Authorization: Bearer <key>` or `x-api-key: <key>`.",
  unknown:
    "No valid key: it is not one of this installation. Send another as `Authorization: Bearer <key>` " +
    "or `x-api-key: <key>`.",
  expired: "The key has expired. Make a new one: `spanledger keys create`, or POST /v1/keys.",
  revoked: "The key was revoked. Make a new one: `spanledger keys create`, or POST /v1/keys.",
  unavailable: "Keys cannot be checked at the moment; send again.",
};

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #api_key_sha256: string | null;
  /** A stored key that was not revoked when it was last looked for. */
  #live_key: string | null = null;
  #searched_revision = -1;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    const { api_key } = options;
    this.#api_key_sha256 = api_key === null ? null : hashKey(api_key).toString("hex");
  }

  /** Whether any key is stored that was not revoked. An expired one counts: its end opens no door. */
  hasKeys(): boolean {
    const { state } = this.#options;
    const isLive = (key: Key | undefined) => key !== undefined && key.revoked_at === null;
    if (this.#live_key !== null && isLive(state.find("key", this.#live_key)?.body)) return true;
    if (this.#searched_revision === state.revision) return false;
    this.#searched_revision = state.revision;
    const live = state.list("key").find(({ body }) => isLive(body));
    this.#live_key = live?.object_id ?? null;
    return live !== undefined;
  }

  /** Whether a key is needed, as far as that is known. */
  isLocked(): boolean {
    return this.#api_key_sha256 !== null || !this.#options.allows_keyless || this.hasKeys();
  }

  /** Who a request is from. Without a key, while nothing is known of keys: nobody, for now. */
  identify(headers: KeyHeaders): Identity {
    const is_undecided = !this.#options.state.isKnown && !this.isLocked();
    return this.#identify(headers, is_undecided ? refuse("unavailable") : operator());
  }

  /** `keyless`: who it is from when no key is needed. */
  #identify(headers: KeyHeaders, keyless: Identity): Identity {
    const key = keyOfHeaders(headers);
    if (key === null) return this.isLocked() ? refuse("missing") : keyless;
    const digest = hashKey(key);
    if (isDigest(digest, this.#api_key_sha256)) return operator();
    const key_id = readKeyId(key);
    // Without keys anything may stand in their place: SDKs are set up with words that mean nothing.
    if (key_id === null) return this.isLocked() ? refuse("malformed") : keyless;
    const stored = this.#options.state.find("key", key_id)?.body;
    if (isDigest(digest, stored?.sha256 ?? null) && stored !== undefined)
      return this.#judge(stored);
    if (!this.#isFresh()) return refuse("unavailable");
    return this.isLocked() ? refuse("unknown") : keyless;
  }

  /**
   * The sender of an export request. Throws as `Authenticate` in schemas/sender.ts says. Without a key,
   * while nothing is known of keys, it is the operator: sending on this machine reads nothing, and spans
   * must not be lost for a ClickHouse that comes later than they do.
   */
  findSender(headers: KeyHeaders): Sender {
    const identity = this.#identify(headers, operator());
    if ("problem" in identity) throw toError(identity);
    const { actor } = identity;
    const stored =
      actor.kind === "key" ? this.#options.state.find("key", actor.id)?.body : undefined;
    return {
      project_id: this.#findProject(actor, headers[PROJECT_HEADER]),
      key_id: stored?.key_id ?? "",
      allowed_service_name: stored?.allowed_service_name ?? null,
    };
  }

  /** What is known of keys is not older than an unknown key may be refused for. */
  #isFresh(): boolean {
    const { state, max_stale_ms } = this.#options;
    return state.isKnown && state.age_ms !== null && state.age_ms <= max_stale_ms;
  }

  #judge(key: Key): Identity {
    const { state, now_ms, noteUse } = this.#options;
    if (key.revoked_at !== null) return refuse("revoked");
    const expires_at_ms = key.expires_at === null ? null : Date.parse(key.expires_at);
    if (expires_at_ms !== null && expires_at_ms + EXPIRY_LEEWAY_MS < now_ms()) {
      return refuse("expired");
    }
    noteUse?.(key.key_id);
    return { actor: makeActor(key, state), expires_at_ms };
  }

  #findProject(actor: Actor, named: string | string[] | undefined): string {
    const is_everywhere = actor.organization_id === null;
    const asked = named ?? actor.project_id ?? (is_everywhere ? DEFAULT_PROJECT_ID : undefined);
    const project = typeof asked === "string" ? findProject(this.#options.state, asked) : undefined;
    const organization_id = project?.organization_id ?? actor.organization_id;
    const object = { organization_id, project_id: project?.object_id ?? actor.project_id };
    const verdict = can(actor, "ingest:write", object);
    if (!verdict.is_allowed && verdict.is_visible) {
      throw new PermanentError("forbidden", verdict.reason);
    }
    if (actor.project_id !== null && named !== undefined && named !== actor.project_id) {
      throw new PermanentError(
        "forbidden",
        `The key is of one project alone; send without ${PROJECT_HEADER}, or with its own.`,
      );
    }
    if (project !== undefined && verdict.is_allowed) return project.object_id;
    if (actor.project_id !== null) {
      throw new PermanentError(
        "forbidden",
        "The key may not send any more: its project has gone, or its member has no role there.",
      );
    }
    const message =
      named === undefined
        ? `The key is of an organization: name one of its projects in the header ${PROJECT_HEADER}.`
        : `${PROJECT_HEADER} names no project that the key may send to.`;
    throw new PermanentError("project_required", message);
  }
}

/** The role of a member for an object; null when it has none there, or is no member any more. */
export function roleOfMember(
  state: StateStore,
  member_id: string,
  { organization_id, project_id }: AccessObject,
): Role | null {
  const member = state.find("member", member_id)?.body;
  if (member === undefined || member.organization_id !== organization_id) return null;
  const roles = [
    ...(member.is_project_only ? [] : [member.role]),
    ...member.project_roles.flatMap((own) => (own.project_id === project_id ? [own.role] : [])),
  ];
  return roles.reduce<Role | null>(
    (best, role) => (best === null || isAtLeast(role, best) ? role : best),
    null,
  );
}

/** The actor of a stored key; the role of its member is asked for at each request. */
export function makeActor(key: Key, state: StateStore): Actor {
  const { key_id, name, organization_id, project_id, scopes, member_id } = key;
  return {
    kind: "key",
    id: key_id,
    name,
    organization_id,
    project_id,
    scopes,
    member_id,
    roleFor: member_id === null ? null : (object) => roleOfMember(state, member_id, object),
  };
}

function operator(): Identity {
  return { actor: makeOperator(), expires_at_ms: null };
}

function refuse(problem: AuthProblem): { problem: AuthProblem; message: string } {
  return { problem, message: MESSAGES[problem] };
}

function toError({ problem, message }: { problem: AuthProblem; message: string }): Error {
  const { status, code } = AUTH_PROBLEMS[problem];
  return status === 503 ? new RetryableError(code, message) : new PermanentError(code, message);
}
