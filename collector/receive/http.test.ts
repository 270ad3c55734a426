/**
 * The receiver over real sockets. The rows of research/reliability.md that a test stands for are in
 * its name: T transport, B sizes and bodies, R answers, P hostile payloads, N network abuse.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { createGzip, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import {
  decodeExportResponse,
  decodeStatus,
  head,
  RawClient,
  type Request,
  send,
  startServer,
  type TestServer,
} from "./fixture.ts";
import type { OtlpHttpOptions } from "./http.ts";
import type { ExportResult, OtlpEncoding, OtlpSignal } from "./reply.ts";
import { refuseAll, senderOf } from "../../test/support/sender.ts";
import { DEFAULT_SENDER } from "../../schemas/sender.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const TYPES: Readonly<Record<OtlpEncoding, string>> = {
  protobuf: "application/x-protobuf",
  json: "application/json",
};
const ENCODINGS = Object.keys(TYPES) as OtlpEncoding[];
const JSON_TYPE = { "content-type": TYPES.json };

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

/** Sends bytes on a connection of their own and reads the answer. */
async function sendRaw(server: TestServer, bytes: string) {
  const client = connect(server);
  await client.write(bytes);
  return client.readAnswer();
}

/** Work that lasts until it is let go. */
function makeGate<Value>() {
  let open: (value: Value) => void = () => {};
  const promise = new Promise<Value>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 2_000) throw new Error("waited ten seconds in vain");
    await sleep(5);
  }
}

/** Requests that end in each error, with the status each must get. */
const REFUSED: readonly (readonly [number, Request, Partial<OtlpHttpOptions>?])[] = [
  [400, { body: "not gzip", headers: { "content-encoding": "gzip" } }],
  [400, {}, { exportBody: () => Promise.reject(new PermanentError("bad_body", "broken")) }],
  [401, {}, { authenticate: refuseAll }],
  [404, { path: "/v1/nothing" }],
  [404, { path: "/v1/profiles" }],
  [405, { method: "PUT" }],
  [413, { body: "x".repeat(MIB + 1) }],
  [413, { body: gzipSync(Buffer.alloc(MIB + 1)), headers: { "content-encoding": "gzip" } }],
  [415, { headers: { "content-encoding": "br" } }],
  [503, {}, { exportBody: () => Promise.reject(new RetryableError("disk_full", "later")) }],
  [503, {}, { exportBody: () => Promise.reject(new Error("a bug")) }],
];

describe("answers", () => {
  test.each(ENCODINGS)(
    "T05 T06 %s: success has the exact type of the request",
    async (encoding) => {
      const server = await start();
      const answer = await send(server, { headers: { "content-type": TYPES[encoding] } });
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
      expect(server.exported).toEqual([
        { signal: "traces", body: "{}", encoding, project_id: "default" },
      ]);
    },
  );

  test.each(ENCODINGS)(
    "T05 T06 R04 %s: every error has the exact type of the request and a Status in it",
    async (encoding) => {
      for (const [status, request, options] of REFUSED) {
        const server = await start(options);
        const headers = { "content-type": TYPES[encoding], ...request.headers };
        const answer = await send(server, { ...request, headers });
        expect([answer.status, request]).toEqual([status, request]);
        expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
        expect(answer.headers.get("content-length")).toBe(String(answer.body.length));
        const { code, message } = decodeStatus(encoding, answer.body);
        expect(code).toBeGreaterThan(0);
        expect(message).not.toBe("");
        expect(server.observed.map(([, observed]) => observed)).toEqual([status]);
      }
    },
  );

  test("T07 parameters and case of the request's type are ignored", async () => {
    const server = await start();
    const types: readonly (readonly [string, OtlpEncoding])[] = [
      ["application/json; charset=utf-8", "json"],
      ["Application/JSON", "json"],
      ["application/json;charset=UTF-8;foo=bar", "json"],
      ["APPLICATION/X-PROTOBUF", "protobuf"],
      ["application/x-protobuf ; v=1", "protobuf"],
    ];
    for (const [type, encoding] of types) {
      const answer = await send(server, { headers: { "content-type": type } });
      expect([type, answer.status]).toEqual([type, 200]);
      expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
      expect(server.exported.at(-1)?.encoding).toBe(encoding);
    }
  });

  test("T08 T09 empty requests reach the pipeline and succeed with an empty answer", async () => {
    const server = await start();
    const protobuf = await send(server, { headers: { "content-type": TYPES.protobuf }, body: "" });
    expect(protobuf.status).toBe(200);
    expect(protobuf.body).toHaveLength(0);
    expect(protobuf.headers.get("content-length")).toBe("0");
    for (const body of ["{}", '{"resourceSpans":[]}']) {
      const json = await send(server, { headers: JSON_TYPE, body });
      expect(Buffer.from(json.body).toString("utf8")).toBe("{}");
    }
    expect(server.exported.map(({ body }) => body)).toEqual(["", "{}", '{"resourceSpans":[]}']);
  });

  test.each(ENCODINGS)(
    "R01 %s: rejected spans are counted in partial_success",
    async (encoding) => {
      const result: ExportResult = { accepted_items: 1, rejected_items: 3, message: "zero ids" };
      const server = await start({ exportBody: () => Promise.resolve(result) });
      const answer = await send(server, { headers: { "content-type": TYPES[encoding] } });
      expect(answer.status).toBe(200);
      expect(decodeExportResponse("traces", encoding, answer.body)).toEqual({
        partialSuccess: { rejectedSpans: "3", errorMessage: "zero ids" },
      });
    },
  );

  test.each(ENCODINGS)(
    "R02 %s: a warning on full success has no rejected spans",
    async (encoding) => {
      const result: ExportResult = { accepted_items: 1, rejected_items: 0, message: "use hex" };
      const server = await start({ exportBody: () => Promise.resolve(result) });
      const answer = await send(server, { headers: { "content-type": TYPES[encoding] } });
      expect(decodeExportResponse("traces", encoding, answer.body)).toEqual({
        partialSuccess:
          encoding === "json"
            ? { rejectedSpans: "0", errorMessage: "use hex" }
            : { errorMessage: "use hex" },
      });
    },
  );

  test("R05 R06 what may pass is 503 with Retry-After: 1, what will not pass has none", async () => {
    for (const [status, request, options] of REFUSED) {
      const answer = await send(await start(options), {
        ...request,
        headers: { ...JSON_TYPE, ...request.headers },
      });
      expect(answer.headers.get("retry-after")).toBe(status === 503 ? "1" : undefined);
    }
  });

  test("R03 R10 an unknown failure is 503 and nothing of it is told", async () => {
    const failures: readonly unknown[] = [new Error("EIO on /data/wal/17"), "/data/wal/17", null];
    for (const failure of failures) {
      const server = await start({
        exportBody: () => Promise.reject(failure),
      });
      const answer = await send(server);
      expect(answer.status).toBe(503);
      expect(Buffer.from(answer.body).toString("latin1")).not.toContain("wal");
      expect([...answer.headers.values()].join()).not.toContain("wal");
    }
  });

  test("R10 a pipeline that throws at once is answered too", async () => {
    const server = await start({
      exportBody: () => {
        throw new TypeError("undefined is not a function");
      },
    });
    expect((await send(server)).status).toBe(503);
  });

  test("T14 other methods on the path are 405 with Allow: POST", async () => {
    const server = await start();
    for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const answer = await send(server, { method, body: "" });
      expect([method, answer.status]).toEqual([method, 405]);
      expect(answer.headers.get("allow")).toBe("POST");
    }
    expect(server.exported).toEqual([]);
  });

  test("T02 T15 T16 other paths are 404, near misses too", async () => {
    const server = await start();
    const paths = ["/", "/v1", "/v1/traces/", "//v1/traces", "/V1/traces", "/v1/%74races"];
    for (const path of [...paths, "/v1development/profiles", "/v1/traces/../traces"]) {
      const answer = await send(server, { path });
      expect([path, answer.status]).toEqual([path, 404]);
    }
    expect(server.exported).toEqual([]);
    expect((await send(server, { path: "/v1/traces?api-version=1" })).status).toBe(200);
  });

  test("T03 a prefix is taken in front of each path, and they without it", async () => {
    const server = await start({ path_prefix: "/tenant/otlp" });
    for (const path of ["/v1/traces", "/v1/logs", "/v1/metrics", "/otel/v1/traces"]) {
      expect((await send(server, { path })).status).toBe(200);
      expect((await send(server, { path: `/tenant/otlp${path}` })).status).toBe(200);
      expect((await send(server, { path: `/tenant${path}` })).status).toBe(404);
    }
  });

  test("T02 an unknown path is told where each signal is received", async () => {
    const answer = await send(await start(), { path: "/v1development/profiles" });
    const { message } = decodeStatus("json", answer.body);
    for (const path of ["/v1/traces", "/v1/logs", "/v1/metrics"]) expect(message).toContain(path);
  });

  test("B04 P27 an unknown or missing type is 415 with a Status in JSON", async () => {
    const server = await start();
    const types = ["text/plain", "multipart/form-data; boundary=x", "application/grpc", "json"];
    for (const headers of [{}, ...types.map((type) => ({ "content-type": type }))]) {
      const answer = await send(server, { headers });
      expect(answer.status).toBe(415);
      expect(answer.headers.get("content-type")).toBe(TYPES.json);
      expect(decodeStatus("json", answer.body).message).toContain(TYPES.protobuf);
    }
    expect(server.exported).toEqual([]);
  });
});

describe.each<readonly [path: string, signal: OtlpSignal]>([
  ["/v1/traces", "traces"],
  ["/v1/logs", "logs"],
  ["/v1/metrics", "metrics"],
  // What SDKs of other products append to the address they are given.
  ["/api/public/otel/v1/traces", "traces"],
  ["/otel/v1/traces", "traces"],
])("the path %s", (path, signal) => {
  test.each(ENCODINGS)(`T01 takes ${signal} as %s, plain and with gzip`, async (encoding) => {
    const server = await start();
    const headers = { "content-type": TYPES[encoding] };
    const plain = await send(server, { path, headers, body: "a body" });
    const zipped = await send(server, {
      path: `${path}?api-version=1`,
      headers: { ...headers, "content-encoding": "gzip" },
      body: gzipSync("a body"),
    });
    for (const answer of [plain, zipped]) {
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
    }
    const exported = { signal, body: "a body", encoding, project_id: "default" };
    expect(server.exported).toEqual([exported, exported]);
    expect(server.observed).toEqual([
      [signal, 200, 6],
      [signal, 200, gzipSync("a body").length],
    ]);
  });

  test("T14 answers any other method with 405 and Allow: POST", async () => {
    const server = await start();
    for (const method of ["GET", "HEAD", "PUT", "OPTIONS"]) {
      const answer = await send(server, { path, method, body: "" });
      expect([method, answer.status]).toEqual([method, 405]);
      expect(answer.headers.get("allow")).toBe("POST");
    }
    expect(server.exported).toEqual([]);
  });

  test("R12 answers 401 without a good key", async () => {
    const server = await start({ authenticate: refuseAll });
    const answer = await send(server, { path });
    expect(answer.status).toBe(401);
    expect(server.observed).toEqual([[signal, 401, 0]]);
    expect(server.exported).toEqual([]);
  });

  test("T02 T16 has no near misses", async () => {
    const server = await start();
    for (const near of [`${path}/`, `/${path}`, path.toUpperCase(), `/x${path}`]) {
      const answer = await send(server, { path: near });
      expect([near, answer.status]).toEqual([near, 404]);
    }
  });

  test.each(ENCODINGS)("R01 counts what it refused under its own name as %s", async (encoding) => {
    const result: ExportResult = { accepted_items: 1, rejected_items: 3, message: "no" };
    const server = await start({ exportBody: () => Promise.resolve(result) });
    const answer = await send(server, { path, headers: { "content-type": TYPES[encoding] } });
    const name = {
      traces: "rejectedSpans",
      logs: "rejectedLogRecords",
      metrics: "rejectedDataPoints",
    };
    expect(decodeExportResponse(signal, encoding, answer.body)).toEqual({
      partialSuccess: { [name[signal]]: "3", errorMessage: "no" },
    });
  });
});

describe("keys", () => {
  test("R12 no good key is 401 with a challenge, and no body byte is looked at", async () => {
    const server = await start({ authenticate: refuseAll });
    const answer = await send(server, {
      body: "not gzip",
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
    });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    expect(server.observed).toEqual([["traces", 401, 0]]);
  });

  test("R12 a key store that cannot be asked is 503, never 401, also behind 100-continue", async () => {
    const server = await start({
      authenticate: () => {
        throw new RetryableError("keys_away", "The keys cannot be read; send again.");
      },
    });
    expect((await send(server)).status).toBe(503);
    const expecting = head(
      "Content-Type: application/json",
      "Content-Length: 2",
      "Expect: 100-continue",
    );
    expect((await sendRaw(server, expecting))?.status).toBe(503);
    expect((await send(server)).status).toBe(503); // and it still runs
  });

  test("R12 the project is the one the key had when the request began", async () => {
    let asked = 0;
    const server = await start({
      authenticate: () => {
        asked += 1;
        return asked === 1 ? senderOf("project-7") : refuseAll(); // revoked while the body comes in
      },
    });
    expect((await send(server)).status).toBe(200);
    expect(server.exported[0]?.project_id).toBe("project-7");
  });
});

describe("bodies", () => {
  const json = '{"resourceSpans":[]}';

  test.each([
    ["identity", Buffer.from(json)],
    ["gzip", gzipSync(json)],
    ["deflate", deflateSync(json)],
    ["zstd", zstdCompressSync(json)],
  ])("T01 T18 %s is taken, whole and in chunks", async (encoding, body) => {
    const server = await start();
    const headers = { ...JSON_TYPE, "content-encoding": encoding };
    expect((await send(server, { body, headers })).status).toBe(200);
    expect((await send(server, { body, headers, chunk_bytes: 3 })).status).toBe(200);
    expect(server.exported.map((one) => one.body)).toEqual([json, json]);
  });

  test.each(["br", "snappy", "lz4", "gzip, gzip", "gzip, deflate"])(
    "T18 B05 B08 Content-Encoding %s is 415 and the answer names what is taken",
    async (encoding) => {
      const server = await start();
      const answer = await send(server, {
        headers: { ...JSON_TYPE, "content-encoding": encoding },
      });
      expect(answer.status).toBe(415);
      expect(decodeStatus("json", answer.body).message).toContain("gzip, deflate, zstd");
    },
  );

  test("B08 two Content-Encoding headers are a chain and are 415", async () => {
    const server = await start();
    const twice = head(
      "Content-Type: application/json",
      "Content-Encoding: gzip",
      "Content-Encoding: gzip",
      "Content-Length: 0",
    );
    expect((await sendRaw(server, twice))?.status).toBe(415);
  });

  test.each([
    ["plain", Buffer.from(json)],
    ["cut off", gzipSync(json).subarray(0, 15)],
    ["followed by garbage", Buffer.concat([gzipSync(json), Buffer.from("garbage")])],
    ["empty", Buffer.alloc(0)],
  ])("B06 B07 a gzip body that is %s is 400 and reaches nobody", async (_name, body) => {
    const server = await start();
    const answer = await send(server, {
      body,
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
    });
    expect(answer.status).toBe(400);
    expect(server.exported).toEqual([]);
  });

  test("T13 a gzip body in chunks that split it anywhere is taken", async () => {
    const server = await start();
    const body = gzipSync(json);
    for (const chunk_bytes of [1, 7, body.length]) {
      const headers = { ...JSON_TYPE, "content-encoding": "gzip" };
      expect((await send(server, { body, headers, chunk_bytes })).status).toBe(200);
    }
    expect(server.exported.map((one) => one.body)).toEqual([json, json, json]);
  });

  test("B01 the limit is the option: a body of it is taken, one byte more is 413", async () => {
    const server = await start({ max_body_bytes: 10 * KIB });
    const status = async (request: Request) => (await send(server, request)).status;
    const gzip = { ...JSON_TYPE, "content-encoding": "gzip" };
    for (const chunk_bytes of [undefined, KIB]) {
      const chunks = chunk_bytes === undefined ? {} : { chunk_bytes };
      expect(await status({ body: "x".repeat(10 * KIB), ...chunks })).toBe(200);
      expect(await status({ body: "x".repeat(10 * KIB + 1), ...chunks })).toBe(413);
      const zip = (length: number) => ({ body: gzipSync("x".repeat(length)), headers: gzip });
      expect(await status({ ...zip(10 * KIB), ...chunks })).toBe(200);
      expect(await status({ ...zip(10 * KIB + 1), ...chunks })).toBe(413);
    }
    expect(server.exported).toHaveLength(4);
  });

  test("B01 P06 a declared length above the limit is answered before any of the body", async () => {
    const server = await start();
    const client = connect(server);
    await client.write(head("Content-Type: application/x-protobuf", `Content-Length: ${MIB + 1}`));
    const answer = await client.readAnswer();
    expect(answer?.status).toBe(413);
    expect(decodeStatus("protobuf", answer?.body ?? new Uint8Array()).code).toBe(8);
    expect(answer?.headers.get("connection")).toBe("close");
    expect(server.observed).toEqual([["traces", 413, 0]]);
  });

  test("B01 a sender that reads only when it has sent 40 MiB still gets its 413", async () => {
    const server = await start();
    const lines = [
      ["Content-Type: application/json", `Content-Length: ${40 * MIB}`],
      ["Content-Type: application/json", "Transfer-Encoding: chunked"],
    ];
    for (const line of lines) {
      const chunked = line[1] === "Transfer-Encoding: chunked";
      const client = connect(server);
      client.socket.pause();
      await client.write(head(...line));
      const piece = Buffer.alloc(MIB, "x");
      const wrapped = Buffer.concat([Buffer.from("100000\r\n"), piece, Buffer.from("\r\n")]);
      for (let sent = 0; sent < 40; sent += 1) await client.write(chunked ? wrapped : piece);
      if (chunked) await client.write("0\r\n\r\n");
      expect(client.error).toBeNull();
      client.socket.resume();
      expect((await client.readAnswer())?.status).toBe(413);
      expect(client.error).toBeNull();
    }
    expect(server.exported).toEqual([]);
  });

  test("B01 an endless chunked sender can read its 413 while it sends", async () => {
    const server = await start();
    const client = connect(server);
    await client.write(head("Content-Type: application/json", "Transfer-Encoding: chunked"));
    const chunk = Buffer.from(`10000\r\n${"x".repeat(65_536)}\r\n`);
    const answer = client.readAnswer();
    let sent = 0;
    const answered = answer.then(() => sent);
    while (sent < 1_000 && (await Promise.race([answered, Promise.resolve(null)])) === null) {
      await client.write(chunk);
      sent += 1;
    }
    expect((await answer)?.status).toBe(413);
    expect(sent).toBeLessThan(1_000);
    for (let more = 0; more < 20; more += 1) await client.write(chunk);
    expect(client.error).toBeNull();
  });

  test("B09 a sender that goes away reaches nobody, is no answer, and others go on", async () => {
    const server = await start();
    for (const length of ["Content-Length: 1000", "Transfer-Encoding: chunked"]) {
      const client = connect(server);
      await client.write(`${head("Content-Type: application/json", length)}5\r\nabc`);
      await sleep(20);
      client.close();
    }
    await sleep(50);
    expect(server.exported).toEqual([]);
    expect(server.observed).toEqual([]);
    expect((await send(server)).status).toBe(200);
  });

  test("T12 B01 an awaited 100 is 413, 401, 404 or 415 where the head decides it", async () => {
    const type = "Content-Type: application/json";
    const cases: readonly (readonly [number, string, Partial<OtlpHttpOptions>?])[] = [
      [413, head(type, `Content-Length: ${MIB + 1}`, "Expect: 100-continue")],
      [401, head(type, "Content-Length: 2", "Expect: 100-continue"), { authenticate: refuseAll }],
      [415, head("Content-Type: text/css", "Content-Length: 2", "Expect: 100-continue")],
      [404, head(type, "Content-Length: 2", "Expect: 100-continue").replace("traces", "x")],
    ];
    for (const [status, bytes, options] of cases) {
      expect((await sendRaw(await start(options), bytes))?.status).toBe(status);
    }
  });

  test("T12 an awaited 100 comes when the head is good, and then the body is taken", async () => {
    const server = await start();
    const client = connect(server);
    await client.write(
      head("Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue"),
    );
    expect((await client.readAnswer())?.status).toBe(100);
    expect(server.exported).toEqual([]);
    await client.write("{}");
    expect((await client.readAnswer())?.status).toBe(200);
    expect(server.exported[0]?.body).toBe("{}");
  });
});

describe("connections", () => {
  const small = `${head("Content-Type: application/json", "Content-Length: 2")}{}`;

  test("T10 a connection stays open after an answer, also after a refusal", async () => {
    let allowed = true;
    const server = await start({ authenticate: () => (allowed ? DEFAULT_SENDER : refuseAll()) });
    const client = connect(server);
    for (const next of [true, false, true, false, true]) {
      allowed = next;
      await client.write(small);
      expect((await client.readAnswer())?.status).toBe(next ? 200 : 401);
    }
    expect(client.error).toBeNull();
  });

  test("T10 N09 pipelined requests are answered in their order", async () => {
    const gate = makeGate<ExportResult>();
    let calls = 0;
    const server = await start({
      exportBody: () => {
        calls += 1;
        const result = { accepted_items: 1, rejected_items: calls, message: "" };
        return calls === 1 ? gate.promise : Promise.resolve(result);
      },
    });
    const client = connect(server);
    await client.write(small + small);
    await until(() => calls === 2);
    gate.open({ accepted_items: 1, rejected_items: 1, message: "" });
    const counts: unknown[] = [];
    for (let answers = 0; answers < 2; answers += 1) {
      const body = (await client.readAnswer())?.body ?? new Uint8Array();
      counts.push(decodeExportResponse("traces", "json", body));
    }
    expect(counts).toMatchObject([
      { partialSuccess: { rejectedSpans: "1" } },
      { partialSuccess: { rejectedSpans: "2" } },
    ]);
  });

  test("N01 300 senders that stop in the middle do not delay another", async () => {
    const server = await start({ max_body_bytes: MIB, max_in_flight_bytes: 2 * MIB });
    const openings = [
      "POST /v1/traces HTTP/1.1\r\nHost: collector\r\nX-Slow: ",
      `${head("Content-Type: application/json", `Content-Length: ${MIB}`)}{`,
      `${head("Content-Type: application/json", "Transfer-Encoding: chunked")}5\r\n{`,
    ];
    for (let index = 0; index < 300; index += 1) {
      await connect(server).write(openings[index % 3] as string);
    }
    const body = "x".repeat(500 * KIB);
    for (let index = 0; index < 10; index += 1) {
      const begun_ms = performance.now();
      expect((await send(server, { body })).status).toBe(200);
      expect(performance.now() - begun_ms).toBeLessThan(1_000);
    }
  });

  test("N02 messages that could be read in two ways are refused by the parser", async () => {
    const server = await start();
    const type = "Content-Type: application/json";
    const shapes = [
      head(type, "Content-Length: 2", "Transfer-Encoding: chunked"),
      head(type, "Content-Length: 2", "Content-Length: 3"),
      head(type, "Transfer-Encoding: chunked, identity"),
      head(type, "Transfer-Encoding: xchunked"),
      head(type, "Content-Length : 2"),
      head(type, "Content-Length: -1"),
      head(type, "Content-Length: 0x2"),
      head(type, "Content-Length: 2", "X-Folded: a\r\n b"),
      head(type, "Content-Length: 2", "X-Nul: a\0b"),
      head(type, "Content-Length: 2").replaceAll("\r\n", "\n"),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for (const shape of shapes) {
      const client = connect(server);
      await client.write(`${shape}{}`);
      const answer = await client.readAnswer();
      expect([shape, answer?.status ?? 400]).toEqual([shape, 400]);
      expect(await client.readAnswer()).toBeNull(); // and the connection is closed
    }
    expect(server.exported).toEqual([]);
    expect((await send(server)).status).toBe(200);
  });

  test("N02 a request with two Host headers is 400", async () => {
    const server = await start();
    const bytes = `${head("hOsT: other", "Content-Type: application/json", "Content-Length: 2")}{}`;
    expect((await sendRaw(server, bytes))?.status).toBe(400);
    expect(server.exported).toEqual([]);
  });

  test("N03 too large a head is 431 and others go on", async () => {
    const server = await start();
    const answer = await sendRaw(server, head(`X-Large: ${"x".repeat(20 * KIB)}`));
    expect(answer?.status).toBe(431);
    expect((await send(server)).status).toBe(200);
  });

  test("N04 headers with names of Object.prototype are only headers", async () => {
    const server = await start();
    const lines = ["__proto__: x", "constructor: x", "toString: x"];
    const rest = ["Content-Type: application/json", "Content-Length: 2"];
    const answer = await sendRaw(server, `${head(...lines, ...rest)}{}`);
    expect(answer?.status).toBe(200);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  test("N05 odd request targets are 404 or refused, and the server goes on", async () => {
    const server = await start();
    const targets = [
      "http://",
      "http://collector/v1/traces",
      "//",
      "//v1/traces",
      "/%",
      "/v1/traces%00",
      "/__proto__",
      "/v1/traces;x",
      "*",
    ];
    for (const target of targets) {
      for (const method of ["POST", "OPTIONS"]) {
        const bytes = `${method} ${target} HTTP/1.1\r\nHost: collector\r\nContent-Length: 0\r\n\r\n`;
        const answer = await sendRaw(server, bytes);
        expect([target, [400, 404].includes(answer?.status ?? 400)]).toEqual([target, true]);
      }
    }
    await sendRaw(server, "CONNECT collector:443 HTTP/1.1\r\nHost: collector\r\n\r\n");
    expect(server.exported).toEqual([]);
    expect((await send(server, { path: "/v1/traces?x=%ff" })).status).toBe(200);
  });
});

describe("load", () => {
  /** A server for one MiB at once whose exports wait for the gate. */
  async function startBusy() {
    const gate = makeGate<ExportResult>();
    const server = await start({
      max_in_flight_bytes: MIB,
      exportBody: () => gate.promise,
    });
    return {
      server,
      finish: () => gate.open({ accepted_items: 1, rejected_items: 0, message: "" }),
    };
  }

  test("N12 above the limit of bytes in flight the next is 503 and later fits again", async () => {
    const { server, finish } = await startBusy();
    const body = "x".repeat(600 * KIB);
    const first = send(server, { body });
    await until(() => server.exported.length === 1);
    for (const chunks of [{}, { chunk_bytes: 64 * KIB }]) {
      const refused = await send(server, { body, ...chunks });
      expect(refused.status).toBe(503);
      expect(refused.headers.get("retry-after")).toBe("1");
    }
    finish();
    expect((await first).status).toBe(200);
    expect((await send(server, { body })).status).toBe(200);
  });

  test("N12 a full server answers 503 within 5 ms, before the body is sent", async () => {
    const { server, finish } = await startBusy();
    const first = send(server, { body: "x".repeat(MIB) });
    await until(() => server.exported.length === 1);
    const times_ms: number[] = [];
    for (let index = 0; index < 40; index += 1) {
      const client = connect(server);
      await once(client.socket, "connect");
      const length = index % 2 === 0 ? "Content-Length: 900000" : "Transfer-Encoding: chunked";
      const begun_ms = performance.now();
      await client.write(head("Content-Type: application/x-protobuf", length));
      const answer = await client.readAnswer();
      times_ms.push(performance.now() - begun_ms);
      expect(answer?.status).toBe(503);
      expect(answer?.headers.get("retry-after")).toBe("1");
      client.close();
    }
    // The quickest tenth, as other programs share the machine with the test.
    expect(times_ms.sort((a, b) => a - b)[4]).toBeLessThan(5);
    finish();
    expect((await first).status).toBe(200);
  });

  test("N12 load that the receiver cannot see is asked for before the body is", async () => {
    const server = await start({
      checkLoad: () => {
        throw new RetryableError("disk_full", "The log is full; send again.");
      },
    });
    const client = connect(server);
    await client.write(head("Content-Type: application/json", "Content-Length: 900000"));
    expect((await client.readAnswer())?.status).toBe(503);
    expect(server.exported).toEqual([]);
  });

  test("P07 what a body inflates to counts as in flight", async () => {
    const { server, finish } = await startBusy();
    const body = gzipSync(Buffer.alloc(600 * KIB));
    const headers = { ...JSON_TYPE, "content-encoding": "gzip" };
    const first = send(server, { body, headers });
    await until(() => server.exported.length === 1);
    expect((await send(server, { body, headers })).status).toBe(503);
    finish();
    expect((await first).status).toBe(200);
    expect((await send(server, { body, headers })).status).toBe(200);
  });

  test("B01 one request above the limit in flight is taken when nothing else is", async () => {
    const server = await start({ max_in_flight_bytes: 10 * KIB });
    expect((await send(server, { body: "x".repeat(500 * KIB) })).status).toBe(200);
  });

  test("P06 room is given back after errors, refusals and senders that went away", async () => {
    const server = await start({
      max_in_flight_bytes: MIB,
      exportBody: (_signal, body) =>
        body.length < KIB
          ? Promise.resolve({ accepted_items: 1, rejected_items: 0, message: "" })
          : Promise.reject(new Error("no")),
    });
    const body = "x".repeat(700 * KIB);
    const bomb = {
      body: gzipSync(Buffer.alloc(8 * MIB)),
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
    };
    for (let round = 0; round < 5; round += 1) {
      expect((await send(server, { body })).status).toBe(503);
      expect(
        (await send(server, { body: "x".repeat(MIB + 1), chunk_bytes: 256 * KIB })).status,
      ).toBe(413);
      expect((await send(server, bomb)).status).toBe(413);
      const client = connect(server);
      await client.write(head("Content-Type: application/json", `Content-Length: ${MIB}`));
      await client.write(Buffer.alloc(900 * KIB));
      await sleep(20);
      client.close();
      await sleep(20);
    }
    // Had any byte stayed counted, two at once would not fit.
    const alone = connect(server);
    await alone.write(head("Content-Type: application/json", `Content-Length: ${MIB}`));
    await alone.write(Buffer.alloc(1023 * KIB));
    await sleep(50);
    expect((await send(server)).status).toBe(200);
  });

  test("P07 a gzip bomb of 256 MiB is 413 and costs little memory, over and over", async () => {
    const server = await start({ max_body_bytes: 8 * MIB, max_in_flight_bytes: 32 * MIB });
    const body = await makeBomb(256);
    expect(body.length).toBeLessThan(2 * MIB);
    const before_bytes = process.memoryUsage.rss();
    let peak_bytes = before_bytes;
    const timer = setInterval(() => {
      peak_bytes = Math.max(peak_bytes, process.memoryUsage.rss());
    }, 2);
    for (let round = 0; round < 10; round += 1) {
      const headers = { ...JSON_TYPE, "content-encoding": "gzip" };
      expect((await send(server, { body, headers })).status).toBe(413);
    }
    clearInterval(timer);
    expect(server.exported).toEqual([]);
    expect(peak_bytes - before_bytes).toBeLessThan(100 * MIB);
  });
});

/** Gzip of this many MiB of zeros, made without holding them. */
async function makeBomb(size_mib: number): Promise<Uint8Array> {
  const gzip = createGzip({ level: 1 });
  const pieces: Uint8Array[] = [];
  gzip.on("data", (piece: Uint8Array) => pieces.push(piece));
  const zeros = Buffer.alloc(MIB);
  for (let written = 0; written < size_mib; written += 1) {
    if (!gzip.write(zeros)) await once(gzip, "drain");
  }
  gzip.end();
  await once(gzip, "end");
  return Buffer.concat(pieces);
}
