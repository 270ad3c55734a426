/**
 * Alert rules on answers that the test makes up: when they are breached, and how they stand from one look
 * to the next.
 */
import { describe, expect, test } from "vitest";
import { type AlertRule, AlertRuleInput } from "../schemas/alerting.ts";
import { type RuleState, stepRule } from "./rule-state.ts";
import { baselineWindows, type Finding, medianOf, RuleReader, windowOfRule } from "./rules.ts";
import type { UsageQuestion, UsageSums } from "./usage.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 5, 11, 12, 7, 30);
const STAMP = "2026-01-01T00:00:00.000Z";

function makeRule(input: object): AlertRule {
  const asked = AlertRuleInput.parse({ name: "rule", ...input });
  return { ...asked, rule_id: "rule-1", project_id: "p", created_at: STAMP, updated_at: STAMP };
}

/** A reader of a ledger with so many calls and values, by days before now. */
function makeReader(values: Readonly<Record<number, { calls: number; p95?: number | null }>>) {
  const asked: UsageQuestion[] = [];
  const reader = new RuleReader(async (question): Promise<UsageSums> => {
    asked.push(question);
    const { calls, p95 = null } = values[Math.round((NOW - question.to_ms) / DAY_MS)] ?? {
      calls: 0,
    };
    const coverage = {
      calls,
      calls_missing_usage: 0,
      calls_estimated: 0,
      calls_unpriced: 0,
      tokens_priced_share: null,
    };
    const latency = { calls, mean_ns: null, p50_ns: null, p90_ns: null, p95_ns: p95, p99_ns: null };
    const totals = { calls, cost_usd: calls === 0 ? null : String(calls / 10), duration: latency };
    return { rows: [], totals: { ...totals, coverage }, coverage };
  });
  return { reader, asked };
}

const threshold = (direction: "above" | "below", value: number) => ({
  condition: { kind: "threshold", direction, value, window_minutes: 10 },
});
const change = (direction: "up" | "down" | "either", percent: number) => ({
  condition: { kind: "change", direction, percent, window_minutes: 60, baseline_count: 5 },
});
const silence = { condition: { kind: "silence", window_minutes: 15 } };

async function judge(input: object, values: Parameters<typeof makeReader>[0]) {
  const { reader } = makeReader(values);
  const { verdict, value, baseline } = await reader.read(makeRule(input), NOW);
  return { verdict, value, baseline };
}

describe("a threshold", () => {
  test.each([
    ["above", 9, "breached"],
    ["above", 10, "fine"],
    ["below", 11, "breached"],
    ["below", 10, "fine"],
  ] as const)("%s %s against 10 calls is %s", async (direction, value, verdict) => {
    const found = await judge(threshold(direction, value), { 0: { calls: 10 } });
    expect(found).toEqual({ verdict, value: 10, baseline: null });
  });

  test("on a measure that is not known is without data, never a breach", async () => {
    const input = { measure: "duration.p95_ns", ...threshold("below", 1) };
    expect(await judge(input, {})).toMatchObject({ verdict: "no_data", value: null });
  });

  test("on no calls at all is judged: none is a number", async () => {
    expect(await judge(threshold("below", 1), {})).toMatchObject({ verdict: "breached", value: 0 });
  });

  test("with fewer calls than the rule asks for is without data", async () => {
    const input = { measure: "duration.p95_ns", min_calls: 5, ...threshold("above", 1) };
    const few = { 0: { calls: 4, p95: 100 } };
    expect((await judge(input, few)).verdict).toBe("no_data");
    expect((await judge(input, { 0: { calls: 5, p95: 100 } })).verdict).toBe("breached");
  });

  test("on money compares US dollars", async () => {
    const input = { measure: "cost_usd", ...threshold("above", 0.9) };
    expect(await judge(input, { 0: { calls: 10 } })).toMatchObject({
      verdict: "breached",
      value: 1,
    });
  });
});

describe("a change", () => {
  const days = (now: number, ...before: number[]) =>
    Object.fromEntries([now, ...before].map((calls, index) => [index, { calls }]));

  test.each([
    ["up", days(21, 10, 10, 10, 10, 10), "breached"],
    ["up", days(20, 10, 10, 10, 10, 10), "fine"],
    ["up", days(0, 10, 10, 10, 10, 10), "fine"],
    ["down", days(0, 10, 10, 10, 10, 10), "fine"],
    ["either", days(21, 9, 10, 11, 1_000, 0), "breached"],
    ["up", days(21, 0, 0, 0, 10, 10), "no_data"],
  ] as const)("%s by more than 100 %% of %j is %s", async (direction, values, verdict) => {
    expect((await judge(change(direction, 100), values)).verdict).toBe(verdict);
  });

  test("down by half is told when less than half is left", async () => {
    expect((await judge(change("down", 50), days(5, 10, 10, 10, 10, 10))).verdict).toBe("fine");
    expect((await judge(change("down", 50), days(4, 10, 10, 10, 10, 10))).verdict).toBe("breached");
  });

  test("of what is known on two days only is without data", async () => {
    const input = { measure: "duration.p95_ns", ...change("up", 10) };
    const known = { calls: 1, p95: 10 };
    const slow = { calls: 1, p95: 100 };
    expect((await judge(input, { 0: slow, 1: known, 4: known })).verdict).toBe("no_data");
    expect((await judge(input, { 0: slow, 1: known, 4: known, 5: known })).verdict).toBe(
      "breached",
    );
  });

  test("is against the median, which one wild day does not move", async () => {
    const found = await judge(change("up", 100), days(15, 10, 11, 9, 1_000_000, 10));
    expect(found).toEqual({ verdict: "fine", value: 15, baseline: 10 });
  });

  test("looks at whole quarters of the same hours, weeks back when it is asked to", () => {
    const weekly = { ...change("up", 1).condition, baseline: "weeks", baseline_count: 2 };
    const rule = makeRule({ condition: weekly });
    const starts = baselineWindows(rule, windowOfRule(rule, NOW)).map(({ start_ms, end_ms }) => [
      new Date(start_ms).toISOString(),
      (end_ms - start_ms) / MINUTE_MS,
    ]);
    expect(starts).toEqual([
      ["2026-06-04T11:00:00.000Z", 60],
      ["2026-05-28T11:00:00.000Z", 60],
    ]);
  });
});

describe("silence", () => {
  const usual = {
    1: { calls: 5 },
    2: { calls: 3 },
    3: { calls: 0 },
    4: { calls: 9 },
    5: { calls: 1 },
  };

  test("is told where the same hours usually have calls", async () => {
    const found = await judge(silence, { 0: { calls: 0 }, ...usual });
    expect(found).toMatchObject({ verdict: "breached", value: 0, baseline: 1 });
  });

  test("is nothing new where it is usual, as on nights and in new projects", async () => {
    expect((await judge(silence, { 2: { calls: 7 } })).verdict).toBe("fine");
    expect((await judge(silence, {})).verdict).toBe("fine");
  });

  test("is over with the first call, and then the same hours are not even asked for", async () => {
    const { reader, asked } = makeReader({ 0: { calls: 1 }, ...usual });
    expect((await reader.read(makeRule(silence), NOW)).verdict).toBe("fine");
    expect(asked).toHaveLength(1);
  });
});

test("rules of one scope and window share a question, others do not", async () => {
  const { reader, asked } = makeReader({ 0: { calls: 10 } });
  const shared = ["calls", "cost_usd", "duration.p95_ns", "duration.mean_ns"].map((measure) =>
    makeRule({ measure, ...threshold("above", 1) }),
  );
  const other = makeRule({ filters: { environment: ["prod"] }, ...threshold("above", 1) });
  const rules = [...shared, other];
  reader.begin(rules, NOW);
  for (const rule of rules) await reader.read(rule, NOW);
  // Latency is in other tables than the rest, and is asked for apart.
  expect(asked.map(({ measures }) => measures)).toEqual([
    ["calls", "cost_usd"],
    ["duration"],
    ["calls"],
  ]);
});

test("what the same hours had is asked once a quarter, not at every look", async () => {
  const { reader, asked } = makeReader({ 0: { calls: 10 } });
  const rule = makeRule(change("up", 100));
  const look = async (now_ms: number) => {
    reader.begin([rule], now_ms);
    await reader.read(rule, now_ms);
    return asked.splice(0).length;
  };
  expect(await look(NOW)).toBe(6);
  expect(await look(NOW + MINUTE_MS)).toBe(1);
  expect(await look(NOW + 15 * MINUTE_MS)).toBe(6);
  // A day later four of the five days are known, but calls may have come late since.
  expect(await look(NOW + 15 * MINUTE_MS + DAY_MS)).toBe(6);
});

test("the median of an even number is the middle of the two in the middle", () => {
  expect(medianOf([4, 1, 3, 2])).toBe(2.5);
  expect(medianOf([9])).toBe(9);
});

describe("from one look to the next", () => {
  const BREACHED: Finding["verdict"] = "breached";

  /** Looks minute by minute; answers the states and the kinds of notices, each told once. */
  function follow(input: object, verdicts: readonly Finding["verdict"][], step_ms = MINUTE_MS) {
    const rule = makeRule({ ...threshold("above", 1), cooldown_minutes: 0, ...input });
    let state: RuleState | null = null;
    const told: string[] = [];
    const statuses = verdicts.map((verdict, index) => {
      const now_ms = NOW + index * step_ms;
      const window = windowOfRule(rule, now_ms);
      const before: RuleState | null = state;
      state = stepRule(rule, before, { window, value: 2, baseline: null, verdict }, now_ms);
      const { notice } = state;
      if (notice !== null && notice !== before?.notice) told.push(`${index} ${notice.kind}`);
      return state.status;
    });
    return { statuses, told };
  }

  test("a breach fires at once, and its end is told", () => {
    expect(follow({}, ["fine", BREACHED, BREACHED, "fine", "fine"])).toEqual({
      statuses: ["ok", "firing", "firing", "ok", "ok"],
      told: ["1 alert_firing", "3 alert_resolved"],
    });
  });

  test("a breach that must last is pending first, and forgotten when it does not", () => {
    expect(
      follow({ for_minutes: 2 }, [BREACHED, BREACHED, "fine", BREACHED, BREACHED, BREACHED]),
    ).toEqual({
      statuses: ["pending", "pending", "ok", "pending", "pending", "firing"],
      told: ["5 alert_firing"],
    });
  });

  test("a rule that rests fires without a word, speaks when it still does after, and is silent else", () => {
    const looks = [BREACHED, "fine", BREACHED, "fine", BREACHED, BREACHED, BREACHED] as const;
    expect(follow({ cooldown_minutes: 6, notify_resolved: false }, looks)).toEqual({
      statuses: ["firing", "ok", "firing", "ok", "firing", "firing", "firing"],
      told: ["0 alert_firing", "6 alert_firing"],
    });
  });

  test("no data ends what was firing, and says so", () => {
    expect(follow({}, [BREACHED, "no_data", "no_data", "fine"])).toEqual({
      statuses: ["firing", "no_data", "no_data", "ok"],
      told: ["0 alert_firing", "1 alert_resolved"],
    });
  });

  test("F25 a clock that goes back neither fires a pending rule early nor mutes one for longer than its rest", () => {
    const pending = follow({ for_minutes: 3 }, [BREACHED, BREACHED, BREACHED], -86_400_000);
    expect(pending.statuses).toEqual(["pending", "pending", "pending"]);
    const rule = makeRule({ ...threshold("above", 1), cooldown_minutes: 10 });
    const look = (state: RuleState | null, verdict: Finding["verdict"], now_ms: number) => {
      const window = windowOfRule(rule, now_ms);
      return stepRule(rule, state, { window, value: 2, baseline: null, verdict }, now_ms);
    };
    const back = NOW - 30 * DAY_MS;
    const fired = look(null, BREACHED, NOW);
    const over = look(fired, "fine", back);
    const again = look(over, BREACHED, back + MINUTE_MS);
    expect(again.firing?.is_told).toBe(false);
    expect(look(again, BREACHED, back + 10 * MINUTE_MS).firing?.is_told).toBe(true);
  });

  test("another condition begins anew, another name does not", () => {
    const rule = makeRule(threshold("above", 1));
    const found = (of: AlertRule): Finding => ({
      window: windowOfRule(of, NOW),
      value: 2,
      baseline: null,
      verdict: "breached",
    });
    const fired = stepRule(rule, null, found(rule), NOW);
    expect(stepRule({ ...rule, name: "new" }, fired, found(rule), NOW)).toBe(fired);
    const other = makeRule(threshold("above", 1.5));
    const anew = stepRule(other, fired, found(other), NOW);
    expect(anew.firing?.notice_id).not.toBe(fired.firing?.notice_id);
  });
});
