/** Rows O of the conformance checklist (`rows.ts`): browsers, by the setting of a real collector. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { type Answer, type Request, send } from "../../collector/receive/fixture.ts";
import { openTestEngine } from "../support/engine.ts";
import {
  encode,
  KEY,
  makeSpan,
  OUTAGE_HEADERS,
  post,
  SIGNALS,
  startTestCollector,
  storedSpan,
  type TestCollector,
  tracesOf,
  TYPES,
} from "./collector.ts";

const LISTED = "https://app.example.com";

let engine: Engine;
let collector: TestCollector;
let closed: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  const opened = await openTestEngine();
  engine = opened.engine;
  collector = await startTestCollector(engine, {
    SPANLEDGER_CORS_ORIGINS: `${LISTED}, https://*.example.org`,
  });
  closed = await startTestCollector(engine);
  close = async () => {
    await collector.stop();
    await closed.stop();
    await opened.close();
  };
});
afterAll(() => close());

const corsNames = ({ headers }: Answer) =>
  [...headers.keys()].filter((name) => name.startsWith("access-control"));

function preflight(to: TestCollector, origin: string, path = "/v1/traces"): Promise<Answer> {
  const headers = {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,x-api-key",
  };
  return send(to, { method: "OPTIONS", path, headers, body: "" });
}

test("O01 without the setting no page may send", async () => {
  const answers = [await preflight(closed, LISTED)];
  answers.push(await post(closed, "traces", "json", "{}", { headers: { origin: LISTED } }));
  for (const answer of answers) {
    expect(corsNames(answer)).toEqual([]);
    expect(answer.headers.has("vary")).toBe(false);
  }
});

test.each([LISTED, "https://a.example.org", "https://a.b.example.org"])(
  "O01 %s is on the list",
  async (origin) => {
    const answer = await preflight(collector, origin);
    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
  },
);

test.each([
  "null",
  "https://evil.com",
  "http://app.example.com",
  "https://app.example.com.evil.com",
  "https://example.org",
  "https://evilexample.org",
  "https://a.example.org.evil.com",
  "https://evil.com/.example.org",
])("O01 %s is not, whatever it looks like", async (origin) => {
  expect(corsNames(await preflight(collector, origin))).toEqual([]);
  const sent = await post(collector, "traces", "json", "{}", { headers: { origin } });
  expect(corsNames(sent)).toEqual([]);
});

test.each(SIGNALS)(
  "O02 a preflight of %s needs no key and names what exporters send",
  async (signal) => {
    const { status, headers, body } = await preflight(collector, LISTED, `/v1/${signal}`);
    expect([status, body.length]).toEqual([204, 0]);
    expect(headers.get("access-control-allow-methods")).toBe("POST");
    const allowed = headers.get("access-control-allow-headers")?.split(", ");
    const needed = [
      "content-type",
      "content-encoding",
      "authorization",
      "x-api-key",
      "traceparent",
    ];
    expect(allowed).toEqual(expect.arrayContaining(needed));
    expect(headers.get("access-control-max-age")).toBe("7200");
  },
);

/** Requests of a listed page and the status of each. */
const REQUESTS: readonly (readonly [number, Request])[] = [
  [200, {}],
  [400, { body: "neither" }],
  [401, { headers: { "x-api-key": "wrong" } }],
  [404, { path: "/v1/nothing" }],
  [405, { method: "PUT" }],
  [413, { headers: { "content-length": String(64 * 1024 * 1024 + 1), expect: "100-continue" } }],
  [415, { headers: { "content-encoding": "br" } }],
  [503, { headers: OUTAGE_HEADERS }],
];

test.each(REQUESTS)(
  "O03 O04 O05 O06 an answer of %i can be read by the page, without credentials",
  async (status, request) => {
    const { body = "{}", ...rest } = request;
    const headers = { ...rest.headers, origin: LISTED };
    const answer = await post(collector, "traces", "json", body, { ...rest, headers });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("access-control-allow-origin")).toBe(LISTED);
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
    expect(answer.headers.get("vary")).toBe("Origin");
    expect(answer.headers.get("access-control-expose-headers")).toBe("retry-after");
  },
);

test("O07 a page that closes sends its last spans by fetch with keepalive", async () => {
  const span = makeSpan();
  const response = await fetch(`http://127.0.0.1:${collector.port}/v1/traces`, {
    method: "POST",
    mode: "cors",
    keepalive: true,
    headers: { "content-type": TYPES.protobuf, "x-api-key": KEY, origin: LISTED },
    body: encode("traces", "protobuf", tracesOf(span)),
  });
  expect(response.status).toBe(200);
  expect((await storedSpan(engine, span.traceId)).name).toBe(span.name);
});
