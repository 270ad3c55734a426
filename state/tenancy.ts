/**
 * Organizations and projects as everyone sees them: those that are stored, and the default ones, which
 * are there though nobody made them.
 *
 * Invariant: a project that is not found here does not exist, for reading as for writing.
 */
import {
  DEFAULT_ORGANIZATION,
  DEFAULT_PROJECT_ID,
  type StateObject,
  type StateScope,
} from "../schemas/state.ts";
import type { StateStore } from "./store.ts";

/** When the default organization and project were made, as it is told: before anything else. */
export const DEFAULT_CREATED_AT = "1970-01-01T00:00:00.000Z";

/** Version 0: `put` with it as the expected one stores it for the first time. */
const DEFAULT_OF_ORGANIZATIONS: StateObject<"organization"> = {
  kind: "organization",
  object_id: DEFAULT_ORGANIZATION,
  organization_id: DEFAULT_ORGANIZATION,
  project_id: null,
  version: 0,
  body: {
    organization_id: DEFAULT_ORGANIZATION,
    name: "Default organization",
    created_at: DEFAULT_CREATED_AT,
  },
};

const DEFAULT_OF_PROJECTS: StateObject<"project"> = {
  kind: "project",
  object_id: DEFAULT_PROJECT_ID,
  organization_id: DEFAULT_ORGANIZATION,
  project_id: DEFAULT_PROJECT_ID,
  version: 0,
  body: {
    project_id: DEFAULT_PROJECT_ID,
    organization_id: DEFAULT_ORGANIZATION,
    name: "Default project",
    created_at: DEFAULT_CREATED_AT,
    retention: { raw_days: null, content_days: null, rollup_days: null },
    limits: { spans_per_second: null, bytes_per_second: null, monthly_spans: null },
  },
};

/** The organization of an id; undefined when there is none. */
export function findOrganization(
  state: StateStore,
  organization_id: string,
): StateObject<"organization"> | undefined {
  const stored = state.find("organization", organization_id);
  return (
    stored ?? (organization_id === DEFAULT_ORGANIZATION ? DEFAULT_OF_ORGANIZATIONS : undefined)
  );
}

/** The project of an id; undefined when there is none. */
export function findProject(
  state: StateStore,
  project_id: string,
): StateObject<"project"> | undefined {
  const stored = state.find("project", project_id);
  return stored ?? (project_id === DEFAULT_PROJECT_ID ? DEFAULT_OF_PROJECTS : undefined);
}

/** All organizations, by id. */
export function listOrganizations(state: StateStore): StateObject<"organization">[] {
  return withDefault(state.list("organization"), DEFAULT_OF_ORGANIZATIONS);
}

/** The projects of one organization, or all, by id. */
export function listProjects(
  state: StateStore,
  scope: Pick<Partial<StateScope>, "organization_id"> = {},
): StateObject<"project">[] {
  const stored = state.list("project", scope);
  const is_elsewhere = (scope.organization_id ?? DEFAULT_ORGANIZATION) !== DEFAULT_ORGANIZATION;
  return is_elsewhere ? stored : withDefault(stored, DEFAULT_OF_PROJECTS);
}

function withDefault<Stored extends StateObject>(stored: Stored[], usual: Stored): Stored[] {
  if (stored.some(({ object_id }) => object_id === usual.object_id)) return stored;
  return [...stored, usual].toSorted((a, b) => (a.object_id < b.object_id ? -1 : 1));
}
