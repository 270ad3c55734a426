/**
 * The ledger of the real engine against the counting rules over everything at once: whatever the
 * order, the batches, the repetitions and the crashes, `calls` ends the same.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { candidateOfSpan, isCounted, keyOfSpan, reasonOf } from "../../schemas/call-of-span.ts";
import { BUCKET_S } from "../../schemas/record.ts";
import type { Span } from "../../schemas/span.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import {
  clearLedger,
  insertUnmarked,
  markSpans,
  replaceMethods,
} from "../../test/support/ledger.ts";
import { byClass, idBytes, makeSpan } from "../../test/support/span.ts";
import { countCalls, loadPriceBook, MULTI_SIGNAL_DIALECTS, READERS } from "../pipeline.ts";
import { Recompute } from "../recompute/recompute.ts";
import { type Bucket, Resolver, type ResolverEvent, SettleLoop } from "./resolver.ts";

/** When all test rows arrive (test/support/ledger.ts). */
const ARRIVED_MS = 1_795_225_706_001;
const SETTLE_MS = 10_000;
const WINDOW_S = 21_600;
const START_NS = 1_795_225_705_000_000_000n;

let opened: TestEngine;
let engine: Engine;
beforeAll(async () => {
  opened = await openTestEngine();
  engine = opened.engine;
}, 60_000);
afterAll(() => opened.close());

let sequence = 0;
let events: ResolverEvent[] = [];
let now_ms = ARRIVED_MS + SETTLE_MS;

beforeEach(async () => {
  await clear();
  events = [];
  now_ms = ARRIVED_MS + SETTLE_MS;
});

async function clear(): Promise<void> {
  await clearLedger(engine);
  await engine.command("TRUNCATE TABLE call_decisions");
}

function makeResolver(on: Engine = engine): Resolver {
  return new Resolver(on, {
    decide: countCalls,
    session_dialects: MULTI_SIGNAL_DIALECTS,
    settle_ms: SETTLE_MS,
    window_s: WINDOW_S,
    now_ms: () => now_ms,
    observe: (event) => events.push(event),
  });
}

/** The buckets of the spans, each once. */
function bucketsOf(spans: readonly Span[]): Bucket[] {
  const buckets = new Map<string, Bucket>();
  for (const { project_id, start_ns } of spans) {
    const start_s = Number(start_ns / 1_000_000_000n);
    const bucket_s = start_s - (start_s % BUCKET_S);
    buckets.set(`${bucket_s} ${project_id}`, [project_id, bucket_s]);
  }
  return [...buckets.values()];
}

function batchOf(spans: readonly Span[], sequence_of_rows: number) {
  const buckets = bucketsOf(spans);
  const starts = buckets.map(([, start_s]) => start_s);
  return {
    projects: [...new Set(buckets.map(([project_id]) => project_id))],
    from_s: Math.min(...starts),
    to_s: Math.max(...starts) + BUCKET_S,
    first_sequence: sequence_of_rows,
    last_sequence: sequence_of_rows,
    buckets,
  };
}

/** Inserts and decides, as the insert loop does. */
async function deliver(resolver: Resolver, spans: readonly Span[]): Promise<Bucket[]> {
  sequence += 1;
  const own = sequence;
  await insertUnmarked(engine, spans, own);
  const changed = await resolver.resolveBatch(batchOf(spans, own));
  await mark([...bucketsOf(spans), ...changed], own);
  return changed;
}

async function mark(buckets: readonly Bucket[], at: number): Promise<void> {
  const marked = buckets.map(([project_id, start_s]) =>
    makeSpan({ project_id, start_ns: BigInt(start_s) * 1_000_000_000n }),
  );
  await markSpans(engine, marked, at);
}

interface LedgerRow {
  readonly project_id: string;
  readonly key: string;
  readonly duplicates: number;
  readonly suspected: number;
  readonly provider_calls: number;
  readonly is_sum: number;
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  readonly reason: string;
}

const byKey = (a: LedgerRow, b: LedgerRow) =>
  `${a.project_id} ${a.key}` < `${b.project_id} ${b.key}` ? -1 : 1;

/** The view `calls`. */
async function readCalls(): Promise<LedgerRow[]> {
  const rows = await engine.query<LedgerRow>(
    `SELECT toString(project_id) AS project_id,
       concat(toString(toUnixTimestamp64Nano(ts)), ' ', lower(hex(trace_id)), ' ', lower(hex(span_id))) AS key,
       duplicates, suspected_duplicate AS suspected, provider_calls,
       toUInt8(usage_status = 'aggregate') AS is_sum,
       user_id, session_id, toString(agent_name) AS agent_name, toString(reason) AS reason
     FROM calls`,
  );
  return rows.toSorted(byKey);
}

/** What `calls` must be: the rules over all spans of each project, each in its last delivery. */
function expectCalls(spans: readonly Span[]): LedgerRow[] {
  const rows: LedgerRow[] = [];
  for (const project_id of new Set(spans.map((span) => span.project_id))) {
    const own = new Map(
      spans.filter((span) => span.project_id === project_id).map((span) => [keyOfSpan(span), span]),
    );
    const decisions = countCalls(
      [...own.values()].map((span) => candidateOfSpan(span)),
      () => true,
    );
    for (const [key, span] of own) {
      const decision = decisions.get(key);
      if (!isCounted(span, decision)) continue;
      const is_sum = decision?.is_aggregate === true || span.usage_status === "aggregate";
      const calls = decision === undefined ? span.provider_calls : decision.provider_calls;
      rows.push({
        project_id,
        key,
        duplicates: decision?.duplicates ?? 0,
        suspected: Number(decision?.suspected_duplicate ?? false),
        provider_calls: calls ?? 0,
        is_sum: Number(is_sum),
        user_id: decision?.user_id || span.user_id,
        session_id: decision?.session_id || span.session_id,
        agent_name: decision?.agent_name || span.agent_name,
        reason: reasonOf(span, decision),
      });
    }
  }
  return rows.toSorted(byKey);
}

const traceId = (number: number) => idBytes(number.toString(16).padStart(32, "0"));
const spanId = (number: number) => idBytes(number.toString(16).padStart(16, "0"));
const NO_USAGE = {
  tokens: byClass<number>({}),
  usage_status: "missing",
  cost: byClass<bigint>({}),
  cost_status: "unpriced",
  price_id: "",
} as const satisfies Partial<Span>;

/** A billable span of a trace; 0 is no parent. */
function call(trace: number, span: number, parent = 0, changes: Partial<Span> = {}): Span {
  return makeSpan({
    trace_id: traceId(trace),
    span_id: spanId(span),
    parent_span_id: spanId(parent),
    start_ns: START_NS + BigInt(span) * 1_000_000n,
    response_id: "",
    ...changes,
  });
}

function aggregate(trace: number, span: number, changes: Partial<Span> = {}): Span {
  return call(trace, span, 0, {
    span_class: "aggregate",
    usage_status: "aggregate",
    provider_calls: null,
    ...changes,
  });
}

/** Any spans of a few traces, projects, responses, sessions and scopes, so that they often meet. */
const worlds = fc
  .array(
    fc.record({
      project_id: fc.constantFrom("one", "two"),
      trace: fc.integer({ min: 1, max: 5 }),
      span: fc.integer({ min: 1, max: 7 }),
      parent: fc.integer({ min: 0, max: 7 }),
      span_class: fc.constantFrom(
        "billable",
        "billable",
        "billable",
        "aggregate",
        "tool",
        "structure",
      ),
      usage: fc.constantFrom("reported", "reported", "derived", "missing"),
      response_id: fc.constantFrom("", "", "", "r1", "r2", "r3"),
      size: fc.integer({ min: 1, max: 2 }),
      scope_name: fc.constantFrom("scope-a", "scope-b"),
      client: fc.constantFrom("", "", "", "span" as const, "log" as const),
      session_id: fc.constantFrom("", "", "s1", "s2"),
      user_id: fc.constantFrom("", "", "ann"),
      status: fc.constantFrom("unset", "unset", "error"),
      hour: fc.constantFrom(0, 0, 0, 1, 4),
    }),
    { minLength: 1, maxLength: 24 },
  )
  .map((parts) =>
    parts.map((part): Span => {
      const changes: Partial<Span> = {
        project_id: part.project_id,
        start_ns:
          START_NS + BigInt(part.hour) * 3_600_000_000_000n + BigInt(part.span) * 1_000_000n,
        span_class: part.span_class,
        response_id: part.response_id,
        tokens: byClass({ input_uncached: 100 * part.size, output_text: 20 }),
        usage_status: part.usage,
        scope_name: part.scope_name,
        session_id: part.session_id,
        user_id: part.user_id,
        status: part.status,
        ...(part.client === "" ? {} : { dialect: "claude-code", signal: part.client }),
        ...(part.usage === "missing" ? NO_USAGE : {}),
        ...(part.span_class === "billable" ? {} : { provider_calls: null }),
        ...(part.span_class === "aggregate" ? { usage_status: "aggregate" as const } : {}),
      };
      return call(part.trace, part.span, part.parent === part.span ? 0 : part.parent, changes);
    }),
  );

/** The spans once in any order with some of them again, and where the batches end. */
const deliveries = worlds.chain((all) => {
  const spans = [
    ...new Map(all.map((span) => [`${keyOfSpan(span)} ${span.project_id}`, span])).values(),
  ];
  return fc.record({
    spans: fc.constant(spans),
    order: fc.shuffledSubarray([...spans, ...spans.slice(0, 5)], {
      minLength: spans.length + Math.min(spans.length, 5),
    }),
    sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 40, maxLength: 40 }),
    /** Which of two collectors takes a batch, and whether it dies before its marks. */
    takers: fc.array(fc.constantFrom(0, 1), { minLength: 40, maxLength: 40 }),
    crashes: fc.array(fc.constantFrom("", "", "", "unresolved", "unmarked"), {
      minLength: 40,
      maxLength: 40,
    }),
  });
});

describe("after any deliveries", () => {
  test("calls are what the rules make of all spans at once, for two projects of the same ids and two collectors", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, async ({ spans, order, sizes, takers, crashes }) => {
        await clear();
        const resolvers = [makeResolver(), makeResolver()];
        let start = 0;
        for (let batch = 0; start < order.length; batch += 1) {
          const part = order.slice(start, start + (sizes[batch % 40] as number));
          start += part.length;
          const taker = takers[batch % 40] as number;
          if (crashes[batch % 40] !== "") {
            sequence += 1;
            await insertUnmarked(engine, part, sequence);
            if (crashes[batch % 40] === "unmarked") {
              await resolvers[taker]?.resolveBatch(batchOf(part, sequence));
            }
            resolvers[taker] = makeResolver();
            sequence -= 1;
          }
          await deliver(resolvers[taker] as Resolver, part);
        }
        await resolvers[0]?.resolveWaiting();
        expect(await readCalls()).toEqual(expectCalls(spans));
      }),
      { numRuns: Number(process.env["SPANLEDGER_TEST_RUNS"] ?? 20) },
    );
  }, 300_000);
});

describe("a late child of a call in an older bucket", () => {
  const wrapper = call(1, 1, 0, { start_ns: START_NS - 3_600_000_000_000n });
  const child = call(1, 2, 1);

  function makeRecompute(): Recompute {
    return new Recompute(engine, {
      interval_ms: 1000,
      max_buckets: 1000,
      day_interval_ms: 0,
      now_ms: () => now_ms,
      observe: () => {},
    });
  }

  async function countIn(view: string, time: string): Promise<Map<string, number>> {
    const rows = await engine.query<{ at: string; calls: string }>(
      `SELECT toString(toUnixTimestamp(toDateTime(${time}, 'UTC'))) AS at, sum(${view}.calls) AS calls FROM ${view} GROUP BY at HAVING calls > 0`,
    );
    return new Map(rows.map(({ at, calls }) => [at, Number(calls)]));
  }

  const [[, old_bucket_s] = ["", 0], [, new_bucket_s] = ["", 0]] = bucketsOf([wrapper, child]);
  const counts = async () => ({
    live: [...(await countIn("usage_15m", "bucket"))],
    rollup: [...(await countIn("usage_15m_rollup FINAL", "bucket").catch(() => new Map()))],
  });

  test("takes its parent out of the clean rollups of that bucket", async () => {
    const resolver = makeResolver();
    await deliver(resolver, [wrapper]);
    await makeRecompute().drain();
    expect((await counts()).live).toEqual([[String(old_bucket_s), 1]]);

    // Equal usage: the deeper report counts, so the old bucket must lose its call.
    expect(await deliver(resolver, [child])).toContainEqual(["default", old_bucket_s]);
    expect((await counts()).live).toEqual([[String(new_bucket_s), 1]]);
    await makeRecompute().drain();
    expect((await counts()).live).toEqual([[String(new_bucket_s), 1]]);
    for (const view of ["usage_day", "usage_user_day"]) {
      const [row] = await engine.query<{ calls: string }>(
        `SELECT sum(${view}.calls) AS calls FROM ${view}`,
      );
      expect(row?.calls).toBe("1");
    }
  });

  test("is told again by a repetition after a crash between the decisions and the marks", async () => {
    const resolver = makeResolver();
    await deliver(resolver, [wrapper]);
    await makeRecompute().drain();
    sequence += 1;
    await insertUnmarked(engine, [child], sequence);
    await resolver.resolveBatch(batchOf([child], sequence));
    // Nothing is left to decide, but nobody has marked the bucket.
    for (const repeating of [resolver, makeResolver()]) {
      const told = await repeating.resolveBatch(batchOf([child], sequence));
      expect(told).toContainEqual(["default", old_bucket_s]);
    }
  });
});

describe("a batch that is decided in several chunks", () => {
  test("is told whole when it comes again after the engine failed at the second", async () => {
    const wrappers = [1, 2].map((trace) =>
      call(trace, 1, 0, { start_ns: START_NS - BigInt(trace) * 3_600_000_000_000n }),
    );
    // Two traces that are too many rows to be decided in one go.
    const below = [1, 2].flatMap((trace) => [
      call(trace, 2, 1),
      ...Array.from({ length: 6_000 }, (_, at) =>
        call(trace, at + 3, 1, { ...NO_USAGE, span_class: "structure", provider_calls: null }),
      ),
    ]);
    let statements = 0;
    const failing = replaceMethods(engine, {
      async command(...args: Parameters<Engine["command"]>): Promise<void> {
        if (isDecisions(args[0])) statements += 1;
        if (isDecisions(args[0]) && statements === 2) throw new Error("away");
        await engine.command(...args);
      },
    });
    await deliver(makeResolver(), wrappers);
    // Nothing of it is a repetition because the process is new.
    now_ms = ARRIVED_MS - 1;
    const resolver = makeResolver(failing);
    now_ms = ARRIVED_MS + SETTLE_MS;
    sequence += 1;
    await insertUnmarked(engine, below, sequence);
    const batch = batchOf(below, sequence);
    await expect(resolver.resolveBatch(batch)).rejects.toThrow("away");
    const told = await resolver.resolveBatch(batch);
    expect(told).toEqual(expect.arrayContaining(bucketsOf(wrappers)));
    expect(await readCalls()).toHaveLength(2);
  });
});

describe("two collectors", () => {
  test("who read before the other's spans came loses, also when it writes last", async () => {
    const [outer, inner] = [call(1, 1), call(1, 2, 1)];
    // Without a nest of its own the trace would not be looked at.
    const others = [call(1, 3), call(1, 4, 3)];
    sequence += 1;
    await insertUnmarked(engine, [outer, ...others], sequence);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let reached = () => {};
    const reading = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const stale = makeResolver(
      replaceMethods(engine, {
        async query<Row>(sql: string, params = {}): Promise<Row[]> {
          const rows = await engine.query<Row>(sql, params);
          if (sql.includes("counting rules see them")) {
            reached();
            await held;
          }
          return rows;
        },
      }),
    );
    const late = stale.resolveBatch(batchOf([outer], sequence));
    await reading;
    await deliver(makeResolver(), [inner]);
    release();
    await late;
    expect(await readCalls()).toEqual(expectCalls([outer, inner, ...others]));
  });
});

/** Makes what was decided old enough to settle: decisions are as old as the engine's clock says. */
async function ageDecisions(): Promise<void> {
  await engine.command(
    `INSERT INTO call_decisions SELECT * REPLACE (ver - ${SETTLE_MS * 1000} AS ver) FROM call_decisions FINAL`,
  );
  await engine.command(
    `ALTER TABLE call_decisions DELETE WHERE ver > toUnixTimestamp64Micro(now64(6)) - ${SETTLE_MS * 1000} SETTINGS mutations_sync = 1`,
  );
}

/** Whether a statement stores decisions. */
const isDecisions = (sql: string) => sql.includes("INSERT INTO call_decisions");

describe("a collector that stores what it decided before another one inserted", () => {
  const [outer, inner] = [call(1, 1), call(1, 2, 1)];
  const asTool = { ...inner, ...NO_USAGE, span_class: "tool", provider_calls: null } as const;

  /** An engine that does something else before each statement that stores decisions. */
  function makeSlow(beforeStoring: (statement: number) => Promise<unknown>): Engine {
    let statements = 0;
    return replaceMethods(engine, {
      async command(...args: Parameters<Engine["command"]>): Promise<void> {
        if (isDecisions(args[0])) {
          statements += 1;
          await beforeStoring(statements);
        }
        await engine.command(...args);
      },
    });
  }

  test("decides again: the other one found no decision to take back", async () => {
    const slow = makeSlow(async (statement) => {
      if (statement > 1) return;
      await deliver(makeResolver(), [asTool]);
      const [rows] = await engine.query<{ rows: number }>(
        "SELECT toUInt32(count()) AS rows FROM call_decisions",
      );
      expect(rows).toEqual({ rows: 0 });
    });
    sequence += 1;
    const own = sequence;
    await insertUnmarked(engine, [outer, inner], own);
    const buckets = await makeResolver(slow).resolveBatch(batchOf([outer, inner], own));
    expect(await readCalls()).toEqual(expectCalls([outer, asTool]));
    expect(await readCalls()).toHaveLength(1);
    expect(buckets).toEqual(bucketsOf([outer]));
  });

  test("ends when others change the spans each time that it stores", async () => {
    let stored = 0;
    const slow = makeSlow(async (statement) => {
      stored = statement;
      sequence += 1;
      await insertUnmarked(engine, [statement % 2 === 1 ? asTool : inner], sequence);
    });
    sequence += 1;
    const own = sequence;
    await insertUnmarked(engine, [outer, inner], own);
    await makeResolver(slow).resolveBatch(batchOf([outer, inner], own));
    expect(stored).toBeGreaterThan(2);
    expect(stored).toBeLessThan(20);
    // The others decide what they inserted.
    const last = stored % 2 === 1 ? asTool : inner;
    await deliver(makeResolver(), [last]);
    expect(await readCalls()).toEqual(expectCalls([outer, last]));
  });

  test("reads the spans once when nobody inserted any, also when parts were merged meanwhile", async () => {
    let reads = 0;
    const merging = makeSlow(() => engine.command("OPTIMIZE TABLE spans FINAL"));
    const counting = replaceMethods(merging, {
      async query<Row>(sql: string, params = {}): Promise<Row[]> {
        if (sql.includes("counting rules see them")) reads += 1;
        return engine.query<Row>(sql, params);
      },
    });
    const countParts = () =>
      engine.query(
        "SELECT toUInt32(count()) AS parts FROM system.parts WHERE active AND table = 'spans' AND rows > 0",
      );
    await deliver(makeResolver(), [call(2, 1)]);
    await deliver(makeResolver(), [call(3, 1)]);
    await deliver(makeResolver(counting), [outer, inner]);
    expect(await countParts()).toEqual([{ parts: 1 }]);
    expect(await readCalls()).toHaveLength(3);
    expect(reads).toBe(1);
  });
});

describe("a sum that waits", () => {
  const agent = aggregate(1, 1, { agent_name: "planner" });
  const silent = call(1, 2, 1, NO_USAGE);
  const late = call(1, 3, 1, { start_ns: START_NS + 5_000_000_000n });
  const countedKeys = async () => (await readCalls()).map(({ key }) => key);

  async function settle(resolver: Resolver): Promise<Bucket[]> {
    await ageDecisions();
    return resolver.resolveWaiting();
  }

  test("counts only after its trace was quiet, in a new process too, and tells its bucket", async () => {
    now_ms = ARRIVED_MS + SETTLE_MS - 1;
    await deliver(makeResolver(), [agent, silent]);
    expect(await countedKeys()).toEqual([keyOfSpan(silent)]);
    expect(await settle(makeResolver())).toEqual([]);
    expect(await countedKeys()).toEqual([keyOfSpan(silent)]);

    now_ms += 1;
    const restarted = makeResolver();
    expect(await settle(restarted)).toContainEqual(bucketsOf([agent])[0]);
    expect(await readCalls()).toEqual(expectCalls([agent, silent]));
    expect(await countedKeys()).toEqual([keyOfSpan(agent)]);
    expect(await restarted.resolveWaiting()).toEqual([]);
    // Whoever comes after a crash cannot know that it was marked.
    expect(await makeResolver().resolveWaiting()).toContainEqual(bucketsOf([agent])[0]);
  });

  test("is taken back by a late child", async () => {
    const resolver = makeResolver();
    await deliver(resolver, [agent]);
    expect(await countedKeys()).toEqual([keyOfSpan(agent)]);
    expect(await deliver(resolver, [late])).toContainEqual(bucketsOf([agent])[0]);
    expect(await readCalls()).toEqual(expectCalls([agent, late]));
    expect(await countedKeys()).toEqual([keyOfSpan(late)]);
  });

  test("tells its bucket in the next round when the round failed after it was stored", async () => {
    const other = aggregate(2, 1, { start_ns: START_NS - 48n * 3_600_000_000_000n });
    let fails_at = Infinity;
    const failing = replaceMethods(engine, {
      async command(...args: Parameters<Engine["command"]>): Promise<void> {
        if (isDecisions(args[0])) fails_at -= 1;
        if (fails_at === 0) throw new Error("away");
        await engine.command(...args);
      },
    });
    const resolver = makeResolver(failing);
    await resolver.resolveWaiting();
    now_ms = ARRIVED_MS;
    for (const sum of [agent, other]) await deliver(makeResolver(), [sum]);
    now_ms += SETTLE_MS;
    fails_at = 2;
    await expect(settle(resolver)).rejects.toThrow("away");
    const told = await resolver.resolveWaiting();
    expect(told).toEqual(expect.arrayContaining(bucketsOf([agent, other])));
    expect(await resolver.resolveWaiting()).toEqual([]);
  });

  test("is marked in the end when marking failed before", async () => {
    now_ms = ARRIVED_MS;
    await deliver(makeResolver(), [agent]);
    now_ms += SETTLE_MS;
    const marked: Bucket[][] = [];
    const failures: ResolverEvent[] = [];
    await settle({ resolveWaiting: async () => [] } as unknown as Resolver);
    const done = new Promise<void>((resolve) => {
      const loop = new SettleLoop(
        makeResolver(),
        5,
        async (buckets) => {
          marked.push([...buckets]);
          if (marked.length === 1) throw new Error("away");
          void loop.stop().then(resolve);
        },
        (event) => failures.push(event),
      );
      loop.start();
    });
    await done;
    expect(failures).toEqual([{ kind: "failed", message: "away" }]);
    expect(marked[1]).toContainEqual(bucketsOf([agent])[0]);
  });
});

describe("what shares an identity", () => {
  const HOUR_NS = 3_600_000_000_000n;

  test("a trace is one over midnight, and to the edge of the window", async () => {
    const midnight = START_NS - (START_NS % (24n * HOUR_NS)) + 24n * HOUR_NS;
    const outer = call(1, 1, 0, { start_ns: midnight - 2n * HOUR_NS });
    const inner = call(1, 2, 1, { start_ns: midnight + 2n * HOUR_NS });
    const resolver = makeResolver();
    await deliver(resolver, [inner]);
    await deliver(resolver, [outer]);
    expect(await readCalls()).toEqual(expectCalls([outer, inner]));
    expect(await readCalls()).toHaveLength(1);
  });

  test("spans further apart than the window are counted apart, and an old one opens no years", async () => {
    const old = call(1, 1, 0, { start_ns: START_NS - 24n * 700n * HOUR_NS });
    const young = call(1, 2, 1);
    const ranges: [number, number][] = [];
    const resolver = makeResolver(
      replaceMethods(engine, {
        async query<Row>(sql: string, params = {}): Promise<Row[]> {
          const { from_s, to_s } = params as { from_s?: number; to_s?: number };
          if (from_s !== undefined && to_s !== undefined) ranges.push([from_s, to_s]);
          return engine.query<Row>(sql, params);
        },
      }),
    );
    await deliver(resolver, [old, young]);
    expect(await readCalls()).toHaveLength(2);
    expect(ranges.length).toBeGreaterThan(0);
    for (const [from_s, to_s] of ranges)
      expect(to_s - from_s).toBeLessThanOrEqual(4 * WINDOW_S + BUCKET_S);
  });

  // The engine keeps both rows of a block (optimize_on_insert): FINAL and the rules must take the same.
  test("a span that one block holds several times is what it says last, for tables and rules", async () => {
    const says = (span: number, size: number) =>
      call(1, span, 0, {
        response_id: size === 2 ? "r1" : `r${10 * span + size}`,
        user_id: `user-${size}`,
      });
    const block = [says(1, 1), says(2, 3), says(1, 2), call(2, 5), says(2, 1), says(2, 2)];
    const last = [says(1, 2), says(2, 2), call(2, 5)];
    await deliver(makeResolver(), block);
    expect(await readCalls()).toEqual(expectCalls(last));
    expect(await readCalls()).toHaveLength(2);
    const [users] = await engine.query<{ users: string[] }>(
      "SELECT arraySort(groupUniqArray(user_id)) AS users FROM spans FINAL WHERE user_id != ''",
    );
    expect(users?.users).toEqual(["user-2"]);
    await engine.command("OPTIMIZE TABLE spans FINAL");
    expect(await readCalls()).toEqual(expectCalls(last));
  });

  // Found by the property above: what bears on a trace must be what the store looks for.
  test.each([
    ["the event first", [0, 1]],
    ["the trace first", [1, 0]],
  ])("a session that a span of another client names hides no call, %s", async (_name, order) => {
    const event = call(2, 7, 0, { dialect: "claude-code", signal: "log", session_id: "s1" });
    const turn = call(1, 1, 0, { span_class: "structure", session_id: "s1" });
    const under = call(1, 3, 1, { dialect: "claude-code" });
    const resolver = makeResolver();
    for (const index of order) await deliver(resolver, index === 0 ? [event] : [turn, under]);
    expect(await readCalls()).toEqual(expectCalls([event, turn, under]));
    expect(await readCalls()).toHaveLength(2);
  });

  test("a trace of one project is not decided by the same ids of another", async () => {
    const one = [call(1, 1, 0, { project_id: "one", response_id: "r" })];
    const two = [
      call(1, 2, 0, { project_id: "two", response_id: "r" }),
      call(2, 1, 0, { project_id: "two", response_id: "r" }),
    ];
    const resolver = makeResolver();
    await deliver(resolver, [...one, ...two]);
    expect(await readCalls()).toEqual(expectCalls([...one, ...two]));
  });

  test("traces, spans and parents whose ids end in zeros are found like any other", async () => {
    const pair = [256, 512].map((trace) => call(trace, 256, 0, { response_id: "r" }));
    const nest = [call(65_536, 256), call(65_536, 512, 256)];
    const resolver = makeResolver();
    for (const span of [...pair, ...nest]) await deliver(resolver, [span]);
    expect(await readCalls()).toEqual(expectCalls([...pair, ...nest]));
    expect(await readCalls()).toHaveLength(2);
  });

  test.each([
    ["another response", { response_id: "other" }, 2],
    ["a tool", { span_class: "tool", response_id: "", usage_status: "missing" }, 1],
  ] as const)(
    "a twin that comes again as %s gives back what it took",
    async (_, changes, calls) => {
      for (const winner of [1, 2]) {
        await clear();
        const twins = [1, 2].map((trace) =>
          call(trace, trace, 0, {
            response_id: "r",
            tokens: byClass(
              trace === winner
                ? { input_uncached: 90, cache_read: 10, output_text: 20 }
                : { input_uncached: 100, output_text: 20 },
            ),
          }),
        );
        const again = { ...(twins[0] as Span), ...changes };
        const resolver = makeResolver();
        for (const span of twins) await deliver(resolver, [span]);
        expect(await readCalls()).toHaveLength(1);
        await deliver(resolver, [again]);
        expect(await readCalls()).toEqual(expectCalls([again, twins[1] as Span]));
        expect(await readCalls()).toHaveLength(calls);
      }
    },
  );

  test("what it took is given back also when the process ends before that is stored", async () => {
    const winner = call(1, 1, 0, { response_id: "r" });
    const loser = call(2, 2, 0, { response_id: "r", status: "error" });
    const again = { ...winner, response_id: "other" };
    for (const span of [winner, loser]) await deliver(makeResolver(), [span]);
    expect(await readCalls()).toMatchObject([{ key: keyOfSpan(winner), duplicates: 1 }]);
    sequence += 1;
    await insertUnmarked(engine, [again], sequence);
    let writes = 0;
    const ending = replaceMethods(engine, {
      async command(...args: Parameters<Engine["command"]>): Promise<void> {
        writes += 1;
        if (writes > 1) throw new Error("the end");
        await engine.command(...args);
      },
    });
    const batch = batchOf([again], sequence);
    await expect(makeResolver(ending).resolveBatch(batch)).rejects.toThrow("the end");
    await makeResolver().resolveBatch(batch);
    expect(await readCalls()).toEqual(expectCalls([again, loser]));
  });

  test("a sum counts when the call below it comes again without usage", async () => {
    const below = call(1, 2, 1);
    const again = { ...below, ...NO_USAGE };
    const resolver = makeResolver();
    await deliver(resolver, [aggregate(1, 1), below]);
    await deliver(resolver, [again]);
    expect(await readCalls()).toEqual(expectCalls([aggregate(1, 1), again]));
    expect(await readCalls()).toMatchObject([{ is_sum: 1 }]);
  });

  test("a mark of a suspected twin stays when its trace is decided for something else", async () => {
    const first = call(1, 1, 0, { scope_name: "sdk" });
    const second = call(2, 2, 0, { scope_name: "gateway" });
    const more = [call(2, 3, 0, NO_USAGE), call(1, 4, 0, NO_USAGE)];
    const resolver = makeResolver();
    await deliver(resolver, [first]);
    await deliver(resolver, [second]);
    for (const span of more) await deliver(resolver, [span]);
    expect(await readCalls()).toEqual(expectCalls([first, second, ...more]));
    expect((await readCalls()).filter(({ suspected }) => suspected === 1)).toHaveLength(1);
  });
});

describe("many spans", () => {
  // Columns with one value in twenty that is not the default are stored sparsely, and the engine
  // gathers a list of them in another order than lists of other columns: of 452 spans the one call
  // then stood at the counts of another. Found with this capture.
  test("a call among hundreds of plain spans keeps its own counts and session", async () => {
    const [spans, events] = (["traces", "logs"] as const).map((signal) => {
      const suffix = signal === "logs" ? ".logs.pb" : ".pb";
      const file = new URL(
        `../../test/captures/codex-cli-0.169.0/exec_pb${suffix}`,
        import.meta.url,
      );
      const options = { project_id: "default", capture_content: false };
      return READERS[signal](readFileSync(file), "protobuf", loadPriceBook(), options).spans;
    }) as [Span[], Span[]];
    const resolver = makeResolver();
    await deliver(resolver, spans);
    await deliver(resolver, events);
    const rows = await readCalls();
    expect(rows).toEqual(expectCalls([...spans, ...events]));
    expect(rows).toMatchObject([{ duplicates: 1 }]);
  });

  test("a trace of 50,000 spans is decided whole", async () => {
    const spans = Array.from({ length: 50_000 }, (_, at) =>
      call(1, at + 2, at % 100 === 0 ? 1 : 0),
    );
    const resolver = makeResolver();
    await deliver(resolver, [call(1, 1), ...spans.slice(0, 49_000)]);
    await deliver(resolver, spans.slice(49_000));
    const expected = expectCalls([call(1, 1), ...spans]);
    expect(await readCalls()).toEqual(expected);
  }, 120_000);

  test("a response that more traces report than can be one call is no identity, and stops nothing", async () => {
    const spans = Array.from({ length: 20_000 }, (_, at) =>
      call(at + 1, at + 1, 0, { response_id: "same" }),
    );
    const pair = [1, 2].map((trace) => call(50_000 + trace, trace, 0, { response_id: "own" }));
    await deliver(makeResolver(), [...spans, ...pair]);
    expect(await readCalls()).toHaveLength(20_001);
  }, 120_000);

  test("a response that wears out gives back what it took while it was still one call's", async () => {
    const spans = Array.from({ length: 1_001 }, (_, at) =>
      call(at + 1, at + 1, 0, { response_id: "same" }),
    );
    const resolver = makeResolver();
    await deliver(resolver, spans.slice(1));
    expect(await readCalls()).toHaveLength(1);
    await deliver(resolver, spans.slice(0, 1));
    const rows = await readCalls();
    expect(rows).toHaveLength(1_001);
    expect(rows.filter(({ duplicates }) => duplicates > 0)).toEqual([]);
  }, 120_000);

  test("a trace too large to decide is left as its spans say, with an event, and others are decided", async () => {
    const large = Array.from({ length: 200_001 }, (_, at) => call(1, at + 1, at));
    const others = [call(2, 1), call(2, 2, 1)];
    await deliver(makeResolver(), [...large, ...others]);
    expect(await readCalls()).toHaveLength(large.length + 1);
    const failures = events.filter(({ kind }) => kind === "left_out");
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatchObject({ message: expect.stringContaining("counted as they are") });
  }, 240_000);

  test("a trace that cannot be read holds up its batch for a bounded number of rounds", async () => {
    const bad = [call(1, 1), call(1, 2, 1)];
    const good = [call(2, 3), call(2, 4, 3)];
    const bad_trace = "1".padStart(32, "0");
    const resolver = makeResolver(
      replaceMethods(engine, {
        async query<Row>(sql: string, params = {}): Promise<Row[]> {
          const { traces } = params as { traces?: readonly string[] };
          if (sql.includes("counting rules see them") && traces?.includes(bad_trace)) {
            throw new Error("memory limit exceeded");
          }
          return engine.query<Row>(sql, params);
        },
      }),
    );
    sequence += 1;
    await insertUnmarked(engine, [...bad, ...good], sequence);
    const batch = batchOf([...bad, ...good], sequence);
    for (let round = 0; round < 4; round += 1) {
      await expect(resolver.resolveBatch(batch)).rejects.toThrow("memory limit");
    }
    await resolver.resolveBatch(batch);
    expect(await readCalls()).toHaveLength(3);
  });

  test("an engine that is away leaves nothing out, however often it fails", async () => {
    const spans = [call(1, 1), call(1, 2, 1)];
    let is_away = true;
    const resolver = makeResolver(
      replaceMethods(engine, {
        async query<Row>(sql: string, params = {}): Promise<Row[]> {
          if (is_away) throw new Error("away");
          return engine.query<Row>(sql, params);
        },
      }),
    );
    sequence += 1;
    await insertUnmarked(engine, spans, sequence);
    for (let round = 0; round < 10; round += 1) {
      await expect(resolver.resolveBatch(batchOf(spans, sequence))).rejects.toThrow("away");
    }
    is_away = false;
    await resolver.resolveBatch(batchOf(spans, sequence));
    expect(await readCalls()).toEqual(expectCalls(spans));
  });
});
