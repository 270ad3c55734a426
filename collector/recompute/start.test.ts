/**
 * The recompute as a collector starts it: with the settings as they are by default, on an engine that
 * other processes can reach and on one that they cannot.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { parseSettings } from "../../schemas/settings.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { clearLedger, insertSpans, replaceMethods } from "../../test/support/ledger.ts";
import { makeSpan } from "../../test/support/span.ts";
import { type RunningRecompute, startRecompute } from "./start.ts";

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
beforeEach(async () => {
  await clearLedger(test_engine.engine);
  await test_engine.engine.command("TRUNCATE TABLE recompute_lease");
});

function start(engine: Engine, token: string): RunningRecompute {
  const parsed = parseSettings({ SPANLEDGER_RECOMPUTE_INTERVAL_MS: "10" });
  if ("problems" in parsed) throw new Error(parsed.problems.join("; "));
  return startRecompute(engine, {
    settings: parsed.settings,
    token,
    behind_ms: () => 0,
    observe: (event) => {
      if (event.kind === "failed") throw new Error(event.message);
    },
  });
}

async function countDirty(): Promise<number> {
  const rows = await test_engine.engine.query(
    "SELECT 1 FROM rollup_dirty_pairs WHERE dirty_15m OR dirty_day",
  );
  return rows.length;
}

async function countClaims(): Promise<number> {
  const rows = await test_engine.engine.query("SELECT 1 FROM recompute_lease");
  return rows.length;
}

test("what is dirty is computed by itself, without a lease on the embedded engine", async () => {
  const { engine } = test_engine;
  await insertSpans(engine, [makeSpan({})], 1);
  const recompute = start(engine, "alone");
  await expect.poll(countDirty, { timeout: 30_000 }).toBe(0);
  expect(recompute.isHolder()).toBe(true);
  await expect.poll(() => recompute.lag().dirty_buckets, { timeout: 30_000 }).toBe(0);
  await recompute.stop();
  expect(await countClaims()).toBe(0);
});

test("of two on one server one computes, and the other takes over when it stops", async () => {
  const { engine } = test_engine;
  // As a server would be: other processes can reach it.
  const server = replaceMethods(engine, { kind: "server" });
  await insertSpans(engine, [makeSpan({})], 1);
  const both = [start(server, "first"), start(server, "second")];
  const holders = () => both.filter((recompute) => recompute.isHolder());
  await expect.poll(countDirty, { timeout: 30_000 }).toBe(0);
  expect(holders()).toHaveLength(1);
  const [holder] = holders();
  await holder?.stop();
  const heir = both.find((recompute) => recompute !== holder);
  await insertSpans(engine, [makeSpan({ name: "again" })], 2);
  await expect.poll(countDirty, { timeout: 30_000 }).toBe(0);
  expect(heir?.isHolder()).toBe(true);
  await heir?.stop();
});
