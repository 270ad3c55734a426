/** `GET /v1/whoami`: whose key it is and what it may do, for people and for programs that choose a project. */
import { MAX_LIST_ROWS, WhoamiAnswer } from "../../schemas/api-tenancy.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";
import { listVisibleProjects } from "./projects.ts";

/** Tells the actor of itself. */
export function answerWhoami(request: Pick<ApiRequest, "actor" | "services">): WhoamiAnswer {
  const { actor, services } = request;
  const { organization_id, project_id } = actor;
  return {
    actor: { kind: actor.kind, id: actor.id, name: actor.name },
    organization_id,
    project_id,
    scopes: [...actor.scopes],
    member_id: actor.member_id,
    role: actor.roleFor?.({ organization_id, project_id: null }) ?? null,
    projects: listVisibleProjects(request)
      .slice(0, MAX_LIST_ROWS)
      .map(({ body }) => ({
        project_id: body.project_id,
        organization_id: body.organization_id,
        name: body.name,
        role:
          actor.roleFor?.({
            organization_id: body.organization_id,
            project_id: body.project_id,
          }) ?? null,
      })),
    receiver: services.receiver ?? null,
  };
}

/** Who one is. */
export const WHOAMI_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/whoami",
    summary: "Whose key this is, and what it may do",
    tag: "Keys",
    action: "settings:read",
    of: "self",
    answer: WhoamiAnswer,
    handle: async (request) => answerWhoami(request),
  }),
];
