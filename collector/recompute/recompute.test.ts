/**
 * The rollups against the truth, whatever happens in which order: new, late, repeated, corrected and
 * withdrawn calls, marks before and after a computation, failures, clocks that go back, and two
 * computers at once. The views must be exact after every step, the tables alone once all is done.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { RetryableError } from "../../schemas/errors.ts";
import { BUCKET_S } from "../../schemas/record.ts";
import type { Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import {
  clearLedger,
  insertSpans,
  insertUnmarked,
  LedgerModel,
  markSpans,
  replaceMethods,
} from "../../test/support/ledger.ts";
import { makeRandomSpan } from "../../test/support/random-span.ts";
import { makeRandom, type Random } from "../../test/support/random.ts";
import { idBytes, makeSpan } from "../../test/support/span.ts";
import { callCost } from "../../test/support/usage-truth.ts";
import { compactOne } from "./compact.ts";
import { Lease } from "./lease.ts";
import { Recompute, type RecomputeEvent, type RecomputeOptions } from "./recompute.ts";

/** `npm run test:long`: more histories. */
const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";

const DAY_S = 86_400;
const FIRST_S = Date.UTC(2026, 9, 24) / 1000;
/** Buckets that spans fall in: neighbours, the last of a day and the first of the next. */
const BUCKETS_S = [0, BUCKET_S, DAY_S - BUCKET_S, DAY_S].map((offset_s) => FIRST_S + offset_s);

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
beforeEach(() => clearLedger(test_engine.engine));

/** A view and the table behind it, and what its groups are. */
interface Rollup {
  readonly view: string;
  readonly keys: readonly string[];
  readonly keysOf: (span: Span) => readonly (string | number)[];
  /** Columns that this rollup has beside those of all. */
  readonly own: Readonly<Record<string, (calls: readonly Span[]) => unknown>>;
}

function secondsOf(span: Span): number {
  return Number(span.start_ns / 1_000_000_000n);
}

function bucketOf(span: Span): number {
  return secondsOf(span) - (secondsOf(span) % BUCKET_S);
}

function dayOf(span: Span): string {
  return new Date(secondsOf(span) * 1000).toISOString().slice(0, 10);
}

function add(values: readonly bigint[]): bigint {
  return values.reduce((sum, value) => sum + value, 0n);
}

function mask(values: readonly (readonly unknown[])[]): number {
  return TOKEN_CLASSES.reduce(
    (bits, _name, index) =>
      values.some((list) => list[index] !== null) ? bits | (1 << index) : bits,
    0,
  );
}

const LATENCY: Rollup["own"] = {
  "toString(sum(duration_ns_sum))": (calls) => String(add(calls.map((span) => span.duration_ns))),
  "toString(sum(ttft_ns_sum))": (calls) => String(add(calls.map((span) => span.ttft_ns ?? 0n))),
  "toString(sum(ttft_calls))": (calls) =>
    String(calls.filter((span) => span.ttft_ns !== null).length),
  "toString(arraySum(mapValues(sumMap(duration_histogram))))": (calls) => String(calls.length),
};

const ROLLUPS: readonly Rollup[] = [
  {
    view: "usage_15m",
    keys: ["project_id", "toUnixTimestamp(bucket)", "provider", "request_model", "price_id"],
    keysOf: (span) => [
      span.project_id,
      bucketOf(span),
      span.provider,
      span.request_model,
      span.price_id,
    ],
    own: LATENCY,
  },
  {
    view: "usage_day",
    keys: ["project_id", "toString(day)", "service_name", "agent_name", "response_model"],
    keysOf: (span) => [
      span.project_id,
      dayOf(span),
      span.service_name,
      span.agent_name,
      span.response_model,
    ],
    own: LATENCY,
  },
  {
    view: "usage_user_day",
    keys: ["project_id", "toString(day)", "user_id"],
    keysOf: (span) => [span.project_id, dayOf(span), span.user_id],
    own: {
      "toString(sum(sessions))": (calls) =>
        String(new Set(calls.map((span) => span.session_id).filter((id) => id !== "")).size),
      "toString(toInt128(arraySum(mapValues(sumMap(cost_by_price))) * 1000000000000))": (calls) =>
        String(add(calls.map((span) => callCost(span) ?? 0n))),
    },
  },
];

function count(calls: readonly Span[], test: (span: Span) => boolean): string {
  return String(calls.filter((span) => test(span)).length);
}

function tokensWhere(calls: readonly Span[], test: (span: Span, index: number) => boolean): string {
  const tokens = calls.flatMap((span) =>
    span.tokens.map((value, index) => (test(span, index) ? BigInt(value ?? 0) : 0n)),
  );
  return String(add(tokens));
}

const sumOfAll = (prefix: string) =>
  TOKEN_CLASSES.map((name) => `sum(${prefix}${name})`).join(" + ");

/** What every rollup must say of a group: SQL over its columns, and the truth from the calls. */
const CHECKS: Rollup["own"] = {
  "toString(sum(calls))": (calls) => String(calls.length),
  "toString(sum(errors))": (calls) => count(calls, (span) => span.status === "error"),
  "toString(sum(calls_missing_usage))": (calls) =>
    count(calls, (span) => span.usage_status === "missing" && span.cost_status !== "priced"),
  "toString(sum(calls_estimated))": (calls) =>
    count(calls, (span) => span.usage_status === "estimated"),
  "toString(sum(calls_unpriced))": (calls) => count(calls, (span) => span.cost_status !== "priced"),
  "toString(sum(calls_priced))": (calls) => count(calls, (span) => span.cost_status !== "unpriced"),
  "groupBitOr(usage_mask)": (calls) => mask(calls.map((span) => span.tokens)),
  "groupBitOr(priced_mask)": (calls) => mask(calls.map((span) => span.cost)),
  [`toString(${sumOfAll("tokens_")})`]: (calls) => tokensWhere(calls, () => true),
  "toString(sum(tokens_unpriced))": (calls) =>
    tokensWhere(calls, (span, index) => span.cost[index] === null),
  [`toString(toInt128((${sumOfAll("cost_")} + sum(cost_fees)) * 1000000000000))`]: (calls) =>
    String(add(calls.map((span) => callCost(span) ?? 0n))),
  "toString(toInt128(sum(cost_fees) * 1000000000000))": (calls) =>
    String(add(calls.map((span) => span.cost_fees ?? 0n))),
  "toString(sum(fees_priced_calls))": (calls) => count(calls, (span) => span.cost_fees !== null),
  "toString(toInt128(sum(client_cost_usd) * 1000000000000))": (calls) =>
    String(add(calls.map((span) => span.client_cost ?? 0n))),
  "toString(sum(client_cost_calls))": (calls) => count(calls, (span) => span.client_cost !== null),
};

/** Groups as text, sorted, so that two lists differ where a group does. */
function truthOf(rollup: Rollup, calls: readonly Span[]): string[] {
  const groups = new Map<string, Span[]>();
  for (const span of calls) {
    const key = JSON.stringify(rollup.keysOf(span));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [span]);
    else group.push(span);
  }
  const checks = Object.values({ ...CHECKS, ...rollup.own });
  return [...groups]
    .map(([key, group]) => `${key} ${JSON.stringify(checks.map((check) => check(group)))}`)
    .sort();
}

async function readRollup(rollup: Rollup, from: string): Promise<string[]> {
  const values = Object.keys({ ...CHECKS, ...rollup.own });
  const rows = await test_engine.engine.query<{ key: unknown[]; checks: unknown[] }>(
    `SELECT tuple(${rollup.keys.join(", ")}) AS key, tuple(${values.join(", ")}) AS checks
     FROM ${from} GROUP BY key`,
  );
  return rows.map((row) => `${JSON.stringify(row.key)} ${JSON.stringify(row.checks)}`).sort();
}

/** The views hold exactly what was delivered. */
async function checkViews(model: LedgerModel, step: string): Promise<void> {
  const views = await Promise.all(ROLLUPS.map((rollup) => readRollup(rollup, rollup.view)));
  for (const [index, rollup] of ROLLUPS.entries()) {
    expect(views[index], `${rollup.view} ${step}`).toEqual(truthOf(rollup, model.calls()));
  }
}

/** The tables alone hold exactly what was delivered, and nothing is marked. */
async function checkTables(model: LedgerModel, step = "at the end"): Promise<void> {
  for (const rollup of ROLLUPS) {
    const rows = await readRollup(rollup, `${rollup.view}_rollup FINAL`);
    expect(rows, `${rollup.view}_rollup ${step}`).toEqual(truthOf(rollup, model.calls()));
  }
  const dirty = await test_engine.engine.query(
    "SELECT * FROM rollup_dirty_pairs WHERE dirty_15m OR dirty_day",
  );
  expect(dirty).toEqual([]);
}

/** A clock that goes as the test says. */
interface Clock {
  now_ms: number;
}

function makeRecompute(
  engine: Engine,
  clock: Clock,
  observe: (event: RecomputeEvent) => void = () => {},
  more: Partial<RecomputeOptions> = {},
): Recompute {
  return new Recompute(engine, {
    interval_ms: 5,
    max_buckets: 4,
    day_interval_ms: 10_000,
    now_ms: () => clock.now_ms,
    observe,
    ...more,
  });
}

/** The engine with the writing of rollups done otherwise; `of` is the part of the name after recompute_. */
function changeRecompute(
  engine: Engine,
  change: (
    of: string,
    sql: string,
    params: Params | undefined,
    run: (sql: string) => Promise<void>,
  ) => Promise<void>,
): Engine {
  return replaceMethods(engine, {
    async command(sql, params, lane) {
      const of = /INSERT INTO usage_(\w+)_rollup/.exec(sql)?.[1];
      const run = (text: string) => engine.command(text, params, lane);
      await (of === undefined ? run(sql) : change(of, sql, params, run));
    },
  });
}

function newSpans(random: Random, most: number): Span[] {
  return Array.from({ length: 1 + random.whole(most) }, () => {
    const inside_ns = BigInt(random.pick([0, 1, random.whole(2 ** 31), BUCKET_S * 1e9 - 1]));
    const start_ns = BigInt(random.pick(BUCKETS_S)) * 1_000_000_000n + inside_ns;
    return makeRandomSpan(random, random.pick(["alpha", "beta"]), start_ns);
  });
}

/** The same span with other content, of a dialect as normalizing leaves it. */
function corrected(random: Random, span: Span): Span {
  const { trace_id, span_id } = span;
  const other = makeRandomSpan(random, span.project_id, span.start_ns);
  return { ...other, trace_id, span_id, dialect: "otel-genai" };
}

function withdrawn(span: Span): Span {
  return { ...span, span_class: "structure", cost_status: "none" };
}

function some(random: Random, spans: readonly Span[]): Span[] {
  return spans.length === 0 ? [] : Array.from({ length: 3 }, () => random.pick(spans));
}

let calls_made = 0;

/** A new call at the start of a bucket. */
function callAt(start_s: number): Span {
  calls_made += 1;
  return makeSpan({
    start_ns: BigInt(start_s) * 1_000_000_000n + BigInt(calls_made),
    span_id: idBytes(calls_made.toString(16).padStart(16, "c")),
  });
}

/** One delivery, of a kind that the dice choose. */
function nextDelivery(random: Random, model: LedgerModel): Span[] {
  const roll = random.next();
  if (roll < 0.4 || model.calls().length === 0) return newSpans(random, 12);
  if (roll < 0.55) return some(random, model.spans());
  if (roll < 0.8) return some(random, model.calls()).map((span) => corrected(random, span));
  return some(random, model.calls()).map((span) => withdrawn(span));
}

/** Commands of an engine fail when told so: by number, once. */
function failingEngine(engine: Engine): { engine: Engine; failAt: (command: number) => void } {
  let left = Infinity;
  return {
    engine: replaceMethods(engine, {
      async command(sql, params, lane) {
        left -= 1;
        if (left === 0) throw new RetryableError("clickhouse_unavailable", "away for a moment");
        await engine.command(sql, params, lane);
      },
    }),
    failAt(command) {
      left = command;
    },
  };
}

describe("random histories", () => {
  test.each(LONG ? [11, 12, 13, 14] : [11])(
    "are exact after every step (seed %d)",
    async (seed) => {
      const random = makeRandom(seed);
      const model = new LedgerModel();
      const clock = { now_ms: Date.UTC(2026, 10, 1) };
      const { engine } = test_engine;
      let recompute = makeRecompute(engine, clock);
      const history: string[] = [];
      for (let sequence = 1; sequence <= 8; sequence += 1) {
        const spans = nextDelivery(random, model);
        const writer_id = random.pick(["wal-a", "wal-b"]);
        clock.now_ms += random.pick([0, 1, 4_000, 20_000, -3_600_000]);
        if (random.chance(0.3)) {
          // The computation falls between the rows and their marks.
          await insertUnmarked(engine, spans, sequence);
          await recompute.round();
          await markSpans(engine, spans, sequence, writer_id);
          history.push(`${spans.length} spans, marked after a round`);
        } else {
          await insertSpans(engine, spans, sequence, writer_id);
          history.push(`${spans.length} spans`);
          // The batch is repeated, as after a crash before its release.
          if (random.chance(0.2)) await insertSpans(engine, spans, sequence, writer_id);
        }
        model.deliver(spans);
        await checkViews(model, `after ${history.join("; ")}`);
        if (random.chance(0.1)) recompute = makeRecompute(engine, clock);
        if (random.chance(0.6)) {
          await recompute.round();
          history.push("a round");
          await checkViews(model, `after ${history.join("; ")}`);
        }
      }
      await recompute.drain();
      await checkTables(model, history.join("; "));
      await checkViews(model, "after all");
    },
  );
});

describe("calls at the end of a day", () => {
  test.each([1n, 999_999_999n, 1_000_000_000n])(
    "count, also when none is earlier in their part: %d ns before midnight",
    async (before_ns) => {
      const model = new LedgerModel();
      const midnight_ns = BigInt(FIRST_S + DAY_S) * 1_000_000_000n;
      const spans = [makeSpan({ start_ns: midnight_ns - before_ns })];
      model.deliver(spans);
      await insertSpans(test_engine.engine, spans, 1);
      await checkViews(model, "before the computation");
      const recompute = makeRecompute(test_engine.engine, { now_ms: 1 });
      await recompute.drain();
      await checkTables(model);
      // A call earlier on that day has its day read live, with the call at its end.
      const earlier = [callAt(FIRST_S + 2 * BUCKET_S)];
      model.deliver(earlier);
      await insertSpans(test_engine.engine, earlier, 2);
      await checkViews(model, "after an earlier call");
      await recompute.drain();
      await checkTables(model);
    },
  );
});

describe("groups that lose all their calls", () => {
  test("vanish from the tables, and come back with their calls", async () => {
    const random = makeRandom(5);
    const model = new LedgerModel();
    const recompute = makeRecompute(test_engine.engine, { now_ms: 1 });
    const calls = newSpans(random, 20).map((span) => corrected(random, span));
    const none = calls.map((span) => withdrawn(span));
    const steps = [calls, none, calls, none];
    for (const [index, spans] of steps.entries()) {
      model.deliver(spans);
      await insertSpans(test_engine.engine, spans, index + 1);
      await recompute.drain();
      await checkTables(model, `step ${index}`);
    }
    expect(model.calls()).toEqual([]);
  });
});

describe("clocks", () => {
  async function highestVersion(): Promise<bigint> {
    const [row] = await test_engine.engine.query<{ version: string }>(
      "SELECT max(ver) AS version FROM usage_day_rollup",
    );
    return BigInt(row?.version ?? 0);
  }

  test("that go back do not take versions back, also over a restart", async () => {
    const random = makeRandom(21);
    const model = new LedgerModel();
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    let recompute = makeRecompute(test_engine.engine, clock);
    let version = 0n;
    const first = newSpans(random, 10).map((span) => corrected(random, span));
    for (const [step, change_ms] of [0, -3_600_000, -86_400_000, 1, 0].entries()) {
      clock.now_ms += change_ms;
      if (step === 2 || step === 4) recompute = makeRecompute(test_engine.engine, clock);
      const spans = step === 0 ? first : first.map((span) => corrected(random, span));
      model.deliver(spans);
      await insertSpans(test_engine.engine, spans, step + 1);
      await recompute.drain();
      await checkTables(model, `step ${step}`);
      const next = await highestVersion();
      expect(next).toBeGreaterThan(version);
      version = next;
    }
  });

  test("of two computers may differ by hours", async () => {
    const random = makeRandom(22);
    const model = new LedgerModel();
    const ahead = makeRecompute(test_engine.engine, { now_ms: Date.UTC(2026, 10, 2) });
    const behind = makeRecompute(test_engine.engine, { now_ms: Date.UTC(2026, 10, 1) });
    const first = newSpans(random, 10).map((span) => corrected(random, span));
    for (const [step, recompute] of [behind, ahead, behind, ahead].entries()) {
      const spans = step === 0 ? first : first.map((span) => corrected(random, span));
      model.deliver(spans);
      await insertSpans(test_engine.engine, spans, step + 1);
      await recompute.drain();
      await checkTables(model, `step ${step}`);
    }
  });
});

describe("failures", () => {
  test("of any command leave the views exact, and the next rounds repair the tables", async () => {
    const random = makeRandom(31);
    const model = new LedgerModel();
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const { engine, failAt } = failingEngine(test_engine.engine);
    const recompute = makeRecompute(engine, clock);
    // The three computations of the first day, and the marks after those of the second.
    for (const command of [1, 2, 3, 7]) {
      // In every bucket, so that there are commands enough to fail.
      const spans = [
        ...nextDelivery(random, model),
        ...BUCKETS_S.map((start_s) => callAt(start_s)),
      ];
      model.deliver(spans);
      await insertSpans(test_engine.engine, spans, command);
      failAt(command);
      await expect(recompute.drain()).rejects.toThrow("away for a moment");
      await checkViews(model, `after the failure of command ${command}`);
      failAt(Infinity);
      await recompute.drain();
      await checkTables(model, `after the failure of command ${command}`);
    }
  });

  test("are told, and the loop goes on by itself", async () => {
    const random = makeRandom(32);
    const model = new LedgerModel();
    const spans = newSpans(random, 30);
    model.deliver(spans);
    await insertSpans(test_engine.engine, spans, 1);
    const { engine, failAt } = failingEngine(test_engine.engine);
    failAt(2);
    const events: RecomputeEvent[] = [];
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const recompute = makeRecompute(engine, clock, (event) => {
      events.push(event);
      clock.now_ms += 10_000; // the days are due again
    });
    recompute.start();
    const isDone = async () => {
      const dirty = await test_engine.engine.query(
        "SELECT 1 FROM rollup_dirty_pairs WHERE dirty_15m OR dirty_day LIMIT 1",
      );
      return dirty.length === 0;
    };
    await expect.poll(isDone, { timeout: 20_000, interval: 50 }).toBe(true);
    await recompute.stop();
    expect(events[0]).toEqual({ kind: "failed", message: "away for a moment" });
    expect(events.some((event) => event.kind === "round" && event.buckets > 0)).toBe(true);
    await checkTables(model);
  });
});

describe("days", () => {
  test("that go on are computed again only after the pause, and their bucket at once", async () => {
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const recompute = makeRecompute(test_engine.engine, clock);
    const start_ns = BigInt(FIRST_S) * 1_000_000_000n;
    const calls = [1n, 2n, 3n].map((after_ns) => makeSpan({ start_ns: start_ns + after_ns }));
    const countOf = async (table: string) => {
      const [row] = await test_engine.engine.query<{ calls: string }>(
        `SELECT sum(calls) AS calls FROM ${table} FINAL`,
      );
      return Number(row?.calls);
    };
    const counts: number[][] = [];
    for (const [index, call] of calls.entries()) {
      await insertSpans(test_engine.engine, [call], index + 1);
      await recompute.round();
      counts.push([await countOf("usage_15m_rollup"), await countOf("usage_day_rollup")]);
      clock.now_ms += index === 0 ? 9_999 : 1;
    }
    expect(counts).toEqual([
      [1, 1],
      [2, 1],
      [3, 3],
    ]);
  });
});

describe("two computers at once", () => {
  test("end right, with deliveries between their rounds", async () => {
    const random = makeRandom(51);
    const model = new LedgerModel();
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const { engine } = test_engine;
    const one = makeRecompute(engine, clock);
    const two = makeRecompute(engine, clock);
    for (let sequence = 1; sequence <= 3; sequence += 1) {
      clock.now_ms += random.pick([1, 15_000]);
      const spans = nextDelivery(random, model);
      model.deliver(spans);
      await Promise.all([
        one.round(),
        insertSpans(engine, spans, sequence),
        two.round(),
        random.chance(0.5) ? one.round() : two.round(),
      ]);
      await checkViews(model, `after delivery ${sequence}`);
    }
    await Promise.all([one.drain(), two.drain()]);
    await one.drain();
    await two.drain();
    await checkTables(model);
  });
});

describe("two that write at once", () => {
  beforeEach(() => test_engine.engine.command("TRUNCATE TABLE recompute_lease"));

  const BUCKET = BUCKETS_S[0] as number;
  const [old_call] = [{ ...callAt(BUCKET), dialect: "otel-genai", request_model: "old" }];
  const new_call = { ...old_call, request_model: "new" };

  /** The first sleeps between reading and writing; the call changes and the second computes meanwhile. */
  async function overtake(leases: readonly (Lease | undefined)[]) {
    const { engine } = test_engine;
    const model = new LedgerModel();
    let tellBegun: () => void = () => {};
    const begun = new Promise<void>((resolve) => (tellBegun = resolve));
    const slow = changeRecompute(engine, async (_of, sql, _params, run) => {
      const running = run(sql.replace("{ver:UInt64},", "{ver:UInt64} + toUInt64(sleep(3)),"));
      await new Promise((resolve) => setTimeout(resolve, 300));
      tellBegun();
      await running;
    });
    // The embedded engine has one lane for the background; the second takes the other one.
    const quick = replaceMethods(engine, {
      command: (sql, params) => engine.command(sql, params, "insert"),
    });
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const [first_lease, second_lease] = leases;
    const first = makeRecompute(slow, clock, undefined, withLease(first_lease));
    const second = makeRecompute(quick, clock, undefined, withLease(second_lease));
    model.deliver([old_call]);
    await insertSpans(engine, [old_call], 1);
    const running = first.round();
    await begun;
    model.deliver([new_call]);
    await insertSpans(engine, [new_call], 2);
    const overtaken = [await second.round(true), await second.round(true)];
    await running;
    return { model, first, second, overtaken };
  }

  function withLease(lease: Lease | undefined): Partial<RecomputeOptions> {
    return lease === undefined ? {} : { lease };
  }

  let leases_made = 0;

  function makeLease(now_ms = () => performance.now()): Lease {
    leases_made += 1;
    const token = `recompute-${leases_made}`;
    return new Lease(test_engine.engine, { token, ttl_ms: 120_000, reserve_ms: 10_000, now_ms });
  }

  // The second has three seconds to be quicker: a machine may be too busy for that once.
  test(
    "leave what is wrong for ever when nothing keeps them apart: what the lease is for",
    {
      retry: 2,
    },
    async () => {
      const { model, first, second } = await overtake([undefined, undefined]);
      await second.drain();
      await first.drain();
      await expect(checkTables(model)).rejects.toThrow("usage_15m_rollup");
    },
  );

  test("are kept apart by the lease: the second waits, and both tables and views are right", async () => {
    const leases = [makeLease(), makeLease()];
    const { model, first, second, overtaken } = await overtake(leases);
    expect(overtaken).toEqual([0, 0]);
    await checkViews(model, "after the first has written");
    await first.drain();
    await checkTables(model);
    // The heir takes over what is dirty once the first has stopped.
    const late = callAt(BUCKET);
    model.deliver([late]);
    await insertSpans(test_engine.engine, [late], 3);
    expect(await second.round(true)).toBe(0);
    await first.stop();
    await second.drain();
    await checkTables(model, "after the heir");
  });

  test("do no harm when the first is held up until its lease is another's", async () => {
    const { engine } = test_engine;
    const model = new LedgerModel();
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    let release: () => void = () => {};
    const held_up = new Promise<void>((resolve) => (release = resolve));
    let tellBegun: () => void = () => {};
    const begun = new Promise<void>((resolve) => (tellBegun = resolve));
    const stalled = changeRecompute(engine, async (_of, sql, _params, run) => {
      tellBegun();
      await held_up;
      await run(sql);
    });
    let passed_ms = 0;
    const lease = makeLease(() => passed_ms);
    const first = makeRecompute(stalled, clock, undefined, { lease });
    const second = makeRecompute(engine, clock, undefined, { lease: makeLease() });
    model.deliver([old_call]);
    await insertSpans(engine, [old_call], 1);
    const running = first.round();
    await begun;
    expect(await second.round(true)).toBe(0);
    // The time of the first is over, for the engine and for itself.
    passed_ms += 120_000;
    const over = { token: lease.token, duration_ms: 0, ver: 1_000 };
    await engine.command(loadQuery("claim_lease"), over, "insert");
    expect(await second.round(true)).toBe(1);
    await second.drain();
    await checkTables(model, "after the second");
    const before = await readRollup(ROLLUPS[0] as Rollup, "usage_15m_rollup");
    release();
    await expect(running).rejects.toThrow("another collector has taken over");
    // Its statement wrote nothing, and the buckets are computed once more to be certain.
    expect(await readRollup(ROLLUPS[0] as Rollup, "usage_15m_rollup")).toEqual(before);
    await checkViews(model, "after the late statement");
    expect(await second.round(true)).toBe(1);
    await second.drain();
    await checkTables(model, "at the end");
  });
});

describe("statements that are too large", () => {
  const projectsOf = (params: Params | undefined) => (params ?? {})["projects"] as string[];
  const too_large = () => new RetryableError("clickhouse_241", "Code: 241. MEMORY_LIMIT_EXCEEDED");

  test("are cut until they fit, by projects and by buckets, and everything is right", async () => {
    const random = makeRandom(61);
    const model = new LedgerModel();
    const sizes: number[] = [];
    const engine = changeRecompute(test_engine.engine, async (_of, sql, params, run) => {
      const size = projectsOf(params).length;
      if (size > 1) throw too_large();
      sizes.push(size);
      await run(sql);
    });
    const spans = BUCKETS_S.flatMap((start_s) =>
      ["alpha", "beta"].map((project) =>
        makeRandomSpan(random, project, BigInt(start_s) * 1_000_000_000n + 5n),
      ),
    ).map((span) => ({ ...span, dialect: "otel-genai" }));
    model.deliver(spans);
    await insertSpans(test_engine.engine, spans, 1);
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const recompute = makeRecompute(engine, clock, undefined, { max_buckets: 100 });
    expect(await recompute.round()).toBe(8);
    // Eight buckets, and two rollups of two days of two projects.
    expect(sizes).toHaveLength(8 + 8);
    await recompute.drain();
    await checkTables(model);
  });

  test("are tried once more with joins and sums on disk when nothing can be cut", async () => {
    const random = makeRandom(62);
    const model = new LedgerModel();
    const engine = changeRecompute(test_engine.engine, async (_of, sql, _params, run) => {
      if (!sql.includes("grace_hash")) throw too_large();
      await run(sql);
    });
    const spans = newSpans(random, 30).map((span) => corrected(random, span));
    model.deliver(spans);
    await insertSpans(test_engine.engine, spans, 1);
    const recompute = makeRecompute(engine, { now_ms: Date.UTC(2026, 10, 1) });
    await recompute.drain();
    await checkTables(model);
  });

  test("of one project hold up no other, are told, and stay exact in the views", async () => {
    const model = new LedgerModel();
    const events: RecomputeEvent[] = [];
    const engine = changeRecompute(test_engine.engine, async (of, sql, params, run) => {
      if (of === "user_day" && projectsOf(params).includes("giant")) {
        throw too_large();
      }
      await run(sql);
    });
    const spans = ["giant", "small", "other"].map((project_id) => ({
      ...callAt(FIRST_S),
      project_id,
    }));
    model.deliver(spans);
    await insertSpans(test_engine.engine, spans, 1);
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const recompute = makeRecompute(engine, clock, (event) => events.push(event));
    for (let round = 0; round < 3; round += 1) await recompute.round();
    await checkViews(model, "with a day that cannot be computed");
    const dirty = await test_engine.engine.query<{ project_id: string }>(
      "SELECT DISTINCT project_id FROM rollup_dirty_pairs WHERE dirty_15m OR dirty_day",
    );
    expect(dirty).toEqual([{ project_id: "giant" }]);
    // It is not tried again in each round.
    expect(events.filter(({ kind }) => kind === "failed")).toHaveLength(1);
    await expect(recompute.drain()).rejects.toThrow("MEMORY_LIMIT_EXCEEDED");
  });

  test("get the memory that was set and no more", async () => {
    const spans = newSpans(makeRandom(63), 10);
    await insertSpans(test_engine.engine, spans, 1);
    const clock = { now_ms: 1 };
    const recompute = makeRecompute(test_engine.engine, clock, undefined, { memory_bytes: 10_000 });
    await expect(recompute.drain()).rejects.toThrow(/memory limit exceeded/i);
  });
});

describe("the lag", () => {
  test("tells buckets, rows and age, and is nothing when all is computed", async () => {
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const recompute = makeRecompute(test_engine.engine, clock);
    const spans = BUCKETS_S.map((start_s) => callAt(start_s));
    await insertSpans(test_engine.engine, spans, 1);
    await recompute.round();
    expect(recompute.lag.dirty_buckets).toBe(4);
    expect(recompute.lag.oldest_dirty_s).toBeLessThan(60);
    // A part of each day: a block of rows counts for the bucket that it begins in.
    expect(recompute.lag.rows_waiting).toBe(4);
    await recompute.round();
    await recompute.round();
    expect(recompute.lag).toEqual({ dirty_buckets: 0, oldest_dirty_s: 0, rows_waiting: 0 });
  });

  test("counts the age from the first mark, however often the bucket is marked again", async () => {
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    const engine = changeRecompute(test_engine.engine, async () => {
      throw new RetryableError("clickhouse_unavailable", "away for a moment");
    });
    const recompute = makeRecompute(engine, clock);
    const call = callAt(FIRST_S);
    for (let sequence = 1; sequence <= 4; sequence += 1) {
      await insertSpans(test_engine.engine, [call], sequence);
      await expect(recompute.round()).rejects.toThrow("away for a moment");
      clock.now_ms += 60_000;
    }
    expect(recompute.lag.oldest_dirty_s).toBeGreaterThanOrEqual(180);
    await makeRecompute(test_engine.engine, clock).drain();
    await recompute.round();
    expect(recompute.lag.oldest_dirty_s).toBe(0);
  });
});

describe("months that are no longer written to", () => {
  test("become one part each, with the same answers, and are then left alone", async () => {
    const random = makeRandom(71);
    const model = new LedgerModel();
    const { engine } = test_engine;
    await engine.command("SYSTEM STOP MERGES");
    const recompute = makeRecompute(engine, { now_ms: 1 });
    try {
      for (let step = 1; step <= 3; step += 1) {
        const spans = newSpans(random, 10).map((span) => corrected(random, span));
        model.deliver(spans);
        await insertSpans(engine, spans, step);
        await recompute.drain();
      }
    } finally {
      await engine.command("SYSTEM START MERGES");
    }
    expect(await compactOne(engine, 3_600)).toBe(false);
    // A second at least since the last write.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    while (await compactOne(engine, 1));
    const parts = await engine.query(
      `SELECT table, partition FROM system.parts
       WHERE active AND database = currentDatabase() AND table LIKE 'usage%rollup'
       GROUP BY table, partition HAVING count() > 1`,
    );
    expect(parts).toEqual([]);
    await checkTables(model, "after merging");
    await checkViews(model, "after merging");
  });
});

describe("a project with a long backlog", () => {
  test("holds up no other: its neighbour is computed in the next round", async () => {
    const { engine } = test_engine;
    const clock = { now_ms: Date.UTC(2026, 10, 1) };
    // Marks of 3,000 buckets, as a backfill of a month leaves them.
    await engine.command(
      `INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)
       SELECT 'backfill', toDateTime(${FIRST_S}, 'UTC') - INTERVAL number * 15 MINUTE, 'wal', 1, 0, 0, now()
       FROM numbers(3000)`,
    );
    const recompute = makeRecompute(engine, clock, undefined, { max_buckets: 20_000 });
    const first = await recompute.round();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(3_000);
    const call = { ...callAt(FIRST_S), project_id: "neighbour" };
    await insertSpans(engine, [call], 2);
    await recompute.round();
    const [row] = await engine.query<{ calls: string }>(
      "SELECT sum(calls) AS calls FROM usage_15m_rollup FINAL WHERE project_id = 'neighbour'",
    );
    expect(Number(row?.calls)).toBe(1);
  });
});
