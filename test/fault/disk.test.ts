/**
 * The disk under the log full, failing, slow, read-only and shared, behind the real program: senders
 * are asked back with 503, nothing is half-written, it recovers by itself, and everything that was
 * acknowledged is counted once. The engine's own files are on another disk and have no part in it.
 *
 * `npm test` leaves out what differs from another test by the error only; `npm run test:fault` sets
 * SPANLEDGER_TEST_FAULT=long.
 */
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { findMountObstacle, mountMemory } from "../support/mounts.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import { attachFaults, findTracingObstacle, injection } from "../support/strace.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const MIB = 1024 ** 2;
const CALLS_PER_BODY = 100;
/** How long a slow sync takes, µs. */
const SLOW_SYNC_US = 400_000;
/** Nothing listens there. */
const NO_ENGINE = { SPANLEDGER_CLICKHOUSE_URL: "http://default:x@127.0.0.1:9/spanledger" };
/** No insert while a test looks at the log. */
const HOLD = { SPANLEDGER_INSERT_MAX_AGE_MS: "60000" };

const mountObstacle = findMountObstacle("memory");
const traceObstacle = findTracingObstacle();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function dataDirectory(): string {
  const data = makeDataDirectory();
  cleanups.push(() => data.remove());
  return data.path;
}

async function start(
  directory: string,
  settings: Readonly<Record<string, string>> = HOLD,
): Promise<Program> {
  const program = await startServe(directory, settings);
  cleanups.push(() => program.end("SIGKILL"));
  return program;
}

/** A sender that keeps what it sent, and sends again what was not acknowledged. */
class Sender {
  acked = 0;
  readonly #refused: Uint8Array<ArrayBuffer>[] = [];
  #next = 0;

  /** Sends a body of calls; returns the answer. */
  async send(program: Program, body = this.#makeBody()): Promise<Response> {
    const response = await fetch(`${program.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body,
    });
    await response.arrayBuffer();
    if (response.status === 200) this.acked += CALLS_PER_BODY;
    else this.#refused.push(body);
    return response;
  }

  async sendRefused(program: Program): Promise<void> {
    for (const body of this.#refused.splice(0)) await this.send(program, body);
  }

  #makeBody(): Uint8Array<ArrayBuffer> {
    this.#next += CALLS_PER_BODY;
    return makeCallsBody(this.#next - CALLS_PER_BODY, CALLS_PER_BODY);
  }
}

function summarize(response: Response): unknown[] {
  return [response.status, response.headers.get("retry-after")];
}

async function statusOf(program: Program, path: string): Promise<number> {
  const response = await fetch(`${program.api}${path}`);
  await response.arrayBuffer();
  return response.status;
}

async function metric(program: Program, name: string): Promise<number> {
  const text = await (await fetch(`${program.api}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

/** Ends the program without warning; a later one has everything acknowledged, once. */
async function countAfterKill(program: Program, directory: string): Promise<UsageAnswer["totals"]> {
  await program.end("SIGKILL");
  return countAll(await start(directory, {}));
}

async function countAll(program: Program): Promise<UsageAnswer["totals"]> {
  const ask = async () => {
    const response = await fetch(`${program.api}/v1/usage?measures=calls,input_total`);
    return (await response.json()) as UsageAnswer;
  };
  const isDrained = async () => (await metric(program, "spanledger_wal_pending_records")) === 0;
  await eventually(isDrained, (drained) => drained, 20_000);
  return (await ask()).totals;
}

function totalsOf(sender: Sender): { calls: number; input_total: number } {
  return { calls: sender.acked, input_total: sender.acked * 1000 };
}

test("F08: on a full disk senders get 503 and Retry-After, and it goes on by itself when there is space", async ({
  skip,
}) => {
  if (mountObstacle !== null) skip(mountObstacle);
  const directory = dataDirectory();
  const disk = mountMemory(join(directory, "wal"), 4 * MIB);
  cleanups.push(() => disk.remove());
  writeFileSync(join(disk.path, "filler"), new Uint8Array(3 * MIB));
  const program = await start(directory);
  const sender = new Sender();
  let answer = await sender.send(program);
  for (let body = 0; body < 500 && answer.status === 200; body += 1) {
    answer = await sender.send(program);
  }
  expect(summarize(answer)).toEqual([503, "1"]);
  expect(sender.acked).toBeGreaterThan(CALLS_PER_BODY);
  expect(await statusOf(program, "/readyz")).toBe(503);
  expect(await statusOf(program, "/healthz")).toBe(200);
  expect(await metric(program, "spanledger_wal_refused_records_total")).toBeGreaterThan(0);
  rmSync(join(disk.path, "filler"));
  await sender.sendRefused(program);
  expect(summarize(await sender.send(program))).toEqual([200, null]);
  await eventually(
    () => statusOf(program, "/readyz"),
    (status) => status === 200,
    10_000,
  );
  expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
}, 60_000);

test.runIf(LONG)(
  "F15: on a disk that became read-only senders get 503, until it is writable again",
  async ({ skip }) => {
    if (mountObstacle !== null) skip(mountObstacle);
    const directory = dataDirectory();
    const disk = mountMemory(join(directory, "wal"), 8 * MIB);
    cleanups.push(() => disk.remove());
    const settings = { ...HOLD, SPANLEDGER_WAL_MAX_BYTES: String(MIB) };
    const first = await start(directory, settings);
    const sender = new Sender();
    expect((await sender.send(first)).status).toBe(200);
    await first.end("SIGKILL");
    // No file is open for writing now, so that the system allows the change.
    const program = await start(directory, settings);
    disk.remount("ro");
    expect(summarize(await sender.send(program))).toEqual([503, "1"]);
    expect(await statusOf(program, "/healthz")).toBe(200);
    disk.remount("rw");
    await sender.sendRefused(program);
    expect(sender.acked).toBe(2 * CALLS_PER_BODY);
    expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
  },
  60_000,
);

test("F15: with its directory replaced by an empty one the program acknowledges nothing into it", async () => {
  const directory = dataDirectory();
  const program = await start(directory);
  const sender = new Sender();
  expect((await sender.send(program)).status).toBe(200);
  rmSync(join(directory, "wal"), { recursive: true });
  expect(summarize(await sender.send(program))).toEqual([503, "1"]);
  expect(await statusOf(program, "/healthz")).toBe(200);
}, 60_000);

test("F04: a flipped bit in a record costs that record, is told, and the others are counted", async () => {
  const directory = dataDirectory();
  const first = await start(directory, NO_ENGINE);
  const sender = new Sender();
  for (let body = 0; body < 3; body += 1) {
    expect((await sender.send(first)).status).toBe(200);
  }
  await first.end("SIGKILL");
  const [name = ""] = readdirSync(join(directory, "wal")).filter((file) => file.endsWith(".wal"));
  const path = join(directory, "wal", name);
  const bytes = readFileSync(path);
  // In the first of three records: 64 bytes of the segment, 44 of the frame, then the payload.
  bytes.writeUInt8(bytes.readUInt8(2_000) ^ 4, 2_000);
  writeFileSync(path, bytes);
  const program = await start(directory, {});
  const totals = await countAll(program);
  expect(totals).toMatchObject({ calls: 2 * CALLS_PER_BODY, input_total: 200_000 });
  expect(await metric(program, "spanledger_wal_quarantined_records_total")).toBe(1);
  const told = () => program.log().includes("records of the write-ahead log are damaged");
  await eventually(
    async () => told(),
    (is_told) => is_told,
    5_000,
  );
  await program.end("SIGKILL");
  const again = await start(directory, {});
  expect(await metric(again, "spanledger_wal_quarantined_records_total")).toBe(1);
}, 60_000);

test("F10: near its disk budget the program says so in its log and on its metrics, once for each step", async () => {
  const directory = dataDirectory();
  const program = await start(directory, { ...HOLD, SPANLEDGER_WAL_MAX_BYTES: String(MIB) });
  const sender = new Sender();
  const ratio = () => metric(program, "spanledger_wal_budget_ratio");
  const lines = () =>
    [...program.log().matchAll(/"level":"(\w+)"[^\n]*uses more than (\d+) % of its disk/g)].map(
      ([, level, percent]) => `${level} ${percent}`,
    );
  for (const [step, expected] of [
    [0.5, ["warn 50"]],
    [0.8, ["warn 50", "warn 80"]],
    [0.95, ["warn 50", "warn 80", "error 95"]],
  ] as const) {
    for (let body = 0; body < 1_000 && (await ratio()) < step; body += 1)
      await sender.send(program);
    await eventually(
      async () => lines(),
      (found) => found.length >= expected.length,
      5_000,
    );
    expect(lines()).toEqual(expected);
  }
  expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
}, 60_000);

test("F11: a sync that fails once is answered 503, and the next one takes the same spans", async ({
  skip,
}) => {
  if (traceObstacle !== null) skip(traceObstacle);
  const directory = dataDirectory();
  const program = await start(directory);
  const sender = new Sender();
  expect((await sender.send(program)).status).toBe(200);
  const heal = await attachFaults(program.process.pid ?? 0, injection("sync", "error=EIO"));
  expect(summarize(await sender.send(program))).toEqual([503, "1"]);
  expect(await statusOf(program, "/readyz")).toBe(503);
  await heal();
  await sender.sendRefused(program);
  expect(sender.acked).toBe(2 * CALLS_PER_BODY);
  expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
}, 60_000);

test("F11: after a second failing sync the program ends with an error, and nothing acknowledged is lost", async ({
  skip,
}) => {
  if (traceObstacle !== null) skip(traceObstacle);
  const directory = dataDirectory();
  const program = await start(directory);
  const sender = new Sender();
  expect((await sender.send(program)).status).toBe(200);
  const exited = once(program.process, "exit");
  const heal = await attachFaults(program.process.pid ?? 0, injection("sync", "error=EIO"));
  expect((await sender.send(program)).status).toBe(503);
  expect((await sender.send(program)).status).toBe(503);
  expect((await exited)[0]).toBe(1);
  expect(program.log()).toContain("cannot be synced");
  await heal();
  const after = await start(directory, {});
  await sender.sendRefused(after);
  expect(sender.acked).toBe(3 * CALLS_PER_BODY);
  expect(await countAll(after)).toMatchObject(totalsOf(sender));
}, 60_000);

test.for(LONG ? ["EIO", "ENOSPC", "EDQUOT"] : ["EIO"])(
  "F08: a write failing with %s is answered 503 and leaves nothing half-written",
  { timeout: 60_000 },
  async (code, { skip }) => {
    if (traceObstacle !== null) skip(traceObstacle);
    const directory = dataDirectory();
    const program = await start(directory);
    const sender = new Sender();
    expect((await sender.send(program)).status).toBe(200);
    const heal = await attachFaults(program.process.pid ?? 0, injection("write", `error=${code}`));
    expect(summarize(await sender.send(program))).toEqual([503, "1"]);
    expect(summarize(await sender.send(program))).toEqual([503, "1"]);
    await heal();
    await sender.sendRefused(program);
    expect(sender.acked).toBe(3 * CALLS_PER_BODY);
    await program.end("SIGKILL");
    const after = await start(directory, {});
    expect(await metric(after, "spanledger_wal_torn_tails_total")).toBe(0);
    expect(await metric(after, "spanledger_wal_quarantined_records_total")).toBe(0);
    expect(await countAll(after)).toMatchObject(totalsOf(sender));
  },
);

test("F09: while the checkpoint cannot be replaced spans are taken, and are counted once", async ({
  skip,
}) => {
  if (traceObstacle !== null) skip(traceObstacle);
  const directory = dataDirectory();
  // An engine that is away, because it would rename too.
  const program = await start(directory, NO_ENGINE);
  const sender = new Sender();
  const heal = await attachFaults(program.process.pid ?? 0, injection("rename", "error=ENOSPC"));
  for (let body = 0; body < 5; body += 1) {
    expect((await sender.send(program)).status).toBe(200);
  }
  await heal();
  expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
}, 60_000);

test("F12: while syncs are slow requests wait for them, and what is too much is asked back", async ({
  skip,
}) => {
  if (traceObstacle !== null) skip(traceObstacle);
  const directory = dataDirectory();
  const program = await start(directory, {
    ...HOLD,
    SPANLEDGER_MAX_IN_FLIGHT_BYTES: String(256 * 1024),
  });
  const sender = new Sender();
  expect((await sender.send(program)).status).toBe(200);
  const heal = await attachFaults(
    program.process.pid ?? 0,
    injection("sync", `delay_enter=${SLOW_SYNC_US}`),
  );
  const started_ms = performance.now();
  const answers = await Promise.all(Array.from({ length: 60 }, () => sender.send(program)));
  const took_ms = performance.now() - started_ms;
  await heal();
  expect(took_ms).toBeGreaterThan(SLOW_SYNC_US / 1_000);
  // They share syncs: one by one it would be longer.
  expect(took_ms).toBeLessThan((answers.length * SLOW_SYNC_US) / 2_000);
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200, 503]));
  await sender.sendRefused(program);
  expect(sender.acked).toBe(61 * CALLS_PER_BODY);
  expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
}, 60_000);

test("F22: SIGTERM while a sync is slow ends the program in time, with every reply kept", async ({
  skip,
}) => {
  if (traceObstacle !== null) skip(traceObstacle);
  const directory = dataDirectory();
  const program = await start(directory);
  const sender = new Sender();
  expect((await sender.send(program)).status).toBe(200);
  const heal = await attachFaults(
    program.process.pid ?? 0,
    injection("sync", `delay_enter=${SLOW_SYNC_US}`),
  );
  const waiting = Array.from({ length: 5 }, () => sender.send(program).catch(() => null));
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  const started_ms = performance.now();
  expect(await program.end("SIGTERM")).toBe(0);
  expect(performance.now() - started_ms).toBeLessThan(10_000);
  await heal();
  await Promise.all(waiting);
  const after = await start(directory, {});
  const { calls } = (await countAll(after)) as { calls: number };
  expect(calls).toBeGreaterThanOrEqual(sender.acked);
  expect(calls).toBeLessThanOrEqual(6 * CALLS_PER_BODY);
}, 60_000);

test.for([
  ["its engine", HOLD, /Only one process may use a data directory/],
  ["its log", NO_ENGINE, /has the write-ahead log open: stop it, or use another data directory/],
] as const)(
  "F16: a second program on the same directory refuses to start because of %s and does no harm",
  { timeout: 60_000 },
  async ([_what, settings, message]) => {
    const directory = dataDirectory();
    const program = await start(directory, settings);
    const sender = new Sender();
    expect((await sender.send(program)).status).toBe(200);
    const refusal = await startServe(directory, settings).then(
      () => "started",
      (error: unknown) => String(error),
    );
    expect(refusal).toMatch(/ended with [1-9]\d* before it was ready/);
    expect(refusal).toMatch(message);
    expect((await sender.send(program)).status).toBe(200);
    expect(await countAfterKill(program, directory)).toMatchObject(totalsOf(sender));
  },
);
