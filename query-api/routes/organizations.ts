/**
 * `/v1/orgs`: organizations, each with projects and members of its own.
 *
 * Invariant: the id of an organization that was deleted is never given again: what is remembered of the
 * old one, as in the audit log, would be the new one's.
 */
import { can } from "../../schemas/access.ts";
import {
  ListQuery,
  OrganizationChange,
  OrganizationCreate,
  OrganizationsAnswer,
  OrganizationView,
} from "../../schemas/api-tenancy.ts";
import { DEFAULT_ORGANIZATION, type StateObject } from "../../schemas/state.ts";
import type { StateStore } from "../../state/store.ts";
import { findOrganization, listOrganizations, listProjects } from "../../state/tenancy.ts";
import { notFound } from "../answer.ts";
import { ApiError } from "../errors.ts";
import { expectedVersion, makeId, pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

const TAG = "Organizations and projects";

/** An organization as it is answered. */
export function viewOrganization({ body, version }: StateObject<"organization">): OrganizationView {
  return { ...body, version };
}

/** The organization of a request; it was there a moment ago. */
function readOrganization({ services, organization_id }: ApiRequest): StateObject<"organization"> {
  const found = findOrganization(services.state, organization_id);
  if (found === undefined) throw notFound();
  return found;
}

/** Lists the organizations that the actor may read. */
export function listVisibleOrganizations({ services, actor, query }: ApiRequest<ListQuery>) {
  const visible = listOrganizations(services.state).filter(
    ({ organization_id }) =>
      can(actor, "organization:read", { organization_id, project_id: null }).is_allowed,
  );
  const { page, next_cursor } = pageOf(visible, query);
  return { organizations: page.map((one) => viewOrganization(one)), next_cursor };
}

async function createOrganization(
  request: ApiRequest<unknown, OrganizationCreate>,
): Promise<OrganizationView> {
  const { state } = request.services;
  const { name, organization_id: wanted } = request.body;
  // Another process may have made it a moment ago.
  await state.refresh();
  const organization_id = wanted ?? makeId(name, "organization");
  if (organization_id === DEFAULT_ORGANIZATION || state.isUsed("organization", organization_id)) {
    const message = "This organization_id is or was in use; choose another.";
    throw new ApiError(409, "id_used", message, [{ path: "organization_id", message }]);
  }
  const created_at = new Date(request.now_ms).toISOString();
  const scope = { organization_id, project_id: null };
  const body = { organization_id, name, created_at };
  const made = await state.put("organization", organization_id, scope, body, 0);
  await request.audit({
    ...scope,
    object_kind: "organization",
    object_id: organization_id,
    detail: { created: { name } },
  });
  return viewOrganization(made);
}

async function changeOrganization(
  request: ApiRequest<unknown, OrganizationChange>,
): Promise<OrganizationView> {
  const known = readOrganization(request);
  const { name, version } = request.body;
  const { object_id, body } = known;
  const scope = { organization_id: object_id, project_id: null };
  const expected = expectedVersion(request.raw, version, known.version);
  const { state } = request.services;
  const next = await state.put("organization", object_id, scope, { ...body, name }, expected);
  await request.audit({
    object_kind: "organization",
    object_id,
    detail: { before: { name: body.name }, after: { name } },
  });
  return viewOrganization(next);
}

/** What keeps an organization from being deleted; empty when nothing does. */
function contentsOf(state: StateStore, organization_id: string): string[] {
  const of = { organization_id };
  const counts = {
    projects: listProjects(state, of).length,
    members: state.list("member", of).length,
    keys: state.list("key", of).filter(({ body }) => body.revoked_at === null).length,
  };
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`);
}

async function deleteOrganization(request: ApiRequest): Promise<undefined> {
  const { services, organization_id, raw } = request;
  if (organization_id === DEFAULT_ORGANIZATION) {
    throw new ApiError(409, "organization_in_use", "The default organization always stays.");
  }
  await services.state.refresh();
  const { version, body } = readOrganization(request);
  const left = contentsOf(services.state, organization_id);
  if (left.length > 0) {
    const message = `The organization still has ${left.join(", ")}; only an empty one is deleted.`;
    throw new ApiError(409, "organization_in_use", message);
  }
  const expected = expectedVersion(raw, undefined, version);
  await services.state.remove("organization", organization_id, expected);
  await request.audit({
    object_kind: "organization",
    object_id: organization_id,
    detail: { deleted: { name: body.name } },
  });
  return undefined;
}

/** Organizations. */
export const ORGANIZATION_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/orgs",
    summary: "The organizations that one may read",
    tag: TAG,
    action: "settings:read",
    of: "self",
    query: ListQuery,
    answer: OrganizationsAnswer,
    handle: async (request) => listVisibleOrganizations(request),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/orgs",
    summary: "Makes an organization",
    tag: TAG,
    action: "installation:manage",
    of: "installation",
    body: OrganizationCreate,
    answer: OrganizationView,
    status: 201,
    errors: [409],
    handle: createOrganization,
  }),
  defineRoute({
    method: "GET",
    path: "/v1/orgs/{organization_id}",
    summary: "An organization",
    tag: TAG,
    action: "organization:read",
    of: "organization",
    answer: OrganizationView,
    handle: async (request) => viewOrganization(readOrganization(request)),
  }),
  defineRoute({
    method: "PATCH",
    path: "/v1/orgs/{organization_id}",
    summary: "Changes the name of an organization",
    tag: TAG,
    action: "organization:write",
    of: "organization",
    body: OrganizationChange,
    answer: OrganizationView,
    errors: [409],
    handle: changeOrganization,
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/orgs/{organization_id}",
    summary: "Deletes an organization that has no projects, members and usable keys",
    description:
      "Its id is never given again. A project is not deleted: its data would be nobody's.",
    tag: TAG,
    action: "installation:manage",
    of: "organization",
    answer: null,
    status: 204,
    errors: [409],
    handle: deleteOrganization,
  }),
];
