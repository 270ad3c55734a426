import { describe, expect, it } from "vitest";
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { toCsv } from "../table.ts";
import { groupTable } from "./cost-groups.ts";
import { costGroupOf, groupTitle } from "./cost.ts";

const coverage = {
  calls: 1,
  calls_missing_usage: 0,
  calls_estimated: 0,
  calls_unpriced: 0,
  tokens_priced_share: 1,
};

function makeRow(changes: Partial<UsageRow>): UsageRow {
  return { calls: 1, cost_usd: "1", cost_per_call_usd: "1", coverage, previous: null, ...changes };
}

function makeAnswer(rows: UsageRow[], client_cost_usd: string | null): UsageAnswer {
  return {
    from: "",
    to: "",
    tz: "UTC",
    interval: "none",
    group_by: ["model"],
    rows,
    totals: { cost_usd: "4", client_cost_usd, coverage },
    coverage,
    truncated: false,
    next_cursor: null,
  };
}

function cellsOf(answer: UsageAnswer, key: string): unknown[] {
  const { columns, rows } = groupTable(answer, "model");
  const column = columns.find((one) => one.key === key);
  return rows.map((row) => column?.value(row));
}

describe("what each cost", () => {
  const previous = { cost_usd: "2", coverage };
  const rows = [
    makeRow({ model: "a", cost_usd: "3", previous }),
    makeRow({ model: null, cost_usd: "1" }),
    makeRow({ is_other: true, cost_usd: null }),
  ];

  it("is a share of all and a change to the period before, not known where there is nothing", () => {
    const answer = makeAnswer(rows, null);
    expect(cellsOf(answer, "cost_share")).toEqual([0.75, 0.25, null]);
    expect(cellsOf(answer, "cost_change_share")).toEqual([0.5, null, null]);
    expect(cellsOf(answer, "model")).toEqual(["a", "(none)", "All others"]);
  });

  it("is held against what clients claim only when one claims a cost", () => {
    expect(toCsv(groupTable(makeAnswer(rows, null), "model"))).not.toContain("client_cost_usd");
    expect(toCsv(groupTable(makeAnswer(rows, "5"), "model"))).toContain("client_cost_usd");
  });
});

describe("what costs are split by", () => {
  const groupOf = (text: string) => costGroupOf(new URLSearchParams(text));

  it("is a dimension of the list, or a tag with a key", () => {
    expect(groupOf("")).toBe("model");
    expect(groupOf("group_by=user_id")).toBe("user_id");
    expect(groupOf("group_by=tag.team")).toBe("tag.team");
    expect(groupTitle("tag.team")).toBe("Tag team");
  });

  it("is the model for a tag whose key is not typed yet, and for what is no group", () => {
    expect(groupOf("group_by=tag.")).toBe("model");
    expect(groupOf("group_by=nonsense")).toBe("model");
  });
});
