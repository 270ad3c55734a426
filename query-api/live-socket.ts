/**
 * WebSocket as another way to a stream of frames: the handshake becomes an ordinary request to the
 * application, and what that answers is sent message by message.
 *
 * Invariant: a socket may do what the same request could do without it and nothing more: key, rights,
 * limits and errors are those of the route.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { STATUS_CODES } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";

/** The application; the second argument has what the server knows of the connection. */
export type Fetch = (
  request: Request,
  bindings: { readonly incoming: IncomingMessage },
) => Response | Promise<Response>;

/** The protocol that the server speaks, and what a subprotocol begins with that carries a key. */
export const LIVE_PROTOCOL = "spanledger.v1";
export const KEY_PROTOCOL_PREFIX = "spanledger.key.";

/** Bytes of a message of a client: there is nothing to say. */
const MAX_MESSAGE_BYTES = 1024;
/** How long a socket may take to close, ms. */
const CLOSE_GRACE_MS = 1_000;
/** Headers of the handshake that are not of the request. */
const HOP_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "upgrade",
  "transfer-encoding",
  "content-length",
]);
/** What the last frame says, and the code that a socket closes with. */
const END_CODES: readonly (readonly [RegExp, number])[] = [
  [/^\{"kind":"end".*"reason":"stopping"/, 1001],
  [/^\{"kind":"end".*"reason":"not_allowed"/, 1008],
];

export interface Sockets {
  /** Cuts all sockets that have not closed by themselves within a second. */
  close(): Promise<void>;
}

/** Whether a request asks for a socket: for the option `shouldUpgradeCallback` of the server. */
export function asksForSocket({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return headers.upgrade?.toLowerCase() === "websocket";
}

/** Takes the WebSockets of a server, whose requests the application answers. */
export function acceptSockets(server: Server, fetch: Fetch): Sockets {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    // Never the one with the key: an answer must not repeat it.
    handleProtocols: (offered) => (offered.has(LIVE_PROTOCOL) ? LIVE_PROTOCOL : false),
  });
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    void answerHandshake(sockets, fetch, incoming, socket, head).catch(() => {
      refuse(socket, 500, "internal", "An internal error.");
    });
  });
  return {
    async close() {
      const deadline = Date.now() + CLOSE_GRACE_MS;
      while (sockets.clients.size > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      for (const client of sockets.clients) client.terminate();
      sockets.close();
    },
  };
}

async function answerHandshake(
  sockets: WebSocketServer,
  fetch: Fetch,
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  if (!asksForSocket(incoming) || incoming.method !== "GET") {
    refuse(socket, 400, "invalid_request", "Only WebSocket can be upgraded to.");
    return;
  }
  const url = `http://${incoming.headers.host ?? "localhost"}${incoming.url ?? "/"}`;
  if (!URL.canParse(url) || new URL(url).pathname !== "/v1/live") {
    refuse(socket, 404, "not_found", "WebSocket is answered at /v1/live only.");
    return;
  }
  if (!isOwnOrigin(incoming)) {
    // Browsers let any page open a socket to any address, with the credentials they remember.
    refuse(socket, 403, "wrong_origin", "Requests of pages of other sites are not taken.");
    return;
  }
  const request = new Request(url, { headers: headersOf(incoming) });
  const response = await fetch(request, { incoming });
  if (!response.ok || response.body === null) {
    await passRefusal(socket, response);
    return;
  }
  const { body } = response;
  if (socket.destroyed) {
    await body.cancel();
    return;
  }
  sockets.handleUpgrade(incoming, socket, head, (client) => {
    void sendFrames(client, body);
  });
  // A handshake that fails gives no client, and its stream would never be read.
  if (socket.destroyed || socket.writableEnded) await body.cancel().catch(() => {});
}

function isOwnOrigin({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** The headers of the request, with the key of the subprotocol where no header has one. */
function headersOf({ headers: given }: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) {
    if (HOP_HEADERS.has(name) || name.startsWith("sec-websocket-") || value === undefined) continue;
    headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  headers.set("accept", "application/x-ndjson");
  const key = keyOfProtocols(given["sec-websocket-protocol"] ?? "");
  const has_key = headers.has("authorization") || headers.has("x-api-key");
  if (key !== null && !has_key) headers.set("x-api-key", key);
  return headers;
}

function keyOfProtocols(protocols: string): string | null {
  const protocol = protocols
    .split(",")
    .map((text) => text.trim())
    .find((text) => text.startsWith(KEY_PROTOCOL_PREFIX));
  if (protocol === undefined) return null;
  const key = Buffer.from(protocol.slice(KEY_PROTOCOL_PREFIX.length), "base64url").toString();
  return /^[\x21-\x7e]+$/.test(key) ? key : null;
}

/** Sends each part of the body as a message, the next when the one before is on its way. */
async function sendFrames(client: WebSocket, body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader();
  client.on("close", () => void reader.cancel().catch(() => {}));
  client.on("error", () => client.terminate());
  const decoder = new TextDecoder();
  let code = 1000;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // The route gives one frame in one piece.
      const text = decoder.decode(value).trimEnd();
      code = END_CODES.find(([pattern]) => pattern.test(text))?.[1] ?? code;
      await sendText(client, text);
    }
    client.close(code);
  } catch {
    // It does not read, or is gone.
    client.terminate();
  }
}

function sendText(client: WebSocket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.send(text, (error) => {
      if (error == null) resolve();
      else reject(error);
    });
  });
}

const PASSED_HEADERS = ["content-type", "www-authenticate", "retry-after", "x-request-id"];

async function passRefusal(socket: Duplex, response: Response): Promise<void> {
  const body = await response.text();
  const status = response.ok ? 500 : response.status;
  const headers = PASSED_HEADERS.flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [`${name}: ${value}`];
  });
  writeRefusal(socket, status, headers, body);
}

function refuse(socket: Duplex, status: number, code: string, message: string): void {
  const body = JSON.stringify({ error: { code, message, details: [] } });
  writeRefusal(socket, status, ["content-type: application/json"], body);
}

function writeRefusal(socket: Duplex, status: number, headers: string[], body: string): void {
  if (socket.destroyed) return;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "connection: close",
    `content-length: ${Buffer.byteLength(body)}`,
    ...headers,
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
}
