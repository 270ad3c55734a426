/** Rows R of the conformance checklist (`rows.ts`): answers, partial success and errors. */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { decodeStatus, RawClient, type Request, send } from "../../collector/receive/fixture.ts";
import { RetryableError } from "../../schemas/errors.ts";
import { eventually } from "../support/program.ts";
import {
  countSpans,
  encode,
  ENCODINGS,
  KEY,
  logsOf,
  makeRequest,
  makeSpan,
  metricsOf,
  nowNs,
  openLaboratory,
  OUTAGE_HEADERS,
  post,
  readOutcome,
  settle,
  SIGNALS,
  startTestCollector,
  storedSessions,
  storedSpan,
  TAKEN,
  type TestCollector,
  text,
  tracesOf,
  TYPES,
} from "./collector.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ engine, collector, close } = await openLaboratory());
});
afterAll(() => close());

// Most of a test is waiting for its rows: together they wait once.
describe.concurrent("rows R", () => {
  /** Runs with a collector that has room for 64 KiB, of which another sender holds all. */
  async function whileFull(use: (full: TestCollector) => Promise<void>): Promise<void> {
    const full = await startTestCollector(engine, {
      SPANLEDGER_MAX_IN_FLIGHT_BYTES: String(64 * KIB),
    });
    const holder = new RawClient(full.port);
    const lines = [`Content-Type: ${TYPES.protobuf}`, `Content-Length: ${32 * MIB}`, "", ""];
    await holder.write(
      ["POST /v1/traces HTTP/1.1", "Host: c", `x-api-key: ${KEY}`, ...lines].join("\r\n"),
    );
    await holder.write(Buffer.alloc(64 * KIB));
    // One that sends nothing more would be refused for its silence.
    const timer = setInterval(() => void holder.write(Buffer.alloc(8 * KIB)), 500);
    const isFull = async () => (await post(full, "traces", "json", "{}")).status;
    await eventually(isFull, (status) => status === 503, 5_000);
    await use(full);
    clearInterval(timer);
    holder.close();
    await full.stop();
  }

  /** A request of each signal with one good item of a session and two that are permanently bad. */
  function partlyBad(signal: (typeof SIGNALS)[number], session: string): object {
    const far = nowNs() + 400n * 86_400_000_000_000n;
    if (signal === "traces") {
      const bad = [{ traceId: new Uint8Array(16) }, { spanId: new Uint8Array(7) }].map(makeSpan);
      const attributes = [text("session.id", session)];
      return tracesOf(bad[0] as object, makeSpan({ attributes }), bad[1] as object);
    }
    if (signal === "logs") {
      const requests = [logsOf(session), logsOf("bad", { timeUnixNano: far })];
      const late = requests[1]?.resourceLogs ?? [];
      return { resourceLogs: [...(requests[0]?.resourceLogs ?? []), ...late, ...late] };
    }
    const request = metricsOf(session);
    const [sum] = request.resourceMetrics?.[0]?.scopeMetrics?.[0]?.metrics ?? [];
    sum?.sum?.dataPoints?.push({ timeUnixNano: nowNs() }, { timeUnixNano: nowNs() });
    return request;
  }

  test.each(ENCODINGS)(
    "R01 what is bad is counted and told, the rest is stored (%s)",
    async (encoding) => {
      for (const signal of SIGNALS) {
        const session = `R01-${signal}-${encoding}`;
        const body = encode(signal, encoding, partlyBad(signal, session));
        const outcome = readOutcome(signal, await post(collector, signal, encoding, body));
        expect([signal, outcome]).toEqual([signal, { ...outcome, status: 200, rejected: 2 }]);
        expect(outcome.message).toMatch(/must|future/);
        // What is told is told in sentences, not in codes.
        expect(outcome.message).toMatch(/\w+ \w+ \w+/);
        const stored = await storedSessions(engine, signal, session);
        expect(stored).toHaveLength(1);
      }
    },
  );

  test("R02 a warning on full success rejects nothing and has words", async () => {
    const span = makeSpan();
    const body = Buffer.from(encode("traces", "json", tracesOf(span)))
      .toString()
      .replace("startTimeUnixNano", "start_time_unix_nano");
    const outcome = readOutcome("traces", await post(collector, "traces", "json", body));
    expect(outcome).toMatchObject({ status: 200, rejected: 0 });
    expect(outcome.message).toContain("lowerCamelCase");
    await storedSpan(engine, span.traceId);
  });

  test("R03 what may pass refuses the whole request, and nothing of it is stored", async () => {
    const span = makeSpan();
    const body = encode(
      "traces",
      "protobuf",
      tracesOf(span, makeSpan({ traceId: new Uint8Array(1) })),
    );
    await whileFull(async (full) => {
      const outcome = readOutcome("traces", await post(full, "traces", "protobuf", body));
      expect(outcome).toMatchObject({ status: 503, rejected: 0 });
    });
    await settle(collector, engine);
    expect(await countSpans(engine, span.traceId)).toBe(0);
    // And what is permanently bad is never 503, as it would come again and again.
    expect(readOutcome("traces", await post(collector, "traces", "protobuf", body))).toMatchObject({
      status: 200,
      rejected: 1,
    });
  });

  /** Requests and the status that each must get. */
  const REFUSED: readonly (readonly [number, Request])[] = [
    [400, { body: "neither" }],
    [400, { body: "neither", headers: { "content-encoding": "gzip" } }],
    [401, { headers: { "x-api-key": "wrong" } }],
    [404, { path: "/v1/nothing" }],
    [405, { method: "PUT" }],
    [413, { body: gzipSync(Buffer.alloc(64 * MIB + 1)), headers: { "content-encoding": "gzip" } }],
    [415, { headers: { "content-encoding": "br" } }],
    [417, { headers: { expect: "cake" } }],
    [503, { headers: OUTAGE_HEADERS }],
  ];

  test.each(ENCODINGS)(
    "R04 the body of every error is a Status in the request's encoding (%s)",
    async (encoding) => {
      for (const [status, request] of REFUSED) {
        const answer = await post(collector, "traces", encoding, request.body ?? "", request);
        expect([answer.status, request.path]).toEqual([status, request.path]);
        const { code, message } = decodeStatus(encoding, answer.body);
        expect(code).toBeGreaterThan(0);
        expect(message.length).toBeGreaterThan(10);
      }
    },
  );

  test.each([
    [400, "NOT HTTP\r\n\r\n"],
    [400, `POST /v1/traces HTTP/1.1\r\nContent-Type: ${TYPES.json}\r\n\r\n`],
    [431, `POST /v1/traces HTTP/1.1\r\nHost: c\r\nx: ${"x".repeat(20 * KIB)}\r\n\r\n`],
  ])("R04 also what is refused before there is a request: %i", async (status, bytes) => {
    const client = new RawClient(collector.port);
    await client.write(bytes);
    const answer = await client.readAnswer();
    client.close();
    expect(answer?.status).toBe(status);
    expect(decodeStatus("json", answer?.body ?? new Uint8Array()).code).toBeGreaterThan(0);
  });

  test("R05 only what may pass has a status that senders retry", async () => {
    for (const [status, request] of REFUSED) {
      const answer = await post(collector, "traces", "json", request.body ?? "", request);
      expect([429, 502, 503, 504].includes(answer.status)).toBe(status === 503);
    }
  });

  test("R06 overload is 503 with whole seconds to wait, told before the body is sent", async () => {
    await whileFull(async (full) => {
      for (const length of ["Content-Length: 60000", "Transfer-Encoding: chunked"]) {
        const client = new RawClient(full.port);
        const head = ["POST /v1/traces HTTP/1.1", "Host: c", `x-api-key: ${KEY}`];
        await client.write([...head, `Content-Type: ${TYPES.json}`, length, "", ""].join("\r\n"));
        const answer = await client.readAnswer();
        client.close();
        expect(answer?.status).toBe(503);
        expect(answer?.headers.get("retry-after")).toMatch(/^[1-5]$/);
      }
    });
  });

  test("R10 a log that cannot take more is 503 with Retry-After, never 500 and never 200", async () => {
    const away = () => Promise.reject(new RetryableError("away", "the engine is away"));
    const broken: Engine = {
      kind: "server",
      query: away,
      queryBytes: away,
      command: away,
      insertNative: away,
      ping: away,
      close: () => Promise.resolve(),
    };
    const full = await startTestCollector(broken, { SPANLEDGER_WAL_MAX_BYTES: String(MIB) });
    const spans = Array.from({ length: 500 }, () =>
      makeSpan({ attributes: [text("padding", "x".repeat(500))] }),
    );
    const body = encode("traces", "protobuf", tracesOf(...spans));
    const statuses: number[] = [];
    for (let count = 0; count < 20 && !statuses.includes(503); count += 1) {
      const answer = await post(full, "traces", "protobuf", body);
      statuses.push(answer.status);
      if (answer.status === 503) expect(answer.headers.get("retry-after")).toMatch(/^[1-5]$/);
    }
    expect(statuses[0]).toBe(200);
    expect(statuses.at(-1)).toBe(503);
    await full.stop();
  });

  test("R11 statuses are those of the Collector's table, Retry-After only with 503", async () => {
    for (const [status, request] of REFUSED) {
      const answer = await post(collector, "traces", "json", request.body ?? "", request);
      const rpc = decodeStatus("json", answer.body).code;
      // INVALID_ARGUMENT, UNAUTHENTICATED, NOT_FOUND, UNIMPLEMENTED, RESOURCE_EXHAUSTED, UNAVAILABLE
      const expected = { 400: 3, 401: 16, 404: 5, 405: 12, 413: 8, 415: 3, 417: 3, 503: 14 };
      expect([status, rpc]).toEqual([status, expected[status as keyof typeof expected]]);
      expect(answer.headers.has("retry-after")).toBe(status === 503);
    }
  });

  test("R12 a missing or wrong key is 401 with a challenge, keys that cannot be read are 503", async () => {
    const type = { "content-type": TYPES.protobuf };
    for (const signal of SIGNALS) {
      const path = `/v1/${signal}`;
      for (const key of [{}, { "x-api-key": "wrong" }, { authorization: "Bearer wrong" }]) {
        const answer = await send(collector, { path, headers: { ...type, ...key }, body: "" });
        expect(answer.status).toBe(401);
        expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      }
      for (const key of [{ "x-api-key": KEY }, { authorization: `Bearer ${KEY}` }]) {
        const answer = await send(collector, { path, headers: { ...type, ...key }, body: "" });
        expect(answer.status).toBe(200);
      }
      const outage = await send(collector, {
        path,
        headers: { ...type, ...OUTAGE_HEADERS },
        body: "",
      });
      expect(outage.status).toBe(503);
      expect(outage.headers.has("www-authenticate")).toBe(false);
    }
  });

  test.each(SIGNALS)(
    "R13 %s that are sent again, in either encoding, are stored once",
    async (signal) => {
      const session = `R13-${signal}`;
      const request = makeRequest(signal, session);
      for (const encoding of ["protobuf", "json", "protobuf"] as const) {
        const body = encode(signal, encoding, request);
        expect(readOutcome(signal, await post(collector, signal, encoding, body))).toEqual(TAKEN);
        await settle(collector, engine);
      }
      expect(await storedSessions(engine, signal, session)).toHaveLength(1);
    },
  );
});
