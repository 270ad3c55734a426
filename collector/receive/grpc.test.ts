/**
 * The gRPC receiver over real connections. The rows of research/reliability.md section 1 that a test
 * stands for are in its name: G gRPC, R answers, T transport, B sizes and bodies.
 */
import { once } from "node:events";
import { constants } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { compressionAlgorithms, credentials, status } from "@grpc/grpc-js";
import { SpanKind } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, describe, expect, test, vi } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { makeCertificates } from "../../test/support/certificates.ts";
import {
  frame,
  GrpcClient,
  openSession,
  type RawAnswer,
  sendRaw,
} from "../../test/support/grpc-client.ts";
import { decodeTraceRequest } from "../../test/support/otlp-proto.ts";
import { decodeExportResponse } from "./fixture.ts";
import { createOtlpGrpcServer, type OtlpGrpcOptions } from "./grpc.ts";
import type { TlsFiles } from "./grpc-tls.ts";
import { makeInFlightLimit } from "./in-flight.ts";
import type { ExportResult, OtlpSignal } from "./reply.ts";
import { DEFAULT_TIMEOUTS } from "./timeouts.ts";
import { refuseAll, senderOf } from "../../test/support/sender.ts";
import { DEFAULT_SENDER } from "../../schemas/sender.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GZIP = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
const ACCEPTED: ExportResult = { accepted_items: 1, rejected_items: 0, message: "" };

/** Paths as the OTLP specification names them. */
const PATHS: Readonly<Record<OtlpSignal, string>> = {
  traces: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
  logs: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
  metrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
};
const SIGNALS = Object.keys(PATHS) as OtlpSignal[];
const HEALTH = "/grpc.health.v1.Health/Check";

const toClose: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of toClose.splice(0).toReversed()) await close();
});

/** What the stub was given. */
interface Exported {
  readonly signal: OtlpSignal;
  readonly body: string;
  readonly encoding: string;
  readonly project_id: string;
}

interface TestServer {
  readonly port: number;
  readonly exported: Exported[];
  readonly observed: (readonly [signal: string, status: number, body_bytes: number])[];
  readonly close: (grace_ms?: number) => Promise<void>;
}

/** Starts a receiver on a free loopback port: limits of 1 and 4 MiB, every sender let in. */
async function start(changes: Partial<OtlpGrpcOptions> = {}): Promise<TestServer> {
  const exported: Exported[] = [];
  const observed: TestServer["observed"] = [];
  const { exportBody, ...others } = changes;
  const server = createOtlpGrpcServer({
    max_body_bytes: MIB,
    openHold: makeInFlightLimit(4 * MIB),
    authenticate: () => DEFAULT_SENDER,
    observe: (...answer) => observed.push(answer),
    checkReady: () => Promise.resolve(),
    max_connection_age_s: 3_600,
    max_concurrent_streams: 200,
    tls: null,
    ...others,
    exportBody(signal, body, encoding, sender) {
      const { project_id } = sender;
      exported.push({ signal, body: Buffer.from(body).toString("latin1"), encoding, project_id });
      return exportBody?.(signal, body, encoding, sender) ?? Promise.resolve(ACCEPTED);
    },
  });
  server.listener.listen(0, "127.0.0.1");
  await once(server.listener, "listening");
  const { port } = server.listener.address() as AddressInfo;
  let closing: Promise<void> | null = null;
  const close = (grace_ms = 100) => (closing ??= server.close(grace_ms));
  toClose.push(close);
  return { port, exported, observed, close };
}

function open(
  server: TestServer,
  options: ConstructorParameters<typeof GrpcClient>[1] = {},
  creds?: ConstructorParameters<typeof GrpcClient>[2],
): GrpcClient {
  const client = new GrpcClient(`127.0.0.1:${server.port}`, options, creds);
  toClose.push(() => client.close());
  return client;
}

function openRaw(server: TestServer) {
  const session = openSession(server.port);
  toClose.push(() => session.destroy());
  return session;
}

/** A limit whose bytes can be seen. */
function makeWatchedLimit(max_bytes: number) {
  const limit = makeInFlightLimit(max_bytes);
  const held = { now_bytes: 0, peak_bytes: 0 };
  const openHold = () => {
    const hold = limit();
    let own_bytes = 0;
    return {
      check: hold.check,
      add(byteCount: number) {
        hold.add(byteCount);
        own_bytes += byteCount;
        held.now_bytes += byteCount;
        held.peak_bytes = Math.max(held.peak_bytes, held.now_bytes);
      },
      release() {
        hold.release();
        held.now_bytes -= own_bytes;
        own_bytes = 0;
      },
    };
  };
  return { openHold, held };
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

function codeOf(answer: RawAnswer): number {
  return Number(answer.headers["grpc-status"]);
}

describe("calls", () => {
  test.each(SIGNALS)("G01 %s are received under their service's name", async (signal) => {
    const server = await start();
    const answer = await open(server).call(PATHS[signal], Buffer.from("\u0000\xff raw", "latin1"));
    expect(answer).toMatchObject({ code: status.OK, rpc: null });
    expect(answer.body).toHaveLength(0);
    expect(server.exported).toEqual([
      { signal, body: "\u0000\xff raw", encoding: "protobuf", project_id: "default" },
    ]);
    expect(server.observed).toEqual([[signal, 200, 11]]);
  });

  test.each(SIGNALS)("T01 %s: identity and gzip bring the same bytes", async (signal) => {
    const server = await start();
    const body = Buffer.from("span ".repeat(20_000));
    expect(await open(server).call(PATHS[signal], body)).toMatchObject({ code: status.OK });
    expect(await open(server, GZIP).call(PATHS[signal], body)).toMatchObject({ code: status.OK });
    expect(server.exported.map((got) => got.body)).toEqual([String(body), String(body)]);
    const [plain, zipped] = server.observed.map(([, , byteCount]) => byteCount);
    expect(plain).toBe(body.length + 5);
    expect(zipped).toBeLessThan(body.length / 10);
  });

  test("G02 another content type gets 415, an unknown service or method is UNIMPLEMENTED", async () => {
    const server = await start();
    const session = openRaw(server);
    const json = await sendRaw(session, PATHS.traces, frame(Buffer.from("x")), {
      "content-type": "application/json",
    });
    expect(json.headers[":status"]).toBe(415);
    const proto = await sendRaw(session, PATHS.traces, frame(Buffer.from("x")), {
      "content-type": "application/grpc+proto",
    });
    expect(codeOf(proto)).toBe(status.OK);
    for (const path of ["/no.Service/Export", `${PATHS.traces}s`, "/", "//", "/ÿ%00"]) {
      const answer = await sendRaw(session, path, frame(Buffer.alloc(0)));
      expect([path, codeOf(answer)]).toEqual([path, status.UNIMPLEMENTED]);
    }
    expect(server.exported).toHaveLength(1);
  });

  test("G03 gzip and identity are accepted, other encodings are UNIMPLEMENTED with a list", async () => {
    const server = await start();
    const session = openRaw(server);
    const body = Buffer.from("spans".repeat(100));
    const accepted: readonly (readonly [string, Buffer])[] = [
      ["identity", frame(body)],
      ["gzip", frame(gzipSync(body), true)],
      ["gzip", frame(body)],
      [
        "gzip",
        frame(Buffer.concat([gzipSync("spans".repeat(50)), gzipSync("spans".repeat(50))]), true),
      ],
      ["zstd", frame(zstdCompressSync(body), true)],
    ];
    for (const [encoding, bytes] of accepted) {
      const answer = await sendRaw(session, PATHS.traces, bytes, { "grpc-encoding": encoding });
      expect([encoding, codeOf(answer)]).toEqual([encoding, status.OK]);
      expect(answer.headers["grpc-accept-encoding"]).toMatch(/\bidentity\b.*\bgzip\b/);
    }
    expect(server.exported.map((got) => got.body)).toEqual(accepted.map(() => String(body)));
    for (const encoding of ["snappy", "br", "gzip, gzip", "__proto__"]) {
      const answer = await sendRaw(session, PATHS.traces, frame(body, true), {
        "grpc-encoding": encoding,
      });
      expect([encoding, codeOf(answer)]).toEqual([encoding, status.UNIMPLEMENTED]);
      expect(answer.headers["grpc-accept-encoding"]).toMatch(/\bidentity\b.*\bgzip\b/);
    }
    expect(server.exported).toHaveLength(accepted.length);
  });

  test("G03 what is not gzip, is cut off or has bytes behind it is INTERNAL, which is final", async () => {
    const server = await start();
    const session = openRaw(server);
    const zipped = gzipSync("spans".repeat(100));
    const flipped = Buffer.from(zipped);
    flipped.writeUInt8(zipped.readUInt8(zipped.length - 6) ^ 1, zipped.length - 6);
    const bad = [
      Buffer.from("plain"),
      Buffer.alloc(0),
      zipped.subarray(0, -9),
      flipped,
      Buffer.concat([zipped, Buffer.from("garbage")]),
    ];
    for (const bytes of bad) {
      const answer = await sendRaw(session, PATHS.traces, frame(bytes, true), {
        "grpc-encoding": "gzip",
      });
      expect([bytes.length, codeOf(answer)]).toEqual([bytes.length, status.INTERNAL]);
    }
    expect(server.exported).toEqual([]);
  });

  test("T08 an empty message succeeds", async () => {
    const server = await start();
    expect(await open(server).call(PATHS.logs, Buffer.alloc(0))).toMatchObject({ code: status.OK });
    expect(server.exported).toMatchObject([{ signal: "logs", body: "" }]);
  });

  test("T10 a thousand calls at once over one channel all succeed", async () => {
    const server = await start();
    const client = open(server);
    const calls = Array.from({ length: 1_000 }, (_, index) =>
      client.call(PATHS.traces, Buffer.from(`span ${index}`)),
    );
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set([status.OK]));
    expect(new Set(server.exported.map(({ body }) => body)).size).toBe(1_000);
  });

  test("a call without a message, or with two, is refused and passes nothing on twice", async () => {
    const server = await start();
    const session = openRaw(server);
    expect(codeOf(await sendRaw(session, PATHS.traces, Buffer.alloc(0)))).toBe(
      status.UNIMPLEMENTED,
    );
    const two = Buffer.concat([frame(Buffer.from("a")), frame(Buffer.from("b"))]);
    expect(codeOf(await sendRaw(session, PATHS.traces, two))).toBe(status.UNIMPLEMENTED);
    expect(server.exported).toEqual([]);
  });
});

describe("who sends", () => {
  const authenticate: OtlpGrpcOptions["authenticate"] = (headers) =>
    headers["authorization"] === "Bearer k1" || headers["x-api-key"] === "k1"
      ? senderOf("mine")
      : refuseAll();

  test("G06 the key comes in the metadata, in any case, under either name", async () => {
    const server = await start({ authenticate });
    const client = open(server);
    for (const headers of [
      { Authorization: "Bearer k1" },
      { authorization: "Bearer k1" },
      { "X-Api-Key": "k1" },
    ]) {
      const answer = await client.call(PATHS.traces, Buffer.from("x"), { headers });
      expect(answer.code).toBe(status.OK);
    }
    expect(server.exported.map(({ project_id }) => project_id)).toEqual(["mine", "mine", "mine"]);
  });

  test("G06 R07 without a good key a call is UNAUTHENTICATED, and a key store that is away UNAVAILABLE", async () => {
    const server = await start({ authenticate });
    const client = open(server);
    for (const headers of [{}, { authorization: "Bearer k2" }, { authorization: "k1" }]) {
      const answer = await client.call(PATHS.traces, Buffer.from("x"), { headers });
      expect(answer.code).toBe(status.UNAUTHENTICATED);
      expect(answer.details).toContain("authorization");
      expect(answer.rpc).toMatchObject({ code: status.UNAUTHENTICATED, details: {} });
    }
    const away = await start({
      authenticate() {
        throw new RetryableError("keys_away", "Keys cannot be read.");
      },
    });
    const answer = await open(away).call(PATHS.traces, Buffer.from("x"));
    expect(answer.code).toBe(status.UNAVAILABLE);
    expect([...server.exported, ...away.exported]).toEqual([]);
  });

  test("a sender without a key makes the receiver keep and inflate nothing", async () => {
    const { openHold, held } = makeWatchedLimit(4 * MIB);
    const server = await start({ authenticate, openHold });
    const answer = await open(server, GZIP).call(PATHS.traces, Buffer.alloc(900 * KIB));
    expect(answer.code).toBe(status.UNAUTHENTICATED);
    expect(held.peak_bytes).toBe(0);
  });
});

describe("sizes", () => {
  test("B01 G04 a message over the limit is RESOURCE_EXHAUSTED without RetryInfo, as sent or inflated", async () => {
    const server = await start();
    for (const options of [{}, GZIP]) {
      const answer = await open(server, options).call(PATHS.traces, Buffer.alloc(MIB + 1));
      expect(answer.code).toBe(status.RESOURCE_EXHAUSTED);
      expect(answer.details).toContain("SPANLEDGER_MAX_BODY_BYTES");
      expect(answer.rpc).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: {} });
    }
    const fits = await open(server, GZIP).call(PATHS.traces, Buffer.alloc(MIB));
    expect(fits.code).toBe(status.OK);
    expect(server.observed.map(([, code]) => code)).toEqual([413, 413, 200]);
  });

  test("G04 a declared length of 4 GiB is refused when its five bytes have come", async () => {
    const { openHold, held } = makeWatchedLimit(4 * MIB);
    const server = await start({ openHold });
    const session = openRaw(server);
    const stream = session.request({
      ":method": "POST",
      ":path": PATHS.traces,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect(Number(headers["grpc-status"])).toBe(status.RESOURCE_EXHAUSTED);
    expect(held).toEqual({ now_bytes: 0, peak_bytes: 5 });
  });

  test("B01 G04 a bomb is given up at the limit: no more of it is ever there", async () => {
    const { openHold, held } = makeWatchedLimit(8 * MIB);
    const server = await start({ openHold });
    const bomb = gzipSync(Buffer.alloc(64 * MIB));
    const answer = await sendRaw(openRaw(server), PATHS.traces, frame(bomb, true), {
      "grpc-encoding": "gzip",
    });
    expect(codeOf(answer)).toBe(status.RESOURCE_EXHAUSTED);
    expect(held.peak_bytes).toBeGreaterThan(0);
    expect(held.peak_bytes).toBeLessThanOrEqual(MIB + bomb.length + 5);
    expect(held.now_bytes).toBe(0);
  });

  test("B02 a response stays small however much there is to say", async () => {
    const message = "no id; ".repeat(1_000_000);
    const server = await start({
      exportBody: () => Promise.resolve({ accepted_items: 0, rejected_items: 9, message }),
    });
    const answer = await open(server).call(PATHS.traces, Buffer.from("x"));
    expect(answer.code).toBe(status.OK);
    expect(answer.body?.length).toBeLessThan(16 * KIB);
  });

  test("R08 trailers stay far below the 8 KiB that some senders take", async () => {
    const message = "\u{1f600}é%\n".repeat(100_000);
    const server = await start({
      exportBody: () => Promise.reject(new PermanentError("bad_body", message)),
    });
    const { headers } = await sendRaw(openRaw(server), PATHS.traces, frame(Buffer.from("x")));
    expect(Number(headers["grpc-status"])).toBe(status.INVALID_ARGUMENT);
    const sizes = Object.entries(headers).map(
      ([name, value]) => name.length + String(value).length,
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(7 * KIB);
    expect(decodeURI(String(headers["grpc-message"]))).toContain("\u{1f600}é%\n");
  });
});

describe("answers", () => {
  test("B03 R07 a message that cannot be decoded is INVALID_ARGUMENT with a BadRequest", async () => {
    const server = await start({
      exportBody: () => Promise.reject(new PermanentError("bad_body", "broken at byte 7")),
    });
    const answer = await open(server).call(PATHS.traces, Buffer.from("x"));
    expect(answer).toMatchObject({ code: status.INVALID_ARGUMENT, details: "broken at byte 7" });
    expect(answer.rpc).toEqual({
      code: status.INVALID_ARGUMENT,
      message: "broken at byte 7",
      details: {
        BadRequest: { fieldViolations: [{ field: "body", description: "broken at byte 7" }] },
      },
    });
  });

  test("R07 R08 a full log and a failed sync are UNAVAILABLE with a RetryInfo of a second", async () => {
    for (const code of ["log_full", "sync_failed"]) {
      const server = await start({
        exportBody: () => Promise.reject(new RetryableError(code, "Send it again.")),
      });
      const answer = await open(server).call(PATHS.metrics, Buffer.from("x"));
      expect(answer).toMatchObject({ code: status.UNAVAILABLE, details: "Send it again." });
      expect(answer.rpc).toEqual({
        code: status.UNAVAILABLE,
        message: "Send it again.",
        details: { RetryInfo: { retryDelay: { seconds: 1 } } },
      });
      expect(server.observed).toEqual([["metrics", 503, 6]]);
    }
  });

  test("R09 any other failure is UNAVAILABLE, never UNKNOWN, and nothing of it is told", async () => {
    const failures: readonly (() => Promise<never>)[] = [
      () => Promise.reject(new Error("EIO on /data/wal/17")),
      () => Promise.reject(Object.assign(new Error("/data/wal/17"), { code: status.UNKNOWN })),
      // What is thrown need not be an error: the answer must not depend on it.
      // oxlint-disable-next-line prefer-promise-reject-errors
      () => Promise.reject("/data/wal/17"),
      // oxlint-disable-next-line prefer-promise-reject-errors
      () => Promise.reject(null),
      () => {
        throw new TypeError("/data/wal/17");
      },
    ];
    for (const exportBody of failures) {
      const answer = await open(await start({ exportBody })).call(PATHS.traces, Buffer.from("x"));
      expect(answer.code).toBe(status.UNAVAILABLE);
      expect(answer.rpc?.details).toHaveProperty("RetryInfo");
      expect(JSON.stringify([answer.details, answer.rpc])).not.toContain("wal");
    }
  });

  test.each(SIGNALS)("R01 %s: rejected items are counted in partial_success", async (signal) => {
    const result = { accepted_items: 1, rejected_items: 3, message: "zero ids" };
    const server = await start({ exportBody: () => Promise.resolve(result) });
    const answer = await open(server).call(PATHS[signal], Buffer.from("x"));
    expect(answer.code).toBe(status.OK);
    expect(decodeExportResponse(signal, "protobuf", answer.body ?? Buffer.alloc(0))).toMatchObject({
      partialSuccess: { errorMessage: "zero ids" },
    });
    expect(
      JSON.stringify(decodeExportResponse(signal, "protobuf", answer.body ?? Buffer.alloc(0))),
    ).toContain('"3"');
  });
});

describe("load", () => {
  test("R08 over the limit that all receivers share a call is UNAVAILABLE, and room is given back", async () => {
    const { openHold, held } = makeWatchedLimit(MIB);
    const gate = makeGate<ExportResult>();
    const server = await start({ openHold, exportBody: () => gate.promise });
    const client = open(server);
    const first = client.call(PATHS.traces, Buffer.alloc(600 * KIB));
    await until(() => server.exported.length === 1);
    for (const options of [{}, GZIP]) {
      const second = await open(server, options).call(PATHS.traces, Buffer.alloc(600 * KIB));
      expect(second.code).toBe(status.UNAVAILABLE);
      expect(second.rpc?.details).toHaveProperty("RetryInfo");
    }
    expect(held.now_bytes).toBe(600 * KIB + 5);
    // The same limit over HTTP: what gRPC holds is not there for others.
    expect(() => openHold().check(600 * KIB)).toThrow(RetryableError);
    gate.open(ACCEPTED);
    expect((await first).code).toBe(status.OK);
    expect(held.now_bytes).toBe(0);
    expect((await client.call(PATHS.traces, Buffer.alloc(600 * KIB))).code).toBe(status.OK);
  });

  test("R08 a message that is too much is refused while it comes, not when it is there", async () => {
    const { openHold, held } = makeWatchedLimit(600 * KIB);
    const server = await start({ openHold });
    openHold().add(500 * KIB);
    const stream = openRaw(server).request({
      ":method": "POST",
      ":path": PATHS.traces,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.resume();
    stream.write(frame(Buffer.alloc(900 * KIB)).subarray(0, 200 * KIB));
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect(Number(headers["grpc-status"])).toBe(status.UNAVAILABLE);
    expect(held.now_bytes).toBe(500 * KIB);
    // And the stream is closed, so that what came is not kept for a sender who stays.
    if (!stream.closed) await once(stream, "close");
  });

  test("R08 a receiver that can take no more says so before the message", async () => {
    const server = await start({
      checkLoad() {
        throw new RetryableError("overloaded", "Too much work waits.");
      },
    });
    const answer = await open(server).call(PATHS.traces, Buffer.from("x"));
    expect(answer).toMatchObject({ code: status.UNAVAILABLE, details: "Too much work waits." });
    expect(server.exported).toEqual([]);
  });

  test("G10 a message that stops coming is given up, and holds nothing", async () => {
    const { openHold, held } = makeWatchedLimit(MIB);
    const server = await start({ openHold, timeouts: { ...DEFAULT_TIMEOUTS, request_ms: 200 } });
    const stream = openRaw(server).request({
      ":method": "POST",
      ":path": PATHS.traces,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.write(frame(Buffer.alloc(900)).subarray(0, 500));
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect(Number(headers["grpc-status"])).toBe(status.DEADLINE_EXCEEDED);
    expect(held).toEqual({ now_bytes: 0, peak_bytes: 500 });
  });

  test("G10 more streams than the limit wait for their turn", async () => {
    const gate = makeGate<ExportResult>();
    const server = await start({ max_concurrent_streams: 5, exportBody: () => gate.promise });
    const client = open(server);
    const calls = Array.from({ length: 20 }, () => client.call(PATHS.traces, Buffer.from("x")));
    await until(() => server.exported.length === 5);
    await sleep(100);
    expect(server.exported).toHaveLength(5);
    gate.open(ACCEPTED);
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual(
      Array.from({ length: 20 }, () => status.OK),
    );
  });

  test("G10 a header list over 16 KiB is refused, and other senders are not", async () => {
    const server = await start();
    const session = openRaw(server);
    const small = { "x-a": "a".repeat(12 * KIB) };
    expect(codeOf(await sendRaw(session, PATHS.traces, frame(Buffer.from("x")), small))).toBe(0);
    const large = { "x-a": "a".repeat(17 * KIB) };
    const refused = await sendRaw(session, PATHS.traces, frame(Buffer.from("x")), large);
    expect(refused.headers["grpc-status"]).toBeUndefined();
    expect(server.exported).toHaveLength(1);
    const next = openRaw(server);
    expect(codeOf(await sendRaw(next, PATHS.traces, frame(Buffer.from("x"))))).toBe(0);
  });

  test("G10 rapid resets close the connection that sends them and hold nothing", async () => {
    const { openHold, held } = makeWatchedLimit(4 * MIB);
    const server = await start({ openHold });
    const session = openRaw(server);
    await once(session, "connect");
    const head = {
      ":method": "POST",
      ":path": PATHS.traces,
      "content-type": "application/grpc",
      te: "trailers",
    };
    let opened = 0;
    for (; opened < 20_000 && !session.closed && !session.destroyed; opened += 1) {
      const stream = session.request(head);
      stream.on("error", () => {});
      stream.close(constants.NGHTTP2_CANCEL);
      if (opened % 100 === 0) await sleep(1);
    }
    expect(session.closed || session.destroyed).toBe(true);
    expect((await open(server).call(PATHS.traces, Buffer.from("x"))).code).toBe(status.OK);
    expect(held.now_bytes).toBe(0);
  });

  test("G10 an answer that the sender's window has no room for is given up", async () => {
    const server = await start({
      timeouts: { ...DEFAULT_TIMEOUTS, request_ms: 300 },
      exportBody: () =>
        Promise.resolve({ accepted_items: 1, rejected_items: 1, message: "m".repeat(500) }),
    });
    const session = openSession(server.port);
    toClose.push(() => session.destroy());
    session.settings({ initialWindowSize: 0 });
    await once(session, "localSettings");
    const stream = session.request({
      ":method": "POST",
      ":path": PATHS.traces,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.end(frame(Buffer.from("x")));
    await once(stream, "close");
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
  });

  test("N10 a sender of HTTP/1.1 or of TLS does no harm", async () => {
    const server = await start();
    for (const bytes of ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00"]) {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      const closed = once(socket, "close");
      socket.write(bytes.padEnd(200, " "));
      await closed;
    }
    expect((await open(server).call(PATHS.traces, Buffer.from("x"))).code).toBe(status.OK);
  });
});

describe("time", () => {
  test("G07 after its deadline a call is not acknowledged, and what it held is given back", async () => {
    const { openHold, held } = makeWatchedLimit(MIB);
    const gate = makeGate<ExportResult>();
    const server = await start({ openHold, exportBody: () => gate.promise });
    const session = openRaw(server);
    const answer = sendRaw(session, PATHS.traces, frame(Buffer.from("x")), {
      "grpc-timeout": "150m",
    });
    expect(codeOf(await answer)).toBe(status.DEADLINE_EXCEEDED);
    expect(held.now_bytes).toBe(6); // still being worked on
    gate.open(ACCEPTED);
    await until(() => held.now_bytes === 0);
    expect(server.observed).toEqual([["traces", 408, 6]]);
  });

  test("G07 work that ends late while the process was busy is not acknowledged", async () => {
    const server = await start({
      async exportBody() {
        const end_ms = Date.now() + 200;
        while (Date.now() < end_ms); // keeps the timer of the deadline from its turn
        return ACCEPTED;
      },
    });
    const answer = await sendRaw(openRaw(server), PATHS.traces, frame(Buffer.from("x")), {
      "grpc-timeout": "100m",
    });
    expect(codeOf(answer)).toBe(status.DEADLINE_EXCEEDED);
  });

  test("G07 a sender who goes away while its message is inflated leaves nothing held", async () => {
    const { openHold, held } = makeWatchedLimit(64 * MIB);
    const server = await start({ openHold, max_body_bytes: 32 * MIB });
    const zipped = frame(gzipSync(Buffer.alloc(30 * MIB)), true);
    for (let round = 0; round < 5; round += 1) {
      const session = openRaw(server);
      const stream = session.request({
        ":method": "POST",
        ":path": PATHS.traces,
        "content-type": "application/grpc",
        te: "trailers",
        "grpc-encoding": "gzip",
      });
      stream.on("error", () => {});
      stream.write(zipped);
      await sleep(round * 5);
      session.destroy();
    }
    await sleep(200);
    await until(() => held.now_bytes === 0);
    expect(held.peak_bytes).toBeGreaterThan(0);
  });

  test("G05 pings every few milliseconds, also without a stream, are answered and never punished", async () => {
    const server = await start();
    const session = openRaw(server);
    await once(session, "connect");
    for (let count = 0; count < 100; count += 1) {
      await new Promise<void>((resolve, reject) => {
        session.ping((error) => (error === null ? resolve() : reject(error)));
      });
    }
    expect(codeOf(await sendRaw(session, PATHS.traces, frame(Buffer.from("x"))))).toBe(0);
    expect(session.closed).toBe(false);
  });

  test("G05 an old connection is asked to come again and its calls are finished", async () => {
    const gate = makeGate<ExportResult>();
    const server = await start({ max_connection_age_s: 1, exportBody: () => gate.promise });
    const session = openRaw(server);
    const call = sendRaw(session, PATHS.traces, frame(Buffer.from("x")));
    const [code] = (await once(session, "goaway")) as [number];
    expect(code).toBe(constants.NGHTTP2_NO_ERROR);
    gate.open(ACCEPTED);
    expect(codeOf(await call)).toBe(status.OK);
    // A channel goes on over a new connection.
    expect((await open(server).call(PATHS.traces, Buffer.from("y"))).code).toBe(status.OK);
  });
});

describe("health", () => {
  const request = (service: string) =>
    service === ""
      ? Buffer.alloc(0)
      : Buffer.from(`\x0a${String.fromCharCode(service.length)}${service}`, "latin1");
  const SERVING = Buffer.from([0x08, 1]);
  const NOT_SERVING = Buffer.from([0x08, 2]);

  test("G08 health checks need no key and tell what can be taken", async () => {
    let is_ready = true;
    const server = await start({
      authenticate: refuseAll,
      checkReady: () => (is_ready ? Promise.resolve() : Promise.reject(new Error("no sync"))),
    });
    const client = open(server);
    for (const service of [
      "",
      ...SIGNALS.map((signal) => PATHS[signal].slice(1, -"/Export".length)),
    ]) {
      expect(await client.call(HEALTH, request(service))).toMatchObject({ body: SERVING });
    }
    is_ready = false;
    expect(await client.call(HEALTH, request(""))).toMatchObject({ body: NOT_SERVING });
    expect((await client.call(HEALTH, request("no.Service"))).code).toBe(status.NOT_FOUND);
    expect((await client.call(HEALTH, Buffer.from([0x08, 1]))).code).toBe(status.INVALID_ARGUMENT);
    expect((await client.call("/grpc.health.v1.Health/Watch", request(""))).code).toBe(
      status.UNIMPLEMENTED,
    );
    expect(
      (await client.call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", request("")))
        .code,
    ).toBe(status.UNIMPLEMENTED);
  });

  test("G08 a health check without a key cannot send more than a name", async () => {
    const { openHold, held } = makeWatchedLimit(4 * MIB);
    const server = await start({ authenticate: refuseAll, openHold });
    const answer = await open(server).call(HEALTH, Buffer.alloc(900 * KIB));
    expect(answer.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(held.peak_bytes).toBe(0);
  });
});

describe("stopping", () => {
  test("T17 a stop lets open calls finish, takes no new ones, and nothing comes after it", async () => {
    const gate = makeGate<ExportResult>();
    const server = await start({ exportBody: () => gate.promise });
    const client = open(server);
    const call = client.call(PATHS.traces, Buffer.from("x"));
    await until(() => server.exported.length === 1);
    const closed = server.close(5_000);
    await sleep(50);
    const late = await open(server).call(PATHS.traces, Buffer.from("late"), { timeout_ms: 2_000 });
    expect(late.code).toBe(status.UNAVAILABLE);
    gate.open(ACCEPTED);
    expect((await call).code).toBe(status.OK);
    await closed;
    expect(server.exported).toHaveLength(1);
  });

  test("T17 a call that does not end is cut after the grace time", async () => {
    const server = await start({ exportBody: () => new Promise(() => {}) });
    const call = open(server).call(PATHS.traces, Buffer.from("x"));
    await until(() => server.exported.length === 1);
    const silent = connect(server.port, "127.0.0.1");
    silent.on("error", () => {});
    await once(silent, "connect");
    const began_ms = performance.now();
    await server.close(200);
    expect(performance.now() - began_ms).toBeLessThan(3_000);
    expect((await call).code).not.toBe(status.OK);
  });
});

describe("TLS", () => {
  test("G09 with a certificate calls are encrypted, and plain text gets nothing", async () => {
    const { read, remove } = makeCertificates();
    toClose.push(remove);
    const tls: TlsFiles = { cert: read("server.pem"), key: read("server.key"), client_ca: null };
    const server = await start({ tls });
    const trusting = open(server, {}, credentials.createSsl(read("ca.pem")));
    expect((await trusting.call(PATHS.traces, Buffer.from("x"))).code).toBe(status.OK);
    const wary = open(server, {}, credentials.createSsl(read("other.pem")));
    expect((await wary.call(PATHS.traces, Buffer.from("x"))).code).toBe(status.UNAVAILABLE);
    expect((await open(server).call(PATHS.traces, Buffer.from("x"))).code).toBe(status.UNAVAILABLE);
    expect(server.exported).toHaveLength(1);
  });

  test("G09 with an authority for senders only those with its certificate are let in", async () => {
    const { read, remove } = makeCertificates();
    toClose.push(remove);
    const server = await start({
      tls: { cert: read("server.pem"), key: read("server.key"), client_ca: read("ca.pem") },
    });
    const known = credentials.createSsl(read("ca.pem"), read("client.key"), read("client.pem"));
    expect((await open(server, {}, known).call(PATHS.traces, Buffer.from("x"))).code).toBe(
      status.OK,
    );
    for (const creds of [
      credentials.createSsl(read("ca.pem")),
      credentials.createSsl(read("ca.pem"), read("other.key"), read("other.pem")),
    ]) {
      const answer = await open(server, {}, creds).call(PATHS.traces, Buffer.from("x"));
      expect(answer.code).toBe(status.UNAVAILABLE);
    }
    expect(server.exported).toHaveLength(1);
  });
});

describe("the exporter of the OpenTelemetry SDK", () => {
  /** Exports one span through the SDK; returns what the exporter made of the answer. */
  async function exportSpan(server: TestServer, name: string, compression: string) {
    vi.stubEnv("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
    toClose.push(() => vi.unstubAllEnvs());
    const exporter = new OTLPTraceExporter({
      url: `http://127.0.0.1:${server.port}`,
      timeoutMillis: 5_000,
    });
    const results: { code: number; error?: Error }[] = [];
    const send = exporter.export.bind(exporter);
    exporter.export = (spans, done) => {
      send(spans, (result) => {
        results.push(result);
        done(result);
      });
    };
    const provider = new TracerProvider({
      spanProcessors: [new SimpleSpanProcessor({ exporter })],
    });
    provider
      .getTracer("test")
      .startSpan(name, { kind: SpanKind.CLIENT, attributes: { "gen_ai.request.model": "m" } })
      .end();
    await provider.forceFlush().catch(() => {});
    await provider.shutdown();
    return results;
  }

  test.each(["none", "gzip"] as const)(
    "G01 G03 its spans arrive, compression %s",
    async (compression) => {
      const server = await start();
      expect(await exportSpan(server, `chat ${compression}`, compression)).toMatchObject([
        { code: 0 },
      ]);
      const [got] = server.exported;
      const request = decodeTraceRequest(Buffer.from(got?.body ?? "", "latin1"));
      const spans = request.resourceSpans?.flatMap((resource) =>
        (resource.scopeSpans ?? []).flatMap((scope) => scope.spans ?? []),
      );
      expect(spans).toMatchObject([{ name: `chat ${compression}` }]);
    },
  );

  test("R07 it is told when its spans were not taken", async () => {
    const server = await start({
      exportBody: () => Promise.reject(new RetryableError("log_full", "Send it again.")),
    });
    const [result] = await exportSpan(server, "chat", "none");
    expect(result).toMatchObject({ code: 1, error: { code: status.UNAVAILABLE } });
  });
});
