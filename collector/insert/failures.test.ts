/** Each error of the engine has the remedy that research/reliability.md 3.2 asks for. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import {
  classifyFailure,
  isUnexplained,
  MARKS_FAILED,
  MAX_PAUSE_MS,
  pauseAfter,
  type Remedy,
} from "./failures.ts";

const retryable = (code: string, message = "no") => new RetryableError(code, message);

describe("C06: the remedy", () => {
  test.each<[string, Error, Remedy]>([
    ["too many parts", retryable("clickhouse_252", "Too many parts (3001)"), "retry"],
    [
      "too many partitions of one block",
      retryable("clickhouse_252", "Too many partitions for single INSERT block (more than 100)"),
      "shrink",
    ],
    ["the memory limit", retryable("clickhouse_241"), "shrink"],
    ["a timeout of the server", retryable("clickhouse_159"), "shrink"],
    ["a timeout of its socket", retryable("clickhouse_209"), "shrink"],
    ["a user that may not write", retryable("clickhouse_164"), "alarm"],
    ["a table that is read-only", retryable("clickhouse_242"), "alarm"],
    ["a table that is not there", retryable("clickhouse_60"), "alarm"],
    ["a column that is not there", retryable("clickhouse_16"), "alarm"],
    ["a quota that is used up", retryable("clickhouse_201"), "alarm"],
    ["too many queries at once", retryable("clickhouse_202"), "retry"],
    ["C15: a full disk", retryable("clickhouse_243"), "alarm"],
    ["C07: data that cannot be read", new PermanentError("clickhouse_117", "x"), "bisect"],
    ["C07: a block behind one that ends too early", retryable("clickhouse_62"), "bisect"],
    ["C07: a record without a header", new PermanentError("bad_record", "x"), "bisect"],
    ["C04: a connection that is gone", retryable("clickhouse_unavailable"), "retry"],
    ["a dead-letter folder that is full", retryable("dead_letter_full"), "alarm"],
    ["a code that nobody knows", retryable("clickhouse_49"), "retry"],
    ["a bug", new TypeError("x is not a function"), "retry"],
  ])("of %s", (_what, error, remedy) => {
    const failure = classifyFailure(error);
    expect(failure.remedy).toBe(remedy);
    expect(failure.advice.length > 0).toBe(remedy === "alarm");
  });

  test("of marks that failed is never a smaller batch or a search, but an alarm where the cause is one", () => {
    const wrap = (cause: Error) =>
      classifyFailure(new RetryableError(MARKS_FAILED, "x", { cause }));
    expect(wrap(retryable("clickhouse_241")).remedy).toBe("retry");
    expect(wrap(new PermanentError("clickhouse_62", "x")).remedy).toBe("retry");
    expect(wrap(retryable("clickhouse_243"))).toMatchObject({
      remedy: "alarm",
      advice: expect.stringContaining("Free space"),
    });
    expect(isUnexplained(wrap(retryable("clickhouse_49")))).toBe(false);
  });

  test("is a search in the end only for answers of the engine that nothing is known of", () => {
    expect(isUnexplained(classifyFailure(retryable("clickhouse_49")))).toBe(true);
    for (const code of [
      "clickhouse_252",
      "clickhouse_0",
      "clickhouse_unavailable",
      "engine_busy",
    ]) {
      expect(isUnexplained(classifyFailure(retryable(code)))).toBe(false);
    }
  });
});

test("pauses grow, have jitter, and are bounded on both sides", () => {
  const failures = fc.integer({ min: 1, max: 1_000 });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(failures, random, (count, chance) => {
      const pause_ms = pauseAfter(count, "retry", chance);
      expect(pause_ms).toBeGreaterThanOrEqual(Math.min(100 * 2 ** (count - 1), MAX_PAUSE_MS));
      expect(pause_ms).toBeLessThanOrEqual(MAX_PAUSE_MS * 1.5);
      const alarm_ms = pauseAfter(count, "alarm", chance);
      expect(alarm_ms).toBeGreaterThanOrEqual(5_000);
      expect(alarm_ms).toBeLessThanOrEqual(7_500);
    }),
  );
  expect(pauseAfter(1, "retry", 0)).toBe(100);
  expect(pauseAfter(1, "retry", 0.5)).toBe(125);
});
