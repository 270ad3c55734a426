/**
 * `/v1/keys` and `/v1/orgs/{organization_id}/keys`: keys of a project, and of an organization with all its
 * projects. The same five routes for both.
 *
 * Invariant: a key is shown once, in the answer that makes it; each act is in the audit log before it is
 * answered.
 */
import {
  DEFAULT_OVERLAP_S,
  KeyCreate,
  KeyRotate,
  KeysAnswer,
  KeyView,
  NewKeyAnswer,
} from "../../schemas/api-keys.ts";
import { ListQuery } from "../../schemas/api-tenancy.ts";
import type { Key, StateObject } from "../../schemas/state.ts";
import { roleOfMember } from "../../state/authenticator.ts";
import { lastUsedMs } from "../../state/key-use.ts";
import {
  findExcess,
  type MadeKey,
  renewedExpiry,
  replaceKey,
  revokeKey,
  storeKey,
} from "../../state/keys.ts";
import { notFound } from "../answer.ts";
import { ApiError } from "../errors.ts";
import { pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

/** Keys of one organization that hold; old ones are revoked before there are more. */
export const MAX_LIVE_KEYS = 10_000;

type KeyRequest<Body = unknown> = Pick<
  ApiRequest<unknown, Body>,
  "services" | "actor" | "organization_id" | "project_id" | "path" | "body" | "now_ms" | "audit"
>;

/** A key as it is answered. */
export function viewKey(
  { body }: StateObject<"key">,
  { services, now_ms }: Pick<ApiRequest, "services" | "now_ms">,
): KeyView {
  const { sha256: _secret, ...shown } = body;
  const used_ms = lastUsedMs(services.state, body.key_id);
  const is_expired = body.expires_at !== null && Date.parse(body.expires_at) < now_ms;
  return {
    ...shown,
    status: body.revoked_at !== null ? "revoked" : is_expired ? "expired" : "active",
    last_used_at: used_ms === null ? null : new Date(used_ms).toISOString(),
  };
}

/** The keys that a request is about: of the project, or all of the organization. */
function listKeys({ services, organization_id, project_id }: KeyRequest): StateObject<"key">[] {
  const scope = project_id === "" ? { organization_id } : { organization_id, project_id };
  return services.state.list("key", scope);
}

function readKey(request: KeyRequest): StateObject<"key"> {
  const { services, organization_id, project_id, path } = request;
  const found = services.state.find("key", path["key_id"] ?? "");
  const is_here =
    found?.organization_id === organization_id &&
    (project_id === "" || found.project_id === project_id);
  // Another's key is as none.
  if (found === undefined || !is_here) throw notFound();
  return found;
}

function refuse(path: string, message: string): ApiError {
  return new ApiError(400, "invalid_body", `${path} ${message}`, [{ path, message }]);
}

/** Throws for what a key may not have, whoever makes it. */
function checkKey(
  { services, actor, organization_id, now_ms }: KeyRequest,
  key: Pick<Key, "project_id" | "scopes" | "allowed_service_name" | "expires_at" | "member_id">,
): void {
  const { state } = services;
  const excess = findExcess(state, actor, key);
  if (excess !== null) throw new ApiError(403, "forbidden", excess);
  if (key.expires_at !== null && Date.parse(key.expires_at) <= now_ms) {
    throw refuse("expires_at", "must lie in the future");
  }
  const object = { organization_id, project_id: key.project_id };
  if (key.member_id !== null && roleOfMember(state, key.member_id, object) === null) {
    throw refuse("member_id", "is no member with a role here");
  }
  const live = state.list("key", { organization_id }).filter(({ body }) => isLive(body, now_ms));
  if (live.length >= MAX_LIVE_KEYS) {
    const message = `The organization has ${MAX_LIVE_KEYS} keys; revoke some first.`;
    throw new ApiError(409, "too_many_keys", message);
  }
}

function isLive({ revoked_at, expires_at }: Key, now_ms: number): boolean {
  return revoked_at === null && (expires_at === null || Date.parse(expires_at) >= now_ms);
}

async function createKey(request: KeyRequest<KeyCreate>): Promise<NewKeyAnswer> {
  const { services, actor, organization_id, project_id, body, now_ms } = request;
  const wanted = {
    organization_id,
    project_id: project_id === "" ? null : project_id,
    name: body.name,
    scopes: body.scopes,
    expires_at: body.expires_at ?? null,
    allowed_service_name: body.allowed_service_name ?? null,
    member_id: body.member_id ?? null,
  };
  checkKey(request, wanted);
  const made = await storeKey(services.state, actor, wanted, now_ms);
  const { organization_id: _organization, ...created } = wanted;
  await request.audit({
    object_kind: "key",
    object_id: made.object.object_id,
    detail: { created },
  });
  return showKey(made, request);
}

async function rotateKey(request: KeyRequest<KeyRotate>): Promise<NewKeyAnswer> {
  const { services, actor, body, now_ms } = request;
  const old = readKey(request);
  if (!isLive(old.body, now_ms)) {
    const message = "The key does not hold any more; make a new one.";
    throw new ApiError(409, "key_not_active", message);
  }
  const given = body.expires_at;
  const expires_at = given === undefined ? renewedExpiry(old.body, now_ms) : given;
  checkKey(request, { ...old.body, expires_at });
  const overlap_s = body.overlap_s ?? DEFAULT_OVERLAP_S;
  const change = { overlap_ms: overlap_s * 1000, expires_at };
  const made = await replaceKey(services.state, actor, old, change, now_ms);
  const detail = { rotated: { replaced_by: made.object.object_id, overlap_s, expires_at } };
  await request.audit({ object_kind: "key", object_id: old.object_id, detail });
  return showKey(made, request);
}

async function endKey(request: KeyRequest): Promise<KeyView> {
  const known = readKey(request);
  const revoked = await revokeKey(request.services.state, known, request.now_ms);
  const detail = { revoked: { name: known.body.name, at: revoked.body.revoked_at } };
  await request.audit({ object_kind: "key", object_id: known.object_id, detail });
  return viewKey(revoked, request);
}

function showKey({ object, key }: MadeKey, request: KeyRequest): NewKeyAnswer {
  return { ...viewKey(object, request), key };
}

/** The routes below a path; what is of them says what their keys are of. */
function makeRoutes(of: "project" | "organization", path: string): Route[] {
  const common = { tag: "Keys", of, action: "keys:manage" } as const;
  const whose = of === "project" ? "a project" : "an organization, with those of its projects";
  const reach =
    of === "project"
      ? "The key is of the project alone."
      : "The key is of the whole organization; to send with it, name a project in the header " +
        "x-spanledger-project.";
  return [
    defineRoute({
      ...common,
      method: "GET",
      path,
      summary: `The keys of ${whose}`,
      query: ListQuery,
      answer: KeysAnswer,
      handle: async (request) => {
        const { page, next_cursor } = pageOf(listKeys(request), request.query);
        return { keys: page.map((key) => viewKey(key, request)), next_cursor };
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path,
      summary: `Makes a key of ${of === "project" ? "a project" : "an organization"}`,
      description: `The answer has the key, once. ${reach}`,
      body: KeyCreate,
      answer: NewKeyAnswer,
      status: 201,
      errors: [409],
      handle: createKey,
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: `${path}/{key_id}`,
      summary: "A key, without the key itself",
      answer: KeyView,
      handle: async (request) => viewKey(readKey(request), request),
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: `${path}/{key_id}/rotate`,
      summary: "Makes a key like this one, which then ends after an overlap",
      description: "Both hold during the overlap, a day when nothing is said.",
      body: KeyRotate,
      answer: NewKeyAnswer,
      status: 201,
      errors: [409],
      handle: rotateKey,
    }),
    defineRoute({
      ...common,
      method: "DELETE",
      path: `${path}/{key_id}`,
      summary: "Revokes a key; no collector takes it after five seconds",
      description: "It stays in the list. A key that was revoked stays so.",
      answer: KeyView,
      errors: [409],
      handle: endKey,
    }),
  ];
}

/** Keys. */
export const KEY_ROUTES: readonly Route[] = [
  ...makeRoutes("project", "/v1/keys"),
  ...makeRoutes("organization", "/v1/orgs/{organization_id}/keys"),
];
