import { describe, expect, test } from "vitest";
import type { CallRow } from "../../schemas/call.ts";
import { TOKEN_CLASSES, type TokenClass } from "../../schemas/tokens.ts";
import { billOf, readPriceId } from "./bill.ts";

type Billed = Pick<CallRow, "tokens" | "cost" | "cost_usd" | "fees" | "fees_usd">;

function perClass<Value>(
  values: Partial<Record<TokenClass, Value>>,
): Record<TokenClass, Value | null> {
  return Object.fromEntries(TOKEN_CLASSES.map((name) => [name, values[name] ?? null])) as Record<
    TokenClass,
    Value | null
  >;
}

/** A call of Claude Sonnet 4.5 as its price list has it: 3, 0.30, 3.75 and 15 dollars a million. */
const CALL: Billed = {
  tokens: perClass({
    input_uncached: 4,
    cache_read: 14_040,
    cache_write_5m: 1195,
    output_text: 744,
  }),
  cost: perClass({
    input_uncached: "0.000012",
    cache_read: "0.004212",
    cache_write_5m: "0.00448125",
    output_text: "0.01116",
  }),
  cost_usd: "0.01986525",
  fees: {},
  fees_usd: null,
};
const ROW = {
  usd_per_million: {
    input_uncached: "3",
    cache_read: "0.30",
    cache_write_5m: "3.75",
    output_text: "15",
  },
  usd_per_thousand: { web_search: "10", file_search: "2.50" },
};

describe("the bill of a call", () => {
  test("adds up to its cost to the last digit, with the prices of the book", () => {
    const bill = billOf(CALL, ROW);
    expect(bill.sum_usd).toBe("0.01986525");
    expect(bill.adds_up).toBe(true);
    expect(
      bill.lines.map(({ name, count, price_usd, price_from }) => [
        name,
        count,
        price_usd,
        price_from,
      ]),
    ).toEqual([
      ["input_uncached", 4, "3", "book"],
      ["cache_read", 14_040, "0.30", "book"],
      ["cache_write_5m", 1195, "3.75", "book"],
      ["output_text", 744, "15", "book"],
    ]);
  });

  test("works the prices out of the cost when the book has no such row any more", () => {
    const { lines } = billOf(CALL, null);
    expect(lines.map(({ price_usd, price_from }) => [price_usd, price_from])).toEqual([
      ["3", "cost"],
      ["0.3", "cost"],
      ["3.75", "cost"],
      ["15", "cost"],
    ]);
  });

  test("does not show a price of the book that was not applied", () => {
    const changed = { ...ROW, usd_per_million: { ...ROW.usd_per_million, output_text: "16" } };
    expect(billOf(CALL, changed).lines.at(-1)).toMatchObject({
      price_usd: "15",
      price_from: "cost",
    });
  });

  test("has no line for what nobody reported, and one without a cost for what has no price", () => {
    const call: Billed = {
      ...CALL,
      tokens: perClass({ input_uncached: 0, output_text: 10, output_reasoning: 3 }),
      cost: perClass({ input_uncached: "0", output_text: "0.00015" }),
      cost_usd: "0.00015",
    };
    const bill = billOf(call, null);
    expect(bill.lines.map(({ name, price_usd, cost_usd }) => [name, price_usd, cost_usd])).toEqual([
      ["input_uncached", null, "0"],
      ["output_text", "15", "0.00015"],
      ["output_reasoning", null, null],
    ]);
    expect(bill.adds_up).toBe(true);
  });

  test("is empty for a call without usage and without a cost", () => {
    const call = { ...CALL, tokens: perClass({}), cost: perClass({}), cost_usd: null } as Billed;
    expect(billOf(call, null)).toEqual({ lines: [], sum_usd: null, adds_up: true });
  });

  test("of a refused call has no lines, comes to nothing and adds up", () => {
    // docs/decisions/0008: no tokens are known, no price applied, and the ledger says 0.
    const refused = { ...CALL, tokens: perClass({}), cost: perClass({}), cost_usd: "0" } as Billed;
    expect(billOf(refused, null)).toEqual({ lines: [], sum_usd: "0", adds_up: true });
  });

  test("of a call with tokens but no price has lines without a cost, and no sum", () => {
    const call = { ...CALL, cost: perClass({}), cost_usd: null } as Billed;
    const bill = billOf(call, null);
    expect(bill.lines.map(({ cost_usd }) => cost_usd)).toEqual([null, null, null, null]);
    expect([bill.sum_usd, bill.adds_up]).toEqual([null, true]);
  });

  test("without tokens is that of its fees", () => {
    const call: Billed = {
      tokens: perClass({}),
      cost: perClass({}),
      cost_usd: "0.12",
      fees: { image: 3 },
      fees_usd: "0.12",
    };
    expect(billOf(call, null)).toMatchObject({ sum_usd: "0.12", adds_up: true });
  });

  test("says when the ledger has a cost and no line does", () => {
    const call = { ...CALL, cost: perClass({}), cost_usd: "0.01" } as Billed;
    expect(billOf(call, null).adds_up).toBe(false);
  });

  test("says when the lines are not the cost", () => {
    expect(billOf({ ...CALL, cost_usd: "0.01986526" }, ROW).adds_up).toBe(false);
  });
});

describe("fees", () => {
  const fees: Billed = {
    ...CALL,
    fees: { web_search: 2, file_search: 4 },
    fees_usd: "0.03",
    cost_usd: "0.04986525",
  };

  test("stand by kind when the prices of the book give their cost", () => {
    const bill = billOf(fees, ROW);
    expect(bill.lines.slice(-2)).toMatchObject([
      { name: "web_search", count: 2, price_usd: "10", cost_usd: "0.02" },
      { name: "file_search", count: 4, price_usd: "2.50", cost_usd: "0.01" },
    ]);
    expect(bill.adds_up).toBe(true);
  });

  test("stand together when the book does not say, and the bill still adds up", () => {
    const bill = billOf(fees, null);
    expect(bill.lines.slice(-3).map(({ name, cost_usd }) => [name, cost_usd])).toEqual([
      ["web_search", null],
      ["file_search", null],
      ["fees", "0.03"],
    ]);
    expect(bill.adds_up).toBe(true);
  });

  test("of one kind need no book", () => {
    const call: Billed = { ...CALL, fees: { image: 3 }, fees_usd: "0.12", cost_usd: "0.13986525" };
    const bill = billOf(call, null);
    expect(bill.lines.at(-1)).toMatchObject({ name: "image", price_usd: "40", cost_usd: "0.12" });
    expect(bill.adds_up).toBe(true);
  });
});

test("the name of a price tells provider, model and tier, whatever follows", () => {
  expect(readPriceId("anthropic/claude-sonnet-4-5/standard/initial")).toEqual({
    provider: "anthropic",
    model: "claude-sonnet-4-5",
    tier: "standard",
  });
  expect(
    readPriceId(
      "fireworks/accounts/fireworks/models/x/batch/2026-01-31/in-us/over-200000/negotiated/p-1",
    ),
  ).toEqual({ provider: "fireworks", model: "accounts/fireworks/models/x", tier: "batch" });
  expect(readPriceId("nothing")).toBeNull();
});
