/**
 * Pricing stored calls again, against `priceSpan`: the ledger afterwards must be the one that pricing
 * every span anew would have made, whatever happened on the way.
 */
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_ENGINE_LIMITS, type Engine } from "../../clickhouse/engine.ts";
import { openServer } from "../../clickhouse/server.ts";
import { RetryableError } from "../../schemas/errors.ts";
import type { Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { formatUsd } from "../../schemas/units.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../../test/support/fake-clickhouse.ts";
import { clearLedger, insertSpans, replaceMethods } from "../../test/support/ledger.ts";
import { makeRandom } from "../../test/support/random.ts";
import { idBytes } from "../../test/support/span.ts";
import { makeFile, makeModel, makeRow, makeSpan } from "../price/fixture.ts";
import { Recompute } from "../recompute/recompute.ts";
import {
  compileBook,
  FIRST_DAY_S,
  makeRandomBook,
  makeUnpricedSpan,
  priceBy,
  type TestBook,
} from "./fixture.ts";
import { MAX_BATCH_QUESTIONS } from "./rater.ts";
import type { RatingReport } from "./report.ts";
import { rerate, type RatingFilter, type RatingOptions } from "./rerate.ts";
import { compareBook } from "./runs.ts";

/** `npm run test:long`: stopped at every command, not at some. */
const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";

let test_engine: TestEngine;
let engine: Engine;
let fake: FakeClickHouse;
let server: Engine;
beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
  fake = await startFakeClickHouse({
    directory: join(test_engine.directory, "clickhouse"),
    database: "spanledger",
  });
  server = openServer({ url: fake.url, limits: DEFAULT_ENGINE_LIMITS });
  await engine.command("CREATE TABLE wanted_spans AS spans");
});
afterAll(async () => {
  await server.close();
  await fake.close();
  await test_engine.close();
});
beforeEach(async () => {
  await engine.command("SYSTEM STOP MERGES spans");
  await clearLedger(engine);
  await engine.command("TRUNCATE TABLE price_runs");
  await engine.command("TRUNCATE TABLE call_decisions");
});

const ALL: RatingFilter = { from: null, to: null, provider: null, model: null, project_id: null };

function run(
  { rater }: TestBook,
  changes: Partial<RatingOptions> = {},
  on: Engine = engine,
): Promise<RatingReport> {
  const options = { filter: ALL, dry_run: false, now_ms: Date.now, tell: () => {} };
  return rerate(on, rater, { ...options, ...changes });
}

async function readTable(table: string): Promise<unknown[]> {
  return engine.query(
    `SELECT * REPLACE (hex(trace_id) AS trace_id, hex(span_id) AS span_id, hex(parent_span_id) AS parent_span_id)
     FROM ${table} ORDER BY project_id, ts, trace_id, span_id`,
  );
}

/** The rows that the spans make when they are inserted into an empty ledger. */
async function rowsOf(spans: readonly Span[], sequence = 1): Promise<unknown[]> {
  await engine.command("TRUNCATE TABLE wanted_spans");
  const redirected = replaceMethods(engine, {
    insertNative: (_table, columns, blocks) => engine.insertNative("wanted_spans", columns, blocks),
    command: () => Promise.resolve(),
  });
  await insertSpans(redirected, spans, sequence);
  return readTable("wanted_spans");
}

function makeSpans(seed: number, count: number): Span[] {
  const random = makeRandom(seed);
  return Array.from({ length: count }, () => makeUnpricedSpan(random));
}

function costOf(span: Span): bigint {
  return span.cost.reduce((sum: bigint, cost) => sum + (cost ?? 0n), span.cost_fees ?? 0n);
}

const COST = [...TOKEN_CLASSES, "fees"].map((name) => `sum(cost_${name})`).join(" + ");

/** Cost of each project, bucket, price and model: through the view, or from the table behind it. */
async function readUsage(source: string): Promise<unknown[]> {
  return engine.query(
    `SELECT project_id, bucket, provider, request_model, price_id, sum(calls) AS calls,
       sum(calls_unpriced) AS unpriced, ${COST} AS cost
     FROM ${source} GROUP BY ALL HAVING calls > 0 ORDER BY ALL`,
  );
}

/** The same straight from the calls. */
const CALLS = "usage_calls";

async function drain(): Promise<void> {
  const recompute = new Recompute(engine, {
    interval_ms: 5,
    max_buckets: 50,
    day_interval_ms: 1_000,
    now_ms: Date.now,
    observe: (event) => {
      if (event.kind === "failed") throw new Error(event.message);
    },
  });
  await recompute.drain();
}

describe("every row becomes what priceSpan makes of it", () => {
  test.each([1, 2, 3, 4])("with random books and calls (seed %d)", async (seed) => {
    const random = makeRandom(seed * 1_000);
    const [before, after] = [makeRandomBook(random), makeRandomBook(random)];
    const spans = makeSpans(seed, 600);
    const old = spans.map((span) => priceBy(before, span));
    const wanted = spans.map((span) => priceBy(after, span));
    await insertSpans(engine, old, 1);
    const report = await run(after, { max_range_rows: random.pick([40, 10_000]) });
    expect(await readTable("spans FINAL")).toEqual(await rowsOf(wanted));
    expect(new Set(wanted.map((span) => span.cost_status)).size).toBe(4);

    const differs = (span: Span, index: number) =>
      JSON.stringify(priceFields(span)) !== JSON.stringify(priceFields(old[index] as Span));
    const calls = wanted.filter((span) => span.span_class === "billable");
    expect(report).toMatchObject({
      calls: calls.length,
      spans_changed: wanted.filter(differs).length,
      calls_changed: wanted.filter(
        (span, index) => span.span_class === "billable" && differs(span, index),
      ).length,
    });

    const again = await run(after);
    expect(again).toMatchObject({
      spans_changed: 0,
      calls_changed: 0,
      cost_usd_before: report.cost_usd_after,
      cost_usd_after: report.cost_usd_after,
      models: [],
    });
  });

  test.each(["embedded", "server"])(
    "with more questions than one statement takes, some of them odd (%s)",
    async (kind) => {
      const random = makeRandom(9);
      const [before, after] = [makeRandomBook(random), makeRandomBook(random)];
      const spans = makeSpans(9, MAX_BATCH_QUESTIONS + 300).map((span, index) => ({
        ...span,
        request_model: `${span.request_model} '\\\t\n${index}`,
      }));
      await insertSpans(
        engine,
        spans.map((span) => priceBy(before, span)),
        1,
      );
      await run(after, {}, kind === "server" ? server : engine);
      expect(await readTable("spans FINAL")).toEqual(
        await rowsOf(spans.map((span) => priceBy(after, span))),
      );
    },
  );
});

function priceFields(span: Span): unknown {
  const { cost, cost_fees, cost_status, price_id, reason } = span;
  return [cost.map(String), String(cost_fees), cost_status, price_id, reason];
}

describe("two rows of one span", () => {
  const old = makeBook("1");
  const corrected = makeBook("3");
  const call = makeSpan({
    start_ns: BigInt(FIRST_DAY_S) * 1_000_000_000n,
    provider: "openai",
    request_model: "m-1",
    tokens: TOKEN_CLASSES.map((_name, index) => (index === 0 ? 1_000_000 : null)),
    dialect: "otel-genai",
  });

  async function readCosts(): Promise<unknown> {
    const rows = await engine.query<{ cost: string }>(
      "SELECT toString(cost_input_uncached) AS cost FROM spans FINAL",
    );
    return rows.map(({ cost }) => cost);
  }

  test("of equal versions are the later one: not merged, merged with FINAL and merged on disk", async () => {
    await insertSpans(engine, [priceBy(old, call)], 5);
    await run(corrected);
    const stored = await engine.query("SELECT ingest_seq FROM spans");
    expect(stored).toEqual([{ ingest_seq: "5" }, { ingest_seq: "5" }]);
    expect(await readCosts()).toEqual(["3"]);
    await run(old);
    expect(await readCosts()).toEqual(["1"]);
    await run(corrected);
    await engine.command("SYSTEM START MERGES spans");
    await engine.command("OPTIMIZE TABLE spans FINAL");
    expect(await engine.query("SELECT toString(cost_input_uncached) AS cost FROM spans")).toEqual([
      { cost: "3" },
    ]);
  });

  test("of which one is a redelivery are the redelivery, priced as it came", async () => {
    await insertSpans(engine, [priceBy(old, call)], 5);
    await run(corrected);
    await insertSpans(engine, [priceBy(corrected, call)], 9);
    expect(await readCosts()).toEqual(["3"]);
    expect((await run(corrected)).spans_changed).toBe(0);
    await engine.command("SYSTEM START MERGES spans");
    await engine.command("OPTIMIZE TABLE spans FINAL");
    expect(await readCosts()).toEqual(["3"]);
  });
});

/** A book with one model of the price. */
function makeBook(usd_per_million: string): TestBook {
  const row = makeRow({ usd_per_million: { input_uncached: usd_per_million } });
  return compileBook([makeFile("openai", [makeModel("m-1", [row])])]);
}

describe("the answers of the ledger", () => {
  test("follow the rows at once, and the rollups after them", async () => {
    const random = makeRandom(31);
    const [before, after] = [makeRandomBook(random), makeRandomBook(random)];
    const spans = makeSpans(32, 500);
    const old = spans.map((span) => priceBy(before, span));
    const wanted = spans.map((span) => priceBy(after, span));
    await insertSpans(engine, old, 1);
    await drain();
    const totals = (list: readonly Span[]) =>
      formatUsd(
        list
          .filter((span) => span.span_class === "billable")
          .reduce((sum, span) => sum + costOf(span), 0n),
      );
    const [asked] = await engine.query<{ cost: string }>(`SELECT ${COST} AS cost FROM usage_day`);
    expect(asked?.cost).toBe(totals(old));
    const report = await run(after);
    expect([report.cost_usd_before, report.cost_usd_after]).toEqual([totals(old), totals(wanted)]);
    for (const view of ["usage_15m", "usage_day", "usage_user_day"]) {
      const [row] = await engine.query<{ cost: string }>(`SELECT ${COST} AS cost FROM ${view}`);
      expect(row?.cost, view).toBe(totals(wanted));
    }
    expect(await readUsage("usage_15m")).toEqual(await readUsage(CALLS));
    await drain();
    expect(await readUsage("usage_15m_rollup FINAL")).toEqual(await readUsage(CALLS));
  });

  test("leave out of the report what does not count, and price it all the same", async () => {
    const book = makeBook("2");
    const call = (number: number) =>
      makeSpan({
        start_ns: BigInt(FIRST_DAY_S + number) * 1_000_000_000n,
        span_id: idBytes(`000000000000000${number}`),
        provider: "openai",
        request_model: "m-1",
        tokens: TOKEN_CLASSES.map((_name, index) => (index === 0 ? 1_000_000 : null)),
      });
    const unpriced = compileBook([makeFile("openai", [])]);
    const spans = [call(1), call(2), { ...call(3), span_class: "aggregate" as const }];
    await insertSpans(
      engine,
      spans.map((span) => priceBy(unpriced, span)),
      1,
    );
    await engine.command(
      `INSERT INTO call_decisions (project_id, ts, trace_id, span_id, counted, reason, ver)
       SELECT project_id, ts, trace_id, span_id, 'no', 'a twin', 1 FROM spans WHERE span_id = unhex('0000000000000002')`,
    );
    expect(await run(book)).toMatchObject({
      spans_changed: 3,
      calls: 1,
      calls_changed: 1,
      newly_priced: 1,
      no_longer_priced: 0,
      cost_usd_before: "0",
      cost_usd_after: "2",
      models: [{ provider: "openai", model: "m-1", newly_priced: 1, cost_usd_after: "2" }],
    });
    expect(await run(unpriced)).toMatchObject({ newly_priced: 0, no_longer_priced: 1 });
    expect(await readTable("spans FINAL")).toEqual(
      await rowsOf(spans.map((span) => priceBy(unpriced, span))),
    );
  });
});

const HOUR_NS = 3_600_000_000_000n;
const DAY_NS = 24n * HOUR_NS;

describe("a run", () => {
  const random = makeRandom(77);
  const [before, after] = [makeRandomBook(random), makeRandomBook(random)];
  const spans = makeSpans(78, 400);
  const old = spans.map((span) => priceBy(before, span));
  const wanted = spans.map((span) => priceBy(after, span));

  test("that is dry reports the same and writes nothing", async () => {
    await insertSpans(engine, old, 1);
    await drain();
    const dry = await run(after, { dry_run: true });
    expect(await readTable("spans")).toEqual(await rowsOf(old));
    expect(await engine.query("SELECT * FROM price_runs")).toEqual([]);
    expect(await engine.query("SELECT * FROM rollup_dirty_pairs WHERE dirty_15m")).toEqual([]);
    expect(dry.calls_changed).toBeGreaterThan(50);
    expect({ ...(await run(after)), dry_run: true }).toEqual(dry);
  });

  test.each<[string, Partial<RatingFilter>, (span: Span) => boolean]>([
    ["a provider", { provider: "openai" }, (span) => span.provider === "openai"],
    [
      "a model",
      { model: "m-2" },
      (span) => span.request_model === "m-2" || span.response_model === "m-2",
    ],
    ["a project", { project_id: "beta" }, (span) => span.project_id === "beta"],
    ["days", { from: "2026-10-24", to: "2026-10-24" }, (span) => dayOf(span) === 1],
    ["days on", { from: "2026-10-25" }, (span) => dayOf(span) === 2],
    ["days before", { to: "2026-10-24" }, (span) => dayOf(span) < 2],
  ])("of %s changes nothing else", async (_kind, filter, isMeant) => {
    await insertSpans(engine, old, 1);
    await run(after, { filter: { ...ALL, ...filter } });
    const mixed = spans.map((span, index) => (isMeant(span) ? wanted : old)[index] as Span);
    expect(await readTable("spans FINAL")).toEqual(await rowsOf(mixed));
  });

  test("tells how far it is, up to all rows", async () => {
    await insertSpans(engine, old, 1);
    const told: [string, number, number][] = [];
    await run(after, {
      max_range_rows: 50,
      tell: ({ day, rows_done, rows_total }) => told.push([day, rows_done, rows_total]),
    });
    const rows = spans.filter((span) => ["billable", "aggregate"].includes(span.span_class)).length;
    expect(told.length).toBeGreaterThan(4);
    expect(told[0]?.[0]).toBe("2026-10-23");
    expect(told.at(-1)).toEqual(["2026-10-25", rows, rows]);
  });

  test("is on record with what it did", async () => {
    await insertSpans(engine, old, 1);
    const report = await run(after, { filter: { ...ALL, project_id: "beta" } });
    expect(
      await engine.query(
        `SELECT toString(state) AS state, fingerprint, project_id, open_day_s, toFloat64(calls) AS calls,
           toFloat64(calls_changed) AS changed, toString(cost_before) AS before, toString(cost_after) AS after
         FROM price_runs FINAL`,
      ),
    ).toEqual([
      {
        state: "finished",
        fingerprint: after.rater.fingerprint,
        project_id: "beta",
        open_day_s: 0,
        calls: report.calls,
        changed: report.calls_changed,
        before: report.cost_usd_before,
        after: report.cost_usd_after,
      },
    ]);
  });

  // A bucket of each of two days, because they are computed again and again.
  const some = spans.filter(
    (span) => dayOf(span) < 2 && span.project_id === "beta" && span.start_ns % DAY_NS < HOUR_NS,
  );
  const [old_some, wanted_some] = [before, after].map((book) =>
    some.map((span) => priceBy(book, span)),
  ) as [Span[], Span[]];

  test("that is stopped anywhere is made up for by the next, rollups included", async () => {
    const points = [];
    for (let point = 1; ; point += LONG ? 1 : 4) {
      await clearLedger(engine);
      await insertSpans(engine, old_some, 1);
      await drain();
      // Rollups are computed when it is worst: the marks are used up before the rows are there.
      const stopped = await run(after, {}, stopAt(point, drain)).catch((error: unknown) => error);
      if (!(stopped instanceof Error)) break;
      expect(stopped.message).toBe("stopped");
      points.push(point);
      await drain();
      await run(after);
      expect(await readUsage("usage_15m")).toEqual(await readUsage(CALLS));
      await drain();
      expect(await readUsage("usage_15m_rollup FINAL")).toEqual(await readUsage(CALLS));
      expect(await readTable("spans FINAL")).toEqual(await rowsOf(wanted_some));
      expect(await engine.query("SELECT 1 FROM price_runs FINAL WHERE state = 'running'")).toEqual(
        [],
      );
    }
    expect(points.length).toBeGreaterThan(LONG ? 9 : 2);
  }, 120_000);

  test("that is stopped anywhere leaves exact answers where nobody computes rollups meanwhile", async () => {
    for (let point = 2; point <= 9; point += LONG ? 1 : 3) {
      await clearLedger(engine);
      await engine.command("TRUNCATE TABLE price_runs");
      await insertSpans(engine, old_some, 1);
      await drain();
      const stopped = run(
        after,
        {},
        stopAt(point, () => Promise.resolve()),
      );
      await expect(stopped).rejects.toThrow("stopped");
      expect(await readUsage("usage_15m"), String(point)).toEqual(await readUsage(CALLS));
    }
  }, 60_000);

  test("marks above what earlier ones marked, though the clock went back", async () => {
    await insertSpans(engine, old, 1);
    await run(after);
    await drain();
    await run(before, { now_ms: () => 1_000 });
    expect(await readUsage("usage_15m")).toEqual(await readUsage(CALLS));
  });
});

function dayOf(span: Span): number {
  return Math.floor((Number(span.start_ns / 1_000_000_000n) - FIRST_DAY_S) / 86_400);
}

/** An engine that lets something happen between marks and rows, and refuses a command and all after. */
function stopAt(command: number, beforeRows: () => Promise<void>): Engine {
  let left = command;
  return replaceMethods(engine, {
    async command(sql, params, lane) {
      left -= 1;
      if (left <= 0) throw new RetryableError("test", "stopped");
      if (sql.startsWith("INSERT INTO spans ")) await beforeRows();
      await engine.command(sql, params, lane);
    },
  });
}

describe("the book of the last run", () => {
  test("is remembered at first, then compared; only a run of all calls replaces it", async () => {
    const [first, second] = [makeBook("1"), makeBook("2")];
    const compare = ({ rater }: TestBook) => compareBook(engine, rater.fingerprint, Date.now());
    expect(await compare(first)).toBe("first");
    expect(await compare(first)).toBe("same");
    expect(await compare(second)).toBe("changed");
    await run(second, { filter: { ...ALL, provider: "openai" } });
    await run(second, { dry_run: true });
    expect(await compare(second)).toBe("changed");
    await run(second);
    expect(await compare(second)).toBe("same");
    expect(await compare(first)).toBe("changed");
  });
});
