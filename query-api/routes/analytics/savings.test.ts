/**
 * Savings and the calculator over HTTP, with the price book that ships with the program: figures worked
 * out by hand from a handful of calls.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makePriceLister } from "../../../cli/price-lister.ts";
import { compilePrices } from "../../../collector/pipeline.ts";
import { RoiAnswer, SavingsAnswer } from "../../../schemas/api-savings.ts";
import type { PriceFile } from "../../../schemas/prices.ts";
import type { Span } from "../../../schemas/span.ts";
import { byClass, idBytes, makeSpan } from "../../../test/support/span.ts";
import { coverageTruth } from "../../../test/support/usage-truth.ts";
import { type AnalyticsTest, END_MS, FROM_MS, NOW_MS, openAnalytics } from "./fixture.ts";

const source = { source: "test", evidence_date: "2026-01-01" };
const row = (
  usd_per_million: PriceFile["models"][number]["prices"][number]["usd_per_million"],
) => ({
  valid_from: null,
  tier: "standard",
  regions: [],
  input_tokens_over: 0,
  usd_per_million,
  usd_per_thousand: {},
  ...source,
});
const model = (name: string, prices: PriceFile["models"][number]["prices"]) => ({
  model: name,
  aliases: [],
  other_regions: "same" as const,
  prices,
});

const BOOK: readonly PriceFile[] = [
  {
    provider: "openai",
    currency: "USD",
    models: [
      model("big", [
        row({ input_uncached: "2", cache_read: "0.5", output_text: "8" }),
        { ...row({ input_uncached: "1", output_text: "4" }), tier: "batch" },
      ]),
      model("small", [
        row({ input_uncached: "0.1", output_text: "0.4" }),
        { ...row({ input_uncached: "0.2" }), input_tokens_over: 1_000 },
        { ...row({ input_uncached: "0.05", output_text: "0.2" }), valid_from: "2030-01-01" },
      ]),
    ],
  },
];

let ledger: AnalyticsTest;

/** A call of `big` by the first row of the book; what a token costs is picodollars. */
function call(number: number, changes: Partial<Span> = {}): Span {
  return makeSpan({
    project_id: "alpha",
    start_ns: BigInt(NOW_MS - number * 1_000) * 1_000_000n,
    span_id: idBytes(number.toString(16).padStart(16, "0")),
    request_model: "big",
    response_model: "big",
    session_id: `s${number % 2}`,
    tokens: byClass({ input_uncached: 100, cache_read: 1_000, output_text: 10 }),
    cost: byClass({
      input_uncached: 200_000_000n,
      cache_read: 500_000_000n,
      output_text: 80_000_000n,
    }),
    price_id: "openai/big/standard/initial",
    ...changes,
  });
}

const UNPRICED: Partial<Span> = {
  response_model: "odd",
  request_model: "odd",
  tokens: byClass({ input_uncached: 7, input_audio: 5 }),
  cost: byClass({}),
  cost_status: "unpriced",
  price_id: "",
};

beforeAll(async () => {
  const prices = makePriceLister(compilePrices(BOOK));
  ledger = await openAnalytics(1, 0, { prices });
  await ledger.deliver([
    call(1),
    call(2),
    call(3, UNPRICED),
    // Its row has no price of cached tokens.
    call(4, {
      price_id: "openai/big/batch/initial",
      cost: byClass({ input_uncached: 100_000_000n, output_text: 40_000_000n }),
      cost_status: "partial",
    }),
    call(5, { project_id: "beta" }),
  ]);
});
afterAll(() => ledger.close());

describe("savings", () => {
  test("of caching, of batches and of another model are what a hand works out", async () => {
    const path = "/v1/analytics/savings?target=openai/small&price_id=openai/big/standard/initial";
    const answer = await ledger.read(SavingsAnswer, path);
    expect(answer).toMatchObject({ calls: 2, cost_usd: "0.00156", truncated: false });
    // 2,000 tokens at 2 dollars a million instead of 0.5.
    expect(answer.cache).toMatchObject({
      saved_usd: "0.003",
      read_saved_usd: "0.003",
      write_surcharge_usd: null,
      tokens_not_judged: 0,
      could_save_at_most_usd: "0.0003",
      uncached_tokens: 200,
      reason: null,
    });
    // Input and output at half the price; the batch row has none of cached tokens, which keep theirs.
    expect(answer.batch).toMatchObject({
      could_save_usd: "0.00028",
      from_price_book_usd: "0.00028",
      from_assumption_usd: "0",
      cost_of_candidates_usd: "0.00156",
      reason: null,
    });
    // 200 + 2,000 as input at 0.1 and 20 at 0.4; at most the input at 0.2.
    expect(answer.target).toMatchObject({
      provider: "openai",
      model: "small",
      price_id: "openai/small/standard/initial",
      target_cost_usd: "0.000228",
      target_cost_at_most_usd: "0.000448",
      compared: {
        cost_usd: "0.00156",
        target_cost_usd: "0.000228",
        saving_usd: "0.001332",
        tokens: 2_220,
        tokens_share: 1,
      },
      substituted: [{ token_class: "cache_read", priced_as: "input_uncached", tokens: 2_000 }],
      tokens_without_target_price: [],
    });
    expect(answer.models).toEqual([
      {
        provider: "openai",
        model: "big",
        calls: 2,
        cost_usd: "0.00156",
        cache_saved_usd: "0.003",
        cache_could_save_at_most_usd: "0.0003",
        batch_could_save_usd: "0.00028",
        target_saving_usd: "0.001332",
      },
    ]);
    for (const part of [answer.cache, answer.batch, answer.target]) {
      expect(part?.assumptions.length).toBeGreaterThan(1);
    }
  });

  test("leave out tokens without a price on either side and count them", async () => {
    const answer = await ledger.read(SavingsAnswer, "/v1/analytics/savings?target=openai/small");
    expect(answer.calls).toBe(4);
    expect(answer.target?.tokens_without_target_price).toEqual([
      { token_class: "input_audio", tokens: 5 },
    ]);
    expect(answer.target?.compared.tokens).toBe(2 * 1_110 + 110);
    expect(answer.target?.compared.tokens_share).toBeCloseTo(2_330 / 3_342, 12);
    expect(answer.cache.uncached_tokens_not_judged).toBe(107);
    expect(answer.batch).toMatchObject({ calls_already_batch: 1, calls_without_price: 1 });
    expect(answer.coverage).toEqual(coverageTruth(ledger.calls("alpha", FROM_MS, END_MS)));
  });

  test.each([
    ["openai/nothing", "unknown_model"],
    ["small", "invalid_query"],
  ])("with the target %s are refused", async (target, code) => {
    const { status, json } = await ledger.api.ask(`/v1/analytics/savings?target=${target}`);
    expect(status).toBe(400);
    expect(json).toMatchObject({ error: { code, details: [{ path: "target" }] } });
  });
});

describe("the calculator", () => {
  const ask = (body: object) =>
    ledger.api.ask("/v1/analytics/roi-calculator", "key-alpha", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  test("measures tasks and cost of the project and says what it assumed", async () => {
    const { status, json, text } = await ask({
      minutes_saved_per_task: "6",
      hourly_cost_usd: "50",
      measured: {
        from: "2026-10-20",
        to: "2026-10-30",
        tasks: "sessions",
        filters: { model: ["big"] },
      },
    });
    expect(status, text).toBe(200);
    const answer = RoiAnswer.parse(json);
    expect(answer.measured).toMatchObject({
      tasks: 2,
      counted_as: "sessions",
      days: 10,
      cost_usd: "0.0017",
    });
    // A month has 30.4375 days, and six minutes are worth 5 dollars.
    expect(answer.input).toMatchObject({
      tasks_per_month: "6.0875",
      value_per_task_usd: "5",
      model_cost_per_month_usd: "0.005174375",
    });
    expect(answer).toMatchObject({
      value_usd: "365.25",
      cost_usd: "0.0620925",
      net_usd: "365.1879075",
      payback_months: "0",
    });
    expect(answer.assumptions.join(" ")).toContain("30.4375 days");
  });

  test("needs nothing of the ledger when tasks and cost are given", async () => {
    const { json } = await ask({
      tasks_per_month: "100",
      model_cost_per_month_usd: "10",
      value_per_task_usd: "1",
      months: 1,
    });
    const answer = RoiAnswer.parse(json);
    expect(answer).toMatchObject({
      measured: null,
      coverage: null,
      roi_percent: "900",
      break_even_tasks_per_month: "0",
      break_even_minutes_per_task: null,
    });
    expect(answer.reasons).toEqual([
      { field: "break_even_minutes_per_task", reason: "hourly_cost_usd is not given" },
    ]);
  });

  test.each([
    [{}, "value_per_task_usd"],
    [{ minutes_saved_per_task: "3" }, "hourly_cost_usd"],
    [{ value_per_task_usd: "-1" }, "value_per_task_usd"],
    [{ value_per_task_usd: 1 }, "value_per_task_usd"],
    [{ value_per_task_usd: "1", months: 121 }, "months"],
    [{ value_per_task_usd: "1", growth_per_month: "1.5" }, "growth_per_month"],
    [
      { value_per_task_usd: "1", measured: { filters: { nobody: ["x"] } } },
      "measured.filters.nobody",
    ],
  ])("refuses %j", async (body, path) => {
    const { status, json } = await ask(body);
    expect(status).toBe(400);
    expect(json).toMatchObject({ error: { code: "invalid_body", details: [{ path }] } });
  });
});
