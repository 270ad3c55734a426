/**
 * `/v1/orgs/{organization_id}/members`: people and their roles.
 *
 * Invariant: an organization that has an owner keeps one, whatever is changed at the same time; nobody
 * gives a role in a project of another organization (research/reliability.md A26).
 */
import {
  MemberChange,
  MemberCreate,
  MembersAnswer,
  MemberView,
  ListQuery,
} from "../../schemas/api-tenancy.ts";
import type { Member, StateObject } from "../../schemas/state.ts";
import type { StateStore } from "../../state/store.ts";
import { findProject } from "../../state/tenancy.ts";
import { notFound } from "../answer.ts";
import { ApiError } from "../errors.ts";
import { expectedVersion, pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

const TAG = "Members";

/** Members of one organization. */
export const MAX_MEMBERS = 10_000;

/** Changes of members, one after the other: each must see the owners that the one before left. */
const turns = new WeakMap<StateStore, Promise<unknown>>();

function inTurn<Result>(state: StateStore, run: () => Promise<Result>): Promise<Result> {
  const turn = (turns.get(state) ?? Promise.resolve()).then(async () => {
    // And what another process changed.
    await state.refresh();
    return run();
  });
  const settled = turn.catch(() => {});
  turns.set(state, settled);
  return turn;
}

/** A member as it is answered. */
export function viewMember({ body, version }: StateObject<"member">): MemberView {
  return { ...body, version };
}

function readMember({ services, organization_id, path }: ApiRequest): StateObject<"member"> {
  const found = services.state.find("member", path["member_id"] ?? "");
  // Another organization's member is as none.
  if (found === undefined || found.organization_id !== organization_id) throw notFound();
  return found;
}

/** Whether a member is an owner of the whole organization. */
function isOwner({ role, is_project_only }: Pick<Member, "role" | "is_project_only">): boolean {
  return role === "owner" && !is_project_only;
}

/** Throws when a member is the last owner; `stays` says whether it is one afterwards. */
function refuseLastOwner(state: StateStore, member: StateObject<"member">, stays: boolean): void {
  if (stays || !isOwner(member.body)) return;
  const { organization_id, object_id } = member;
  const others = state
    .list("member", { organization_id })
    .filter((other) => other.object_id !== object_id && isOwner(other.body));
  if (others.length > 0) return;
  const message = "This is the last owner of the organization; make another one first.";
  throw new ApiError(403, "last_owner", message);
}

/** Throws for what a member's body says that does not hold in the organization. */
function checkMember(state: StateStore, member: Member): void {
  const { organization_id, member_id, email } = member;
  for (const [index, { project_id }] of member.project_roles.entries()) {
    if (findProject(state, project_id)?.organization_id === organization_id) continue;
    const message = "is no project of this organization";
    const path = `project_roles.${index}.project_id`;
    throw new ApiError(400, "invalid_body", `${path} ${message}`, [{ path, message }]);
  }
  const others = state
    .list("member", { organization_id })
    .filter(({ object_id }) => object_id !== member_id);
  if (others.length >= MAX_MEMBERS) {
    throw new ApiError(409, "too_many_members", "The organization has too many members.");
  }
  if (others.some(({ body }) => body.email.toLowerCase() === email.toLowerCase())) {
    const message = "The organization has a member with this e-mail address.";
    throw new ApiError(409, "member_exists", message, [{ path: "email", message }]);
  }
}

function addMember(request: ApiRequest<unknown, MemberCreate>): Promise<MemberView> {
  const { services, organization_id, now_ms } = request;
  const { state } = services;
  return inTurn(state, async () => {
    const { project_roles = [], is_project_only = false, ...given } = request.body;
    const member: Member = {
      ...given,
      project_roles,
      is_project_only,
      member_id: `member-${crypto.randomUUID()}`,
      organization_id,
      created_at: new Date(now_ms).toISOString(),
    };
    checkMember(state, member);
    const scope = { organization_id, project_id: null };
    const made = await state.put("member", member.member_id, scope, member, 0);
    const { email, role } = member;
    await request.audit({
      object_kind: "member",
      object_id: member.member_id,
      detail: { created: { email, role, project_roles, is_project_only } },
    });
    return viewMember(made);
  });
}

function changeMember(request: ApiRequest<unknown, MemberChange>): Promise<MemberView> {
  const { services, organization_id, raw } = request;
  const { state } = services;
  return inTurn(state, async () => {
    const known = readMember(request);
    const { version, ...changes } = request.body;
    const before = known.body;
    // What was not given is not there, so nothing becomes undefined.
    const after = { ...before, ...changes } as Member;
    refuseLastOwner(state, known, isOwner(after));
    checkMember(state, after);
    const scope = { organization_id, project_id: null };
    const expected = expectedVersion(raw, version, known.version);
    const next = await state.put("member", known.object_id, scope, after, expected);
    const names = Object.keys(changes) as (keyof typeof changes)[];
    await request.audit({
      object_kind: "member",
      object_id: known.object_id,
      detail: {
        before: Object.fromEntries(names.map((name) => [name, before[name]])),
        after: Object.fromEntries(names.map((name) => [name, after[name]])),
      },
    });
    return viewMember(next);
  });
}

function removeMember(request: ApiRequest): Promise<undefined> {
  const { services, raw } = request;
  return inTurn(services.state, async () => {
    const known = readMember(request);
    refuseLastOwner(services.state, known, false);
    const expected = expectedVersion(raw, undefined, known.version);
    await services.state.remove("member", known.object_id, expected);
    const { email, role } = known.body;
    await request.audit({
      object_kind: "member",
      object_id: known.object_id,
      detail: { deleted: { email, role } },
    });
    return undefined;
  });
}

const common = { tag: TAG, of: "organization" } as const;
const ONE = "/v1/orgs/{organization_id}/members/{member_id}";

/** Members. */
export const MEMBER_ROUTES: readonly Route[] = [
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/orgs/{organization_id}/members",
    summary: "The members of an organization",
    action: "members:read",
    query: ListQuery,
    answer: MembersAnswer,
    handle: async ({ services, organization_id, query }) => {
      const { page, next_cursor } = pageOf(
        services.state.list("member", { organization_id }),
        query,
      );
      return { members: page.map((member) => viewMember(member)), next_cursor };
    },
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/v1/orgs/{organization_id}/members",
    summary: "Adds a member",
    description: "A member acts by keys: POST /v1/keys with its member_id.",
    action: "members:manage",
    body: MemberCreate,
    answer: MemberView,
    status: 201,
    errors: [409],
    handle: addMember,
  }),
  defineRoute({
    ...common,
    method: "GET",
    path: ONE,
    summary: "A member",
    action: "members:read",
    answer: MemberView,
    handle: async (request) => viewMember(readMember(request)),
  }),
  defineRoute({
    ...common,
    method: "PATCH",
    path: ONE,
    summary: "Changes a member; its keys have the new role at once",
    description: "The last owner of an organization stays one.",
    action: "members:manage",
    body: MemberChange,
    answer: MemberView,
    errors: [409],
    handle: changeMember,
  }),
  defineRoute({
    ...common,
    method: "DELETE",
    path: ONE,
    summary: "Removes a member; its keys are of no use from then on",
    description: "The last owner of an organization stays.",
    action: "members:manage",
    answer: null,
    status: 204,
    errors: [409],
    handle: removeMember,
  }),
];
