/**
 * OTLP/HTTP: takes export requests and answers them. Knows HTTP and nothing of their items; what to do
 * with a body is an argument.
 *
 * Order of checks: path, method, key, media type, size, and only then a byte of the body: nobody
 * without a key makes the collector inflate anything.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { PermanentError } from "../../schemas/errors.ts";
import { chooseInflater, declaredBytes, inflateBody, type MakeInflater, readBody } from "./body.ts";
import { type Hold, makeInFlightLimit } from "./in-flight.ts";
import {
  CONTENT_TYPES,
  errorReply,
  type ExportResult,
  exportReply,
  type OtlpEncoding,
  type OtlpSignal,
  type Reply,
} from "./reply.ts";

export interface OtlpHttpOptions {
  readonly max_body_bytes: number;
  /** Bodies being worked on at once, bytes, as sent and inflated. */
  readonly max_in_flight_bytes: number;
  /** The project a request may write to, or null when its key is not good. */
  readonly authenticate: (headers: IncomingMessage["headers"]) => string | null;
  /** Takes a body durably. Resolves only when the sender may forget it. */
  readonly exportBody: (
    signal: OtlpSignal,
    body: Uint8Array,
    encoding: OtlpEncoding,
    project_id: string,
  ) => Promise<ExportResult>;
  /** Told of every answer, for metrics. */
  readonly observe: (signal: OtlpSignal | "", status: number, body_bytes: number) => void;
}

/** Beyond Go clients' idle pool of 90 s, so that the client closes first (reliability.md 0.8). */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 10_000;
/**
 * How long the rest of a refused body is read and thrown away, ms. Many senders read the answer only
 * when they have sent everything; five seconds let 64 MiB through at 13 MB/s.
 */
const LINGER_MS = 5_000;

/**
 * Where each signal is received: the standard path, and those that SDKs of other products append to
 * the address they are given (dialects.md section 1.8).
 */
const SIGNAL_PATHS: ReadonlyMap<string, OtlpSignal> = new Map([
  ["/v1/traces", "traces"],
  ["/v1/logs", "logs"],
  ["/v1/metrics", "metrics"],
  ["/api/public/otel/v1/traces", "traces"],
  ["/otel/v1/traces", "traces"],
]);

/** The signal that the path of a request is for. */
function signalOf(request: IncomingMessage): OtlpSignal | undefined {
  return SIGNAL_PATHS.get((request.url ?? "").split("?")[0] ?? "");
}

/** An HTTP server for OTLP; the caller makes it listen and closes it. */
export function createOtlpHttpServer(options: OtlpHttpOptions): Server {
  const openHold = makeInFlightLimit(options.max_in_flight_bytes);
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 5_000,
      insecureHTTPParser: false,
    },
    (request, response) => {
      void handle(request, response, options, openHold(), () => {});
    },
  );
  // A request that is refused by its headers gets its answer instead of "100 Continue".
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    void handle(request, response, options, openHold(), () => response.writeContinue());
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

/** The media type decides the encoding of the answer, also of errors; protobuf when it is neither. */
function encodingOf(request: IncomingMessage): OtlpEncoding | null {
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (type === CONTENT_TYPES.json) return "json";
  if (type === CONTENT_TYPES.protobuf || type === "application/protobuf") return "protobuf";
  return null;
}

/** What a request that may go on is worked on with. */
interface Admission {
  readonly signal: OtlpSignal;
  readonly encoding: OtlpEncoding;
  readonly project_id: string;
  readonly makeInflater: MakeInflater | null;
}

/** Decides by the head of the request alone; throws the error that refuses it. */
function admit(request: IncomingMessage, options: OtlpHttpOptions): Admission {
  if (countHosts(request) > 1) {
    throw new PermanentError("invalid_request", "The request has more than one Host header.");
  }
  const signal = signalOf(request);
  if (signal === undefined) {
    throw new PermanentError(
      "unknown_path",
      "Unknown path; OTLP is received at /v1/traces, /v1/logs and /v1/metrics.",
    );
  }
  if (request.method !== "POST") {
    throw new PermanentError("method_not_allowed", "Export requests are sent by POST.");
  }
  const project_id = options.authenticate(request.headers);
  if (project_id === null) {
    throw new PermanentError(
      "unauthenticated",
      "No valid key. Send it as `Authorization: Bearer <key>` or `x-api-key: <key>`.",
    );
  }
  const encoding = encodingOf(request);
  if (encoding === null) {
    throw new PermanentError(
      "unsupported_media_type",
      `Content-Type must be ${CONTENT_TYPES.protobuf} or ${CONTENT_TYPES.json}.`,
    );
  }
  return {
    signal,
    encoding,
    project_id,
    makeInflater: chooseInflater(request, options.max_body_bytes),
  };
}

/** Node keeps the first of two Host headers; a proxy before us may have gone by the second. */
function countHosts(request: IncomingMessage): number {
  const { rawHeaders } = request;
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length === 4 && name.toLowerCase() === "host") count += 1;
  }
  return count;
}

/** Answers one request, whatever happens. `invite` asks a waiting sender for the body. */
async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: OtlpHttpOptions,
  hold: Hold,
  invite: () => void,
): Promise<void> {
  let sent_bytes = 0;
  let reply: Reply;
  try {
    const { signal, encoding, project_id, makeInflater } = admit(request, options);
    hold.check(declaredBytes(request));
    invite();
    const { max_body_bytes } = options;
    const sent = await readBody(request, max_body_bytes, hold.add);
    sent_bytes = sent.length;
    const body = await inflateBody(sent, makeInflater, max_body_bytes, hold.add);
    const result = await options.exportBody(signal, body, encoding, project_id);
    reply = exportReply(signal, encoding, result);
  } catch (error) {
    // Who sends nothing we know is answered in JSON, which people read.
    reply = errorReply(encodingOf(request) ?? "json", error);
  } finally {
    hold.release();
  }
  // A small body comes in one piece with the head: once it is parsed too, the connection can stay.
  if (!request.complete) await new Promise((resolve) => setImmediate(resolve));
  if (response.destroyed) return; // the sender is gone: there is no answer
  options.observe(signalOf(request) ?? "", reply.status, sent_bytes);
  send(request, response, reply);
}

function send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  const unread = !request.complete;
  response.writeHead(reply.status, {
    "content-type": reply.content_type,
    "content-length": reply.body.length,
    "x-content-type-options": "nosniff",
    ...reply.headers,
    // What is left of a refused body is not waited for.
    ...(unread ? { connection: "close" } : {}),
  });
  if (!unread) {
    response.end(reply.body);
    return;
  }
  // The answer goes out now and the connection closes later: closing it while bytes come in resets
  // it, and the sender would lose the answer.
  response.flushHeaders();
  response.write(reply.body);
  const close = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(close, LINGER_MS).unref();
  request.on("end", close);
  request.on("close", close);
  request.resume();
}
