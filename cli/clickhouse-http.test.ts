/** The endpoint for clients of ClickHouse as `serve` starts it: when it is on, for whom, and how many. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { parseSettings, type Settings } from "../schemas/settings.ts";
import { Authenticator } from "../state/authenticator.ts";
import { addKey, addMember, addProject, makeLaboratory, NO_LOG } from "../state/fixture.ts";
import type { StateStore } from "../state/store.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { listReadable, serveClickHouseHttp } from "./clickhouse-http.ts";

let laboratory: TestEngine;
let state: StateStore;
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  laboratory = await openTestEngine();
  state = makeLaboratory().openStore();
  await state.start();
  await addProject(state, "shop", "acme");
  await addProject(state, "other", "acme");
  await addProject(state, "rival", "umbrella");
});

afterAll(async () => {
  for (const stop of stops) await stop();
  await state.stop();
  await laboratory.close();
});

function settingsOf(environment: Record<string, string>): Settings {
  const result = parseSettings(environment);
  if ("problems" in result) throw new Error(result.problems.join());
  return result.settings;
}

function serve(
  environment: Record<string, string>,
  engine: Engine = laboratory.engine,
  store = state,
): Promise<string | null> {
  const settings = settingsOf(environment);
  const authenticator = new Authenticator({
    state: store,
    now_ms: () => Date.UTC(2026, 10, 21, 12),
    api_key: settings.SPANLEDGER_API_KEY,
    allows_keyless: true,
    max_stale_ms: 60_000,
  });
  const access = { state: store, authenticator, stop: async () => {} };
  return serveClickHouseHttp({ engine, log: NO_LOG, settings, access, stops });
}

const SOMEWHERE = { SPANLEDGER_CLICKHOUSE_HTTP: "127.0.0.1:0" };
const KEY = "a-key-of-the-operator-123456";

interface Told {
  readonly status: number;
  readonly text: string;
}

function ask(address: string, body: string, headers: Record<string, string> = {}): Promise<Told> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`http://${address}/`, { method: "POST", headers }, (incoming) => {
      incoming.setEncoding("utf8");
      let text = "";
      incoming.on("data", (part: string) => (text += part));
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, text }));
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

const withKey = (key: string) => ({ "x-clickhouse-key": key });

describe("the endpoint is", () => {
  test("off unless it is asked for", async () => {
    expect(await serve({})).toBeNull();
  });

  test("refused with a ClickHouse server, which has users of its own", async () => {
    const server = { kind: "server" } as unknown as Engine;
    await expect(serve(SOMEWHERE, server)).rejects.toThrow(/SPANLEDGER_CLICKHOUSE_URL/);
  });

  test("refused beyond this machine without a key", async () => {
    const everywhere = { SPANLEDGER_CLICKHOUSE_HTTP: "0.0.0.0:0" };
    await expect(serve(everywhere)).rejects.toThrow(/spanledger keys create/);
    expect(await serve({ ...everywhere, SPANLEDGER_API_KEY: KEY })).toMatch(/^0\.0\.0\.0:\d+$/);
  });

  test("closed on loopback too until there is a key, to names of others altogether", async () => {
    const store = makeLaboratory().openStore();
    await store.start();
    await addProject(store, "shop", "acme");
    const address = (await serve(SOMEWHERE, laboratory.engine, store)) ?? "";
    const keyless = await ask(address, "SELECT 1");
    expect([keyless.status, keyless.text]).toEqual([401, expect.stringContaining("keys create")]);
    expect((await ask(address, "SELECT 1", withKey("anything"))).status).toBe(401);
    const rebound = await ask(address, "SELECT 1", { host: "evil.example:8123" });
    expect(rebound.status).toBe(403);
    const { key } = await addKey(store);
    expect(await ask(address, "SELECT 1", withKey(key))).toEqual({ status: 200, text: "1\n" });
    expect((await ask(address, "SELECT 1")).status).toBe(401);
    await store.stop();
  });
});

test("wrong keys are answered so many times, then 429; good ones go on", async () => {
  const limits = { SPANLEDGER_API_WRONG_KEYS_PER_MINUTE: "6", SPANLEDGER_API_KEY: KEY };
  const address = (await serve({ ...SOMEWHERE, ...limits })) ?? "";
  const statuses: number[] = [];
  for (let n = 0; n < 20; n += 1) {
    statuses.push((await ask(address, "SELECT 1", withKey("wrong"))).status);
  }
  expect(statuses[0]).toBe(401);
  expect(statuses.at(-1)).toBe(429);
  expect((await ask(address, "SELECT 1", withKey(KEY))).status).toBe(200);
});

/** Runs for as long as a query may. */
const ENDLESS = "SELECT count() FROM (SELECT 1 AS x ORDER BY x WITH FILL FROM 1 TO 100000000000)";

test("queries beyond those at once wait, and beyond those that wait get 429", async () => {
  const limits = {
    SPANLEDGER_API_KEY: KEY,
    SPANLEDGER_QUERY_TIMEOUT_S: "2",
    SPANLEDGER_CLICKHOUSE_HTTP_QUERIES_AT_ONCE: "1",
    SPANLEDGER_API_QUERIES_WAITING: "1",
  };
  const address = (await serve({ ...SOMEWHERE, ...limits })) ?? "";
  const first = ask(address, ENDLESS, withKey(KEY));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const second = ask(address, "SELECT 2", withKey(KEY));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const third = await ask(address, "SELECT 3", withKey(KEY));
  expect([third.status, third.text]).toEqual([429, expect.stringContaining("Code: 202.")]);
  expect((await first).status).toBe(408);
  expect(await second).toEqual({ status: 200, text: "2\n" });
});

describe("a key reads", () => {
  const authenticator = () =>
    new Authenticator({
      state,
      now_ms: () => Date.UTC(2026, 10, 21, 12),
      api_key: KEY,
      allows_keyless: false,
      max_stale_ms: 60_000,
    });
  const readable = (key: string) => {
    const identity = authenticator().identify({ "x-api-key": key });
    return "actor" in identity ? listReadable(state, identity.actor) : identity.problem;
  };

  test("its project, the projects of its organization, or as the operator everything", async () => {
    expect(readable((await addKey(state)).key)).toEqual(["shop"]);
    expect(readable((await addKey(state, { project_id: null })).key)).toEqual(["other", "shop"]);
    expect(readable(KEY)).toBeNull();
  });

  test("nothing without the scope read", async () => {
    expect(readable((await addKey(state, { scopes: ["ingest"] })).key)).toEqual([]);
    expect(readable((await addKey(state, { scopes: ["admin"] })).key)).toEqual(["shop"]);
  });

  test("what its member may read", async () => {
    const member_id = await addMember(state, {
      is_project_only: true,
      project_roles: [{ project_id: "other", role: "viewer" }],
    });
    expect(readable((await addKey(state, { project_id: null, member_id })).key)).toEqual(["other"]);
    expect(readable((await addKey(state, { project_id: "shop", member_id })).key)).toEqual([]);
  });
});
