/**
 * Notices on the real engine and a real receiver: when they are sent again, when they are given up, and what a
 * restart at the worst moment does. And the loop that does all of it by itself.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { answerDeliveries } from "../query-api/routes/deliveries.ts";
import type { Delivery } from "../schemas/notices.ts";
import {
  AlertWorld,
  makeCall,
  type Receiver,
  startReceiver,
  storeCalls,
} from "../test/support/alerting.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { replaceMethods } from "../test/support/ledger.ts";
import { FIRST_PAUSE_MS, MAX_PAUSE_MS, pauseAfter } from "./deliver.ts";
import { makeLease } from "./lease.ts";
import { startAlerting } from "./loop.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const NOON = Date.UTC(new Date().getUTCFullYear(), 5, 11, 12);
/** With these in a day any budget of 10 reaches 50 %. */
const HALF = { thresholds: [{ kind: "actual" as const, percent: 50 }], period: "day" as const };

let test_engine: TestEngine;
let receiver: Receiver;
let world: AlertWorld;

beforeAll(async () => {
  test_engine = await openTestEngine();
});
beforeEach(async () => {
  receiver = await startReceiver();
  world = new AlertWorld(test_engine.engine, NOON);
});
afterEach(async () => {
  await world.clear();
  await receiver.close();
});
afterAll(() => test_engine.close());

/** The attempts of a project, the oldest first. */
async function attemptsOf(project_id: string): Promise<Delivery[]> {
  const { deliveries } = await answerDeliveries(test_engine.engine, project_id, {});
  return deliveries.toReversed();
}

/** A project whose budget is half spent, looked at. */
async function reachHalf(project_id: string): Promise<void> {
  await world.addBudget(project_id, HALF);
  await storeCalls(test_engine.engine, [makeCall(project_id, NOON, 6)]);
  await world.look();
}

test("pauses double from seconds to an hour, and half of each is chance", () => {
  const pauses = [1, 2, 3, 10, 11, 30].map((attempt) => pauseAfter(attempt, 1) / 1000);
  expect(pauses).toEqual([5, 10, 20, 2560, 3600, 3600]);
  expect(pauseAfter(1, 0)).toBe(FIRST_PAUSE_MS / 2);
  expect(pauseAfter(99, 0)).toBe(MAX_PAUSE_MS / 2);
});

test("a receiver that fails is tried again after a pause, with the same id, until it has it", async () => {
  await world.addChannel("again", { url: receiver.url, secret: "0123456789abcdef" });
  await reachHalf("again");
  receiver.status = 503;
  const next_ms = await world.deliver();
  expect(next_ms).toBe(NOON + 3_750);
  expect(await world.deliver()).toBe(next_ms); // not due
  receiver.status = 200;
  world.now_ms = next_ms ?? 0;
  expect(await world.deliver()).toBeNull();
  expect(await world.deliver()).toBeNull();
  expect(receiver.received).toHaveLength(2);
  expect(new Set(receiver.received.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
  const attempts = await attemptsOf("again");
  expect(
    attempts.map(({ attempt, outcome, status_code }) => [attempt, outcome, status_code]),
  ).toEqual([
    [1, "retrying", 503],
    [2, "delivered", 200],
  ]);
  expect(attempts[0]).toMatchObject({
    error: "http_503",
    next_attempt_at: new Date(NOON + 3_750).toISOString(),
  });
});

test("after the last attempt it is given up, and the log says so without the URL", async () => {
  await world.addChannel("up", { url: `${receiver.url}?token=hidden` });
  await reachHalf("up");
  receiver.status = 500;
  for (let round = 0; round < 5; round += 1) {
    await world.deliver();
    world.now_ms += MAX_PAUSE_MS;
  }
  const outcomes = (await attemptsOf("up")).map(({ outcome }) => outcome);
  expect(outcomes).toEqual(["retrying", "retrying", "gave_up"]);
  expect(world.log).toEqual(["a notice is given up: http_500"]);
  expect(JSON.stringify([await attemptsOf("up"), world.log])).not.toContain("hidden");
});

test("A15 a redirect and an address that is not allowed are given up at once", async () => {
  await world.addChannel("final", { url: receiver.url });
  await reachHalf("final");
  receiver.status = 302;
  await world.deliver();
  expect(await attemptsOf("final")).toMatchObject([
    { outcome: "gave_up", error: "redirect_not_followed", status_code: 302, attempt: 1 },
  ]);
});

test("a process that dies between sending and writing it down sends again, with the same id", async () => {
  await world.addChannel("dies", { url: receiver.url });
  await reachHalf("dies");
  const { engine, ...parts } = world.makeParts();
  const { Deliverer } = await import("./deliver.ts");
  await parts.state.refresh();
  const mute = replaceMethods(engine, {
    command: (sql, params, lane) =>
      sql.includes("alert_deliveries")
        ? Promise.reject(new Error("gone"))
        : engine.command(sql, params, lane),
  });
  const dying = new Deliverer({ ...parts, engine: mute });
  const { signal } = new AbortController();
  await dying.deliver(signal);
  // While it lives it remembers: it does not send again what it could not write down.
  await expect(dying.deliver(signal)).rejects.toThrow("gone");
  expect(receiver.received).toHaveLength(1);
  await world.restart();
  await world.deliver();
  const ids = receiver.received.map(({ notice }) => notice.delivery_id);
  expect(ids).toHaveLength(2);
  expect(new Set(ids).size).toBe(1);
});

test("a stop in the middle of sending is no attempt, and it is sent after the restart", async () => {
  await world.addChannel("stop", { url: receiver.url });
  await reachHalf("stop");
  const stopping = new AbortController();
  stopping.abort(new Error("the program stops"));
  await world.deliver(stopping.signal);
  expect(await attemptsOf("stop")).toEqual([]);
  await world.restart();
  await world.deliver();
  expect(receiver.received).toHaveLength(1);
});

test("F25 a clock that goes back a day does not make a retry wait for a day", async () => {
  await world.addChannel("wait", { url: receiver.url });
  await reachHalf("wait");
  receiver.status = 503;
  await world.deliver();
  receiver.status = 200;
  world.now_ms -= DAY_MS;
  await world.deliver();
  expect((await attemptsOf("wait")).map(({ outcome }) => outcome).toSorted()).toEqual([
    "delivered",
    "retrying",
  ]);
});

test("channels that are gone or off get nothing, and the log of deliveries says why", async () => {
  const gone = await world.addChannel("gone", { url: receiver.url });
  const off = await world.addChannel("gone", { url: receiver.url });
  await reachHalf("gone");
  const scope = { organization_id: "org", project_id: "gone" };
  await world.state.remove("channel", gone.channel_id);
  await world.state.put("channel", off.channel_id, scope, { ...off, is_enabled: false });
  await world.deliver();
  expect(receiver.received).toEqual([]);
  const found = (await attemptsOf("gone")).map(
    ({ channel_kind, error }) => `${channel_kind} ${error}`,
  );
  expect(new Set(found)).toEqual(new Set(["webhook channel_off", "null channel_gone"]));
});

test("a budget that names channels tells those, and one of another project never", async () => {
  const other = await startReceiver();
  const own = await world.addChannel("named", { url: receiver.url });
  await world.addChannel("named", { url: other.url });
  const foreign = await world.addChannel("foreign", { url: other.url });
  await world.addBudget("named", { ...HALF, channel_ids: [own.channel_id, foreign.channel_id] });
  await storeCalls(test_engine.engine, [makeCall("named", NOON, 6)]);
  await world.look();
  await world.deliver();
  expect([receiver.received.length, other.received.length]).toEqual([1, 0]);
  await other.close();
});

describe("an alert rule", () => {
  const RULE = {
    measure: "cost_usd",
    condition: { kind: "threshold", direction: "above", value: 5, window_minutes: 10 },
    cooldown_minutes: 0,
  } as const;
  const kinds = () => receiver.received.map(({ notice }) => notice.kind);
  const lookAndDeliver = async () => {
    await world.look();
    await world.deliver();
  };

  test("fires once, is over once, through restarts and late calls", async () => {
    await world.addChannel("rule", { url: receiver.url });
    await world.addRule("rule", RULE);
    await lookAndDeliver();
    await storeCalls(test_engine.engine, [makeCall("rule", NOON - 2 * MINUTE_MS, 3)]);
    await lookAndDeliver();
    expect(kinds()).toEqual([]);
    await storeCalls(test_engine.engine, [makeCall("rule", NOON - 5 * MINUTE_MS, 4)]); // late
    for (let look = 0; look < 3; look += 1) {
      await lookAndDeliver();
      await world.restart();
      world.now_ms += MINUTE_MS;
    }
    expect(kinds()).toEqual(["alert_firing"]);
    world.now_ms += 10 * MINUTE_MS;
    await lookAndDeliver();
    await world.restart();
    await lookAndDeliver();
    expect(kinds()).toEqual(["alert_firing", "alert_resolved"]);
  });

  test("F25 fires no second time when the clock goes back and the same minutes come again", async () => {
    await world.addChannel("again-rule", { url: receiver.url });
    await world.addRule("again-rule", RULE);
    await storeCalls(test_engine.engine, [makeCall("again-rule", NOON - MINUTE_MS, 9)]);
    for (const jump_ms of [0, -60 * MINUTE_MS, 60 * MINUTE_MS, -60 * MINUTE_MS, 60 * MINUTE_MS]) {
      world.now_ms += jump_ms;
      await lookAndDeliver();
      await world.restart();
    }
    expect(kinds().filter((kind) => kind === "alert_firing")).toHaveLength(1);
  });

  test("whose state was stored and its notice not, is told after the restart", async () => {
    await world.addChannel("torn", { url: receiver.url });
    await world.addRule("torn", RULE);
    await storeCalls(test_engine.engine, [makeCall("torn", NOON - MINUTE_MS, 9)]);
    const { NoticeStore } = await import("./notices.ts");
    const { engine } = test_engine;
    const parts = world.makeParts();
    await parts.state.refresh();
    const torn = replaceMethods(engine, {
      command: (sql, params, lane) =>
        sql.includes("alert_notices")
          ? Promise.reject(new Error("power cut"))
          : engine.command(sql, params, lane),
    });
    await expect(world.look({ ...parts, notices: new NoticeStore(torn) })).rejects.toThrow(
      "a look failed",
    );
    await world.restart();
    world.now_ms += MINUTE_MS;
    await lookAndDeliver();
    await lookAndDeliver();
    expect(kinds()).toEqual(["alert_firing"]);
  });
});

test("one budget that cannot be asked for keeps none of the others from being told", async () => {
  await world.addChannel("ill", { url: receiver.url });
  await world.addBudget("ill", { ...HALF, amount: "11" });
  await world.addBudget("ill", HALF);
  await storeCalls(test_engine.engine, [makeCall("ill", NOON, 6)]);
  const parts = world.makeParts();
  await parts.state.refresh();
  let questions = 0;
  const ask: typeof parts.ask = (question) => {
    questions += 1;
    return questions === 1 ? Promise.reject(new Error("no")) : parts.ask(question);
  };
  await expect(world.look({ ...parts, ask })).rejects.toThrow("a look failed");
  await world.restart();
  await world.deliver();
  expect(receiver.received).toHaveLength(1);
});

test("of two processes on one server one holds the lease, and the other when it ends", async () => {
  let now_ms = 0;
  const lease = (token: string) => makeLease(test_engine.engine, token, () => now_ms);
  const [first, second] = [lease("first"), lease("second")];
  expect([await first.hold(), await second.hold(), await first.hold()]).toEqual([
    true,
    false,
    true,
  ]);
  await first.release();
  expect([await second.hold(), await first.hold()]).toEqual([true, false]);
  now_ms += 40_000; // it is renewed before it ends
  expect(await second.hold()).toBe(true);
  await second.release();
});

test("the loop looks and delivers by itself, and a second start tells nothing again", async () => {
  await world.addChannel("loop", { url: receiver.url });
  await world.addBudget("loop", HALF);
  await storeCalls(test_engine.engine, [makeCall("loop", NOON, 6)]);
  const { rules: _rules, notices: _notices, deliverer: _deliverer, ...parts } = world.makeParts();
  await parts.state.refresh();
  const start = () => startAlerting({ ...parts, interval_ms: 200 });
  const running = start();
  await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(1);
  await running.stop();
  const again = start();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await again.stop();
  expect(receiver.received).toHaveLength(1);
  expect(world.log).toEqual([]);
});
