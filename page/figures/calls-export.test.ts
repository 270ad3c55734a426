import { expect, test } from "vitest";
import type { CallsAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { collectCalls } from "./calls-export.ts";

/** A list of so many calls, whose cursor is the number of the next one. */
function makeList(total: number) {
  return (cursor: string | null, rows: number): Promise<CallsAnswer> => {
    const from = Number(cursor ?? 0);
    const to = Math.min(total, from + rows);
    const calls = Array.from({ length: to - from }, (_, index) => ({
      call_id: String(from + index),
    })) as CallRow[];
    const next_cursor = to < total ? String(to) : null;
    return Promise.resolve({ from: "", to: "", calls, next_cursor });
  };
}
const never = () => false;

test("all pages are collected, each call once and in order", async () => {
  const steps: number[] = [];
  const { calls, is_cut } = await collectCalls(makeList(1_234), 10_000, never, (rows) =>
    steps.push(rows),
  );
  expect(calls.map(({ call_id }) => Number(call_id))).toEqual([...Array(1_234).keys()]);
  expect(is_cut).toBe(false);
  expect(steps).toEqual([500, 1_000, 1_234]);
});

test("it ends at the limit and says that there is more, and not when there is none", async () => {
  const cut = await collectCalls(makeList(1_201), 1_200, never, () => {});
  expect([cut.calls.length, cut.is_cut]).toEqual([1_200, true]);
  const whole = await collectCalls(makeList(1_200), 1_200, never, () => {});
  expect([whole.calls.length, whole.is_cut]).toEqual([1_200, false]);
});

test("who stops it keeps what came", async () => {
  let rows = 0;
  const { calls, is_cut } = await collectCalls(
    makeList(5_000),
    10_000,
    () => rows >= 1_000,
    (count) => (rows = count),
  );
  expect([calls.length, is_cut]).toEqual([1_000, true]);
});
