/**
 * Live frames over WebSocket on a real server: the same frames, keys, limits and errors as over HTTP,
 * and nothing for pages of other sites.
 */
import { get, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { LiveFrame } from "../schemas/api-live.ts";
import { callOfSpan } from "../schemas/call-of-span.ts";
import { makeTestApi, makeReader, readStrictly } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { makeRandom } from "../test/support/random.ts";
import { makeSpan } from "../test/support/span.ts";
import { acceptSockets, asksForSocket, KEY_PROTOCOL_PREFIX, type Sockets } from "./live-socket.ts";
import { LiveHub } from "./live.ts";

const random = makeRandom(9);
let test_engine: TestEngine;
let sequence = 10;
let live: LiveHub;
let server: Server;
let sockets: Sockets;
let host = "";
const revoked = new Set<string>();
const clients: WebSocket[] = [];

async function insert(): Promise<ReturnType<typeof callOfSpan>> {
  const call = makeSpan({
    project_id: "alpha",
    start_ns: BigInt(Date.now() - 1_000) * 1_000_000n,
    trace_id: random.bytes(16),
    span_id: random.bytes(8),
  });
  sequence += 1;
  await insertSpans(test_engine.engine, [call], sequence);
  return callOfSpan(call);
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  await insert();
});
afterAll(() => test_engine.close());

beforeEach(async () => {
  live = new LiveHub({ interval_ms: 30, check_ms: 20 });
  const api = makeTestApi(test_engine.engine, {
    live,
    authenticate: (headers) => {
      const key = headers["x-api-key"] ?? headers["authorization"]?.replace("Bearer ", "") ?? "";
      return key.startsWith("key") && !revoked.has(key)
        ? { actor: makeReader("alpha"), expires_at_ms: null }
        : { problem: "unknown", message: "No valid key." };
    },
  });
  await api.ask("/healthz", null);
  const serverOptions = { shouldUpgradeCallback: asksForSocket };
  server = createAdaptorServer({ fetch: api.app.fetch, serverOptions }) as Server;
  sockets = acceptSockets(server, api.app.fetch);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  await live.close();
  await sockets.close();
  await new Promise((resolve) => server.close(resolve));
});

class Listener {
  readonly client: WebSocket;
  readonly closed: Promise<number>;
  readonly #frames: LiveFrame[] = [];
  #wake = () => {};

  constructor(client: WebSocket) {
    this.client = client;
    clients.push(client);
    this.closed = new Promise((resolve) => client.on("close", resolve));
    client.on("message", (data: Buffer) => {
      this.#frames.push(readStrictly(LiveFrame, JSON.parse(data.toString())));
      this.#wake();
    });
  }

  async next(kind: LiveFrame["kind"]): Promise<LiveFrame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame?.kind === kind) return frame;
      if (frame === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

async function open(
  protocols: string[] = [],
  headers: Record<string, string> = {},
  path = "/v1/live",
): Promise<Listener> {
  const client = new WebSocket(`ws://${host}${path}`, protocols, { headers });
  const listener = new Listener(client);
  await new Promise((resolve, reject) => {
    client.once("open", resolve);
    client.once("error", reject);
  });
  return listener;
}

/** The answer to a handshake that is refused. */
async function refusal(
  headers: Record<string, string>,
  path = "/v1/live",
  protocols: string[] = [],
): Promise<{ status: number; json: unknown }> {
  const client = new WebSocket(`ws://${host}${path}`, protocols, { headers });
  client.on("error", () => {});
  clients.push(client);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    client.once("unexpected-response", (_request, answer) => resolve(answer));
    client.once("open", () => reject(new Error("the handshake was taken")));
  });
  return { status: response.statusCode ?? 0, json: JSON.parse(await readText(response)) };
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of response) text += String(part);
  return text;
}

test("a socket with a key in its header gets the frames that a stream of events gets", async () => {
  const listener = await open([], { "x-api-key": "key-alpha" });
  const response = await fetch(`http://${host}/v1/live`, { headers: { "x-api-key": "key-alpha" } });
  const events = (response.body as ReadableStream<Uint8Array>).getReader();
  await listener.next("totals");
  const call = await insert();
  const frame = await listener.next("calls");
  expect(frame).toMatchObject({ calls: [call] });
  let text = "";
  while (!text.includes(frame.id))
    text += Buffer.from((await events.read()).value ?? []).toString();
  expect(text).toContain(`id: ${frame.id}\nevent: calls\ndata: ${JSON.stringify(frame)}\n\n`);
  await events.cancel();
});

test("a browser sends its key as a subprotocol, and gets it back in no answer", async () => {
  const protocol = `${KEY_PROTOCOL_PREFIX}${Buffer.from("key-alpha").toString("base64url")}`;
  const listener = await open(["spanledger.v1", protocol]);
  expect(listener.client.protocol).toBe("spanledger.v1");
  expect(await listener.next("totals")).toBeDefined();
});

test("without a valid key, with a key in the URL, from another site or elsewhere nothing opens", async () => {
  const key = { "x-api-key": "key-alpha" };
  const wrong = `${KEY_PROTOCOL_PREFIX}${Buffer.from("wrong").toString("base64url")}`;
  expect(await refusal({})).toMatchObject({
    status: 401,
    json: { error: { code: "unauthenticated" } },
  });
  expect((await refusal({}, "/v1/live", ["spanledger.v1", wrong])).status).toBe(401);
  expect((await refusal({}, "/v1/live?key=key-alpha")).status).toBe(401);
  expect((await refusal(key, "/v1/live?sql=1")).json).toMatchObject({
    error: { code: "invalid_query" },
  });
  const foreign = await refusal({ ...key, origin: "https://evil.example" });
  expect(foreign).toMatchObject({ status: 403, json: { error: { code: "wrong_origin" } } });
  expect((await refusal({ ...key, origin: "null" })).status).toBe(403);
  expect((await refusal(key, "/v1/calls")).status).toBe(404);
  expect(await refusal(key, "/v1/live?project=beta")).toMatchObject({ status: 404 });
  expect(live.listeners).toBe(0);
  await open([], { ...key, origin: `http://${host}` });
});

test("a socket goes on where another left off", async () => {
  const first = await open([], { "x-api-key": "key-alpha" });
  const { id } = await first.next("totals");
  await open([], { "x-api-key": "key-alpha" });
  first.client.close();
  await first.closed;
  const call = await insert();
  const again = await open([], { "x-api-key": "key-alpha" }, `/v1/live?last_event_id=${id}`);
  expect(await again.next("calls")).toMatchObject({ calls: [call] });
});

test("a socket that closes gives its place back", async () => {
  const listener = await open([], { "x-api-key": "key-alpha" });
  expect(live.listeners).toBe(1);
  listener.client.close();
  await expect.poll(() => live.listeners).toBe(0);
});

test("a key that is revoked closes its sockets, a stop all of them, each with a last frame", async () => {
  const one = await open([], { "x-api-key": "key-one" });
  const two = await open([], { authorization: "Bearer key-two" });
  revoked.add("key-one");
  expect(await one.next("end")).toMatchObject({ reason: "not_allowed" });
  expect(await one.closed).toBe(1008);
  await live.close();
  expect(await two.next("end")).toMatchObject({ reason: "stopping" });
  expect(await two.closed).toBe(1001);
});

test("a client that says more than nothing is closed", async () => {
  const listener = await open([], { "x-api-key": "key-alpha" });
  listener.client.send("x".repeat(5_000));
  expect(await listener.closed).toBe(1009);
  await expect.poll(() => live.listeners).toBe(0);
});

test("a request that offers another protocol, as HTTP/2, is answered as any", async () => {
  const status = await new Promise((resolve, reject) => {
    const headers = {
      upgrade: "h2c",
      connection: "Upgrade, HTTP2-Settings",
      "http2-settings": "AA",
    };
    get(`http://${host}/healthz`, { headers }, (response) => {
      resolve(response.statusCode);
      response.resume();
    }).on("error", reject);
  });
  expect(status).toBe(200);
});

test("a handshake that is none is refused and leaves nothing behind", async () => {
  const status = await new Promise((resolve, reject) => {
    const headers = { upgrade: "websocket", connection: "Upgrade", "x-api-key": "key-alpha" };
    const asked = request(`http://${host}/v1/live`, { headers }, (response) => {
      resolve(response.statusCode);
      response.resume();
    });
    asked.on("error", reject);
    asked.end();
  });
  expect(status).toBe(400);
  await expect.poll(() => live.listeners).toBe(0);
});
