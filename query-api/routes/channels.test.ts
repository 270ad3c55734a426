/** `/v1/channels` and `/v1/deliveries` through the application: targets, secrets, tests and the log. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeSenders } from "../../alerting/senders.ts";
import {
  ChannelAnswer,
  ChannelsAnswer,
  DeliveriesAnswer,
  Delivery,
} from "../../schemas/notices.ts";
import { type Receiver, startReceiver } from "../../test/support/alerting.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { makeOperator } from "../../schemas/access.ts";

const NOW = Date.UTC(new Date().getUTCFullYear(), 5, 11, 12);
const SECRET = "whsec-of-the-test-0123";

let test_engine: TestEngine;
let receiver: Receiver;
/** The answers of names; a test may change them. */
const names = new Map<string, readonly string[]>();
let api: TestApi;
let open_api: TestApi;

function makeApi(allow_private: boolean): TestApi {
  const resolve = async (host: string) => names.get(host) ?? [];
  return makeTestApi(test_engine.engine, {
    now_ms: () => NOW,
    senders: makeSenders({ allow_private, smtp: null, resolve }),
    authenticate: (headers) => {
      const project_id = headers["x-api-key"] ?? "";
      const operator = makeOperator(`key-${project_id}`);
      return {
        actor: { ...operator, kind: "key", organization_id: project_id, project_id },
        expires_at_ms: null,
      };
    },
  });
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  receiver = await startReceiver();
  api = makeApi(false);
  open_api = makeApi(true);
});
beforeEach(() => {
  receiver.status = 200;
  names.set("hooks.example", ["93.184.216.34"]);
  names.set("other.example", ["93.184.216.35"]);
});
afterAll(async () => {
  await receiver.close();
  await test_engine.close();
});

function send(of: TestApi, method: string, path: string, body?: unknown, project = "alpha") {
  const headers = { "content-type": "application/json" };
  const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
  return of.ask(path, project, init);
}

async function create(of: TestApi, body: object): Promise<ChannelAnswer> {
  const { status, json, text } = await send(of, "POST", "/v1/channels", { name: "hook", ...body });
  expect(status, text).toBe(201);
  return readStrictly(ChannelAnswer, json);
}

describe("A15 a target", () => {
  test.each([
    ["https://127.0.0.1/"],
    ["https://169.254.169.254/latest/meta-data/"],
    ["https://[::1]/"],
    ["https://[::ffff:127.0.0.1]/"],
    ["https://0x7f.1/"],
    ["https://2130706433/"],
    ["https://rebind.example/"],
    ["https://nobody.example/"],
    ["https://user@hooks.example/"],
    ["http://hooks.example/"],
    ["file:///etc/passwd"],
    ["gopher://hooks.example/"],
    ["unix:/var/run/docker.sock"],
    ["hook"],
  ])("%s is refused when it is stored, and when one is changed to it", async (url) => {
    names.set("rebind.example", ["93.184.216.34", "127.0.0.1"]);
    const made = await send(api, "POST", "/v1/channels", { name: "x", kind: "webhook", url });
    expect(made.status).toBe(400);
    const { channel_id } = await create(api, { kind: "webhook", url: "https://hooks.example/a" });
    const changed = await send(api, "PATCH", `/v1/channels/${channel_id}`, { url });
    expect(changed.status).toBe(400);
  });

  test("that resolves to a private address only later is refused when it is sent to", async () => {
    const { channel_id } = await create(api, { kind: "webhook", url: "https://hooks.example/a" });
    names.set("hooks.example", ["127.0.0.1"]);
    const { json } = await send(api, "POST", `/v1/channels/${channel_id}/test`);
    expect(readStrictly(Delivery, json)).toMatchObject({
      outcome: "gave_up",
      error: "private_address",
      status_code: null,
    });
  });
});

describe("a secret", () => {
  test("is made when none is given, is answered once and never again", async () => {
    const made = await create(api, { kind: "webhook", url: "https://hooks.example/path-secret" });
    expect(made.secret).toMatch(/^whsec_[\w-]{43}$/);
    expect(made).toMatchObject({ host: "hooks.example", has_secret: true });
    const reads = await Promise.all([
      send(api, "GET", `/v1/channels/${made.channel_id}`),
      send(api, "GET", "/v1/channels"),
      send(api, "PATCH", `/v1/channels/${made.channel_id}`, { name: "renamed" }),
    ]);
    for (const { text } of reads) {
      expect(text).not.toContain(made.secret);
      expect(text).not.toContain("path-secret");
    }
    readStrictly(ChannelsAnswer, reads[1].json);
  });

  test("that is given is in no answer at all, nor in the audit log or the log", async () => {
    const url = "https://hooks.example/services/T0/B0/xyz-token";
    const made = await create(api, { kind: "webhook", url, secret: SECRET });
    expect(made.secret).toBeUndefined();
    await send(api, "PATCH", `/v1/channels/${made.channel_id}`, { secret: `${SECRET}-2`, url });
    await send(api, "POST", `/v1/channels/${made.channel_id}/test`);
    const everything = JSON.stringify([api.audited, api.log, made]);
    expect(everything).not.toContain(SECRET);
    expect(everything).not.toContain("xyz-token");
  });

  test("A17 does not follow a change of host, scheme or port", async () => {
    const moves = [
      ["https://hooks.example/b", true],
      ["https://other.example/a", false],
      ["https://hooks.example:8443/a", false],
    ] as const;
    for (const [url, has_secret] of moves) {
      const first = "https://hooks.example/a";
      const { channel_id } = await create(api, { kind: "webhook", url: first, secret: SECRET });
      const { json } = await send(api, "PATCH", `/v1/channels/${channel_id}`, { url });
      expect([url, readStrictly(ChannelAnswer, json).has_secret]).toEqual([url, has_secret]);
      expect(api.state.find("channel", channel_id)?.body.secret).toBe(has_secret ? SECRET : null);
    }
  });

  test("A17 given together with the new host is the new host's", async () => {
    const first = { kind: "webhook", url: "https://hooks.example/a", secret: SECRET };
    const { channel_id } = await create(api, first);
    const change = { url: "https://other.example/a", secret: `${SECRET}-new` };
    await send(api, "PATCH", `/v1/channels/${channel_id}`, change);
    expect(api.state.find("channel", channel_id)?.body.secret).toBe(`${SECRET}-new`);
  });
});

test.each([
  [{ kind: "webhook" }],
  [{ kind: "slack", url: "https://hooks.example/a", secret: SECRET }],
  [{ kind: "webhook", url: "https://hooks.example/a", to: ["a@example.com"] }],
  [{ kind: "webhook", url: "https://hooks.example/a", secret: "short" }],
  [{ kind: "webhook", url: "https://hooks.example/a", secret: "with\r\nline-breaks-in-it" }],
  [{ kind: "email", to: ["a@example.com"] }],
  [{ kind: "email", to: ["a@example.com\r\nBcc: b@example.com"] }],
  [{ kind: "pager", url: "https://hooks.example/a" }],
])("%j is refused", async (body) => {
  expect((await send(api, "POST", "/v1/channels", { name: "x", ...body })).status).toBe(400);
});

test("a test notice is sent at once and signed, and its delivery is in the log", async () => {
  const made = await create(open_api, { kind: "webhook", url: receiver.url, secret: SECRET });
  const { status, json } = await send(open_api, "POST", `/v1/channels/${made.channel_id}/test`);
  expect(status).toBe(200);
  const delivery = readStrictly(Delivery, json);
  expect(delivery).toMatchObject({ kind: "test", outcome: "delivered", status_code: 200 });
  const received = receiver.received.at(-1);
  expect(received?.notice).toMatchObject({ kind: "test", delivery_id: delivery.delivery_id });
  expect(received?.headers["x-spanledger-signature"]).toMatch(/^t=\d+,v1=[0-9a-f]{64}$/);
  receiver.status = 500;
  const failed = await send(open_api, "POST", `/v1/channels/${made.channel_id}/test`);
  expect(failed.json).toMatchObject({ outcome: "gave_up", error: "http_500" });
  expect(failed.text).not.toContain("thanks"); // what the receiver says
});

test("channels and deliveries of another project are as none", async () => {
  const { channel_id } = await create(open_api, { kind: "webhook", url: receiver.url });
  await send(open_api, "POST", `/v1/channels/${channel_id}/test`);
  for (const [method, path, body] of [
    ["GET", ""],
    ["PATCH", "", { name: "mine" }],
    ["POST", "/test"],
    ["DELETE", ""],
  ] as const) {
    const answer = await send(open_api, method, `/v1/channels/${channel_id}${path}`, body, "beta");
    expect([method, answer.status]).toEqual([method, 404]);
  }
  const seen = await send(open_api, "GET", "/v1/deliveries", undefined, "beta");
  expect(readStrictly(DeliveriesAnswer, seen.json).deliveries).toEqual([]);
});

test("the log of deliveries is filtered and read page by page, each attempt once", async () => {
  const { channel_id } = await create(open_api, { kind: "slack", url: receiver.url });
  for (const status of [200, 500, 200, 403, 200]) {
    receiver.status = status;
    await send(open_api, "POST", `/v1/channels/${channel_id}/test`);
  }
  const read = async (query: string) => {
    const { json } = await send(open_api, "GET", `/v1/deliveries?channel_id=${channel_id}${query}`);
    return readStrictly(DeliveriesAnswer, json);
  };
  const ids: string[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const page: DeliveriesAnswer = await read(
      `&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`,
    );
    ids.push(...page.deliveries.map(({ delivery_id }) => delivery_id));
    cursor = page.next_cursor;
  }
  expect(new Set(ids).size).toBe(5);
  const { deliveries } = await read("&outcome=gave_up");
  expect(new Set(deliveries.map(({ error }) => error))).toEqual(new Set(["http_403", "http_500"]));
  expect((await send(open_api, "GET", "/v1/deliveries?cursor=bm8")).status).toBe(400);
  expect((await send(open_api, "GET", "/v1/deliveries?outcome=lost")).status).toBe(400);
});
