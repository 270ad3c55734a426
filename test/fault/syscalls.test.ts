/**
 * SIGKILL at the k-th system call: what was acknowledged is in the store, once, wherever between two
 * calls the process ends. Most kills hit a process with nothing but a log and a consumer; a few hit
 * the whole program with the engine inside.
 *
 * `npm test` runs a handful; `npm run test:fault` sets SPANLEDGER_TEST_FAULT=long.
 */
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import {
  attachFaults,
  type CallKind,
  findTracingObstacle,
  injection,
  spawnTraced,
} from "../support/strace.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const obstacle = findTracingObstacle();
const DRIVER = fileURLToPath(new URL("../support/wal-driver.ts", import.meta.url));
const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
/** Records of one life: enough for 200 calls of each kind. */
const RECORDS = 420;
/** Lives in one directory, so that what one leaves is recovered under the next kill. */
const LIVES = 25;
/** A kill keeps the page cache, so a file system in memory loses no more than a disk. */
const FAST_DIRECTORY = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

const cleanups: (() => void | Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function skipWithoutStrace(skip: (why?: string) => void): void {
  if (obstacle !== null) skip(obstacle);
}

interface Life {
  readonly was_killed: boolean;
  /** What must not be. */
  readonly problems: readonly string[];
}

/** What a sender and a store know of one directory over all lives. */
class Truth {
  readonly directory = mkdtempSync(join(FAST_DIRECTORY, "spanledger-sweep-"));
  next = 0;
  readonly acked = new Set<number>();
  #released = 0;
  #store_lines = 0;

  /** Runs one life, killed at the k-th call of a kind, or to its end. */
  async live(kind: CallKind, k: number | null, count: number): Promise<Life> {
    const command = [process.execPath, DRIVER, this.directory, String(this.next), String(count)];
    this.next += count;
    const faults = k === null ? ["-e", "trace=none"] : injection(kind, `signal=SIGKILL:when=${k}`);
    const child = spawnTraced(faults, command, { UV_THREADPOOL_SIZE: "1" });
    let out = "";
    let errors = "";
    child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    const was_killed = signal === "SIGKILL" || code === 137;
    const problems = was_killed || code === 0 ? [] : [`ended with ${code} ${signal}: ${errors}`];
    const released_before = this.#released;
    for (const line of out.split("\n")) {
      const [word, value] = line.split(" ");
      if (word === "acked") this.acked.add(Number(value));
      if (word === "released") this.#released = Number(value);
      if (word === "spoilt") problems.push(line);
    }
    return { was_killed, problems: [...problems, ...this.#findRepeats(released_before)] };
  }

  /** Records that came twice in one life, or that an earlier life had released. */
  #findRepeats(released_before: number): string[] {
    const path = join(this.directory, "store");
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
    const sequences = lines.slice(this.#store_lines).map((line) => Number(line.split(" ")[1]));
    this.#store_lines = lines.length;
    return sequences
      .filter((sequence, index) => sequence <= (sequences[index - 1] ?? released_before))
      .map((sequence) => `${sequence} came again`);
  }

  stored(): Set<number> {
    const lines = readFileSync(join(this.directory, "store"), "utf8").split("\n").slice(0, -1);
    return new Set(lines.map((line) => Number(line.split(" ")[2])));
  }
}

const KINDS: readonly CallKind[] = ["write", "sync", "rename", "remove"];
const STEPS = LONG
  ? Array.from({ length: 200 }, (_unused, index) => index + 1)
  : [1, 2, 3, 7, 50, 133];

test.for(KINDS)(
  "F02: SIGKILL at the k-th %s of a log loses nothing acknowledged and gives nothing back that was released",
  { timeout: LONG ? 1_800_000 : 60_000 },
  async (kind, { skip }) => {
    skipWithoutStrace(skip);
    let truth = new Truth();
    cleanups.push(() => rmSync(truth.directory, { recursive: true, force: true }));
    let kills = 0;
    for (const [index, k] of STEPS.entries()) {
      if (index > 0 && index % LIVES === 0) {
        rmSync(truth.directory, { recursive: true, force: true });
        truth = new Truth();
      }
      const killed = await truth.live(kind, k, RECORDS);
      const after = await truth.live(kind, null, 0);
      kills += killed.was_killed ? 1 : 0;
      expect([...killed.problems, ...after.problems], `${kind} ${k}`).toEqual([]);
      const stored = truth.stored();
      const lost = [...truth.acked].filter((number) => !stored.has(number));
      expect(lost, `${kind} ${k}`).toEqual([]);
      expect(Math.max(...stored)).toBeLessThan(truth.next);
    }
    // The sweep did reach its calls: else it would pass without killing anything.
    expect(kills).toBeGreaterThanOrEqual(Math.ceil(STEPS.length * 0.6));
  },
);

/** Bodies of ten calls. */
interface Sent {
  readonly acked: Uint8Array<ArrayBuffer>[];
  /** Sent and not acknowledged: they may be in, and a sender sends the same bytes again. */
  readonly unsure: Uint8Array<ArrayBuffer>[];
  was_killed: boolean;
}

/** Sends until the program is gone. */
async function sendUntilDead(program: Program, from: number, duration_ms: number): Promise<Sent> {
  const sent: Sent = { acked: [], unsure: [], was_killed: false };
  const until_ms = performance.now() + duration_ms;
  for (let next = from; performance.now() < until_ms; next += 10) {
    const body = makeCallsBody(next, 10);
    const status = await post(program, body);
    (status === 200 ? sent.acked : sent.unsure).push(body);
    sent.was_killed = status === null;
    if (sent.was_killed) break;
  }
  return sent;
}

/** The status of the answer; null when the connection ended with the process. */
async function post(program: Program, body: Uint8Array<ArrayBuffer>): Promise<number | null> {
  try {
    const response = await fetch(`${program.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return null;
  }
}

async function usage(program: Program): Promise<UsageAnswer> {
  const response = await fetch(`${program.api}/v1/usage?measures=calls,cost_usd,input_total`);
  return (await response.json()) as UsageAnswer;
}

const PROGRAM_KILLS: readonly (readonly [CallKind, number])[] = LONG
  ? KINDS.flatMap((kind) => [1, 2, 3, 4, 5, 7, 9].map((k) => [kind, k] as const))
  : [
      ["sync", 2],
      ["rename", 2],
    ];

test(
  "F02: SIGKILL at the k-th call of the whole program leaves every acknowledged call in the ledger once",
  async ({ skip }) => {
    skipWithoutStrace(skip);
    const data = makeDataDirectory();
    cleanups.push(() => data.remove());
    let next = 0;
    let kills = 0;
    let program: Program | null = null;
    cleanups.push(() => program?.end("SIGKILL"));
    const acked: Uint8Array[] = [];
    const unsure: Uint8Array<ArrayBuffer>[] = [];
    for (const [kind, k] of PROGRAM_KILLS) {
      program = await startServe(data.path, { SPANLEDGER_INSERT_MAX_AGE_MS: "20" });
      const pid = program.process.pid ?? 0;
      const detach = await attachFaults(pid, injection(kind, `signal=SIGKILL:when=${k}`));
      const sent = await sendUntilDead(program, next, 3_000);
      if (sent.was_killed) kills += 1;
      acked.push(...sent.acked);
      unsure.push(...sent.unsure);
      next += (sent.acked.length + sent.unsure.length) * 10;
      await program.end("SIGKILL");
      await detach();
    }
    program = await startServe(data.path);
    for (const body of unsure) {
      expect(await post(program, body), program.log()).toBe(200);
      acked.push(body);
    }
    const calls = acked.length * 10;
    const last = program;
    const { answer } = await eventually(
      () => usage(last),
      (found) => found.coverage.calls >= calls,
      30_000,
    );
    expect(answer.totals).toMatchObject({ calls, input_total: calls * 1000 });
    expect(Number(answer.totals.cost_usd)).toBeCloseTo(calls * 0.00021, 9);
    // Each thread counts its own calls, so a high k may not be reached in the time.
    expect(kills).toBeGreaterThanOrEqual(Math.ceil(PROGRAM_KILLS.length / 4));
  },
  LONG ? 900_000 : 90_000,
);

test(
  "F02: SIGKILL at the k-th call of a start loses nothing that was acknowledged before",
  async ({ skip }) => {
    skipWithoutStrace(skip);
    const data = makeDataDirectory();
    cleanups.push(() => data.remove());
    let program = await startServe(data.path, { SPANLEDGER_INSERT_MAX_AGE_MS: "60000" });
    cleanups.push(() => program.end("SIGKILL"));
    const { acked } = await sendUntilDead(program, 0, 300);
    expect(acked.length).toBeGreaterThan(0);
    await program.end("SIGKILL");
    const environment = {
      SPANLEDGER_DATA_DIR: data.path,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_HTTP: "127.0.0.1:0",
      SPANLEDGER_INSERT_MAX_AGE_MS: "20",
    };
    const steps = LONG ? [1, 2, 3, 4, 6, 8] : [1, 2];
    let kills = 0;
    const kinds = LONG ? KINDS : (["rename", "sync"] as const);
    for (const kind of kinds) {
      for (const k of steps) {
        const faults = injection(kind, `signal=SIGKILL:when=${k}`);
        const child = spawnTraced(faults, [process.execPath, LAUNCHER, "serve"], environment);
        const exited = once(child, "exit") as Promise<[number | null, string | null]>;
        // A start with fewer such calls goes on to serve and is ended like any other.
        const timer = setTimeout(() => child.kill("SIGTERM"), 5_000);
        const [code, signal] = await exited;
        kills += signal === "SIGKILL" || code === 137 ? 1 : 0;
        clearTimeout(timer);
      }
    }
    program = await startServe(data.path);
    const calls = acked.length * 10;
    const { answer } = await eventually(
      () => usage(program),
      (found) => found.coverage.calls >= calls,
      30_000,
    );
    expect(answer.totals).toMatchObject({ calls, input_total: calls * 1000 });
    expect(kills).toBeGreaterThanOrEqual(Math.ceil((kinds.length * steps.length) / 2));
  },
  LONG ? 900_000 : 90_000,
);
