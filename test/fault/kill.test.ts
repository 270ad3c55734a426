/**
 * SIGKILL at the worst moments: what was acknowledged is counted, once, whatever happens between the
 * reply and the insert. The truth is kept by the sender.
 *
 * `npm test` runs short seeds; `npm run test:fault` sets SPANLEDGER_TEST_FAULT=long.
 */
import { appendFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openEmbedded } from "../../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS } from "../../clickhouse/engine.ts";
import { migrate } from "../../clickhouse/migrate.ts";
import type { UsageAnswer } from "../../schemas/api.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { openTestEngine, type TestEngine } from "../support/engine.ts";
import { startFakeClickHouse } from "../support/fake-clickhouse.ts";
import { type KillReport, type OutlivingServer, runKills } from "../support/kill-run.ts";
import { NOTHING_WRONG } from "../support/ledger-judge.ts";
import {
  eventually,
  makeDataDirectory,
  makeFastStart,
  type Program,
  startServe,
} from "../support/program.ts";
import { makeRandom } from "../support/random.ts";

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

/**
 * Seeds to run: SPANLEDGER_TEST_SEEDS as "1-200". Two of three kill a collector whose ClickHouse lives
 * on, every third `spanledger serve` with the engine in it.
 */
function listSeeds(): number[] {
  const [first = 1, last = first] = (
    process.env["SPANLEDGER_TEST_SEEDS"] ?? (LONG ? "1-20" : "2-3")
  )
    .split("-")
    .map(Number);
  return Array.from({ length: last - first + 1 }, (_unused, index) => first + index);
}

const SEEDS = listSeeds().map((seed) => ({
  seed,
  mode: seed % 3 === 0 ? ("serve" as const) : ("collector" as const),
}));
const KILLS = LONG ? 60 : 5;

let fast: Awaited<ReturnType<typeof makeFastStart>> | null = null;
let outliving: TestEngine | null = null;

afterAll(async () => {
  fast?.remove();
  await outliving?.close();
});

/** A server with a database of its own for each seed; the engine is one for all: chdb has one. */
async function startServer(
  database: string,
): Promise<OutlivingServer & { close(): Promise<void> }> {
  outliving ??= await openTestEngine();
  const directory = `${outliving.directory}/clickhouse`;
  const engine = await openEmbedded({
    directory,
    database,
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: 2 * 1024 ** 3,
    read_sessions: 2,
  });
  await migrate(engine);
  const clickhouse = await startFakeClickHouse({ directory, database });
  return {
    clickhouse,
    engine,
    async close() {
      await clickhouse.close();
      await engine.command(`DROP DATABASE ${database} SYNC`);
      await engine.close();
    },
  };
}

describe("random kills under load", () => {
  beforeAll(async () => {
    fast = await makeFastStart();
  });

  test.each(SEEDS)(
    "keep every acknowledged item, once, and leave every group of every rollup right (seed $seed, $mode)",
    async ({ seed, mode }) => {
      const started_ms = performance.now();
      const server = mode === "collector" ? await startServer(`seed_${seed}`) : null;
      try {
        const report = await runKills({
          random: makeRandom(seed),
          data_directory: dataDirectory(),
          kills: KILLS,
          server,
          settings: fast?.settings ?? {},
        });
        noteReport(seed, mode, report, performance.now() - started_ms);
        expect(report.found).toEqual(NOTHING_WRONG);
        expect(report.alarms).toEqual([]);
        expect(report.items).toBeGreaterThan(0);
      } finally {
        await server?.close();
      }
    },
    LONG ? 1_800_000 : 120_000,
  );
});

/** One line for each seed into the file that SPANLEDGER_TEST_REPORT names. */
function noteReport(seed: number, mode: string, report: KillReport, took_ms: number): void {
  const file = process.env["SPANLEDGER_TEST_REPORT"];
  if (file === undefined) return;
  const line = { seed, mode, kills: KILLS, took_s: Math.round(took_ms / 1000), ...report };
  appendFileSync(file, `${JSON.stringify(line)}\n`);
}
