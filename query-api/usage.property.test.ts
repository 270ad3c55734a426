/**
 * For random questions `GET /v1/usage` equals the same sum over all pages of `GET /v1/calls`, to the
 * last digit: any measures by any dimensions and tags, in every interval, in zones whose clocks move by
 * half an hour or stand at a quarter, with filters, exclusions, a top and pages of any length.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Recompute } from "../collector/recompute/recompute.ts";
import { CallsAnswer, UsageAnswer } from "../schemas/api.ts";
import type { UsageRow } from "../schemas/api-usage.ts";
import type { CallRow } from "../schemas/call.ts";
import { Attributes, type Span } from "../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES } from "../schemas/tokens.ts";
import { DIMENSION_NAMES, INTERVALS, MEASURE_NAMES, type MeasureName } from "../schemas/usage.ts";
import { makeTestApi, readStrictly, type TestApi } from "../test/support/api.ts";
import {
  type CallGroup,
  type CallQuestion,
  callsOf,
  groupsOf,
  measuresOf,
  valueOf,
} from "../test/support/call-truth.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { makeRandomSpan, ODD_TEXTS } from "../test/support/random-span.ts";
import { makeRandom } from "../test/support/random.ts";
import type { PriceLister } from "./prices.ts";

/** `npm run test:long`: five times as many questions. */
const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const FACTOR = LONG ? 5 : 1;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ZONES = [
  "UTC",
  "Asia/Kathmandu",
  "Pacific/Chatham",
  "Australia/Eucla",
  "Australia/Lord_Howe",
  "America/St_Johns",
  "America/Santiago",
  "Europe/Berlin",
];
/** Times around which calls lie: clocks move in Lord Howe and Chatham, Berlin and Santiago; a month ends. */
const CENTRES_MS = [
  Date.UTC(2026, 3, 4, 15),
  Date.UTC(2026, 8, 26, 14),
  Date.UTC(2026, 9, 3, 15, 30),
  Date.UTC(2026, 9, 25, 1),
  Date.UTC(2026, 8, 6, 4),
  Date.UTC(2026, 8, 30, 23),
];
const LAST_MS = Date.UTC(2026, 9, 27);
const TAG_KEYS = ["team", "it's", "__proto__", "cost center"];

/** Picodollars of a token by price and class; a class that is left out has no price. */
const UNIT_PRICES = new Map(
  ["openai/a/standard/initial", "anthropic/b,c/batch/2026-01-01", "p'q"].map((price_id, row) => [
    price_id,
    TOKEN_CLASSES.map((name, index) =>
      row === 2 && name === "cache_read" ? null : BigInt(7_919 * (index + 1) + 31 * row),
    ),
  ]),
);
const UNCACHED = new Map([...UNIT_PRICES].map(([price_id, prices]) => [price_id, prices[0] ?? 0n]));

/** A price book that knows those rows. */
const LISTER: PriceLister = {
  priceOf: (price_id, name) => UNIT_PRICES.get(price_id)?.[CLASS_INDEX[name]] ?? null,
  findRow: (price_id) => {
    const picodollars_per_token = UNIT_PRICES.get(price_id);
    return picodollars_per_token === undefined
      ? null
      : { price_id, tier: "standard", region: "", input_tokens_over: 0, picodollars_per_token };
  },
  listPrices: () => [],
  hasModel: () => false,
  listModels: () => [],
};

const random = makeRandom(20_260_404);

/** A random span whose costs are those of its price. */
function makePricedSpan(project_id: string, start_ns: bigint): Span {
  const span = makeRandomSpan(random, project_id, start_ns);
  const tags = TAG_KEYS.filter(() => random.chance(0.4));
  span.tags = new Attributes(
    tags,
    tags.map(() => random.pick(["a", "b", ...ODD_TEXTS])),
  );
  span.key_id = random.pick(["", "key-1", "key-2"]);
  const prices = UNIT_PRICES.get(span.price_id);
  if (prices === undefined) return span;
  span.cost = span.tokens.map((tokens, index) => {
    const price = prices[index] ?? null;
    return tokens === null || price === null ? null : BigInt(tokens) * price;
  });
  const isWhole = span.tokens.every(
    (tokens, index) => (tokens === null) === (span.cost[index] === null),
  );
  const isPart = span.cost.some((cost) => cost !== null) || span.cost_fees !== null;
  if (span.cost_status !== "none") {
    span.cost_status = isWhole ? "priced" : isPart ? "partial" : "unpriced";
  }
  if (span.cost_status === "unpriced") span.price_id = "";
  return span;
}

function makeSpans(count: number, project_id: string): Span[] {
  return Array.from({ length: count }, () => {
    const offset_ms = Math.floor((random.next() - 0.5) * 2.4 * DAY_MS);
    const start_ms = Math.min(random.pick(CENTRES_MS) + offset_ms, LAST_MS - 1);
    return makePricedSpan(
      project_id,
      BigInt(start_ms) * 1_000_000n + BigInt(random.whole(1_000_000)),
    );
  });
}

let test_engine: TestEngine;
let api: TestApi;
let calls: readonly CallRow[];
/** Keys that spans were sent with: the list of calls does not tell them. */
const keys_of_calls = new Map<string, string>();

beforeAll(async () => {
  test_engine = await openTestEngine();
  const { engine } = test_engine;
  api = makeTestApi(engine, { now_ms: () => LAST_MS, prices: LISTER });
  const recompute = new Recompute(engine, {
    interval_ms: 10,
    max_buckets: 5_000,
    day_interval_ms: 10_000,
    now_ms: Date.now,
    observe: () => {},
  });
  const spans = [...makeSpans(600, "alpha"), ...makeSpans(100, "beta")];
  for (const span of spans) {
    const ids = [span.trace_id, span.span_id].map((id) => Buffer.from(id).toString("hex"));
    keys_of_calls.set(ids.join("-"), span.key_id);
  }
  await insertSpans(engine, spans.slice(0, 560), 1);
  await recompute.drain();
  // What came last is not computed yet, so every source has something of both sides.
  await insertSpans(engine, spans.slice(560), 2);
  calls = await readCalls();
}, 180_000);
afterAll(() => test_engine.close());

/** All calls of the project, page by page. */
async function readCalls(): Promise<CallRow[]> {
  const found: CallRow[] = [];
  const range = "from=2026-01-01&to=2026-12-31&limit=100";
  for (let cursor = ""; ;) {
    const { json } = await api.ask(`/v1/calls?${range}${cursor}`);
    const page = readStrictly(CallsAnswer, json);
    found.push(...page.calls);
    if (page.next_cursor === null) return found;
    cursor = `&cursor=${page.next_cursor}`;
  }
}

interface Asked extends CallQuestion {
  readonly measures: readonly MeasureName[];
  readonly limit: number;
}

const NAMES = [...DIMENSION_NAMES, ...TAG_KEYS.map((key) => `tag.${key}`)];

/** Values of a dimension that a call has, and one that none has. */
const filterOf = fc.tuple(
  fc.constantFrom(...NAMES),
  fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
);

const instants = fc
  .tuple(
    fc.constantFrom(...CENTRES_MS),
    fc.oneof(
      fc.integer({ min: -40 * DAY_MS, max: 40 * DAY_MS }),
      fc.integer({ min: -160, max: 160 }).map((quarters) => quarters * 900_000),
      fc.integer({ min: -30, max: 30 }).map((days) => days * DAY_MS),
    ),
  )
  .map(([centre_ms, offset_ms]) => Math.min(centre_ms + offset_ms, LAST_MS));

const questions = fc.record({
  ends: fc.tuple(instants, instants).filter(([from_ms, to_ms]) => from_ms !== to_ms),
  group_by: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 3 }),
  interval: fc.constantFrom(...INTERVALS),
  tz: fc.constantFrom(...ZONES),
  filters: fc.array(filterOf, { maxLength: 2 }),
  excluded: fc.array(filterOf, { maxLength: 1 }),
  measures: fc.uniqueArray(fc.constantFrom(...MEASURE_NAMES), { minLength: 1, maxLength: 5 }),
  rank: fc.constantFrom("calls", "cost_usd", "errors", "output_total"),
  top: fc.option(fc.integer({ min: 1, max: 6 })),
  limit: fc.constantFrom(10_000, 10_000, 200, 37),
});

/** Values for a filter, picked from those that calls have. */
function pickValues([name, indices]: readonly [string, readonly number[]]): [string, string[]] {
  return [
    name,
    indices.map((index) => {
      const call = calls[index % (calls.length + 1)];
      return call === undefined ? "nobody" : valueOf(withKey(call), name);
    }),
  ];
}

/** A call with the key that it was sent with. */
function withKey(call: CallRow): CallRow {
  return { ...call, key_id: keys_of_calls.get(call.call_id) ?? "" } as CallRow;
}

function urlOf(asked: Asked): string {
  const params = new URLSearchParams({
    from: new Date(asked.from_ms).toISOString(),
    to: new Date(asked.to_ms).toISOString(),
    interval: asked.interval,
    tz: asked.tz,
    measures: asked.measures.join(","),
    order_by: asked.rank,
    limit: String(asked.limit),
  });
  if (asked.group_by.length > 0) params.set("group_by", asked.group_by.join(","));
  if (asked.top !== null) params.set("top", String(asked.top));
  for (const [name, values] of asked.filters)
    for (const value of values) params.append(name, value);
  for (const [name, values] of asked.excluded) {
    for (const value of values) params.append(`not_${name}`, value);
  }
  return `/v1/usage?${params.toString()}`;
}

/** All rows, page by page, and the last page. */
async function readPages(url: string): Promise<{ rows: UsageRow[]; last: UsageAnswer }> {
  const rows: UsageRow[] = [];
  for (let cursor = ""; ;) {
    const { status, text, json } = await api.ask(url + cursor);
    expect(status, `${url} answered ${text.slice(0, 300)}`).toBe(200);
    const page = readStrictly(UsageAnswer, json);
    rows.push(...page.rows);
    if (page.next_cursor === null) return { rows, last: page };
    expect(page.truncated).toBe(true);
    cursor = `&cursor=${page.next_cursor}`;
  }
}

/** Half a bucket of the histogram, and a nanosecond for rounding. */
const isNear = (answered: number | null, exact: number) =>
  answered !== null && Math.abs(answered - exact) <= exact * (2 ** (1 / 32) - 1) + 1;

/** The measures of an answer as the truth writes them: quantiles that are near are the exact ones. */
function measured(
  row: Readonly<Record<string, unknown>>,
  names: readonly MeasureName[],
  truth: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const values = Object.fromEntries(names.map((name) => [name, row[name]]));
  for (const name of ["duration", "ttft"] as const) {
    if (!names.includes(name)) continue;
    const {
      calls: count,
      mean_ns,
      p50_ns,
      p90_ns,
      p95_ns,
      p99_ns,
    } = values[name] as Record<string, number | null>;
    const { quantiles: exact } = truth[name] as { quantiles: number[] };
    const given = [p50_ns, p90_ns, p95_ns, p99_ns];
    const quantiles = given.map((value, index) => {
      const right = exact[index] ?? 0;
      if (count === 0) return value === null ? 0 : value;
      return isNear(value ?? null, right) ? right : value;
    });
    values[name] = { calls: count, mean_ns, quantiles };
  }
  return values;
}

function truthOf(group: readonly CallRow[], names: readonly MeasureName[]) {
  const truth = measuresOf(group, UNCACHED);
  return Object.fromEntries(names.map((name) => [name, truth[name]]));
}

function describeGroup(group: CallGroup, group_by: readonly string[]): object {
  return {
    time: group.time_ms === null ? undefined : new Date(group.time_ms).toISOString(),
    is_other: group.is_other ? true : undefined,
    keys: group_by.map((_name, index) => group.keys[index] || null),
  };
}

test("the answer to any question is the sum over the list of calls", async () => {
  let rows_seen = 0;
  await fc.assert(
    fc.asyncProperty(questions, async ({ ends, filters, excluded, top, group_by, ...rest }) => {
      const asked: Asked = {
        ...rest,
        group_by,
        from_ms: Math.min(...ends),
        to_ms: Math.max(...ends),
        filters: new Map(filters.map((filter) => pickValues(filter))),
        excluded: new Map(excluded.map((filter) => pickValues(filter))),
        top: group_by.length === 0 ? null : top,
      };
      const url = urlOf(asked);
      const all = calls.map((call) => withKey(call));
      const groups = groupsOf(all, asked);
      const { rows, last } = await readPages(url);
      rows_seen += rows.length;
      const answered = rows.map((row, index) => ({
        time: row.time,
        is_other: row.is_other,
        keys: group_by.map((name) => row[name as "model"]),
        ...measured(row, asked.measures, measuresOf(groups[index]?.calls ?? all, UNCACHED)),
      }));
      const expected = groups.map((one) => ({
        ...describeGroup(one, group_by),
        ...truthOf(one.calls, asked.measures),
      }));
      expect(answered, url).toEqual(expected);
      const chosen = callsOf(all, asked);
      expect(last.coverage.calls, url).toBe(chosen.length);
      if (chosen.length === 0) return;
      const totals = measured(last.totals, asked.measures, measuresOf(chosen, UNCACHED));
      expect(totals, url).toEqual(truthOf(chosen, asked.measures));
    }),
    { numRuns: 28 * FACTOR, seed: 5 },
  );
  expect(rows_seen, "the questions were about nothing").toBeGreaterThan(500);
}, 180_000);

/** What a clock of the zone shows, as if the zone were UTC. */
function wallClock(time_ms: number, tz: string): number {
  const text = new Date(time_ms).toLocaleString("sv-SE", { timeZone: tz });
  return Date.parse(`${text.replace(" ", "T")}Z`);
}

test("a range that goes on is held against as much of the period before as has passed", async () => {
  const shapes = fc.record({
    interval: fc.constantFrom("none", "hour", "day"),
    tz: fc.constantFrom(...ZONES),
    group_by: fc.constantFrom("", "provider", "status"),
    // The clock stands at the begin of October 27, a Tuesday, in UTC.
    range: fc.constantFrom(
      ["2026-10-01", "2026-11-01", "2026-09-01"],
      ["2026-10-26", "2026-11-02", "2026-10-19"],
      ["2026-10-23", "2026-10-29", "2026-10-17"],
      ["2026-09-29", "2026-10-28", "2026-08-31"],
    ),
  });
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(shapes, async ({ interval, tz, group_by, range }) => {
      const [from = "", to = "", before_from = ""] = range;
      const ask = async (more: Record<string, string>) => {
        const common = { interval, tz, measures: "calls,cost_usd", limit: "10000" };
        const params = new URLSearchParams({
          ...common,
          ...(group_by === "" ? {} : { group_by }),
          ...more,
        });
        return (await readPages(`/v1/usage?${params.toString()}`)).last;
      };
      const answer = await ask({ from, to, compare: "previous" });
      const previous = answer.previous ?? { from: "", to: "" };
      const local = (text: string) => wallClock(Date.parse(text), tz);
      expect(local(previous.from)).toBe(Date.parse(before_from));
      const passed_ms = wallClock(LAST_MS + 900_000, tz) - local(answer.from);
      expect(local(previous.to) - local(previous.from)).toBe(passed_ms);
      const before = await ask(previous);
      const { previous: totals } = answer.totals;
      seen += totals?.calls ?? 0;
      expect(totals ?? null).toEqual(before.totals.calls === 0 ? null : before.totals);
      const shift_ms = Date.parse(from) - Date.parse(before_from);
      for (const row of answer.rows) {
        const same = before.rows.find(
          (other) =>
            (group_by === "" || other[group_by as "status"] === row[group_by as "status"]) &&
            (interval !== "day" || local(other.time ?? "") + shift_ms === local(row.time ?? "")),
        );
        if (interval === "hour") continue;
        expect(row.previous?.calls ?? null).toEqual(same?.calls ?? null);
      }
    }),
    { numRuns: 9 * FACTOR, seed: 3 },
  );
  expect(seen, "nothing was held against anything").toBeGreaterThan(100);
}, 120_000);

test("the period before is what the same question says of that period", async () => {
  const shapes = fc.record({
    interval: fc.constantFrom("none", "day", "hour"),
    tz: fc.constantFrom(...ZONES),
    group_by: fc.uniqueArray(fc.constantFrom("provider", "model", "status"), { maxLength: 2 }),
    days: fc.integer({ min: 1, max: 9 }),
  });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ interval, tz, group_by, days }) => {
      const params = new URLSearchParams({ interval, tz, measures: "calls,cost_usd,unique_users" });
      if (group_by.length > 0) params.set("group_by", group_by.join(","));
      const dayOf = (offset: number) =>
        new Date(Date.UTC(2026, 9, 5 + offset)).toISOString().slice(0, 10);
      params.set("from", dayOf(-days));
      params.set("to", dayOf(0));
      const { last } = await readPages(`/v1/usage?${params.toString()}&compare=previous`);
      params.set("from", last.previous?.from ?? "");
      params.set("to", last.previous?.to ?? "");
      const { last: before } = await readPages(`/v1/usage?${params.toString()}`);
      const { coverage, previous, ...totals } = last.totals;
      expect(coverage.calls).toBe(totals.calls);
      expect(previous ?? null).toEqual(before.totals.calls === 0 ? null : before.totals);
      expect(last.previous?.to).toBe(last.from);
      if (interval !== "none") return;
      for (const row of last.rows) {
        const same = before.rows.find((other) =>
          group_by.every((name) => other[name as "model"] === row[name as "model"]),
        );
        const { previous: given } = row;
        expect(given ?? null).toEqual(
          same === undefined
            ? null
            : {
                calls: same.calls,
                cost_usd: same.cost_usd,
                unique_users: same.unique_users,
                coverage: same.coverage,
              },
        );
      }
    }),
    { numRuns: 7 * FACTOR, seed: 7 },
  );
}, 120_000);
