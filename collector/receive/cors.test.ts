/** Which pages may send, over real sockets. Rows O and N13 of research/reliability.md. */
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RetryableError } from "../../schemas/errors.ts";
import { parseSettings } from "../../schemas/settings.ts";
import { makeCors } from "./cors.ts";
import { send, startServer, type TestServer } from "./fixture.ts";
import { DEFAULT_SENDER } from "../../schemas/sender.ts";
import { refuseAll } from "../../test/support/sender.ts";

const LISTED = ["https://app.example.com", "http://localhost:3000", "https://*.example.org"];
const JSON_TYPE = { "content-type": "application/json" };

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    cors_origins: LISTED,
    authenticate: (headers) => (headers["x-api-key"] === "good" ? DEFAULT_SENDER : refuseAll()),
    exportBody: (_signal, body) =>
      body.length > 2
        ? Promise.reject(new RetryableError("away", "later"))
        : Promise.resolve({ accepted_items: 0, rejected_items: 0, message: "" }),
  });
});
afterAll(() => server.close());

describe("which origins are let in", () => {
  test.each([
    "https://app.example.com",
    "http://localhost:3000",
    "https://a.example.org",
    "https://a.b.example.org",
  ])("O01 %s is", async (origin) => {
    const answer = await send(server, { headers: { ...JSON_TYPE, "x-api-key": "good", origin } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
  });

  test.each([
    "null",
    "*",
    "",
    "https://evil.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.com",
    "https://evil-app.example.com",
    "https://app.example.com/",
    "https://appxexample.com",
    "https://example.org",
    "https://evilexample.org",
    "https://.example.org",
    "https://a..example.org",
    "https://evil.com/.example.org",
    "https://evil.com?.example.org",
    "https://evil.com#.example.org",
    "https://evil.com:443@.example.org",
    "https://evil.com\\.example.org",
    "https://a.example.org.evil.com",
    "https://a.example.org:1",
    "https://app.example.com, https://evil.com",
    `https://${"a.".repeat(200)}example.org`,
  ])("N13 %j is not, and no header says that anything is", async (origin) => {
    for (const method of ["POST", "OPTIONS"]) {
      const headers = { ...JSON_TYPE, "x-api-key": "good", origin };
      const answer = await send(server, { method, headers });
      const names = [...answer.headers.keys()].filter((name) => name.startsWith("access-control"));
      expect(names).toEqual([]);
      expect(answer.headers.get("vary")).toBe("Origin");
      expect(answer.status).toBe(method === "POST" ? 200 : 405);
    }
  });

  test("N13 whatever stands for the star, only names below the domain pass", () => {
    const { answerHeaders } = makeCors(["https://*.example.org"]);
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 5 }), fc.string(), (labels, text) => {
        const allowed = (origin: string) =>
          answerHeaders({ origin })["access-control-allow-origin"] !== undefined;
        expect(allowed(`https://${labels.join(".")}.example.org`)).toBe(true);
        const tricky = `https://${text}.example.org`;
        // A browser would ask the host that the standard's own parser finds in the origin.
        const host = URL.parse(tricky)?.host ?? "";
        if (allowed(tricky)) expect(host.endsWith(".example.org")).toBe(true);
      }),
    );
  });

  test("a long origin costs no time", () => {
    const { answerHeaders } = makeCors(["https://*.example.org"]);
    const begun_ms = performance.now();
    for (let index = 0; index < 1_000; index += 1) {
      answerHeaders({ origin: `https://${"a.".repeat(140)}a` });
    }
    expect(performance.now() - begun_ms).toBeLessThan(500);
  });
});

describe("answers", () => {
  const origin = LISTED[0] as string;

  test("O02 a preflight needs no key and names what exporters send", async () => {
    for (const path of ["/v1/traces", "/v1/logs", "/v1/metrics"]) {
      const headers = { origin, "access-control-request-method": "POST" };
      const answer = await send(server, { method: "OPTIONS", path, headers, body: "" });
      expect(answer.status).toBe(204);
      expect(answer.body).toHaveLength(0);
      expect(answer.headers.get("access-control-allow-methods")).toBe("POST");
      expect(answer.headers.get("access-control-allow-headers")?.split(", ")).toEqual(
        expect.arrayContaining([
          "content-type",
          "content-encoding",
          "authorization",
          "x-api-key",
          "traceparent",
        ]),
      );
      expect(answer.headers.get("access-control-max-age")).toBe("7200");
    }
  });

  test("O03 O04 O05 O06 errors are readable too, and credentials are never let in", async () => {
    const key = { ...JSON_TYPE, origin, "x-api-key": "good" };
    const requests = [
      [200, { headers: key }],
      [401, { headers: { ...JSON_TYPE, origin } }],
      [404, { path: "/v1/nothing", headers: key }],
      [415, { headers: { ...key, "content-type": "text/plain" } }],
      [503, { headers: key, body: "xxx" }],
    ] as const;
    for (const [status, request] of requests) {
      const { headers, ...answer } = await send(server, request);
      expect(answer.status).toBe(status);
      expect(headers.get("access-control-allow-origin")).toBe(origin);
      expect(headers.get("access-control-allow-credentials")).toBeUndefined();
      expect(headers.get("access-control-expose-headers")).toBe("retry-after");
      expect(headers.get("vary")).toBe("Origin");
    }
  });

  test("O01 without a list no answer has a header of it", async () => {
    const closed = await startServer();
    for (const method of ["POST", "OPTIONS"]) {
      const answer = await send(closed, { method, headers: { ...JSON_TYPE, origin } });
      expect(answer.headers.get("vary")).toBeUndefined();
      expect([...answer.headers.keys()].join()).not.toContain("access-control");
    }
    await closed.close();
  });
});

describe("the setting", () => {
  const parse = (text: string) => parseSettings({ SPANLEDGER_CORS_ORIGINS: text });

  test("takes origins and brings them into the form of browsers", () => {
    expect(parse("https://App.example.com:443, http://*.example.org:8080,http://[::1]:80")).toEqual(
      {
        settings: expect.objectContaining({
          SPANLEDGER_CORS_ORIGINS: [
            "https://app.example.com",
            "http://*.example.org:8080",
            "http://[::1]",
          ],
        }) as unknown,
      },
    );
  });

  test.each([
    "*",
    "null",
    "https://*",
    "https://*.com",
    "https://a.com/",
    "a.com",
    "https://a.*.com",
  ])("refuses %j", (text) => {
    expect(parse(text)).toEqual({ problems: [expect.stringContaining("CORS_ORIGINS") as string] });
  });
});
