import { describe, expect, test } from "vitest";
import type { CallRow } from "../../schemas/call.ts";
import {
  alignUsd,
  listMarks,
  shortenId,
  tellCostStatus,
  tellStatus,
  tellTokens,
  tellUsage,
} from "./call-parts.ts";

function signsOf(
  cost_status: CallRow["cost_status"],
  usage_status: CallRow["usage_status"],
): string {
  return listMarks({ cost_status, usage_status })
    .map(({ sign }) => sign)
    .join("");
}

describe("marks of a cost", () => {
  test("are none when usage was reported and has a price", () => {
    expect(signsOf("priced", "reported")).toBe("");
    expect(signsOf("priced", "derived")).toBe("");
  });

  test("tell each doubt apart", () => {
    expect(signsOf("unpriced", "reported")).toBe("▲");
    expect(signsOf("partial", "estimated")).toBe("▲≈");
    expect(signsOf("priced", "aggregate")).toBe("Σ");
    expect(signsOf("unpriced", "missing")).toBe("▲?");
  });

  test("do not call the usage of a refused call missing, as coverage does not", () => {
    expect(signsOf("priced", "missing")).toBe("");
  });
});

describe("facts of a call", () => {
  test("say of a refused call that it costs nothing, and not that something is missing", () => {
    const refused = { cost_status: "priced", usage_status: "missing" } as const;
    expect(tellUsage(refused)).toBe("none: the call was refused");
    expect(tellCostStatus(refused)).toBe("nothing: the call was refused");
  });

  test.each([
    ["priced", "reported", "priced"],
    ["partial", "reported", "partial: a part of the usage has no price"],
    ["unpriced", "missing", "unpriced: without usage there is nothing to price"],
    ["unpriced", "reported", "unpriced: no price is known for this call"],
  ] as const)("say of the cost %s with usage %s: %s", (cost_status, usage_status, words) => {
    expect(tellCostStatus({ cost_status, usage_status })).toBe(words);
    expect(tellUsage({ cost_status, usage_status })).toBe(usage_status);
  });
});

test("amounts have their points below each other, and lose no digit", () => {
  expect(alignUsd("0.125", 3)).toBe("$0.125");
  expect(alignUsd("0.1", 3)).toBe("$0.1\u2007\u2007");
  expect(alignUsd("12", 3)).toBe("$12\u2008\u2007\u2007\u2007");
  expect(alignUsd("12", 0)).toBe("$12");
  expect(alignUsd("-0.5", 1)).toBe("−$0.5");
  expect(alignUsd(null, 3)).toBe("–");
});

test("a failure is told by its type and its status of HTTP", () => {
  expect(tellStatus({ status: "ok", error_type: null, http_status: 200 })).toBe("HTTP 200");
  expect(tellStatus({ status: "error", error_type: "timeout", http_status: null })).toBe("timeout");
  expect(tellStatus({ status: "error", error_type: "rate_limit", http_status: 429 })).toBe(
    "rate_limit, HTTP 429",
  );
});

test("tokens are told by class, zero apart from unknown", () => {
  const tokens = { input_uncached: 1234, cache_read: 0, output_text: null } as CallRow["tokens"];
  const isIn = (name: string) => name === "input_uncached" || name === "cache_read";
  expect(tellTokens({ tokens }, isIn)).toBe("Input, uncached: 1,234\nCache read: 0");
  expect(tellTokens({ tokens }, (name) => name === "output_text")).toBe("Nobody reported tokens");
});

test("long ids are cut, short ones are not", () => {
  expect(shortenId("session-a087-01-153")).toBe("session-a087-01-153");
  expect(shortenId("0b7e2c4d-61f7-4a0b-9a56-1f0b7e2c4d83")).toBe("0b7e2c4d-61f7-4a0b-9a56-1f…");
  expect(shortenId(null)).toBeNull();
});
