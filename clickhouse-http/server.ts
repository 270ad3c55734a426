/**
 * The endpoint: HTTP as ClickHouse speaks it, for clients that know nothing of us.
 *
 * Invariant: nothing but whether it is up is told without a key that may read, and a key sees the
 * projects that it may read and no others, whatever is asked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Engine } from "../clickhouse/engine.ts";
import { findReaderOpener, readCatalog, type ReaderLimits } from "../clickhouse/reader.ts";
import { type Actor, AUTH_PROBLEMS, type Identity } from "../schemas/access.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import type { KeyHeaders } from "../schemas/keys.ts";
import type { Log } from "../schemas/log.ts";
import { type Answer, answerQuestion, type Sources } from "./answer.ts";
import { ClickHouseError, refuse } from "./errors.ts";
import { contentTypeOf } from "./formats.ts";
import { listRefusedNames } from "./gate.ts";
import { type Question, readQuestion, tooLarge } from "./question.ts";
import { findVisible } from "./tables.ts";

/** What the endpoint works with. */
export interface EndpointOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly limits: ReaderLimits;
  /** Who a request is from. */
  readonly authenticate: (headers: KeyHeaders) => Identity;
  /** Whether a key is needed, that is, whether there is one. */
  readonly hasKeys: () => boolean;
  /** Projects that an actor may read; null: the whole installation. */
  readonly listProjects: (actor: Actor) => readonly string[] | null;
  /** Counts a request of an actor, or one with a wrong key (null). Seconds to wait, 0: go on. */
  readonly admit: (actor: Actor | null, remote_address: string) => number;
  /** Waits for a turn of an actor; answers what ends it. Rejects when too many wait, or for too long. */
  readonly enter: (actor: Actor, signal: AbortSignal) => Promise<() => void>;
}

/** Projects of one key at most: each is a word in the filter of every table. */
export const MAX_PROJECTS = 1_000;
/** Longest a request may take to arrive, ms. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Longest that a client may take to take an answer, ms; then it is cut off. */
const SEND_TIMEOUT_MS = 60_000;
/** Connections at once at most; Grafana keeps a few. */
const MAX_CONNECTIONS = 256;
/** Answers below this are not worth compressing, bytes. */
const MIN_GZIP_BYTES = 1_024;

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;
/** Paths that say that the server is up, as ClickHouse has them. */
const PINGS: ReadonlySet<string> = new Set(["/ping", "/replicas_status"]);
const gzipAsync = promisify(gzip);

/**
 * Makes the server; it listens when told to. Throws PermanentError("no_embedded_engine") when the engine
 * is a ClickHouse server, which has an endpoint and users of its own.
 */
export async function makeClickHouseServer(options: EndpointOptions): Promise<Server> {
  const open = findReaderOpener(options.engine);
  if (open === null) {
    throw new PermanentError(
      "no_embedded_engine",
      "SPANLEDGER_CLICKHOUSE_HTTP is for the embedded engine. With SPANLEDGER_CLICKHOUSE_URL set, point " +
        "clients at that server, with a user of its own that may read.",
    );
  }
  const catalog = await readCatalog(options.engine);
  const refused_names = listRefusedNames(catalog.functions);
  const sources: Sources = { open, catalog, refused_names, limits: options.limits };
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    void respond(request, response, options, sources);
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  options: EndpointOptions,
  sources: Sources,
): Promise<void> {
  response.setHeader("x-clickhouse-server-display-name", "spanledger");
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("cache-control", "no-store");
  const begin_ms = performance.now();
  try {
    const url = readUrl(request);
    refuseForeign(request, options);
    if (isPing(request, url)) {
      response.setHeader("content-type", "text/plain; charset=UTF-8");
      response.end("Ok.\n");
      return;
    }
    const actor = findActor(request, options);
    const visible = findVisible(sources.catalog, findProjects(actor, options));
    const body = await readBody(request, options.limits);
    const { database } = sources.catalog;
    const question = readQuestion(url, request.headers, body, { database, limits: options.limits });
    await answerInTurn(response, actor, options, async () => {
      const answer = await answerQuestion(question, visible, sources);
      await send(response, question, answer, performance.now() - begin_ms);
    });
  } catch (error) {
    sendError(response, error, options.log);
  }
}

function readUrl({ url = "/" }: IncomingMessage): URL {
  if (URL.canParse(url, "http://localhost")) return new URL(url, "http://localhost");
  throw refuse("BAD_ARGUMENTS", "The URL cannot be read.");
}

/** Requests of web pages of others, which might reach this machine where people cannot. */
function refuseForeign(request: IncomingMessage, { hasKeys }: EndpointOptions): void {
  const { host, "sec-fetch-site": site } = request.headers;
  // A page of another site can point its name at this machine (DNS rebinding).
  const is_rebound = !hasKeys() && !LOOPBACK_HOST.test(host ?? "localhost");
  if (is_rebound || site === "cross-site" || site === "same-site") {
    throw refuse("ACCESS_DENIED", "Pages of other sites are not answered.");
  }
}

function isPing({ method }: IncomingMessage, url: URL): boolean {
  if (method !== "GET" && method !== "HEAD" && method !== "POST") {
    throw refuse("HTTP_LENGTH_REQUIRED", "This endpoint answers GET and POST.");
  }
  const is_reading = method !== "POST";
  if (is_reading && PINGS.has(url.pathname)) return true;
  if (url.pathname !== "/") {
    throw new ClickHouseError("There is no such path here; queries go to /.", 0, 404);
  }
  return is_reading && !url.searchParams.has("query");
}

/** Whose request it is. A key is needed always, also where the query API would do without. */
function findActor(request: IncomingMessage, options: EndpointOptions): Actor {
  if (!options.hasKeys()) {
    throw refuse(
      "AUTHENTICATION_FAILED",
      "This endpoint needs a key and the installation has none. Make one with `spanledger keys create`, " +
        "and send it as the password of any user.",
    );
  }
  const remote_address = request.socket.remoteAddress ?? "";
  const identity = options.authenticate(keyHeaders(request));
  if ("problem" in identity) {
    const { problem, message } = identity;
    const { status } = AUTH_PROBLEMS[problem];
    if (status === 503) throw refuse("NETWORK_ERROR", message, 1);
    refuseWhenBusy(
      options.admit(null, remote_address),
      "Too many wrong keys came from this address.",
    );
    throw problem === "missing"
      ? refuse(
          "REQUIRED_PASSWORD",
          "Send a key as the password of any user, or as X-ClickHouse-Key.",
        )
      : refuse("AUTHENTICATION_FAILED", message);
  }
  const { actor } = identity;
  refuseWhenBusy(options.admit(actor, remote_address), "Too many requests of this key.");
  return actor;
}

function refuseWhenBusy(wait_s: number, message: string): void {
  if (wait_s <= 0) return;
  const retry_s = Math.max(1, Math.ceil(wait_s));
  throw refuse("TOO_MANY_SIMULTANEOUS_QUERIES", `${message} Try again later.`, retry_s);
}

/** The headers of a request, with ClickHouse's own header for a key as one that we know. */
function keyHeaders({ headers }: IncomingMessage): KeyHeaders {
  const key = headers["x-clickhouse-key"];
  return key === undefined || headers["x-api-key"] !== undefined
    ? headers
    : { ...headers, "x-api-key": key };
}

function findProjects(actor: Actor, options: EndpointOptions): readonly string[] | null {
  const projects = options.listProjects(actor);
  if (projects !== null && projects.length === 0) {
    throw refuse("ACCESS_DENIED", "The key may not read any project: it needs the scope read.");
  }
  if (projects !== null && projects.length > MAX_PROJECTS) {
    throw refuse(
      "ACCESS_DENIED",
      `The key reads more than ${MAX_PROJECTS} projects; take a key of one project.`,
    );
  }
  return projects;
}

async function readBody(request: IncomingMessage, limits: ReaderLimits): Promise<string> {
  const { "content-encoding": encoding = "identity", "content-type": type = "" } = request.headers;
  if (encoding !== "identity" || type.startsWith("multipart/")) {
    throw refuse(
      "NOT_IMPLEMENTED",
      "A body that is compressed or a form is not read; send the query as plain text.",
    );
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > limits.max_query_bytes) throw tooLarge(limits);
    parts.push(part);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw refuse("INCORRECT_DATA", "The body is not UTF-8.");
  }
}

/** Runs and sends in a turn of the actor: an answer that is not taken is memory, so it keeps its turn. */
async function answerInTurn(
  response: ServerResponse,
  actor: Actor,
  { enter }: EndpointOptions,
  answer: () => Promise<void>,
): Promise<void> {
  // Who leaves while waiting is waited for no more. What runs runs on: the engine cannot be interrupted.
  const leave = new AbortController();
  response.once("close", () => leave.abort());
  let end: () => void;
  try {
    end = await enter(actor, leave.signal);
  } catch (error) {
    throw refuse("TOO_MANY_SIMULTANEOUS_QUERIES", messageOf(error), 1);
  }
  try {
    await answer();
  } finally {
    end();
  }
}

/** Sends an answer; resolves when it was taken, or nobody is there, or it took too long. */
async function send(
  response: ServerResponse,
  question: Question,
  { bytes, format }: Answer,
  elapsed_ms: number,
): Promise<void> {
  const is_gzipped = question.takes_gzip && bytes.length >= MIN_GZIP_BYTES;
  // How much was read is not told: it would count hidden rows.
  const summary = {
    read_rows: "0",
    read_bytes: "0",
    written_rows: "0",
    written_bytes: "0",
    total_rows_to_read: "0",
    result_rows: "0",
    result_bytes: String(bytes.length),
    elapsed_ns: String(Math.round(elapsed_ms * 1e6)),
  };
  const body = is_gzipped ? await gzipAsync(bytes) : bytes;
  response.writeHead(200, {
    "content-type": contentTypeOf(format) ?? "application/octet-stream",
    "content-length": body.length,
    ...(is_gzipped ? { "content-encoding": "gzip" } : {}),
    "x-clickhouse-format": format,
    "x-clickhouse-query-id": question.query_id,
    "x-clickhouse-timezone": "UTC",
    "x-clickhouse-summary": JSON.stringify(summary),
  });
  response.end(body);
  await taken(response);
}

/** Resolves when an answer was taken or its client has gone; who is too slow is cut off. */
function taken(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      response.req.destroy();
      resolve();
    }, SEND_TIMEOUT_MS);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    if (response.closed) end();
    else response.once("finish", end).once("close", end);
  });
}

function sendError(response: ServerResponse, thrown: unknown, log: Log): void {
  if (!(thrown instanceof ClickHouseError)) {
    log.error({}, `ClickHouse endpoint: ${messageOf(thrown).slice(0, 500)}`);
  }
  const error =
    thrown instanceof ClickHouseError
      ? thrown
      : new ClickHouseError(
          "Code: 1001. DB::Exception: Internal error. (STD_EXCEPTION)",
          1001,
          500,
        );
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(error.status, {
    "content-type": "text/plain; charset=UTF-8",
    "x-clickhouse-exception-code": String(error.number),
    ...(error.retry_after_s === null ? {} : { "retry-after": String(error.retry_after_s) }),
    ...(error.status === 401 ? { "www-authenticate": "Bearer" } : {}),
    // What is left of a body that was not read would be taken for the next request.
    connection: "close",
  });
  response.end(`${error.message}\n`);
}
