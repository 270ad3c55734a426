/**
 * SIGKILL at the worst moments: what was acknowledged is counted, once, whatever happens between the
 * reply and the insert. The truth is kept by the sender.
 *
 * `npm test` runs a short seed; `npm run test:fault` sets SPANLEDGER_TEST_FAULT=long.
 */
import { afterEach, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { makeRandom } from "../support/random.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
let program: Program | null = null;
const directories: { remove(): void }[] = [];

afterEach(async () => {
  await program?.end("SIGKILL");
  program = null;
  for (const directory of directories.splice(0)) directory.remove();
});

function dataDirectory(): string {
  const directory = makeDataDirectory();
  directories.push(directory);
  return directory.path;
}

async function send(body: Uint8Array): Promise<boolean> {
  if (program === null) return false;
  try {
    const response = await fetch(`${program.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: Buffer.from(body),
      signal: AbortSignal.timeout(10_000),
    });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false; // the connection ended with the process: not acknowledged
  }
}

async function usage(): Promise<UsageAnswer> {
  const response = await fetch(`${program?.api}/v1/usage?measures=calls,cost_usd,input_total`);
  return (await response.json()) as UsageAnswer;
}

test("SIGKILL between the reply and the insert loses nothing and counts nothing twice", async () => {
  const directory = dataDirectory();
  // No insert within a minute: everything acknowledged is in the log alone.
  program = await startServe(directory, { SPANLEDGER_INSERT_MAX_AGE_MS: "60000" });
  for (let index = 0; index < 10; index += 1) {
    expect(await send(makeCallsBody(index * 50, 50))).toBe(true);
  }
  expect((await usage()).coverage.calls).toBe(0);
  await program.end("SIGKILL");

  program = await startServe(directory);
  const { answer } = await eventually(usage, (found) => found.coverage.calls >= 500, 10_000);
  // 500 * (1000 * 0.15 + 100 * 0.60) / 1e6 = 500 * 0.00021
  expect(answer.totals).toMatchObject({ calls: 500, input_total: 500_000, cost_usd: "0.105" });

  // The next start reads no record again: it was released.
  await program.end("SIGKILL");
  program = await startServe(directory);
  await new Promise((resolve) => {
    setTimeout(resolve, 1_000);
  });
  expect((await usage()).totals).toMatchObject({ calls: 500, cost_usd: "0.105" });
}, 60_000);

test.each(LONG ? Array.from({ length: 20 }, (_unused, index) => index + 1) : [1])(
  "random kills under load keep every acknowledged call, once (seed %i)",
  async (seed) => {
    const random = makeRandom(seed).next;
    const directory = dataDirectory();
    const kills = LONG ? 60 : 6;
    let next = 0;
    let unacknowledged: { body: Uint8Array; count: number }[] = [];
    let acknowledged = 0;
    const sent: Uint8Array[] = [];

    const deliver = async (body: Uint8Array, count: number) => {
      if (await send(body)) {
        acknowledged += count;
        sent.push(body);
      } else unacknowledged.push({ body, count });
    };
    for (let kill = 0; kill < kills; kill += 1) {
      program = await startServe(directory, {
        SPANLEDGER_INSERT_MAX_AGE_MS: String(Math.ceil(random() * 200)),
        SPANLEDGER_RECOMPUTE_INTERVAL_MS: String(Math.ceil(10 + random() * 300)),
      });
      const retries = unacknowledged;
      unacknowledged = [];
      for (const { body, count } of retries) await deliver(body, count);
      const ending = new AbortController();
      const timer = setTimeout(
        () => {
          ending.abort();
          void program?.end("SIGKILL");
        },
        200 + random() * 800,
      );
      while (!ending.signal.aborted) {
        const count = 1 + Math.floor(random() * 200);
        const body = makeCallsBody(next, count);
        next += count;
        await deliver(body, count);
        // A sender whose answer was lost sends again: some bodies come twice.
        if (random() < 0.15 && sent.length > 0) {
          await send(sent[Math.floor(random() * sent.length)] as Uint8Array);
        }
      }
      clearTimeout(timer);
      await program.end("SIGKILL");
    }
    program = await startServe(directory);
    for (const { body, count } of unacknowledged.splice(0)) await deliver(body, count);
    expect(unacknowledged).toEqual([]);
    expect(acknowledged).toBe(next);

    const { answer } = await eventually(
      usage,
      (found) => found.coverage.calls >= acknowledged,
      30_000,
    );
    expect(answer.totals.calls).toBe(acknowledged);
    expect(answer.totals.input_total).toBe(acknowledged * 1000);
    expect(Number(answer.totals.cost_usd)).toBeCloseTo(acknowledged * 0.00021, 9);
  },
  LONG ? 600_000 : 90_000,
);
