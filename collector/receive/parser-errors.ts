/**
 * Answers what Node's HTTP parser refuses before there is a request: also these answers have a
 * google.rpc.Status as their body (OTLP 1.11 "Failures"), where Node's own have none.
 *
 * Invariant: an answer is written only where it belongs. While an earlier request of the connection
 * waits for its answer, a broken one after it gets none: its sender would take it for the first.
 */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { PermanentError } from "../../schemas/errors.ts";
import { errorReply } from "./reply.ts";

/** How long a refused sender may take to read its answer, ms. */
const ANSWER_LINGER_MS = 1_000;

const BAD_REQUEST = new PermanentError(
  "invalid_request",
  "This is not an HTTP/1.1 request; send OTLP/HTTP here, without TLS, and OTLP/gRPC to its own port.",
);

/** What is refused by the code of Node's error; any other is no HTTP. */
const REFUSALS: ReadonlyMap<string, PermanentError> = new Map([
  [
    "HPE_HEADER_OVERFLOW",
    new PermanentError(
      "head_too_large",
      "The request's headers take more than 16 KiB; send fewer.",
    ),
  ],
  [
    "HPE_CHUNK_EXTENSIONS_OVERFLOW",
    new PermanentError("body_too_large", "The chunk extensions of the body take more than 16 KiB."),
  ],
  [
    "ERR_HTTP_REQUEST_TIMEOUT",
    new PermanentError("request_timeout", "The request did not come in time; send it again."),
  ],
]);

/** Errors of a connection whose sender is gone or stopped in the middle: there is nobody to answer. */
const GONE = new Set(["ECONNRESET", "EPIPE", "HPE_INVALID_EOF_STATE"]);

/** Answers Node's parser errors on this server. */
export function answerParserErrors(server: Server): void {
  const newest = new WeakMap<Duplex, ServerResponse>();
  const refused = new WeakSet<Duplex>();
  for (const event of ["request", "checkContinue", "checkExpectation"] as const) {
    server.prependListener(event, (request: IncomingMessage, response: ServerResponse) => {
      newest.set(request.socket, response);
    });
  }
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // A dead parser reports again for every piece that still comes in.
    if (refused.has(socket)) return;
    refused.add(socket);
    if (!socket.writable || GONE.has(error.code ?? "")) {
      socket.destroy();
      return;
    }
    refuseInTurn(socket, newest.get(socket), REFUSALS.get(error.code ?? "") ?? BAD_REQUEST);
  });
  server.on("connect", (_request, socket) => {
    refuse(socket, new PermanentError("method_not_allowed", "This is no proxy."));
  });
}

/**
 * Node writes the answers of a connection in the order of its requests: the newest one is the last to
 * go out, and the error is in its body or behind it.
 */
function refuseInTurn(
  socket: Duplex,
  newest: ServerResponse | undefined,
  refusal: PermanentError,
): void {
  if (newest === undefined || newest.writableFinished) {
    refuse(socket, refusal);
    return;
  }
  newest.once("finish", () => endWith(socket, ""));
  const { req } = newest;
  // Who reads the body answers it; one that was refused by its head is not read.
  if (!req.complete && req.listenerCount("error") > 0) req.emit("error", refusal);
}

/** Who sends no HTTP we know is answered in JSON, which people read. */
function refuse(socket: Duplex, refusal: PermanentError): void {
  const { status, content_type, body, headers } = errorReply("json", refusal);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "connection: close",
    `content-type: ${content_type}`,
    `content-length: ${body.length}`,
    ...Object.entries(headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ];
  endWith(socket, Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), body]));
}

/** Closing at once, with bytes of the sender unread, would reset the connection and lose the answer. */
function endWith(socket: Duplex, bytes: Uint8Array | string): void {
  socket.on("error", () => {}); // the sender may be gone before it has read this
  socket.end(bytes);
  const timer = setTimeout(() => socket.destroy(), ANSWER_LINGER_MS);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}
