/** `GET /v1/live`: what happens in the ledger, as it happens, for as long as the connection holds. */
import { LiveQuery } from "../../schemas/api-live.ts";
import { can, type Identity } from "../../schemas/access.ts";
import { findProject } from "../../state/tenancy.ts";
import { LiveHub } from "../live.ts";
import type { LiveFormat } from "../live-listener.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

export interface LiveRouteOptions {
  /** Who is followed; by default a hub of its own that nobody closes. */
  readonly live?: LiveHub;
  /** Who a request is from; asked again while a stream is open. */
  readonly authenticate?: (headers: Readonly<Record<string, string>>) => Identity;
}

const MEDIA_TYPES: Readonly<Record<LiveFormat, string>> = {
  events: "text/event-stream",
  lines: "application/x-ndjson",
};

/** The route, on a hub. */
export function makeLiveRoutes({ live, authenticate }: LiveRouteOptions): Route[] {
  let hub = live;
  return [
    defineRoute({
      method: "GET",
      path: "/v1/live",
      summary: "Calls and sums as they change",
      description:
        "Server-sent events; with `Accept: application/x-ndjson` lines of JSON; as WebSocket one frame " +
        "a message. Frames have a `kind`: `calls` (new or changed calls), `totals` (the last five " +
        "minutes and today), `heartbeat`, `end`. A change is told within five seconds. Who comes back " +
        "with `Last-Event-ID` goes on where it was, if that is not long ago. Browsers, which cannot " +
        "send a key with a WebSocket, offer the subprotocols `spanledger.v1` and " +
        "`spanledger.key.<key in base64url>`. When the key no longer may, the stream ends.",
      tag: "Calls and traces",
      action: "usage:read",
      of: "project",
      query: LiveQuery,
      answer: null,
      media_types: Object.values(MEDIA_TYPES),
      handle: async (request) => openStream((hub ??= new LiveHub()), request, authenticate),
    }),
  ];
}

function openStream(
  hub: LiveHub,
  request: ApiRequest<LiveQuery>,
  authenticate: LiveRouteOptions["authenticate"],
): Response {
  const { services, project_id, raw, query } = request;
  const wants_lines = (raw.headers.get("accept") ?? "").includes(MEDIA_TYPES.lines);
  const format = wants_lines ? "lines" : "events";
  const headers = {
    "content-type": MEDIA_TYPES[format],
    "cache-control": "no-store",
    // nginx would gather frames until its buffer is full.
    "x-accel-buffering": "no",
  };
  if (raw.method === "HEAD") return new Response(null, { headers });
  const stream = hub.listen({
    engine: services.engine,
    log: services.log,
    project_id,
    last_event_id: query.last_event_id ?? raw.headers.get("last-event-id"),
    format,
    isAllowed: () => isStillAllowed(request, authenticate),
  });
  return new Response(stream, { headers });
}

/** Whether the one who opened a stream might open it now. */
function isStillAllowed(
  { raw, services, project_id, organization_id }: ApiRequest<LiveQuery>,
  authenticate: LiveRouteOptions["authenticate"],
): boolean {
  const is_there = findProject(services.state, project_id) !== undefined;
  if (!is_there || authenticate === undefined) return is_there;
  const identity = authenticate(Object.fromEntries(raw.headers));
  // Keys that cannot be read just now are no revoked keys.
  if ("problem" in identity) return identity.problem === "unavailable";
  return can(identity.actor, "usage:read", { organization_id, project_id }).is_allowed;
}
