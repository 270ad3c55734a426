/**
 * Budgets on the real engine: what they find, and that each threshold of a window is told once, whatever
 * comes twice, late, again after a restart, or at a time that comes again.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { answerBudgets, makeAsk } from "../query-api/routes/budgets.ts";
import { BudgetAnswer } from "../schemas/alerting.ts";
import {
  AlertWorld,
  makeCall,
  type Receiver,
  startReceiver,
  storeCalls,
} from "../test/support/alerting.ts";
import { readStrictly } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A year near to now: the log of deliveries forgets what is old. */
const YEAR = new Date().getUTCFullYear();
const NOON = Date.UTC(YEAR, 5, 11, 12);
const ACTUAL = [50, 80, 100].map((percent) => ({ kind: "actual" as const, percent }));

let test_engine: TestEngine;
let receiver: Receiver;

beforeAll(async () => {
  test_engine = await openTestEngine();
  receiver = await startReceiver();
});
afterAll(async () => {
  await receiver.close();
  await test_engine.close();
});

let last_world: AlertWorld | null = null;
afterEach(() => last_world?.clear());

/** A world whose project has one channel: the receiver. */
async function makeWorld(project_id: string, now_ms = NOON): Promise<AlertWorld> {
  const world = new AlertWorld(test_engine.engine, now_ms);
  last_world = world;
  await world.addChannel(project_id, { url: receiver.url, secret: "0123456789abcdef" });
  return world;
}

/** Titles that the receiver got of a project, in order. */
function titlesOf(project_id: string): string[] {
  return receiver.received
    .filter(({ notice }) => notice.project_id === project_id)
    .map(({ notice }) => notice.title.replace(/^Budget [^:]*: /, ""));
}

async function lookAndDeliver(world: AlertWorld): Promise<void> {
  await world.look();
  await world.deliver();
}

async function readBudget(world: AlertWorld, budget_id: string) {
  const { body } = world.state.find("budget", budget_id) ?? {};
  if (body === undefined) throw new Error("no such budget");
  const { engine } = test_engine;
  const [answer] = await answerBudgets(engine, makeAsk({ engine }), [body], world.now_ms);
  return readStrictly(BudgetAnswer, answer);
}

const store = (calls: Parameters<typeof storeCalls>[1]) => storeCalls(test_engine.engine, calls);

test("each threshold is told once, in the order in which it is reached", async () => {
  const world = await makeWorld("order");
  await world.addBudget("order", { thresholds: ACTUAL });
  await store([makeCall("order", NOON, 4)]);
  await lookAndDeliver(world);
  expect(titlesOf("order")).toEqual([]);
  await store([makeCall("order", NOON, 1)]); // 5 of 10: exactly half
  await lookAndDeliver(world);
  await store([makeCall("order", NOON, 3.5)]);
  await lookAndDeliver(world);
  await lookAndDeliver(world);
  await store([makeCall("order", NOON, 10)]);
  await lookAndDeliver(world);
  expect(titlesOf("order")).toEqual(["50 % reached", "80 % reached", "100 % reached"]);
});

test("C16 spans that come twice, days apart too, bring no budget nearer", async () => {
  const world = await makeWorld("twice");
  const budget = await world.addBudget("twice", { thresholds: ACTUAL });
  const call = makeCall("twice", NOON, 4.9);
  for (let delivery = 0; delivery < 4; delivery += 1) await store([call]);
  await lookAndDeliver(world);
  world.now_ms += 3 * DAY_MS;
  await store([call]);
  await lookAndDeliver(world);
  expect(titlesOf("twice")).toEqual([]);
  expect((await readBudget(world, budget.budget_id)).spent).toBe("4.9");
});

test("a restart between the notice and its delivery, and after it, tells nothing twice", async () => {
  const world = await makeWorld("restart");
  await world.addBudget("restart", { thresholds: ACTUAL });
  await store([makeCall("restart", NOON, 6)]);
  expect(await world.look()).toBe(1);
  await world.restart();
  expect(await world.look()).toBe(0);
  await world.deliver();
  await world.restart();
  await lookAndDeliver(world);
  expect(titlesOf("restart")).toEqual(["50 % reached"]);
});

test("two processes that look at the same moment store one notice, of one id", async () => {
  const world = await makeWorld("both");
  const budget = await world.addBudget("both", { thresholds: ACTUAL });
  await store([makeCall("both", NOON, 9)]);
  const other = world.makeParts();
  await other.state.refresh();
  await Promise.all([world.look(), world.look(other)]);
  await world.restart();
  await world.deliver();
  expect(titlesOf("both").toSorted()).toEqual(["50 % reached", "80 % reached"]);
  const { thresholds } = await readBudget(world, budget.budget_id);
  expect(thresholds.map(({ notified_at }) => notified_at !== null)).toEqual([true, true, false]);
});

test("F25 a clock that goes back an hour, a day and a month tells nothing again", async () => {
  const world = await makeWorld("back");
  await world.addBudget("back", { thresholds: ACTUAL, period: "day" });
  await store([makeCall("back", NOON, 6), makeCall("back", NOON - DAY_MS, 6)]);
  await lookAndDeliver(world);
  for (const jump_ms of [-HOUR_MS, -DAY_MS, DAY_MS, HOUR_MS, -31 * DAY_MS, 31 * DAY_MS]) {
    world.now_ms += jump_ms;
    await world.restart();
    await lookAndDeliver(world);
  }
  // Half of today and half of yesterday, each once.
  expect(titlesOf("back")).toEqual(["50 % reached", "50 % reached"]);
});

test("C17 C18 calls that arrive a day after the window was over still reach its threshold, once", async () => {
  const world = await makeWorld("late");
  await world.addBudget("late", { thresholds: ACTUAL, period: "day" });
  await store([makeCall("late", NOON, 4)]);
  await lookAndDeliver(world);
  world.now_ms += DAY_MS;
  await store([makeCall("late", NOON - HOUR_MS, 2)]);
  await lookAndDeliver(world);
  await lookAndDeliver(world);
  expect(titlesOf("late")).toEqual(["50 % reached"]);
  const data = receiver.received.at(-1)?.notice.data;
  expect(data).toMatchObject({
    spent: "6",
    window: { start: new Date(Date.UTC(YEAR, 5, 11)).toISOString() },
  });
});

test("a correction is seen in the budget, and what was told stays told", async () => {
  const world = await makeWorld("correct");
  const budget = await world.addBudget("correct", { thresholds: ACTUAL });
  const call = makeCall("correct", NOON, 6);
  await store([call]);
  await lookAndDeliver(world);
  await store([{ ...call, cost: makeCall("correct", NOON, 2).cost }]); // the same span, sent again
  await lookAndDeliver(world);
  const half = async () => {
    const { spent, thresholds } = await readBudget(world, budget.budget_id);
    const told = thresholds[0]?.notified_at !== null;
    return { spent, crossed: thresholds[0]?.is_crossed, told };
  };
  expect(await half()).toEqual({ spent: "2", crossed: false, told: true });
  await store([call]);
  await lookAndDeliver(world);
  expect(await half()).toEqual({ spent: "6", crossed: true, told: true });
  expect(titlesOf("correct")).toEqual(["50 % reached"]);
});

test("the next window tells its own thresholds", async () => {
  const world = await makeWorld("next");
  await world.addBudget("next", { thresholds: ACTUAL, period: "day" });
  await store([makeCall("next", NOON, 6)]);
  await lookAndDeliver(world);
  world.now_ms += DAY_MS;
  await store([makeCall("next", NOON + DAY_MS, 6)]);
  await lookAndDeliver(world);
  expect(titlesOf("next")).toEqual(["50 % reached", "50 % reached"]);
});

test("a window begins at midnight of the time zone, not of UTC", async () => {
  const world = await makeWorld("zone");
  const midnight = Date.UTC(YEAR, 5, 10, 18, 30); // of 11 June in Kolkata
  await store([makeCall("zone", midnight - 1, 3), makeCall("zone", midnight, 4)]);
  const budget = await world.addBudget("zone", { period: "day", tz: "Asia/Kolkata" });
  const { spent, window } = await readBudget(world, budget.budget_id);
  expect({ spent, start: window.start }).toEqual({
    spent: "4",
    start: new Date(midnight).toISOString(),
  });
});

test("a scope of dimensions and tags counts its own calls only", async () => {
  const world = await makeWorld("scope");
  await store([
    makeCall("scope", NOON, 1),
    makeCall("scope", NOON, 2, { environment: "prod" }),
    makeCall("scope", NOON, 4, { environment: "prod", service_name: "search" }),
  ]);
  const read = async (filters: object) => {
    const budget = await world.addBudget("scope", { filters });
    return (await readBudget(world, budget.budget_id)).spent;
  };
  expect(await read({})).toBe("7");
  expect(await read({ environment: ["prod"] })).toBe("6");
  expect(await read({ environment: ["prod"], service_name: ["search", "else"] })).toBe("4");
  expect(await read({ environment: ["none"] })).toBe("0");
});

describe("what is not known", () => {
  test("calls without a price make a budget say that it is not complete", async () => {
    const world = await makeWorld("unpriced");
    const budget = await world.addBudget("unpriced", {});
    await store([makeCall("unpriced", NOON, null)]);
    const unknown = await readBudget(world, budget.budget_id);
    expect(unknown).toMatchObject({ spent: null, share: null, remaining: null });
    await store([makeCall("unpriced", NOON, 12.5)]);
    const known = await readBudget(world, budget.budget_id);
    expect(known).toMatchObject({ spent: "12.5", share: 1.25, remaining: "-2.5" });
    for (const { is_complete, coverage } of [unknown, known]) {
      expect({ is_complete, unpriced: coverage.calls_unpriced }).toEqual({
        is_complete: false,
        unpriced: 1,
      });
    }
    await world.look();
    await world.deliver();
    expect(receiver.received.at(-1)?.notice.text).toContain("1 calls without a price");
  });

  test("a project without calls has spent nothing", async () => {
    const world = await makeWorld("empty");
    const budget = await world.addBudget("empty", {});
    expect(await readBudget(world, budget.budget_id)).toMatchObject({
      spent: "0",
      share: 0,
      remaining: "10",
      forecast: null,
      is_complete: true,
    });
  });

  test("two days of data give no forecast, three give one, and 100 % of it is told", async () => {
    const world = await makeWorld("forecast");
    const budget = await world.addBudget("forecast", { amount: "15" });
    const at = (day: number) => makeCall("forecast", NOON - day * DAY_MS, 1);
    await store([at(1), at(2)]);
    await lookAndDeliver(world);
    expect((await readBudget(world, budget.budget_id)).forecast).toBeNull();
    await store([at(3)]);
    await lookAndDeliver(world);
    // 11 June, noon: three days of 1 USD, and 19.5 days are left of the month.
    const { forecast } = await readBudget(world, budget.budget_id);
    expect(forecast).toMatchObject({ amount: "22.5", share: 1.5, known_days: 3 });
    expect(titlesOf("forecast")).toEqual(["100 % forecast"]);
  });
});

test("budgets of tokens and of calls count those", async () => {
  const world = await makeWorld("units");
  await store([makeCall("units", NOON, 1), makeCall("units", NOON, null)]);
  const tokens = await world.addBudget("units", { unit: "tokens", amount: "480" });
  const calls = await world.addBudget("units", { unit: "calls", amount: "4" });
  expect(await readBudget(world, tokens.budget_id)).toMatchObject({ spent: "240", share: 0.5 });
  expect(await readBudget(world, calls.budget_id)).toMatchObject({ spent: "2", share: 0.5 });
});

test("a budget that is off, or was changed since, says nothing of windows that are over", async () => {
  const world = await makeWorld("changed");
  await store([makeCall("changed", NOON - DAY_MS, 20)]);
  const off = await world.addBudget("changed", { period: "day", is_enabled: false });
  const changed = await world.addBudget("changed", { period: "day" });
  const now = new Date(NOON).toISOString();
  const scope = { organization_id: "org", project_id: "changed" };
  await world.state.put("budget", changed.budget_id, scope, { ...changed, updated_at: now });
  expect(await world.look()).toBe(0);
  await world.state.put("budget", off.budget_id, scope, { ...off, is_enabled: true });
  expect(await world.look()).toBe(3);
});

test("the quota of a project that is used up is told to its channels, once", async () => {
  const world = await makeWorld("quota");
  const body = {
    project_id: "quota",
    month: `${YEAR}-06`,
    reached_at: new Date(NOON).toISOString(),
    monthly_spans: 1_000,
  };
  const scope = { organization_id: "org", project_id: "quota" };
  await world.state.put("quota_notice", `quota-${YEAR}-06`, scope, body);
  for (let look = 0; look < 3; look += 1) {
    await lookAndDeliver(world);
    await world.restart();
  }
  expect(titlesOf("quota")).toEqual([`Project quota: the quota of ${YEAR}-06 is used up`]);
});

// A sum over several looks at once forgot the first of them, and then nothing was delivered.
test("a notice is told in the count of a look, whatever is looked at beside it", async () => {
  const world = await makeWorld("counted");
  await storeCalls(test_engine.engine, [makeCall("counted", NOON - HOUR_MS, 6)]);
  await world.addBudget("counted", { name: "crossed", thresholds: [ACTUAL[0]!] });
  for (let other = 0; other < 5; other += 1) await world.addBudget("counted", { amount: "1000" });
  expect(await world.look()).toBe(1);
});
