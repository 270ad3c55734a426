/** Erasures on a real engine: what goes, what stays, to the digit; kills between steps; what comes late. */
import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import type { Receipt } from "../schemas/jobs.ts";
import { replaceMethods } from "../test/support/ledger.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { requestErasure } from "./erase.ts";
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

const NOON_S = Date.UTC(2026, 10, 20, 12) / 1000;
const DAY_S = 86_400;
const NOW_MS = Date.UTC(2026, 10, 21, 12);
const USER = "canary-7f3a9c51@example.com";

let test_engine: TestEngine;
let engine: Engine;
let shop: Workshop;

beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
  // Old parts would be kept for eight minutes.
  for (const table of ["spans", "call_decisions", "usage_user_day_rollup", "usage_metric_points"]) {
    await engine.command(
      `ALTER TABLE ${table} MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1,
       max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0`,
    );
    // The next look for old parts may be half a minute away; a table that is attached looks anew.
    await engine.command(`DETACH TABLE ${table}`);
    await engine.command(`ATTACH TABLE ${table}`);
  }
});
afterAll(() => test_engine.close());
beforeEach(async () => {
  await clearAll(engine);
  shop = await openWorkshop(engine, { now_ms: NOW_MS });
});
afterEach(() => shop.close());

const scope = { project_id: "alpha", organization_id: "alpha", requested_by: "owner" };

function erase(user_id: string, more: object = {}) {
  return requestErasure(shop.tools, scope, { user_id, ...more });
}

function receiptOf(job_id: string): Receipt {
  const { work, state, problem } = shop.findJob(job_id);
  if (work.kind !== "erasure" || work.receipt === null) throw new Error(`${state}: ${problem}`);
  return work.receipt;
}

async function countCalls(project_id: string, user_id: string): Promise<number> {
  const [row] = await engine.query<{ n: string }>(
    "SELECT count() AS n FROM calls WHERE project_id = {project_id:String} AND user_id = {user_id:String}",
    { project_id, user_id },
  );
  return Number(row?.n);
}

const sums = (calls: number, tokens: number) => {
  const cost = (tokens * 1_000) / 1e12;
  const sum = {
    calls: String(calls),
    tokens: String(tokens),
    cost: cost.toFixed(12).replace(/0+$/, "").replace(/\.$/, ""),
  };
  return { calls: sum, by_15m: sum, by_day: sum, by_user: sum };
};

describe("an erasure", () => {
  test("removes all of the user and leaves the sums of everyone else to the digit", async () => {
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 100 }),
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S - 3 * DAY_S, tokens: 10_000 }),
      makeCall({ project_id: "alpha", user_id: "ben", at_s: NOON_S, tokens: 3 }),
      makeCall({ project_id: "alpha", user_id: "ben", at_s: NOON_S - 3 * DAY_S, tokens: 50 }),
      makeCall({ project_id: "beta", user_id: USER, at_s: NOON_S, tokens: 777 }),
    ]);
    await recompute(engine);
    expect(await sumUsage(engine, "alpha")).toEqual(sums(4, 10_153));
    const job = await erase(USER);
    await shop.finish();
    expect(shop.findJob(job.job_id)).toMatchObject({ state: "done", share: 1, problem: null });
    expect(await sumUsage(engine, "alpha")).toEqual(sums(2, 53));
    expect(await sumUsage(engine, "beta")).toEqual(sums(1, 777));
    expect(await countCalls("beta", USER)).toBe(1);
    const receipt = receiptOf(job.job_id);
    expect(receipt.rows_before).toEqual({
      spans: 2,
      call_decisions: 0,
      usage_user_day_rollup: 2,
      usage_metric_points: 0,
      set_aside_items: 0,
    });
    expect(new Set(Object.values(receipt.rows_after))).toEqual(new Set([0]));
    expect(receipt).toMatchObject({ rollups_recomputed: true, exports_removed: 0 });
    expect(receipt.passes).toBeGreaterThan(1);
    expect(receipt.files_removed_at).not.toBeNull();
  });

  test("leaves the id in no table, no state and no file of the engine", async () => {
    await shop.close();
    shop = await openWorkshop(engine, { now_ms: NOW_MS, waits_for_files: true });
    await deliver(engine, [
      makeCall({
        project_id: "gamma",
        user_id: USER,
        at_s: NOON_S,
        tokens: 1,
        attributes: [["enduser.id", USER]],
      }),
      makeCall({ project_id: "gamma", user_id: "ben", at_s: NOON_S, tokens: 1 }),
    ]);
    await recompute(engine);
    const ids = { project_id: "gamma", organization_id: "gamma", requested_by: "owner" };
    const job = await requestErasure(shop.tools, ids, { user_id: USER });
    await shop.finish(600);
    expect(shop.findJob(job.job_id).state).toBe("done");
    const [part] = await engine.query<{ n: string }>(
      "SELECT count() AS n FROM system.parts WHERE database = currentDatabase() AND active = 0 AND table = 'spans'",
    );
    expect(part?.n).toBe("0");
    const found = grepFiles(USER.slice(0, 15), test_engine.directory);
    expect(found).toBe("");
    const rows = await engine.query(
      "SELECT body FROM state_objects WHERE position(body, 'canary') > 0",
    );
    expect(rows).toEqual([]);
  });

  test("finds the user in attributes, tags, events, metrics, what was set aside, and decisions", async () => {
    const other = makeCall({ project_id: "alpha", user_id: "ben", at_s: NOON_S, tokens: 5 });
    const decided = makeCall({ project_id: "alpha", user_id: "", at_s: NOON_S, tokens: 7 });
    await deliver(engine, [
      other,
      decided,
      makeCall({
        project_id: "alpha",
        user_id: "",
        at_s: NOON_S,
        tokens: 11,
        attributes: [["whatever", USER]],
      }),
    ]);
    const ids = [decided.trace_id, decided.span_id].map((id) => Buffer.from(id).toString("hex"));
    await engine.command(
      `INSERT INTO call_decisions (project_id, ts, trace_id, span_id, user_id, ver)
       VALUES ('alpha', fromUnixTimestamp64Nano(toInt64(${decided.start_ns}), 'UTC'), unhex('${ids[0]}'), unhex('${ids[1]}'), '${USER}', 1)`,
    );
    await engine.command(
      `INSERT INTO usage_metric_points (project_id, metric, ts, user_id) VALUES
       ('alpha', 'm', now(), '${USER}'), ('alpha', 'm', now(), 'ben'), ('beta', 'm', now(), '${USER}')`,
    );
    await engine.command(
      `INSERT INTO set_aside_items (project_id, received_at, name, attributes) VALUES
       ('alpha', now(), 'a', map('user.id', '${USER}')), ('alpha', now(), 'b', map('user.id', 'ben'))`,
    );
    await recompute(engine);
    const job = await erase(USER);
    await shop.finish();
    expect(await sumUsage(engine, "alpha")).toEqual(sums(1, 5));
    expect(receiptOf(job.job_id).rows_before).toMatchObject({
      spans: 2,
      call_decisions: 1,
      usage_metric_points: 1,
      set_aside_items: 1,
    });
    const points = await engine.query(
      "SELECT project_id, user_id FROM usage_metric_points ORDER BY 1",
    );
    expect(points).toEqual([
      { project_id: "alpha", user_id: "ben" },
      { project_id: "beta", user_id: USER },
    ]);
  });

  test("takes a short id for that of a user only where a user is named", async () => {
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: "1", at_s: NOON_S, tokens: 5 }),
      makeCall({
        project_id: "alpha",
        user_id: "",
        at_s: NOON_S,
        tokens: 6,
        attributes: [["langfuse.user.id", "1"]],
      }),
      makeCall({
        project_id: "alpha",
        user_id: "ben",
        at_s: NOON_S,
        tokens: 7,
        attributes: [["gen_ai.request.temperature", "1"]],
      }),
    ]);
    await erase("1");
    await shop.finish();
    expect(await sumUsage(engine, "alpha")).toEqual(sums(1, 7));
  });

  test("takes the other reports of the user's calls along, and leaves the rest of the trace", async () => {
    const trace = "ab".repeat(16);
    const counted = makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 5 });
    const twin = makeCall({ project_id: "alpha", user_id: "", at_s: NOON_S, tokens: 5 });
    const mate = makeCall({ project_id: "alpha", user_id: "", at_s: NOON_S, tokens: 9, trace });
    const own = makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 1, trace });
    await deliver(engine, [counted, twin, mate, own]);
    const hex = (id: Uint8Array) => Buffer.from(id).toString("hex");
    await engine.command(
      `INSERT INTO call_decisions (project_id, ts, trace_id, span_id, counted, counted_by, ver)
       VALUES ('alpha', fromUnixTimestamp64Nano(toInt64(${twin.start_ns}), 'UTC'), unhex('${hex(twin.trace_id)}'),
       unhex('${hex(twin.span_id)}'), 'no', '${hex(counted.trace_id)}-${hex(counted.span_id)}', 1)`,
    );
    await erase(USER);
    await shop.finish();
    const left = await engine.query("SELECT lower(hex(trace_id)) AS trace FROM spans FINAL");
    expect(left).toEqual([{ trace }]);
  });

  test("takes whole traces when asked, also beyond midnight", async () => {
    const trace = "ab".repeat(16);
    const midnight_s = NOON_S + DAY_S / 2;
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s: midnight_s - 1, tokens: 1, trace }),
      makeCall({ project_id: "alpha", user_id: "", at_s: midnight_s + 1, tokens: 2, trace }),
      makeCall({ project_id: "alpha", user_id: "", at_s: midnight_s + 1, tokens: 4 }),
      makeCall({ project_id: "beta", user_id: "", at_s: midnight_s + 1, tokens: 8, trace }),
    ]);
    await erase(USER, { traces: true });
    await shop.finish();
    expect(await sumUsage(engine, "alpha")).toEqual(sums(1, 4));
    expect(await sumUsage(engine, "beta")).toEqual(sums(1, 8));
  });

  test("where only sums are left takes the user's own and keeps those of the project", async () => {
    const at_s = NOON_S - 100 * DAY_S;
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s, tokens: 5 }),
      makeCall({ project_id: "alpha", user_id: "ben", at_s, tokens: 6 }),
    ]);
    await recompute(engine);
    await engine.command(
      "INSERT INTO raw_floors VALUES ('alpha', toDate('2026-10-01'), toDate('2026-10-01'))",
    );
    await engine.command("TRUNCATE TABLE spans");
    await erase(USER);
    await shop.finish();
    const sum = await sumUsage(engine, "alpha");
    expect(sum).toMatchObject({
      by_day: { calls: "2" },
      by_15m: { calls: "2" },
      by_user: { calls: "1" },
    });
  });
});

function grepFiles(text: string, directory: string): string {
  try {
    return execFileSync("grep", ["-rl", text, directory], { encoding: "utf8" });
  } catch (error) {
    if ((error as { status?: number }).status === 1) return "";
    throw error;
  }
}

describe("an erasure that is killed", () => {
  const METHODS = ["query", "command"] as const;
  const fill = async () => {
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 100 }),
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S - DAY_S, tokens: 200 }),
      makeCall({ project_id: "alpha", user_id: "ben", at_s: NOON_S, tokens: 3 }),
    ]);
    await recompute(engine);
  };

  test("at any statement goes on in the next process and comes to the same end", async () => {
    for (const fatal of [6, 13, 19]) {
      for (const does_run of [fatal % 2 === 0]) {
        await clearAll(engine);
        await shop.close();
        shop = await openWorkshop(engine, { now_ms: NOW_MS });
        await fill();
        const job = await erase(USER);
        let statements = 0;
        const breaking = replaceMethods(
          engine,
          Object.fromEntries(
            METHODS.map((name) => [
              name,
              async (...args: Parameters<Engine["command"]>) => {
                statements += 1;
                const is_fatal = statements >= fatal;
                if (is_fatal && !does_run) throw new Error("killed before");
                const result = await engine[name](...args);
                if (is_fatal) throw new Error("killed after");
                return result;
              },
            ]),
          ),
        );
        const tools = { ...shop.tools, engine: breaking };
        const dying = new JobRunner({ tools, lease: null, max_jobs: 4 });
        const isDead = () => statements >= fatal;
        for (let round = 0; round < 12 && !isDead(); round += 1) await dying.round();
        // A process that dies stores nothing of the step that it was in; this one stored a failure at most.
        await shop.close();
        shop = await openWorkshop(engine, { now_ms: NOW_MS + 600_000 });
        await shop.finish();
        expect(shop.findJob(job.job_id).state).toBe("done");
        expect(await sumUsage(engine, "alpha")).toEqual(sums(1, 3));
        expect(receiptOf(job.job_id).rows_before).toMatchObject({ spans: 2 });
      }
    }
  }, 120_000);
});

describe("many erasures", () => {
  const of = (organization_id: string) => ({
    ...scope,
    organization_id,
    project_id: organization_id,
  });

  test("of one project are refused beyond a limit, and hold up no other organization", async () => {
    const mine: string[] = [];
    for (let number = 0; number < 20; number += 1) {
      mine.push(
        (await requestErasure(shop.tools, of("alpha"), { user_id: `user-${number}` })).job_id,
      );
    }
    await expect(
      requestErasure(shop.tools, of("alpha"), { user_id: "one-more" }),
    ).rejects.toMatchObject({ code: "too_many_erasures" });
    const other = await requestErasure(shop.tools, of("beta"), { user_id: "ben" });
    for (let round = 0; round < 40; round += 1) {
      if (shop.findJob(other.job_id).state === "done") break;
      await shop.runner.round();
      shop.clock.ms += 120_000;
    }
    expect(shop.findJob(other.job_id).state).toBe("done");
    const done = mine.filter((job_id) => shop.findJob(job_id).state === "done").length;
    expect(done).toBeLessThan(5);
  }, 60_000);
});

describe("what was on its way", () => {
  test("is waited for: no receipt while a file of a log from before the request is there", async () => {
    shop.segments.push("wal/segment-1");
    const job = await erase(USER);
    for (let round = 0; round < 12; round += 1) {
      await shop.runner.round();
      shop.clock.ms += 5_000;
    }
    expect(shop.findJob(job.job_id)).toMatchObject({
      state: "waiting",
      problem: "waits for 1 files of logs that were there at the request",
    });
    // The log inserts what it holds, and goes on in another file.
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 8 }),
    ]);
    shop.segments.splice(0, 1, "wal/segment-2");
    await shop.finish();
    expect(await sumUsage(engine, "alpha")).toMatchObject({ calls: { calls: "0" } });
    expect(receiptOf(job.job_id)).toMatchObject({
      rows_before: { spans: 1 },
      log: { is_local: true, segments_at_request: 1, segments_left: 0 },
    });
  });

  test("and comes between the last look and the receipt is looked for again: a receipt says 0", async () => {
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 7 }),
      makeCall({ project_id: "alpha", user_id: "ben", at_s: NOON_S, tokens: 3 }),
    ]);
    await recompute(engine);
    const job = await erase(USER);
    const came: string[] = [];
    const late = replaceMethods(shop.tools.engine, {
      query: async (sql, params) => {
        if (sql === loadQuery("count_outdated_parts") && came.length === 0) {
          came.push(sql);
          const again = { project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 9 };
          await deliver(engine, [makeCall(again)]);
          await recompute(engine);
        }
        return shop.tools.engine.query(sql, params);
      },
    });
    const tools = { ...shop.tools, engine: late };
    const runner = new JobRunner({ tools, lease: null, max_jobs: 4 });
    for (let round = 0; round < 60 && came.length === 0; round += 1) {
      await runner.round();
      await recompute(engine);
      shop.clock.ms += 120_000;
    }
    expect(came).toHaveLength(1);
    await shop.finish();
    expect(new Set(Object.values(receiptOf(job.job_id).rows_after))).toEqual(new Set([0]));
    expect(await sumUsage(engine, "alpha")).toEqual(sums(1, 3));
  });

  test("on other machines is given ten minutes, and the receipt tells what their logs said", async () => {
    await shop.close();
    shop = await openWorkshop(engine, { now_ms: NOW_MS, has_logs: false });
    await deliver(engine, [
      makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 8 }),
    ]);
    const job = await erase(USER);
    await shop.finish();
    const receipt = receiptOf(job.job_id);
    const taken_ms = Date.parse(receipt.completed_at) - Date.parse(receipt.requested_at);
    expect(taken_ms).toBeGreaterThanOrEqual(600_000);
    expect(receipt.log).toMatchObject({ is_local: false, segments_at_request: 0 });
    expect(receipt.log.writers_at_request.map(({ writer_id }) => writer_id)).toEqual(["test-wal"]);
  });

  test("and comes after the receipt is removed until the erasure ends, and then is a new user's", async () => {
    const late = makeCall({ project_id: "alpha", user_id: USER, at_s: NOON_S, tokens: 8 });
    const bens = makeCall({ project_id: "alpha", user_id: "ben", at_s: NOON_S, tokens: 2 });
    const job = await erase(USER, { late_days: 2 });
    await shop.finish();
    await deliver(engine, [late, bens]);
    expect(await countCalls("alpha", USER)).toBe(1);
    shop.clock.ms += 61_000;
    await shop.runner.round();
    await recompute(engine);
    expect(await sumUsage(engine, "alpha")).toEqual(sums(1, 2));
    expect(shop.tools.state.find("erasure", job.job_id)?.body.late_rows).toBe(1);
    // The last sweep takes what came at the end, and forgets the key.
    await deliver(engine, [late]);
    shop.clock.ms += 3 * DAY_S * 1000;
    await shop.runner.round();
    expect(await countCalls("alpha", USER)).toBe(0);
    expect(shop.tools.state.find("erasure", job.job_id)).toBeUndefined();
    await deliver(engine, [late]);
    shop.clock.ms += 61_000;
    await shop.runner.round();
    expect(await countCalls("alpha", USER)).toBe(1);
  });
});
