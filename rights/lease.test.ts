/** Who runs the jobs when several processes could. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { openWorkshop, clearAll } from "./fixture.ts";
import { requestExport } from "./export.ts";
import { JobRunner } from "./jobs.ts";
import { JOB_LEASE_MS, JobLease } from "./lease.ts";

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());

test("one of two processes holds the lease, and the other has it when it is given back", async () => {
  const { engine } = test_engine;
  const first = new JobLease(engine, "first", () => 0);
  const second = new JobLease(engine, "second", () => 0);
  expect([await first.hold(), await second.hold(), await first.hold()]).toEqual([
    true,
    false,
    true,
  ]);
  await first.release();
  expect([await second.hold(), await first.hold()]).toEqual([true, false]);
  await second.release();
});

test("a lease that runs out is renewed in time by its holder", async () => {
  const { engine } = test_engine;
  let now_ms = 0;
  const lease = new JobLease(engine, "renewing", () => now_ms);
  expect(await lease.hold()).toBe(true);
  now_ms = JOB_LEASE_MS * 0.75;
  expect(await lease.hold()).toBe(true);
  now_ms = JOB_LEASE_MS * 1.5;
  expect(await lease.hold()).toBe(true);
  await lease.release();
});

test("a process without the lease does no step", async () => {
  const { engine } = test_engine;
  await clearAll(engine);
  const shop = await openWorkshop(engine, { now_ms: Date.UTC(2026, 10, 21, 12) });
  const other = new JobLease(engine, "other", () => 0);
  expect(await other.hold()).toBe(true);
  const scope = { project_id: "alpha", organization_id: "alpha" };
  const job = await requestExport(shop.tools, scope, "editor");
  const lease = new JobLease(engine, "own", () => 0);
  const runner = new JobRunner({ tools: shop.tools, lease, max_jobs: 2 });
  expect(await runner.round()).toBe(0);
  expect(shop.findJob(job.job_id).state).toBe("queued");
  await other.release();
  expect(await runner.round()).toBe(1);
  await runner.stop();
  await shop.close();
});
