/**
 * The query API as a Hono application: middleware and routes. No input or output at import; what it
 * reads from is an argument, so that every route is tested without a socket.
 */
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Engine } from "../clickhouse/engine.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { ApiError, errorBody, toApiError } from "./errors.ts";
import { makeOpenApi } from "./openapi.ts";
import { answerCalls } from "./routes/calls.ts";
import { answerExplain } from "./routes/explain.ts";
import { answerTrace } from "./routes/traces.ts";
import { answerUsage } from "./routes/usage.ts";

export interface AppOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly version: string;
  readonly now_ms: () => number;
  /** The project that the headers of a request may read, or null when the key is not good. */
  readonly authenticate: (headers: Readonly<Record<string, string>>) => string | null;
  /** True when only loopback names may be asked for: without keys, a web page must not get in. */
  readonly loopback_only: boolean;
  /** Metrics of the process in Prometheus text. */
  readonly renderMetrics: () => Promise<string>;
  /** What has to be well for the process to do its work, by name. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>;
}

type AppEnv = { Variables: { project_id: string } };

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Builds the application. */
export function createApp(options: AppOptions): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  addMiddleware(app, options);
  addOperations(app, options);
  const { engine, now_ms } = options;
  app.get("/v1/usage", async (c) =>
    c.json(await answerUsage(engine, c.get("project_id"), c.req.url, now_ms())),
  );
  app.get("/v1/calls", async (c) =>
    c.json(await answerCalls(engine, c.get("project_id"), c.req.url, now_ms())),
  );
  app.get("/v1/calls/:call_id/explain", async (c) => {
    refuseParameters(c.req.url);
    return c.json(await answerExplain(engine, c.get("project_id"), c.req.param("call_id")));
  });
  app.get("/v1/traces/:trace_id", async (c) => {
    refuseParameters(c.req.url);
    return c.json(await answerTrace(engine, c.get("project_id"), c.req.param("trace_id")));
  });
  addErrors(app, options.log);
  return app;
}

function refuseParameters(url: string): void {
  const [name] = [...new URL(url).searchParams.keys()];
  if (name === undefined) return;
  const details = [{ path: name, message: "is not a parameter of this route" }];
  throw new ApiError(400, "invalid_query", `${name} is not a parameter of this route`, details);
}

function addMiddleware(app: Hono<AppEnv>, options: AppOptions): void {
  app.use(async (c, next) => {
    // Before anything can fail: errors carry them too.
    c.header("x-content-type-options", "nosniff");
    c.header("cache-control", "no-store");
    if (options.loopback_only && !LOOPBACK_HOST.test(c.req.header("host") ?? "localhost")) {
      // A page of another site can point its name at this machine (DNS rebinding).
      throw new ApiError(403, "wrong_host", "Without a key only loopback names are answered.");
    }
    await next();
  });
  const authenticate = async (
    c: { req: { header(): Record<string, string> }; set(key: "project_id", value: string): void },
    next: () => Promise<void>,
  ) => {
    const project_id = options.authenticate(c.req.header());
    if (project_id === null) {
      throw new ApiError(
        401,
        "unauthenticated",
        "No valid key. Send it as `Authorization: Bearer <key>` or `x-api-key: <key>`.",
      );
    }
    c.set("project_id", project_id);
    await next();
  };
  app.use("/v1/*", authenticate);
  app.use("/metrics", authenticate);
}

function addOperations(app: Hono<AppEnv>, options: AppOptions): void {
  const openapi = makeOpenApi(options.version);
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    const checks: Record<string, string> = {};
    for (const [name, check] of Object.entries(options.checks)) {
      try {
        await check();
        checks[name] = "ok";
      } catch (error) {
        // The reason goes to the log: it may name hosts.
        options.log.warn({ check: name }, `not ready: ${messageOf(error)}`);
        checks[name] = "failing";
      }
    }
    const ready = Object.values(checks).every((state) => state === "ok");
    return c.json({ status: ready ? "ready" : "not ready", checks }, ready ? 200 : 503);
  });
  app.get("/metrics", async (c) => {
    const text = await options.renderMetrics();
    return c.body(text, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });
  app.get("/openapi.json", (c) => c.json(openapi));
}

/** Whether a path is one of a route such as `/v1/traces/:trace_id`. */
function matchesPath(route: string, path: string): boolean {
  const wanted = route.split("/");
  const given = path.split("/");
  return (
    wanted.length === given.length &&
    wanted.every((part, index) => part.startsWith(":") || part === given[index])
  );
}

function addErrors(app: Hono<AppEnv>, log: Log): void {
  app.notFound((c) => {
    const known = app.routes.some(
      (route) => route.method === "GET" && matchesPath(route.path, c.req.path),
    );
    if (known && c.req.method !== "GET") {
      c.header("allow", "GET, HEAD");
      const error = new ApiError(405, "method_not_allowed", "This route answers GET.");
      return c.json(errorBody(error), error.status);
    }
    const error = new ApiError(404, "not_found", "There is no such route; see /openapi.json.");
    return c.json(errorBody(error), error.status);
  });
  app.onError((thrown, c) => {
    const error =
      thrown instanceof HTTPException
        ? new ApiError(400, "invalid_request", thrown.message)
        : toApiError(thrown);
    if (error.status >= 500) {
      log.error({ path: c.req.path, status: error.status }, messageOf(thrown).slice(0, 500));
    }
    if (error.status === 401) c.header("www-authenticate", "Bearer");
    if (error.status === 503) c.header("retry-after", "1");
    return c.json(errorBody(error), error.status);
  });
}
