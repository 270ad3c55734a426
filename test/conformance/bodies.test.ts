/** Rows B of the conformance checklist (`rows.ts`): sizes, and bodies that are not what they say. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  type Answer,
  decodeStatus,
  decodeViolations,
  RawClient,
  send,
} from "../../collector/receive/fixture.ts";
import {
  countSpans,
  encode,
  ENCODINGS,
  KEY,
  makeSpan,
  newId,
  openLaboratory,
  post,
  readOutcome,
  settle,
  SIGNALS,
  startTestCollector,
  storedSpan,
  storedSpans,
  type TestCollector,
  tracesOf,
  TYPES,
} from "./collector.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GZIP = { headers: { "content-encoding": "gzip" } };

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ engine, collector, close } = await openLaboratory());
});
afterAll(() => close());

const statusOf = async (answer: Promise<Answer>) => (await answer).status;

describe("B01", () => {
  test("B01 64 MiB are the limit when nothing is set, declared and inflated", async () => {
    const client = new RawClient(collector.port);
    const lines = ["POST /v1/traces HTTP/1.1", "Host: c", `x-api-key: ${KEY}`];
    const declared = [`Content-Type: ${TYPES.protobuf}`, `Content-Length: ${64 * MIB + 1}`, "", ""];
    await client.write([...lines, ...declared].join("\r\n"));
    const answer = await client.readAnswer();
    client.close();
    expect(answer?.status).toBe(413);
    expect(decodeStatus("protobuf", answer?.body ?? new Uint8Array()).code).toBe(8);
    // Zeros are no OTLP: one that is inflated as a whole is 400.
    const zeros = (bytes: number) => gzipSync(Buffer.alloc(bytes), { level: 1 });
    const inflated = (bytes: number) => post(collector, "traces", "protobuf", zeros(bytes), GZIP);
    expect(await statusOf(inflated(64 * MIB + 1))).toBe(413);
    expect(await statusOf(inflated(64 * MIB))).toBe(400);
  });

  test.each(ENCODINGS)(
    "B01 the limit can be set; a body of it is taken as %s",
    async (encoding) => {
      const limit = 100 * KIB;
      const small = await startTestCollector(engine, { SPANLEDGER_MAX_BODY_BYTES: String(limit) });
      const span = makeSpan({ name: "" });
      const bodyOf = (bytes: number) => {
        const named = (length: number) =>
          encode("traces", encoding, tracesOf({ ...span, name: "x".repeat(length) }));
        // The lengths that protobuf writes take more bytes for a longer name.
        let length = bytes - named(0).length - 20;
        while (named(length).length < bytes) length += 1;
        return named(length);
      };
      const exact = bodyOf(limit);
      const over = bodyOf(limit + 1);
      expect([exact.length, over.length]).toEqual([limit, limit + 1]);
      for (const chunks of [{}, { chunk_bytes: 10 * KIB }]) {
        expect(await statusOf(post(small, "traces", encoding, exact, chunks))).toBe(200);
        const zipped = { ...GZIP, ...chunks };
        expect(await statusOf(post(small, "traces", encoding, gzipSync(exact), zipped))).toBe(200);
        for (const [body, request] of [
          [over, chunks],
          [gzipSync(over), zipped],
        ] as const) {
          const answer = await post(small, "traces", encoding, body, request);
          expect(answer.status).toBe(413);
          expect(decodeStatus(encoding, answer.body).message).toContain(
            "SPANLEDGER_MAX_BODY_BYTES",
          );
          expect(answer.headers.get("retry-after")).toBeUndefined();
        }
      }
      // Both have the ids of one span; only the one within the limit may be what is stored.
      const kept = encode("traces", encoding, tracesOf({ ...span, name: "" })).length;
      expect((await storedSpan(engine, span.traceId)).name.length).toBeLessThan(limit - kept);
      await small.stop();
    },
  );
});

test.each(ENCODINGS)(
  "B02 an answer stays far below 4 MiB, whatever was wrong (%s)",
  async (encoding) => {
    const spans = Array.from({ length: 5_000 }, (_unused, index) =>
      makeSpan({ traceId: new Uint8Array(index % 40), spanId: new Uint8Array(index % 20) }),
    );
    const answer = await post(
      collector,
      "traces",
      encoding,
      encode("traces", encoding, tracesOf(...spans)),
    );
    expect(answer.body.length).toBeLessThan(4 * KIB);
    expect(readOutcome("traces", answer)).toMatchObject({ status: 200, rejected: 5_000 });
  },
);

test.each(SIGNALS)(
  "B03 what is no body of %s is 400 with a BadRequest in the Status",
  async (signal) => {
    for (const [encoding, body] of [
      ["protobuf", "\x0f\x0f\x0f"],
      ["protobuf", Buffer.from([0x0a, 0x7f, 0x01])],
      ["json", "{"],
      ["json", "[]"],
      ["json", `{"resource${{ traces: "Spans", logs: "Logs", metrics: "Metrics" }[signal]}":7}`],
    ] as const) {
      const answer = await post(collector, signal, encoding, body);
      expect([body, answer.status]).toEqual([body, 400]);
      const { code, message } = decodeStatus(encoding, answer.body);
      expect(code).toBe(3);
      expect(decodeViolations(encoding, answer.body)).toEqual([
        { field: "body", description: message },
      ]);
    }
  },
);

test("B04 an unknown or missing type is 415 with a Status in JSON", async () => {
  for (const type of ["text/plain", "application/grpc", "multipart/form-data; boundary=x", null]) {
    const headers = { "x-api-key": KEY, ...(type === null ? {} : { "content-type": type }) };
    const answer = await send(collector, { headers });
    expect(answer.status).toBe(415);
    expect(answer.headers.get("content-type")).toBe(TYPES.json);
    expect(decodeStatus("json", answer.body).message).toContain("application/x-protobuf");
  }
});

test.each(["snappy", "br", "x-gzip"])("B05 Content-Encoding %s is 415", async (encoding) => {
  const request = { headers: { "content-encoding": encoding } };
  const answer = await post(collector, "traces", "json", "{}", request);
  expect(answer.status).toBe(415);
  expect(decodeStatus("json", answer.body).message).toContain("gzip");
});

const whole = gzipSync("{}");
test.each([
  ["plain", Buffer.from("{}")],
  ["cut off", whole.subarray(0, whole.length - 3)],
  ["of a wrong checksum", Buffer.concat([whole.subarray(0, -8), Buffer.from("checksum")])],
  ["followed by more", Buffer.concat([whole, Buffer.from("more")])],
])("B06 a gzip body that is %s is 400", async (_name, body) => {
  const answer = await post(collector, "traces", "json", body, GZIP);
  expect(answer.status).toBe(400);
  expect(decodeViolations("json", answer.body)[0]?.field).toBe("content-encoding");
});

test("B06 gzip members that follow each other are one body", async () => {
  const span = makeSpan();
  const body = encode("traces", "protobuf", tracesOf(span));
  const members = Buffer.concat([gzipSync(body.subarray(0, 20)), gzipSync(body.subarray(20))]);
  expect(await statusOf(post(collector, "traces", "protobuf", members, GZIP))).toBe(200);
  expect((await storedSpan(engine, span.traceId)).name).toBe(span.name);
});

test.each(ENCODINGS)("B07 a gzip body of no bytes is 400 as %s", async (encoding) => {
  expect(await statusOf(post(collector, "traces", encoding, "", GZIP))).toBe(400);
});

test.each(["gzip, gzip", "gzip,deflate", "identity, gzip"])("B08 %j is 415", async (encoding) => {
  const request = { headers: { "content-encoding": encoding } };
  const body = gzipSync(gzipSync("{}"));
  expect(await statusOf(post(collector, "traces", "json", body, request))).toBe(415);
});

test("B09 who goes away in the middle leaves nothing, neither rows nor log lines", async () => {
  const traceId = newId(16);
  const complaints = collector.complaints.length;
  for (let round = 0; round < 20; round += 1) {
    const body = encode(
      "traces",
      "protobuf",
      tracesOf(makeSpan({ traceId }), makeSpan({ traceId })),
    );
    const client = new RawClient(collector.port);
    const head = ["POST /v1/traces HTTP/1.1", "Host: c", `x-api-key: ${KEY}`];
    const lines = [`Content-Type: ${TYPES.protobuf}`, `Content-Length: ${body.length}`, "", ""];
    await client.write([...head, ...lines].join("\r\n"));
    // The first span alone would be a valid body.
    await client.write(body.subarray(0, body.length - 1 - ((randomBytes(1)[0] as number) % 100)));
    await sleep(5);
    client.close();
  }
  await settle(collector, engine);
  expect(await countSpans(engine, traceId)).toBe(0);
  expect(collector.complaints.slice(complaints)).toEqual([]);
  expect(await storedSpans(engine, traceId, 0)).toEqual([]);
});
