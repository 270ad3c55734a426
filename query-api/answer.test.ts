/**
 * From a request to the handler: who asks, about what, and what is refused before the handler runs.
 * Routes are made up here; those of the product are in tenancy.test.ts.
 */
import { expect, test } from "vitest";
import { z } from "zod";
import type { Engine } from "../clickhouse/engine.ts";
import {
  type Actor,
  type AuthProblem,
  AUTH_PROBLEMS,
  type Identity,
  makeOperator,
  type Role,
  type Scope,
  SCOPES,
} from "../schemas/access.ts";
import { addProjects, makeProject } from "../test/support/api.ts";
import { StateStore } from "../state/store.ts";
import { answerRoute, type Gate, MAX_REQUEST_BODY_BYTES } from "./answer.ts";
import { ApiError } from "./errors.ts";
import { makeRateLimits } from "./rate-limit.ts";
import { type ApiRequest, type AuditEntry, defineRoute, type Route } from "./route.ts";

const engine = { query: async () => [], command: async () => {} } as unknown as Engine;
const log = { info: () => {}, warn: () => {}, error: () => {} };
const NOW_MS = Date.UTC(2026, 9, 27);

/** A key of the organization acme, changed as asked. */
function makeKey(changes: Partial<Actor> = {}): Actor {
  const key = { ...makeOperator("key-1"), kind: "key", organization_id: "acme" } as const;
  return { ...key, ...changes };
}

/** acme has the projects acme and shop, other has one, lone has none. */
async function makeState(): Promise<StateStore> {
  const state = new StateStore({
    engine,
    log,
    now_ms: () => NOW_MS,
    refresh_ms: 3_600_000,
    snapshot: null,
  });
  await addProjects(state, ["acme", "other"]);
  const shop = { organization_id: "acme", project_id: "shop" };
  await state.put("project", "shop", shop, makeProject("shop", "acme"));
  const created_at = "2026-01-01T00:00:00.000Z";
  const lone = { organization_id: "lone", project_id: null };
  const body = { organization_id: "lone", name: "lone", created_at };
  await state.put("organization", "lone", lone, body);
  return state;
}

interface Outcome {
  readonly status: number;
  readonly code: string;
  readonly error: unknown;
  /** The requests that reached the handler. */
  readonly reached: ApiRequest[];
  readonly audited: AuditEntry[];
  readonly headers: Readonly<Record<string, string>>;
}

interface Asked {
  readonly route?: Partial<Route>;
  readonly actor?: Actor | AuthProblem;
  readonly path?: Readonly<Record<string, string>>;
  readonly url?: string;
  readonly init?: RequestInit & { readonly duplex?: "half" };
  readonly gate?: Partial<Gate>;
  readonly state?: StateStore;
  readonly expires_at_ms?: number;
  readonly remote_address?: string;
  readonly audit?: (entry: AuditEntry) => Promise<void>;
}

/** Asks a route of a project unless another is described. */
async function ask(asked: Asked = {}): Promise<Outcome> {
  const reached: ApiRequest[] = [];
  const audited: AuditEntry[] = [];
  const headers: Record<string, string> = {};
  const route: Route = {
    ...defineRoute({
      method: "GET",
      path: "/v1/things",
      summary: "",
      tag: "",
      action: "usage:read",
      of: "project",
      answer: null,
      handle: async () => ({}),
    }),
    ...asked.route,
  };
  const handle = async (request: ApiRequest) => {
    reached.push(request);
    return asked.route?.handle?.(request) ?? { answered: true };
  };
  const identity: Identity =
    typeof asked.actor === "string"
      ? { problem: asked.actor, message: "No." }
      : { actor: asked.actor ?? makeKey(), expires_at_ms: asked.expires_at_ms ?? null };
  const incoming = {
    raw: new Request(asked.url ?? "http://localhost/v1/things?project=acme", {
      method: route.method,
      ...asked.init,
    }),
    path: asked.path ?? {},
    remote_address: asked.remote_address ?? "192.0.2.1",
    request_id: "request-1",
    setHeader: (name: string, value: string) => {
      headers[name] = value;
    },
  };
  const services = {
    engine,
    state: asked.state ?? (await makeState()),
    log,
    version: "1",
    now_ms: () => NOW_MS,
    audit: async (entry: AuditEntry) => {
      await asked.audit?.(entry);
      audited.push(entry);
    },
  };
  const gate = { authenticate: () => identity, ...asked.gate };
  const common = { reached, audited, headers };
  try {
    await answerRoute({ ...route, handle }, incoming, services, gate);
    return { status: 200, code: "", error: null, ...common };
  } catch (error) {
    if (!(error instanceof ApiError)) return { status: 500, code: "", error, ...common };
    return { status: error.status, code: error.code, error, ...common };
  }
}

/** The project, or status, that a question ends at. */
async function projectOf(asked: Asked): Promise<string | number> {
  const { status, reached } = await ask(asked);
  return reached[0]?.project_id ?? status;
}

const THINGS = "http://localhost/v1/things";

test("the project is the key's own, or the one that is named among those of the organization", async () => {
  const shop = makeKey({ project_id: "shop" });
  expect(await projectOf({ actor: shop, url: THINGS })).toBe("shop");
  expect(await projectOf({ actor: shop, url: `${THINGS}?project=shop` })).toBe("shop");
  expect(await projectOf({ url: `${THINGS}?project=shop` })).toBe("shop");
  expect(await projectOf({ url: `${THINGS}?project=shop`, actor: makeOperator() })).toBe("shop");
  expect(await projectOf({ url: THINGS, actor: makeOperator() })).toBe("default");
});

test("A09: another project is not there, whoever names it and however", async () => {
  const shop = makeKey({ project_id: "shop" });
  for (const name of ["acme", "other", "default", "nothing", "", "SHOP", "shop%00"]) {
    expect(await projectOf({ actor: shop, url: `${THINGS}?project=${name}` }), name).toBe(404);
  }
  for (const name of ["other", "default", "nothing"]) {
    expect(await projectOf({ url: `${THINGS}?project=${name}` }), name).toBe(404);
    const path = { project_id: name };
    const route = { path: "/v1/projects/{project_id}" };
    expect(await projectOf({ route, path, url: `http://localhost/v1/projects/${name}` })).toBe(404);
  }
  expect(await projectOf({ actor: makeOperator(), url: `${THINGS}?project=nothing` })).toBe(404);
});

test("A09: a second project beside the one of the path is an unknown parameter", async () => {
  const route = { path: "/v1/projects/{project_id}" };
  const path = { project_id: "shop" };
  const url = "http://localhost/v1/projects/shop";
  expect(await projectOf({ route, path, url })).toBe("shop");
  expect(await projectOf({ route, path, url: `${url}?project=acme` })).toBe(400);
  expect(await projectOf({ url: `${THINGS}?project=shop&project=acme` })).toBe(400);
});

test("a key of an organization with one project needs to name none, with several it must", async () => {
  const other = makeKey({ organization_id: "other" });
  expect(await projectOf({ actor: other, url: THINGS })).toBe("other");
  expect((await ask({ url: THINGS })).code).toBe("project_required");
  expect((await ask({ url: THINGS, actor: makeKey({ organization_id: "lone" }) })).code).toBe(
    "project_required",
  );
  // The default project is there though nobody stored it.
  const usual = makeKey({ organization_id: "default" });
  expect(await projectOf({ actor: usual, url: THINGS })).toBe("default");
});

test("a member of one project needs not name it", async () => {
  const roleFor = ({ project_id }: { readonly project_id: string | null }): Role | null =>
    project_id === "shop" ? "viewer" : null;
  expect(await projectOf({ actor: makeKey({ roleFor }), url: THINGS })).toBe("shop");
  expect(await projectOf({ actor: makeKey({ roleFor }), url: `${THINGS}?project=acme` })).toBe(404);
});

test("A07: without the scope the refusal says so, also when no project was named", async () => {
  for (const scopes of [[], ["ingest"]] as Scope[][]) {
    const { status, error } = await ask({ actor: makeKey({ scopes }), url: THINGS });
    expect(status).toBe(403);
    expect(String(error)).toContain("lacks the scope read");
  }
});

test("the organization is the key's own, or the path's when it is the same", async () => {
  const route = { of: "organization", path: "/v1/orgs/{organization_id}" } as const;
  const url = "http://localhost/v1/orgs/x";
  const org = async (organization_id: string, actor = makeKey()) => {
    const { status, reached } = await ask({ route, url, actor, path: { organization_id } });
    return reached[0]?.organization_id ?? status;
  };
  expect(await org("acme")).toBe("acme");
  expect(await org("other")).toBe(404);
  expect(await org("nothing")).toBe(404);
  expect(await org("acme", makeKey({ project_id: "acme" }))).toBe(404);
  expect(await org("other", makeOperator())).toBe("other");
  expect(await org("nothing", makeOperator())).toBe(404);
});

test("only routes that say so take the organization as a parameter", async () => {
  const query = z.strictObject({ organization: z.string().optional() });
  const of = "organization" as const;
  const url = `${THINGS}?organization=other`;
  const actor = makeOperator();
  const named = await ask({ route: { of, query }, url, actor });
  expect(named.reached[0]?.organization_id).toBe("other");
  expect((await ask({ route: { of, query }, url })).status).toBe(404);
  expect((await ask({ route: { of }, url, actor })).status).toBe(400);
});

test("what is one's own is answered for every role, and only with the scope", async () => {
  const route = { of: "self", action: "settings:read" } as const;
  const roleFor = () => null;
  expect((await ask({ route, url: THINGS, actor: makeKey({ roleFor }) })).status).toBe(200);
  const sender = makeKey({ scopes: ["ingest"] });
  expect((await ask({ route, url: THINGS, actor: sender })).status).toBe(403);
});

test("every problem with a key has its status, and a key store that is away is no wrong key", async () => {
  for (const [problem, { status, code }] of Object.entries(AUTH_PROBLEMS)) {
    const outcome = await ask({ actor: problem as AuthProblem });
    expect([outcome.status, outcome.code, outcome.reached.length]).toEqual([status, code, 0]);
  }
  expect(AUTH_PROBLEMS.unavailable.status).toBe(503);
});

test("what everyone may see is answered without a look at the key", async () => {
  const authenticate = () => {
    throw new Error("was asked");
  };
  const route = { action: null, of: "installation" } as const;
  expect((await ask({ route, url: THINGS, gate: { authenticate } })).status).toBe(200);
});

test("A05: a key that ends within 14 days is told so with every answer", async () => {
  const day_ms = 86_400_000;
  const soon = await ask({ expires_at_ms: NOW_MS + 13 * day_ms });
  expect(soon.headers).toEqual({ "x-key-expires": "2026-11-09T00:00:00.000Z" });
  expect((await ask({ expires_at_ms: NOW_MS + 15 * day_ms })).headers).toEqual({});
  expect((await ask()).headers).toEqual({});
});

test("A02: only guesses of a key are counted against the address", async () => {
  const limits = makeRateLimits({
    requests_per_second: 1_000,
    failures_per_minute: 1,
    queries_at_once: 1,
    queries_waiting: 0,
    now_ms: () => 0,
  });
  const status = async (actor: Actor | AuthProblem) => (await ask({ actor, gate: limits })).status;
  for (const problem of ["missing", "expired", "revoked", "missing"] as const) {
    expect(await status(problem)).toBe(401);
  }
  expect(await status("unavailable")).toBe(503);
  expect(await status("unknown")).toBe(401);
  expect(await status("unknown")).toBe(429);
  expect(await status("malformed")).toBe(429);
  expect(await status(makeKey())).toBe(200);
});

test("a turn ends with the handler, however it ends", async () => {
  let inside = 0;
  const enter = async () => {
    inside += 1;
    return () => {
      inside -= 1;
    };
  };
  const handle = async () => {
    expect(inside).toBe(1);
    throw new Error("broken");
  };
  expect((await ask({ gate: { enter }, route: { handle } })).status).toBe(500);
  expect((await ask({ gate: { enter } })).status).toBe(200);
  expect(inside).toBe(0);
});

const CHANGE = {
  method: "POST",
  action: "budgets:write",
  body: z.strictObject({ name: z.string() }),
} as const;

function send(
  body: NonNullable<RequestInit["body"]>,
  headers: Record<string, string> = {},
): NonNullable<Asked["init"]> {
  return { body, headers: { "content-type": "application/json", ...headers }, duplex: "half" };
}

test("A24: pages of other sites neither act nor listen", async () => {
  for (const origin of ["https://evil.example", "null", "http://localhost:81", "garbage"]) {
    const foreign = await ask({ route: CHANGE, init: send('{"name":"a"}', { origin }) });
    expect([foreign.code, foreign.reached.length], origin).toEqual(["wrong_origin", 0]);
    // A WebSocket is opened by a GET.
    expect((await ask({ init: { headers: { origin } } })).code).toBe("wrong_origin");
  }
  const own = send('{"name":"a"}', { origin: "http://localhost" });
  expect((await ask({ route: CHANGE, init: own })).status).toBe(200);
});

test("A06: while nobody knows whether there are keys, this machine alone gets the metrics", async () => {
  const metrics = { of: "self", action: "settings:read", open_while_unknown: true } as const;
  const of = async (route: Partial<Route>, remote_address: string, loopback_only: boolean) => {
    const actor = "unavailable" as const;
    const gate = { loopback_only };
    return (await ask({ route, actor, remote_address, gate, url: "http://localhost/metrics" }))
      .code;
  };
  for (const local of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
    expect(await of(metrics, local, true)).toBe("");
    expect(await of(metrics, local, false)).toBe("keys_unavailable");
    expect(await of({ of: "self", action: "settings:read" }, local, true)).toBe("keys_unavailable");
  }
  for (const remote of ["192.0.2.1", "10.127.0.0.1", "", "127.0.0.1.example.com"]) {
    expect(await of(metrics, remote, true), remote).toBe("keys_unavailable");
  }
});

test("A27: bodies are strict, JSON, UTF-8 and not too large", async () => {
  const code = async (init: NonNullable<Asked["init"]>) =>
    (await ask({ route: CHANGE, init })).code;
  expect(
    await code(send('{"name":"a"}', { "content-type": "Application/JSON; charset=utf-8" })),
  ).toBe("");
  expect(await code(send('{"name":"a"}', { "content-type": "text/plain" }))).toBe(
    "unsupported_media_type",
  );
  expect(await code(send("{"))).toBe("invalid_json");
  expect(await code(send(""))).toBe("invalid_json");
  expect(await code(send(Uint8Array.of(0x22, 0xff, 0x22)))).toBe("invalid_json");
  expect(await code(send("[".repeat(100_000)))).toBe("invalid_json");
  // Deeper than the reader goes: no JSON that anyone means.
  expect(await code(send(`${"[".repeat(100_000)}${"]".repeat(100_000)}`))).toBe("invalid_json");
  for (const extra of ["organization_id", "project_id", "role", "is_admin", "__proto__"]) {
    expect(await code(send(`{"name":"a","${extra}":"other"}`)), extra).toBe("invalid_body");
  }
  const padding = " ".repeat(MAX_REQUEST_BODY_BYTES);
  expect(await code(send(`{"name":"a"}${padding}`))).toBe("body_too_large");
  expect(await code(send(`{"name":"a"}${padding.slice(12)}`))).toBe("");
});

test("a body that never ends is not read further than its limit", async () => {
  let sent = 0;
  let is_cancelled = false;
  const endless = new ReadableStream({
    pull(controller) {
      sent += 65_536;
      controller.enqueue(new Uint8Array(65_536).fill(32));
    },
    cancel() {
      is_cancelled = true;
    },
  });
  expect((await ask({ route: CHANGE, init: send(endless) })).code).toBe("body_too_large");
  expect(sent).toBeLessThan(2 * MAX_REQUEST_BODY_BYTES);
  expect(is_cancelled).toBe(true);
});

test("the body is read only for who may act", async () => {
  let is_read = false;
  const body = new ReadableStream(
    {
      pull(controller) {
        is_read = true;
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const actor = makeKey({ scopes: ["read"] });
  expect((await ask({ route: CHANGE, actor, init: send(body) })).status).toBe(403);
  expect(is_read).toBe(false);
});

test("a refused act is in the audit log of whose key it was, and what one may read is not", async () => {
  const acting = { route: CHANGE, init: send('{"name":"a"}') } as const;
  const reader = makeKey({ scopes: ["read"] });
  const refused = await ask({ ...acting, actor: reader });
  expect(refused.audited).toMatchObject([
    {
      outcome: "refused",
      action: "budgets:write",
      organization_id: "acme",
      project_id: "acme",
      object_kind: "route",
      object_id: "POST /v1/things",
      remote_address: "192.0.2.1",
      request_id: "request-1",
    },
  ]);
  const elsewhere = await ask({ ...acting, url: `${THINGS}?project=other` });
  expect(elsewhere.status).toBe(404);
  expect(elsewhere.audited).toMatchObject([
    { outcome: "refused", organization_id: "acme", project_id: null },
  ]);
  expect((await ask({ actor: makeKey({ scopes: [] }) })).audited).toEqual([]);
  expect((await ask({ ...acting, init: send("{}") })).audited).toEqual([]);
});

test("an act that its handler refuses or does not end is in the audit log", async () => {
  const acting = (handle: Route["handle"]) =>
    ask({ route: { ...CHANGE, handle }, init: send('{"name":"a"}'), actor: makeKey(SHOP) });
  const refused = await acting(async () => {
    throw new ApiError(403, "last_owner", "no");
  });
  expect(refused.audited).toMatchObject([{ outcome: "refused" }]);
  const failed = await acting(async () => {
    throw new Error("broken");
  });
  expect(failed.audited).toMatchObject([{ outcome: "failed" }]);
  const wrong = await acting(async () => {
    throw new ApiError(409, "conflict", "no");
  });
  expect(wrong.audited).toEqual([]);
});
const SHOP = { scopes: SCOPES } as const;

test("an audit log that is away does not change what a refusal says", async () => {
  const audit = async () => {
    throw new Error("away");
  };
  const actor = makeKey({ scopes: ["read"] });
  const { status } = await ask({ route: CHANGE, init: send("{}"), actor, audit });
  expect(status).toBe(403);
});

test("what the handler writes down says who asked, about what, from where", async () => {
  const handle = async (request: ApiRequest) =>
    request.audit({ object_kind: "budget", object_id: "b1", detail: { created: 1 } });
  const { audited } = await ask({ route: { ...CHANGE, handle }, init: send('{"name":"a"}') });
  expect(audited).toMatchObject([
    {
      outcome: "done",
      organization_id: "acme",
      project_id: "acme",
      object_kind: "budget",
      object_id: "b1",
      actor: { id: "key-1" },
      remote_address: "192.0.2.1",
    },
  ]);
});
