/** The limits of amounts against a clock that the test moves. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Actor, makeOperator } from "../schemas/access.ts";
import { ApiError } from "./errors.ts";
import {
  Buckets,
  makeRateLimits,
  MAX_BUCKETS,
  networkOf,
  type RateLimitOptions,
  Turns,
} from "./rate-limit.ts";
import { defineRoute, type Route } from "./route.ts";
import { API_ROUTES } from "./routes.ts";

const NEVER = new AbortController().signal;

function makeRoute(changes: Partial<Route> = {}): Route {
  return {
    ...defineRoute({
      method: "GET",
      path: "/v1/test",
      summary: "",
      tag: "",
      action: "usage:read",
      of: "project",
      answer: null,
      handle: async () => ({}),
    }),
    ...changes,
  };
}

function makeKey(id: string): Actor {
  return { ...makeOperator(id), kind: "key", organization_id: "a", project_id: "a1" };
}

/** Limits whose clock is moved by hand. */
function makeLimits(changes: Partial<RateLimitOptions> = {}) {
  const clock = { now_ms: 1_000 };
  const limits = makeRateLimits({
    requests_per_second: 2,
    failures_per_minute: 60,
    queries_at_once: 2,
    queries_waiting: 2,
    now_ms: () => clock.now_ms,
    ...changes,
  });
  return { limits, clock };
}

/** The refusal of a call, or null when it passes. */
function refusalOf(run: () => void): ApiError | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

test("a key gets ten seconds' worth at once, then 429 with the time to wait, and then its rate", () => {
  const { limits, clock } = makeLimits();
  const ask = () => refusalOf(() => limits.admit(makeRoute(), makeKey("one"), "192.0.2.1"));
  for (let asked = 0; asked < 20; asked += 1) expect(ask(), `request ${asked}`).toBeNull();
  const refusal = ask();
  expect([refusal?.status, refusal?.code, refusal?.retry_after_s]).toEqual([
    429,
    "too_many_requests",
    1,
  ]);
  expect(refusal?.message).toContain("2 requests a second");
  clock.now_ms += 1_000;
  expect([ask(), ask(), ask()?.status]).toEqual([null, null, 429]);
});

test("a key that asks too much takes nothing from another key, nor from its address", () => {
  const { limits } = makeLimits();
  const address = "192.0.2.1";
  for (let asked = 0; asked < 100; asked += 1) {
    refusalOf(() => limits.admit(makeRoute(), makeKey("one"), address));
  }
  expect(refusalOf(() => limits.admit(makeRoute(), makeKey("two"), address))).toBeNull();
  const free = makeRoute({ action: null, of: "installation" });
  expect(refusalOf(() => limits.admit(free, makeKey(""), address))).toBeNull();
});

test("A02: wrong keys of an address end in 429, and good keys from there are answered as before", () => {
  const { limits, clock } = makeLimits();
  const guess = (address: string) => refusalOf(() => limits.admit(makeRoute(), null, address));
  for (let asked = 0; asked < 10; asked += 1) expect(guess("192.0.2.1")).toBeNull();
  for (let asked = 0; asked < 1_000; asked += 1) expect(guess("192.0.2.1")?.status).toBe(429);
  expect(guess("::ffff:192.0.2.1")?.status).toBe(429);
  expect(refusalOf(() => limits.admit(makeRoute(), makeKey("good"), "192.0.2.1"))).toBeNull();
  expect(guess("192.0.2.2")).toBeNull();
  clock.now_ms += 2_000;
  expect(guess("192.0.2.1")).toBeNull();
});

test("what needs no key is limited by address", () => {
  const { limits } = makeLimits();
  const free = makeRoute({ action: null, of: "installation" });
  const ask = (address: string) => refusalOf(() => limits.admit(free, makeKey(""), address));
  for (let asked = 0; asked < 20; asked += 1) expect(ask("2001:db8:1:2::1")).toBeNull();
  // One customer has all addresses of a /64.
  expect(ask("2001:db8:1:2:3:4:5:6")?.status).toBe(429);
  expect(ask("2001:db8:1:3::1")).toBeNull();
});

test("a refused act costs more than a request, because it is written down", () => {
  const { limits } = makeLimits({ requests_per_second: 10 });
  const key = makeKey("one");
  for (let refused = 0; refused < 5; refused += 1) limits.charge(key);
  expect(refusalOf(() => limits.admit(makeRoute(), key, ""))?.status).toBe(429);
});

test("networks are told from addresses however they are written", () => {
  expect(networkOf("192.0.2.1")).toBe("192.0.2.1");
  expect(networkOf("::ffff:192.0.2.1")).toBe("192.0.2.1");
  expect(networkOf("2001:DB8:0:1::9")).toBe(networkOf("2001:db8:0:1:0:0:0:1"));
  expect(networkOf("2001:db8:0:1::9")).not.toBe(networkOf("2001:db8:0:2::9"));
  expect(networkOf("::1")).toBe(networkOf("0:0:0:0:0:0:0:1"));
  expect(networkOf("")).toBe(networkOf(""));
});

test("however many keys and addresses ask, so many buckets are remembered", () => {
  const buckets = new Buckets(1, () => 0);
  for (let number = 0; number < MAX_BUCKETS + 1_000; number += 1) buckets.take(`key ${number}`);
  expect(buckets.size).toBe(MAX_BUCKETS);
});

test("who asks all the time is not forgotten for those who ask once", () => {
  const buckets = new Buckets(1, () => 0, 10);
  for (let asked = 0; asked < 10; asked += 1) buckets.take("busy");
  for (let number = 0; number < 100; number += 1) {
    buckets.take(`once ${number}`);
    expect(buckets.take("busy"), `after ${number} others`).toBeGreaterThan(0);
  }
});

test("over any time no more pass than the burst, the rate times the time, and one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 3_000 }), { maxLength: 80 }),
      fc.integer({ min: 1, max: 5 }),
      (pauses_ms, rate) => {
        let now_ms = 0;
        const buckets = new Buckets(rate, () => now_ms);
        let passed = 0;
        for (const pause_ms of pauses_ms) {
          now_ms += pause_ms;
          while (buckets.take("one") === 0) passed += 1;
          expect(passed).toBeLessThanOrEqual(rate * 10 + (now_ms / 1000) * rate + 1);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test("A13: one project has so many turns at once, and others have theirs at once", async () => {
  const turns = new Turns(2, 100);
  const begun: string[] = [];
  const enter = async (name: string, project_id: string) => {
    const leave = await turns.enter(project_id, NEVER);
    begun.push(name);
    return leave;
  };
  const [first, second] = await Promise.all([enter("1", "a"), enter("2", "a")]);
  const third = enter("3", "a");
  const fourth = enter("4", "a");
  const other = await enter("b1", "b");
  expect(begun).toEqual(["1", "2", "b1"]);
  first();
  first(); // twice is once
  (await third)();
  (await fourth)();
  expect(begun).toEqual(["1", "2", "b1", "3", "4"]);
  second();
  other();
  expect(turns.size).toBe(0);
});

test("A13: beyond the short queue a project is refused and told to come again", async () => {
  const turns = new Turns(1, 1);
  const leave = await turns.enter("a", NEVER);
  const waiting = turns.enter("a", NEVER);
  const refusal = await turns.enter("a", NEVER).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ status: 429, code: "project_busy", retry_after_s: 1 });
  leave();
  (await waiting)();
  expect(turns.size).toBe(0);
});

test("who went away leaves the queue, and who waited too long is refused", async () => {
  const turns = new Turns(1, 10, 20);
  const leave = await turns.enter("a", NEVER);
  const gone = new AbortController();
  const left = turns.enter("a", gone.signal).catch((error: unknown) => error);
  const slow = turns.enter("a", NEVER).catch((error: unknown) => error);
  gone.abort();
  expect(await left).toMatchObject({ status: 429 });
  expect(await turns.enter("a", gone.signal).catch((error: unknown) => error)).toMatchObject({
    status: 429,
  });
  expect(await slow).toMatchObject({ status: 429 });
  leave();
  expect(turns.size).toBe(0);
  (await turns.enter("a", NEVER))();
});

test("every route of budgets and alerts that may ask the ledger waits for its turn", () => {
  const routes = API_ROUTES.filter(({ path }) => /^\/v1\/(budgets|alerts|deliveries)/.test(path));
  expect(routes.length).toBeGreaterThan(8);
  expect(routes.filter(({ asks_ledger }) => asks_ledger !== true)).toEqual([]);
});

test("only questions to the ledger of a project wait for a turn", async () => {
  const { limits } = makeLimits({ queries_at_once: 1, queries_waiting: 0 });
  const leave = await limits.enter(makeRoute(), "a", NEVER);
  const budgets = makeRoute({ action: "settings:read", asks_ledger: true });
  for (const route of [makeRoute(), budgets]) {
    await expect(limits.enter(route, "a", NEVER)).rejects.toMatchObject({ status: 429 });
  }
  for (const other of [
    makeRoute({ action: "settings:read" }),
    makeRoute({ action: "keys:manage", of: "organization" }),
  ]) {
    (await limits.enter(other, "a", NEVER))();
  }
  leave();
  (await limits.enter(makeRoute(), "a", NEVER))();
});
