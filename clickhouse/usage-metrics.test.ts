/**
 * The table and the view of usage metrics in a real engine: what each point adds, whatever the order,
 * the temporality and the number of deliveries.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeRowWriter } from "../collector/columns/block.ts";
import { Attributes } from "../schemas/span.ts";
import { USAGE_METRIC_COLUMNS, type UsageMetricPoint } from "../schemas/usage-metrics.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { makeRandom } from "../test/support/random.ts";

let test_engine: TestEngine;
const writer = makeRowWriter(USAGE_METRIC_COLUMNS);
let sequence = 0;

beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
beforeEach(() => test_engine.engine.command("TRUNCATE TABLE usage_metric_points"));

const START_NS = 1_795_225_700_000_000_000n;

/** A point so many seconds after the start of its series. */
function pointAt(second: number, value: number, changes: Partial<UsageMetricPoint> = {}) {
  return {
    project_id: "default",
    metric: "gen_ai.client.token.usage",
    series: 0xfedc_ba98_7654_3210n,
    start_ns: START_NS,
    time_ns: START_NS + BigInt(second) * 1_000_000_000n,
    temporality: "cumulative",
    kind: "tokens",
    token_class: "input",
    value,
    provider: "google",
    model: "gemini-2.5-flash",
    operation: "chat",
    service_name: "service",
    environment: "test",
    user_id: "user-1",
    session_id: "sess-1",
    dialect: "otel-genai",
    scope_name: "scope",
    attributes: new Attributes(["gen_ai.token.type", "n"], ["input", 1]),
    ...changes,
  } satisfies UsageMetricPoint;
}

/** A start so many seconds after the first one: the program began anew. */
function startedAt(second: number): Partial<UsageMetricPoint> {
  return { start_ns: START_NS + BigInt(second) * 1_000_000_000n };
}

async function insert(points: readonly UsageMetricPoint[]): Promise<void> {
  sequence += 1;
  const block = writer.encode(points, { ingest_seq: sequence, ingested_ms: 1_795_225_706_001 });
  await test_engine.engine.insertNative("usage_metric_points", USAGE_METRIC_COLUMNS, [block]);
}

/** What each point adds, by its second. */
async function readAmounts(): Promise<[second: number, amount: number][]> {
  const rows = await test_engine.engine.query<{ second: number; amount: number }>(
    `SELECT toInt32(toUnixTimestamp(ts) - ${START_NS / 1_000_000_000n}) AS second, amount
     FROM usage_metrics ORDER BY ts, series`,
  );
  return rows.map(({ second, amount }) => [second, amount]);
}

test("the columns of a point are the columns of the table, in name and type", async () => {
  const rows = await test_engine.engine.query<{ name: string; type: string }>(
    "DESCRIBE TABLE usage_metric_points",
  );
  expect(rows.map(({ name, type }) => ({ name, type }))).toEqual(
    USAGE_METRIC_COLUMNS.map(({ name, type }) => ({ name, type })),
  );
});

test("every column of a point reads back as ClickHouse's own text of it", async () => {
  await insert([pointAt(1, 0.002925, { temporality: "delta", kind: "cost_usd" })]);
  const [row] = await test_engine.engine.query<Record<string, unknown>>(
    "SELECT * REPLACE (toString(series) AS series) FROM usage_metric_points",
  );
  expect(row).toMatchObject({
    project_id: "default",
    metric: "gen_ai.client.token.usage",
    series: String(0xfedc_ba98_7654_3210n),
    start_ts: "2026-11-21 01:48:20.000000000",
    ts: "2026-11-21 01:48:21.000000000",
    temporality: "delta",
    kind: "cost_usd",
    token_class: "input",
    value: 0.002925,
    provider: "google",
    model: "gemini-2.5-flash",
    operation: "chat",
    service_name: "service",
    environment: "test",
    user_id: "user-1",
    session_id: "sess-1",
    dialect: "otel-genai",
    scope_name: "scope",
    attributes: { "gen_ai.token.type": "input", n: "1" },
  });
});

describe("the view usage_metrics", () => {
  const delta = { temporality: "delta" } as const;

  test.each<[string, UsageMetricPoint[], [number, number][]]>([
    [
      "deltas count as sent",
      [pointAt(1, 100, delta), pointAt(2, 30, { ...delta, ...startedAt(1) }), pointAt(3, 0, delta)],
      [
        [1, 100],
        [2, 30],
        [3, 0],
      ],
    ],
    [
      "a total of unknown temporality counts as sent",
      [pointAt(1, 100, { temporality: "unspecified" }), pointAt(2, 90, delta)],
      [
        [1, 100],
        [2, 90],
      ],
    ],
    [
      "of running totals the differences count, and all of the first",
      [pointAt(1, 100), pointAt(2, 100), pointAt(3, 250)],
      [
        [1, 100],
        [2, 0],
        [3, 150],
      ],
    ],
    [
      "a total that is smaller began anew",
      [pointAt(1, 100), pointAt(2, 40), pointAt(3, 50)],
      [
        [1, 100],
        [2, 40],
        [3, 10],
      ],
    ],
    [
      "a new start began anew, though the total is larger",
      [pointAt(1, 100), pointAt(2, 140, startedAt(1)), pointAt(3, 150, startedAt(1))],
      [
        [1, 100],
        [2, 140],
        [3, 10],
      ],
    ],
    [
      "two programs that look the same are told apart by their starts",
      [
        pointAt(2, 100),
        pointAt(3, 10, startedAt(1)),
        pointAt(4, 101),
        pointAt(5, 30, startedAt(1)),
      ],
      [
        [2, 100],
        [3, 10],
        [4, 1],
        [5, 20],
      ],
    ],
    [
      "totals whose start nobody knows are differences too",
      [pointAt(1, 100, { start_ns: 0n }), pointAt(2, 130, { start_ns: 0n })],
      [
        [1, 100],
        [2, 30],
      ],
    ],
    [
      "series, metrics and projects do not mix",
      [
        pointAt(1, 100),
        pointAt(2, 10, { series: 1n }),
        pointAt(3, 20, { metric: "other" }),
        pointAt(4, 30, { project_id: "other" }),
        pointAt(5, 101),
      ],
      [
        [1, 100],
        [2, 10],
        [3, 20],
        [4, 30],
        [5, 1],
      ],
    ],
  ])("%s", async (_name, points, amounts) => {
    await insert(points);
    expect(await readAmounts()).toEqual(amounts);
  });

  test("a point that comes twice counts once", async () => {
    await insert([pointAt(1, 100), pointAt(2, 130), pointAt(3, 5, delta)]);
    await insert([pointAt(3, 5, delta), pointAt(2, 130)]);
    expect(await readAmounts()).toEqual([
      [1, 100],
      [2, 30],
      [3, 5],
    ]);
  });

  test("a point that comes late takes its share from the one after it", async () => {
    await insert([pointAt(3, 250), pointAt(1, 100)]);
    expect(await readAmounts()).toEqual([
      [1, 100],
      [3, 150],
    ]);
    await insert([pointAt(2, 130)]);
    expect(await readAmounts()).toEqual([
      [1, 100],
      [2, 30],
      [3, 120],
    ]);
  });

  test("a total goes on from month to month", async () => {
    const month_s = 31 * 86_400;
    await insert([pointAt(1, 100), pointAt(month_s, 130)]);
    await insert([pointAt(month_s, 130), pointAt(2 * month_s, 131)]);
    expect(await readAmounts()).toEqual([
      [1, 100],
      [month_s, 30],
      [2 * month_s, 1],
    ]);
  });

  test("in any order, with restarts and redeliveries, each second has what was used in it", async () => {
    const random = makeRandom(20_261_121);
    const points: UsageMetricPoint[] = [];
    const used_in = new Map<number, number>();
    for (let series = 1; series <= 100; series += 1) {
      let total = 0;
      let start = startedAt(0);
      for (let second = 1; second <= 20; second += 1) {
        if (random.chance(0.1)) {
          total = 0;
          start = startedAt(second);
        }
        const used = random.whole(1000);
        total += used;
        used_in.set(second, (used_in.get(second) ?? 0) + used);
        points.push(pointAt(second, total, { series: BigInt(series), ...start }));
      }
    }
    const shuffled = points.map((point) => ({ point, place: random.whole(1_000_000) }));
    shuffled.sort((a, b) => a.place - b.place);
    const deliveries = shuffled.map(({ point }) => point);
    await insert(deliveries.slice(0, 900));
    await insert(deliveries.slice(700));
    await insert(deliveries.slice(0, 300));

    const rows = await test_engine.engine.query<{ second: number; amount: number }>(
      `SELECT toInt32(toUnixTimestamp(ts) - ${START_NS / 1_000_000_000n}) AS second,
         sum(amount) AS amount
       FROM usage_metrics GROUP BY second ORDER BY second`,
    );
    expect(rows.map(({ second, amount }) => [second, amount])).toEqual(
      [...used_in].toSorted(([a], [b]) => a - b),
    );
  });
});
