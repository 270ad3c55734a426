/**
 * Compression of answers on a real connection: what is sent, byte by byte, to whom; and what is left as it
 * is.
 */
import { once } from "node:events";
import { get, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { AnswerCache } from "./cache.ts";
import { compressAnswers, MIN_COMPRESSED_BYTES } from "./compression.ts";

interface Sent {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** As they came over the wire, without the marks of chunks. */
  readonly bytes: Buffer;
  /** Whether the connection ended before the answer did. */
  readonly is_cut: boolean;
}

const servers: Server[] = [];

async function serve(fetch: (request: Request) => Response | Promise<Response>): Promise<string> {
  const server = createAdaptorServer({ fetch }) as Server;
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function ask(url: string, headers: Record<string, string> = {}, method = "GET"): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers, method, agent: false }, (response) => {
      const parts: Buffer[] = [];
      const finish = () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, bytes: Buffer.concat(parts), is_cut: !response.complete });
      };
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", finish);
      response.on("end", finish);
    });
    request.on("error", reject);
  });
}

const GZIP = { "accept-encoding": "gzip" };
const TRACE_ID = "cd".repeat(16);
const START_NS = 1_792_800_000_000_000_000n;

let test_engine: TestEngine;
let api: string;
/** Answers of our own making, of any size. */
let made: string;

beforeAll(async () => {
  test_engine = await openTestEngine();
  const spans = Array.from({ length: 120 }, (_, index) =>
    makeSpan({
      project_id: "alpha",
      trace_id: idBytes(TRACE_ID),
      span_id: idBytes((index + 1).toString(16).padStart(16, "0")),
      start_ns: START_NS + BigInt(index),
      user_id: `user ${index} ${"☃".repeat(100)}`,
    }),
  );
  await insertSpans(test_engine.engine, spans, 1);
  const answers = new AnswerCache({ max_bytes: 8 * 1024 * 1024 });
  const test_api = makeTestApi(test_engine.engine, { answers });
  await test_api.ask("/healthz");
  api = await serve((request) => test_api.app.fetch(request));
  made = await serve((request) => makeApp().fetch(request));
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await test_engine.close();
});

/** `/text?type=&size=` answers that much of it in two parts; `/cut` breaks off after that much. */
function makeApp(): Hono {
  const app = new Hono();
  app.use(compressAnswers());
  app.get("/text", (c) => {
    const size = Number(c.req.query("size"));
    const bytes = Buffer.alloc(size, "a");
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        if (size > 1) controller.enqueue(bytes.subarray(0, size >> 1));
        if (size > 0) controller.enqueue(bytes.subarray(size >> 1));
        controller.close();
      },
    });
    return new Response(stream, {
      headers: {
        "content-type": c.req.query("type") ?? "",
        ...(c.req.query("file") === undefined ? {} : { "content-disposition": "attachment" }),
      },
    });
  });
  app.get("/cut", (c) => {
    let sent = 0;
    const size = Number(c.req.query("size"));
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await sleep(1);
        if (sent >= size) throw new Error("the rows cannot be read");
        sent += 8_192;
        controller.enqueue(Buffer.alloc(8_192, "a"));
      },
    });
    return new Response(stream, { headers: { "content-type": "application/x-ndjson" } });
  });
  app.onError((_error, c) => c.json({ error: "failed" }, 500));
  return app;
}

const KEY = { "x-api-key": "key-alpha" };
const USAGE = "/v1/usage?from=2026-10-24&to=2026-10-25&group_by=user_id";

describe("a large answer", () => {
  test.each([
    ["a trace", `/v1/traces/${TRACE_ID}`, "application/json"],
    ["rows of usage as JSON", USAGE, "application/json"],
    ["rows of usage as CSV", USAGE, "text/csv"],
    ["rows of usage as NDJSON", USAGE, "application/x-ndjson"],
  ])("is compressed for who takes gzip, and the same text: %s", async (_what, path, accept) => {
    const plain = await ask(api + path, { ...KEY, accept });
    const zipped = await ask(api + path, { ...KEY, accept, ...GZIP });
    expect(plain.bytes.length).toBeGreaterThan(MIN_COMPRESSED_BYTES);
    expect(zipped.bytes.length).toBeLessThan(plain.bytes.length / 4);
    expect(gunzipSync(zipped.bytes).equals(plain.bytes)).toBe(true);
    expect(zipped.headers).toMatchObject({
      "content-encoding": "gzip",
      "content-type": plain.headers["content-type"],
    });
    expect(zipped.headers["content-length"]).toBeUndefined();
    expect(plain.headers["content-encoding"]).toBeUndefined();
    for (const { status, headers } of [plain, zipped]) {
      expect(status).toBe(200);
      expect(headers.vary?.toLowerCase().split(", ")).toContain("accept-encoding");
    }
  });

  test("is sent as it is to who does not take gzip", async () => {
    for (const accepted of ["identity", "br", "gzip;q=0", "gzip;q=0, *;q=1", ""]) {
      const { headers, bytes } = await ask(`${api}/v1/traces/${TRACE_ID}`, {
        ...KEY,
        "accept-encoding": accepted,
      });
      expect({ accepted, encoding: headers["content-encoding"] }).toEqual({ accepted });
      expect(JSON.parse(bytes.toString())).toMatchObject({ trace_id: TRACE_ID });
    }
  });

  test("is not sent again to who has it, compressed or not", async () => {
    const zipped = await ask(api + USAGE, { ...KEY, ...GZIP });
    const plain = await ask(api + USAGE, KEY);
    const tag = zipped.headers.etag ?? "";
    expect(tag).toMatch(/^W\/"/);
    expect(plain.headers.etag).toBe(tag);
    for (const known of [tag, tag.slice(2), `"other", ${tag}`]) {
      for (const accepted of [GZIP, {}]) {
        const again = await ask(api + USAGE, { ...KEY, ...accepted, "if-none-match": known });
        expect(again).toMatchObject({ status: 304, headers: { etag: tag } });
        expect(again.bytes).toHaveLength(0);
        expect(again.headers["content-encoding"]).toBeUndefined();
        expect(again.headers.vary).toBe(zipped.headers.vary);
      }
    }
    const other = await ask(api + USAGE, { ...KEY, ...GZIP, "if-none-match": '"other"' });
    expect(other.status).toBe(200);
  });
});

describe("left as they are", () => {
  test("answers of less than the limit, with their length", async () => {
    for (const size of [0, 1, 2, MIN_COMPRESSED_BYTES - 1]) {
      const url = `${made}/text?type=text/csv&size=${size}`;
      const { headers, bytes } = await ask(url, GZIP);
      expect({ size, encoding: headers["content-encoding"] }).toEqual({ size });
      expect(headers["content-length"]).toBe(String(size));
      expect(bytes.equals(Buffer.alloc(size, "a"))).toBe(true);
    }
    for (const size of [MIN_COMPRESSED_BYTES, MIN_COMPRESSED_BYTES + 1]) {
      const { headers, bytes } = await ask(`${made}/text?type=text/csv&size=${size}`, GZIP);
      expect(headers["content-encoding"]).toBe("gzip");
      expect(gunzipSync(bytes).equals(Buffer.alloc(size, "a"))).toBe(true);
    }
  });

  test.each([
    ["Parquet", "type=application/vnd.apache.parquet"],
    ["archives", "type=application/gzip"],
    ["events", "type=text/event-stream"],
    ["JSON that is a file", "type=application/json&file=1"],
  ])("%s", async (_what, query) => {
    const { headers, bytes } = await ask(`${made}/text?${query}&size=100000`, GZIP);
    expect(headers["content-encoding"]).toBeUndefined();
    expect(headers.vary).toBeUndefined();
    expect(bytes).toHaveLength(100_000);
  });

  test("answers to HEAD, which say on what they depend", async () => {
    const { status, headers, bytes } = await ask(
      `${api}/v1/traces/${TRACE_ID}`,
      { ...KEY, ...GZIP },
      "HEAD",
    );
    expect(status).toBe(200);
    expect(headers["content-encoding"]).toBeUndefined();
    expect(headers.vary?.toLowerCase()).toContain("accept-encoding");
    expect(bytes).toHaveLength(0);
  });

  test.each(["application/x-ndjson", "text/event-stream"])(
    "live frames as %s: the first comes while the stream is open",
    async (accept) => {
      const left = new AbortController();
      const response = await fetch(`${api}/v1/live`, {
        headers: { ...KEY, ...GZIP, accept },
        signal: left.signal,
      });
      expect(response.headers.get("content-encoding")).toBeNull();
      const reader = response.body?.getReader();
      const { value } = (await reader?.read()) ?? {};
      expect(Buffer.from(value ?? []).toString()).toContain('"kind":');
      left.abort();
    },
  );
});

describe("an answer that fails", () => {
  test("half way is cut off, compressed or not, and no whole answer", async () => {
    for (const headers of [{}, GZIP]) {
      const sent = await ask(`${made}/cut?size=${MIN_COMPRESSED_BYTES * 4}`, headers);
      expect(sent.status).toBe(200);
      expect(sent.is_cut).toBe(true);
      if (sent.headers["content-encoding"] === "gzip") {
        expect(() => gunzipSync(sent.bytes)).toThrow("unexpected end of file");
      }
    }
  });

  test("before the limit is an error", async () => {
    expect(await ask(`${made}/cut?size=8192`, GZIP)).toMatchObject({ status: 500, is_cut: false });
  });
});
