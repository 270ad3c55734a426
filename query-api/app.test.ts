/**
 * `GET /v1/usage` against the truth: thousands of odd spans in a real engine, every answer compared
 * to the last digit with a fold in plain TypeScript, whatever state the rollups are in.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Recompute } from "../collector/recompute/recompute.ts";
import { UsageAnswer } from "../schemas/api.ts";
import type { Span } from "../schemas/span.ts";
import {
  DIMENSION_NAMES,
  type DimensionName,
  DEFAULT_MEASURE_NAMES,
  MEASURE_NAMES,
  type MeasureName,
} from "../schemas/usage.ts";
import { makeTestApi, readStrictly, type TestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans, LedgerModel } from "../test/support/ledger.ts";
import { makeRandomSpan, ODD_TEXTS } from "../test/support/random-span.ts";
import { makeRandom } from "../test/support/random.ts";
import { makeSpan } from "../test/support/span.ts";
import {
  coverageTruth,
  groupCalls,
  latenciesOf,
  measureTruth,
  nearestRank,
  selectCalls,
  type TruthQuestion,
  UNPROVED_MEASURES,
} from "../test/support/usage-truth.ts";
import { readMeasures, Sums } from "./measures.ts";
import { takeApart } from "./usage.ts";
import type { UsageQuestion } from "./usage-question.ts";
import { answeringSources } from "./usage-source.ts";
import { compileUsage } from "./usage-sql.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** Three days of October 2026; on the second, a Sunday, summer time ends in Berlin. */
const FIRST_MS = Date.UTC(2026, 9, 24);
const WHOLE = { from_ms: FIRST_MS, to_ms: FIRST_MS + 3 * DAY_MS };
/** Neither end on a border of a bucket. */
const RAGGED = { from_ms: FIRST_MS + 26_001_457, to_ms: FIRST_MS + 2 * DAY_MS + 71_099_999 };
/** Both starts of summer time, borders of months, all strays. */
const LONG = { from_ms: Date.UTC(2026, 1, 10, 3), to_ms: Date.UTC(2026, 10, 5, 0, 0, 0, 1) };
const QUARTERS = { from_ms: FIRST_MS + 5 * HOUR_MS, to_ms: FIRST_MS + 31 * HOUR_MS + 900_000 };
const INSIDE_A_BUCKET = { from_ms: FIRST_MS + 7_201_001, to_ms: FIRST_MS + 7_900_003 };
const ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"];
const RANDOM_SPANS = 4_800;
/** Days far from the others, the first cut by the start of the long range. */
const STRAY_DAYS_MS = [
  Date.UTC(2026, 1, 10),
  Date.UTC(2026, 2, 28),
  Date.UTC(2026, 8, 30),
  Date.UTC(2026, 9, 31),
  Date.UTC(2026, 10, 4),
];

interface Asked extends Partial<TruthQuestion> {
  readonly measures?: readonly MeasureName[];
  readonly limit?: number;
}

let test_engine: TestEngine;
let api: TestApi;
let recompute: Recompute;
const model = new LedgerModel();
const random = makeRandom(20_261_024);
let sequence = 0;

/** A delivery: what arrives replaces what was known of the same spans. */
async function deliver(spans: readonly Span[]): Promise<void> {
  sequence += 1;
  model.deliver(spans);
  await insertSpans(test_engine.engine, spans, sequence);
}

function randomSpans(count: number, from_ms: number, to_ms: number): Span[] {
  return Array.from({ length: count }, () => {
    const start_ns =
      BigInt(from_ms + random.whole(to_ms - from_ms)) * 1_000_000n +
      BigInt(random.whole(1_000_000));
    return makeRandomSpan(random, random.chance(0.7) ? "alpha" : "beta", start_ns);
  });
}

/** Spans at the very borders of buckets, days, months and summer times, and just before them. */
function borderSpans(): Span[] {
  const borders = [
    FIRST_MS,
    FIRST_MS + 900_000,
    FIRST_MS + DAY_MS,
    WHOLE.to_ms,
    RAGGED.from_ms,
    RAGGED.to_ms,
    INSIDE_A_BUCKET.from_ms,
    INSIDE_A_BUCKET.to_ms,
    Date.UTC(2026, 2, 29, 1),
    Date.UTC(2026, 9, 25, 1),
    Date.UTC(2026, 9, 1),
    Date.UTC(2026, 10, 1),
    Date.UTC(2026, 2, 8, 5, 30),
    Date.UTC(2026, 8, 30, 18, 15),
  ];
  return borders.flatMap((border_ms) => {
    const border_ns = BigInt(border_ms) * 1_000_000n;
    return [border_ns - 1n, border_ns].flatMap((start_ns) => [
      makeRandomSpan(random, "alpha", start_ns),
      makeRandomSpan(random, "beta", start_ns),
    ]);
  });
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine, { now_ms: () => WHOLE.to_ms - 1 });
  recompute = new Recompute(test_engine.engine, {
    interval_ms: 10,
    max_buckets: 2_000,
    day_interval_ms: 10_000,
    now_ms: Date.now,
    observe: () => {},
  });
  const first = [...randomSpans(RANDOM_SPANS / 2, WHOLE.from_ms, WHOLE.to_ms), ...borderSpans()];
  await deliver(first);
  await deliver([
    ...randomSpans(RANDOM_SPANS / 2, WHOLE.from_ms, WHOLE.to_ms),
    ...STRAY_DAYS_MS.flatMap((day_ms) => randomSpans(10, day_ms, day_ms + DAY_MS)),
    // The same again, as a client sends it that saw no answer.
    ...first.slice(0, 700),
  ]);
});
afterAll(() => test_engine.close());

type AskedQuestion = UsageQuestion & TruthQuestion;

function questionOf(asked: Asked): AskedQuestion {
  return {
    project_id: asked.project_id ?? "alpha",
    ...(asked.from_ms === undefined ? WHOLE : { from_ms: asked.from_ms, to_ms: asked.to_ms ?? 0 }),
    group_by: asked.group_by ?? [],
    interval: asked.interval ?? "none",
    tz: asked.tz ?? "UTC",
    filters: asked.filters ?? {},
    measures: asked.measures ?? DEFAULT_MEASURE_NAMES,
    limit: asked.limit ?? 10_000,
  };
}

function urlOf(question: UsageQuestion): string {
  const params = new URLSearchParams({
    from: new Date(question.from_ms).toISOString(),
    to: new Date(question.to_ms).toISOString(),
    interval: question.interval,
    tz: question.tz,
    limit: String(question.limit),
  });
  if (question.group_by.length > 0) params.set("group_by", question.group_by.join(","));
  if (question.measures !== DEFAULT_MEASURE_NAMES)
    params.set("measures", question.measures.join(","));
  for (const [name, values] of Object.entries(question.filters)) {
    for (const value of values) params.append(name, value);
  }
  return `/v1/usage?${params.toString()}`;
}

const QUANTILES = { p50_ns: 50, p90_ns: 90, p95_ns: 95, p99_ns: 99 } as const;
/** Half a bucket of the histogram: the square root of its width, 2^(1/32), is 2.19 % above one. */
const QUANTILE_ERROR = 2 ** (1 / 32) - 1;

/** The row without its quantiles, after each was held against the exact one. */
function checkQuantiles(row: object, calls: readonly Span[], problems: string[]): object {
  const kept: Record<string, unknown> = { ...row };
  for (const name of ["duration", "ttft"] as const) {
    if (kept[name] === undefined) continue;
    const values = latenciesOf(calls, name);
    const { p50_ns, p90_ns, p95_ns, p99_ns, ...rest } = kept[name] as Record<string, number | null>;
    const given = { p50_ns, p90_ns, p95_ns, p99_ns };
    for (const [field, percent] of Object.entries(QUANTILES)) {
      const exact = nearestRank(values, percent);
      const answered = given[field as keyof typeof given];
      // One ns for rounding: 0 and 1 ns share a bucket.
      const isNear =
        exact === null || typeof answered !== "number"
          ? exact === answered
          : Math.abs(answered - Number(exact)) <= Number(exact) * QUANTILE_ERROR + 1;
      if (!isNear) problems.push(`${name} ${field} is ${String(answered)}, truly ${String(exact)}`);
    }
    kept[name] = rest;
  }
  return kept;
}

/** Asks and holds the whole answer against the fold over what was delivered. */
async function checkUsage(asked: Asked): Promise<UsageAnswer> {
  const question = questionOf(asked);
  const url = urlOf(question);
  const { status, text, json } = await api.ask(url, `key-${question.project_id}`);
  expect(status, `${url} answered ${text.slice(0, 300)}`).toBe(200);
  const answer = readStrictly(UsageAnswer, json);
  const groups = groupCalls(model.spans(), question);
  const calls = selectCalls(model.spans(), question);
  const problems: string[] = [];
  const rows = answer.rows.map((row, index) =>
    checkQuantiles(row, groups[index]?.calls ?? [], problems),
  );
  const totals = checkQuantiles(answer.totals, calls, problems);
  expect({ ...answer, rows, totals, problems }, url).toEqual({
    from: new Date(question.from_ms).toISOString(),
    to: new Date(question.to_ms).toISOString(),
    tz: question.tz,
    interval: question.interval,
    group_by: question.group_by,
    rows: groups.slice(0, question.limit).map((group) => ({
      ...(group.time_ms === null ? {} : { time: new Date(group.time_ms).toISOString() }),
      ...Object.fromEntries(
        question.group_by.map((name, index) => [name, group.keys[index] || null]),
      ),
      ...measureTruth(group.calls, question.measures),
    })),
    totals: measureTruth(calls, question.measures),
    coverage: coverageTruth(calls),
    truncated: groups.length > question.limit,
    next_cursor: groups.length > question.limit ? expect.any(String) : null,
    problems: [],
  });
  return answer;
}

async function checkAll(list: readonly Asked[]): Promise<void> {
  await Promise.all(list.map((asked) => checkUsage(asked)));
}

const PAIRS: readonly (readonly DimensionName[])[] = [
  ["provider", "model"],
  ["request_model", "response_model"],
  ["service_name", "agent_name"],
  ["model", "user_id"],
  ["user_id", "session_id"],
  ["environment", "price_id", "operation"],
];

const FILTERED: readonly Asked[] = [
  { filters: { model: ["gpt-4o-mini"] } },
  { filters: { model: ["gpt-4o-mini", "it's", "x') OR 1=1 --"], provider: ["openai", ""] } },
  { ...RAGGED, filters: { user_id: ODD_TEXTS }, group_by: ["user_id"] },
  { filters: { user_id: ODD_TEXTS }, group_by: ["user_id"], measures: ["calls", "cost"] },
  { filters: { session_id: [...ODD_TEXTS, "session-1"] }, group_by: ["session_id"] },
  { filters: { service_name: ["it's", "back\\slash\\"], agent_name: ["write\\r", "'"] } },
  { filters: { user_id: ["user-1"] }, group_by: ["model"], interval: "day", tz: "Asia/Kolkata" },
  { filters: { provider: ["nobody"] }, group_by: ["model"] },
  { filters: { environment: [""] }, interval: "hour", group_by: ["environment"] },
];

/** Steps of time in every zone; ranges whose ends lie on no border of the step. */
const STEPS: readonly Asked[] = [
  { ...RAGGED, interval: "15m", tz: "Asia/Kathmandu" },
  { ...QUARTERS, interval: "hour", tz: "America/St_Johns", group_by: ["model"] },
  { ...RAGGED, interval: "day", group_by: ["service_name"] },
  ...ZONES.flatMap((tz): Asked[] => [
    { ...RAGGED, interval: "hour", tz },
    { ...LONG, interval: "day", tz },
    { ...LONG, interval: "week", tz },
    { ...LONG, interval: "month", tz, group_by: ["operation"] },
  ]),
];

/** Defined after the constants above; run in every state of the rollups. */
function checkEveryQuestion(): void {
  test("every dimension alone is exact, over whole days", async () => {
    await checkAll(DIMENSION_NAMES.map((name) => ({ group_by: [name] })));
  });

  test("every dimension alone is exact, over a range that ends inside of buckets", async () => {
    await checkAll(DIMENSION_NAMES.map((name) => ({ ...RAGGED, group_by: [name] })));
  });

  test("several dimensions at once are exact", async () => {
    await checkAll(PAIRS.map((group_by) => ({ group_by })));
  });

  test("every step of time is exact in every time zone", async () => {
    await checkAll(STEPS);
  });

  test("filters select exactly their values, whatever text they are", async () => {
    await checkAll(FILTERED);
  });

  test("ranges of any ends are exact, also inside of one bucket", async () => {
    await checkAll([QUARTERS, INSIDE_A_BUCKET, RAGGED, LONG]);
  });

  test("the other project has its own numbers", async () => {
    await checkAll([
      { project_id: "beta", group_by: ["provider"] },
      { project_id: "beta", ...RAGGED, group_by: ["user_id"], measures: ["cost_usd", "calls"] },
    ]);
  });
}

/** Rows of a table; the rollups with what they deleted. */
async function countRows(table: string): Promise<number> {
  const [row] = await test_engine.engine.query<{ rows: string }>(
    `SELECT count() AS rows FROM ${table}`,
  );
  return Number(row?.rows);
}

describe("while nothing is computed yet", () => {
  test("the rollups are empty and calls are there", async () => {
    expect(await countRows("usage_15m_rollup")).toBe(0);
    expect(model.calls().length).toBeGreaterThan(4_000);
  });
  checkEveryQuestion();
});

describe("when the rollups have everything", () => {
  test("nothing is dirty", async () => {
    await recompute.drain();
    expect(await countRows("(SELECT 1 FROM rollup_dirty_pairs WHERE dirty_15m OR dirty_day)")).toBe(
      0,
    );
    expect(await countRows("usage_15m_rollup")).toBeGreaterThan(1_000);
  });
  checkEveryQuestion();
});

/** A model with a single call, so that its group vanishes when the call turns out to be another's. */
const LONELY_MODEL = "model of one call";
const lonely = makeSpan({
  project_id: "alpha",
  start_ns: BigInt(FIRST_MS + 40 * HOUR_MS) * 1_000_000n,
  request_model: LONELY_MODEL,
  response_model: "",
  user_id: "user of one call",
});

describe("when only some of what came later is computed", () => {
  test("a corrected call moves from its group to another", async () => {
    await deliver([lonely]);
    await recompute.drain();
    const before = await checkUsage({ group_by: ["model"] });
    expect(before.rows.map((row) => row.model)).toContain(LONELY_MODEL);
    await deliver([{ ...lonely, request_model: "corrected", user_id: "user-1" }]);
    const after = await checkUsage({ group_by: ["model"] });
    expect(after.rows.map((row) => row.model)).not.toContain(LONELY_MODEL);
    await checkUsage({ filters: { user_id: ["user of one call"] }, group_by: ["user_id"] });
    await checkUsage({ filters: { model: [LONELY_MODEL] } });
  });

  test("late, new, corrected and withdrawn calls are delivered", async () => {
    const calls = model.calls();
    const corrected = Array.from({ length: 60 }, () => random.pick(calls)).map((span) => ({
      ...makeRandomSpan(random, span.project_id, span.start_ns),
      trace_id: span.trace_id,
      span_id: span.span_id,
      dialect: "otel-genai",
    }));
    const withdrawn = Array.from({ length: 30 }, () => random.pick(calls)).map((span): Span => ({
      ...span,
      span_class: "structure",
      cost_status: "none",
    }));
    await deliver([...randomSpans(120, WHOLE.from_ms, WHOLE.to_ms), ...corrected]);
    await recompute.round();
    const late_ms = STRAY_DAYS_MS[1] as number;
    await deliver([...withdrawn, ...randomSpans(20, late_ms, late_ms + DAY_MS)]);
    expect(await countRows("(SELECT 1 FROM rollup_dirty_pairs WHERE dirty_15m)")).toBeGreaterThan(
      20,
    );
  });
  checkEveryQuestion();
});

describe("when what came later is computed too", () => {
  test("groups without calls are gone from the rollups", async () => {
    await recompute.drain();
    await checkUsage({ group_by: ["model"] });
    await checkUsage({ ...RAGGED, interval: "hour", tz: "Asia/Kathmandu", group_by: ["model"] });
    await checkUsage({ filters: { model: [LONELY_MODEL] } });
    await checkUsage({ group_by: ["user_id"], measures: ["calls", "cost_usd"] });
  });

  test("every table that can answer a question gives the same answer", async () => {
    const asked: Asked[] = [
      { group_by: ["provider", "price_id"] },
      { ...RAGGED, group_by: ["model"], interval: "week" },
      { ...LONG, interval: "month" },
      { group_by: ["service_name"] },
      { group_by: ["user_id"], measures: ["calls", "errors", "tokens", "cost", "client_cost_usd"] },
    ];
    const tables: string[][] = [];
    for (const question of asked.map((one) => questionOf(one))) {
      const sources = answeringSources(question);
      tables.push(sources);
      for (const source of sources) {
        const { sql, params } = compileUsage(question, {
          sources: sources.slice(sources.indexOf(source)),
        });
        const rows = await test_engine.engine.query<Record<string, string>>(sql, params);
        const groups = groupCalls(model.spans(), question);
        const problems: string[] = [];
        const measured = rows.map((row, index) => {
          const sums = new Sums();
          sums.add(takeApart(row, question.group_by.length).columns);
          const values = readMeasures(sums, question.measures);
          return checkQuantiles(values, groups[index]?.calls ?? [], problems);
        });
        expect({ source, measured, problems }).toEqual({
          source,
          measured: groups.map((group) => measureTruth(group.calls, question.measures)),
          problems: [],
        });
      }
    }
    expect(tables).toEqual([
      ["usage_day", "usage_15m", "usage_calls"],
      ["usage_day", "usage_15m", "usage_calls"],
      ["usage_day", "usage_15m", "usage_calls"],
      ["usage_day", "usage_calls"],
      ["usage_user_day", "usage_calls"],
    ]);
  });
});

describe("parameters", () => {
  test("without a range the last 24 hours are answered", async () => {
    const { json } = await api.ask("/v1/usage");
    const answer = readStrictly(UsageAnswer, json);
    // The end of the minute that is.
    const { to_ms } = WHOLE;
    const question = questionOf({ from_ms: to_ms - DAY_MS, to_ms });
    const calls = selectCalls(model.spans(), question);
    const problems: string[] = [];
    expect(calls.length).toBeGreaterThan(100);
    expect({ ...answer, rows: [], totals: checkQuantiles(answer.totals, calls, problems) }).toEqual(
      {
        from: new Date(to_ms - DAY_MS).toISOString(),
        to: new Date(to_ms).toISOString(),
        tz: "UTC",
        interval: "none",
        group_by: [],
        rows: [],
        totals: measureTruth(calls, DEFAULT_MEASURE_NAMES),
        coverage: coverageTruth(calls),
        truncated: false,
        next_cursor: null,
      },
    );
    expect(problems).toEqual([]);
  });

  test("a day is its start in UTC, and an offset is part of an instant", async () => {
    const { json } = await api.ask("/v1/usage?from=2026-10-24&to=2026-10-25T02:00:00%2B02:00");
    const { from, to, totals } = readStrictly(UsageAnswer, json);
    expect([from, to]).toEqual(["2026-10-24T00:00:00.000Z", "2026-10-25T00:00:00.000Z"]);
    const question = questionOf({ from_ms: FIRST_MS, to_ms: FIRST_MS + DAY_MS });
    expect(totals.calls).toBe(selectCalls(model.spans(), question).length);
  });

  test("measures give their fields alone, with coverage", async () => {
    const proved = MEASURE_NAMES.filter((name) => !UNPROVED_MEASURES.includes(name));
    await checkAll(proved.map((name) => ({ measures: [name] })));
    await checkUsage({ ...RAGGED, measures: proved, group_by: ["provider"], interval: "hour" });
    await checkUsage({ measures: ["cost_per_user_usd", "unique_users"], interval: "day" });
    await checkUsage({ measures: ["output_total", "ttft"], group_by: ["user_id"] });
  });

  test("a limit keeps the dearest rows, and the totals are still of all", async () => {
    const asked: Asked = { group_by: ["model", "user_id"], limit: 7 };
    const answer = await checkUsage(asked);
    expect(answer.rows).toHaveLength(7);
    expect(answer.truncated).toBe(true);
    await checkUsage({ ...RAGGED, interval: "hour", group_by: ["provider"], limit: 11 });
    await checkUsage({ ...RAGGED, group_by: ["user_id"], measures: ["cost_usd"], limit: 1 });
  });

  test("as many rows as the limit allows are not truncated", async () => {
    const all = await checkUsage({ group_by: ["provider"] });
    const exact = await checkUsage({ group_by: ["provider"], limit: all.rows.length });
    expect(exact.truncated).toBe(false);
    const less = await checkUsage({ group_by: ["provider"], limit: all.rows.length - 1 });
    expect(less.truncated).toBe(true);
  });

  test("short names and repeated names of dimensions mean the dimension once", async () => {
    const { json } = await api.ask(
      "/v1/usage?group_by=user,%20service,user_id&measures=calls,calls",
    );
    const answer = readStrictly(UsageAnswer, json);
    expect(answer.group_by).toEqual(["user_id", "service_name"]);
    expect(Object.keys(answer.rows[0] ?? {}).sort()).toEqual([
      "calls",
      "coverage",
      "service_name",
      "user_id",
    ]);
  });

  test("an empty range of time has no rows, and totals without anything known", async () => {
    const answer = await checkUsage({ from_ms: Date.UTC(2025, 0, 1), to_ms: Date.UTC(2025, 0, 3) });
    expect(answer.rows).toEqual([]);
    expect(answer.totals).toMatchObject({ calls: 0, input_total: null, cost_usd: null });
  });
});
