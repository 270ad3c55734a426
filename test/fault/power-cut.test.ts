/**
 * The power fails: only what reached the disk is left. The program runs on a disk in a file; it is
 * stopped in its tracks, the file is copied, and another program starts on the copy. What had been
 * acknowledged must be in its ledger once. The truth is kept by the sender.
 *
 * `npm test` cuts once each; `npm run test:fault` sets SPANLEDGER_TEST_FAULT=long.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { findMountObstacle, makeImage } from "../support/mounts.ts";
import { eventually, type Program, startServe } from "../support/program.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const obstacle = findMountObstacle("loop");
const DISK_BYTES = 384 * 1024 ** 2;
const CALLS_PER_BODY = 50;

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A program on a disk of its own. Nothing on it outlives the test. */
async function startOnDisk(settings: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(join(tmpdir(), "spanledger-power-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const image = makeImage(directory, DISK_BYTES);
  const disk = image.mount("before");
  cleanups.push(() => disk.remove());
  const program = await startServe(disk.path, settings);
  cleanups.push(() => program.end("SIGKILL"));
  return { program, path: disk.path, cut: () => cutPower(program, image) };
}

/** Copies the disk while the program stands still, and starts one on the copy. */
async function cutPower(program: Program, image: ReturnType<typeof makeImage>): Promise<Program> {
  program.process.kill("SIGSTOP");
  const copy = image.copy("cut");
  const disk = copy.mount("after");
  cleanups.push(() => disk.remove());
  const after = await startServe(disk.path);
  cleanups.push(() => after.end("SIGKILL"));
  return after;
}

async function send(program: Program, first: number): Promise<boolean> {
  try {
    const response = await fetch(`${program.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: makeCallsBody(first, CALLS_PER_BODY),
    });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

async function usage(program: Program): Promise<UsageAnswer> {
  const response = await fetch(`${program.api}/v1/usage?measures=calls,cost_usd,input_total`);
  return (await response.json()) as UsageAnswer;
}

/** Of bodies, named by the number of their first call, those that are not there. */
async function findMissing(program: Program, firsts: readonly number[]): Promise<number[]> {
  const missing: number[] = [];
  for (const first of firsts) {
    const trace_id = (first + 1).toString(16).padStart(32, "0");
    const response = await fetch(`${program.api}/v1/traces/${trace_id}`);
    await response.arrayBuffer();
    if (response.status !== 200) missing.push(first);
  }
  return missing;
}

const CUTS = LONG ? Array.from({ length: 10 }, (_unused, index) => index) : [3];

test.for(CUTS)(
  "F17: power cut after replies, in the middle of others, keeps every acknowledged call once (cut %i)",
  { timeout: 120_000 },
  async (cut, { skip }) => {
    if (obstacle !== null) skip(obstacle);
    const { program, cut: cutDisk } = await startOnDisk({
      // Some cuts find everything in the log alone, others inserts and merges at work.
      SPANLEDGER_INSERT_MAX_AGE_MS: cut % 2 === 0 ? "60000" : "20",
    });
    const told = { acked: [] as number[], sent: 0 };
    const bodies = 4 + cut * 3;
    const enough = Promise.withResolvers<void>();
    const senders = Array.from({ length: 4 }, async () => {
      for (;;) {
        const first = CALLS_PER_BODY * told.sent;
        told.sent += 1;
        if (!(await send(program, first))) return;
        told.acked.push(first);
        if (told.acked.length >= bodies) enough.resolve();
      }
    });
    await enough.promise;
    // Requests of other senders are on their way.
    const promised = [...told.acked];
    const after = await cutDisk();
    const { answer } = await eventually(
      () => usage(after),
      (found) => found.coverage.calls >= promised.length * CALLS_PER_BODY,
      20_000,
    );
    expect(await findMissing(after, promised)).toEqual([]);
    const { calls } = answer.totals as { calls: number };
    expect(calls % CALLS_PER_BODY).toBe(0);
    // What was not acknowledged may be there too, once.
    expect(calls).toBeLessThanOrEqual(told.sent * CALLS_PER_BODY);
    expect(answer.totals["input_total"]).toBe(calls * 1000);
    expect(Number(answer.totals["cost_usd"])).toBeCloseTo(calls * 0.00021, 9);
    await program.end("SIGKILL");
    await Promise.all(senders);
  },
);

test.for(LONG ? [1, 2, 3, 4, 5] : [1])(
  "F19: power cut right after ClickHouse had the rows and the log forgot them loses none (cut %i)",
  { timeout: 120_000 },
  async (_cut, { skip }) => {
    if (obstacle !== null) skip(obstacle);
    const { program, path, cut } = await startOnDisk({
      SPANLEDGER_INSERT_MAX_AGE_MS: "10",
      // Segments of 128 KiB, so that released ones are removed at once.
      SPANLEDGER_WAL_MAX_BYTES: String(1024 ** 2),
    });
    const names = () => readdirSync(join(path, "wal")).filter((name) => name.endsWith(".wal"));
    let bodies = 0;
    const seen = new Set<string>();
    let removed = 0;
    while (removed < 3) {
      expect(await send(program, bodies * CALLS_PER_BODY)).toBe(true);
      bodies += 1;
      for (const name of names()) seen.add(name);
      removed = seen.size - names().length;
    }
    const after = await cut();
    const calls = bodies * CALLS_PER_BODY;
    const { answer } = await eventually(
      () => usage(after),
      (found) => found.coverage.calls >= calls,
      20_000,
    );
    expect(answer.totals).toMatchObject({ calls, input_total: calls * 1000 });
    expect(Number(answer.totals["cost_usd"])).toBeCloseTo(calls * 0.00021, 9);
  },
);
