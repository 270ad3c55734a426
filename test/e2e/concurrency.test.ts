/**
 * Answers while spans arrive and rollups are recomputed: a count never goes down, never exceeds what
 * was sent, and the cost always belongs to the count. Guards the views, which mix rollup and live rows.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { parseUsd } from "../../schemas/units.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import { makeRandom } from "../support/random.ts";

const DURATION_MS = 6_000;
/** 0.00021 US dollars, what each call of the bodies costs. */
const CALL_PICODOLLARS = 210_000_000n;

const data = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  program = await startServe(data.path, {
    SPANLEDGER_RECOMPUTE_INTERVAL_MS: "100",
    SPANLEDGER_INSERT_MAX_AGE_MS: "30",
  });
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
});

async function ask(query: string): Promise<UsageAnswer> {
  const response = await fetch(`${program.api}/v1/usage?${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as UsageAnswer;
}

async function send(body: Uint8Array<ArrayBuffer>): Promise<void> {
  const response = await fetch(`${program.otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body,
  });
  expect(response.status).toBe(200);
}

/** Each is answered from another table. */
const QUERIES = ["measures=calls,cost_usd", "measures=calls,cost_usd&group_by=service_name"];

test("a count never goes down, never exceeds what was sent, and costs what it counts", async () => {
  const random = makeRandom(3);
  // Wide enough that whole days are read from the rollups.
  const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString();
  const range = `from=${day(-2).slice(0, 10)}&to=${day(2).slice(0, 10)}`;
  let sent = 0;
  const ending = AbortSignal.timeout(DURATION_MS);

  const sending = async () => {
    while (!ending.aborted) {
      const count = 1 + random.whole(40);
      const body = makeCallsBody(sent, count);
      sent += count;
      await send(body);
      if (random.chance(0.2)) await send(body);
    }
  };
  const asking = async (query: string) => {
    let last = 0;
    let answers = 0;
    while (!ending.aborted) {
      const { totals } = await ask(`${query}&${range}`);
      const calls = totals.calls ?? 0;
      expect(calls).toBeGreaterThanOrEqual(last);
      expect(calls).toBeLessThanOrEqual(sent);
      const cost = totals.cost_usd == null ? 0n : parseUsd(totals.cost_usd);
      expect(cost).toBe(BigInt(calls) * CALL_PICODOLLARS);
      last = calls;
      answers += 1;
    }
    return answers;
  };
  const [, ...answers] = await Promise.all([sending(), ...QUERIES.map((query) => asking(query))]);
  for (const count of answers) expect(count).toBeGreaterThan(10);
  for (const query of QUERIES) {
    await eventually(
      () => ask(`${query}&${range}`),
      ({ totals }) => totals.calls === sent,
      10_000,
    );
  }
}, 60_000);
