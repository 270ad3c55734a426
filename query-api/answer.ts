/**
 * From a request to the answer of a route: who asks, about what, whether that is allowed, and only then
 * the question itself.
 *
 * Invariant: the handler of a route never runs for an actor that may not do its action to its object.
 */
import {
  type AccessObject,
  ACTIONS,
  type Actor,
  AUTH_PROBLEMS,
  type AuthProblem,
  can,
  type Identity,
  makeOperator,
  type Verdict,
} from "../schemas/access.ts";
import { DEFAULT_ORGANIZATION, DEFAULT_PROJECT_ID } from "../schemas/state.ts";
import { findOrganization, findProject, listProjects } from "../state/tenancy.ts";
import { answerCached } from "./cache.ts";
import { ApiError, invalidBody } from "./errors.ts";
import type { RateLimits } from "./rate-limit.ts";
import { readLedger } from "./reading.ts";
import { parseQuery } from "./request.ts";
import type { ApiRequest, AuditEntry, Route, Services } from "./route.ts";

/** What is known of a request beside the request. */
export interface Incoming {
  readonly raw: Request;
  readonly path: Readonly<Record<string, string>>;
  readonly remote_address: string;
  readonly request_id: string;
  /** Adds a header to the answer, a good one or an error. */
  readonly setHeader: (name: string, value: string) => void;
}

/** What decides whether a request is answered at all; without limits any amount is. */
export interface Gate extends Partial<RateLimits> {
  readonly authenticate: (headers: Readonly<Record<string, string>>) => Identity;
  /** Whether no key is known, so that only loopback names are answered. */
  readonly loopback_only?: boolean;
}

/** Addresses of this machine, as Node tells them. */
const LOOPBACK = /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/;

/** Longest body of a request, bytes. */
export const MAX_REQUEST_BODY_BYTES = 1024 * 1024;
/** Keys that expire within this are told so with every answer, ms (research/reliability.md A05). */
const EXPIRY_WARNING_MS = 14 * 86_400_000;

/** An id for the log and the audit log. */
export function makeRequestId(): string {
  return crypto.randomUUID();
}

/** Checks and answers a request; throws ApiError for everything that is refused. */
export async function answerRoute(
  route: Route,
  incoming: Incoming,
  services: Services,
  gate: Gate,
): Promise<unknown> {
  refuseForeignOrigin(incoming.raw);
  const actor = identify(route, incoming, services, gate);
  const url = new URL(incoming.raw.url);
  const object = findObject(route, actor, incoming, url, services);
  const audit = makeAudit(route, actor, object, incoming, services);
  await refuseForbidden(route, actor, object, audit, gate);
  refuseUnknown(object, services);
  if (choosesProject(route)) url.searchParams.delete("project");
  const request: ApiRequest = {
    services,
    actor,
    project_id: object.project_id ?? "",
    organization_id: object.organization_id ?? "",
    path: incoming.path,
    query: readQuery(route, url),
    body: await readBody(route, incoming.raw),
    raw: incoming.raw,
    url: url.href,
    now_ms: services.now_ms(),
    request_id: incoming.request_id,
    remote_address: incoming.remote_address,
    audit: (entry) => audit({ outcome: "done", ...entry }),
  };
  try {
    return await handleInTurn(route, request, gate);
  } catch (error) {
    await auditFailure(route, error, audit);
    throw error;
  }
}

async function handleInTurn(route: Route, request: ApiRequest, gate: Gate): Promise<unknown> {
  const leave = await gate.enter?.(route, request.project_id, request.raw.signal);
  try {
    const { services } = request;
    if (services.answers === undefined) return await route.handle(request);
    const versions = {
      readLedger: (project_id: string) => readLedger(services.engine, project_id),
      state_revision: services.state.revision,
    };
    return await answerCached(services.answers, route, request, versions, (ledger) =>
      route.handle(ledger === null ? request : { ...request, services: { ...services, ledger } }),
    );
  } finally {
    leave?.();
  }
}

/**
 * A page of another site must not act for whoever looks at it, nor listen: a WebSocket is opened by a
 * GET that no browser guards (research/reliability.md A24).
 */
function refuseForeignOrigin(raw: Request): void {
  const origin = raw.headers.get("origin");
  if (origin === null) return;
  const own = raw.headers.get("host") ?? new URL(raw.url).host;
  if (URL.canParse(origin) && new URL(origin).host === own.toLowerCase()) return;
  throw new ApiError(403, "wrong_origin", "Requests of pages of other sites are not taken.");
}

/** Nobody: what everyone may see is asked for by no one. */
const NOBODY: Actor = {
  kind: "key",
  id: "",
  name: "nobody",
  organization_id: "",
  project_id: "",
  scopes: [],
  member_id: null,
  roleFor: null,
};

/** What may be a search for a key; one that expired was none, nor is a request without one. */
const GUESSES: ReadonlySet<AuthProblem> = new Set(["malformed", "unknown"]);

function identify(
  route: Route,
  { raw, remote_address, setHeader }: Incoming,
  { now_ms }: Services,
  gate: Gate,
): Actor {
  if (route.action === null) {
    gate.admit?.(route, NOBODY, remote_address);
    return NOBODY;
  }
  const identity = gate.authenticate(Object.fromEntries(raw.headers));
  if ("actor" in identity) {
    gate.admit?.(route, identity.actor, remote_address);
    const { expires_at_ms } = identity;
    if (expires_at_ms !== null && expires_at_ms - now_ms() < EXPIRY_WARNING_MS) {
      setHeader("x-key-expires", new Date(expires_at_ms).toISOString());
    }
    return identity.actor;
  }
  const is_local = gate.loopback_only === true && LOOPBACK.test(remote_address);
  if (identity.problem === "unavailable" && route.open_while_unknown === true && is_local) {
    return makeOperator("local", ["read"]);
  }
  const { status, code } = AUTH_PROBLEMS[identity.problem];
  if (GUESSES.has(identity.problem)) gate.admit?.(route, null, remote_address);
  throw new ApiError(status, code, identity.message);
}

/** Whether a route is of the project that the parameter `project` names. */
function choosesProject(route: Route): boolean {
  return route.action !== null && route.of === "project" && !route.path.includes("{project_id}");
}

/** What the route is asked to be done to. Never from a body; another's project is refused later. */
function findObject(
  route: Route,
  actor: Actor,
  { path }: Incoming,
  url: URL,
  { state }: Services,
): AccessObject {
  if (route.action === null || route.of === "installation") {
    return { organization_id: null, project_id: null };
  }
  if (route.of === "self") {
    return { organization_id: actor.organization_id, project_id: actor.project_id };
  }
  if (route.of === "organization") {
    const named = Object.hasOwn(route.query?.shape ?? {}, "organization")
      ? readOnce(url, "organization")
      : undefined;
    const organization_id = path["organization_id"] ?? named ?? actor.organization_id;
    return { organization_id: organization_id ?? DEFAULT_ORGANIZATION, project_id: null };
  }
  const named = choosesProject(route) ? readOnce(url, "project") : path["project_id"];
  const project_id = named ?? actor.project_id ?? onlyProject(route, actor, state);
  // An unknown project belongs to nobody, and an actor of an organization sees nothing of it.
  return {
    organization_id: findProject(state, project_id)?.organization_id ?? "",
    project_id,
  };
}

function readOnce(url: URL, name: string): string | undefined {
  const values = url.searchParams.getAll(name);
  if (values.length <= 1) return values[0];
  const details = [{ path: name, message: "may be given only once" }];
  throw new ApiError(400, "invalid_query", `${name} may be given only once`, details);
}

/** The project of an actor that did not name one: the only one it may ask about, or the default one. */
function onlyProject(route: Route, actor: Actor, state: Services["state"]): string {
  const { action } = route;
  if (actor.organization_id === null || action === null) return DEFAULT_PROJECT_ID;
  const verdicts = listProjects(state, { organization_id: actor.organization_id }).map(
    (project) => ({
      project_id: project.object_id,
      ...can(actor, action, { ...project, project_id: project.object_id }),
    }),
  );
  const allowed = verdicts.filter(({ is_allowed }) => is_allowed);
  const visible = verdicts.find((verdict) => verdict.is_allowed || verdict.is_visible);
  // Where none is allowed, the refusal says why.
  const chosen = allowed.length === 0 ? visible : allowed.length === 1 ? allowed[0] : undefined;
  if (chosen !== undefined) return chosen.project_id;
  const message = "The key is of an organization: name one of its projects.";
  throw new ApiError(400, "project_required", message, [{ path: "project", message }]);
}

type Audit = (
  entry: Pick<AuditEntry, "object_kind" | "object_id" | "outcome"> & Partial<AuditEntry>,
) => Promise<void>;

function makeAudit(
  route: Route,
  actor: Actor,
  object: AccessObject,
  { remote_address, request_id }: Incoming,
  services: Services,
): Audit {
  return async (entry) => {
    if (route.action === null) return;
    const { action } = route;
    await services.audit({ actor, action, ...object, remote_address, request_id, ...entry });
  };
}

/** Whether what a route does changes something that people answer for. */
function isAdministrative({ method, action }: Route): boolean {
  return method !== "GET" && action !== null && ACTIONS[action].scope === "admin";
}

/** Throws 403, or 404 where the actor may not know of the object; a refused act is written down. */
async function refuseForbidden(
  route: Route,
  actor: Actor,
  object: AccessObject,
  audit: Audit,
  gate: Gate,
): Promise<void> {
  const verdict = judge(route, actor, object);
  if (verdict.is_allowed) return;
  // Told to those whose key it is: who was asked about learns nothing of others.
  const is_own = actor.organization_id === null || object.organization_id === actor.organization_id;
  const own = { organization_id: actor.organization_id, project_id: actor.project_id };
  const error = verdict.is_visible ? new ApiError(403, "forbidden", verdict.reason) : notFound();
  gate.charge?.(actor);
  await auditFailure(route, error, (entry) =>
    audit({ ...entry, outcome: "refused", ...(is_own && verdict.is_visible ? {} : own) }),
  );
  throw error;
}

function judge(route: Route, actor: Actor, object: AccessObject): Verdict {
  if (route.action === null) return { is_allowed: true };
  // What is one's own is seen by whoever has any role: such routes ask for the least one (access.test.ts).
  return can(route.of === "self" ? { ...actor, roleFor: null } : actor, route.action, object);
}

/** Writes down that an act was refused or failed; what was asked wrongly is no act. */
async function auditFailure(route: Route, error: unknown, audit: Audit): Promise<void> {
  if (!isAdministrative(route)) return;
  const status = error instanceof ApiError ? error.status : 500;
  const outcome = status === 403 || status === 404 ? "refused" : "failed";
  if (outcome === "failed" && status < 500) return;
  try {
    await audit({ object_kind: "route", object_id: `${route.method} ${route.path}`, outcome });
  } catch {
    // The storage is away for this too. Nothing was done, and the first error is the one to be told.
  }
}

/** The answer about what is not there, and about what is another's: the same. */
export function notFound(): ApiError {
  return new ApiError(404, "not_found", "There is no such thing; see /openapi.json.");
}

function refuseUnknown(object: AccessObject, { state }: Services): void {
  const { organization_id, project_id } = object;
  if (project_id !== null && findProject(state, project_id) === undefined) throw notFound();
  if (organization_id !== null && findOrganization(state, organization_id) === undefined) {
    throw notFound();
  }
}

function readQuery(route: Route, url: URL): unknown {
  if (route.ignores_query === true) return {};
  if (route.query !== undefined) return parseQuery(url.href, route.query);
  const [name] = [...url.searchParams.keys()];
  if (name === undefined) return {};
  const details = [{ path: name, message: "is not a parameter of this route" }];
  throw new ApiError(400, "invalid_query", `${name} is not a parameter of this route`, details);
}

/** The body by its schema: strict, so that nothing is assigned that was not meant to be. */
async function readBody(route: Route, raw: Request): Promise<unknown> {
  if (route.body === undefined) return undefined;
  const media_type = (raw.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  if (media_type !== "application/json") {
    throw new ApiError(415, "unsupported_media_type", "Send the body as application/json.");
  }
  const bytes = await readBytes(raw);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes), refusePrototype);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "invalid_json", "The body is not JSON.");
  }
  const result = route.body.safeParse(json);
  if (!result.success) throw invalidBody(result.error);
  return result.data;
}

/** A key that no schema sees, so that it would be dropped silently: what it filtered would not be. */
function refusePrototype(this: unknown, name: string, value: unknown): unknown {
  if (name !== "__proto__") return value;
  const details = [{ path: name, message: "is not a field of this body" }];
  throw new ApiError(400, "invalid_body", "__proto__ is not a field of this body", details);
}

async function readBytes(raw: Request): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of raw.body ?? []) {
    bytes += part.byteLength;
    if (bytes > MAX_REQUEST_BODY_BYTES) {
      const message = `The body may have at most ${MAX_REQUEST_BODY_BYTES} bytes.`;
      throw new ApiError(413, "body_too_large", message);
    }
    parts.push(part as Uint8Array);
  }
  return Buffer.concat(parts);
}
