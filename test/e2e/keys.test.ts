/**
 * Who may send what, through a real collector over HTTP and gRPC: scopes, services, projects, limits, and
 * which key a row came by.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Collector, startCollector } from "../../collector/collector.ts";
import { decodeExportResponse, decodeStatus, send } from "../../collector/receive/fixture.ts";
import { parseSettings } from "../../schemas/settings.ts";
import { Authenticator } from "../../state/authenticator.ts";
import {
  addKey,
  addProject,
  type Laboratory,
  makeLaboratory,
  NO_LOG,
} from "../../state/fixture.ts";
import { revokeKey } from "../../state/keys.ts";
import { Limiter } from "../../state/limits.ts";
import type { StateStore } from "../../state/store.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { openTestEngine, type TestEngine } from "../support/engine.ts";
import { GrpcClient } from "../support/grpc-client.ts";
import { writeOtlpJson } from "../support/otlp-oracle.ts";
import { encodeTraceRequest } from "../support/otlp-proto.ts";
import { eventually } from "../support/program.ts";
import { logsOf, metricsOf, tracesOf, makeSpan } from "../conformance/collector.ts";

const TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

let ledger: TestEngine;
let directory: string;
let laboratory: Laboratory;
let state: StateStore;
let collector: Collector;
let grpc: GrpcClient;
let port: number;

beforeAll(async () => {
  ledger = await openTestEngine();
  directory = mkdtempSync(join(tmpdir(), "spanledger-keys-"));
  laboratory = makeLaboratory();
  state = laboratory.openStore();
  await state.start();
  for (const project of ["shop", "blog", "loud"]) await addProject(state, project, "acme");
  const parsed = parseSettings({
    SPANLEDGER_DATA_DIR: directory,
    SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
    SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
    SPANLEDGER_INSERT_MAX_AGE_MS: "10",
    SPANLEDGER_RECOMPUTE_INTERVAL_MS: "3600000",
  });
  if (!("settings" in parsed)) throw new Error(parsed.problems.join());
  const authenticator = new Authenticator({
    state,
    now_ms: () => laboratory.now_ms,
    api_key: null,
    allows_keyless: true,
    max_stale_ms: 60_000,
  });
  const { engine } = ledger;
  collector = await startCollector({
    settings: parsed.settings,
    engine,
    log: NO_LOG,
    authenticate: (headers) => authenticator.findSender(headers),
    limits: new Limiter({ engine, state, log: NO_LOG, now_ms: () => laboratory.now_ms }),
    onFatal: () => {},
  });
  port = Number(collector.otlp_http.split(":").at(-1));
  grpc = new GrpcClient(collector.otlp_grpc);
});
afterAll(async () => {
  grpc.close();
  await collector.stop();
  await ledger.close();
  rmSync(directory, { recursive: true, force: true });
});

let next_call = 0;
/** A body of new calls. */
function calls(count: number): Uint8Array<ArrayBuffer> {
  next_call += count;
  return makeCallsBody(next_call - count, count);
}

function sendHttp(key: string | null, body: Uint8Array, headers: Record<string, string> = {}) {
  return send(
    { port },
    {
      path: "/v1/traces",
      headers: {
        "content-type": "application/x-protobuf",
        ...(key === null ? {} : { "x-api-key": key }),
        ...headers,
      },
      body,
    },
  );
}

function sendGrpc(key: string, body: Uint8Array, headers: Record<string, string> = {}) {
  return grpc.call(TRACES, Buffer.from(body), {
    headers: { authorization: `Bearer ${key}`, ...headers },
  });
}

/** Rows by what names them. */
function count(sql: string): Promise<Record<string, unknown>[]> {
  return ledger.engine.query(sql);
}

describe("A07 scopes", () => {
  test("with the scope ingest spans are taken over both, into the project of the key, which every row names", async () => {
    const { key, key_id } = await addKey(state, { scopes: ["ingest"], project_id: "shop" });
    expect((await sendHttp(key, calls(3))).status).toBe(200);
    expect((await sendGrpc(key, calls(2))).code).toBe(status.OK);
    const ask = () =>
      count(
        `SELECT project_id, count() AS calls FROM usage_calls WHERE key_id = '${key_id}' GROUP BY ALL`,
      );
    const { answer } = await eventually(ask, ([row]) => Number(row?.["calls"]) >= 5, 10_000);
    expect(answer).toEqual([{ project_id: "shop", calls: "5" }]);
  });

  test("two keys of one project keep their rows apart, also in one block of the log", async () => {
    const one = await addKey(state, { project_id: "blog" });
    const two = await addKey(state, { project_id: "blog" });
    const bodies = Array.from({ length: 10 }, () => calls(2));
    await Promise.all(
      bodies.map((body, index) => sendHttp((index % 2 === 0 ? one : two).key, body)),
    );
    const ask = () =>
      count(
        "SELECT key_id, count() AS spans FROM spans FINAL WHERE project_id = 'blog' GROUP BY ALL",
      );
    const { answer } = await eventually(
      ask,
      (rows) => rows.reduce((sum, { spans }) => sum + Number(spans), 0) >= 20,
      10_000,
    );
    const spans = new Map(answer.map((row) => [row["key_id"], row["spans"]]));
    expect(spans).toEqual(
      new Map([
        [one.key_id, "10"],
        [two.key_id, "10"],
      ]),
    );
  });

  test("without it they are refused for good, naming the scope", async () => {
    const { key } = await addKey(state, { scopes: ["read", "admin"] });
    const http = await sendHttp(key, calls(1));
    expect(http.status).toBe(403);
    expect(decodeStatus("protobuf", http.body)).toMatchObject({
      code: status.PERMISSION_DENIED,
      message: expect.stringContaining("scope ingest"),
    });
    const answer = await sendGrpc(key, calls(1));
    expect(answer.code).toBe(status.PERMISSION_DENIED);
    expect(answer.details).toContain("scope ingest");
    expect(answer.rpc?.details).toEqual({});
  });

  test("the key of an organization sends to the project that a header names, over both", async () => {
    const { key, key_id } = await addKey(state, { project_id: null });
    const to = { "x-spanledger-project": "blog" };
    expect((await sendHttp(key, calls(1), to)).status).toBe(200);
    expect((await sendGrpc(key, calls(1), to)).code).toBe(status.OK);
    for (const headers of [{}, { "x-spanledger-project": "nowhere" }]) {
      const http = await sendHttp(key, calls(1), headers);
      expect(http.status).toBe(400);
      expect(decodeStatus("protobuf", http.body).message).toContain("x-spanledger-project");
      expect((await sendGrpc(key, calls(1), headers)).code).toBe(status.INVALID_ARGUMENT);
    }
    const ask = () =>
      count(
        `SELECT project_id, count() AS spans FROM spans FINAL WHERE key_id = '${key_id}' GROUP BY ALL`,
      );
    const { answer } = await eventually(ask, ([row]) => Number(row?.["spans"]) >= 2, 10_000);
    expect(answer).toEqual([{ project_id: "blog", spans: "2" }]);
  });

  test("A01 A04 A05 no key, a broken, an expired and a revoked one are 401 over both", async () => {
    const expired = await addKey(state, { expires_at: "2026-01-02T00:00:00.000Z" });
    const revoked = await addKey(state);
    expect((await sendHttp(revoked.key, calls(1))).status).toBe(200);
    await revokeKey(state, state.find("key", revoked.key_id)!, laboratory.now_ms);
    for (const key of ["sl_x", expired.key, revoked.key]) {
      const http = await sendHttp(key, calls(1));
      expect([http.status, http.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
      expect((await sendGrpc(key, calls(1))).code).toBe(status.UNAUTHENTICATED);
    }
    expect((await sendHttp(null, calls(1))).status).toBe(401);
  });
});

describe("a key that may send one service", () => {
  const resource = (name: string) => ({
    attributes: [{ key: "service.name", value: { stringValue: name } }],
  });
  const mixed = (spans_each: number) => ({
    resourceSpans: ["checkout", "search", "checkout", ""].map((name) => ({
      ...(name === "" ? {} : { resource: resource(name) }),
      scopeSpans: [
        { scope: { name: "test" }, spans: Array.from({ length: spans_each }, () => makeSpan()) },
      ],
    })),
  });

  test.each([
    ["small", 2],
    // More than a MiB: it is read in turns.
    ["large", 3_000],
  ])(
    "has that of others refused one by one, in a %s body of either encoding",
    async (_size, each) => {
      const { key, key_id } = await addKey(state, { allowed_service_name: "checkout" });
      const request = mixed(each);
      const proto = await sendHttp(key, encodeTraceRequest(request));
      const json = await sendHttp(key, Buffer.from(writeOtlpJson(mixed(each), "quoted")), {
        "content-type": "application/json",
      });
      for (const [encoding, answer] of [
        ["protobuf", proto],
        ["json", json],
      ] as const) {
        expect(answer.status).toBe(200);
        const { partialSuccess } = decodeExportResponse("traces", encoding, answer.body) as {
          partialSuccess: { rejectedSpans: string; errorMessage: string };
        };
        expect(partialSuccess.rejectedSpans).toBe(String(each * 2));
        expect(partialSuccess.errorMessage).toContain('send only that of "checkout"');
      }
      const ask = () =>
        count(
          `SELECT service_name, count() AS spans FROM spans FINAL WHERE key_id = '${key_id}' GROUP BY ALL`,
        );
      const { answer } = await eventually(
        ask,
        ([row]) => Number(row?.["spans"]) >= each * 4,
        10_000,
      );
      expect(answer).toEqual([{ service_name: "checkout", spans: String(each * 4) }]);
    },
  );

  test("has logs and metrics of others refused too", async () => {
    const { key } = await addKey(state, { allowed_service_name: "checkout" });
    for (const [path, request] of [
      ["/v1/logs", logsOf("s")],
      ["/v1/metrics", metricsOf("s")],
    ] as const) {
      const answer = await send(
        { port },
        {
          path,
          headers: { "content-type": "application/json", "x-api-key": key },
          body: Buffer.from(writeOtlpJson(request, "quoted")),
        },
      );
      expect(answer.status).toBe(200);
      expect(Buffer.from(answer.body).toString()).toContain('"1"');
      expect(Buffer.from(answer.body).toString()).toContain("service.name");
    }
  });

  test("has nothing left of a body that is all of another, and is told so", async () => {
    const { key, key_id } = await addKey(state, { allowed_service_name: "checkout" });
    const answer = await sendGrpc(key, encodeTraceRequest(tracesOf(makeSpan(), makeSpan())));
    expect(answer.code).toBe(status.OK);
    expect(decodeExportResponse("traces", "protobuf", answer.body as Uint8Array)).toMatchObject({
      partialSuccess: { rejectedSpans: "2" },
    });
    expect(await count(`SELECT 1 FROM spans WHERE key_id = '${key_id}'`)).toEqual([]);
  });
});

describe("A29 limits of a project", () => {
  test("above its rate it is asked back, before its body is read, and no other project is", async () => {
    const loud = await addKey(state, { project_id: "loud" });
    const calm = await addKey(state, { project_id: "shop" });
    await addProject(state, "loud", "acme", { spans_per_second: 10 });
    expect((await sendHttp(loud.key, calls(150))).status).toBe(200);
    const http = await sendHttp(loud.key, calls(1));
    expect([http.status, http.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(decodeStatus("protobuf", http.body).message).toContain("10 items a second");
    const answer = await sendGrpc(loud.key, calls(1));
    expect(answer.code).toBe(status.UNAVAILABLE);
    expect(answer.rpc?.details).toMatchObject({ RetryInfo: {} });
    expect((await sendHttp(calm.key, calls(1))).status).toBe(200);
    laboratory.now_ms += 6_000;
    expect((await sendHttp(loud.key, calls(1))).status).toBe(200);
    await addProject(state, "loud", "acme");
  });

  test("above its quota it is told for good, and the owner's notice is stored", async () => {
    const { key } = await addKey(state, { project_id: "loud" });
    await addProject(state, "loud", "acme", { monthly_spans: 5 });
    expect((await sendHttp(key, calls(7))).status).toBe(200);
    const http = await sendHttp(key, calls(1));
    expect(http.status).toBe(403);
    expect(http.headers.has("retry-after")).toBe(false);
    expect(decodeStatus("protobuf", http.body).message).toMatch(/5 spans of 2026-11.*2026-12-01/);
    const answer = await sendGrpc(key, calls(1));
    expect(answer.code).toBe(status.PERMISSION_DENIED);
    expect(answer.rpc?.details).toEqual({});
    await eventually(
      async () => state.list("quota_notice").length,
      (notices) => notices === 1,
      2_000,
    );
  });
});

describe("A06 keys that cannot be read", () => {
  test("are 503 over both and never 401; known ones go on", async () => {
    const known = await addKey(state);
    const elsewhere = laboratory.openStore();
    const unknown = await addKey(elsewhere);
    laboratory.is_away = true;
    laboratory.now_ms += 120_000;
    const http = await sendHttp(unknown.key, calls(1));
    expect([http.status, http.headers.get("retry-after")]).toEqual([503, "1"]);
    expect((await sendGrpc(unknown.key, calls(1))).code).toBe(status.UNAVAILABLE);
    expect((await sendHttp(known.key, calls(1))).status).toBe(200);
    laboratory.is_away = false;
    await state.refresh();
    expect((await sendHttp(unknown.key, calls(1))).status).toBe(200);
  });
});
