import { expect, test } from "vitest";
import { failedCalls, type Kind, statusOfTypes, sumByStatus } from "./error-kinds.ts";
import { mixColors } from "./reds.ts";

function kind(error_type: string | null, http_status: number | null, calls: number): Kind {
  const known: Partial<Kind> = { error_type, http_status, calls };
  return known as Kind;
}

test("rate limits stand apart from other refusals, failures of the server and what has no status", () => {
  const kinds = [
    kind("a", 429, 1),
    kind("b", 429, 2),
    kind("c", 400, 4),
    kind("d", 500, 8),
    kind("e", 529, 16),
    kind(null, null, 32),
  ];
  expect(sumByStatus(kinds)).toEqual({ rate_limited: 3, client: 4, server: 24, without: 32 });
});

test("a type has a status only when all its calls have the same one", () => {
  const kinds = [
    kind("always", 429, 1),
    kind("always", 429, 1),
    kind("both", 500, 1),
    kind("both", 503, 1),
    kind("sometimes", 500, 1),
    kind("sometimes", null, 1),
    kind("never", null, 1),
    kind(null, 400, 1),
  ];
  expect([...statusOfTypes(kinds)]).toEqual([["always", 429]]);
});

test("the link of a kind has all that tells it apart, what has no value too", () => {
  const known = { ...kind("RateLimitError", 429, 19), model: "gpt-4o-mini", provider: "openai" };
  expect(failedCalls(known)).toEqual({
    status: "error",
    error_type: "RateLimitError",
    model: "gpt-4o-mini",
    provider: "openai",
  });
  expect(failedCalls({ ...known, error_type: null, provider: null })).toMatchObject({
    error_type: "",
    provider: "",
  });
});

test("colours are mixed channel by channel; what is no colour stays", () => {
  expect(mixColors("#000000", "#ffffff", 0.5)).toBe("#808080");
  expect(mixColors("#cc3a31", "#ffffff", 0)).toBe("#cc3a31");
  expect(mixColors("#102030", "#304050", 1)).toBe("#304050");
  expect(mixColors("red", "#ffffff", 0.5)).toBe("red");
});
