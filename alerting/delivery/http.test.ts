/** One attempt against real servers on this machine: what is sent, what is read, and what is not followed. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Channel, Notice } from "../../schemas/notices.ts";
import type { TargetPolicy } from "./guard.ts";
import { MAX_ANSWER_BYTES, post } from "./http.ts";
import { sendSlack, slackPayload } from "./slack.ts";
import { sendWebhook, signBody } from "./webhook.ts";

const open: TargetPolicy = { allow_private: true, resolve: async () => ["127.0.0.1"] };
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      if ("closeAllConnections" in server) (server.closeAllConnections as () => void)();
    });
  }
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

interface Seen {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A server that answers by a function; what it saw, in order. */
async function serve(answer: (response: ServerResponse) => void) {
  const seen: Seen[] = [];
  const port = await listen(
    createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        seen.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
        answer(response);
      });
    }),
  );
  return { seen, url: `http://127.0.0.1:${port}/hook`, port };
}

function send(url: string, policy = open, timeout_ms = 2_000) {
  const { signal } = new AbortController();
  return post({ url, headers: {}, body: "{}", signal, timeout_ms }, policy);
}

const NOTICE: Notice = {
  notice_id: "n1",
  kind: "budget_threshold",
  project_id: "p",
  subject_id: "b",
  created_at: "2026-06-11T12:00:00.000Z",
  title: "Budget <!channel>: 80 % reached",
  text: "8 of 10 USD & more",
  data: { spent: "8" },
};
const CHANNEL: Channel = {
  channel_id: "c1",
  project_id: "p",
  name: "hook",
  kind: "webhook",
  url: null,
  secret: "a-secret-of-16-or-more",
  to: [],
  is_enabled: true,
  created_at: "2026-06-11T12:00:00.000Z",
  updated_at: "2026-06-11T12:00:00.000Z",
};
function letterTo(url: string, changes: Partial<Channel> = {}) {
  const { signal } = new AbortController();
  const now_ms = Date.UTC(2026, 5, 11, 12);
  const channel = { ...CHANNEL, url, ...changes };
  return { channel, notice: NOTICE, delivery_id: "d1", now_ms, signal };
}

describe("a webhook", () => {
  test("gets the notice, an id to know it again by, and a signature that a receiver can check", async () => {
    const { seen, url } = await serve((response) => response.writeHead(204).end());
    expect(await sendWebhook(letterTo(url), open)).toEqual({
      is_delivered: true,
      status_code: 204,
    });
    const { headers, body } = seen[0] ?? { headers: {}, body: "" };
    expect(JSON.parse(body)).toEqual({ delivery_id: "d1", ...NOTICE });
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "idempotency-key": "d1",
      "x-spanledger-delivery": "d1",
    });
    const given = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers["x-spanledger-signature"]));
    expect(Number(given?.[1])).toBe(Date.UTC(2026, 5, 11, 12) / 1000);
    const wanted = createHmac("sha256", "a-secret-of-16-or-more")
      .update(`${given?.[1]}.`)
      .update(body)
      .digest();
    expect(timingSafeEqual(wanted, Buffer.from(given?.[2] ?? "", "hex"))).toBe(true);
    expect(body).not.toContain("a-secret");
  });

  test("without a secret goes unsigned", async () => {
    const { seen, url } = await serve((response) => response.end());
    await sendWebhook(letterTo(url, { secret: null }), open);
    expect(seen[0]?.headers["x-spanledger-signature"]).toBeUndefined();
  });

  test("signatures depend on the time, the body and the secret", () => {
    const made = [
      signBody("a", 1, "x"),
      signBody("a", 2, "x"),
      signBody("a", 1, "y"),
      signBody("b", 1, "x"),
    ];
    expect(new Set(made.map((text) => text.split("v1=")[1])).size).toBe(4);
    expect(signBody("a", 1, "x")).toBe(made[0]);
  });
});

test("Slack gets its own shape, in which names mention nobody", async () => {
  const { seen, url } = await serve((response) => response.end("ok"));
  await sendSlack(letterTo(url, { kind: "slack", secret: null }), open);
  const payload = JSON.parse(seen[0]?.body ?? "{}") as { text: string; blocks: { type: string }[] };
  expect(payload.text).toBe("Budget &lt;!channel&gt;: 80 % reached\n8 of 10 USD &amp; more");
  expect(payload.blocks.map(({ type }) => type)).toEqual(["header", "section", "context"]);
  expect(JSON.stringify(slackPayload(NOTICE))).not.toContain("mrkdwn");
});

describe("A15 one attempt", () => {
  test("follows no redirect", async () => {
    const inner = await serve((response) => response.end());
    const outer = await serve((response) => response.writeHead(307, { location: inner.url }).end());
    expect(await send(outer.url)).toEqual({
      is_delivered: false,
      status_code: 307,
      error: "redirect_not_followed",
      is_final: true,
    });
    expect(inner.seen).toEqual([]);
  });

  test("connects to the addresses that were checked, and resolves the name once", async () => {
    const { seen, port } = await serve((response) => response.end());
    let resolutions = 0;
    const resolve = async () => {
      resolutions += 1;
      return ["127.0.0.1"];
    };
    // The system knows no such name: only the pinned address can be behind this connection.
    const url = `http://hooks.invalid:${port}/`;
    expect(await send(url, { allow_private: true, resolve })).toMatchObject({ is_delivered: true });
    expect(resolutions).toBe(1);
    expect(seen[0]?.headers.host).toBe(`hooks.invalid:${port}`);
  });

  test("is refused when the name was public at save and is private now", async () => {
    const { seen, port } = await serve((response) => response.end());
    const policy = { allow_private: false, resolve: async () => ["93.184.216.34", "127.0.0.1"] };
    expect(await send(`https://hooks.invalid:${port}/`, policy)).toMatchObject({
      error: "private_address",
      is_final: true,
    });
    expect(seen).toEqual([]);
  });

  test("reads no more than 64 KiB of an answer, and keeps none of it", async () => {
    let written = 0;
    const { url } = await serve((response) => {
      response.writeHead(500);
      const write = () => {
        while (!response.destroyed && written < 64 * MAX_ANSWER_BYTES) {
          written += 16_384;
          if (!response.write("secret of the inner net ".repeat(683).slice(0, 16_384))) break;
        }
        if (!response.destroyed) response.once("drain", write);
      };
      write();
    });
    const outcome = await send(url);
    expect(outcome).toEqual({
      is_delivered: false,
      status_code: 500,
      error: "http_500",
      is_final: false,
    });
    expect(written).toBeLessThan(64 * MAX_ANSWER_BYTES);
  });

  test("ends by its deadline: a receiver that is silent, and one that never ends its answer", async () => {
    const silent = await serve(() => {});
    expect(await send(silent.url, open, 200)).toMatchObject({ error: "timeout", is_final: false });
    const endless = await serve((response) => response.writeHead(200).write("x"));
    // The status is known; what follows it does not matter.
    expect(await send(endless.url, open, 200)).toMatchObject({ is_delivered: true });
    const stuck = { allow_private: true, resolve: () => new Promise<never>(() => {}) };
    expect(await send("http://hooks.invalid/", stuck, 200)).toMatchObject({ error: "timeout" });
  });

  test("to what is no HTTP server, a closed port or a plain one for TLS fails with one word", async () => {
    const port = await listen(
      createTcpServer((socket) => socket.resume().end("220 smtp ready\r\n")),
    );
    expect(await send(`http://127.0.0.1:${port}/`)).toMatchObject({ error: "not_http" });
    const closed = await listen(createTcpServer());
    const server = servers.pop();
    await new Promise((resolve) => server?.close(resolve));
    expect(await send(`http://127.0.0.1:${closed}/`)).toMatchObject({
      error: "connection_refused",
    });
    const plain = await serve((response) => response.end());
    expect(await send(plain.url.replace("http:", "https:"))).toMatchObject({
      is_delivered: false,
      is_final: false,
    });
  });

  test("that the program ends has no outcome", async () => {
    const { url } = await serve(() => {});
    const stopping = new AbortController();
    const sent = post({ url, headers: {}, body: "{}", signal: stopping.signal }, open);
    setTimeout(() => stopping.abort(new Error("the program stops")), 50);
    await expect(sent).rejects.toThrow("the program stops");
  });
});

test.each([
  [200, true, false],
  [202, true, false],
  [400, false, false],
  [401, false, false],
  [404, false, false],
  [410, false, true],
  [429, false, false],
  [503, false, false],
])("the status %i means delivered: %s, given up: %s", async (status, is_delivered, is_final) => {
  const { url } = await serve((response) =>
    response.writeHead(status, { "retry-after": "7" }).end(),
  );
  const outcome = await send(url);
  expect(outcome.is_delivered).toBe(is_delivered);
  expect("is_final" in outcome && outcome.is_final).toBe(is_final);
  if (!outcome.is_delivered) expect(outcome.retry_after_ms).toBe(7_000);
});
