/**
 * The routes for those who run the server, and the OpenAPI document against the application: what
 * is documented exists, what exists is documented.
 */
import { expect, test } from "vitest";
import { z } from "zod";
import type { Engine } from "../clickhouse/engine.ts";
import { CallsQuery, UsageQuery } from "../schemas/api.ts";
import { RetryableError } from "../schemas/errors.ts";
import { makeTestApi, readStrictly } from "../test/support/api.ts";

/** An engine that answers no rows. */
const empty: Engine = {
  kind: "server",
  query: async () => [],
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

/** What the test needs of an OpenAPI document. */
const OpenApi = z.object({
  openapi: z.literal("3.1.0"),
  info: z.object({ version: z.string() }),
  paths: z.record(
    z.string(),
    z.strictObject({
      get: z.object({
        parameters: z.array(
          z.object({ name: z.string(), in: z.string(), schema: z.record(z.string(), z.unknown()) }),
        ),
        responses: z.record(z.string(), z.object({ description: z.string() })),
      }),
    }),
  ),
});

async function readDocument(): Promise<z.infer<typeof OpenApi>> {
  const { status, json } = await makeTestApi(empty).ask("/openapi.json", null);
  expect(status).toBe(200);
  return OpenApi.parse(json);
}

test("every route is documented and every documented route exists", async () => {
  const { app } = makeTestApi(empty);
  const routes = app.routes
    .filter((route) => route.method === "GET")
    .map((route) => route.path.replaceAll(/:(\w+)/g, "{$1}"));
  const { paths, info } = await readDocument();
  expect(Object.keys(paths).sort()).toEqual(routes.sort());
  expect(info.version).toBe("1.2.3");
});

test("every documented route answers as documented", async () => {
  const api = makeTestApi(empty);
  for (const [path, { get }] of Object.entries((await readDocument()).paths)) {
    const { status } = await api.ask(path.replace("{trace_id}", "a".repeat(32)));
    expect(Object.keys(get.responses), path).toContain(String(status));
  }
});

test("parameters are documented with what the routes take, and no others", async () => {
  const { paths } = await readDocument();
  const names = (path: string, where: string) =>
    paths[path]?.get.parameters.filter((one) => one.in === where).map((one) => one.name);
  expect(names("/v1/usage", "query")).toEqual(Object.keys(UsageQuery.shape));
  expect(names("/v1/calls", "query")).toEqual(Object.keys(CallsQuery.shape));
  expect(names("/v1/traces/{trace_id}", "path")).toEqual(["trace_id"]);
  for (const path of ["/healthz", "/readyz", "/metrics", "/openapi.json"]) {
    expect(names(path, "query")).toEqual([]);
  }
  const limit = paths["/v1/usage"]?.get.parameters.find((one) => one.name === "limit");
  expect(limit?.schema["type"]).toBe("string");
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
