/**
 * The query API as a Hono application, made from the table of routes. No input or output at import; what
 * it reads from is an argument, so that every route is tested without a socket.
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { answerRoute, type Gate, makeRequestId } from "./answer.ts";
import { compressAnswers } from "./compression.ts";
import { ApiError, errorBody, toApiError } from "./errors.ts";
import type { Route, Services } from "./route.ts";
import { makeRoutes, type OperationsOptions } from "./routes.ts";

export interface AppOptions extends Services, Gate, Omit<OperationsOptions, "authenticate"> {
  /** True when only loopback names may be asked for: without keys, a web page must not get in. */
  readonly loopback_only: boolean;
}

/** What the server of Node tells of a connection. */
interface NodeBindings {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string } };
}
type AppEnv = { Bindings: NodeBindings; Variables: { request_id: string } };

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Builds the application. */
export function createApp(options: AppOptions): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(compressAnswers());
  app.use(async (c, next) => {
    const request_id = makeRequestId();
    c.set("request_id", request_id);
    // Before anything can fail: errors carry them too.
    c.header("x-content-type-options", "nosniff");
    c.header("x-request-id", request_id);
    c.header("cache-control", "no-store");
    if (options.loopback_only && !LOOPBACK_HOST.test(c.req.header("host") ?? "localhost")) {
      // A page of another site can point its name at this machine (DNS rebinding).
      throw new ApiError(403, "wrong_host", "Without a key only loopback names are answered.");
    }
    await next();
  });
  const routes = makeRoutes(options);
  for (const route of routes) {
    const path = route.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(route.method, path, (c) => answerOne(c, route, options));
  }
  addErrors(app, routes, options.log);
  return app;
}

async function answerOne(c: Context<AppEnv>, route: Route, options: AppOptions): Promise<Response> {
  const incoming = {
    raw: c.req.raw,
    path: c.req.param() as Record<string, string>,
    remote_address: c.env?.incoming?.socket?.remoteAddress ?? "",
    request_id: c.get("request_id"),
    setHeader: (name: string, value: string) => c.header(name, value),
  };
  const answer = await answerRoute(route, incoming, options, options);
  if (answer instanceof Response) {
    for (const [name, value] of answer.headers) c.header(name, value);
    // Nobody reads the body of an answer to HEAD: what makes it must know.
    if (c.req.raw.method === "HEAD") await answer.body?.cancel();
    return answer.body === null || c.req.raw.method === "HEAD"
      ? c.body(null, answer.status as 204)
      : c.body(answer.body as ReadableStream, answer.status as 200);
  }
  if (route.status === 204) return c.body(null, 204);
  return c.json(answer as object, route.status ?? 200);
}

/** Whether a path is one of a route such as `/v1/traces/{trace_id}`. */
function matchesPath(route: string, path: string): boolean {
  const wanted = route.split("/");
  const given = path.split("/");
  return (
    wanted.length === given.length &&
    wanted.every((part, index) => part.startsWith("{") || part === given[index])
  );
}

function addErrors(app: Hono<AppEnv>, routes: readonly Route[], log: Log): void {
  app.notFound((c) => {
    const methods = routes
      .filter(({ path }) => matchesPath(path, c.req.path))
      .flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
    if (methods.length > 0 && !methods.includes(c.req.method)) {
      c.header("allow", methods.join(", "));
      const message = `This route answers ${methods.join(", ")}.`;
      const error = new ApiError(405, "method_not_allowed", message);
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
      const fields = {
        path: c.req.path,
        status: error.status,
        request_id: c.get("request_id"),
      };
      log.error(fields, messageOf(thrown).slice(0, 500));
    }
    if (error.status === 401) c.header("www-authenticate", "Bearer");
    if (error.status === 503) c.header("retry-after", "1");
    if (error.retry_after_s !== null) c.header("retry-after", String(error.retry_after_s));
    return c.json(errorBody(error), error.status);
  });
}
