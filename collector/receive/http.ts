/**
 * OTLP/HTTP: takes export requests and answers them. Knows HTTP and nothing of their items; what to do
 * with a body is an argument.
 *
 * Order of checks: path, method, key, media type, size, and only then a byte of the body: nobody
 * without a key makes the collector inflate anything.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import { PermanentError } from "../../schemas/errors.ts";
import type { Authenticate, Sender } from "../../schemas/sender.ts";
import {
  chooseInflater,
  declaredBytes,
  inflateBody,
  type MakeInflater,
  readBody,
  type WatchBody,
} from "./body.ts";
import { BodyPool } from "./body-pool.ts";
import { type Cors, makeCors, type OriginList } from "./cors.ts";
import { type TlsFiles, tlsOptions } from "./grpc-tls.ts";
import { type Hold, makeInFlightLimit } from "./in-flight.ts";
import { answerParserErrors } from "./parser-errors.ts";
import {
  CONTENT_TYPES,
  errorReply,
  type ExportResult,
  exportReply,
  type OtlpEncoding,
  type OtlpSignal,
  type Reply,
} from "./reply.ts";
import { DEFAULT_TIMEOUTS, makeSlowBodyWatch, type ReceiveTimeouts } from "./timeouts.ts";

export interface OtlpHttpOptions {
  readonly max_body_bytes: number;
  /** Bodies being worked on at once, bytes, as sent and inflated. */
  readonly max_in_flight_bytes: number;
  /** The same limit, shared with other receivers; it has one of its own when this is not given. */
  readonly openHold?: () => Hold;
  /** Requests come encrypted when this is given. */
  readonly tls?: TlsFiles | null;
  /** The sender by its headers; throws what refuses it. */
  readonly authenticate: Authenticate;
  /** Takes a body durably. Resolves only when the sender may forget it. */
  readonly exportBody: (
    signal: OtlpSignal,
    body: Uint8Array,
    encoding: OtlpEncoding,
    sender: Sender,
  ) => Promise<ExportResult>;
  /** Told of every answer, for metrics. */
  readonly observe: (signal: OtlpSignal | "", status: number, body_bytes: number) => void;
  /** Origins whose pages may send; none when it is not given. */
  readonly cors_origins?: OriginList;
  /** A path in front of the standard ones, which are then taken too: "/otlp". */
  readonly path_prefix?: string;
  /** Throws RetryableError while no more can be taken: asked before the body is. */
  readonly checkLoad?: () => void;
  readonly timeouts?: ReceiveTimeouts;
}

const MAX_CONNECTIONS = 10_000;

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

/** What all requests of a server are worked on with. */
interface Receiver {
  readonly options: OtlpHttpOptions;
  readonly timeouts: ReceiveTimeouts;
  readonly cors: Cors;
  /** The signal that the path of a request is for. */
  readonly signalOf: (request: IncomingMessage) => OtlpSignal | undefined;
  readonly openHold: () => Hold;
  readonly watchBody: WatchBody;
  readonly bodies: BodyPool;
}

function makeReceiver(options: OtlpHttpOptions, watchBody: WatchBody): Receiver {
  const paths = new Map(SIGNAL_PATHS);
  for (const [path, signal] of SIGNAL_PATHS) {
    paths.set(`${options.path_prefix ?? ""}${path}`, signal);
  }
  return {
    options,
    timeouts: options.timeouts ?? DEFAULT_TIMEOUTS,
    cors: makeCors(options.cors_origins ?? []),
    signalOf: ({ url = "" }) => paths.get(url.split("?")[0] ?? ""),
    openHold: options.openHold ?? makeInFlightLimit(options.max_in_flight_bytes),
    bodies: new BodyPool(),
    watchBody,
  };
}

/** An HTTP server for OTLP; the caller makes it listen and closes it. */
export function createOtlpHttpServer(options: OtlpHttpOptions): Server {
  const timeouts = options.timeouts ?? DEFAULT_TIMEOUTS;
  const { watch, stop } = makeSlowBodyWatch(timeouts, () => performance.now());
  const receiver = makeReceiver(options, watch);
  const server = createMaybeSecureServer(options.tls ?? null, {
    keepAliveTimeout: timeouts.keep_alive_ms,
    headersTimeout: timeouts.headers_ms,
    requestTimeout: timeouts.request_ms,
    connectionsCheckingInterval: timeouts.check_ms,
    insecureHTTPParser: false,
    // Node's own answer would have no body; `admit` looks at the Host header.
    requireHostHeader: false,
  });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    void handle(request, response, receiver, () => {});
  });
  // A request that is refused by its headers gets its answer instead of "100 Continue".
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    void handle(request, response, receiver, () => response.writeContinue());
  });
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    void handle(request, response, receiver, () => {
      throw new PermanentError("expectation_failed", "Expect can only be 100-continue.");
    });
  });
  answerParserErrors(server);
  server.on("close", stop);
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

function createMaybeSecureServer(tls: TlsFiles | null, options: ServerOptions): Server {
  return tls === null
    ? createServer(options)
    : createSecureServer({ ...options, ...tlsOptions(tls) });
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
  readonly sender: Sender;
  readonly makeInflater: MakeInflater | null;
}

/** Decides by the head of the request alone; throws the error that refuses it. */
function admit(request: IncomingMessage, { options, signalOf }: Receiver): Admission {
  // HTTP/1.0 knows no Host; of two, a proxy before us may have gone by the other one.
  const hosts = countHosts(request);
  if (hosts > 1 || (hosts === 0 && request.httpVersion === "1.1")) {
    throw new PermanentError("invalid_request", "A request must have exactly one Host header.");
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
  const sender = options.authenticate(request.headers);
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
    sender,
    makeInflater: chooseInflater(request, options.max_body_bytes),
  };
}

/** Node keeps only the first of several. */
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
  receiver: Receiver,
  invite: () => void,
): Promise<void> {
  if (answerPreflight(request, response, receiver)) return;
  const { options } = receiver;
  const hold = receiver.openHold();
  let sent_bytes = 0;
  let reply: Reply;
  try {
    const { signal, encoding, sender, makeInflater } = admit(request, receiver);
    // A chunked body declares nothing and has at least a byte.
    hold.check(Math.max(declaredBytes(request), 1));
    options.checkLoad?.();
    invite();
    const { max_body_bytes } = options;
    const watch = watcherOf(request, receiver);
    const sent = await readBody(request, max_body_bytes, hold.add, watch, receiver.bodies);
    sent_bytes = sent.length;
    const { bodies } = receiver;
    const body = await inflateBody(sent, makeInflater, max_body_bytes, hold.add, bodies);
    if (body !== sent) bodies.give(sent);
    const result = await options.exportBody(signal, body, encoding, sender);
    // What was refused may still be looked at by who is told so.
    bodies.give(body);
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
  options.observe(receiver.signalOf(request) ?? "", reply.status, sent_bytes);
  send(request, response, reply, receiver);
}

const watchNothing: WatchBody = () => () => {};

/**
 * A body smaller than what a window must bring is left to the time limit of its request: to watch it
 * would cost a sixth of receiving it (measured: 5 of 31 us of CPU).
 */
function watcherOf(request: IncomingMessage, { timeouts, watchBody }: Receiver): WatchBody {
  const is_declared = request.headers["content-length"] !== undefined;
  return is_declared && declaredBytes(request) <= timeouts.min_body_bytes
    ? watchNothing
    : watchBody;
}

/** A browser asks before it sends, without a key; only listed origins are answered. */
function answerPreflight(
  request: IncomingMessage,
  response: ServerResponse,
  { cors, options, signalOf }: Receiver,
): boolean {
  const signal = signalOf(request);
  if (request.method !== "OPTIONS" || signal === undefined) return false;
  const headers = cors.preflightHeaders(request.headers);
  if (headers === null) return false;
  options.observe(signal, 204, 0);
  response.writeHead(204, headers).end();
  return true;
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  { cors, timeouts }: Receiver,
): void {
  const unread = !request.complete;
  response.writeHead(reply.status, {
    "content-type": reply.content_type,
    "content-length": reply.body.length,
    "x-content-type-options": "nosniff",
    ...cors.answerHeaders(request.headers),
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
  const timer = setTimeout(close, timeouts.linger_ms).unref();
  request.on("end", close);
  request.on("close", close);
  request.resume();
}
