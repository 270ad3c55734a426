/** Rows T of the conformance checklist (`rows.ts`): transport and paths. */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { Metadata } from "@grpc/grpc-js";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  type Answer,
  decodeStatus,
  RawClient,
  type Request,
  send,
} from "../../collector/receive/fixture.ts";
import { eventually } from "../support/program.ts";
import {
  countSpans,
  encode,
  ENCODINGS,
  KEY,
  makeRequest,
  makeSpan,
  newId,
  openLaboratory,
  post,
  readOutcome,
  SIGNALS,
  startTestCollector,
  storedSessions,
  storedSpan,
  TAKEN,
  type TestCollector,
  tracesOf,
  TYPES,
} from "./collector.ts";

const MIB = 1024 * 1024;
const JSON_HEADERS = { "content-type": TYPES.json, "x-api-key": KEY };

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ engine, collector, close } = await openLaboratory());
});
afterAll(() => close());

// Most of a test is waiting for its rows: together they wait once.
describe.concurrent("rows T", () => {
  /** The head of a POST with the good key. */
  function head(path: string, ...lines: string[]): string {
    const first = [`POST ${path} HTTP/1.1`, "Host: collector", `x-api-key: ${KEY}`];
    return [...first, ...lines, "", ""].join("\r\n");
  }

  async function withClient<Result>(
    port: number,
    use: (client: RawClient) => Promise<Result>,
  ): Promise<Result> {
    const client = new RawClient(port);
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  const cases = ENCODINGS.flatMap((encoding) =>
    SIGNALS.flatMap((signal) =>
      (["identity", "gzip"] as const).map(
        (compression) => [signal, encoding, compression] as const,
      ),
    ),
  );

  test.each(cases)("T01 %s as %s with %s are stored", async (signal, encoding, compression) => {
    const session = `T01-${signal}-${encoding}-${compression}`;
    const body = encode(signal, encoding, makeRequest(signal, session));
    const sent = compression === "gzip" ? gzipSync(body) : body;
    const headers = { "content-encoding": compression };
    expect(readOutcome(signal, await post(collector, signal, encoding, sent, { headers }))).toEqual(
      TAKEN,
    );
    expect(await storedSessions(engine, signal, session)).toHaveLength(1);
  });

  const http = (Exporter: typeof JsonExporter | typeof ProtobufExporter, compression: string) =>
    new Exporter({
      url: `http://127.0.0.1:${collector.port}/v1/traces`,
      headers: { "x-api-key": KEY },
      compression: compression as never,
    });
  const grpc = (compression: string) => {
    const metadata = new Metadata();
    metadata.set("x-api-key", KEY);
    const url = `http://${collector.collector.otlp_grpc}`;
    return new GrpcExporter({ url, metadata, compression: compression as never });
  };

  test.each([
    ["OTLP/JSON", "none", () => http(JsonExporter, "none")],
    ["OTLP/JSON", "gzip", () => http(JsonExporter, "gzip")],
    ["OTLP/HTTP protobuf", "none", () => http(ProtobufExporter, "none")],
    ["OTLP/HTTP protobuf", "gzip", () => http(ProtobufExporter, "gzip")],
    ["OTLP/gRPC", "none", () => grpc("none")],
    ["OTLP/gRPC", "gzip", () => grpc("gzip")],
  ])("T01 the exporter of the SDK sends %s with %s", async (_name, _compression, makeExporter) => {
    const exporter = makeExporter();
    const processor = new BatchSpanProcessor({ exporter });
    const provider = new TracerProvider({ spanProcessors: [processor] });
    const span = provider.getTracer("sdk").startSpan("from the SDK");
    span.end();
    await provider.shutdown();
    const id = Buffer.from(span.spanContext().traceId, "hex");
    expect((await storedSpan(engine, id)).name).toBe("from the SDK");
  });

  test("T02 the three signals have their standard paths, profiles are 404 with a Status", async () => {
    for (const signal of SIGNALS) {
      expect((await post(collector, signal, "json", "{}")).status).toBe(200);
    }
    for (const path of ["/v1development/profiles", "/v1/profiles"]) {
      for (const encoding of ENCODINGS) {
        const answer = await post(collector, "traces", encoding, "", { path });
        expect(answer.status).toBe(404);
        expect(decodeStatus(encoding, answer.body).message).toContain("/v1/traces");
      }
    }
  });

  test("T03 a path in front of the standard ones can be set", async () => {
    const other = await startTestCollector(engine, { SPANLEDGER_OTLP_PATH_PREFIX: "/tenant/otlp" });
    for (const signal of SIGNALS) {
      for (const [path, status] of [
        [`/tenant/otlp/v1/${signal}`, 200],
        [`/v1/${signal}`, 200],
        [`/tenant/v1/${signal}`, 404],
        [`/tenant/otlp//v1/${signal}`, 404],
      ] as const) {
        const answer = await post(other, signal, "json", "{}", { path });
        expect([path, answer.status]).toEqual([path, status]);
      }
    }
    await other.stop();
  });

  test("T04 one port and one connection take JSON and protobuf; HTTP/2 is told off in HTTP/1.1", async () => {
    await withClient(collector.port, async (client) => {
      for (const encoding of ["json", "protobuf", "json"] as const) {
        const body = encode("traces", encoding, tracesOf(makeSpan()));
        const lines = [`Content-Type: ${TYPES[encoding]}`, `Content-Length: ${body.length}`];
        await client.write(Buffer.concat([Buffer.from(head("/v1/traces", ...lines)), body]));
        const answer = await client.readAnswer();
        expect(answer?.status).toBe(200);
        expect(answer?.headers.get("content-type")).toBe(TYPES[encoding]);
      }
    });
    await withClient(collector.port, async (client) => {
      await client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      const answer = await client.readAnswer();
      expect(answer?.status).toBe(400);
      expect(decodeStatus("json", answer?.body ?? new Uint8Array()).message).toContain("HTTP/1.1");
      expect(await client.readAnswer()).toBeNull();
    });
  });

  /** Requests that end in each status that a sender can bring about alone. */
  const REFUSED: readonly (readonly [number, Request])[] = [
    [400, { body: "neither" }],
    [400, { body: "{}", headers: { "content-encoding": "gzip" } }],
    [401, { headers: { "x-api-key": "wrong" } }],
    [404, { path: "/v1/nothing" }],
    [405, { method: "PUT" }],
    [413, { body: gzipSync(Buffer.alloc(64 * MIB + 1)), headers: { "content-encoding": "gzip" } }],
    [415, { headers: { "content-encoding": "br" } }],
  ];

  test.each(ENCODINGS)(
    "T05 T06 %s: every answer has exactly the type of its request",
    async (encoding) => {
      const good = encode("traces", encoding, tracesOf(makeSpan()));
      for (const [status, request] of [[200, { body: good }] as const, ...REFUSED]) {
        const answer = await post(collector, "traces", encoding, request.body ?? "", request);
        expect([answer.status, request.path, request.method]).toEqual([
          status,
          request.path,
          request.method,
        ]);
        expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
      }
    },
  );

  test("T06 the type is written without parameters, byte for byte", async () => {
    await withClient(collector.port, async (client) => {
      await client.write(
        head("/v1/traces", "Content-Type: application/x-protobuf; charset=x", "Content-Length: 0"),
      );
      let received = "";
      client.socket.on("data", (piece: Buffer) => (received += piece.toString("latin1")));
      await client.readAnswer();
      expect(received.toLowerCase()).toContain("\r\ncontent-type: application/x-protobuf\r\n");
    });
  });

  test.each([
    ["application/json; charset=utf-8", "json"],
    ["Application/JSON", "json"],
    ["application/json;charset=UTF-8;foo=bar", "json"],
    ["APPLICATION/X-PROTOBUF", "protobuf"],
    ["application/x-protobuf ; v=1", "protobuf"],
  ] as const)("T07 the type %j is %s", async (type, encoding) => {
    const span = makeSpan();
    const headers = { "content-type": type };
    const body = encode("traces", encoding, tracesOf(span));
    expect((await post(collector, "traces", encoding, body, { headers })).status).toBe(200);
    expect((await storedSpan(engine, span.traceId)).name).toBe(span.name);
  });

  test.each(SIGNALS)("T08 empty requests of %s succeed", async (signal) => {
    const kind = { traces: "Spans", logs: "Logs", metrics: "Metrics" }[signal];
    const requests = [
      {},
      { [`resource${kind}`]: [] },
      { [`resource${kind}`]: [{}] },
      { [`resource${kind}`]: [{ resource: {}, [`scope${kind}`]: [{}] }] },
    ];
    for (const request of requests) {
      for (const encoding of ENCODINGS) {
        const answer = await post(collector, signal, encoding, encode(signal, encoding, request));
        expect(readOutcome(signal, answer)).toEqual(TAKEN);
      }
    }
    expect((await post(collector, signal, "protobuf", "")).body).toHaveLength(0);
  });

  test.each(SIGNALS)(
    "T09 a success of %s is 0 bytes of protobuf and {} of JSON",
    async (signal) => {
      for (const encoding of ENCODINGS) {
        const body = encode(signal, encoding, makeRequest(signal, `T09-${signal}-${encoding}`));
        const answer = await post(collector, signal, encoding, body);
        expect(answer.status).toBe(200);
        expect(Buffer.from(answer.body).toString()).toBe(encoding === "json" ? "{}" : "");
        expect(answer.headers.get("content-length")).toBe(encoding === "json" ? "2" : "0");
      }
    },
  );

  test("T10 one connection carries 100 requests one by one and 50 in a row", async () => {
    const body = encode("traces", "protobuf", tracesOf(makeSpan()));
    const lines = [`Content-Type: ${TYPES.protobuf}`, `Content-Length: ${body.length}`];
    const request = Buffer.concat([Buffer.from(head("/v1/traces", ...lines)), body]);
    await withClient(collector.port, async (client) => {
      for (let count = 0; count < 100; count += 1) {
        await client.write(request);
        expect((await client.readAnswer())?.status).toBe(200);
      }
      await client.write(Buffer.concat(Array.from({ length: 50 }, () => request)));
      for (let count = 0; count < 50; count += 1) {
        expect((await client.readAnswer())?.status).toBe(200);
      }
      expect(client.error).toBeNull();
    });
  });

  test("T10 500 connections at once are all served and stored", async () => {
    const traceId = newId(16);
    const clients = await Promise.all(
      Array.from({ length: 500 }, async () => {
        const client = new RawClient(collector.port);
        await once(client.socket, "connect");
        return client;
      }),
    );
    const answers = await Promise.all(
      clients.map(async (client) => {
        const body = encode("traces", "protobuf", tracesOf(makeSpan({ traceId })));
        const lines = [`Content-Type: ${TYPES.protobuf}`, `Content-Length: ${body.length}`];
        await client.write(Buffer.concat([Buffer.from(head("/v1/traces", ...lines)), body]));
        return client.readAnswer();
      }),
    );
    expect(answers.filter((answer) => answer?.status === 200)).toHaveLength(500);
    for (const client of clients) client.close();
    const ask = () => countSpans(engine, traceId);
    expect((await eventually(ask, (count) => count >= 500, 10_000)).answer).toBe(500);
  });

  test("T11 an answer is not compressed, whatever is accepted", async () => {
    for (const accepted of ["gzip", "gzip, deflate, br, zstd", "*"]) {
      const headers = { "accept-encoding": accepted };
      const answer = await post(collector, "traces", "json", "[]", { headers });
      expect(answer.headers.get("content-encoding")).toBeUndefined();
      expect(decodeStatus("json", answer.body).message).not.toBe("");
    }
  });

  test("T12 Expect: 100-continue is answered, and a refusal comes instead of it", async () => {
    const body = encode("traces", "protobuf", tracesOf(makeSpan()));
    const ask = (...lines: string[]) =>
      withClient(collector.port, async (client) => {
        const head = ["POST /v1/traces HTTP/1.1", "Host: c", "Expect: 100-continue", ...lines];
        await client.write([...head, `Content-Type: ${TYPES.protobuf}`, "", ""].join("\r\n"));
        const first = await client.readAnswer();
        if (first?.status !== 100) return [first?.status];
        await client.write(body);
        return [100, (await client.readAnswer())?.status];
      });
    const length = `Content-Length: ${body.length}`;
    expect(await ask(`x-api-key: ${KEY}`, length)).toEqual([100, 200]);
    expect(await ask("x-api-key: wrong", length)).toEqual([401]);
    expect(await ask(`x-api-key: ${KEY}`, `Content-Length: ${64 * MIB + 1}`)).toEqual([413]);
  });

  test.each([1, 7, 4_096])("T13 gzip in chunks of %i bytes is taken", async (chunk_bytes) => {
    const span = makeSpan();
    const body = gzipSync(encode("traces", "protobuf", tracesOf(span)));
    const request = { headers: { "content-encoding": "gzip" }, chunk_bytes };
    expect((await post(collector, "traces", "protobuf", body, request)).status).toBe(200);
    expect((await storedSpan(engine, span.traceId)).name).toBe(span.name);
  });

  test.each(SIGNALS)(
    "T14 other methods on the path of %s are 405 with Allow: POST",
    async (signal) => {
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]) {
        const answer = await post(collector, signal, "json", "", { method });
        expect([method, answer.status, answer.headers.get("allow")]).toEqual([method, 405, "POST"]);
      }
    },
  );

  test.each(ENCODINGS)("T15 an unknown path is 404 with a Status as %s", async (encoding) => {
    const answer = await post(collector, "traces", encoding, "", { path: "/somewhere" });
    expect(answer.status).toBe(404);
    expect(answer.headers.get("content-type")).toBe(TYPES[encoding]);
    expect(decodeStatus(encoding, answer.body)).toMatchObject({ code: 5 });
  });

  test("T16 what is nearly a path is none, with a key and without", async () => {
    const near = ["/v1/traces/", "//v1/traces", "/v1//traces", "/V1/traces", "/v1/%74races"];
    const tricks = ["/v1/traces/../traces", "/x/../v1/traces", "/v1/traces;x", "/v1/traces%00"];
    for (const path of [...near, ...tricks, "/v1/traces%2f"]) {
      for (const headers of [JSON_HEADERS, { "content-type": TYPES.json }]) {
        const answer = await send(collector, { path, headers });
        expect([path, answer.status]).toEqual([path, 404]);
      }
    }
    expect((await post(collector, "traces", "json", "{}", { path: "/v1/traces?a=b" })).status).toBe(
      200,
    );
  });

  test("T17 a stop finishes what is being sent, and afterwards nothing is taken", async () => {
    const data_dir = `${collector.data_dir}-T17`;
    const other = await startTestCollector(engine, { SPANLEDGER_DATA_DIR: data_dir });
    const span = makeSpan();
    const body = encode("traces", "protobuf", tracesOf(span));
    const client = new RawClient(other.port);
    const lines = [`Content-Type: ${TYPES.protobuf}`, `Content-Length: ${body.length}`];
    await client.write(head("/v1/traces", ...lines));
    await client.write(body.subarray(0, 10));
    await sleep(50);
    const stopped = other.stop();
    await sleep(50);
    await client.write(body.subarray(10));
    expect((await client.readAnswer())?.status).toBe(200);
    await stopped;
    await expect(post(other, "traces", "protobuf", body)).rejects.toThrow("ECONNREFUSED");
    client.close();
    // What was acknowledged is in the log, and the next start brings it into the table.
    const next = await startTestCollector(engine, { SPANLEDGER_DATA_DIR: data_dir });
    expect((await storedSpan(engine, span.traceId)).name).toBe(span.name);
    await next.stop();
    rmSync(data_dir, { recursive: true, force: true });
  });

  test.each([
    ["identity", (bytes: Uint8Array) => bytes],
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["zstd", zstdCompressSync],
  ])("T18 bodies with %s are taken", async (encoding, compress) => {
    const span = makeSpan();
    const body = compress(encode("traces", "protobuf", tracesOf(span)));
    const headers = { "content-encoding": encoding };
    expect((await post(collector, "traces", "protobuf", body, { headers })).status).toBe(200);
    expect((await storedSpan(engine, span.traceId)).name).toBe(span.name);
  });

  test.each(["br", "snappy", "x-snappy-framed", "lz4", "compress"])(
    "T18 bodies with %s are 415, and the answer names what is taken",
    async (encoding) => {
      const answer: Answer = await post(collector, "traces", "json", "{}", {
        headers: { "content-encoding": encoding },
      });
      expect(answer.status).toBe(415);
      expect(decodeStatus("json", answer.body).message).toContain("identity, gzip, deflate, zstd");
    },
  );
});
