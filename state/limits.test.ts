/** What projects may send: rates, quotas counted in a real ledger, and that one project harms no other. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { addProject, type Laboratory, makeLaboratory, NO_LOG, NOW_MS } from "./fixture.ts";
import { Limiter } from "./limits.ts";
import type { StateStore } from "./store.ts";

let ledger: TestEngine;
let laboratory: Laboratory;
let state: StateStore;

beforeAll(async () => {
  ledger = await openTestEngine();
});
afterAll(() => ledger.close());
beforeEach(async () => {
  laboratory = makeLaboratory();
  state = laboratory.openStore();
});

function open(): Limiter {
  const { engine } = ledger;
  return new Limiter({ engine, state, log: NO_LOG, now_ms: () => laboratory.now_ms });
}

/** What a request of the project gets. */
function answerOf(limiter: Limiter, project_id: string): string {
  try {
    limiter.check(project_id);
    return "taken";
  } catch (error) {
    if (error instanceof RetryableError) return `retry: ${error.code}`;
    if (error instanceof PermanentError) return `final: ${error.code}`;
    throw error;
  }
}

/** Spans received at a time, in the ledger. */
async function receive(project: string, count: number, ingested_at: string): Promise<void> {
  await ledger.engine.command(
    `INSERT INTO spans (project_id, ts, trace_id, span_id, ingested_at)
     SELECT {project:String}, now64(9) - number, toFixedString(leftPad(toString(number), 16, '0'), 16),
       toFixedString(leftPad(toString(number), 8, '0'), 8), {at:String}
     FROM numbers({count:UInt32})`,
    { project, count, at: ingested_at },
  );
}

describe("rates", () => {
  test("A29 N12 above its rate a project is asked back, until time has passed, and others are not", async () => {
    await addProject(state, "loud", "acme", { spans_per_second: 100 });
    await addProject(state, "calm", "acme", { spans_per_second: 100 });
    const limiter = open();
    limiter.takeItems("loud", 1_100, 1_100); // ten seconds' worth, and one second of debt
    expect(answerOf(limiter, "loud")).toBe("retry: rate_limited");
    expect(answerOf(limiter, "calm")).toBe("taken");
    expect(answerOf(limiter, "default")).toBe("taken");
    laboratory.now_ms += 1_002;
    expect(answerOf(limiter, "loud")).toBe("taken");
  });

  test("bytes are limited in front of decoding, as they are when inflated", async () => {
    await addProject(state, "loud", "acme", { bytes_per_second: 1_000 });
    const limiter = open();
    limiter.takeBytes("loud", 60_000);
    expect(() => limiter.takeBytes("loud", 1)).toThrow(RetryableError);
    laboratory.now_ms += 49_000;
    expect(answerOf(limiter, "loud")).toBe("retry: rate_limited");
    laboratory.now_ms += 1_002;
    expect(answerOf(limiter, "loud")).toBe("taken");
  });

  test("A28 requests at once get nothing for free: all that is accepted is counted", async () => {
    await addProject(state, "loud", "acme", { spans_per_second: 10 });
    const limiter = open();
    for (let request = 0; request < 20; request += 1) limiter.takeItems("loud", 100, 100);
    laboratory.now_ms += 189_000;
    expect(answerOf(limiter, "loud")).toBe("retry: rate_limited");
    laboratory.now_ms += 1_100;
    expect(answerOf(limiter, "loud")).toBe("taken");
  });

  test("a changed limit holds at once, and one that is taken away is none", async () => {
    await addProject(state, "loud", "acme", { spans_per_second: 1 });
    const limiter = open();
    limiter.takeItems("loud", 1_000, 1_000);
    expect(answerOf(limiter, "loud")).toBe("retry: rate_limited");
    await addProject(state, "loud", "acme", { spans_per_second: 1_000 });
    expect(answerOf(limiter, "loud")).toBe("taken");
    await addProject(state, "loud", "acme");
    limiter.takeItems("loud", 1e9, 1e9);
    expect(answerOf(limiter, "loud")).toBe("taken");
  });
});

describe("quotas of a month", () => {
  test("count what the ledger has of this month and what came since, and the answer says when they begin anew", async () => {
    await receive("metered", 60, "2026-11-05 00:00:00.000");
    await receive("metered", 500, "2026-10-31 23:59:59.999");
    await addProject(state, "metered", "acme", { monthly_spans: 100 });
    const limiter = open();
    await limiter.count();
    limiter.takeItems("metered", 39, 39);
    expect(answerOf(limiter, "metered")).toBe("taken");
    limiter.takeItems("metered", 1, 1);
    expect(answerOf(limiter, "metered")).toBe("final: quota_exceeded");
    expect(() => limiter.check("metered")).toThrow(/100 spans of 2026-11.*2026-12-01T00:00:00Z/);
    // It does not go back when the ledger has fewer than were accepted.
    await limiter.count();
    expect(answerOf(limiter, "metered")).toBe("final: quota_exceeded");
    laboratory.now_ms = Date.UTC(2026, 11, 1);
    expect(answerOf(limiter, "metered")).toBe("taken");
    expect(answerOf(limiter, "default")).toBe("taken");
  });

  test("after a restart the ledger tells what was sent, by whichever collector", async () => {
    await receive("elsewhere", 25, "2026-11-20 10:00:00.000");
    await addProject(state, "elsewhere", "acme", { monthly_spans: 25 });
    const limiter = open();
    await limiter.count();
    expect(answerOf(limiter, "elsewhere")).toBe("final: quota_exceeded");
  });

  test("items that are no units, and metrics, cost nothing of them", async () => {
    await addProject(state, "metrics", "acme", { monthly_spans: 10 });
    const limiter = open();
    limiter.takeItems("metrics", 1_000, 0);
    expect(answerOf(limiter, "metrics")).toBe("taken");
  });

  test("the notice for the owner is stored once a month and project, also by two collectors", async () => {
    await addProject(state, "full", "acme", { monthly_spans: 10 });
    const second = laboratory.openStore();
    await second.start();
    const limiters = [
      open(),
      new Limiter({
        engine: ledger.engine,
        state: second,
        log: NO_LOG,
        now_ms: () => laboratory.now_ms,
      }),
    ];
    for (const limiter of limiters) {
      limiter.takeItems("full", 10, 10);
      limiter.takeItems("full", 10, 10);
      await state.refresh();
      await second.refresh();
    }
    const notices = state.list("quota_notice");
    expect(notices.map(({ object_id, body }) => [object_id, body])).toEqual([
      [
        "full:2026-11",
        {
          project_id: "full",
          month: "2026-11",
          reached_at: new Date(NOW_MS).toISOString(),
          monthly_spans: 10,
        },
      ],
    ]);
    expect(notices[0]).toMatchObject({ organization_id: "acme", project_id: "full" });
    laboratory.now_ms = Date.UTC(2026, 11, 2);
    limiters[0]?.takeItems("full", 10, 10);
    await state.refresh();
    expect(state.list("quota_notice")).toHaveLength(2);
  });

  test("a notice that could not be stored is stored when ClickHouse is back", async () => {
    await addProject(state, "late", "acme", { monthly_spans: 10 });
    const limiter = open();
    laboratory.is_away = true;
    limiter.takeItems("late", 10, 10);
    await expect(state.refresh()).rejects.toThrow("does not answer");
    laboratory.is_away = false;
    await limiter.count();
    await state.refresh();
    expect(state.list("quota_notice")).toHaveLength(1);
  });

  test("with the ledger away the last count and what came since still hold", async () => {
    await addProject(state, "away", "acme", { monthly_spans: 10 });
    const limiter = new Limiter({
      engine: laboratory.engine,
      state,
      log: NO_LOG,
      now_ms: () => laboratory.now_ms,
    });
    laboratory.is_away = true;
    limiter.start();
    limiter.takeItems("away", 10, 10);
    expect(answerOf(limiter, "away")).toBe("final: quota_exceeded");
    await limiter.stop();
  });
});
