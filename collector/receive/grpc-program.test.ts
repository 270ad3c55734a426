/** The gRPC receiver in the real program: its settings, its ready line, and what becomes of the spans. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { credentials, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import type { CallsAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../../test/support/bodies.ts";
import { makeCertificates } from "../../test/support/certificates.ts";
import { GrpcClient } from "../../test/support/grpc-client.ts";
import { eventually, makeDataDirectory } from "../../test/support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
const TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const KEY = "k".repeat(24);

const toClose: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of toClose.splice(0).toReversed()) await close();
});

interface Ready {
  readonly otlp_http: string;
  readonly otlp_grpc: string;
  readonly http: string;
}

/** Runs `spanledger serve` until it is ready or has ended. */
async function serve(settings: Readonly<Record<string, string>>) {
  const data = makeDataDirectory();
  toClose.push(() => data.remove());
  const child = spawn(process.execPath, [LAUNCHER, "serve"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_DATA_DIR: data.path,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_HTTP: "127.0.0.1:0",
      SPANLEDGER_INSERT_MAX_AGE_MS: "100",
      ...settings,
    },
  });
  let out = "";
  let log = "";
  child.stdout.on("data", (piece: Buffer) => (out += String(piece)));
  child.stderr.on("data", (piece: Buffer) => (log += String(piece)));
  const ended = once(child, "close").then(([code]) => code as number | null);
  const end = () => {
    child.kill("SIGTERM");
    return ended;
  };
  toClose.push(end);
  await eventually(
    async () => out.includes("\n") || child.exitCode !== null,
    (is_there) => is_there,
    30_000,
  );
  const ready = out.includes("\n") ? (JSON.parse(out) as Ready) : null;
  return { ready, ended, end, log: () => log };
}

async function serveReady(settings: Readonly<Record<string, string>> = {}) {
  const program = await serve(settings);
  if (program.ready === null) throw new Error(program.log());
  return { ...program, ready: program.ready };
}

function open(...words: ConstructorParameters<typeof GrpcClient>): GrpcClient {
  const client = new GrpcClient(...words);
  toClose.push(() => client.close());
  return client;
}

test("G01 C16 calls sent over gRPC, and again over HTTP, are counted once", async () => {
  const { ready, end } = await serveReady();
  const client = open(ready.otlp_grpc);
  const body = makeCallsBody(0, 10);
  expect(await client.call(TRACES, body)).toMatchObject({ code: status.OK });
  await fetch(`http://${ready.otlp_http}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body,
  });
  expect(await client.call(TRACES, makeCallsBody(10, 1))).toMatchObject({ code: status.OK });
  const { answer } = await eventually(
    async () => (await (await fetch(`http://${ready.http}/v1/calls`)).json()) as CallsAnswer,
    ({ calls }) => calls.length >= 11,
    15_000,
  );
  expect(answer.calls.map(({ cost_usd }) => cost_usd)).toEqual(
    Array.from({ length: 11 }, () => "0.00021"),
  );
  const broken = await client.call(TRACES, Buffer.from([0xff, 0xff]));
  expect(broken.code).toBe(status.INVALID_ARGUMENT);
  expect(await end()).toBe(0);
});

test("a gRPC port that is taken ends the start and says what to do", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  toClose.push(() => other.close());
  const { port } = other.address() as AddressInfo;
  const program = await serve({ SPANLEDGER_OTLP_GRPC: `127.0.0.1:${port}` });
  expect(await program.ended).toBe(1);
  expect(program.log()).toContain(`127.0.0.1:${port} is taken by another program`);
});

test("an address for gRPC beyond this machine needs a key, and with it calls do too", async () => {
  const open_door = await serve({ SPANLEDGER_OTLP_GRPC: "0.0.0.0:0" });
  expect(await open_door.ended).toBe(1);
  expect(open_door.log()).toContain("SPANLEDGER_OTLP_GRPC would listen beyond this machine");
  const { ready } = await serveReady({
    SPANLEDGER_OTLP_GRPC: "0.0.0.0:0",
    SPANLEDGER_API_KEY: KEY,
  });
  const client = open(ready.otlp_grpc.replace("0.0.0.0", "127.0.0.1"));
  expect((await client.call(TRACES, makeCallsBody(0, 1))).code).toBe(status.UNAUTHENTICATED);
  const headers = { authorization: `Bearer ${KEY}` };
  expect((await client.call(TRACES, makeCallsBody(0, 1), { headers })).code).toBe(status.OK);
});

test("G09 with the files of a certificate OTLP is encrypted, over gRPC and over HTTP", async () => {
  const { path, read, remove } = makeCertificates();
  toClose.push(remove);
  const { ready } = await serveReady({
    SPANLEDGER_TLS_CERT_FILE: path("server.pem"),
    SPANLEDGER_TLS_KEY_FILE: path("server.key"),
    SPANLEDGER_TLS_CLIENT_CA_FILE: path("ca.pem"),
  });
  const body = makeCallsBody(0, 1);
  const known = credentials.createSsl(read("ca.pem"), read("client.key"), read("client.pem"));
  expect((await open(ready.otlp_grpc, {}, known).call(TRACES, body)).code).toBe(status.OK);
  expect((await open(ready.otlp_grpc).call(TRACES, body)).code).toBe(status.UNAVAILABLE);
  const post = (tls: object) =>
    new Promise<number | string>((resolve) => {
      const sent = request(`https://${ready.otlp_http}/v1/traces`, {
        method: "POST",
        ca: read("ca.pem"),
        headers: { "content-type": "application/x-protobuf" },
        agent: false,
        ...tls,
      });
      sent.on("response", (response) => resolve(response.statusCode ?? 0));
      sent.on("error", () => resolve("refused"));
      sent.end(body);
    });
  expect(await post({ key: read("client.key"), cert: read("client.pem") })).toBe(200);
  expect(await post({})).toBe("refused");
});

test("G09 half a set of TLS files, or one that does not fit, ends the start and says what to do", async () => {
  const { path, remove } = makeCertificates();
  toClose.push(remove);
  const cert = { SPANLEDGER_TLS_CERT_FILE: path("server.pem") };
  for (const settings of [
    cert,
    { ...cert, SPANLEDGER_TLS_KEY_FILE: path("missing.key") },
    { ...cert, SPANLEDGER_TLS_KEY_FILE: path("other.key") },
  ]) {
    const program = await serve(settings);
    expect(await program.ended).toBe(1);
    expect(program.log()).toContain("SPANLEDGER_TLS_KEY_FILE");
    expect(program.log()).not.toContain("    at ");
  }
});
