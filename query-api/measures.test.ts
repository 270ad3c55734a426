/**
 * From summed columns to measures: null where nothing was known, zero where zero was, money to the
 * last picodollar, quantiles as near as their histogram promises.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TOKEN_CLASSES } from "../schemas/tokens.ts";
import { COVERAGE_COLUMNS, MEASURE_NAMES, MEASURES } from "../schemas/usage.ts";
import { nearestRank } from "../test/support/usage-truth.ts";
import {
  columnsOf,
  coverageOf,
  divideHalfEven,
  isDistinct,
  quantileOf,
  readMeasures,
  type SumRow,
  Sums,
} from "./measures.ts";

function sumsOf(...rows: SumRow[]): Sums {
  const sums = new Sums();
  for (const row of rows) sums.add(row);
  return sums;
}

/** The bit of a class. */
function bit(name: (typeof TOKEN_CLASSES)[number]): number {
  return 1 << TOKEN_CLASSES.indexOf(name);
}

describe("sums", () => {
  test("columns of groups are added, masks united, histograms added key by key", () => {
    const sums = sumsOf(
      { calls: "2", usage_mask: 5, duration_histogram: { "10": "1", "-3": "2" } },
      { calls: 3, usage_mask: "10", duration_histogram: { "10": "18446744073709551615" } },
    );
    expect(sums.count("calls")).toBe(5n);
    expect(sums.count("usage_mask")).toBe(15n);
    expect([...sums.histogram("duration_histogram")]).toEqual([
      [10, 18_446_744_073_709_551_616n],
      [-3, 2n],
    ]);
    expect(sums.count("errors")).toBe(0n);
    expect(sums.histogram("ttft_histogram").size).toBe(0);
  });

  test("money is added in picodollars, whatever its size", () => {
    const sums = sumsOf(
      { cost_cache_read: "99999999999999.999999999999", client_cost_usd: "0.000000000001" },
      { cost_cache_read: "0.000000000001", client_cost_usd: "0" },
    );
    expect(sums.count("cost_cache_read")).toBe(100_000_000_000_000_000_000_000_000n);
    expect(sums.count("client_cost_usd")).toBe(1n);
  });

  test("an amount that is none is an error, never a zero", () => {
    for (const amount of ["", "1e3", "0.0000000000001", "nan"]) {
      expect(() => sumsOf({ cost_cache_read: amount })).toThrow("broken amount");
    }
  });
});

describe("measures", () => {
  test("a class nobody reported is null, a class reported as zero is zero", () => {
    const sums = sumsOf({
      calls: "2",
      usage_mask: bit("input_uncached") | bit("output_text"),
      tokens_input_uncached: "7",
      tokens_output_text: "0",
      tokens_cache_read: "0",
    });
    const { tokens, input_total, output_total } = readMeasures(sums, [
      "tokens",
      "input_total",
      "output_total",
    ]);
    expect(tokens).toMatchObject({ input_uncached: 7, output_text: 0, cache_read: null });
    expect(Object.keys(tokens ?? {})).toEqual([...TOKEN_CLASSES]);
    expect([input_total, output_total]).toEqual([7, 0]);
  });

  test("totals of a side of which nothing is known are null", () => {
    const sums = sumsOf({ calls: "1", usage_mask: bit("output_text"), tokens_output_text: "5" });
    expect(readMeasures(sums, ["input_total", "output_total"])).toMatchObject({
      input_total: null,
      output_total: 5,
    });
  });

  test("cost is null without a priced call, zero when priced calls were free", () => {
    const unpriced = sumsOf({ calls: "3", calls_priced: "0", calls_unpriced: "3", priced_mask: 0 });
    expect(readMeasures(unpriced, ["cost_usd", "cost"])).toMatchObject({
      cost_usd: null,
      cost: { output_text: null },
    });
    const free = sumsOf({ calls: "1", calls_priced: "1", priced_mask: bit("output_text") });
    expect(readMeasures(free, ["cost_usd", "cost"])).toMatchObject({
      cost_usd: "0",
      cost: { output_text: "0", cache_read: null },
    });
  });

  test("cost is the exact sum of its classes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt(0n, 10n ** 26n), { minLength: 11, maxLength: 11 }),
        (amounts) => {
          const row = Object.fromEntries(
            TOKEN_CLASSES.map((name, index) => {
              const digits = String(amounts[index]).padStart(13, "0");
              return [`cost_${name}`, `${digits.slice(0, -12)}.${digits.slice(-12)}`];
            }),
          );
          const sums = sumsOf({ ...row, calls: "1", calls_priced: "1", priced_mask: 2 ** 11 - 1 });
          const { cost_usd, cost } = readMeasures(sums, ["cost_usd", "cost"]);
          const total = amounts.reduce((sum, amount) => sum + amount, 0n);
          const [whole = "", fraction = ""] = (cost_usd ?? "").split(".");
          expect(BigInt(whole + fraction.padEnd(12, "0"))).toBe(total);
          expect(Object.values(cost ?? {})).not.toContain(null);
        },
      ),
    );
  });

  test("what clients claim is null when none claims, even beside a sum of zero", () => {
    const none = sumsOf({ calls: "1", client_cost_usd: "0", client_cost_calls: "0" });
    expect(readMeasures(none, ["client_cost_usd"]).client_cost_usd).toBeNull();
    const zero = sumsOf({ calls: "1", client_cost_usd: "0", client_cost_calls: "1" });
    expect(readMeasures(zero, ["client_cost_usd"]).client_cost_usd).toBe("0");
  });

  test("latencies without calls are null, and their mean is rounded down", () => {
    const sums = sumsOf({
      calls: "3",
      duration_ns_sum: "11",
      duration_histogram: { "0": "2", "52": "1" },
      ttft_calls: "0",
      ttft_ns_sum: "0",
      ttft_histogram: {},
    });
    const { duration, ttft } = readMeasures(sums, ["duration", "ttft"]);
    expect(duration).toEqual({ calls: 3, mean_ns: 3, p50_ns: 0, p90_ns: 9, p95_ns: 9, p99_ns: 9 });
    expect(ttft).toEqual({
      calls: 0,
      mean_ns: null,
      p50_ns: null,
      p90_ns: null,
      p95_ns: null,
      p99_ns: null,
    });
  });

  test("only the measures asked for are answered, always with coverage", () => {
    for (const name of MEASURE_NAMES) {
      expect(Object.keys(readMeasures(new Sums(), [name]))).toEqual([name, "coverage"]);
    }
  });

  test("the columns asked of the engine are those of the measures and of the coverage, once", () => {
    const columns = columnsOf(["tokens", "input_total", "duration"]);
    expect(new Set(columns).size).toBe(columns.length);
    expect([...columns].sort()).toEqual(
      [...COVERAGE_COLUMNS, ...MEASURES.tokens.columns, ...MEASURES.duration.columns].sort(),
    );
  });
});

describe("measures made of others", () => {
  test("money is divided to the nearest picodollar, halves to the even one", () => {
    const cases: [dividend: bigint, divisor: bigint, quotient: bigint][] = [
      [10n, 4n, 2n],
      [14n, 4n, 4n],
      [6n, 4n, 2n],
      [11n, 4n, 3n],
      [9n, 4n, 2n],
      [1n, 3n, 0n],
      [2n, 3n, 1n],
      [-10n, 4n, -2n],
      [-14n, 4n, -4n],
      [0n, 7n, 0n],
    ];
    expect(cases.map(([dividend, divisor]) => divideHalfEven(dividend, divisor))).toEqual(
      cases.map(([, , quotient]) => quotient),
    );
  });

  test("cost each is over what has a price, and null without", () => {
    const sums = sumsOf({
      calls: "9",
      calls_priced: "3",
      cost_output_text: "1",
      tokens_output_priced: "7",
      cost_of_users: "0.000000000005",
      priced_users: "2",
      cost_of_sessions: "0",
      priced_sessions: "0",
    });
    const names = [
      "cost_per_call_usd",
      "cost_per_user_usd",
      "cost_per_session_usd",
      "cost_per_1k_output_tokens_usd",
    ] as const;
    expect(readMeasures(sums, names)).toMatchObject({
      cost_per_call_usd: "0.333333333333",
      cost_per_user_usd: "0.000000000002",
      cost_per_session_usd: null,
      cost_per_1k_output_tokens_usd: "142.857142857143",
    });
    const none = sumsOf({ calls: "9", calls_unpriced: "9" });
    expect(Object.values(readMeasures(none, names)).slice(0, 4)).toEqual([null, null, null, null]);
  });

  test("shares and paces are null where there is nothing to divide by", () => {
    const names = ["error_rate", "cache_hit_share", "output_tokens_per_second"] as const;
    expect(readMeasures(new Sums(), names)).toMatchObject({
      error_rate: null,
      cache_hit_share: null,
      output_tokens_per_second: null,
    });
    const sums = sumsOf({
      calls: "8",
      errors: "2",
      usage_mask: bit("input_uncached") | bit("cache_read") | bit("output_text"),
      tokens_input_uncached: "30",
      tokens_cache_read: "10",
      tokens_output_text: "50",
      duration_ns_sum: "2000000000",
    });
    expect(readMeasures(sums, names)).toMatchObject({
      error_rate: 0.25,
      cache_hit_share: 0.25,
      output_tokens_per_second: 25,
    });
    // Nobody said whether a cache was read: that is not known, and not none.
    const silent = sumsOf({
      calls: "1",
      usage_mask: bit("input_uncached"),
      tokens_input_uncached: "30",
    });
    expect(readMeasures(silent, names).cache_hit_share).toBeNull();
  });

  test("what the cache saved is by the price of each call, and what writing cost more apart", () => {
    const prices = (price_id: string) => (price_id === "a" ? 3_000_000n : null);
    const names = ["cache_savings_usd", "cache_write_surcharge_usd"] as const;
    const row = {
      priced_mask: bit("cache_read") | bit("cache_write_5m"),
      cache_read_tokens_by_price: { a: "1000000", gone: "500" },
      cache_read_cost_by_price: { a: "0.3", gone: "7" },
      cache_write_tokens_by_price: { a: "100000", b: "0" },
      cache_write_cost_by_price: { a: "0.375", b: "0" },
    };
    expect(readMeasures(sumsOf(row), names, prices)).toMatchObject({
      cache_savings_usd: "2.7",
      cache_write_surcharge_usd: "0.075",
    });
    expect(readMeasures(sumsOf(row), names)).toMatchObject({
      cache_savings_usd: null,
      cache_write_surcharge_usd: null,
    });
    expect(readMeasures(sumsOf({ ...row, priced_mask: 0 }), names, prices)).toMatchObject({
      cache_savings_usd: null,
      cache_write_surcharge_usd: null,
    });
    // A cache that costs more than none is told as it is.
    const dear = sumsOf({ ...row, cache_read_cost_by_price: { a: "5" } });
    expect(readMeasures(dear, names, prices).cache_savings_usd).toBe("-2");
  });

  test("who is in two groups is in the whole once, so such measures are not added up", () => {
    const distinct = MEASURE_NAMES.filter((name) => isDistinct([name]));
    expect(distinct).toEqual([
      "cost_per_user_usd",
      "cost_per_session_usd",
      "unique_users",
      "sessions",
    ]);
  });
});

describe("coverage", () => {
  test("the share of priced tokens leaves out those without a price", () => {
    const sums = sumsOf({
      calls: "9",
      calls_missing_usage: "1",
      calls_estimated: "2",
      calls_unpriced: "3",
      tokens_input_uncached: "60",
      tokens_output_text: "20",
      tokens_unpriced: "20",
    });
    expect(coverageOf(sums)).toEqual({
      calls: 9,
      calls_missing_usage: 1,
      calls_estimated: 2,
      calls_unpriced: 3,
      tokens_priced_share: 0.75,
    });
  });

  test("without tokens there is no share", () => {
    expect(coverageOf(sumsOf({ calls: "4" })).tokens_priced_share).toBeNull();
    expect(coverageOf(new Sums())).toMatchObject({ calls: 0, tokens_priced_share: null });
  });

  test("all tokens or none priced are exactly one and zero", () => {
    const known = { tokens_cache_read: "9007199254740993" };
    expect(coverageOf(sumsOf(known)).tokens_priced_share).toBe(1);
    const unpriced = { ...known, tokens_unpriced: "9007199254740993" };
    expect(coverageOf(sumsOf(unpriced)).tokens_priced_share).toBe(0);
  });
});

describe("quantiles", () => {
  /** The histogram that the view `usage_calls` makes: key ceil(log2(ns) * 16). */
  function histogramOf(values: readonly bigint[]): Map<number, bigint> {
    const histogram = new Map<number, bigint>();
    for (const value of values) {
      const key = Math.ceil(Math.log2(Math.max(Number(value), 1)) * 16);
      histogram.set(key, (histogram.get(key) ?? 0n) + 1n);
    }
    return histogram;
  }

  test("no values have no quantile", () => {
    expect(quantileOf(new Map(), 0.5)).toBeNull();
  });

  test("a quantile is within 2.2 % and one nanosecond of the nearest rank", () => {
    const value = fc.oneof(
      fc.bigInt(0n, 100n),
      fc.bigInt(0n, 10n ** 6n),
      fc.bigInt(0n, 10n ** 15n),
    );
    const values = fc.array(value, { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(values, fc.constantFrom(50, 90, 95, 99), (list, percent) => {
        const answered = quantileOf(histogramOf(list), percent / 100) ?? NaN;
        const exact = Number(nearestRank(list, percent));
        expect(Math.abs(answered - exact)).toBeLessThanOrEqual(exact * 0.022 + 1);
      }),
      { numRuns: 500 },
    );
  });

  test("values of zero stay zero, and small values are exact", () => {
    expect(quantileOf(histogramOf([0n, 0n, 1n]), 0.99)).toBe(0);
    for (let ns = 2n; ns <= 20n; ns += 1n) {
      expect(quantileOf(histogramOf([ns]), 0.5)).toBe(Number(ns));
    }
  });

  test("buckets are ranked by value, in whatever order they come", () => {
    const histogram = new Map([
      [160, 1n],
      [16, 98n],
      [32, 1n],
    ]);
    expect(quantileOf(histogram, 0.98)).toBe(2);
    expect(quantileOf(histogram, 0.99)).toBe(4);
    expect(quantileOf(histogram, 1)).toBe(1002);
  });

  test("shares of whole ranks do not slip to the next value", () => {
    for (let count = 1; count <= 2_000; count += 1) {
      for (const percent of [50, 90, 95, 99]) {
        const rank = Math.ceil((percent * count) / 100);
        const histogram = new Map([
          [16, BigInt(rank)],
          [1_600, BigInt(count - rank)],
        ]);
        expect(quantileOf(histogram, percent / 100), `${percent} % of ${count}`).toBe(2);
      }
    }
  });
});
