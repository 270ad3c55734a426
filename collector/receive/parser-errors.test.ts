/** What Node's parser refuses, over raw sockets: each answer has a Status in it. Rows N02, N03, N10. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { decodeStatus, head, RawClient, send, startServer, type TestServer } from "./fixture.ts";
import type { OtlpHttpOptions } from "./http.ts";
import type { ExportResult } from "./reply.ts";
import { DEFAULT_TIMEOUTS } from "./timeouts.ts";
import { refuseAll } from "../../test/support/sender.ts";

const KIB = 1024;
const TYPE = "Content-Type: application/json";
const SMALL = `${head(TYPE, "Content-Length: 2")}{}`;

const toClose: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of toClose.splice(0)) await close();
});

async function start(changes: Partial<OtlpHttpOptions> = {}): Promise<TestServer> {
  const server = await startServer(changes);
  toClose.push(server.close);
  return server;
}

function connect(server: TestServer): RawClient {
  const client = new RawClient(server.port);
  toClose.push(() => client.close());
  return client;
}

test.each([
  ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, 3],
  ["a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 3],
  ["two lengths", `${head(TYPE, "Content-Length: 2", "Content-Length: 3")}{}`, 400, 3],
  ["no Host", `POST /v1/traces HTTP/1.1\r\n${TYPE}\r\nContent-Length: 2\r\n\r\n{}`, 400, 3],
  ["too large a head", head(`X-Large: ${"x".repeat(20 * KIB)}`), 431, 8],
  ["too many headers of 17 KiB", head(...Array.from({ length: 3_000 }, () => "a: bcd")), 431, 8],
  ["an expectation nobody meets", head(TYPE, "Content-Length: 2", "Expect: cake"), 417, 3],
  ["CONNECT", "CONNECT collector:443 HTTP/1.1\r\nHost: collector\r\n\r\n", 405, 12],
])("N02 N03 N10 %s is answered with a Status", async (_name, bytes, status, code) => {
  const server = await start();
  const client = connect(server);
  await client.write(bytes);
  const answer = await client.readAnswer();
  expect(answer?.status).toBe(status);
  expect(answer?.headers.get("content-type")).toBe("application/json");
  const { message, ...rest } = decodeStatus("json", answer?.body ?? new Uint8Array());
  expect(rest).toEqual({ code });
  expect(message).not.toBe("");
  expect(server.exported).toEqual([]);
  expect((await send(server)).status).toBe(200);
});

test("N02 HTTP/1.0 has no Host header and is taken", async () => {
  const client = connect(await start());
  await client.write(`POST /v1/traces HTTP/1.0\r\n${TYPE}\r\nContent-Length: 2\r\n\r\n{}`);
  expect((await client.readAnswer())?.status).toBe(200);
});

test("N09 extensions of chunks beyond the limit are 413", async () => {
  const client = connect(await start());
  await client.write(head(TYPE, "Transfer-Encoding: chunked"));
  await client.write(`2;${"x".repeat(20 * KIB)}\r\n{}\r\n0\r\n\r\n`);
  const answer = await client.readAnswer();
  expect(answer?.status).toBe(413);
  expect(decodeStatus("json", answer?.body ?? new Uint8Array()).code).toBe(8);
});

test("N09 garbage behind a request does not take its answer's place", async () => {
  let finish: (result: ExportResult) => void = () => {};
  const server = await start({
    exportBody: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  });
  const client = connect(server);
  await client.write(`${SMALL}NOT HTTP\r\n\r\n`);
  await sleep(50);
  finish({ accepted_items: 1, rejected_items: 0, message: "" });
  expect((await client.readAnswer())?.status).toBe(200);
  expect(await client.readAnswer()).toBeNull();
});

test("N09 a broken body behind another request does not take its answer's place", async () => {
  let finish: (result: ExportResult) => void = () => {};
  const server = await start({
    timeouts: { ...DEFAULT_TIMEOUTS, linger_ms: 20 },
    exportBody: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  });
  const client = connect(server);
  await client.write(`${SMALL}${head(TYPE, "Transfer-Encoding: chunked")}zz\r\n`);
  await sleep(50);
  finish({ accepted_items: 1, rejected_items: 0, message: "" });
  expect((await client.readAnswer())?.status).toBe(200);
  expect((await client.readAnswer())?.status).toBe(400);
  expect(await client.readAnswer()).toBeNull();
});

test("N09 what breaks behind a refused head does not hold the connection", async () => {
  const timeouts = { ...DEFAULT_TIMEOUTS, linger_ms: 20 };
  const client = connect(await start({ authenticate: refuseAll, timeouts }));
  await client.write(`${head(TYPE, "Transfer-Encoding: chunked")}zz\r\n`);
  expect((await client.readAnswer())?.status).toBe(401);
  expect(await client.readAnswer()).toBeNull();
});

test("N09 a body that breaks in the middle is 400 and gives back its room", async () => {
  const timeouts = { ...DEFAULT_TIMEOUTS, linger_ms: 20 };
  const server = await start({ max_in_flight_bytes: KIB, timeouts });
  for (let round = 0; round < 3; round += 1) {
    const client = connect(server);
    await client.write(
      `${head(TYPE, "Transfer-Encoding: chunked")}200\r\n${"x".repeat(512)}\r\nzz\r\n`,
    );
    const answer = await client.readAnswer();
    expect(answer?.status).toBe(400);
    expect(decodeStatus("json", answer?.body ?? new Uint8Array()).code).toBe(3);
    expect(await client.readAnswer()).toBeNull();
  }
  expect((await send(server, { body: "x".repeat(KIB) })).status).toBe(200);
  expect((await send(server, { body: "x".repeat(KIB) })).status).toBe(200);
});

test("N01 a head that does not come in time is 408, and so is a body", async () => {
  const timeouts = { ...DEFAULT_TIMEOUTS, headers_ms: 100, request_ms: 300, check_ms: 50 };
  const server = await start({ timeouts });
  const openings = [
    "POST /v1/traces HTTP/1.1\r\nHost: c",
    `${head(TYPE, "Content-Length: 9")}{`,
    "",
  ];
  for (const opening of openings) {
    const client = connect(server);
    await client.write(opening);
    const answer = await client.readAnswer();
    expect(answer?.status).toBe(408);
    expect(decodeStatus("json", answer?.body ?? new Uint8Array()).code).toBe(4);
  }
});
