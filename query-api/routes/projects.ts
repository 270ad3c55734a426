/**
 * `/v1/projects`: what keeps telemetry apart. A project is made and changed, and never deleted: its data
 * would stay and be nobody's. Revoke its keys and let retention, or an erasure, take the data.
 *
 * Invariant: only an operator chooses ids. Others would learn from a refusal which ids other organizations
 * have.
 */
import { can } from "../../schemas/access.ts";
import {
  OrganizationListQuery,
  OrganizationQuery,
  ProjectChange,
  ProjectCreate,
  ProjectsAnswer,
  ProjectView,
} from "../../schemas/api-tenancy.ts";
import { DEFAULT_PROJECT_ID, type Project, type StateObject } from "../../schemas/state.ts";
import { findProject, listProjects } from "../../state/tenancy.ts";
import { notFound } from "../answer.ts";
import { ApiError } from "../errors.ts";
import { expectedVersion, makeId, pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

const TAG = "Organizations and projects";

/** A project as it is answered. */
export function viewProject({ body, version }: StateObject<"project">): ProjectView {
  return { ...body, version };
}

/** The projects that an actor may ask about, by id. */
export function listVisibleProjects({
  services,
  actor,
}: Pick<ApiRequest, "services" | "actor">): StateObject<"project">[] {
  const of = actor.organization_id === null ? {} : { organization_id: actor.organization_id };
  return listProjects(services.state, of).filter(
    ({ organization_id, object_id }) =>
      can(actor, "settings:read", { organization_id, project_id: object_id }).is_allowed,
  );
}

function answerProjects(request: ApiRequest<OrganizationListQuery>) {
  const { organization } = request.query;
  const visible = listVisibleProjects(request).filter(
    ({ organization_id }) => organization === undefined || organization_id === organization,
  );
  const { page, next_cursor } = pageOf(visible, request.query);
  return { projects: page.map((project) => viewProject(project)), next_cursor };
}

const UNLIMITED: Pick<Project, "retention" | "limits"> = {
  retention: { raw_days: null, content_days: null, rollup_days: null },
  limits: { spans_per_second: null, bytes_per_second: null, monthly_spans: null },
};

/** The parts given over those there were; what is not given stays. */
function mergeParts(
  body: Pick<ProjectChange, "retention" | "limits">,
  before: Pick<Project, "retention" | "limits">,
): Pick<Project, "retention" | "limits"> {
  return {
    retention: { ...before.retention, ...body.retention } as Project["retention"],
    limits: { ...before.limits, ...body.limits } as Project["limits"],
  };
}

/** Projects of one organization: limits are a project's, and none is ever deleted. */
const MAX_PROJECTS = 100;

async function createProject(
  request: ApiRequest<OrganizationQuery, ProjectCreate>,
): Promise<ProjectView> {
  const { services, organization_id, body, actor } = request;
  if (body.project_id !== undefined && actor.kind !== "operator") {
    const message =
      "Only the operator chooses a project_id; leave it out and one is made of the name.";
    throw new ApiError(403, "forbidden", message, [{ path: "project_id", message }]);
  }
  // Another process may have made it a moment ago.
  await services.state.refresh();
  const has = services.state.list("project", { organization_id }).length;
  if (actor.kind !== "operator" && has >= MAX_PROJECTS) {
    const message = `An organization has at most ${MAX_PROJECTS} projects; the operator may make more.`;
    throw new ApiError(409, "too_many_projects", message);
  }
  const project_id = body.project_id ?? makeId(body.name, "project");
  if (project_id === DEFAULT_PROJECT_ID || services.state.isUsed("project", project_id)) {
    const message = "This project_id is in use; choose another.";
    throw new ApiError(409, "id_used", message, [{ path: "project_id", message }]);
  }
  const created = {
    project_id,
    organization_id,
    name: body.name,
    created_at: new Date(request.now_ms).toISOString(),
    ...mergeParts(body, UNLIMITED),
  };
  const scope = { organization_id, project_id };
  const made = await services.state.put("project", project_id, scope, created, 0);
  const { name, retention, limits } = created;
  await request.audit({
    ...scope,
    object_kind: "project",
    object_id: project_id,
    detail: { created: { name, retention, limits } },
  });
  return viewProject(made);
}

function readProject({ services, project_id }: ApiRequest): StateObject<"project"> {
  const found = findProject(services.state, project_id);
  if (found === undefined) throw notFound();
  return found;
}

async function changeProject(request: ApiRequest<unknown, ProjectChange>): Promise<ProjectView> {
  const known = readProject(request);
  const { version, ...changes } = request.body;
  const before = known.body;
  const after = { ...before, ...mergeParts(changes, before), name: changes.name ?? before.name };
  const expected = expectedVersion(request.raw, version, known.version);
  const { organization_id } = before;
  const { object_id } = known;
  const scope = { organization_id, project_id: object_id };
  const next = await request.services.state.put("project", object_id, scope, after, expected);
  const names = Object.keys(changes) as (keyof typeof changes)[];
  await request.audit({
    object_kind: "project",
    object_id,
    detail: {
      before: Object.fromEntries(names.map((name) => [name, before[name]])),
      after: Object.fromEntries(names.map((name) => [name, after[name]])),
    },
  });
  return viewProject(next);
}

/** Projects. */
export const PROJECT_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/projects",
    summary: "The projects that one may ask about",
    tag: TAG,
    action: "settings:read",
    of: "self",
    query: OrganizationListQuery,
    answer: ProjectsAnswer,
    handle: async (request) => answerProjects(request),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects",
    summary: "Makes a project",
    description: "A project is never deleted, and its id is never given again.",
    tag: TAG,
    action: "organization:write",
    of: "organization",
    query: OrganizationQuery,
    body: ProjectCreate,
    answer: ProjectView,
    status: 201,
    errors: [409],
    handle: createProject,
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/{project_id}",
    summary: "A project: name, limits, retention",
    tag: TAG,
    action: "settings:read",
    of: "project",
    answer: ProjectView,
    handle: async (request) => viewProject(readProject(request)),
  }),
  defineRoute({
    method: "PATCH",
    path: "/v1/projects/{project_id}",
    summary: "Changes the name, limits or retention of a project",
    description: "What is not given stays as it is; null takes a limit away.",
    tag: TAG,
    action: "project:write",
    of: "project",
    body: ProjectChange,
    answer: ProjectView,
    errors: [409],
    handle: changeProject,
  }),
];
