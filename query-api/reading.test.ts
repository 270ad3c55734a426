/**
 * What a project's usage is read from, held against the views and against the calls themselves, in every
 * state of the marks and with deliveries and computations between the two statements of a reader.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { Recompute } from "../collector/recompute/recompute.ts";
import type { Span } from "../schemas/span.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { clearLedger, insertSpans, LedgerModel, markSpans } from "../test/support/ledger.ts";
import { makeRandomSpan } from "../test/support/random-span.ts";
import { makeRandom } from "../test/support/random.ts";
import { callCost, usdText } from "../test/support/usage-truth.ts";
import {
  chooseTables,
  fromTable,
  MAX_NAMED_BUCKETS,
  readLedger,
  readLedgerVersion,
} from "./reading.ts";
import { VIEWS } from "./usage-question.ts";

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 9, 20);
const RANGE = { from_ms: START_MS, to_ms: START_MS + 4 * DAY_MS };
const PROJECTS = ["alpha", "beta"];

let test_engine: TestEngine;
let engine: Engine;
let model = new LedgerModel();
let sequence = 0;
const random = makeRandom(5);

beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
});
afterAll(() => test_engine.close());
beforeEach(async () => {
  await clearLedger(engine);
  model = new LedgerModel();
});

function makeSpans(count: number, project_id = "alpha", day?: number): Span[] {
  return Array.from({ length: count }, () => {
    const day_ms = (day ?? random.whole(4)) * DAY_MS;
    const ms = START_MS + day_ms + random.whole(12) * 7_200_000 + random.whole(4) * 299_000;
    return makeRandomSpan(random, project_id, BigInt(ms) * 1_000_000n + BigInt(random.whole(1e9)));
  });
}

/** Inserts spans and marks their buckets. */
async function deliver(spans: readonly Span[]): Promise<void> {
  sequence += 1;
  await insertSpans(engine, spans, sequence);
  model.deliver(spans);
}

function makeRecompute(): Recompute {
  return new Recompute(engine, {
    interval_ms: 1,
    max_buckets: 10_000,
    day_interval_ms: 0,
    now_ms: Date.now,
    observe(event) {
      if (event.kind === "failed") throw new Error(event.message);
    },
  });
}

const SOURCES = ["usage_15m", "usage_day", "usage_user_day"] as const;

/** Sums of a project over a table, with columns that add up, that are bits and that are maps. */
async function sumOf(source: string, table: string, project_id: string): Promise<object> {
  const maps =
    source === "usage_user_day"
      ? "sumMap(cost_by_price) AS maps, sum(sessions) AS sessions, groupUniqArray(user_id) AS keys"
      : "sumMap(duration_histogram) AS maps, 0 AS sessions, groupUniqArray(price_id) AS keys";
  const [row] = await engine.query<{ keys: string[] }>(
    `SELECT sum(calls) AS calls, sum(errors) AS errors, sum(tokens_output_text) AS tokens,
       ${COST} AS cost, groupBitOr(usage_mask) AS mask, ${maps}
     ${fromTable(table)} WHERE project_id = {project_id:String}`,
    { project_id },
  );
  return { ...row, keys: row?.keys.toSorted() };
}

const CLASSES =
  "input_uncached cache_read cache_write_5m cache_write_1h cache_write output_text output_reasoning input_audio output_audio input_image output_image fees";
const COST = CLASSES.split(" ")
  .map((name) => `sum(part.cost_${name})`)
  .join(" + ");

/** Calls and cost of a project, worked out from what was delivered. */
function truthOf(project_id: string): { calls: string; cost: string } {
  const calls = model.calls().filter((span) => span.project_id === project_id);
  const cost = calls.reduce((sum, span) => sum + (callCost(span) ?? 0n), 0n);
  return { calls: String(calls.length), cost: usdText(cost) };
}

/** Every source of every project says the truth, and what its view says. */
async function expectExact(): Promise<void> {
  for (const project_id of PROJECTS) {
    const tables = await chooseTables(engine, project_id, RANGE);
    for (const source of SOURCES) {
      const sums = await sumOf(source, tables[source], project_id);
      expect(sums, `${project_id} ${source}`).toMatchObject(truthOf(project_id));
      expect(sums).toEqual(await sumOf(source, VIEWS[source], project_id));
    }
  }
}

test("clean, dirty and half computed projects are read as their views and calls say", async () => {
  await deliver([...makeSpans(60), ...makeSpans(30, "beta")]);
  await expectExact(); // nothing is computed
  await makeRecompute().drain();
  const clean = await chooseTables(engine, "alpha", RANGE);
  for (const source of SOURCES) {
    expect(clean[source]).not.toContain("usage_calls");
    // A level of sub-selects more would cost as much to plan as the rows cost to read.
    expect(fromTable(clean[source])).toMatch(/^FROM usage_\w+_rollup AS part FINAL PREWHERE /);
  }
  await expectExact();
  await deliver(makeSpans(5, "alpha", 1));
  const dirty = await chooseTables(engine, "alpha", RANGE);
  for (const source of SOURCES) expect(dirty[source]).toContain("usage_calls");
  // The late spans of one project leave the others where they were.
  expect((await chooseTables(engine, "beta", RANGE)).usage_day).not.toContain("usage_calls");
  await expectExact();
});

test("a dirty day outside the range is no reason to read the calls", async () => {
  await deliver(makeSpans(20));
  await makeRecompute().drain();
  await deliver(makeSpans(3, "alpha", 3));
  const range = { from_ms: START_MS, to_ms: START_MS + 3 * DAY_MS };
  const tables = await chooseTables(engine, "alpha", range);
  for (const source of SOURCES) expect(tables[source]).not.toContain("usage_calls");
});

test("what is delivered, computed and marked done between the two statements is never counted twice", async () => {
  await deliver([...makeSpans(40), ...makeSpans(10, "beta")]);
  const recompute = makeRecompute();
  await recompute.drain();
  for (let step = 0; step < 3; step += 1) {
    await deliver(makeSpans(4));
    const before = truthOf("alpha");
    const tables = await chooseTables(engine, "alpha", RANGE); // the first statement
    const late = makeSpans(3, "alpha", step % 4);
    if (step % 3 !== 0) await deliver(late);
    const after = truthOf("alpha");
    if (step % 3 !== 1) await recompute.round(true); // computed, not marked done
    if (step % 3 === 2) await recompute.drain(); // marked done too
    for (const source of SOURCES) {
      const { calls, cost } = (await sumOf(source, tables[source], "alpha")) as typeof before;
      // Each bucket is of one moment between the two; the sum lies between both.
      expect(Number(calls)).toBeGreaterThanOrEqual(Number(before.calls));
      expect(Number(calls)).toBeLessThanOrEqual(Number(after.calls));
      expect(Number(cost)).toBeGreaterThanOrEqual(Number(before.cost));
      expect(Number(cost)).toBeLessThanOrEqual(Number(after.cost));
    }
    await expectExact();
  }
});

test("what is read for one project has nothing of another", async () => {
  await deliver([...makeSpans(20), ...makeSpans(15, "beta")]);
  await makeRecompute().drain();
  await deliver([...makeSpans(2), ...makeSpans(2, "beta")]);
  const { usage_15m } = await chooseTables(engine, "alpha", RANGE);
  const rows = await engine.query<{ project: string }>(
    `SELECT DISTINCT toString(project_id) AS project FROM ${usage_15m}`,
    { project_id: "alpha" },
  );
  expect(rows).toEqual([{ project: "alpha" }]);
});

test("more dirty buckets than can be named are left to the views", async () => {
  const count = MAX_NAMED_BUCKETS + 1;
  await engine.command(
    `INSERT INTO rollup_dirty (project_id, bucket, writer_id, marked, done_15m, done_day)
     SELECT 'alpha', toDateTime(900 * number, 'UTC'), 'w', 2, 0, 0 FROM numbers({count:UInt32})`,
    { count },
  );
  expect(await chooseTables(engine, "alpha", RANGE)).toEqual(VIEWS);
  expect(await readLedger(engine, "alpha")).toMatchObject({ dirty_15m: null, dirty_days: null });
});

test("the version changes with every mark of the project and with no other", async () => {
  const versions = new Set<string>();
  const read = async () => versions.add(await readLedgerVersion(engine, "alpha"));
  const [span] = makeSpans(1) as [Span];
  await read();
  await deliver([span]);
  await read();
  expect(versions.size).toBe(2);
  await deliver([span]); // the same bucket again, by the same writer
  await read();
  expect(versions.size).toBe(3);
  await markSpans(engine, [{ ...span, dialect: "otel-genai" }], 1, "rerate");
  await read();
  expect(versions.size).toBe(4);
  await deliver(makeSpans(3, "beta"));
  await read();
  await engine.command("OPTIMIZE TABLE rollup_dirty FINAL");
  await read();
  expect(versions.size).toBe(4);
});

test("computing rollups leaves the version as it is: no answer changes by it", async () => {
  await deliver(makeSpans(10));
  const before = await readLedgerVersion(engine, "alpha");
  await makeRecompute().drain();
  expect((await readLedger(engine, "alpha")).dirty_15m).toEqual([]);
  expect(await readLedgerVersion(engine, "alpha")).toBe(before);
});

test("a mark stays longer than a version can hold, so that no version comes back", async () => {
  const [row] = await engine.query<{ statement: string }>("SHOW CREATE TABLE rollup_dirty");
  const kept_h = Number(
    /TTL touched_at \+ toIntervalHour\((\d+)\)/.exec(row?.statement ?? "")?.[1],
  );
  const [half_hours] = (await readLedgerVersion(engine, "alpha")).split("-");
  // Versions of two half hours differ whatever the marks are.
  expect(Math.abs(Number(half_hours) - Date.now() / 1_800_000)).toBeLessThan(1.1);
  expect(kept_h).toBeGreaterThanOrEqual(1);
});
