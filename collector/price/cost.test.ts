/**
 * Costs against amounts worked out by hand from the providers' published prices. Invariant: no
 * expected amount is computed by the code under test; the sum stands beside each.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readPriceFiles } from "../../schemas/price-files.ts";
import type { PriceFile } from "../../schemas/prices.ts";
import { CLASS_INDEX, TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { formatUsd, parseUsd } from "../../schemas/units.ts";
import { compilePriceBook } from "./book.ts";
import { type Span, totalCost } from "../../schemas/span.ts";
import { compilePricing, isRefused, makePricedCounts, priceCounts, priceSpan } from "./cost.ts";
import {
  costOf,
  listTokens,
  makeFile,
  makeModel,
  makeRow,
  makeSpan,
  toUnixNanoseconds,
} from "./fixture.ts";

const files = readPriceFiles();
const book = compilePriceBook(files);

function priceCall(fields: Parameters<typeof makeSpan>[0]): ReturnType<typeof makeSpan> {
  const span = makeSpan(fields);
  priceSpan(book, span);
  return span;
}

describe("amounts worked out by hand", () => {
  test("gpt-4o-mini with cached input costs 0.0004518 USD for 524, 976 and 500 tokens", () => {
    const span = priceCall({
      response_model: "gpt-4o-mini-2024-07-18",
      tokens: listTokens({ input_uncached: 524, cache_read: 976, output_text: 500 }),
    });
    // USD per million: input 0.15, cached 0.075, output 0.60.
    // 524 x 150,000 + 976 x 75,000 + 500 x 600,000 = 78,600,000 + 73,200,000 + 300,000,000
    expect(costOf(span, "input_uncached")).toBe(78_600_000n);
    expect(costOf(span, "cache_read")).toBe(73_200_000n);
    expect(costOf(span, "output_text")).toBe(300_000_000n);
    expect(costOf(span, "output_reasoning")).toBeNull();
    expect(totalCost(span)).toBe(451_800_000n);
    expect(span.cost_status).toBe("priced");
    expect(span.price_id).toBe("openai/gpt-4o-mini/standard/initial");
  });

  test("gpt-4.1 with cached input costs 0.005536 USD for 524, 976 and 500 tokens", () => {
    const span = priceCall({
      response_model: "gpt-4.1-2025-04-14",
      tokens: listTokens({ input_uncached: 524, cache_read: 976, output_text: 500 }),
    });
    // USD per million: input 2, cached 0.50, output 8.
    // 524 x 2,000,000 + 976 x 500,000 + 500 x 8,000,000 = 1,048 M + 488 M + 4,000 M = 5,536 M
    expect(totalCost(span)).toBe(5_536_000_000n);
  });

  test("gpt-5-mini bills reasoning as output: 0.0011554 USD", () => {
    const span = priceCall({
      response_model: "gpt-5-mini-2025-08-07",
      tokens: listTokens({
        input_uncached: 524,
        cache_read: 976,
        output_text: 52,
        output_reasoning: 448,
      }),
    });
    // USD per million: input 0.25, cached 0.025, output 2.
    // 524 x 250,000 + 976 x 25,000 + 52 x 2,000,000 + 448 x 2,000,000
    //   = 131,000,000 + 24,400,000 + 104,000,000 + 896,000,000
    expect(costOf(span, "output_reasoning")).toBe(896_000_000n);
    expect(totalCost(span)).toBe(1_155_400_000n);
  });

  test("claude-sonnet-4-5 with 5-minute and 1-hour writes costs what Claude Code says, 0.002925 USD", () => {
    const span = priceCall({
      provider: "anthropic",
      response_model: "claude-sonnet-4-5-20250929",
      service_tier: "standard",
      tokens: listTokens({
        input_uncached: 25,
        cache_read: 2000,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 60,
      }),
    });
    // USD per million: input 3, read 0.30, write 5m 3.75, write 1h 6, output 15.
    // 25 x 3.0 + 2000 x 0.3 + 200 x 3.75 + 100 x 6 + 60 x 15 = 75 + 600 + 750 + 600 + 900 micro-USD
    expect(costOf(span, "cache_write_5m")).toBe(750_000_000n);
    expect(costOf(span, "cache_write_1h")).toBe(600_000_000n);
    // The client's own `cost_usd` for these tokens is 0.002925.
    expect(formatUsd(totalCost(span) ?? -1n)).toBe("0.002925");
    expect(span.price_id).toBe("anthropic/claude-sonnet-4-5/standard/initial");
  });

  test("a cache write of unknown lifetime is priced as a 5-minute write", () => {
    const span = priceCall({
      provider: "anthropic",
      response_model: "claude-sonnet-4-5",
      tokens: listTokens({ cache_write: 300 }),
    });
    // 300 x 3,750,000
    expect(totalCost(span)).toBe(1_125_000_000n);
  });

  test("gemini-2.5-flash with cached input and thoughts costs 0.000545 USD", () => {
    const span = priceCall({
      provider: "google",
      request_model: "models/gemini-2.5-flash",
      tokens: listTokens({
        input_uncached: 110,
        cache_read: 400,
        output_text: 40,
        output_reasoning: 160,
      }),
    });
    // USD per million: input 0.30, cached 0.03, output with thoughts 2.50.
    // 110 x 300,000 + 400 x 30,000 + 40 x 2,500,000 + 160 x 2,500,000
    //   = 33,000,000 + 12,000,000 + 100,000,000 + 400,000,000
    expect(totalCost(span)).toBe(545_000_000n);
  });

  test("text-embedding-3-small costs 0.02 USD a million tokens and has no output price", () => {
    const span = priceCall({
      response_model: "text-embedding-3-small",
      tokens: listTokens({ input_uncached: 8, output_text: 0 }),
    });
    // 8 x 20,000
    expect(totalCost(span)).toBe(160_000n);
    expect(costOf(span, "output_text")).toBe(0n);
    expect(span.cost_status).toBe("priced");
  });
});

describe("choice of the row", () => {
  test("a price change applies from midnight UTC, to the nanosecond", () => {
    const midnight = toUnixNanoseconds("2026-08-21T00:00:00Z");
    const tokens = listTokens({ input_uncached: 1000 });
    const before = priceCall({ response_model: "gpt-5.6-sol", start_ns: midnight - 1n, tokens });
    const after = priceCall({ response_model: "gpt-5.6-sol", start_ns: midnight, tokens });
    // 1000 x 5,000,000 until 2026-08-20, 1000 x 4,000,000 since
    expect(totalCost(before)).toBe(5_000_000_000n);
    expect(before.price_id).toBe("openai/gpt-5.6-sol/standard/initial");
    expect(totalCost(after)).toBe(4_000_000_000n);
    expect(after.price_id).toBe("openai/gpt-5.6-sol/standard/2026-08-21");
  });

  test("a call before the first dated row is unpriced", () => {
    const span = priceCall({
      provider: "anthropic",
      response_model: "claude-haiku-5-5",
      start_ns: toUnixNanoseconds("2026-10-06T23:59:59.999Z"),
      tokens: listTokens({ input_uncached: 1000 }),
    });
    expect(span.cost_status).toBe("unpriced");
  });

  test("a prompt above a step prices the whole call by it, at the step still by the lower", () => {
    const at = priceCall({
      provider: "anthropic",
      response_model: "claude-haiku-5-5",
      tokens: listTokens({ input_uncached: 40_000, cache_read: 60_000, output_text: 1000 }),
    });
    // 40,000 x 100,000 + 60,000 x 10,000 + 1000 x 500,000 = 4,000 M + 600 M + 500 M
    expect(totalCost(at)).toBe(5_100_000_000n);
    expect(at.price_id).toBe("anthropic/claude-haiku-5-5/standard/2026-10-07");
    const above = priceCall({
      provider: "anthropic",
      response_model: "claude-haiku-5-5",
      tokens: listTokens({ input_uncached: 40_000, cache_read: 60_001, output_text: 1000 }),
    });
    // 40,000 x 500,000 + 60,001 x 50,000 + 1000 x 2,500,000 = 20,000 M + 3,000.05 M + 2,500 M
    expect(totalCost(above)).toBe(25_500_050_000n);
    expect(above.price_id).toBe("anthropic/claude-haiku-5-5/standard/2026-10-07/over-100000");
  });

  test("a batch call of Anthropic costs half", () => {
    const span = priceCall({
      provider: "anthropic",
      response_model: "claude-sonnet-4-5-20250929",
      service_tier: "batch",
      tokens: listTokens({ input_uncached: 25, cache_read: 2000, output_text: 60 }),
    });
    // (25 x 3,000,000 + 2000 x 300,000 + 60 x 15,000,000) / 2 = 1,575 M / 2
    expect(totalCost(span)).toBe(787_500_000n);
    expect(span.price_id).toBe("anthropic/claude-sonnet-4-5/batch/initial");
  });

  test.each(["", "auto", "default", "standard", "DEFAULT"])(
    "the tier %j means the list price",
    (service_tier) => {
      const tokens = listTokens({ output_text: 1 });
      const span = priceCall({ response_model: "gpt-4o", service_tier, tokens });
      // 1 x 10,000,000
      expect(totalCost(span)).toBe(10_000_000n);
    },
  );

  test.each(["flex", "scale", "unheard-of"])(
    "the tier %j of a model without rows for it is unpriced, never the list price",
    (service_tier) => {
      const tokens = listTokens({ input_uncached: 10, output_text: 5 });
      const span = priceCall({ response_model: "gpt-4o", service_tier, tokens });
      expect(span.cost_status).toBe("unpriced");
      expect(span.price_id).toBe("");
      expect(span.cost.every((cost) => cost === null)).toBe(true);
      expect(totalCost(span)).toBeNull();
    },
  );

  test("the response model decides, and the request model when the book lacks it", () => {
    const tokens = listTokens({ output_text: 1 });
    const routed = priceCall({ request_model: "gpt-4o", response_model: "gpt-4o-mini", tokens });
    expect(routed.price_id).toBe("openai/gpt-4o-mini/standard/initial");
    const unknown = priceCall({ request_model: "gpt-4o", response_model: "deployment-7", tokens });
    expect(unknown.price_id).toBe("openai/gpt-4o/standard/initial");
    const absent = priceCall({ request_model: "gpt-4o", tokens });
    expect(absent.price_id).toBe("openai/gpt-4o/standard/initial");
  });

  test("a deployment whose name says nothing is unpriced at a reseller", () => {
    for (const provider of ["azure", "vertex", "bedrock"]) {
      const tokens = listTokens({ output_text: 1 });
      const span = priceCall({ provider, response_model: "our-deployment", tokens });
      expect(span.cost_status).toBe("unpriced");
      expect(span.reason).toContain(`the price book has no ${provider} our-deployment`);
    }
  });
});

describe("cost_status", () => {
  test("tokens of a class without a price make the cost partial, and the rest stays priced", () => {
    const span = priceCall({
      response_model: "gpt-4.1",
      tokens: listTokens({ input_uncached: 10, input_audio: 7, output_audio: 0 }),
    });
    expect(span.cost_status).toBe("partial");
    expect(costOf(span, "input_audio")).toBeNull();
    expect(costOf(span, "output_audio")).toBe(0n);
    // 10 x 2,000,000
    expect(totalCost(span)).toBe(20_000_000n);
    expect(span.price_id).toBe("openai/gpt-4.1/standard/initial");
  });

  test("tokens of unpriced classes only make the call unpriced, with nothing left of an old price", () => {
    const span = makeSpan({
      response_model: "gpt-4.1",
      tokens: listTokens({ input_uncached: 0, input_audio: 7 }),
      cost: TOKEN_CLASSES.map(() => 5n),
      cost_status: "priced",
      price_id: "old",
    });
    priceSpan(book, span);
    expect(span.cost_status).toBe("unpriced");
    expect(span.cost).toEqual(TOKEN_CLASSES.map(() => null));
    expect(span.price_id).toBe("");
    expect(totalCost(span)).toBeNull();
  });

  test("a call that used no tokens of a priced model cost zero", () => {
    const span = priceCall({
      response_model: "gpt-4.1",
      tokens: listTokens({ input_uncached: 0, output_text: 0 }),
    });
    expect(span.cost_status).toBe("priced");
    expect(totalCost(span)).toBe(0n);
  });

  test("a call whose tokens nobody reported is unpriced", () => {
    for (const fields of [{}, { status: "error" as const }, { http_status: 429 }]) {
      const span = priceCall({ response_model: "gpt-4.1", ...fields });
      expect(span.cost_status).toBe("unpriced");
      expect(totalCost(span)).toBeNull();
    }
  });

  test.each([400, 429, 500, 599])("a call refused with HTTP %i cost zero", (http_status) => {
    const span = priceCall({ response_model: "unheard-of", status: "error", http_status });
    expect(span.cost_status).toBe("priced");
    expect(span.cost).toEqual(TOKEN_CLASSES.map(() => null));
    expect(span.price_id).toBe("");
    expect(totalCost(span)).toBe(0n);
  });

  test.each([0, 200, 399, 600])("an error with HTTP %i proves no refusal", (http_status) => {
    const span = priceCall({ response_model: "gpt-4.1", status: "error", http_status });
    expect(span.cost_status).toBe("unpriced");
  });

  test("a failed call with known tokens is priced by them", () => {
    const tokens = listTokens({ input_uncached: 10 });
    const span = priceCall({
      response_model: "gpt-4.1",
      status: "error",
      http_status: 500,
      tokens,
    });
    expect(totalCost(span)).toBe(20_000_000n);
  });

  test("the error of an aggregate says nothing about the calls in it", () => {
    const fields = { response_model: "gpt-4.1", status: "error", http_status: 429 } as const;
    const span = priceCall({ ...fields, span_class: "aggregate" });
    expect(span.cost_status).toBe("unpriced");
  });

  test("an aggregate with tokens is priced like a call", () => {
    const tokens = listTokens({ output_text: 1 });
    const span = priceCall({ response_model: "gpt-4.1", span_class: "aggregate", tokens });
    expect(totalCost(span)).toBe(8_000_000n);
  });

  test.each(["other", "tool", "structure"] as const)("a span of class %s has no cost", (name) => {
    const span = priceCall({
      span_class: name,
      response_model: "gpt-4.1",
      tokens: listTokens({ output_text: 1 }),
    });
    expect(span.cost_status).toBe("none");
    expect(span.cost).toEqual(TOKEN_CLASSES.map(() => null));
    expect(totalCost(span)).toBeNull();
  });
});

describe("fees", () => {
  const tokens = listTokens({ input_uncached: 100, output_text: 10 });

  test("three web searches of Claude cost 0.03 USD beside the tokens", () => {
    const span = priceCall({
      provider: "anthropic",
      response_model: "claude-sonnet-4-5-20250929",
      tokens,
      fee_units: [{ kind: "web_search", count: 3 }],
    });
    // 3 x 10 USD / 1,000; tokens 100 x 3,000,000 + 10 x 15,000,000.
    expect(span.cost_fees).toBe(30_000_000_000n);
    expect(totalCost(span)).toBe(30_450_000_000n);
    expect(span.cost_status).toBe("priced");
  });

  test("searches of the web and of files add up: OpenAI 10 and 2.50 USD a thousand", () => {
    const span = priceCall({
      response_model: "gpt-4.1",
      tokens,
      fee_units: [
        { kind: "web_search", count: 2 },
        { kind: "file_search", count: 4 },
      ],
    });
    // 2 x 0.01 + 4 x 0.0025
    expect(span.cost_fees).toBe(30_000_000_000n);
  });

  test.each([
    ["gemini-2.5-flash", 35_000_000_000n],
    ["gemini-3.5-flash", 14_000_000_000n],
  ])("one grounding of %s costs %s picodollars", (response_model, fee) => {
    const fee_units = [{ kind: "grounding", count: 1 }] as const;
    const span = priceCall({ provider: "google", response_model, tokens, fee_units });
    expect(span.cost_fees).toBe(fee);
  });

  test("no fee units cost null and not zero", () => {
    expect(priceCall({ response_model: "gpt-4.1", tokens }).cost_fees).toBeNull();
  });

  test("a fee without a price makes the call partial, never free", () => {
    const span = priceCall({
      response_model: "gpt-4.1",
      tokens,
      fee_units: [
        { kind: "web_search", count: 1 },
        { kind: "code_interpreter", count: 1 },
      ],
    });
    expect(span.cost_fees).toBeNull();
    expect(span.cost_status).toBe("partial");
    // 100 x 2,000,000 + 10 x 8,000,000
    expect(totalCost(span)).toBe(280_000_000n);
  });

  test("a fee whose tokens nobody reported makes the call partial", () => {
    const fee_units = [{ kind: "web_search", count: 1 }] as const;
    const span = priceCall({ response_model: "gpt-4.1", fee_units });
    expect(span.cost_status).toBe("partial");
    expect(totalCost(span)).toBe(10_000_000_000n);
  });

  test("a model billed by the piece alone is priced without tokens", () => {
    const row = makeRow({ usd_per_million: {}, usd_per_thousand: { rerank_search: "2" } });
    const own = compilePriceBook([makeFile("acme", [makeModel("rerank", [row])])]);
    const span = makeSpan({
      provider: "acme",
      response_model: "rerank",
      fee_units: [{ kind: "rerank_search", count: 7 }],
    });
    priceSpan(own, span);
    expect(span.cost_status).toBe("priced");
    // 7 x 2 USD / 1,000
    expect(totalCost(span)).toBe(14_000_000_000n);
  });

  test("only fees without a price leave the call unpriced, with nothing left of an old price", () => {
    const span = makeSpan({
      response_model: "gpt-4.1",
      fee_units: [{ kind: "code_interpreter", count: 1 }],
      cost_fees: 5n,
      cost_status: "priced",
      price_id: "old",
    });
    priceSpan(book, span);
    expect(span).toMatchObject({ cost_fees: null, cost_status: "unpriced", price_id: "" });
  });

  test("a span that is no call has no fees", () => {
    const span = priceCall({ span_class: "tool", fee_units: [{ kind: "web_search", count: 1 }] });
    expect(span.cost_fees).toBeNull();
  });

  test("two calls cost what one call of their pieces costs, to the picodollar", () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), fc.bigInt(1n, 10n ** 13n), (a, b, nanodollars) => {
        // Up to nine decimals of a dollar per thousand pieces.
        const digits = nanodollars.toString().padStart(10, "0");
        const usd = `${digits.slice(0, -9)}.${digits.slice(-9)}`;
        const row = makeRow({ usd_per_thousand: { image: usd } });
        const own = compilePriceBook([makeFile("acme", [makeModel("m", [row])])]);
        const feesOf = (count: number) => {
          const fee_units = [{ kind: "image", count }] as const;
          const span = makeSpan({ provider: "acme", response_model: "m", tokens, fee_units });
          priceSpan(own, span);
          return span.cost_fees;
        };
        // 1e-9 USD / 1,000 pieces is one picodollar a piece.
        expect(feesOf(a + 1)).toBe(BigInt(a + 1) * nanodollars);
        expect((feesOf(a + 1) ?? -1n) + (feesOf(b + 1) ?? -1n)).toBe(feesOf(a + b + 2));
      }),
    );
  });
});

interface ListedRow {
  provider: string;
  model: string;
  valid_from: string;
  row: PriceFile["models"][number]["prices"][number];
}

const listed: ListedRow[] = files.flatMap((file) =>
  file.models.flatMap((model) =>
    model.prices
      .filter((row) => row.input_tokens_over === 0)
      .map((row) => ({
        provider: file.provider,
        model: model.model,
        valid_from: row.valid_from ?? "2020-01-01",
        row,
      })),
  ),
);

/** Counts below every step of the book: eleven classes of at most 9,000 stay under 100,000. */
const smallTokens = fc.array(fc.option(fc.nat(9000)), {
  minLength: TOKEN_CLASSES.length,
  maxLength: TOKEN_CLASSES.length,
});

describe("exactness", () => {
  function priceListed({ provider, model, valid_from, row }: ListedRow, tokens: (number | null)[]) {
    const start_ns = toUnixNanoseconds(`${valid_from}T12:00:00Z`);
    // Any known region stands for the rows of every regional one.
    const [named = ""] = row.regions;
    const region = named === "regional" ? "europe-west4" : named;
    const service_tier = row.tier;
    return priceCall({ provider, response_model: model, service_tier, region, start_ns, tokens });
  }

  test("a million times a cost is the tokens times the listed price, for every row and class", () => {
    fc.assert(
      fc.property(fc.constantFrom(...listed), smallTokens, (entry, tokens) => {
        const span = priceListed(entry, tokens);
        const expected = TOKEN_CLASSES.map((name, index) => {
          const count = tokens[index] ?? null;
          if (count === null || count === 0) return count === null ? null : 0n;
          const price = parseUsd(entry.row.usd_per_million[name] ?? "unpriced");
          return price === null ? null : BigInt(count) * price;
        });
        // Either a token has a price or the only known counts are zeros; free is a price too.
        const counted = tokens.some((count) => (count ?? 0) > 0);
        const priced = counted
          ? expected.some((cost, index) => cost !== null && (tokens[index] ?? 0) > 0)
          : tokens.some((count) => count === 0);
        expect(span.cost.map((cost) => (cost === null ? null : cost * 1_000_000n))).toEqual(
          priced ? expected : TOKEN_CLASSES.map(() => null),
        );
        expect(totalCost(span)).toBe(
          priced
            ? expected.reduce<bigint>((sum, cost) => sum + (cost ?? 0n), 0n) / 1_000_000n
            : null,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("below a step two calls cost what one call of their tokens costs", () => {
    const wholeTokens = fc.array(fc.nat(4000), {
      minLength: TOKEN_CLASSES.length,
      maxLength: TOKEN_CLASSES.length,
    });
    fc.assert(
      fc.property(fc.constantFrom(...listed), wholeTokens, wholeTokens, (entry, a, b) => {
        const both = a.map((count, index) => count + (b[index] ?? 0));
        const known = (counts: number[]) =>
          counts.map((count, index) => {
            const name = TOKEN_CLASSES[index];
            return name !== undefined && name in entry.row.usd_per_million ? count : null;
          });
        const cost = (counts: number[]) => totalCost(priceListed(entry, known(counts))) ?? -1n;
        expect(cost(a) + cost(b)).toBe(cost(both));
      }),
      { numRuns: 1000 },
    );
  });

  test("a billion tokens of the dearest model stay exact", () => {
    const span = priceCall({
      response_model: "o1-pro",
      tokens: listTokens({ output_text: 999_999_999 }),
    });
    // 999,999,999 x 600,000,000
    expect(totalCost(span)).toBe(599_999_999_400_000_000n);
  });
});

describe("pricing counts without a span", () => {
  const priced = makePricedCounts();

  /** Prices the counts of the span into `priced`, which every test reuses. */
  function price(own: typeof book, span: Span): void {
    const pricing = compilePricing(own, span);
    const start = new DataView(new ArrayBuffer(8));
    start.setBigUint64(0, span.start_ns);
    const is_refused = isRefused(span.span_class, span.status, span.http_status);
    const [high, low] = [start.getUint32(0), start.getUint32(4)];
    priceCounts(pricing, high, low, span.tokens, is_refused, priced);
  }

  /** What `priceCounts` says must be what `priceSpan` says. */
  function expectSame(own: typeof book, fields: Parameters<typeof makeSpan>[0]): void {
    const span = makeSpan({ reason: "", ...fields });
    price(own, span);
    priceSpan(own, span);
    const { cost_status, price_id, reason, cost } = span;
    const bits = (values: readonly unknown[]) =>
      values.reduce<number>((mask, value, bit) => (value === null ? mask : mask | (1 << bit)), 0);
    const largest = BigInt(Number.MAX_SAFE_INTEGER);
    expect(priced).toMatchObject({
      cost_status,
      price_id,
      complaint: reason,
      known_mask: bits(span.tokens),
      cost_mask: bits(cost),
      is_exact: cost.every((amount) => (amount ?? 0n) <= largest),
    });
    if (priced.is_exact) expect([...priced.cost]).toEqual(cost.map((amount) => Number(amount)));
  }

  const count = fc.oneof(
    fc.constantFrom(null, 0, 1, 99_999, 100_000, 200_000, 200_001, 271_999, 272_000),
    fc.nat(9_000),
    fc.nat(1_000_000_000),
  );
  const anyTokens = fc.oneof(
    fc.array(count, { minLength: TOKEN_CLASSES.length, maxLength: TOKEN_CLASSES.length }),
    // Two or three known counts are what most calls have.
    fc.record({ input_uncached: fc.nat(300_000), output_text: fc.nat(9_000) }).map(listTokens),
    fc.constantFrom(listTokens({}), listTokens({ cache_read: 0 })),
  );
  const edges = [...new Set(listed.map(({ valid_from }) => valid_from))].map((day) =>
    toUnixNanoseconds(`${day}T00:00:00Z`),
  );
  const anyStart = fc.oneof(
    fc.constantFrom(...edges.flatMap((edge) => [edge - 1n, edge, edge + 1n])),
    fc.bigInt(0n, 2n ** 64n - 1n),
  );
  const anyOutcome = fc.record({
    span_class: fc.constantFrom("billable" as const, "aggregate" as const),
    status: fc.constantFrom("unset" as const, "error" as const),
    http_status: fc.constantFrom(0, 200, 399, 400, 429, 599),
  });

  test("gives what priceSpan gives, for any call of any model at any time", () => {
    const question = fc.oneof(
      fc.constantFrom(...listed).map(({ provider, model, row }) => ({
        provider,
        response_model: model,
        service_tier: row.tier,
        region: row.regions[0] ?? "",
      })),
      fc.record({
        provider: fc.constantFrom("openai", "anthropic", "google", "bedrock", "nobody", ""),
        request_model: fc.constantFrom(...listed.map(({ model }) => model), "gpt-99", ""),
        response_model: fc.constantFrom(...listed.map(({ model }) => model), "gpt-99", ""),
        service_tier: fc.constantFrom("", "batch", "flex", "priority", "unheard-of"),
        region: fc.constantFrom("", "us", "eu", "us-east-1", "global"),
      }),
    );
    fc.assert(
      fc.property(question, anyStart, anyTokens, anyOutcome, (words, start_ns, tokens, outcome) => {
        expectSame(book, { ...words, ...outcome, start_ns, tokens });
      }),
      { numRuns: 5_000 },
    );
  });

  test("gives what priceSpan gives for every row of the book, about its first instant", () => {
    const tokens = TOKEN_CLASSES.map((_name, index) => 1_000 + index);
    for (const { provider, model, valid_from, row } of listed) {
      const start_ns = toUnixNanoseconds(`${valid_from}T00:00:00Z`);
      const [region = ""] = row.regions;
      const words = { provider, response_model: model, service_tier: row.tier, region };
      for (const shift_ns of [-1n, 0n]) {
        expectSame(book, { ...words, tokens, start_ns: start_ns + shift_ns });
      }
    }
  });

  test("gpt-4.1 with cached input costs what its price list says, and nothing where nothing is known", () => {
    const tokens = listTokens({ input_uncached: 524, cache_read: 976, output_text: 500 });
    price(book, makeSpan({ response_model: "gpt-4.1-2025-04-14", tokens }));
    // USD per million: input 2, cached 0.50, output 8.
    const expected = listTokens({
      input_uncached: 1_048_000_000,
      cache_read: 488_000_000,
      output_text: 4_000_000_000,
    });
    expect([...priced.cost]).toEqual(expected.map((cost) => cost ?? 0));
    expect(priced).toMatchObject({ cost_status: "priced", is_exact: true, complaint: "" });
    expect(priced.price_id).toBe("openai/gpt-4.1/standard/initial");
    const names = ["input_uncached", "cache_read", "output_text"] as const;
    expect(priced.cost_mask).toBe(names.reduce((mask, name) => mask | (1 << CLASS_INDEX[name]), 0));
    price(book, makeSpan({ response_model: "gpt-4.1-2025-04-14" }));
    expect([...priced.cost]).toEqual(expected.map(() => 0));
    expect(priced).toMatchObject({ cost_mask: 0, cost_status: "unpriced", price_id: "" });
  });

  test.each([
    // 1,416,003,655,831 x 6,361 = 2^53 - 1, and 2^33 x 2^20 = 2^53.
    ["1416003.655831", 6_361, true],
    ["8589.934592", 2 ** 20, false],
    ["9007199254.740993", 1, false],
  ])("at %s USD a million the cost of %i tokens is exact: %s", (usd, input_uncached, is_exact) => {
    const row = makeRow({ usd_per_million: { input_uncached: usd } });
    const own = compilePriceBook([makeFile("acme", [makeModel("m", [row])])]);
    const tokens = listTokens({ input_uncached });
    price(own, makeSpan({ provider: "acme", response_model: "m", tokens }));
    expect(priced).toMatchObject({ is_exact, cost_status: "priced", cost_mask: 1 });
    if (is_exact) expect(priced.cost[CLASS_INDEX.input_uncached]).toBe(9_007_199_254_740_991);
  });
});
