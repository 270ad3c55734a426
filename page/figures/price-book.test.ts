import { describe, expect, it } from "vitest";
import type { PricedRow } from "../../schemas/api-prices.ts";
import { toCsv } from "../table.ts";
import { bookQuery, bookTable, conditionsOf, validityOf } from "./price-book.ts";

const row: PricedRow = {
  price_id: "anthropic/claude/standard/initial",
  provider: "anthropic",
  model: "claude",
  aliases: [],
  tier: "standard",
  region: null,
  other_regions: "same",
  input_tokens_over: 0,
  usd_per_million: { input_uncached: "0.075", output_text: "15" },
  usd_per_thousand: { web_search: "10" },
  valid_from: null,
  valid_to: null,
  source: "list",
  evidence: "somewhere",
  evidence_date: "2026-09-23",
};

describe("the price book", () => {
  it("shows a unit price with all its digits, and only classes that have one", () => {
    const { columns } = bookTable({
      prices: [row],
      total: 1,
      evidence_date: null,
      next_cursor: null,
    });
    const input = columns.find(({ key }) => key === "input_uncached_usd_per_million");
    expect(input?.show?.(row)).toBe("$0.075");
    expect(columns.some(({ key }) => key === "input_audio_usd_per_million")).toBe(false);
    expect(toCsv({ columns, rows: [row] })).toContain("0.075");
  });

  it("says when a row prices a call", () => {
    expect(conditionsOf(row)).toBe("");
    expect(conditionsOf({ ...row, input_tokens_over: 200_000, region: "us" })).toBe(
      "prompts over 200,000, region us",
    );
    expect(conditionsOf({ ...row, other_regions: "unpriced" })).toBe("not in other regions");
  });

  it("says from when to when, the last day being the first that it does not hold", () => {
    expect(validityOf(row)).toBe("always");
    expect(validityOf({ ...row, valid_from: "2026-01-01" })).toBe("from 2026-01-01");
    expect(validityOf({ ...row, valid_to: "2026-02-01" })).toBe("before 2026-02-01");
  });

  it("asks for what is in force today unless the address wants all days", () => {
    const now_ms = Date.parse("2026-11-21T12:00:00Z");
    const ask = (text: string) => bookQuery(new URLSearchParams(text), now_ms);
    expect(ask("")).toMatchObject({ day: "2026-11-21", search: null, provider: null });
    expect(ask("in_force=ever&search=son&sold_by=openai&source=list")).toMatchObject({
      day: null,
      search: "son",
      provider: "openai",
      source: "list",
    });
    // The filter of calls by their provider is another parameter.
    expect(ask("provider=openai")).toMatchObject({ provider: null });
  });
});
