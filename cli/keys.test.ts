/** `spanledger keys` as people type it: while the program runs, when it does not, and with wrong words. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { makeCallsBody } from "../test/support/bodies.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../test/support/fake-clickhouse.ts";
import {
  eventually,
  launch,
  makeDataDirectory,
  type Program,
  startServe,
} from "../test/support/program.ts";
import { readTime, runKeys } from "./keys.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));

let data = makeDataDirectory();
const programs: { end(signal: "SIGKILL"): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const program of programs.splice(0)) await program.end("SIGKILL");
  data.remove();
  data = makeDataDirectory();
});

async function serve(settings: Record<string, string> = {}): Promise<Program> {
  const program = await startServe(data.path, settings);
  programs.push(program);
  return program;
}

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command in this process: what it opens is a program, or a server. */
async function keys(words: string, settings: Record<string, string> = {}): Promise<Run> {
  const given = { SPANLEDGER_DATA_DIR: data.path, ...settings };
  for (const [name, value] of Object.entries(given)) vi.stubEnv(name, value);
  const run = { code: 0, out: "", err: "" };
  const hear = (name: "out" | "err") => (text: string | Uint8Array) => {
    run[name] += String(text);
    return true;
  };
  vi.spyOn(process.stdout, "write").mockImplementation(hear("out"));
  vi.spyOn(process.stderr, "write").mockImplementation(hear("err"));
  try {
    run.code = await runKeys(words.split(" ").filter((word) => word !== ""));
    return run;
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  }
}

/** Runs the command as people do, where it opens the embedded engine: a process has only one. */
function spawnKeys(words: string): Promise<Run> {
  const env = { PATH: process.env["PATH"], SPANLEDGER_DATA_DIR: data.path };
  return new Promise((resolve) => {
    const argv = [LAUNCHER, "keys", ...words.split(" ")];
    execFile(process.execPath, argv, { env }, (error, out, err) => {
      resolve({ code: Number(error?.code ?? 0), out, err });
    });
  });
}

/** A key that a command made. */
async function make(words: string, settings: Record<string, string> = {}) {
  const run = await keys(`${words} --json`, settings);
  expect(run.code, run.err).toBe(0);
  return JSON.parse(run.out) as { key: string; key_id: string; expires_at: string | null };
}

/** The status of an export. */
async function post(program: Program, key: string | null): Promise<number> {
  const response = await fetch(`${program.otlp}/v1/traces`, {
    method: "POST",
    headers: {
      "content-type": "application/x-protobuf",
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    },
    body: makeCallsBody(0, 1),
  });
  return response.status;
}

async function ask(program: Program, path: string, key: string | null): Promise<number> {
  const headers = key === null ? {} : { "x-api-key": key };
  return (await fetch(`${program.api}${path}`, { headers })).status;
}

describe("while the program runs", () => {
  test("keys are made, listed, replaced and revoked, and hold from the next request on", async () => {
    const program = await serve();
    expect(await post(program, null)).toBe(200);
    const made = await keys("create --name ci --expires 90d");
    expect(made.code, made.err).toBe(0);
    const key = made.out.split("\n")[0] ?? "";
    expect(key).toMatch(/^sl_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}$/);
    expect([await post(program, key), await post(program, null)]).toEqual([200, 401]);
    const key_id = key.split("_")[1] ?? "";
    const list = await keys("list");
    expect(list.out).toMatch(new RegExp(`${key_id}\\s+active\\s+default\\s+ingest`));
    expect(list.out).not.toContain(key.slice(14, 46));
    const { key: second } = await make(`rotate ${key_id} --overlap 1h`);
    expect([await post(program, key), await post(program, second)]).toEqual([200, 200]);
    const revoked = await keys(`revoke ${key_id}`);
    expect([revoked.code, revoked.out]).toEqual([0, `revoked ${key_id} (ci)\n`]);
    expect([await post(program, key), await post(program, second)]).toEqual([401, 200]);
    // Made to send, it reads nothing; one made to read sends nothing.
    const { key: reader } = await make("create --name grafana --scope read");
    expect([await ask(program, "/v1/calls", second), await post(program, reader)]).toEqual([
      403, 403,
    ]);
    expect(await ask(program, "/v1/keys", reader)).toBe(403);
    const gone = await keys("revoke AAAAAAAAAA");
    expect([gone.code, gone.out]).toEqual([1, ""]);
    expect(gone.err).toContain("no key AAAAAAAAAA");
  }, 60_000);

  test("the way in for commands is its owner's alone, new at each start, and goes with the program", async () => {
    const path = join(data.path, "local-admin.json");
    const program = await serve({ SPANLEDGER_API_KEY: "a-key-of-24-characters-or-more" });
    const first = readFileSync(path, "utf8");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { url, token } = JSON.parse(first) as { url: string; token: string };
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const listWith = async (origin: string, key: string) =>
      (await fetch(`${origin}/v1/keys`, { headers: { authorization: `Bearer ${key}` } })).status;
    expect(await listWith(url, token)).toBe(200);
    expect(await listWith(url, "a-key-of-24-characters-or-more")).toBe(401);
    // The token opens no other door.
    expect(await listWith(program.api, token)).toBe(401);
    expect(await post(program, token)).toBe(401);
    await program.end("SIGTERM");
    expect(existsSync(path)).toBe(false);
    await serve();
    expect(readFileSync(path, "utf8")).not.toBe(first);
  }, 60_000);

  test("A21 keys and tokens are in no log", async () => {
    const program = await serve();
    const { key } = await make("create --name ci");
    const { token } = JSON.parse(readFileSync(join(data.path, "local-admin.json"), "utf8")) as {
      token: string;
    };
    await post(program, key);
    await post(program, `${key}x`);
    await ask(program, "/v1/keys", key);
    await program.end("SIGTERM");
    for (const secret of [key, token]) expect(program.log()).not.toContain(secret.slice(14, 46));
  }, 60_000);
});

describe("while no program runs", () => {
  test("keys are made in the engine itself, and hold at the next start, also beyond loopback", async () => {
    const beyond = { SPANLEDGER_OTLP_HTTP: "0.0.0.0:0" };
    const without = launch("serve", data.path, beyond);
    programs.push(without);
    await expect(without.ready).rejects.toThrow(/spanledger keys create/);
    const made = await spawnKeys("create --name ci --scope ingest,read --json");
    expect(made.code, made.err).toBe(0);
    const { key } = JSON.parse(made.out) as { key: string };
    // A program that was killed could not take its word back.
    const stale = { url: "http://127.0.0.1:9", token: "x" };
    writeFileSync(join(data.path, "local-admin.json"), JSON.stringify(stale));
    expect((await spawnKeys("list")).out).toContain("ingest,read");
    const started = await serve(beyond);
    const program = { ...started, otlp: started.otlp.replace("0.0.0.0", "127.0.0.1") };
    expect([await post(program, key), await post(program, null)]).toEqual([200, 401]);
    expect(await ask(program, "/v1/calls", key)).toBe(200);
  }, 60_000);
});

describe("with a ClickHouse server", () => {
  let ledger: TestEngine;
  let clickhouse: FakeClickHouse;
  beforeAll(async () => {
    ledger = await openTestEngine();
    const directory = `${ledger.directory}/clickhouse`;
    clickhouse = await startFakeClickHouse({ directory, database: "spanledger" });
  });
  afterAll(async () => {
    await clickhouse.close();
    await ledger.close();
  });

  test("A06 a collector that starts while ClickHouse is away takes the keys it knew, and asks others back", async () => {
    const server = { SPANLEDGER_CLICKHOUSE_URL: clickhouse.url };
    const { key, key_id } = await make("create --name ci", server);
    const first = launch("collector", data.path, server);
    programs.push(first);
    const before = await first.ready;
    const { took_ms } = await eventually(
      () => post(before, key),
      (found) => found === 200,
      10_000,
    );
    expect(took_ms).toBeLessThan(5_000);
    await before.end("SIGTERM");
    expect(readdirSync(data.path)).toContain("state.json");
    // Made where that collector does not see it.
    const other = makeDataDirectory();
    const own = { ...server, SPANLEDGER_DATA_DIR: other.path };
    const { key: later } = await make("create --name later", own);
    await clickhouse.fail("hang");
    const second = launch("collector", data.path, server);
    programs.push(second);
    const after = await second.ready;
    expect([await post(after, key), await post(after, later), await post(after, null)]).toEqual([
      200, 503, 401,
    ]);
    await clickhouse.heal();
    await eventually(
      () => post(after, later),
      (found) => found === 200,
      15_000,
    );
    // A04: revoked elsewhere, refused here within five seconds.
    expect((await keys(`revoke ${key_id}`, own)).code).toBe(0);
    const refused = await eventually(
      () => post(after, key),
      (found) => found === 401,
      10_000,
    );
    expect(refused.took_ms).toBeLessThan(5_000);
    other.remove();
  }, 90_000);
});

describe("words that cannot be understood", () => {
  test.each([
    ["", "is no command"],
    ["create", "--name"],
    ["create --name x --scope root", '"root" is no scope'],
    ["create --name x --expires soon", '"soon" is no time'],
    ["create --name x --project a --organization b", "one of both"],
    ["create --name x --overlap 1h", "takes no --overlap"],
    ["revoke", "takes one KEY_ID"],
    ["revoke sl_0123456789_x", "not the key"],
    ["list more", "takes no words"],
    ["list --what", "--what"],
  ])('"keys %s" is 2 and says why', async (words, reason) => {
    const run = await keys(words);
    expect([run.code, run.out]).toEqual([2, ""]);
    expect(run.err).toContain(reason);
    expect(run.err).toContain("usage: spanledger keys");
  });

  test("--help is the usage on stdout", async () => {
    const run = await keys("--help");
    expect([run.code, run.err]).toEqual([0, ""]);
    expect(run.out).toContain("usage: spanledger keys");
  });

  test.each([
    ["90d", 90 * 86_400_000],
    ["12h", 12 * 3_600_000],
    ["0s", 0],
    ["2027-01-31T00:00:00Z", Date.UTC(2027, 0, 31) - 5],
    ["2027-01-31T01:00:00+01:00", Date.UTC(2027, 0, 31) - 5],
  ])("%s is %i ms from now", (text, from_now_ms) => {
    expect(readTime(text, 5) - 5).toBe(from_now_ms);
  });
});
