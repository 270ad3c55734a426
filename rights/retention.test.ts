/** Retention on a real engine: what goes, and above all what stays: the rollups of days that have gone. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import type { Retention } from "../schemas/state.ts";
import { addProjects, makeProject } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertUnmarked, replaceMethods } from "../test/support/ledger.ts";
import {
  clearAll,
  deliver,
  makeCall,
  openWorkshop,
  recompute,
  sumUsage,
  type Workshop,
} from "./fixture.ts";
import { JobRunner } from "./jobs.ts";
import { cutoffsOf } from "./retention.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const DAY_S = 86_400;
const TODAY_S = Date.UTC(2026, 10, 21) / 1000;
const NONE: Retention = { raw_days: null, content_days: null, rollup_days: null };

let test_engine: TestEngine;
let engine: Engine;
let shop: Workshop;

beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
});
afterAll(() => test_engine.close());
beforeEach(async () => {
  await clearAll(engine);
  shop = await openWorkshop(engine, { now_ms: NOW_MS });
  await addProjects(shop.tools.state, ["alpha", "beta"]);
});
afterEach(() => shop.close());

async function keep(project_id: string, retention: Partial<Retention>): Promise<void> {
  const project = { ...makeProject(project_id, project_id), retention: { ...NONE, ...retention } };
  const scope = { organization_id: project_id, project_id };
  await shop.tools.state.put("project", project_id, scope, project);
}

async function listDays(project_id: string): Promise<string[]> {
  const rows = await engine.query<{ day: string }>(
    "SELECT DISTINCT toString(toDate(ts)) AS day FROM spans WHERE project_id = {project_id:String} ORDER BY day",
    { project_id },
  );
  return rows.map(({ day }) => day);
}

function call(project_id: string, days_ago: number, tokens: number, more: object = {}) {
  const at_s = TODAY_S - days_ago * DAY_S + 3_600;
  return makeCall({ project_id, user_id: "ben", at_s, tokens, ...more });
}

describe("cutoffs", () => {
  test("keep whole days, and rollups at least as long as the spans", () => {
    const cut = (retention: Partial<Retention>) => cutoffsOf({ ...NONE, ...retention }, NOW_MS);
    expect(cut({})).toEqual({ raw_s: 0, content_s: 0, rollup_s: 0 });
    expect(cut({ raw_days: 1 }).raw_s).toBe(TODAY_S - DAY_S);
    expect(cut({ raw_days: 30, rollup_days: 7 }).rollup_s).toBe(TODAY_S - 30 * DAY_S);
    expect(cut({ raw_days: 30, rollup_days: 90 }).rollup_s).toBe(TODAY_S - 90 * DAY_S);
    expect(cut({ rollup_days: 90 }).rollup_s).toBe(0);
  });
});

describe("a retention", () => {
  test("removes the days of the project alone and changes no sum", async () => {
    await keep("alpha", { raw_days: 30 });
    await deliver(engine, [
      call("alpha", 31, 100),
      call("alpha", 30, 20),
      call("alpha", 0, 3),
      call("beta", 31, 7),
      call("alpha", 40, 1_000),
    ]);
    await recompute(engine);
    const before = await sumUsage(engine, "alpha");
    await shop.finish();
    const [job] = shop.tools.state.list("job", { project_id: "alpha" });
    expect(job?.body).toMatchObject({ state: "done", work: { rows_removed: { spans: 2 } } });
    expect(await listDays("alpha")).toEqual(["2026-10-22", "2026-11-21"]);
    expect(await listDays("beta")).toEqual(["2026-10-21"]);
    const after = await sumUsage(engine, "alpha");
    expect(after).toEqual({ ...before, calls: { calls: "2", tokens: "23", cost: "0.000000023" } });
    expect(await sumUsage(engine, "beta")).toMatchObject({
      calls: { calls: "1" },
      by_day: { calls: "1" },
    });
  });

  test("keeps what rollups know when a late span of a day that has gone arrives", async () => {
    await keep("alpha", { raw_days: 30 });
    await deliver(engine, [call("alpha", 35, 100), call("alpha", 35, 200)]);
    await recompute(engine);
    const before = await sumUsage(engine, "alpha");
    await shop.finish();
    await deliver(engine, [call("alpha", 35, 7)]);
    // Before and after the recompute: readers take dirty buckets live.
    for (const look of ["before", "after"]) {
      const { by_15m, by_day, by_user } = (await sumUsage(engine, "alpha")) as Record<
        string,
        object
      >;
      const { calls: _live, ...sums } = before as { calls: object };
      expect({ look, by_15m, by_day, by_user }).toEqual({ look, ...sums });
      await recompute(engine);
    }
    // It goes with the next day's retention.
    shop.clock.ms += DAY_S * 1000;
    await shop.finish();
    expect(await listDays("alpha")).toEqual([]);
    const { calls: _calls, ...sums } = before as { calls: object };
    expect(await sumUsage(engine, "alpha")).toMatchObject(sums);
  });

  test("keeps them even when a mark slips in that was on its way when the floor was written", async () => {
    await keep("alpha", { raw_days: 30 });
    await deliver(engine, [call("alpha", 35, 100)]);
    await recompute(engine);
    const { calls: _calls, ...before } = (await sumUsage(engine, "alpha")) as { calls: object };
    await shop.finish();
    await engine.command(
      `INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day)
       VALUES ('alpha', toDateTime(${TODAY_S - 35 * DAY_S + 3_600}, 'UTC'), 'slow', 5, 0, 0)`,
    );
    await recompute(engine);
    expect(await sumUsage(engine, "alpha")).toMatchObject(before);
  });

  test("waits for rollups that are behind before the first span goes", async () => {
    await keep("alpha", { raw_days: 30 });
    await deliver(engine, [call("alpha", 35, 100)]);
    for (let round = 0; round < 6; round += 1) {
      await shop.runner.round();
      shop.clock.ms += 60_000;
    }
    const [job] = shop.tools.state.list("job");
    expect(job?.body).toMatchObject({
      state: "waiting",
      problem: "waits for 1 buckets of the rollups",
    });
    expect(await listDays("alpha")).toHaveLength(1);
    await shop.finish();
    expect(await listDays("alpha")).toEqual([]);
    expect(await sumUsage(engine, "alpha")).toMatchObject({
      by_15m: { calls: "1" },
      by_day: { calls: "1" },
    });
  });

  test("spares another project's late span that comes between looking and removing", async () => {
    await keep("alpha", { raw_days: 30 });
    await deliver(engine, [call("alpha", 35, 100)]);
    await recompute(engine);
    let is_done = false;
    const racing = replaceMethods(engine, {
      query: async (sql, params) => {
        const rows = await engine.query(sql, params);
        if (sql === loadQuery("select_own_parts") && !is_done) {
          is_done = true;
          await insertUnmarked(engine, [call("beta", 35, 7)], 5_000);
        }
        return rows as never;
      },
    });
    const tools = { ...shop.tools, engine: racing };
    const runner = new JobRunner({ tools, lease: null, max_jobs: 2 });
    for (let round = 0; round < 10; round += 1) await runner.round();
    expect(is_done).toBe(true);
    expect(await listDays("alpha")).toEqual([]);
    expect(await listDays("beta")).toHaveLength(1);
  });

  test("that is killed at any statement comes to the same end", async () => {
    await keep("alpha", { raw_days: 30 });
    for (const fatal of [2, 4, 6, 8]) {
      await clearAll(engine);
      await shop.close();
      shop = await openWorkshop(engine, { now_ms: NOW_MS });
      await addProjects(shop.tools.state, ["alpha", "beta"]);
      await keep("alpha", { raw_days: 30 });
      await deliver(engine, [call("alpha", 35, 100), call("beta", 35, 7), call("alpha", 1, 9)]);
      await recompute(engine);
      const before = await sumUsage(engine, "alpha");
      let statements = 0;
      const breaking = replaceMethods(engine, {
        command: async (sql, params, lane) => {
          statements += 1;
          if (statements > fatal) throw new Error("killed");
          await engine.command(sql, params, lane);
          if (statements === fatal) throw new Error("killed after");
        },
      });
      const tools = { ...shop.tools, engine: breaking };
      const dying = new JobRunner({ tools, lease: null, max_jobs: 4 });
      for (let round = 0; round < 6; round += 1) await dying.round().catch(() => {});
      await shop.close();
      shop = await openWorkshop(engine, { now_ms: NOW_MS + 600_000 });
      await shop.finish();
      expect(await listDays("alpha")).toEqual(["2026-11-20"]);
      expect(await listDays("beta")).toHaveLength(1);
      const { calls: _calls, ...sums } = before as { calls: object };
      expect(await sumUsage(engine, "alpha")).toMatchObject(sums);
    }
  });

  test("takes content out of days that are still kept, and nothing else", async () => {
    await keep("alpha", { raw_days: 90, content_days: 7 });
    const attributes = [
      ["gen_ai.input.messages", "what a secret"],
      ["gen_ai.usage.input_tokens", "12"],
      ["gen_ai.request.model", "gpt-4o"],
    ] as const;
    const changes = { status_message: "it said: a secret" };
    await deliver(engine, [
      call("alpha", 10, 5, { attributes, changes }),
      call("alpha", 3, 6, { attributes, changes }),
      call("beta", 10, 7, { attributes, changes }),
    ]);
    await recompute(engine);
    const before = await sumUsage(engine, "alpha");
    await shop.finish();
    const rows = await engine.query(
      `SELECT project_id, toString(tokens_input_uncached) AS tokens, status_message != '' AS has_message,
       mapKeys(attributes) AS names FROM spans FINAL ORDER BY tokens`,
    );
    const all = attributes.map(([name]) => name);
    expect(rows).toEqual([
      { project_id: "alpha", tokens: "5", has_message: 0, names: all.slice(1) },
      { project_id: "alpha", tokens: "6", has_message: 1, names: all },
      { project_id: "beta", tokens: "7", has_message: 1, names: all },
    ]);
    expect(await sumUsage(engine, "alpha")).toEqual(before);
  });

  test("removes rollups that are older than theirs, and begins once a day", async () => {
    await keep("alpha", { raw_days: 10, rollup_days: 60 });
    await deliver(engine, [call("alpha", 70, 5), call("alpha", 50, 6), call("beta", 70, 7)]);
    await recompute(engine);
    await shop.finish();
    const sum = { calls: "1", tokens: "6" };
    expect(await sumUsage(engine, "alpha")).toMatchObject({
      by_15m: sum,
      by_day: sum,
      by_user: sum,
    });
    expect(await sumUsage(engine, "beta")).toMatchObject({ by_day: { tokens: "7" } });
    shop.clock.ms = NOW_MS + 3_600_000;
    await shop.runner.round();
    expect(shop.tools.state.list("job")).toHaveLength(1);
    shop.clock.ms = NOW_MS + DAY_S * 1000;
    await shop.finish();
    expect(shop.tools.state.list("job")).toHaveLength(2);
  });
});
